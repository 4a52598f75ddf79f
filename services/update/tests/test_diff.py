"""`nixel-update diff`: with a `nix` that answers for a made-up store, and bounded output of what is started."""

import json
import sys
import time
import tracemalloc

import pytest
from made_systems import MadeSystems, store_path

from nixel.update import closure, technical
from nixel.update.cli import main
from nixel.update.refusal import Refusal

PRINTING = "import sys; sys.stdout.write('x' * int(sys.argv[1]))"


def script(folder, name, text):
    folder.mkdir(exist_ok=True)
    place = folder / name
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)
    return place


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Two systems, and a `nix` that knows their closures; nix-diff and systemctl are not there."""
    made = MadeSystems(tmp_path / "root")
    old = made.system("1", units={"sshd.service": "[Service]\nExecStart=/a\nX-StopIfChanged=false\n"})
    new = made.system("2", kernel="6.18.41", version="0.5.0", date=1_791_000_000)
    made.link("/run/current-system", old)
    for top, number in ((old, 0), (new, 1)):
        known = {"ca": None, "narHash": f"sha256-{'A' * 43}=", "references": []}
        sizes = {top: 100, store_path(f"openssl-3.6.{number}"): 2000}
        infos = {path: {**known, "narSize": size} for path, size in sizes.items()}
        made.write(f"/closures/{top.rpartition('/')[2]}", json.dumps(infos))
    answer = f"""
case "$*" in
  *path-info*) cat "{made.root}/closures/$(basename "$(cat)")" ;;
  *diff-closures*) yes "openssl: 3.6.0 -> 3.6.1" | head -c 100000; exit ${{FAILS:-0}} ;;
  *) exit 64 ;;
esac"""
    script(tmp_path / "bin", "nix", answer)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return made, old, new


def test_says_what_changes(machine, capsys):
    made, _old, new = machine
    assert main(["diff", "--root", str(made.root), "/run/current-system", new]) == 0
    text = capsys.readouterr().out
    assert "Offered: nixel 0.5.0 for scanner" in text
    assert "the kernel (6.18.37 -> 6.18.41)" in text
    assert "openssl  3.6.0 -> 3.6.1" in text
    assert "New: 2 of 2 store paths, 2.1 kB unpacked." in text


def test_json_has_everything(machine, capsys):
    made, old, new = machine
    assert main(["diff", "--json", "--technical", "--root", str(made.root), old, new]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["restart_needed"] is True
    assert found["programs"] == [{"name": "openssl", "before": ["3.6.0"], "after": ["3.6.1"]}]
    closures, derivations = found["technical"]
    assert len(closures["text"]) == technical.MOST_BYTES
    assert closures["left_out"] == 100_000 - technical.MOST_BYTES
    assert "nix-diff" in derivations["missing"]


def test_technical_output_is_bounded_and_says_how_to_see_it_all(machine, capfd):
    made, old, new = machine
    assert main(["diff", "--technical", "--root", str(made.root), old, new]) == 0
    text = capfd.readouterr().out
    assert (
        f"... and {100_000 - technical.MOST_BYTES:,} bytes more. All of it: add --all, or run: nix " in text
    )
    assert "nix-diff is not on this machine" in text
    assert len(text) < technical.MOST_BYTES + 3000


def test_all_of_it_on_request(machine, capfd):
    made, old, new = machine
    assert main(["diff", "--technical", "--all", "--root", str(made.root), old, new]) == 0
    text = capfd.readouterr().out
    assert text.count("openssl: 3.6.0 -> 3.6.1") == 100_000 // len("openssl: 3.6.0 -> 3.6.1\n")
    assert "bytes more" not in text


def test_a_comparison_that_fails_says_so(machine, capfd, monkeypatch):
    made, old, new = machine
    monkeypatch.setenv("FAILS", "3")
    assert main(["diff", "--technical", "--root", str(made.root), old, new]) == 0
    assert "It ended with status 3: nix" in capfd.readouterr().out


def test_refuses_what_is_no_system_and_what_nix_does_not_know(machine, capsys):
    made, old, _new = machine
    assert main(["diff", "--root", str(made.root), "/run/absent", old]) == 2
    assert "absent is missing or leads nowhere. Name the folder of a NixOS system" in capsys.readouterr().err
    unknown = made.system("3")
    assert main(["diff", "--root", str(made.root), old, unknown]) == 2
    assert f"It cannot be told what {unknown} needs." in capsys.readouterr().err
    assert main(["diff", "--root", str(made.root / "absent"), old, old]) == 2


def test_refuses_in_words_where_there_is_no_nix(machine, monkeypatch, tmp_path, capsys):
    made, old, new = machine
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["diff", "--root", str(made.root), old, new]) == 2
    assert "There is no nix here. Install Nix" in capsys.readouterr().err
    script(tmp_path, "nix", "echo first >&2; echo 'error: path is not valid' >&2; exit 1")
    with pytest.raises(Refusal, match="error: path is not valid"):
        closure.closure(old)


def test_only_the_beginning_is_kept_in_memory():
    tracemalloc.start()
    try:
        found = technical.run([sys.executable, "-c", PRINTING, str(50_000_000)], most=1000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (found.text, found.left_out, found.status, found.late) == ("x" * 1000, 49_999_000, 0, False)
    assert peak < 2_000_000


def test_what_takes_too_long_is_ended_with_all_that_it_started():
    began = time.monotonic()
    found = technical.run(["sh", "-c", "echo begun; sleep 60 & sleep 60"], within=0.5)
    assert (found.text, found.late) == ("begun\n", True)
    assert time.monotonic() - began < 10
    assert "It took too long" in technical.about(found)[0]


def test_what_closes_its_output_and_goes_on_is_ended_too():
    found = technical.run(["sh", "-c", "exec >&- 2>&-; sleep 60"], within=0.5)
    assert found.late


def test_a_program_that_is_not_there_is_told():
    found = technical.run(["nixel-no-such-program"])
    assert found.status is None
    assert "cannot be started" in found.text


def test_derivers_are_asked_for_and_missed_in_words(tmp_path, monkeypatch):
    deriver = tmp_path / "a.drv"
    script(tmp_path / "bin", "nix-diff", "echo compared")
    script(tmp_path / "bin", "nix-store", f"echo {deriver}")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert "the derivation of /nix/store/a is not on this machine" in technical.derivations(
        "/nix/store/a", "/nix/store/b"
    )
    deriver.touch()
    command = technical.derivations("/nix/store/a", "/nix/store/b")
    assert command == [str(tmp_path / "bin" / "nix-diff"), "--color", "never", str(deriver), str(deriver)]
    assert technical.run(command).text == "compared\n"
