"""The modules: what they refuse and in which words, what their options say, how they are written."""

import re

import nix_tools
import pytest

ROOT = nix_tools.ROOT
OURS = [
    ROOT / "flake.nix",
    *(path for each in ("nixos", "pkgs") for path in sorted((ROOT / each).rglob("*.nix"))),
]
BAD = (ROOT / "tests" / "nix" / "bad_configurations.nix").read_text()

OPTIONS = """machines:
  let
    inherit (machines.demo-vm) options;
    inherit (machines.demo-vm.pkgs) lib;
  in
  map
    (option: {
      inherit (option) name;
      description = option.description.text or (option.description or "");
      example = option ? example;
      internal = option.internal || option.visible == false;
    })
    (builtins.filter (option: builtins.head option.loc == "nixel" || lib.hasPrefix "services.nixel" option.name)
      (lib.optionAttrSetToDocList {
        inherit (options) nixel;
        services = { inherit (options.services) nixel; };
      }))
"""


@pytest.fixture(scope="module")
def refused(nixpkgs):
    """What is found and what is expected of each bad configuration, by its name."""
    return nixpkgs.evaluate("nixosConfigurations", apply=BAD)


def test_bad_configurations_are_refused_in_plain_words(refused):
    assert len(refused) >= 20
    for name, row in refused.items():
        found = [" ".join(message.split()) for message in row["found"]]
        for expected in row["expected"]:
            assert any(expected in message for message in found), f"{name}: expected {expected!r} in {found}"


def test_messages_say_what_to_do(refused):
    ours = re.compile(r"^(services\.nixel|nixel\.|users\.|system\.)")
    for name, row in refused.items():
        messages = [message for message in row["found"] if ours.match(message)]
        assert messages, name
        for message in messages:
            assert re.search(r"\b(Set|Keep|Leave|Name|Enable)\b", message), f"{name}: {message}"


@pytest.fixture(scope="module")
def options(nixpkgs):
    return [
        option for option in nixpkgs.evaluate("nixosConfigurations", apply=OPTIONS) if not option["internal"]
    ]


def test_every_option_is_described_with_an_example(options):
    names = {option["name"] for option in options}
    for expected in (
        "nixel.base.enable",
        "nixel.cache.from",
        "nixel.instrument.settings.instrument.simulated",
        "services.nixel.imaging.reach",
        "services.nixel.safety.devices",
    ):
        assert expected in names
    for option in options:
        assert option["description"].strip(), f"{option['name']} has no description"
        assert option["example"], f"{option['name']} has no example"


def test_the_checks_instantiate(nixpkgs):
    drawn = nixpkgs.evaluate("checks.x86_64-linux", apply="builtins.mapAttrs (_: check: check.drvPath)")
    modules = nixpkgs.evaluate("nixosModules", apply="builtins.attrNames")
    assert {f"vm-{name}" for name in modules if name != "default"} | {"option-documentation"} <= set(drawn)
    for derivation in drawn.values():
        assert nix_tools.on_host(derivation).is_file()


def without_comments(path):
    return "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_style(path):
    text = path.read_text()
    code = without_comments(path)
    assert not re.search(r"\bwith (lib|builtins|pkgs);", code), "name what you use: inherit (lib) …"
    assert not re.search(r"builtins\.fetch|\bfetchTarball\b|\bgetFlake\b", code), "everything is in the lock"
    assert not re.search(r"\bimport <|\breadFile \"?\$\{", code), "nothing is built to be evaluated"
    assert "\t" not in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    for number, line in enumerate(text.splitlines(), 1):
        assert line == line.rstrip(), f"line {number} ends in blanks"
        assert (len(line) - len(line.lstrip(" "))) % 2 == 0, (
            f"line {number} is indented by an odd number of blanks"
        )
        if line.lstrip().startswith("#"):
            assert len(line) <= 120, f"line {number} is a comment of {len(line)} characters, more than 120"
    assert len(text.splitlines()) < 400


def test_a_module_that_is_merely_imported_does_nothing(nixpkgs):
    apply = """machines: let inherit (machines.demo-vm.options) nixel; in
      builtins.mapAttrs (name: _: nixel.${name}.enable.default)
        { base = 1; cache = 1; devices = 1; gpu = 1; update = 1; }
      // { virtual = nixel.instrument.virtual.enable.default; }"""
    assert not any(nixpkgs.evaluate("nixosConfigurations", apply=apply).values())
