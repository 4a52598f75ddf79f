"""The machines: each is a whole system that instantiates, and its instrument is one that the programs accept."""

import json
import re
from pathlib import Path

import nix_tools
import pytest

from nixel.acquisition.instrument import Instrument
from nixel.acquisition.instrument_file import validate
from nixel.safety.config.instrument import ConfigError, parse

HOSTS = ("demo-vm", "microscope", "microscope-pi5", "scanner")
IMAGES = {
    "x86_64-linux": ["scanner-image", "microscope-image", "microscope-pi5-image"],
    "aarch64-linux": ["microscope-image", "microscope-pi5-image"],
}
# Nothing has to be built before it can be evaluated.
NO_IFD = ("--option", "allow-import-from-derivation", "false")

FACTS = """machines: builtins.mapAttrs (_: machine: {
  toplevel = machine.config.system.build.toplevel.drvPath;
  inherit (machine.config) warnings;
  inherit (machine.config.nixel.instrument) tables;
  platform = machine.config.nixpkgs.hostPlatform.system;
  root = machine.config.fileSystems."/".fsType;
  etc = machine.config.system.etc.overlay;
  ports = machine.config.networking.firewall.allowedTCPPorts;
  watchdog = machine.config.systemd.settings.Manager.RuntimeWatchdogSec;
  overlays = machine.config.hardware.raspberry-pi.configtxt.deviceTreeOverlays or { };
}) machines"""


@pytest.fixture(scope="module")
def hosts(nixpkgs):
    text = nixpkgs.flake("eval --json", "nixosConfigurations", "--apply", FACTS, *NO_IFD)
    return json.loads(text)


def test_every_machine_is_known_here(hosts):
    assert set(hosts) == set(HOSTS)


@pytest.mark.parametrize("name", HOSTS)
def test_a_whole_system_instantiates(hosts, name):
    derivation = hosts[name]["toplevel"]
    assert derivation.startswith("/nix/store/")
    assert derivation.endswith(".drv")
    assert nix_tools.on_host(derivation).is_file()
    # Nobody's key is in this repository, and a machine that takes nobody's update says so; nothing else is amiss.
    said = [warning.split()[0] for warning in hosts[name]["warnings"]]
    assert said == ([] if name == "demo-vm" else ["nixel.update.trustedKeys"])


@pytest.mark.parametrize(("system", "image"), [(s, i) for s, images in IMAGES.items() for i in images])
def test_an_image_instantiates(nixpkgs, system, image):
    derivation = nixpkgs.flake("eval --raw", f"packages.{system}.{image}.drvPath", *NO_IFD)
    assert nix_tools.on_host(derivation).is_file()


def test_a_card_is_the_same_wherever_it_is_asked_for(nixpkgs):
    found = {
        nixpkgs.flake("eval --raw", f"packages.{system}.microscope-image.drvPath", *NO_IFD)
        for system in IMAGES
    }
    assert len(found) == 1
    shown = json.loads(nixpkgs.run("nix", "derivation", "show", found.pop()))
    assert [each["system"] for each in shown.values()] == ["aarch64-linux"]


def test_the_template_is_the_one_without_a_name(nixpkgs, tmp_path):
    # nix flake init takes no other input's place, so the outputs that need none are all it may touch.
    command = f"cd {tmp_path} && nix flake init --offline --template git+file://{nix_tools.ROOT}"
    nixpkgs.run("bash", "-c", command)
    template = nix_tools.ROOT / "nixos" / "template"
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in template.iterdir()}
    assert (tmp_path / "flake.nix").read_text() == (template / "flake.nix").read_text()


@pytest.mark.parametrize("name", HOSTS)
def test_the_programs_accept_the_instrument(hosts, name):
    tables = hosts[name]["tables"]
    instrument = validate(Instrument, tables, name)
    guarded = parse(tables, Path(name))
    assert guarded.simulated == instrument.simulated


RATED = """machines:
  let
    inherit (machines.scanner.pkgs) lib;
    changed = machines.scanner.extendModules {
      modules = [
        {
          nixel.instrument.settings.safety.interlocks.coil-temperature.trip = lib.mkForce "130 degC";
          services.nixel.safety.ratings = builtins.toFile "ratings.toml" "sensors and parts";
        }
      ];
    };
  in {
    inherit (changed.config.nixel.instrument) tables;
    check = changed.config.nixel.instrument.path.buildCommand;
    start = changed.config.systemd.services.nixel-safety.serviceConfig.ExecStart;
  }"""


