"""Evaluate a small system with our modules: `minimal.nix` from Python."""

import json

import nix_tools

FOLDER = nix_tools.ROOT / "tests" / "nix"


def evaluate(expression):
    """The JSON value of a Nix expression that may name `evaluated`, `messages`, `options` and `lib`."""
    nixpkgs = nix_tools.in_store("nixpkgs")
    apply = (
        f"modules: let inherit (import {FOLDER}/minimal.nix {{ nixpkgs = {nixpkgs}; inherit modules; }}) "
        f"evaluated messages options; lib = import {nixpkgs}/lib; in {expression}"
    )
    # The tree is named by its store path, which only an impure evaluation may look at.
    return json.loads(nix_tools.flake("eval --json --impure", "nixosModules", "--apply", apply))


def bad(table):
    """What each of some configurations is refused for, by its name."""
    rows = "".join(f"{json.dumps(name)} = messages {{ {text} }};\n" for name, (text, _) in table.items())
    return evaluate(f"{{ {rows} }}")


def words(message):
    """A message in one line."""
    return " ".join(message.split())


def undescribed(prefix):
    """Those options below a name that lack a description or an example."""
    return evaluate(
        f"""map (option: option.name) (builtins.filter
              (option: (option.description.text or (option.description or "")) == "" || !(option ? example))
              (builtins.filter (option: !option.internal) (lib.optionAttrSetToDocList options.{prefix})))"""
    )


def properties(unit):
    """A unit's settings: every value of each key."""
    found = {}
    for line in unit.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            found.setdefault(key, []).append(value)
    return found
