"""Carrying out what was asked for, in a unit that nobody's connection keeps alive; and going on where one died."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.update import config, disk, here, request, unit
from nixel.update.delivery import Delivery
from nixel.update.live import Live
from nixel.update.manifest import authentic, parse
from nixel.update.refusal import Refusal
from nixel.update.transaction.driver import Driver
from nixel.update.transaction.history import History
from nixel.update.transaction.journal import Journal
from nixel.update.transaction.machine import begin
from nixel.update.transaction.model import Kind, Moment

if TYPE_CHECKING:
    from nixel.update.config import Config
    from nixel.update.here import Here
    from nixel.update.request import Request
    from nixel.update.transaction.effects import Effects
    from nixel.update.transaction.model import Side, Transaction

UNIT = "nixel-update-trial"
# The one that every start of the machine runs `resume` in.
RESUME_UNIT = "nixel-update-resume"
PROGRESS = Path("/run/nixel-update/progress.json")


class Watched:
    """Lets others see how far a copy is: a file in memory."""

    def __init__(self, identifier: str) -> None:
        self._identifier = identifier

    def entered(self, transaction: Transaction) -> None:
        """Nothing: the record itself can be seen."""

    def copied(self, done: int, total: int) -> None:
        """Note how far the copy is."""
        disk.folder(PROGRESS.parent, 0o755)
        new = PROGRESS.with_suffix(".new")
        new.write_text(json.dumps({"id": self._identifier, "done": done, "total": total}))
        new.replace(PROGRESS)


def start(identifier: str, argv0: tuple[str, ...]) -> None:
    """Have a request carried out by a unit of its own.

    It is started again if it dies, and then ends what it had begun.

    Parameters
    ----------
    identifier
        The request's name.
    argv0
        How to call this program.

    Raises
    ------
    Refusal
        If systemd does not start it: most likely another update is running.
    """
    alone()
    properties = {
        # Also after a signal that systemd takes for an end in good order: what was begun is to be ended.
        "Restart": "always",
        "RestartSec": "500ms",
        # Done, refused, or done and not kept: all are ends.
        "RestartPreventExitStatus": "0 1 2",
        "StartLimitIntervalSec": "0",
        "KillMode": "mixed",
        "OOMScoreAdjust": "-900",
        "RequiresMountsFor": "/nix /var",
    }
    try:
        unit.start(
            UNIT, [*argv0, "run", identifier], properties, f"Update {identifier} of this machine's system"
        )
    except unit.UnitError as error:
        raise Refusal(str(error), "Look at `systemctl status`, then try again.") from error


def alone() -> None:
    """See that no update is running.

    Raises
    ------
    Refusal
        If one is.
    """
    if unit.active(UNIT):
        raise Refusal(
            "Another update is running on this machine.",
            "Wait for its end; `nixel-update status` says how far it is.",
        )


def driver(settings: Config, identifier: str, delivery: Delivery | None) -> Driver:
    """Make the driver of this machine.

    Parameters
    ----------
    settings
        Its settings.
    identifier
        The transaction's name.
    delivery
        Where its system comes from, if it is not in the store.

    Returns
    -------
    Driver
        Ready to run.
    """
    effects = Live(settings, identifier, delivery)
    return Driver(effects, settings, Journal(settings.state), History(settings.state), Watched(identifier))


def carry_out(identifier: str) -> Transaction | None:
    """Do what was asked for, after ending what a process that died had begun.

    Parameters
    ----------
    identifier
        The request's name.

    Returns
    -------
    Transaction or None
        As it ended, or as it is while the machine restarts; `None` if it had ended before.

    Raises
    ------
    Refusal
        If it is not done; the history says so too.
    """
    settings = config.read()
    state = settings.state
    if Journal(state).path.exists():
        ended = resume(settings)
        if ended is not None and (ended.id == identifier or ended.verdict is None):
            return ended
    if any(entry.id == identifier for entry in History(state).read().entries):
        request.drop(state, identifier)
        return None
    asked = request.load(state, identifier)
    try:
        machine = here.look()
        delivery = _delivery(machine, asked) if asked.kind is Kind.INSTALL else None
        new = here.side(asked.system) if delivery is None else here.offered(delivery.manifest)
    except Refusal as refusal:
        # Whoever watches waits for a line of the history.
        driver(settings, identifier, None).refuse(refusal, identifier, time.time(), asked.kind, asked.source)
        request.drop(state, identifier)
        raise
    drive = driver(settings, identifier, delivery)
    effects = drive.effects
    try:
        ended = drive.run(_begin(identifier, asked, machine, new, effects))
    except Refusal:
        request.drop(state, identifier)
        raise
    if ended.verdict is not None:
        request.drop(state, identifier)
    return ended


def resume(settings: Config) -> Transaction | None:
    """End what was interrupted.

    Parameters
    ----------
    settings
        The machine's settings.

    Returns
    -------
    Transaction or None
        As it ended, or as it is while the machine restarts; `None` if nothing was interrupted.

    Raises
    ------
    Refusal
        If that cannot be done now.
    RecordLostError
        If it cannot be told what was interrupted.
    """
    ended = driver(settings, "resume", None).resume()
    if ended is not None and ended.verdict is not None:
        request.drop(settings.state, ended.id)
    return ended


def _begin(identifier: str, asked: Request, machine: Here, new: Side, effects: Effects) -> Transaction:
    return begin(
        identifier,
        asked.kind,
        asked.source,
        machine.running,
        new,
        machine.default,
        Moment(effects.now(), effects.boottime(), effects.boot_id()),
        asks_confirmation=asked.asks_confirmation,
    )


def _delivery(machine: Here, asked: Request) -> Delivery:
    """What was verified when it was asked for; its signature is looked at once more, for it has been on a disk."""
    folder = request.folder(machine.config.state, asked.id)
    try:
        content = (folder / request.MANIFEST).read_bytes()
        signature = (folder / request.SIGNATURE).read_bytes()
    except OSError as error:
        raise Refusal(f"{error.filename} cannot be read ({error.strerror}).", "Begin again.") from error
    where = str(folder / request.MANIFEST)
    authentic(content, signature, machine.trusted, where)
    manifest = parse(content, where)
    stick = None if asked.stick is None else Path(asked.stick)
    return Delivery(manifest, machine.nix, stick, machine.config.trusted_keys)
