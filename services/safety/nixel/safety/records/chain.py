"""The chain that seals the event log: every line carries a SHA-256 over its text and the line before it.

A sealed line is `{..., "chain": "HEX"}`. HEX is the SHA-256 of the HEX of the sealed line before it followed by
the line's own text up to, and without, `, "chain"`; `printf %s%s "$before" "$text" | sha256sum` computes it. What
stands before the first sealed line (nothing, or what a daemon without the chain wrote) takes the place of a line:
its SHA-256 is what the first sealed line continues.

A power cut can leave a torn line. The next start ends it with a newline and writes an event of kind "torn" that
seals how many bytes were torn and their SHA-256, and continues the last whole line; so it can be told from
bytes that somebody put there later.

A log is one file or several: the first line of a later one is an event of kind "continues", the beginning of a
chain of its own, that tells the last HEX of the file before.

The limits. Whole lines that are cut off the end leave a shorter log that is whole in itself: only somebody who
remembers a later HEX can tell, so the daemon writes the latest one to the journal when it starts and ends, and
`verify` looks for a remembered one. And the chain has no key: who may write the file can seal a new one, which
again only a remembered HEX tells from the old.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from nixel.safety.core.frozen import dataclass
from nixel.safety.records.digest import sha256

if TYPE_CHECKING:
    from collections.abc import Iterable

FIELD = "chain"
TORN = "torn"
CONTINUES = "continues"
NOTHING = sha256().hexdigest()

_SEALED = re.compile(rb'(\{.*), "chain": "([0-9a-f]{64})"\}\n', re.DOTALL)
_SHOWN = 60  # bytes of a line that is no event


@dataclass(frozen=True, slots=True)
class Break:
    """The first place where the chain does not hold: the line, counted from 1, and what was wrong there."""

    line: int
    expected: str
    found: str

    def __str__(self) -> str:
        """Say it in a sentence."""
        return f"line {self.line}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verification of a log found.

    Attributes
    ----------
    events
        How many sealed lines there are, those behind a break included.
    older
        How many lines stand before the first sealed one, written by a daemon that did not seal; they are sealed as
        they were when the first sealed line was written, and not before.
    first, last
        The times of the first and of the last sealed event (ISO 8601, UTC); empty if there is none.
    latest
        The hash of the last sealed line; what to remember. Empty if there is none.
    torn
        The lines that a power cut tore, counted from 1; the last may not be closed yet.
    broken
        Where the chain first breaks, or `None`.
    continues
        The number and the last hash of the file before, as the first line tells them; `None` if there is none.
    missing
        The remembered hashes that are not in it.
    """

    events: int
    older: int
    first: str
    last: str
    latest: str
    torn: tuple[int, ...]
    broken: Break | None
    continues: tuple[int, str] | None = None
    missing: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether nothing in the log was changed, removed, inserted or swapped since it was sealed."""
        return self.broken is None


def seal(before: str, record: str) -> tuple[str, str]:
    """Seal a line.

    Parameters
    ----------
    before
        The hash of the line before, 64 hexadecimal digits.
    record
        The event as a JSON object, without a newline.

    Returns
    -------
    line : str
        With its chain and the newline.
    digest : str
        Its hash, which the next line continues.
    """
    text = record.removesuffix("}")
    digest = _digest(before, text.encode())
    return f'{text}, "chain": "{digest}"}}\n', digest


def split(line: bytes) -> tuple[bytes, str] | None:
    """Take a sealed line apart.

    Parameters
    ----------
    line
        With its newline.

    Returns
    -------
    tuple or None
        Its text without the chain, and its hash as it stands there; `None` if it is no whole sealed line.
    """
    found = _SEALED.fullmatch(line)
    return None if found is None else (found[1], found[2].decode())


def fingerprint(content: bytes) -> str:
    """Give the SHA-256 of some bytes as hexadecimal digits."""
    return sha256(content).hexdigest()


def verify(
    lines: Iterable[bytes],
    expect: Iterable[str] = (),
    after: tuple[int, str] | None = None,
    *,
    newest: bool = True,
) -> Verdict:
    """Verify a file of a log from its first byte to its last.

    Parameters
    ----------
    lines
        The file's lines with their newlines, as an opened binary file gives them.
    expect
        Hashes that were remembered and must be in the chain: the log is not whole without them.
    after
        The number and the last hash of the file that this one must continue; `None` if nothing is known of it.
    newest
        Whether no later file could have the hashes that this one lacks, nor seal a line that is torn here.

    Returns
    -------
    Verdict
        What was found.
    """
    check = _Check(expect, after)
    for line in lines:
        check.take(line)
    return check.verdict(newest)


class _Check:
    """The state of a verification between two lines."""

    def __init__(self, expect: Iterable[str], after: tuple[int, str] | None) -> None:
        self.missing = set(expect)
        self.after = after
        self.continues: tuple[int, str] | None = None
        self.number = 0
        self.events = 0
        self.older = 0
        self.first = self.last = self.latest = ""
        self.torn: list[int] = []
        self.broken: Break | None = None
        self.prefix = sha256()
        self.gap: list[bytes] = []  # what stands between the last sealed line and here

    def take(self, line: bytes) -> None:
        self.number += 1
        parts = split(line)
        if parts is not None:
            self.sealed(*parts)
        elif self.events:
            self.gap.append(line)
        else:
            self.older += 1
            self.prefix.update(line)
            if not _is_record(line):
                self.torn.append(self.number)

    def sealed(self, text: bytes, says: str) -> None:
        before = self.latest if self.events else self.prefix.hexdigest()
        record = _parse(text)
        if self.broken is None:
            right = _digest(before, text)
            if says != right and self.gap and record.get("kind") != TORN:
                self.stop(self.number - len(self.gap), "a sealed event", _shown(b"".join(self.gap)))
            elif says != right:
                self.stop(self.number, f"the hash {right}, which continues the line before", says)
            else:
                self.close_gap(record)
                if not self.events:
                    self.begin(record)
            self.missing.discard(says)
        self.gap.clear()
        self.events += 1
        self.latest = says
        self.last = str(record.get("time", ""))
        self.first = self.first if self.events > 1 else self.last

    def begin(self, record: dict[str, Any]) -> None:
        """Hold the first sealed line against the file before."""
        if record.get("kind") == CONTINUES:
            details = record.get("details") or {}
            self.continues = (int(details.get("number", 0)), str(details.get("hash")))
        if self.after is not None and self.continues != self.after:
            expected = f"the continuation of file {self.after[0]} after its hash {self.after[1]}"
            found = "no continuation" if self.continues is None else f"that of {self.continues}"
            self.stop(self.number, expected, found)

    def close_gap(self, record: dict[str, Any]) -> None:
        """Hold what stands between two sealed lines against what the second says of it."""
        gap = b"".join(self.gap)
        began = self.number - len(self.gap)
        if record.get("kind") == TORN:
            details = record.get("details") or {}
            told = (details.get("bytes"), details.get("sha256"))
            found = (len(gap), fingerprint(gap))
            if told != found:
                expected = f"{told[0]} torn bytes with SHA-256 {told[1]}"
                self.stop(began, expected, f"{found[0]} with {found[1]}")
            self.torn += range(began, self.number)
        elif gap:
            self.stop(began, "a sealed event", _shown(gap))

    def stop(self, line: int, expected: str, found: str) -> None:
        self.broken = self.broken or Break(line, expected, found)

    def verdict(self, newest: bool) -> Verdict:
        if self.gap and self.broken is None:
            began = self.number - len(self.gap) + 1
            if self.gap[-1].endswith(b"\n") or not newest:
                # A torn line has no newline until a start closes it and seals what it closed.
                self.stop(began, "a sealed event", _shown(b"".join(self.gap)))
            else:
                self.torn += range(began, self.number + 1)
        if self.older and not self.events:
            self.stop(1, "a sealed event", "a log without any: a daemon older than the chain wrote it")
        if newest and self.missing:
            self.stop(self.number + 1, f"the hash {min(self.missing)} before the end", "a log without it")
        return Verdict(
            events=self.events,
            older=self.older,
            first=self.first,
            last=self.last,
            latest=self.latest,
            torn=tuple(self.torn),
            broken=self.broken,
            continues=self.continues,
            missing=tuple(sorted(self.missing)),
        )


def _digest(before: str, text: bytes) -> str:
    return sha256(before.encode() + text).hexdigest()


def _parse(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text + b"}")
    except (ValueError, RecursionError):
        return {}  # its hash does not hold either
    return found if isinstance(found, dict) else {}


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _shown(content: bytes) -> str:
    text = content[:_SHOWN].decode("utf-8", errors="replace")
    return f"{text!r}{'...' if len(content) > _SHOWN else ''}"


# --- where a daemon goes on ---


@dataclass(frozen=True, slots=True)
class End:
    """Where the next line goes on.

    Attributes
    ----------
    digest
        The hash that the next line continues.
    closing
        What must be written first: a newline where the last line lacks one.
    torn
        The torn bytes, `closing` included, that an event of kind "torn" must seal next; empty if there are none.
    """

    digest: str
    closing: bytes
    torn: bytes


def end(content: bytes) -> End | None:
    """Find where a log goes on.

    The last sealed line is taken as it stands: if somebody has changed it, the chain breaks there and a
    verification says so.

    Parameters
    ----------
    content
        The last bytes of the log, or all.

    Returns
    -------
    End or None
        `None` if no sealed line begins and ends in them.
    """
    closing = b"" if content.endswith(b"\n") or not content else b"\n"
    content += closing
    rest = len(content)
    while rest:
        began = content.rfind(b"\n", 0, rest - 1) + 1
        parts = split(content[began:rest])
        if parts is not None:
            return End(parts[1], closing, content[rest:])
        rest = began
    return None
