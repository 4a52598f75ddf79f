"""The journal of a recording: one line for each frame that is safely on the disk.

A line is JSON followed by a tab and the first 16 hexadecimal digits of the JSON's SHA-256. What a power cut left of a
last line is therefore known for what it is, and everything before it holds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nixel.acquisition.recording.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FrameRecord", "Journal", "encode"]

VERSION = 1


@dataclass(frozen=True)
class FrameRecord:
    """A frame that is committed.

    Parameters
    ----------
    index : int
        From 0, in the order of recording.
    sha256 : str
        Of its bytes.
    note : mapping
        What came with it: the camera's number, its time, the position, whether it is background.
    """

    index: int
    sha256: str
    note: Mapping[str, Any]


@dataclass(frozen=True)
class Journal:
    """What a journal says.

    Parameters
    ----------
    header : mapping
        The recording's, as it was begun.
    frames : list of FrameRecord
    end : mapping, optional
        How the recording ended (``reason``, ``counters``); None if it was cut off.
    torn : bytes
        What follows the last good line; empty unless it was cut off or damaged.
    """

    header: Mapping[str, Any]
    frames: list[FrameRecord] = field(default_factory=list)
    end: Mapping[str, Any] | None = None
    torn: bytes = b""

    @classmethod
    def parse(cls, data: bytes, where: str) -> Journal:
        """Read a journal as far as it is good.

        Parameters
        ----------
        data : bytes
        where : str
            The file, for the error.

        Raises
        ------
        RecordingError
            Not even its first line is good: it says nothing about any frame.
        """
        header: Mapping[str, Any] | None = None
        frames: list[FrameRecord] = []
        end, place = None, 0
        while end is None:
            newline = data.find(b"\n", place)
            content = None if newline < 0 else _decode(data[place:newline])
            if content is None:
                break
            if header is None:
                if content.get("version") != VERSION or not isinstance(content.get("recording"), dict):
                    break
                header = content["recording"]
            elif "end" in content:
                end = content["end"]
            elif content.get("frame") == len(frames):
                frames.append(FrameRecord(content["frame"], content["sha256"], content["note"]))
            else:
                break
            place = newline + 1
        if header is None:
            raise RecordingError(
                f"{where}: expected the first line of a recording's journal (version {VERSION}), found "
                f"{data[:60]!r}. Nothing of this recording can be recovered."
            )
        return cls(header, frames, end, data[place:])


def encode(content: Mapping[str, Any]) -> bytes:
    """Return a journal's line.

    Raises
    ------
    TypeError, ValueError
        JSON cannot hold it.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return text + b"\t" + _check(text) + b"\n"


def _decode(line: bytes) -> dict[str, Any] | None:
    text, _, check = line.rpartition(b"\t")
    if check != _check(text):
        return None
    content = json.loads(text)
    return content if isinstance(content, dict) else None


def _check(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()
