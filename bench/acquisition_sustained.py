"""A camera that does not wait, through the recorder onto the disk, for long; and with a disk that stands still."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from figure import Figure

from nixel.acquisition.formats.ome_zarr_frames import FrameImage, write_frames
from nixel.acquisition.recording import FrameRing, Recorder, RecordingError, Spool, recover
from nixel.acquisition.recording import spool as spool_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = ["measure", "record"]

SHAPE = (2464, 3280)  # an IMX219's
DTYPE = "<u2"
RATE = 2.0  # frames a second: 32.3 MB/s
BUFFER = 2**28
PROMISED = 30e6  # bytes a second
LONG, SHORT = 600.0, 6.0  # s


def record(folder: Path, seconds: float, stall: float = 0.0) -> dict[str, Any]:
    """Record a camera's frames into an OME-Zarr image, and check every one of them.

    Parameters
    ----------
    folder : Path
        Which is made and is left.
    seconds : float
    stall : float
        Seconds that one write in the middle does not return for.

    Returns
    -------
    dict
        What was measured, as JSON.
    """
    count = max(2, round(seconds * RATE))
    frames = list(_camera())
    begun = _memory()
    folder.mkdir()
    spool = Spool.create(
        folder / "run.recording", shape=SHAPE, dtype=DTYPE, what={"frames": count}, per_file=1
    )
    ring = FrameRing(SHAPE, DTYPE, BUFFER)
    recorder, late, failure = Recorder(spool, ring), 0.0, ""
    with contextlib.ExitStack() as stack:
        if stall:
            stack.enter_context(_stalling(count // 3, stall))
        start = time.monotonic()
        try:
            with recorder:
                for number in range(count):
                    due = start + number / RATE
                    time.sleep(max(0.0, due - time.monotonic()))
                    late = max(late, time.monotonic() - due)
                    frame = frames[number % len(frames)]
                    frame[0, :4] = np.frombuffer(np.int64(number).tobytes(), "<u2")
                    recorder.put(frame, {"number": number})
        except RecordingError as error:
            failure = str(error)
        took = time.monotonic() - start
    counters = recorder.counters
    image = folder / "run.ome.zarr"
    before = time.monotonic()
    good = _checked(folder / "run.recording", image, count)
    return {
        "seconds": took,
        "frames": count,
        "good": good,
        "bytes_per_second": counters.committed * frames[0].nbytes / max(took, count / RATE),
        "refused": counters.refused,
        "committed": counters.committed,
        "buffer_bytes": ring.nbytes,
        "buffer_frames": counters.buffer_frames,
        "buffer_peak": counters.buffer_peak,
        "longest_write": counters.longest_write,
        "latest_frame": late,
        "image_seconds": time.monotonic() - before,
        "resident": _memory(),
        "resident_before": begun,
        "failure": failure,
    }


def _camera() -> Iterator[NDArray[np.uint16]]:
    """A few frames of noise about a picture, of 10 bits, as the sensor has."""
    noise = np.random.default_rng(1)
    for _ in range(3):
        yield noise.integers(0, 1024, SHAPE, dtype=np.uint16)


def _checked(recording: Path, image: Path, count: int) -> int:
    """Make the image, and return how many of its frames are the right ones."""
    with recover(recording) as found:
        assert found is not None
        places = {
            (record.note["number"], 0, 0): found.folder / f"frames.{record.index}"
            for record in found.journal.frames
        }
    made = FrameImage((count, 1, 1), SHAPE, DTYPE, "run", ("raw",), (1e-6, 1.12e-6, 1.12e-6), 1 / RATE)
    if not places:
        return 0
    write_frames(image, made, places)
    shutil.rmtree(recording)
    import zarr

    array = zarr.open_array(image / "0", mode="r")
    good = 0
    for number in range(count):
        stamp = np.asarray(array[number, 0, 0, 0, :4])
        good += int(np.ascontiguousarray(stamp).view("<i8")[0] == number)
    return good


@contextlib.contextmanager
def _stalling(at: int, seconds: float) -> Iterator[None]:
    """Let the nth write not return for a while."""
    real: Callable[[int, memoryview], None] = spool_module._write_all
    writes = 0

    def write(descriptor: int, data: memoryview) -> None:
        nonlocal writes
        writes += 1
        if writes == 2 * at:  # a frame and its journal line are two
            time.sleep(seconds)
        real(descriptor, data)

    spool_module._write_all = write
    try:
        yield
    finally:
        spool_module._write_all = real


def _memory() -> int:
    """Peak resident memory of this process, in bytes."""
    # What getrusage tells includes whoever started this process.
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024


def in_a_process(seconds: float, stall: float = 0.0) -> dict[str, Any]:
    """Do the same in a process of its own, whose memory is therefore that of the recording."""
    place = Path(os.environ.get("NIXEL_MEASURE_IN", tempfile.gettempdir()))
    needed = int(seconds * RATE * np.prod(SHAPE) * 2 * 1.05) + 2**28
    free = shutil.disk_usage(place).free
    if free < needed:
        raise RuntimeError(
            f"{place}: expected {needed / 1e9:.1f} GB of free disk, found {free / 1e9:.1f} GB. Name a folder on a "
            "larger disk with NIXEL_MEASURE_IN."
        )
    with tempfile.TemporaryDirectory(prefix="nixel-", dir=place) as folder:
        command = [sys.executable, __file__, str(Path(folder) / "run"), str(seconds), "--stall", str(stall)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the recording process ended with {done.returncode}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def whole(found: dict[str, Any]) -> bool:
    """Whether nothing was refused or lost, within the buffer that is allowed."""
    return (
        not found["failure"]
        and found["good"] == found["frames"] == found["committed"]
        and found["refused"] == 0
        and found["buffer_bytes"] <= BUFFER
    )


def words(found: dict[str, Any]) -> str:
    """What was found, in a sentence."""
    return (
        f"{found['bytes_per_second'] / 1e6:.1f} MB/s for {found['seconds']:.0f} s: {found['good']} of "
        f"{found['frames']} frames right, {found['refused']} refused; buffer {found['buffer_bytes'] / 2**20:.0f} MiB "
        f"of {found['buffer_frames']} frames, at most {found['buffer_peak']} of them held; longest write "
        f"{found['longest_write']:.2f} s; peak resident memory {found['resident'] / 2**20:.0f} MiB"
    )


def measure(long: bool) -> Figure:
    """Record for 10 minutes, or as many seconds as ``NIXEL_SUSTAINED`` says."""
    seconds = float(os.environ.get("NIXEL_SUSTAINED", LONG if long else SHORT))
    found = in_a_process(seconds)
    good = whole(found) and found["bytes_per_second"] >= PROMISED
    return Figure(
        title="Sustained recording",
        bound="30 MB/s for 10 minutes with at most 256 MiB of buffers, no frame lost",
        found=words(found),
        good=good and (not long or seconds >= LONG),
        how=(
            f"A source of {SHAPE[1]} x {SHAPE[0]} frames of 16 bits (8 megapixels) gives {RATE:g} a second and"
            " does not wait; they go through the recorder, one file a frame, each hashed and committed to the"
            " disk, and become an OME-Zarr 0.5 image of the same files. Every frame's hash is compared when "
            "the recording is finished, and its number, stamped into its pixels, read back through zarr. In a"
            " process of its own, so that the peak resident memory is the recording's (the source holds three"
            " frames, 48 MB, and Python with its libraries takes about 80 MB)."
        ),
        values=found,
    )


def main() -> None:
    """Record in this process."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--stall", type=float, default=0.0)
    options = parser.parse_args()
    print(json.dumps(record(options.folder, options.seconds, options.stall)))


if __name__ == "__main__":
    main()
