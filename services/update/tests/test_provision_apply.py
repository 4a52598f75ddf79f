"""A provisioning on a machine made of folders: applied, applied again, cut off at every step, refused."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from hypothesis import given
from provisioning import KEY, KNOWN, PSK, SHA512, WHOLE, YESCRYPT, provisions

from nixel.update.provision import commands, parse, plan
from nixel.update.provision.apply import ERRORS, INPUT, MARK, NOTE, apply, present
from nixel.update.provision.cli import main
from nixel.update.provision.plan import PASSWORDS, STATE, WIRELESS, Write

SECRETS = (PSK, YESCRYPT, SHA512)


class Machine:
    def __init__(self, folder, text=WHOLE) -> None:
        self.boot = folder / "boot"
        self.root = folder / "root"
        self.boot.mkdir(parents=True)
        self.root.mkdir()
        (self.boot / "kernel.img").write_bytes(b"kernel")
        (self.boot / INPUT).write_text(text)

    def apply(self):
        return apply(self.boot, self.root, KNOWN)

    def at(self, path):
        return self.root / path.lstrip("/")

    def state(self):
        """Everything on the machine: kind, mode, content."""
        found = {}
        for base in (self.boot, self.root):
            for path in sorted(base.rglob("*")):
                mode = path.lstat().st_mode
                content = path.readlink() if path.is_symlink() else path.is_file() and path.read_bytes()
                found[str(path.relative_to(base.parent))] = (oct(mode), content)
        return found


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_every_value_stands_where_the_system_looks_for_it(machine):
    assert machine.apply().problems == ()
    read = {
        path: machine.at(f"{STATE}/{path}").read_text() for path in ("hostname", "locale.conf", "keyboard")
    }
    assert read == {
        "hostname": "scanner-07\n",
        "locale.conf": "LANG=de_DE.UTF-8\n",
        "keyboard": "XKB_DEFAULT_LAYOUT=de\nXKB_DEFAULT_VARIANT=\n",
    }
    assert "KEYMAP=de-latin1\n" in machine.at(f"{STATE}/vconsole.conf").read_text()
    assert str(machine.at(f"{STATE}/localtime").readlink()) == "/etc/zoneinfo/Europe/Berlin"
    wired = machine.at(f"{STATE}/wired.network").read_text().splitlines()
    assert wired[:2] == ["[Match]", "Name=en*"]
    assert {"Address=192.168.1.20/24", "Gateway=192.168.1.1", "DNS=192.168.1.1", "DNS=2001:db8::53"} <= set(
        wired
    )
    # iwd's rule for a name that is not plain: its UTF-8 bytes in hexadecimal.
    wireless = machine.at(f"{WIRELESS}/=4b6c696e696b2047c3a4737465.psk")
    assert wireless.read_text() == f"[Security]\nPreSharedKey={PSK}\n"
    assert machine.at(f"{STATE}/keys/technician").read_text() == KEY + "\n"
    assert machine.at(f"{STATE}/keys/operator").read_text() == ""
    assert machine.at(f"{PASSWORDS}/operator").read_text() == YESCRYPT + "\n"
    assert machine.at(f"{PASSWORDS}/technician").read_text() == SHA512 + "\n"


@pytest.mark.parametrize("mask", [0, 0o077])
def test_secrets_are_root_s_alone_and_keys_are_readable_by_sshd(machine, mask):
    umask = os.umask(mask)
    try:
        machine.apply()
    finally:
        os.umask(umask)
    secret = 0
    for path in machine.root.rglob("*"):
        if path.is_file() and any(each in path.read_text() for each in SECRETS):
            secret += 1
            assert path.stat().st_mode & 0o777 == 0o600, path
            assert path.parent.stat().st_mode & 0o777 == 0o700, path
        elif not path.is_symlink():
            # sshd refuses keys that a group or others may write, anywhere above them.
            assert path.stat().st_mode & 0o022 == 0, path
    assert secret == 3
    for path in ("keys", "keys/technician"):
        assert machine.at(f"{STATE}/{path}").stat().st_mode & 0o004


def test_a_state_folder_that_was_too_open_is_closed(machine):
    machine.at(PASSWORDS).mkdir(parents=True)
    machine.at(PASSWORDS).chmod(0o777)
    machine.apply()
    assert machine.at(PASSWORDS).stat().st_mode & 0o777 == 0o700


def test_the_secrets_leave_the_boot_partition(machine):
    told = machine.apply().text
    assert sorted(each.name for each in machine.boot.iterdir()) == ["kernel.img", NOTE]
    note = (machine.boot / NOTE).read_text()
    assert note == told
    assert "flash storage" in note
    assert "may keep the old ones" in note
    for secret in (*SECRETS, KEY):
        assert secret not in note


def test_the_file_is_overwritten_in_place_before_it_is_removed(machine, monkeypatch):
    source = machine.boot / INPUT
    os.link(source, machine.boot / "same-blocks")  # what the blocks hold when the name is gone
    length = source.stat().st_size
    machine.apply()
    left = (machine.boot / "same-blocks").read_bytes()
    assert len(left) == length
    assert left.strip() == MARK.strip()


def test_again_is_the_same(machine):
    machine.apply()
    first = machine.state()
    (machine.boot / INPUT).write_text(WHOLE)
    machine.apply()
    assert machine.state() == first


def test_a_later_file_changes_only_what_it_names(machine):
    machine.apply()
    before = machine.state()
    (machine.boot / INPUT).write_text('[network]\naddress = "dhcp"\n')
    machine.apply()
    after = machine.state()
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {
        "root" + f"{STATE}/wired.network",
        "root" + f"{STATE}/applied.json",
        f"boot/{NOTE}",
    }
    assert "DHCP=yes" in machine.at(f"{STATE}/wired.network").read_text()


def test_the_key_of_a_network_no_longer_used_goes(machine):
    machine.apply()
    (machine.boot / INPUT).write_text(f'[wifi]\nssid = "New-AP 5"\npsk = "{"0" * 64}"\n')
    machine.apply()
    assert [each.name for each in machine.at(WIRELESS).iterdir()] == ["New-AP 5.psk"]


def test_an_account_that_loses_its_password_is_locked(machine):
    machine.apply()
    (machine.boot / INPUT).write_text(f'[technician]\nssh-keys = ["{KEY}"]\n')
    machine.apply()
    assert machine.at(f"{PASSWORDS}/technician").read_text() == "!\n"


def test_the_marker_names_the_input_and_holds_no_secret(machine):
    machine.apply()
    marker = machine.at(f"{STATE}/applied.json")
    assert marker.stat().st_mode & 0o777 == 0o600
    sha = subprocess.run(["sha256sum"], input=WHOLE.encode(), capture_output=True, check=True).stdout.split()[
        0
    ]
    assert json.loads(marker.read_text())["input_sha256"] == sha.decode()


# --- refused ---


@pytest.mark.parametrize(
    "content",
    [
        WHOLE.replace('"de"', '"xx"').encode(),
        WHOLE.encode("utf-16"),
        b"\xff" + WHOLE.encode(),
        b"#" * 70_000,
        b"",
        WHOLE.encode()[:300],
    ],
    ids=["one wrong key", "UTF-16", "no UTF-8", "too long", "empty", "cut short"],
)
def test_a_refused_file_changes_nothing_and_says_why_where_it_lies(machine, content):
    (machine.boot / INPUT).write_bytes(content)
    before = machine.state()
    outcome = machine.apply()
    assert outcome.problems
    after = machine.state()
    told = after.pop(f"boot/{ERRORS}")[1].decode()
    assert after == before
    assert told == outcome.text
    assert "was refused and nothing was changed" in told
    for problem in outcome.problems:
        assert str(problem) in told
    for secret in SECRETS:
        assert secret not in told


def test_what_was_applied_before_survives_a_refused_file(machine):
    machine.apply()
    before = machine.state()
    (machine.boot / INPUT).write_text('[operator]\npassword = "plain"\n')
    machine.apply()
    after = machine.state()
    assert {path for path in after if after[path] != before.get(path)} == {f"boot/{INPUT}", f"boot/{ERRORS}"}


def test_a_corrected_file_takes_the_errors_away(machine):
    (machine.boot / INPUT).write_text("keyboard = 7")
    machine.apply()
    assert (machine.boot / ERRORS).exists()
    (machine.boot / INPUT).write_text(WHOLE)
    machine.apply()
    assert not (machine.boot / ERRORS).exists()


# --- cut off ---


class PowerCutError(BaseException):
    """Nothing may handle it: no clean-up code runs when the power goes."""


CHANGES = ("mkdir", "chmod", "fchmod", "write", "fsync", "replace", "unlink", "symlink")


def cut_after(monkeypatch, steps):
    """Let so many changes to the disk happen; of the next one only half of what it writes, and nothing after it."""
    left = steps

    def wrap(name, real):
        def changed(*arguments, **keywords):
            nonlocal left
            if left <= 0:
                if left == 0 and name == "write":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                left -= 1
                raise PowerCutError(name)
            left -= 1
            return real(*arguments, **keywords)

        return changed

    for name in CHANGES:
        monkeypatch.setattr(os, name, wrap(name, getattr(os, name)))


def run_cut(machine, steps):
    """Apply with the power going after so many changes; whether it went."""
    with pytest.MonkeyPatch.context() as patch:
        cut_after(patch, steps)
        try:
            machine.apply()
        except PowerCutError:
            return True
    return False


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("finished"))
    machine.apply()
    return machine.state()


def test_the_power_may_go_at_any_step(tmp_path, finished):
    steps = 0
    while True:
        machine = Machine(tmp_path / str(steps))
        cut = run_cut(machine, steps)
        # Whatever is readable by others in between, no secret is.
        for path in machine.root.rglob("*"):
            if path.is_file() and path.stat().st_mode & 0o077:
                assert not any(secret in path.read_text() for secret in SECRETS)
        if not cut:
            break
        if (machine.boot / INPUT).exists():
            assert machine.apply().problems == ()
        assert machine.state() == finished, steps
        steps += 1
    assert steps > 60  # a dozen files, several steps each


def test_the_power_may_go_twice(tmp_path, finished):
    for first in range(0, 90, 7):
        for second in range(0, 90, 11):
            machine = Machine(tmp_path / f"{first}-{second}")
            run_cut(machine, first)
            if (machine.boot / INPUT).exists():
                run_cut(machine, second)
            if (machine.boot / INPUT).exists():
                machine.apply()
            assert machine.state() == finished, (first, second)


def test_a_full_disk_is_told_and_the_file_stays(machine, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "hostname")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert main(["apply", "--boot", str(machine.boot), "--root", str(machine.root)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert (machine.boot / INPUT).read_text() == WHOLE


# --- plan and commands ---


@given(provisions)
def test_a_plan_writes_only_where_it_says_and_hides_every_secret(provision):
    for effect in plan(provision):
        path = getattr(effect, "path", getattr(effect, "folder", ""))
        assert path == STATE or path.startswith((STATE + "/", WIRELESS))
        assert ".." not in path.split("/")
        if isinstance(effect, Write):
            secrets = [account.password_hash for account in provision.accounts]
            secrets += [provision.wifi.psk] if provision.wifi else []
            if any(secret.encode() in effect.content for secret in secrets):
                assert effect.mode == 0o600


@given(provisions)
def test_no_value_breaks_out_of_its_line(provision):
    for effect in plan(provision):
        if isinstance(effect, Write) and effect.path.endswith((".psk", "hostname", "locale.conf")):
            assert len(effect.content.splitlines()) == (2 if effect.path.endswith(".psk") else 1)


def test_commands_put_into_effect_what_is_there():
    assert commands([]) == []
    assert commands([f"{STATE}/locale.conf", f"{STATE}/keys"]) == []
    assert commands([f"{STATE}/{name}" for name in ("hostname", "vconsole.conf", "passwords")]) == [
        ("hostname", "-F", f"{STATE}/hostname"),
        ("systemctl", "restart", "systemd-vconsole-setup.service"),
        ("systemctl", "restart", "userborn.service"),
    ]


def test_activate_runs_them_all_and_tells_of_those_that_fail(machine, tmp_path, monkeypatch, capsys):
    machine.apply()
    assert f"{STATE}/hostname" in present(machine.root)
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, status in (("hostname", 0), ("systemctl", 1)):
        (programs / name).write_text(f'#!/bin/sh\necho "$0 $@" >> {tmp_path}/ran\nexit {status}\n')
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    assert main(["activate", "--root", str(machine.root)]) == 1
    assert len((tmp_path / "ran").read_text().splitlines()) == 3
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert all("ended with 1; see its journal" in line for line in told)


def test_the_command_applies_refuses_and_knows_when_there_is_nothing(machine, capsys):
    arguments = ["apply", "--boot", str(machine.boot), "--root", str(machine.root)]
    assert main([*arguments, "--locale", "en_US.UTF-8"]) == 1
    assert "locale: found" in capsys.readouterr().err
    assert not any(machine.root.iterdir())
    assert main([*arguments, "--locale", "de_DE.UTF-8"]) == 0
    assert "was applied and removed" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "nothing to apply" in capsys.readouterr().out


def test_a_plan_is_the_same_for_the_same_file():
    assert plan(parse(WHOLE, KNOWN)) == plan(parse(WHOLE, KNOWN))
