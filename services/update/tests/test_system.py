"""What a machine runs and what its next start brings, on a root folder made of links."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from nixel.update.cli import main
from nixel.update.system import judge, look, resolve

STORE = "/nix/store"


class Machine:
    """A root folder with systems in its store, linked as NixOS links them: absolutely."""

    def __init__(self, root) -> None:
        self.root = root
        for folder in ("etc", "run", "nix/var/nix/profiles", "nix/store"):
            (root / folder).mkdir(parents=True)
        (root / "etc/NIXOS").touch()

    def link(self, place: str, target: str) -> None:
        path = self.root / place.lstrip("/")
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def system(self, name: str, version: str = "", kernel: str = "6.12", initrd: str = "a") -> str:
        path = f"{STORE}/{name}"
        folder = self.root / path.lstrip("/")
        folder.mkdir()
        if version:
            (folder / "nixos-version").write_text(version + "\n")
        for part, target in [
            ("kernel", f"linux-{kernel}/bzImage"),
            ("initrd", f"initrd-{initrd}/initrd"),
            ("kernel-modules", f"linux-{kernel}-modules"),
        ]:
            made = self.root / STORE.lstrip("/") / target
            made.parent.mkdir(exist_ok=True)
            made.touch()
            self.link(f"{path}/{part}", f"{STORE}/{target}")
        return path

    def boots(self, system: str, generation: int) -> None:
        self.link(f"/nix/var/nix/profiles/system-{generation}-link", system)
        self.link("/nix/var/nix/profiles/system", f"system-{generation}-link")


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    old = made.system("aaa-nixos-system-scanner", "26.05.1")
    made.link("/run/current-system", old)
    made.link("/run/booted-system", old)
    made.boots(old, 41)
    return made


def stands(machine):
    return judge(look(machine.root))


def test_a_machine_that_nobody_has_touched_since_its_start(machine):
    standing = stands(machine)
    assert standing.found.running.path == "/nix/store/aaa-nixos-system-scanner"
    assert (standing.next_start_changes, standing.restart_needed) == (False, False)
    assert standing.sentences == (
        "This machine runs 26.05.1 (/nix/store/aaa-nixos-system-scanner).",
        "The next start brings the same system, generation 41.",
        "No restart is needed.",
    )


def test_a_system_on_trial_is_not_yet_the_boot_default(machine):
    machine.link("/run/current-system", machine.system("bbb-nixos-system-scanner", "26.05.2"))
    standing = stands(machine)
    assert standing.next_start_changes is True
    assert standing.sentences[0] == "This machine runs 26.05.2 (/nix/store/bbb-nixos-system-scanner)."
    assert standing.sentences[1] == (
        "The next start brings another system: 26.05.1 (/nix/store/aaa-nixos-system-scanner), generation 41."
    )
    assert not standing.restart_needed


@pytest.mark.parametrize(
    ("changes", "parts", "named"),
    [
        ({"kernel": "6.18"}, ("kernel", "kernel-modules"), "kernel and kernel-modules"),
        ({"initrd": "b"}, ("initrd",), "initrd"),
        (
            {"kernel": "6.18", "initrd": "b"},
            ("kernel", "initrd", "kernel-modules"),
            "kernel, initrd and kernel-modules",
        ),
    ],
)
def test_a_new_kernel_or_initrd_needs_a_restart(machine, changes, parts, named):
    new = machine.system("bbb-nixos-system-scanner", **changes)
    machine.link("/run/current-system", new)
    machine.boots(new, 42)
    standing = stands(machine)
    assert standing.restart_because == parts
    assert (standing.restart_needed, standing.next_start_changes) == (True, False)
    assert standing.sentences[0] == "This machine runs /nix/store/bbb-nixos-system-scanner."
    assert standing.sentences[2] == (
        f"A restart is needed: the running system has another {named} than the one that was started."
    )


def test_a_kernel_that_only_the_next_start_brings_needs_no_restart_now(machine):
    machine.boots(machine.system("ccc-nixos-system-scanner", kernel="6.18"), 43)
    standing = stands(machine)
    assert standing.next_start_changes is True
    assert not standing.restart_needed


def test_what_cannot_be_told_is_said_so(machine):
    machine.link("/run/current-system", "/nix/store/collected")
    machine.link("/nix/var/nix/profiles/system", "system-99-link")
    (machine.root / "run/booted-system").unlink()
    standing = stands(machine)
    assert standing.found.nixos
    assert (standing.next_start_changes, standing.restart_needed) == (None, False)
    assert [sentence.partition(":")[0] for sentence in standing.sentences] == [
        "It cannot be told which system runs",
        "It cannot be told what the next start brings",
        "It cannot be told whether a restart is needed",
    ]
    assert standing.found.generation == 99


def test_a_machine_whose_running_system_is_unknown_still_tells_what_comes_next(machine):
    (machine.root / "run/current-system").unlink()
    assert stands(machine).sentences[1].startswith("The next start brings 26.05.1 (/nix/store/aaa")


def test_links_never_lead_out_of_the_root(tmp_path):
    machine = Machine(tmp_path / "root")
    (tmp_path / "outside").touch()
    machine.link("/run/up", "../../../../../outside")
    machine.link("/run/absolute", str(tmp_path / "outside"))
    machine.link("/run/loop", "loop")
    machine.link("/run/relative", "../etc/./NIXOS")
    assert resolve(machine.root, "/run/up") is None
    assert resolve(machine.root, "/run/absolute") is None
    assert resolve(machine.root, "/run/loop") is None
    assert resolve(machine.root, "/run/relative") == "/etc/NIXOS"


def test_a_version_that_is_no_text_is_left_out(machine):
    (machine.root / "nix/store/aaa-nixos-system-scanner/nixos-version").write_bytes(b"\xff\xfe")
    assert stands(machine).found.running.version == ""


# --- the command line ---


def test_status_for_programs(machine, capsys):
    assert main(["status", "--json", "--root", str(machine.root)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "nixos": True,
        "running": "/nix/store/aaa-nixos-system-scanner",
        "running_version": "26.05.1",
        "booted": "/nix/store/aaa-nixos-system-scanner",
        "boot_default": "/nix/store/aaa-nixos-system-scanner",
        "boot_default_version": "26.05.1",
        "generation": 41,
        "next_start_changes": False,
        "restart_needed": False,
        "restart_because": [],
        # Of another root folder: this machine's settings say where they stand.
        "update": None,
        "last_update": None,
        "sentences": [
            "This machine runs 26.05.1 (/nix/store/aaa-nixos-system-scanner).",
            "The next start brings the same system, generation 41.",
            "No restart is needed.",
        ],
    }


def test_a_machine_without_nixos_says_so_and_that_is_no_error(tmp_path, capsys):
    assert main(["status", "--json", "--root", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["nixos"] is False
    assert answer["running"] is None
    assert "does not run NixOS" in answer["sentences"][0]


def test_a_root_that_is_no_folder_is_an_error(tmp_path, capsys):
    assert main(["status", "--root", str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.endswith("is not a folder. Name the root folder of a machine.\n")


def test_runs_as_a_module_on_this_very_machine():
    done = subprocess.run(
        [sys.executable, "-m", "nixel.update", "status"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("This machine ")


def test_loads_nothing_but_the_standard_library():
    code = "import nixel.update.cli, sys; print(*(m for m in sys.modules if m.startswith('nixel.')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {name.split(".")[1] for name in done.stdout.split()} == {"update"}
