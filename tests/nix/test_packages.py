"""The packages as Nix evaluates them: both systems, their dependencies, their sources, what they fetch."""

import base64
import json
import re
import shutil
import subprocess
import tomllib

import nix_tools
import pytest
from packaging.requirements import Requirement

SYSTEMS = ("x86_64-linux", "aarch64-linux")
DISTRIBUTIONS = {
    "nixel-physics": "src/physics",
    "nixel-acquisition": "src/acquisition",
    "nixel-reconstruction": "src/reconstruction",
    "nixel-safety": "services/safety",
    "nixel-update": "services/update",
    "nixel-imaging": "services/imaging",
}
PACKAGES = ("default", "nixel", "nixel-demo", "nixel-page", *DISTRIBUTIONS)
WEB = nix_tools.ROOT / "services/imaging/web"


def project(name):
    return tomllib.loads((nix_tools.ROOT / DISTRIBUTIONS[name] / "pyproject.toml").read_text())


# What a list of Python packages is: name, as Python spells it, and version.
NAMED = "map (each: { name = each.pname; inherit (each) version; })"


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_package_instantiates(nixpkgs, system):
    listed = " ".join(f'"{name}"' for name in PACKAGES)
    found = nixpkgs.evaluate(
        f"packages.{system}", apply=f"all: map (name: all.${{name}}.drvPath) [ {listed} ]"
    )
    assert all(path.endswith(".drv") for path in found)
    assert len(set(found)) == len(PACKAGES) - 1  # the default is nixel
    assert nixpkgs.evaluate(f"devShells.{system}.default.drvPath").endswith(".drv")
    assert re.fullmatch(r"/nix/store/.*/bin/nixel-demo", nixpkgs.evaluate(f"apps.{system}.default.program"))


def test_the_shell_has_the_command_of_the_page_on_many_machines(nixpkgs):
    # `nix develop --command dask scheduler`: the command is dask's, what it does there is distributed's, and both must
    # be of one environment, which links what its modules have in bin/.
    page = (nix_tools.ROOT / "docs/cluster.md").read_text()
    assert {"dask scheduler", "dask worker"} <= set(re.findall(r"nix develop --command (\w+ \w+)", page))
    environments = nixpkgs.evaluate(
        "devShells.x86_64-linux.default",
        apply="shell: map (each: map (path: path.pname or path.name) (builtins.filter builtins.isAttrs "
        "(each.paths or [ ]))) shell.nativeBuildInputs",
    )
    assert any({"dask", "distributed"} <= set(names) for names in environments)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_formatter_instantiates(nixpkgs, system):
    if not nixpkgs.is_complete(system):
        pytest.skip("Nix, the formatter: this nixpkgs tree has no Haskell packages, of which nixfmt is built")
    assert nixpkgs.evaluate(f"formatter.{system}.drvPath").endswith(".drv")


def test_every_package_says_what_it_is(nixpkgs):
    listed = " ".join(f'"{name}"' for name in PACKAGES)
    about = nixpkgs.evaluate(
        "packages.x86_64-linux",
        apply=f"""all: builtins.listToAttrs (map (name: {{
          inherit name;
          value = {{ inherit (all.${{name}}.meta) description platforms; }};
        }}) [ {listed} ])""",
    )
    for name, meta in about.items():
        assert meta["description"], name
        assert set(SYSTEMS) <= set(meta["platforms"]), name
    for name in DISTRIBUTIONS:
        assert about[name]["description"] == project(name)["project"]["description"]


@pytest.fixture(scope="module")
def as_evaluated(nixpkgs):
    """Of each distribution: version, dependencies and build system as our expressions have them."""
    listed = " ".join(f'"{name}"' for name in DISTRIBUTIONS)
    return nixpkgs.evaluate(
        "packages.x86_64-linux",
        apply=f"""all: builtins.listToAttrs (map (name: {{
          inherit name;
          value = {{
            inherit (all.${{name}}) version;
            dependencies = {NAMED} all.${{name}}.dependencies;
            build-system = {NAMED} all.${{name}}.build-system;
          }};
        }}) [ {listed} ])""",
    )


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_dependencies_are_those_of_the_project(as_evaluated, name):
    written, evaluated = project(name), as_evaluated[name]
    assert evaluated["version"] == written["project"]["version"]
    for ours, theirs in (
        (written["project"]["dependencies"], evaluated["dependencies"]),
        (written["build-system"]["requires"], evaluated["build-system"]),
    ):
        asked = {Requirement(line).name.lower(): Requirement(line).specifier for line in ours}
        found = {each["name"].lower(): each["version"] for each in theirs}
        assert set(found) == set(asked)
        # And nixpkgs has each in a version that we can do with.
        too_old = {
            each: found[each] for each in asked if not asked[each].contains(found[each], prereleases=True)
        }
        assert not too_old, f"nixpkgs has {too_old}, we ask for {asked}"


