"""The machine that this runs on, as a command that is about to change it finds it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.update import disk, identity, profile, request, system, unit
from nixel.update.failure import Failure
from nixel.update.transaction.effects import EffectError
from nixel.update.transaction.model import Check

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.update.config import Config
    from nixel.update.delivery import Delivery
    from nixel.update.system import Found

GCROOTS = Path("/nix/var/nix/gcroots/nixel-update")
LOG = "switch.log"
# The two units under which a system's own programs run: whatever they start ends with them.
SWITCH_UNIT = "nixel-update-switch"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# NixOS's own: done, but some units failed. Whether that matters is for the health check to say.
_SOME_UNITS_FAILED = 4
_MOST_ANSWER_BYTES = 4 * 1024 * 1024
_MOST_WORDS = 2000
_LOOK_EVERY_S = 0.2


class Live:
    """The machine that this runs on.

    Parameters
    ----------
    config
        Its settings.
    identifier
        The transaction's name.
    delivery
        Where the new system comes from; `None` if it is in the store already (a way back, a transaction that is only
        to be ended).
    """

    def __init__(self, config: Config, identifier: str, delivery: Delivery | None) -> None:
        self._config = config
        self._identifier = identifier
        self._delivery = delivery

    # --- the store ---

    def copy(self, progress: Callable[[int, int], None]) -> None:
        """Copy the new system into the store, and see that it is what was signed."""
        if self._delivery is None:
            return
        try:
            self._delivery.bring(progress)
        except Failure as error:
            raise EffectError(str(error)) from error
        manifest = self._delivery.manifest
        if identity.read(Path(manifest.system)) != manifest.identity:
            raise EffectError(
                f"{manifest.system} says of itself that it is another system than the one that was signed for."
            )

    def keep_reachable(self, system: str) -> None:
        """Keep a system from being collected as garbage."""
        disk.folder(GCROOTS, 0o755)
        disk.link(GCROOTS / Path(system).name, system)

    def let_go(self) -> None:
        """End that, for every system."""
        if GCROOTS.is_dir():
            for each in sorted(GCROOTS.iterdir()):
                disk.remove(each)

    # --- systems ---

    def snapshot(self, system: str, within: float) -> dict[str, Any]:
        """Ask the running system's health what there is."""
        status, answer = self._health(system, ["snapshot"], within)
        if status != 0 or not isinstance(answer, dict):
            raise EffectError(
                f"{system}/nixel/health snapshot ended with status {status} and said nothing of use."
            )
        return answer

    def switch(self, system: str, within: float) -> tuple[str, ...]:
        """Switch to a system without making it the boot default."""
        status = self._switch(system, "test", within)
        if status == _SOME_UNITS_FAILED:
            return (f"Some units did not start; {self._last_words()}.",)
        return ()

    def check(self, system: str, before: dict[str, Any] | None, within: float) -> tuple[Check, ...]:
        """Run a system's health check."""
        asked = ["check"]
        if before is not None:
            note = self._config.state / "before.json"
            disk.write(note, json.dumps(before).encode(), 0o644)
            asked += ["--before", str(note)]
        status, answer = self._health(system, asked, within)
        checks = _checks(answer)
        if checks == ():
            raise EffectError(
                "The new system's health check looked at nothing, so it cannot be told whether it is well."
            )
        if checks is None or status not in (0, 1) or (status == 0) != all(each.passed for each in checks):
            raise EffectError(
                f"The new system's health check ended with status {status} and gave no answer that can be read."
            )
        return checks

    def _health(self, system: str, asked: list[str], within: float) -> tuple[int, object]:
        """Run a system's health program: its exit status and the document that it printed."""
        program = f"{system}/nixel/health"
        answer = self._config.state / "health.json"
        disk.remove(answer)
        try:
            process = subprocess.Popen(
                [program, *asked],
                stdin=subprocess.DEVNULL,
                stdout=answer.open("wb"),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise EffectError(f"{program} cannot be started: {error.strerror}.") from error
        try:
            status = process.wait(timeout=within)
        except subprocess.TimeoutExpired as error:
            raise EffectError(f"The health check gave no answer within {within:g} s.") from error
        finally:
            # Whatever it left behind ends with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        with answer.open("rb") as stream:
            content = stream.read(_MOST_ANSWER_BYTES)
        try:
            return status, json.loads(content)
        except ValueError:
            return status, None

    def _switch(self, system: str, verb: str, within: float) -> int:
        log = self._config.state / LOG
        # One that a killed updater left behind would switch against us.
        unit.stop(SWITCH_UNIT)
        with log.open("ab") as stream:
            stream.write(f"--- {self._identifier}: {system} {verb}\n".encode())
        try:
            status = unit.run(
                SWITCH_UNIT, [f"{system}/bin/switch-to-configuration", verb], within=within, log=log
            )
        except unit.UnitError as error:
            raise EffectError(str(error)) from error
        if status is None:
            raise EffectError(
                f"The switch ({verb}) did not come to an end within {within:g} s and was cut off."
            )
        if status not in (0, _SOME_UNITS_FAILED):
            raise EffectError(f"The switch ({verb}) failed with status {status}; {self._last_words()}.")
        return status

    def _last_words(self) -> str:
        log = self._config.state / LOG
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _MOST_WORDS))
            text = stream.read().decode(errors="replace")
        said = text.rpartition("--- ")[2].splitlines()[1:]
        lines = " / ".join(line.strip() for line in said[-5:] if line.strip())
        return f"it said: {lines}" if lines else "it said nothing"

    # --- the boot default ---

    def set_default(self, system: str) -> None:
        """Make a system what the next start brings."""
        where = self._config.profile
        disk.folder(where.parent, 0o755)
        known = profile.generations(where)
        newest = max(known, default=0)
        if (
            known.get(newest) != system
            or not where.is_symlink()
            or where.readlink().name != f"{where.name}-{newest}-link"
        ):
            done = subprocess.run(
                ["nix-env", "--profile", str(where), "--set", system],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise EffectError(f"The profile could not be set: {done.stderr.strip()[-_MOST_WORDS:]}")
        self._switch(system, "boot", self._config.switch_within)
        os.sync()

    def prune(self) -> None:
        """Remove the generations that are not to be kept."""
        known = profile.generations(self._config.profile)
        found = self.look()
        needed = [each.path for each in (found.running, found.booted, found.default) if each is not None]
        gone = profile.superfluous(known, self._config.keep_generations, needed)
        if gone:
            asked = [
                "nix-env",
                "--profile",
                str(self._config.profile),
                "--delete-generations",
                *map(str, gone),
            ]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise EffectError(
                    f"Old generations could not be removed: {done.stderr.strip()[-_MOST_WORDS:]}"
                )

    def restart(self) -> None:
        """Have the machine restart."""
        done = subprocess.run(["systemctl", "reboot"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EffectError(f"The machine did not take the restart: {done.stderr.strip()[-_MOST_WORDS:]}")

    # --- a person, and time ---

    def await_confirmation(self, identifier: str, within: float) -> str:
        """Wait for somebody to confirm a transaction."""
        note = request.confirmation(self._config.state, identifier)
        end = self.boottime() + within
        while self.boottime() < end:
            with suppress(OSError):
                return note.read_text(encoding="utf-8", errors="replace").strip()
            time.sleep(_LOOK_EVERY_S)
        raise EffectError(
            f"Nobody came back over the network within {within:g} s to confirm that the new system can be reached."
        )

    def now(self) -> float:
        """Tell the time."""
        return time.time()

    def boottime(self) -> float:
        """Tell the time since the machine's start."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot_id(self) -> str:
        """Name the machine's present start."""
        return _BOOT_ID.read_text(encoding="ascii").strip()

    def look(self) -> Found:
        """Look which system runs and which the next start brings."""
        return system.look(Path("/"))


def _checks(answer: object) -> tuple[Check, ...] | None:
    """What a health check printed; `None` if it is not what was agreed."""
    if (
        not isinstance(answer, dict)
        or answer.get("format") != 1
        or not isinstance(answer.get("checks"), list)
    ):
        return None
    found = []
    for each in answer["checks"]:
        if not isinstance(each, dict):
            return None
        name, passed, words, seconds = (each.get(key) for key in ("name", "passed", "words", "seconds"))
        if not (isinstance(name, str) and isinstance(passed, bool) and isinstance(words, str)):
            return None
        if not isinstance(seconds, int | float) or isinstance(seconds, bool):
            return None
        found.append(Check(name, passed, words[:_MOST_WORDS], float(seconds)))
    return tuple(found)
