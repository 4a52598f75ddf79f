"""libcamera's own program ``cam``: how it is asked for raw frames, and what it says of each. No processes here.

``cam --file=FIFO`` writes a frame's bytes into the file, one write after another, and then one line to its standard
output with the frame's time, sequence number and size; ``--metadata`` adds a line for each value that the camera had
for that frame. So the bytes of a frame are those before its line that no earlier line counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from nixel.acquisition.cameras.raw import RawFormat

__all__ = ["Described", "arguments", "describe", "libcamera_name", "metadata", "script", "stride_of"]

# 12.345678 (29.97 fps) cam0-stream0 seq: 000017 bytesused: 10171392
_FRAME = re.compile(r"(\d+)\.(\d{6}) \(.*? fps\) \S+ seq: (\d+) bytesused: (\d+)\s*")
_METADATA = re.compile(r"\t(\w+) = (.*)")
_ALIGNMENTS = (1, 16, 32, 64, 128, 256)
_PAGE = 4096


@dataclass
class Described:
    """What ``cam`` says of one frame; `metadata` fills up afterwards, line by line."""

    sequence: int
    time: float
    size: int
    metadata: dict[str, str] = field(default_factory=dict)


def libcamera_name(layout: RawFormat) -> str:
    """Return libcamera's name of a raw format."""
    name = layout.name.removesuffix("P")
    if not layout.pattern:
        name = f"R{layout.bits}"
    return f"{name}_CSI2P" if layout.packed else name


def arguments(
    camera: str, layout: RawFormat, shape: tuple[int, int], fifo: Path, controls: Path
) -> list[str]:
    """Return the command line after the program's name."""
    rows, columns = shape
    stream = f"role=raw,width={columns},height={rows},pixelformat={libcamera_name(layout)}"
    return [
        *("--camera", camera, "--stream", stream, "--strict-formats", "--capture"),
        *(f"--file={fifo}", "--script", str(controls), "--metadata"),
    ]


def script(exposure: float, gain: float, rate: float | None) -> str:
    """Return the capture script that fixes the controls from the first frame on.

    Parameters
    ----------
    exposure : float
        In s.
    gain : float
        Analogue, as a factor.
    rate : float, optional
        In Hz.
    """
    lines = ["frames:", "  - 0:", "      AeEnable: false", f"      ExposureTime: {exposure * 1e6:.0f}"]
    lines.append(f"      AnalogueGain: {gain:.6f}")
    if rate is not None:
        lines.append(f"      FrameDurationLimits: [ {1e6 / rate:.0f}, {1e6 / rate:.0f} ]")
    return "\n".join(lines) + "\n"


def describe(line: str) -> Described | None:
    """Read a line that tells of a frame; `None` for any other."""
    found = _FRAME.fullmatch(line)
    if found is None:
        return None
    seconds, micros, sequence, size = (int(text) for text in found.groups())
    return Described(sequence, seconds + micros * 1e-6, size)


def metadata(line: str) -> tuple[str, str] | None:
    """Read a line of metadata: name and value; `None` for any other."""
    found = _METADATA.fullmatch(line)
    return None if found is None else (found[1], found[2])


def stride_of(layout: RawFormat, shape: tuple[int, int], size: int) -> int:
    """Return the bytes from one row to the next of a frame of so many bytes, which ``cam`` does not tell.

    Rows are aligned to a power of two, and the frame at most to a page.

    Raises
    ------
    ValueError
        No such alignment makes a frame of this size.
    """
    rows, columns = shape
    line = layout.line(columns)
    strides = {-(-line // alignment) * alignment for alignment in _ALIGNMENTS}
    fitting = [stride for stride in strides if 0 <= size - stride * rows < _PAGE]
    if not fitting:
        raise ValueError(f"expected {rows} rows of at least {line} bytes, found {size} bytes")
    return max(fitting)
