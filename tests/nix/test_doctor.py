"""`nixel doctor` and the Nix side agree: what it says to declare is what is declared, and names what is there."""

import json
import os
import subprocess
import sys

import nix_tools
import pytest
from test_vendor import make_deb

from nixel.acquisition.doctor.examine import Doctor
from nixel.acquisition.doctor.packages import ATTRIBUTES, deb_place

FROM_DEB = nix_tools.ROOT / "pkgs" / "vendor" / "from-deb"


def test_it_finds_by_itself_what_the_example_driver_declares(tmp_path):
    advice = Doctor().examine(make_deb(tmp_path, "stubborn")).advice
    expression = (nix_tools.ROOT / "tests" / "nix" / "example-driver" / "default.nix").read_text()
    *lines, stubborn = advice.from_deb()
    assert len(lines) == 3
    for line in lines:
        assert f"  {line}\n" in expression
    # As the tests of fromDeb declare it of the program that is packaged with fhs.
    assert stubborn == 'mayNameOldPlaces = [ "bin/stubborn" ];'


def test_places_are_those_that_from_deb_gives(tmp_path):
    old = [
        *("/usr/local/lib/x.so.1", "/usr/lib/x86_64-linux-gnu/x.so", "/lib/aarch64-linux-gnu/x.so"),
        *(
            "/usr/lib64/a/x.so",
            "/usr/sbin/x",
            "/sbin/x",
            "/opt/acme/lib/x.so",
            "/usr/share/x/y",
            "/usr/local/bin/x",
        ),
    ]
    attributes = tmp_path / "attributes.json"
    attributes.write_text(json.dumps({"debFile": {}, "outputs": {"out": "/out"}}))
    script = "import deb, json, sys; print(json.dumps([str(deb.new_place(x)) for x in sys.argv[1:]]))"
    environment = {"NIX_ATTRS_JSON_FILE": str(attributes), "NIX_BUILD_TOP": "/", "PYTHONPATH": str(FROM_DEB)}
    said = subprocess.run(
        [sys.executable, "-c", script, *old],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [f"/out/{deb_place(each)}" for each in old] == json.loads(said.stdout)


@pytest.mark.parametrize("system", ["x86_64-linux", "aarch64-linux"])
def test_nixpkgs_has_every_attribute_that_it_names(nixpkgs, system):
    names = sorted({name for _, name in ATTRIBUTES if "(" not in name})
    listed = " ".join(f'"{name}"' for name in names)
    expression = f"""
      let
        pkgs = import {nix_tools.in_store("nixpkgs")} {{
          system = "{system}";
          config.allowAliases = false;
          overlays = [ ];
        }};
        has = name: pkgs.lib.hasAttrByPath (pkgs.lib.splitString "." name) pkgs;
      in builtins.filter (name: !has name) [ {listed} ]
    """
    missing = json.loads(nix_tools.run("nix", "eval", "--json", "--impure", "--expr", expression))
    assert missing == []
