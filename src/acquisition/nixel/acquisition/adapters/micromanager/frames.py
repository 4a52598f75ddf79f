"""Frames out of Micro-Manager's core, in the worker process: its circular buffer never overflows unnoticed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nixel.acquisition.workers.serve import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Frames"]

_FOREVER = 2**31 - 1  # frames: as many as the core can count
_POLL = 0.001  # s


class Frames:
    """The cameras of a core, of which one takes a sequence at a time.

    Parameters
    ----------
    core : pymmcore.CMMCore
    metadata : callable
        Makes an empty ``pymmcore.Metadata``.
    """

    names = ("geometry", "set_exposure", "set_roi", "start", "stop", "next", "snap")

    def __init__(self, core: Any, metadata: Callable[[], Any]) -> None:  # noqa: ANN401 (has no types)
        self._core, self._metadata = core, metadata
        self._taken = 0

    def geometry(self, label: str) -> dict[str, Any]:
        """What a frame of a camera is, and its exposure in ms."""
        core = self._core
        self._select(label)
        return {
            "shape": [core.getImageHeight(), core.getImageWidth()],
            "bits": core.getImageBitDepth(),
            "bytes": core.getBytesPerPixel(),
            "components": core.getNumberOfComponents(),
            "exposure": core.getExposure(label),
            "roi": list(core.getROI(label)),
        }

    def set_exposure(self, label: str, milliseconds: float) -> None:
        """Set the exposure; whether it may change during a sequence is the adapter's business."""
        self._core.setExposure(label, milliseconds)

    def set_roi(self, label: str, roi: Sequence[int] | None) -> None:
        """Read out a part of the sensor: x, y, width, height in pixels as binned; all of it for None."""
        core = self._core
        self._idle(label)
        self._select(label)
        before = core.getROI(label)
        core.clearROI()
        if roi is None:
            return
        # Some adapters take what is outside of the sensor without a word.
        x, y, width, height = roi
        columns, rows = core.getImageWidth(), core.getImageHeight()
        if min(x, y) < 0 or min(width, height) < 1 or x + width > columns or y + height > rows:
            core.setROI(label, *before)
            raise Refusal("roi", f"the sensor has {columns} x {rows} pixels")
        core.setROI(label, x, y, width, height)

    def start(self, label: str) -> int:
        """Start a sequence; return how many frames the buffer holds."""
        core = self._core
        if core.isSequenceRunning():
            raise Refusal(
                "running", f'camera "{core.getCameraDevice()}" of this core takes a sequence already'
            )
        self._select(label)
        self._greyscale()
        self._taken = 0
        core.startSequenceAcquisition(label, _FOREVER, 0.0, True)
        return int(core.getBufferTotalCapacity())

    def stop(self, label: str) -> None:
        """End the sequence, and forget the frames that nobody took."""
        self._core.stopSequenceAcquisition(label)
        self._core.clearCircularBuffer()

    def next(self, label: str, wait: float) -> list[Any] | None:
        """Number, time (monotonic, in s), shape, bytes a pixel and pixels of the oldest frame; None if none came."""
        core = self._core
        deadline = time.monotonic() + wait
        while core.getRemainingImageCount() == 0:
            # Whether it runs is asked first: a frame may come between the questions, and none after an end.
            running = core.isSequenceRunning(label)
            if core.isBufferOverflowed() and core.getRemainingImageCount() == 0:
                raise Refusal(
                    "overflow",
                    f"{self._taken} frames handed over, the last number {self._taken - 1}; the buffer of "
                    f"{core.getBufferTotalCapacity()} frames was full when the next one came, which is lost",
                )
            if not running and core.getRemainingImageCount() == 0:
                raise Refusal("stopped", f"a camera that takes no sequence, after {self._taken} frames")
            if time.monotonic() >= deadline:
                return None
            time.sleep(_POLL)
        tags = self._metadata()
        pixels = core.popNextImageMD(tags)
        number = self._taken
        if tags.HasTag("ImageNumber"):
            number = int(tags.GetSingleTag("ImageNumber").GetValue())
        self._taken += 1
        return [number, self._began(label, tags), *_packed(pixels)]

    def snap(self, label: str) -> list[Any]:
        """As `next`, of one picture alone."""
        self._idle(label)
        self._select(label)
        self._greyscale()
        began = time.monotonic()
        self._core.snapImage()
        return [0, began, *_packed(self._core.getImage())]

    def _began(self, label: str, tags: Any) -> float:  # noqa: ANN401 (has no types)
        """When the exposure began, as far as is known: it was received one exposure later."""
        received = time.monotonic()
        if tags.HasTag("TimeReceivedByCore"):
            # The worker's time zone is UTC.
            text = tags.GetSingleTag("TimeReceivedByCore").GetValue()
            wall = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
            received = min(received, wall - (time.time() - received))
        return received - float(self._core.getExposure(label)) / 1e3

    def _select(self, label: str) -> None:
        if self._core.getCameraDevice() != label:
            self._core.setCameraDevice(label)

    def _idle(self, label: str) -> None:
        if self._core.isSequenceRunning(label):
            raise Refusal("running", "a camera that takes a sequence")

    def _greyscale(self) -> None:
        core = self._core
        if core.getNumberOfComponents() != 1 or core.getBytesPerPixel() not in (1, 2):
            raise Refusal(
                "pixels",
                f"{core.getNumberOfComponents()} components in {core.getBytesPerPixel()} bytes a pixel",
            )


def _packed(pixels: NDArray[np.unsignedinteger]) -> list[Any]:
    import numpy as np

    return [list(pixels.shape), pixels.dtype.itemsize, np.ascontiguousarray(pixels)]
