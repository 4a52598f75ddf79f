"""A bounded buffer between the thread that takes frames and the one that writes them."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.recording.errors import RecordingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

__all__ = ["FrameRing"]


class FrameRing:
    """Frames of one shape in memory that is taken once, at the start; one producer, one consumer.

    Parameters
    ----------
    shape : sequence of int
        Of a frame.
    dtype : dtype
    capacity : int
        In bytes: as many whole frames as fit are held, and never more.

    Attributes
    ----------
    slots : int
        Frames that it holds.
    peak : int
        The most that it ever held.

    Raises
    ------
    RecordingError
        Fewer than two frames fit.
    """

    def __init__(self, shape: Sequence[int], dtype: DTypeLike, capacity: int) -> None:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self.slots = capacity // size if size else 0
        if self.slots < 2:
            raise RecordingError(
                f"the buffer: expected room for two frames of {size} bytes or more, found {capacity} bytes. "
                "Give it more memory, or choose smaller frames."
            )
        # Touched now, so that the memory is there before the run and not in the middle of it (zeros alone are not).
        self._frames = np.empty((self.slots, *shape), dtype)
        self._frames.fill(0)
        self._notes: list[Mapping[str, Any]] = [{}] * self.slots
        self._condition = threading.Condition()
        self._first = self._held = 0
        self._closed = False
        self.peak = 0

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self._frames.nbytes

    def put(self, frame: NDArray[Any], note: Mapping[str, Any], patience: float = 0.0) -> bool:
        """Copy a frame in.

        Parameters
        ----------
        frame : array
            Of the ring's shape and dtype.
        note : mapping
            What goes with it into the journal.
        patience : float
            Seconds to wait for room: zero for a device that does not wait either.

        Returns
        -------
        bool
            False if there is no room: the frame is not kept, and it is the caller's to say so.

        Raises
        ------
        RecordingError
            The frame is of another shape or type.
        """
        if frame.shape != self._frames.shape[1:] or frame.dtype != self._frames.dtype:
            raise RecordingError(
                f"a frame: expected {self._frames.dtype} of shape {self._frames.shape[1:]}, found {frame.dtype} "
                f"of shape {frame.shape}. The device's settings changed during the run: start it anew."
            )
        with self._condition:
            self._condition.wait_for(lambda: self._held < self.slots or self._closed, patience)
            if self._held == self.slots or self._closed:
                return False
            slot = (self._first + self._held) % self.slots
        # Nobody reads or writes this slot until it is counted.
        self._frames[slot] = frame
        self._notes[slot] = note
        with self._condition:
            self._held += 1
            self.peak = max(self.peak, self._held)
            self._condition.notify_all()
        return True

    def take(self, timeout: float) -> tuple[NDArray[Any], list[Mapping[str, Any]]]:
        """Return the oldest frames that lie side by side, without copying; `release` gives their room back.

        Parameters
        ----------
        timeout : float
            Seconds to wait for one.

        Returns
        -------
        frames : array, shape (n, ...)
            None after the timeout (n = 0).
        notes : list of mapping
        """
        deadline = time.monotonic() + timeout
        with self._condition:
            self._condition.wait_for(lambda: self._held > 0, max(0.0, deadline - time.monotonic()))
            end = min(self._first + self._held, self.slots)
            return self._frames[self._first : end], self._notes[self._first : end]

    def release(self, count: int) -> None:
        """Give the room of the oldest frames back."""
        with self._condition:
            self._first = (self._first + count) % self.slots
            self._held -= count
            self._condition.notify_all()

    def close(self) -> None:
        """Take no more frames; who waits for room waits no longer."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
