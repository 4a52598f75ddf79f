"""The recorder: the thread that brings frames from the buffer to the disk."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nixel.acquisition.recording.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nixel.acquisition.recording.ring import FrameRing
    from nixel.acquisition.recording.spool import Spool

__all__ = ["Counters", "Recorder"]

_POLL = 0.05  # s


@dataclass
class Counters:
    """What happened on the way, for the dataset.

    Attributes
    ----------
    received, committed : int
        Frames that came from the device, and that are safe on the disk.
    refused : int
        Frames for which there was no room: the run ended at the first.
    buffer_frames, buffer_peak : int
        Frames that the buffer holds, and the most that it held.
    longest_write : float
        The longest time that the disk took for what it was given at once, in s.
    """

    received: int = 0
    committed: int = 0
    refused: int = 0
    buffer_frames: int = 0
    buffer_peak: int = 0
    longest_write: float = 0.0


class Recorder:
    """Records frames; use as a context, which ends the recording whatever happens.

    A block that ends well is a complete recording; one that raises ends it too, with everything that was received on
    the disk and the reason in the journal.

    Parameters
    ----------
    spool : Spool
    ring : FrameRing
        The memory that stands between a device that does not wait and a disk that may stall.
    commit_every : float
        Seconds between commits, at most: what a power cut may take.
    """

    def __init__(self, spool: Spool, ring: FrameRing, commit_every: float = 0.2) -> None:
        self.spool, self._ring, self._commit_every = spool, ring, commit_every
        self.counters = Counters(buffer_frames=ring.slots)
        self._ending = threading.Event()
        self._failure: RecordingError | None = None
        self._thread = threading.Thread(target=self._work, name="recorder")

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._ending.set()
        self._thread.join()
        try:
            if self._failure is None:
                self.spool.end(_reason(error), asdict(self._counted()))
        except RecordingError as failure:
            self._failure = failure
        finally:
            self.spool.close()
        if self._failure is not None and error is None:
            raise self._failure

    def put(self, frame: NDArray[Any], note: Mapping[str, Any], patience: float = 0.0) -> None:
        """Take a frame from the device.

        Parameters
        ----------
        frame : array
        note : mapping
            What goes with it into the journal.
        patience : float
            Seconds that the device can wait for room.

        Raises
        ------
        RecordingError
            There was no room, or the disk failed: the run cannot go on, and the error says so. No frame is dropped
            without one.
        """
        if self._failure is not None:
            raise self._failure
        self.counters.received += 1
        if not self._ring.put(frame, note, patience):
            if self._failure is not None:
                raise self._failure
            self.counters.refused += 1
            counted = self._counted()
            raise RecordingError(
                f"the buffer is full: expected the disk to take {frame.nbytes} bytes a frame as they come, found "
                f"{self._ring.slots} frames waiting and {counted.committed} committed after "
                f"{counted.received} (the longest write took {counted.longest_write:.2f} s). The run ends here; "
                "choose a faster disk, a lower frame rate or a larger buffer."
            )

    def check(self) -> None:
        """Raise `RecordingError` if the disk has failed."""
        if self._failure is not None:
            raise self._failure

    def _counted(self) -> Counters:
        self.counters.committed, self.counters.buffer_peak = self.spool.committed, self._ring.peak
        return self.counters

    def _work(self) -> None:
        committed = time.monotonic()
        try:
            while True:
                ending = self._ending.is_set()
                frames, notes = self._ring.take(_POLL)
                began = time.monotonic()
                if len(notes):
                    self.spool.append(frames, notes)
                    self._ring.release(len(notes))
                if began - committed >= self._commit_every or not len(notes):
                    self.spool.commit()
                    committed = time.monotonic()
                self.counters.longest_write = max(self.counters.longest_write, time.monotonic() - began)
                if ending and not len(notes):
                    return
        except RecordingError as failure:
            self._failure = failure
        except Exception as error:  # noqa: BLE001 (nothing may be lost in silence, whatever went wrong)
            self._failure = RecordingError(
                f"{self.spool.folder}: recording: {type(error).__name__}: {error}."
            )
        finally:
            self._ring.close()


def _reason(error: BaseException | None) -> str:
    if error is None:
        return "complete"
    # nixel's own errors speak for themselves.
    ours = type(error).__module__.startswith("nixel.")
    return str(error) if ours else f"{type(error).__name__}: {error}"
