"""The record of the transaction that is going on: what a program that died left for the one that goes on.

It is written before anything of a stage is done, carries its own checksum, and is removed when the history has the
verdict. A record is read as it was written or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

from nixel.update import disk
from nixel.update.transaction.model import (
    ID,
    Check,
    Kind,
    Moment,
    Passed,
    Side,
    Source,
    Stage,
    Transaction,
    Verdict,
    Via,
)

if TYPE_CHECKING:
    from pathlib import Path

FILE = "transaction.json"
ASIDE = "transaction.unreadable"
RESERVE = "reserve"
FORMAT = 1
_MOST_BYTES = 16 * 1024 * 1024
_RESERVED_BYTES = 256 * 1024


class UnreadableError(Exception):
    """The record is there and is not what was written.

    Parameters
    ----------
    what
        What is wrong with it, for a person.
    mark
        The same for the same bytes: a name for this finding.
    """

    def __init__(self, what: str, mark: str) -> None:
        super().__init__(what)
        self.mark = mark


class Journal:
    """The record, in a folder of its own program.

    Parameters
    ----------
    state
        Which folder.
    """

    def __init__(self, state: Path) -> None:
        self.path = state / FILE
        self._aside = state / ASIDE
        self._reserve = state / RESERVE

    def write(self, transaction: Transaction) -> None:
        """Put a transaction on the disk; afterwards it is there whatever happens.

        Parameters
        ----------
        transaction
            As it stands.

        Raises
        ------
        OSError
            If it cannot be written; what was recorded before is then still there.
        """
        content = encode(transaction)
        try:
            disk.write(self.path, content, 0o644)
        except OSError:
            if not self._reserve.exists():
                raise
            self.release()
            disk.write(self.path, content, 0o644)

    def read(self) -> Transaction | None:
        """Read what was recorded.

        Returns
        -------
        Transaction or None
            `None` if no transaction is going on.

        Raises
        ------
        UnreadableError
            If it is not what was written.
        """
        try:
            with self.path.open("rb") as stream:
                content = stream.read(_MOST_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreadableError(f"{self.path} cannot be read ({error.strerror}).", "unread") from error
        try:
            return decode(content)
        except ValueError as error:
            mark = hashlib.sha256(content).hexdigest()[:16]
            raise UnreadableError(f"{self.path} is damaged: {error}.", mark) from error

    def remove(self) -> None:
        """End the transaction."""
        disk.remove(self.path)

    def put_aside(self) -> Path:
        """Take a record that cannot be read out of the way, and keep it for whoever looks into it.

        Returns
        -------
        Path
            Where it is now; what was put aside before is replaced.
        """
        self.path.replace(self._aside)
        disk.settle(self._aside.parent)
        return self._aside

    def reserve(self) -> None:
        """Keep room on the disk for what is to be recorded when a copy has filled it.

        Raises
        ------
        OSError
            If there is not even that much room.
        """
        disk.write(self._reserve, bytes(_RESERVED_BYTES), 0o600)

    def release(self) -> None:
        """Give that room back."""
        disk.remove(self._reserve)


# --- as bytes ---


def encode(transaction: Transaction) -> bytes:
    """Write a transaction as bytes.

    Parameters
    ----------
    transaction
        Which one.

    Returns
    -------
    bytes
        JSON with its own checksum.
    """
    body = {
        "id": transaction.id,
        "kind": transaction.kind,
        "source": {
            "via": transaction.source.via,
            "label": transaction.source.label,
            "who": transaction.source.who,
        },
        "old": side_as_json(transaction.old),
        "new": side_as_json(transaction.new),
        "default_before": transaction.default_before,
        "asks_confirmation": transaction.asks_confirmation,
        "stages": [
            [each.stage, each.at.wall, each.at.boottime, each.at.boot_id] for each in transaction.stages
        ],
        "before": transaction.before,
        "checks": [[each.name, each.passed, each.words, each.seconds] for each in transaction.checks],
        "why": list(transaction.why),
        "verdict": transaction.verdict,
        "restarts": transaction.restarts,
    }
    document = {"format": FORMAT, "sha256": _digest(body), "transaction": body}
    return (json.dumps(document, indent=1) + "\n").encode()


def decode(content: bytes) -> Transaction:
    """Read a transaction from bytes.

    Parameters
    ----------
    content
        From `encode`.

    Returns
    -------
    Transaction
        The same.

    Raises
    ------
    ValueError
        If they are not what `encode` wrote, in words.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}")
    body = found.get("transaction")
    if found.get("sha256") != _digest(body):
        raise ValueError("its checksum does not fit what it says")
    try:
        return _decode(body)
    except (TypeError, KeyError, IndexError) as error:
        raise ValueError(f"it lacks something, or something in it is of another kind ({error!r})") from error


def side_as_json(side: Side) -> dict[str, Any]:
    """Describe a system as plain data.

    Parameters
    ----------
    side
        Which one.

    Returns
    -------
    dict
        Fit for JSON.
    """
    return {"path": side.path, "version": side.version, "revision": side.revision, "date": side.date}


def side_of(found: Any) -> Side:  # noqa: ANN401 (what JSON may hold)
    """Read a system from plain data.

    Parameters
    ----------
    found
        From `side_as_json`.

    Returns
    -------
    Side
        The same.

    Raises
    ------
    TypeError, KeyError
        If it is none.
    """
    date = found["date"]
    return Side(
        _text(found["path"]),
        _text(found["version"]),
        _text(found["revision"]),
        None if date is None else _whole(date),
    )


def _decode(body: Any) -> Transaction:  # noqa: ANN401 (what JSON may hold)
    identifier = _text(body["id"])
    if not ID.fullmatch(identifier):
        raise ValueError(f"{identifier!r} is no name of a transaction")
    source, before, verdict = body["source"], body["before"], body["verdict"]
    if not isinstance(before, dict | None):
        raise TypeError("before")
    stages = tuple(
        Passed(Stage(stage), Moment(_number(wall), _number(boottime), _text(boot_id)))
        for stage, wall, boottime, boot_id in body["stages"]
    )
    if not stages or (stages[-1].stage is Stage.DONE) != (verdict is not None):
        raise ValueError("its stages and its verdict do not fit together")
    return Transaction(
        id=identifier,
        kind=Kind(body["kind"]),
        source=Source(Via(source["via"]), _text(source["label"]), _text(source["who"])),
        old=side_of(body["old"]),
        new=side_of(body["new"]),
        default_before=_text(body["default_before"]),
        asks_confirmation=_truth(body["asks_confirmation"]),
        stages=stages,
        before=before,
        checks=tuple(
            Check(_text(name), _truth(passed), _text(words), _number(seconds))
            for name, passed, words, seconds in body["checks"]
        ),
        why=tuple(_text(each) for each in body["why"]),
        verdict=None if verdict is None else Verdict(verdict),
        restarts=_whole(body["restarts"]),
    )


def _digest(body: object) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _text(found: object) -> str:
    if not isinstance(found, str):
        raise TypeError(f"{found!r} is no text")
    return found


def _truth(found: object) -> bool:
    if not isinstance(found, bool):
        raise TypeError(f"{found!r} is neither true nor false")
    return found


def _whole(found: object) -> int:
    if not isinstance(found, int) or isinstance(found, bool):
        raise TypeError(f"{found!r} is no whole number")
    return found


def _number(found: object) -> float:
    if not isinstance(found, int | float) or isinstance(found, bool) or not math.isfinite(found):
        raise TypeError(f"{found!r} is no number")
    return float(found)