def test_a_limit_beyond_a_rating_passes_the_modules_and_fails_the_programs_own_check(nixpkgs):
    found = json.loads(nixpkgs.flake("eval --json", "nixosConfigurations", "--apply", RATED, *NO_IFD))
    with pytest.raises(ConfigError, match=r"at most what drive-coil withstands \(120 degC, ratings.toml\)"):
        parse(found["tables"], Path("scanner"))
    # The check runs when the system is built, with the same ratings as the daemon.
    (ratings,) = set(re.findall(r"--ratings (\S+ratings\.toml)", found["check"]))
    assert f"nixel instruments --ratings {ratings} ./instrument.toml" in found["check"]
    assert re.search(rf'"?--ratings"? "?{re.escape(ratings)}"?', found["start"])


def test_only_the_scanner_is_real(hosts):
    real = {name for name, facts in hosts.items() if not facts["tables"]["instrument"]["simulated"]}
    assert real == {"scanner"}


@pytest.mark.parametrize("name", HOSTS)
def test_a_machine_is_read_only_by_design(hosts, name):
    facts = hosts[name]
    assert facts["root"] == "tmpfs"
    assert facts["etc"]["enable"]
    assert not facts["etc"]["mutable"]
    assert facts["watchdog"]


def test_the_platforms(hosts):
    assert {name: facts["platform"] for name, facts in hosts.items()} == {
        "demo-vm": "x86_64-linux",
        "microscope": "aarch64-linux",
        "microscope-pi5": "aarch64-linux",
        "scanner": "x86_64-linux",
    }


def test_a_real_instrument_opens_no_port_by_itself(hosts):
    # ssh for a service visit, which takes keys only (test_support.py); the imaging service listens on loopback.
    assert hosts["scanner"]["ports"] == [22]


def test_the_camera_is_in_the_device_tree(hosts):
    for name in ("microscope", "microscope-pi5"):
        assert {"imx219": {}} in hosts[name]["overlays"]["all"]


CONSUMER = """{
  inputs.nixel.url = "flake:nixel";
  outputs = { nixel, ... }@inputs:
    let
      template = (import ./flake-of-template.nix).outputs inputs;
      system = nixel.inputs.nixpkgs.lib.nixosSystem;
      alone = _: module: (system {
        modules = [ module { nixpkgs.hostPlatform = "x86_64-linux"; } ];
      }).options;
    in {
      bench = {
        toplevel = template.nixosConfigurations.bench.config.system.build.toplevel.drvPath;
        inherit (template.nixosConfigurations.bench.config.nixel.instrument) tables;
      };
      modules = builtins.mapAttrs
        (name: module: builtins.attrNames (alone name module).nixel
          ++ builtins.attrNames ((alone name module).services.nixel or { }))
        nixel.nixosModules;
    };
}
"""


@pytest.fixture(scope="module")
def consumer(nixpkgs, tmp_path_factory):
    """A flake of somebody who uses ours: what the template says, and each module by itself."""
    folder = tmp_path_factory.mktemp("consumer")
    template = nix_tools.ROOT / "nixos" / "template" / "flake.nix"
    (folder / "flake-of-template.nix").write_text(template.read_text())
    (folder / "flake.nix").write_text(CONSUMER)
    inputs = ["--override-input", "nixel", f"git+file://{nix_tools.ROOT}"]
    for name in nix_tools.TREES:
        inputs += ["--override-input", f"nixel/{name}", f"path:{nix_tools.in_store(name)}"]

    def evaluate(attribute):
        command = ("nix", "eval", "--json", f"path:{folder}#{attribute}", "--no-write-lock-file", "--offline")
        return json.loads(nix_tools.run(*command, *inputs, *NO_IFD))

    return evaluate


def test_the_template_is_a_whole_system(consumer):
    bench = consumer("bench")
    assert nix_tools.on_host(bench["toplevel"]).is_file()
    assert validate(Instrument, bench["tables"], "template").simulated
    assert parse(bench["tables"], Path("template")).simulated


def test_each_module_can_be_had_by_itself(consumer):
    brings = consumer("modules")
    for name in ("base", "cache", "devices", "gpu", "instrument"):
        assert name in brings[name]
    for name in ("safety", "imaging"):
        assert name in brings[name]
