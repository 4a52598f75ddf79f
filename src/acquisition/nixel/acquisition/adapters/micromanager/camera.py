"""A camera behind Micro-Manager."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.adapters.adapter import Adapter
from nixel.acquisition.adapters.micromanager.device import MicroManagerDeviceAdapter, maker
from nixel.acquisition.adapters.micromanager.settings import MicroManagerCamera
from nixel.acquisition.devices import DeviceError, Frame, Property, PropertyTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["ADAPTER", "MicroManagerCameraAdapter"]

_WAIT = 0.05  # s: so long others on the core may have to wait for a camera's next frame
_GREY = "Set its pixel type to 8 or 16 bit grey."
_REGION = re.compile(r"\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*")


class MicroManagerCameraAdapter(MicroManagerDeviceAdapter[MicroManagerCamera]):
    """A camera: sequences through the core's circular buffer, and single pictures.

    A frame that the buffer cannot hold ends the sequence: `frame` gives those before it, and then the error that
    counts them. Pixels are grey, of 8 or 16 bit; no adapter says which colour filters there are, so `pattern` is
    empty.
    """

    hidden = ("Exposure",)
    pattern = ""
    _seen: tuple[int, Mapping[str, Any]] = (-1, {"shape": (0, 0), "bits": 0})

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, as binned and cut out."""
        rows, columns = self._known()["shape"]
        return int(rows), int(columns)

    @property
    def bits(self) -> int:
        """Of a pixel."""
        return int(self._known()["bits"])

    def start(self) -> None:
        """Begin to take pictures, as fast as exposure and camera allow.

        Raises
        ------
        DeviceError
            It takes some already, as another camera on the core may, or its pixels are not grey.
        """
        self._call(
            "starting", "start", self.label, expected="a camera at rest, with grey pixels", remedy=_GREY
        )

    def stop(self) -> None:
        """Take no more, and forget the pictures that nobody took."""
        self._call("stopping", "stop", self.label)

    def frame(self, timeout: float) -> Frame:
        """Return the next picture, waiting at most so many seconds.

        Raises
        ------
        DeviceError
            None came in time, the core's buffer overflowed (the error has the counts), or the camera stopped.
        """
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            answer = self._call(
                "taking a frame",
                "next",
                self.label,
                max(0.0, min(_WAIT, left)),
                expected="every frame, of a camera that was started",
                remedy="If frames came too fast, take them faster, or give the core a larger buffer.",
            )
            if answer is not None:
                return self._frame(answer)
            if left <= 0:
                raise DeviceError(
                    "taking a frame",
                    where=self.where,
                    expected=f"one within {timeout:g} s",
                    found="none",
                    remedy="Check its exposure and its trigger.",
                )

    def snap(self) -> Frame:
        """Take one picture; the camera takes no sequence then. Its number is 0.

        Raises
        ------
        DeviceError
            It takes a sequence, its pixels are not grey, or it does not answer within its timeout and its exposure.
        """
        limit = self._settings.timeout + self._exposure()
        return self._frame(self._call("taking a picture", "snap", self.label, timeout=limit, remedy=_GREY))

    def set_region(self, region: Sequence[int] | None) -> None:
        """Read out a part of the sensor.

        Parameters
        ----------
        region : sequence of int
            First column and row, columns and rows, as binned; None for all of the sensor.

        Raises
        ------
        DeviceError
            It is outside of the sensor, or the camera takes a sequence.
        """
        wanted = None if region is None else list(region)
        try:
            self._call(
                "setting its region",
                "set_roi",
                self.label,
                wanted,
                expected=f"a part of the sensor, not {wanted}",
                remedy="Nothing was changed.",
            )
        finally:
            self._core.changed()

    def _frame(self, answer: Sequence[Any]) -> Frame:
        number, began, shape, size, data = answer
        pixels = np.frombuffer(data, f"<u{size}").reshape(shape)
        if self.bits <= 8 < pixels.itemsize * 8:
            # Who knows the bits knows the type: 8 of them are one byte, however the adapter pads them.
            if pixels.max() > 255:
                raise DeviceError(
                    "taking a frame",
                    where=self.where,
                    expected=f"pixels of {self.bits} bits, as the camera says",
                    found=f"a value of {pixels.max()}",
                    remedy="Set its bit depth or its pixel type to what it sends.",
                )
            pixels = pixels.astype(np.uint8)
        return Frame(number, began, pixels)

    def _rest(self) -> None:
        self.stop()

    def _geometry(self, key: str) -> Any:  # noqa: ANN401 (what messages carry)
        return self._call("reading its geometry", "geometry", self.label)[key]

    def _known(self) -> Mapping[str, Any]:
        """Return its geometry, asked anew after whatever may have changed it."""
        with self._lock:
            revision = self._core.revision
            if self._is_open and self._seen[0] != revision:
                self._seen = (revision, self._call("reading its geometry", "geometry", self.label))
            return self._seen[1]

    def _prepare(self) -> None:
        self._seen = (-1, {})
        self._known()

    def _exposure(self) -> float:
        return float(self._geometry("exposure")) / 1e3

    def _set_exposure(self, seconds: float) -> None:
        self._call("setting exposure", "set_exposure", self.label, seconds * 1e3)
        self._wait("setting exposure")

    def _region(self) -> str:
        return ", ".join(str(number) for number in self._geometry("roi"))

    def _write_region(self, text: str) -> None:
        match = _REGION.fullmatch(text)
        if match is None and text != "all":
            raise DeviceError(
                "setting region",
                where=self.where,
                expected='first column and row, columns and rows as "0, 0, 640, 480", or "all"',
                found=repr(text),
                remedy="Nothing was changed.",
            )
        self.set_region(None if match is None else [int(number) for number in match.groups()])

    def _add_own(self, table: PropertyTable) -> None:
        exposure = Property("exposure", "number", "s", "of a picture", minimum=0.0)
        table.add(exposure, self._exposure, self._set_exposure)
        region = Property(
            "region",
            "text",
            "",
            'first column and row, columns and rows that are read out, as binned; or "all"',
        )
        table.add(region, self._region, self._write_region)


ADAPTER = Adapter(MicroManagerCamera, maker(MicroManagerCameraAdapter))
