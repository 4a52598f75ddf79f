#!/usr/bin/env python3
"""The systemd units as they are rendered, and the copies that are kept for review.

python tests/nix/golden_units.py        writes the copies in tests/nix/golden anew
"""

import json
import re

import nix_tools

FOLDER = nix_tools.ROOT / "tests" / "nix" / "golden"
INSTRUMENT = ("nixel-imaging.service", "nixel-imaging.socket", "nixel-safety.service")
# Before anybody enters: the accounts and the network, and in the first stage of the start the machine's identity.
FIRST = ("nixel-machine-id.service", "nixel-provision.service", "nixel-provision-activate.service")
SERIAL = ("nixel-virtual-environment.service", "nixel-virtual-stage.service")
UPDATE = (
    "nixel-update-collect.service",
    "nixel-update-offer@.service",
    "nixel-update-resume.service",
    "nixel-update-stick@.service",
)
# Which units of which machine: a real instrument, one that needs no network at all, and the simulated one.
UNITS = {
    "scanner": (*INSTRUMENT, *FIRST, *UPDATE, "nixel-vnc.service"),
    "microscope": (
        *(*INSTRUMENT, *FIRST, *SERIAL),
        *("nixel-virtual-microscope.service", "nixel-virtual-panel.service"),
    ),
    "demo-vm": (*INSTRUMENT, "nixel-virtual-scanner.service"),
}
# Of these the manager is that of the operator's session.
USER = ("nixel-vnc.service",)


def rendered():
    """The units' text by (machine, unit)."""
    # No host enables the view of the screen; the scanner stands for one that does.
    apply = f"""machines:
      let
        configurations = builtins.mapAttrs (_: machine: machine.config) machines // {{
          scanner = (machines.scanner.extendModules {{
            modules = [ {{ nixel.support.vnc.enable = true; }} ];
          }}).config;
        }};
        units = machine: with configurations.${{machine}};
          systemd.units // systemd.user.units // boot.initrd.systemd.units;
        asked = builtins.fromJSON {json.dumps(json.dumps(UNITS))};
      in
      builtins.mapAttrs
        (machine: builtins.foldl' (found: unit: found // {{ ${{unit}} = (units machine).${{unit}}.text; }}) {{ }})
        asked"""
    found = nix_tools.evaluate("nixosConfigurations", apply=apply)
    return {(machine, unit): text for machine, units in found.items() for unit, text in units.items()}


def normalised(text):
    """A unit without what changes with every nixpkgs: hashes and versions of store paths, and empty lines."""

    def path(match):
        name = re.sub(r"-\d[\w.+]*(-\d+)?(?=-bin$|$)", "", match[1])
        return f"/nix/store/{re.sub(r'^python3[.][0-9]+-', 'python3-', name)}"

    text = re.sub(r"/nix/store/[0-9a-z]{32}-([\w.+?=-]+)", path, text)
    return "\n".join(line for line in text.splitlines() if line) + "\n"


def main():
    """Write the copies anew."""
    for (machine, unit), text in rendered().items():
        (FOLDER / machine).mkdir(parents=True, exist_ok=True)
        (FOLDER / machine / unit).write_text(normalised(text))
        print(FOLDER / machine / unit)


if __name__ == "__main__":
    main()