@pytest.mark.parametrize("system", SYSTEMS)
def test_micro_manager_is_there_for_both_systems_as_the_lock_has_it(nixpkgs, system):
    found = nixpkgs.evaluate(
        f"packages.{system}",
        apply="""all: {
          inherit (all.pymmcore) drvPath version;
          hash = all.pymmcore.src.outputHash;
          with_it = (all.nixel.override { microManager = true; }).drvPath;
          without = all.nixel.drvPath;
        }""",
    )
    assert found["drvPath"].endswith(".drv")
    assert found["with_it"] != found["without"]
    lock = (nix_tools.ROOT / "requirements/dev.lock").read_text()
    [version, hashes] = re.search(r"^pymmcore==(\S+) .*\n((?:    --hash.*\n)+)", lock, re.MULTILINE).groups()
    assert found["version"] == version
    assert base64.b64decode(found["hash"].removeprefix("sha256-")).hex() in hashes


class Checkout:
    """A copy of what git knows of this checkout, and what nixpkgs with its overlay makes of it."""

    def __init__(self, folder):
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-z", "pkgs", "src", "services"],
            cwd=nix_tools.ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            source = nix_tools.ROOT / name
            if source.is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / name)

    def evaluate(self):
        """Name to (source, derivation), of the distributions and the page."""
        names = " ".join(f"{name} = null;" for name in DISTRIBUTIONS)
        expression = f"""
          let
            pkgs = import {nix_tools.in_store("nixpkgs")} {{
              system = "x86_64-linux";
              overlays = [ (import {self.folder}/pkgs) ];
            }};
            of = package: [ "${{package.src}}" package.drvPath ];
          in
          {{ nixel-page = of pkgs.nixel-page; }}
          // builtins.mapAttrs (name: _: of pkgs.python3Packages.${{name}}) {{ {names} }}
        """
        return json.loads(nix_tools.run("nix", "eval", "--json", "--impure", "--expr", expression))

    def append(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)


@pytest.fixture(scope="module")
def original(nixpkgs, tmp_path_factory):
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    return checkout.evaluate()


# What is changed; whose source that changes; what is built anew beside it.
CHANGES = [
    (
        "src/physics/nixel/physics/optics/transfer.py",
        "nixel-physics",
        {"nixel-acquisition", "nixel-reconstruction", "nixel-imaging"},
    ),
    ("services/safety/nixel/safety/core/step.py", "nixel-safety", {"nixel-acquisition", "nixel-imaging"}),
    ("services/safety/tests/test_core.py", "nixel-safety", {"nixel-acquisition", "nixel-imaging"}),
    (
        "src/acquisition/nixel/acquisition/instruments/virtual-scanner.toml",
        "nixel-acquisition",
        {"nixel-imaging"},
    ),
    ("services/update/nixel/update/cli.py", "nixel-update", set()),
    ("services/imaging/nixel/imaging/jobs.py", "nixel-imaging", set()),
    ("services/imaging/web/src/app.tsx", "nixel-page", set()),
    ("services/imaging/openapi.json", "nixel-page", set()),
]


@pytest.mark.parametrize(("changed", "source_of", "rebuilt"), CHANGES, ids=[change[0] for change in CHANGES])
def test_a_change_rebuilds_what_it_must_and_nothing_else(original, tmp_path, changed, source_of, rebuilt):
    checkout = Checkout(tmp_path)
    checkout.append(changed, "\n")
    found = checkout.evaluate()
    assert {name for name in found if found[name][0] != original[name][0]} == {source_of}
    assert {name for name in found if found[name][1] != original[name][1]} == {source_of} | rebuilt


