"""The first start of a machine with nixel.toml on its boot partition, and a stick that is plugged in there."""

import re

import pytest
import systems
from instrument import OTHERS

# The first time everything is built.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PROVISION, ACTIVATE = "nixel-provision.service", "nixel-provision-activate.service"
STATE = "/var/lib/nixel-provision"
PSK = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"


@pytest.fixture(scope="module")
def secrets(lab):
    """A password's hash and a public key, as a person would make them."""
    hashed = lab.developer.run("openssl passwd -6 correct-horse").strip()
    return hashed, lab.developer.read("/root/.ssh/id_ed25519.pub").strip()


@pytest.fixture(scope="module")
def provisioned(lab, bare, secrets):
    hashed, key = secrets
    made = bare("fresh", system=systems.build(lab, "demo-vm", "1.0", date=1000))
    # The module has nobody's key; this is as it writes a developer's.
    made.machine.write("/etc/nixel/update.toml", f'trusted-keys = ["{lab.key}"]\n')
    made.machine.write(
        "/boot/nixel.toml",
        f"""host-name = "scanner-07"
time-zone = "Europe/Berlin"
keyboard = "de"
[network]
address = "192.0.2.7/24"
[wifi]
ssid = "Clinic"
psk = "{PSK}"
[technician]
password-hash = "{hashed}"
ssh-keys = ["{key}"]
""",
    )
    made.machine.reboot()
    return made


def mode(machine, path):
    return machine.run(["stat", "--format", "%a %U:%G", path]).strip()


def test_the_file_is_applied_at_the_first_start_and_gone(provisioned, secrets):
    machine = provisioned.machine
    for unit in (PROVISION, ACTIVATE):
        assert provisioned.show(unit, "ActiveState") == "active", unit
    assert machine.run("ls /boot/nixel.toml 2>/dev/null || true") == ""
    assert PSK not in machine.run("grep -r . /boot || true")
    assert machine.read(f"{STATE}/passwords/technician").strip() == secrets[0]
    assert mode(machine, f"{STATE}/passwords/technician") == "600 root:root"
    assert secrets[1] in machine.read(f"{STATE}/keys/technician")
    assert mode(machine, "/var/lib/iwd/Clinic.psk") == "600 root:root"
    assert "Address=192.0.2.7/24" in machine.read(f"{STATE}/wired.network")


def test_it_is_in_effect_at_the_same_start(provisioned):
    machine = provisioned.machine
    assert machine.run("hostname").strip() == "scanner-07"
    assert sorted(machine.read("/run/restarted").split()) == sorted(OTHERS)


def test_a_wrong_file_changes_nothing_and_says_why(provisioned):
    machine = provisioned.machine
    before = machine.run(f"grep -r . {STATE} | sort")
    machine.write("/boot/nixel.toml", 'host-name = "other"\n[technician]\npassword = "plain"\n')
    done = machine.attempt(f"systemctl restart {PROVISION}")
    assert done.returncode == 1
    assert "technician.password" in machine.read("/boot/nixel-errors.txt")
    assert machine.run(f"grep -r . {STATE} | sort") == before
    machine.run(f"rm /boot/nixel.toml && systemctl reset-failed {PROVISION}")


def test_the_next_start_keeps_it(provisioned):
    provisioned.machine.reboot()
    assert provisioned.machine.run("hostname").strip() == "scanner-07"
    assert provisioned.show(PROVISION, "ConditionResult") == "no"
    assert provisioned.show(ACTIVATE, "ActiveState") == "active"


@pytest.fixture
def stick(lab, provisioned, capsys):
    """A stick with a newer system, mounted by its unit; but a container has no block device for it."""
    with capsys.disabled():
        print(
            "\n  not tried in a container: udev's rule for sticks, and their file systems: a folder is mounted"
        )
    lab.stick("usb")
    new = systems.build(lab, "demo-vm", "2.0", date=2000, packages={"imaging": "2.0"})
    write = "usb write /lab/sticks/usb demo-vm --note 'for the clinic' --key /root/nixel-lab-1.key"
    lab.developer.run(f"/opt/nixel/deploy.sh {write} --system demo-vm={new}")
    machine = provisioned.machine
    place = machine.plug("usb", read_only=True)
    # The unit itself, without the device that it is bound to.
    unit = provisioned.units["nixel-update-stick@.service"]
    unit = re.sub(r"^(After|BindsTo)=.*\n", "", unit, flags=re.MULTILINE)
    unit = unit.replace("--types vfat,exfat --options ", "--options bind,").replace("/dev/%I", str(place))
    assert f"bind,ro,nosuid,nodev,noexec {place}" in unit
    machine.write("/run/systemd/system.control/nixel-update-stick@.service", unit)
    machine.run("systemctl daemon-reload")
    yield
    machine.run("systemctl stop nixel-update-stick@sdz.service")


def test_a_stick_is_checked_and_announced_from_behind_its_walls(provisioned, stick):
    machine = provisioned.machine
    machine.run("systemctl start nixel-update-offer@sdz.service")
    said = machine.read("/run/nixel-update/motd")
    assert "A stick is plugged in." in said
    for word in ("2.0", "for the clinic", "sudo nixel-update install"):
        assert word in said, said
    assert machine.read("/run/issue.d/nixel-update.issue") == said.replace("\\", "\\\\")

    machine.run("systemctl stop nixel-update-stick@sdz.service")
    machine.wait("! systemctl is-active --quiet nixel-update-offer@sdz.service")
    assert machine.run("find /run/nixel-update /run/issue.d -type f") == ""
    assert machine.run("ls /run/nixel-update/stick") == ""


def test_what_nobody_needs_is_removed_and_the_system_is_not(provisioned):
    machine = provisioned.machine
    old = machine.run("nix-store --add /etc/hostname").strip()
    machine.run("systemctl start nixel-update-collect.service")
    assert machine.attempt(["test", "-e", old]).returncode == 1
    machine.run(["test", "-e", provisioned.python])
    machine.run("test -e /run/current-system/")
