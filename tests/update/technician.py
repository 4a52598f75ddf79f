"""What docs/technician.md shows, done again: a realistic update on a test machine, and what stands on its screen."""

import installs
import systems
from installs import DATE, DAY, Terminal

SERVICES = {
    "nixel-imaging": "[Service]\nExecStart=/bin/imaging\n",
    "nixel-safety": "[Service]\nExecStart=/bin/safety\n",
}
PACKAGES = {
    "nixel-imaging": "0.4.1",
    "nixel-safety": "0.4.1",
    "openssl": "3.4.1",
    "python3": "3.13.4",
    "linux": "6.12.58",
}
NEWER = {"nixel-imaging": "0.5.0", "openssl": "3.4.3", "linux": "6.12.63"}


def offers(lab):
    """The system of scanner, the one that comes, and one of another machine."""
    old = systems.build(
        lab,
        "scanner",
        "0.4.1",
        DATE,
        packages=PACKAGES,
        services=SERVICES,
        kernel="6.12.58",
        files={"nixel/imaging.toml": "exposure_ms = 10\n"},
    )
    new = systems.build(
        lab,
        "scanner",
        "0.5.0",
        DATE + 28 * DAY,
        packages={**PACKAGES, **NEWER},
        services={**SERVICES, "nixel-imaging": "[Service]\nExecStart=/bin/imaging --quick\n"},
        kernel="6.12.63",
        files={"nixel/imaging.toml": "exposure_ms = 8\n"},
    )
    return old, new, systems.build(lab, "bench", "0.5.0", DATE)


def typed(machine, command, answer=None, meanwhile=None):
    """What stands on the screen after a command; `answer` is what is typed, `meanwhile` what happens then."""
    terminal = Terminal(machine, ["sudo", *command.split()], user="technician")
    if answer is not None:
        terminal.wait_for("[y/N] ")
        terminal.type(f"{answer}\n")
    if meanwhile is not None:
        meanwhile()
    _, said = terminal.end()
    return f"$ sudo {command}\n{said}"


def screens(lab, start):
    """Every screen of the page, by its name.

    Parameters
    ----------
    lab
        The lab.
    start
        Starts a machine, as `Lab.start`.

    Returns
    -------
    dict
        Text as it came to a terminal.
    """
    old, new, other = offers(lab)
    installs.written(lab, "usb", {"scanner": new}, "--note", "Pictures come twice as fast")
    installs.written(lab, "bench", {"bench": other})
    shown = {}

    machine = start("scanner", system=old, sudo=True)
    machine.run("echo 127.0.1.1 scanner >> /etc/hosts")
    # The services run, so that the machine can say what happens to them.
    for name in SERVICES:
        machine.run(f"systemd-run --quiet --unit={name} sleep infinity")
    machine.plug("bench")
    shown["refused"] = typed(machine, "nixel-update install /media/bench")
    machine.plug("usb")
    installs.hold(machine, "nix", 1, " copy ")
    back = []

    def pull():
        installs.wait_held(machine, "nix")
        back.append(installs.rip_out(machine, "usb"))
        installs.let_go(machine, "nix")

    shown["not installed"] = typed(machine, "nixel-update install /media/usb", "y", pull)
    back[0]()
    machine.plug("usb")
    machine.run("rm /usr/local/bin/nix")
    machine.write("/etc/rig/devices/camera", "")
    systems.order(machine, "test", "0.5.0", "hang")

    def unplug():
        systems.wait_for_call(machine, "test", "0.5.0")
        machine.run("rm /etc/rig/devices/camera")
        systems.take_back(machine, "test", "0.5.0")

    shown["taken back"] = typed(machine, "nixel-update install /media/usb", "y", unplug)
    shown["done"] = typed(machine, "nixel-update install /media/usb", "y")
    shown["status"] = typed(machine, "nixel-update status")
    shown["history"] = typed(machine, "nixel-update history")

    systems.order(machine, "boot", "0.4.1", "fail 1 late")
    systems.order(machine, "boot", "0.5.0", "fail")
    typed(machine, "nixel-update rollback", "y")
    machine.wait_boot(2)
    machine.wait("grep -q stuck /var/lib/nixel-update/history.jsonl")
    shown["needs help"] = typed(machine, "nixel-update status")
    installs.discard(lab, "usb")
    installs.discard(lab, "bench")
    return shown