def test_what_running_leaves_behind_changes_nothing(original, tmp_path):
    checkout = Checkout(tmp_path)
    for name in (
        "services/safety/nixel/safety/core/__pycache__/step.cpython-313.pyc",
        "services/safety/nixel_safety.egg-info/PKG-INFO",
        "services/imaging/web/node_modules/vite/package.json",
        "services/imaging/web/dist/index.html",
        "src/physics/README.md",
    ):
        checkout.append(name, "x")
    assert checkout.evaluate() == original


def test_the_locks_name_no_host():
    for path in (WEB / "package-lock.json", *(nix_tools.ROOT / "requirements").glob("*.lock")):
        assert "://" not in path.read_text(), path
    for path in (nix_tools.ROOT / "pkgs/page.nix", *(nix_tools.ROOT / "pkgs/python").glob("*.nix")):
        assert "://" not in path.read_text(), path


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_page_fetches_what_its_platform_needs(nixpkgs, system):
    lock = json.loads((WEB / "package-lock.json").read_text())["packages"]
    cpu = {"x86_64-linux": "x64", "aarch64-linux": "arm64"}[system]
    needed = json.loads(
        nixpkgs.flake(
            "eval --raw", f"packages.{system}.nixel-page", "--apply", "page: page.npmDeps.packageLock"
        )
    )["packages"]
    bindings = {path for path in needed if {"os", "cpu", "libc"} & set(lock[path])}
    assert bindings == {
        f"node_modules/@rolldown/binding-linux-{cpu}-gnu",
        f"node_modules/lightningcss-linux-{cpu}-gnu",
    }
    # Every one comes from a derivation; what must be there is there.
    assert all(entry["resolved"].startswith("file:/nix/store/") for path, entry in needed.items() if path)
    assert {path for path, entry in lock.items() if not entry.get("optional")} <= set(needed)


def trimmed(nixpkgs, packages, **platform):
    """A lock of these packages as npm-lock.nix leaves it: paths, and the root's optional dependencies."""
    target = {"os": "linux", "cpu": "x64", "libc": "glibc", **platform}
    expression = f"""
      let lock = import {nix_tools.ROOT}/pkgs/npm-lock.nix {{
        lib = import {nix_tools.in_store("nixpkgs")}/lib;
        packageLock.packages = builtins.fromJSON ''{json.dumps(packages)}'';
        platform = builtins.fromJSON ''{json.dumps(target)}'';
      }}; in {{
        paths = builtins.attrNames lock.packages;
        optional = builtins.attrNames lock.packages."".optionalDependencies or {{ }};
      }}
    """
    found = json.loads(nixpkgs.run("nix", "eval", "--json", "--impure", "--expr", expression))
    return set(found["paths"]) - {""}, found["optional"]


def test_an_inner_copy_is_found_before_an_outer_one(nixpkgs):
    packages = {
        "": {"devDependencies": {"@a/one": "1"}},
        "node_modules/@a/one": {"dependencies": {"two": "1"}, "peerDependencies": {"absent": "1"}},
        "node_modules/@a/one/node_modules/two": {"dependencies": {"three": "1"}},
        "node_modules/two": {},
        "node_modules/three": {"dependencies": {"@a/one": "1"}},
        "node_modules/unasked": {},
    }
    paths, _ = trimmed(nixpkgs, packages)
    assert paths == {"node_modules/@a/one", "node_modules/@a/one/node_modules/two", "node_modules/three"}


@pytest.mark.parametrize(
    ("limits", "fits"),
    [
        ({"os": ["linux", "darwin"]}, True),
        ({"os": ["darwin"]}, False),
        ({"os": ["!win32"]}, True),
        ({"os": ["!linux"]}, False),
        ({"cpu": ["arm64"]}, False),
        ({"os": ["linux"], "cpu": ["x64"], "libc": ["musl"]}, False),
        ({"os": ["linux"], "cpu": ["x64"], "libc": ["glibc"]}, True),
    ],
)
def test_what_another_platform_needs_is_left_out_with_what_it_needs(nixpkgs, limits, fits):
    packages = {
        "": {"optionalDependencies": {"binding": "1"}},
        "node_modules/binding": {**limits, "dependencies": {"helper": "1"}},
        "node_modules/helper": {},
    }
    everything = {"node_modules/binding", "node_modules/helper"}
    assert trimmed(nixpkgs, packages) == ((everything, ["binding"]) if fits else (set(), []))
