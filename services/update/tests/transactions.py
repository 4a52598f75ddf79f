"""What the tests of a transaction share: systems by name, a transaction, and a machine made of small files."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

from nixel.update.config import Config
from nixel.update.refusal import Refusal
from nixel.update.system import Found, System
from nixel.update.transaction import machine
from nixel.update.transaction.driver import Driver
from nixel.update.transaction.effects import EffectError
from nixel.update.transaction.history import History
from nixel.update.transaction.journal import Journal
from nixel.update.transaction.loop import Nobody
from nixel.update.transaction.model import Check, Kind, Moment, Side, Source, Via

OLD, NEW, OTHER, THIRD = (f"/nix/store/{letter * 32}-nixos-system-scanner" for letter in "abcd")
OLD_SIDE = Side(OLD, "26.05.1", "f00d", 1_760_000_000)
NEW_SIDE = Side(NEW, "26.05.2", "cafe", 1_770_000_000)
SIDES = {OLD: OLD_SIDE, NEW: NEW_SIDE}
STICK = Source(Via.STICK, "NIXEL", "technician")


def begin(*, asks=False, old=OLD, new=NEW, default=OLD, kind=Kind.INSTALL, at=None, identifier="t1"):
    return machine.begin(
        identifier,
        kind,
        STICK,
        SIDES.get(old, Side(old)),
        SIDES.get(new, Side(new)),
        default,
        at or Moment(1_780_000_000.0, 100.0, "boot-1"),
        asks_confirmation=asks,
    )


def config(state: Path) -> Config:
    return Config((), state, Path("/nix/var/nix/profiles/system"), 5, 601.0, 301.0, 121.0)


class Machine:
    """Effects on a folder: `running`, `profile` and `loader` hold store paths, `boot` counts the starts.

    What `fails` is a set of effects, by name; a value "half" for keep or revert fails it in the middle. Every place
    where a process may die calls `point`.
    """

    def __init__(self, folder: Path, fails=(), point=lambda: None) -> None:
        self.folder = folder
        self.fails = set(fails)
        self.point = point
        self.limits = {}

    def set_up(self, running=OLD, default=OLD):
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, value in (("running", running), ("profile", default), ("loader", default), ("boot", "1")):
            (self.folder / name).write_text(value)
        return self

    def at(self, name: str) -> str:
        return (self.folder / name).read_text()

    def put(self, name: str, value: str) -> None:
        with (self.folder / "trace").open("a") as stream:
            stream.write(f"{name} {value}\n")
        new = self.folder / f"{name}.new"
        new.write_text(value)
        new.replace(self.folder / name)

    def standing(self) -> tuple[str, str, str]:
        return self.at("running"), self.at("profile"), self.at("loader")

    def power_cut(self) -> None:
        self.put("running", self.at("loader"))
        self.put("boot", str(int(self.at("boot")) + 1))

    def failing(self, what: str) -> None:
        if what in self.fails:
            raise EffectError(f"{what} was told to fail.")
        if what + " oddly" in self.fails:
            raise ZeroDivisionError("oddly")
        if what + " refused" in self.fails:
            raise Refusal(f"{what} was refused.", "Ask again.")

    # --- effects ---

    def copy(self, progress):
        self.point()
        progress(10, 20)
        self.failing("copy")
        self.point()
        progress(20, 20)

    def keep_reachable(self, system):
        (self.folder / f"root-{Path(system).name}").write_text(system)

    def let_go(self):
        self.failing("let_go")
        for each in self.folder.glob("root-*"):
            each.unlink()

    def snapshot(self, system, within):
        self.limits["snapshot"] = within
        self.failing("snapshot")
        return {"devices": ["/dev/daq"]}

    def switch(self, system, within):
        self.limits["switch"] = within
        what = "switch" if system == NEW else "switch back"
        self.point()
        self.failing(what)
        if what + " does nothing" in self.fails:
            return ()
        self.put("running", system)
        self.point()
        self.failing(what + " late")
        return ("unit x failed.",) if what + " complains" in self.fails else ()

    def check(self, system, before, within):
        self.limits["check"] = within
        self.limits["before"] = before
        self.point()
        self.failing("check")
        bad = "health" in self.fails
        return (
            Check("safety", True, "SAFE", 0.1),
            Check("imaging", not bad, "no answer" if bad else "ready", 0.2),
        )

    def await_confirmation(self, identifier, within):
        self.limits["confirm"] = within
        self.point()
        if "confirm" in self.fails:
            raise EffectError("Nobody came back within 2 minutes.")
        return "deployer"

    def set_default(self, system):
        what = "keep" if system == NEW else "default back"
        self.point()
        self.failing(what)
        if what + " does nothing" in self.fails:
            return
        self.put("profile", system)
        self.point()
        self.failing(what + " half")
        self.put("loader", system)
        self.point()
        self.failing(what + " late")

    def restart(self):
        self.point()
        self.failing("restart")
        if "restart kills" in self.fails:
            self.power_cut()
            os.kill(os.getpid(), signal.SIGKILL)
        self.put("restart", "asked")

    def prune(self):
        self.point()
        self.failing("prune")

    def now(self):
        return time.time()

    def boottime(self):
        return time.monotonic()

    def boot_id(self):
        return "boot-" + self.at("boot")

    def look(self):
        self.failing("look")
        running, default = (System(self.at(name), "", {}) for name in ("running", "profile"))
        return Found(True, running, running, default, 41)

    # --- a driver on it ---

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def driver(self, journal=None, observer=None) -> Driver:
        return Driver(
            self,
            config(self.state),
            journal or Journal(self.state),
            History(self.state),
            observer or Nobody(),
        )

    def begin(self, **more):
        at = Moment(self.now(), self.boottime(), self.boot_id())
        return begin(old=self.at("running"), default=self.at("profile"), at=at, **more)

    def history(self):
        return History(self.state).read()

    def record(self):
        path = self.state / "transaction.json"
        return json.loads(path.read_text())["transaction"] if path.exists() else None
