"""The virtual microscope's camera: its state, its clock, and frames made beforehand so that the rate can be kept.

Of each setting there are a few lit frames and a few dark ones, each with noise of its own; they come again and again in
turn. What frame n shows follows from the seed, the settings and n alone, but for the moment at which the light goes on.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nixel.acquisition.cameras.raw import FORMATS, pack
from nixel.acquisition.virtual.microscope_scene import SAMPLES, modes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nixel.acquisition.cameras.raw import RawFormat
    from nixel.acquisition.microscope_tables import Microscope
    from nixel.acquisition.virtual.microscope_scene import Mode, Scene

__all__ = ["CONTROLS", "Camera", "CameraError", "Receiver"]

_LIT, _DARK = 4, 2  # frames that are made beforehand
_FORMATS = ("SRGGB10P", "SRGGB10")
_LARGEST_GAIN = 256 / 24
CONTROLS = ("exposure", "gain", "rate", "light", "distance", "sample", "lit", "seed")


class CameraError(Exception):
    """What was asked for cannot be; `code` is the kernel's name for it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Receiver(Protocol):
    """Who streams."""

    def take_buffer(self) -> bool:
        """Take one of its buffers; false if it has none left."""

    def deliver(self, frame: bytes, sequence: int, began: float, lost: int) -> None:
        """Send it a frame; OSError if it is gone."""


@dataclass(frozen=True)
class _Settings:
    mode: Mode
    format: RawFormat
    exposure: float = 2e-3
    gain: float = 1.0
    rate: float = math.inf
    distance: float = 1e-3
    sample: str = "particles"

    @property
    def period(self) -> float:
        """From one frame to the next, in s: the exposure and the sensor's own rate allow no less."""
        return max(1 / self.mode.rate, 1 / self.rate, self.exposure)


class Camera:
    """The camera; its methods may be called from any thread.

    Parameters
    ----------
    scene : Scene
    microscope : Microscope
    seed : int
    powered : callable
        Whether the light's relay has power just now.
    """

    def __init__(self, scene: Scene, microscope: Microscope, seed: int, powered: Callable[[], bool]) -> None:
        self._scene, self._microscope, self._seed, self._powered = scene, microscope, seed, powered
        self.modes = modes(microscope.shape)
        low, high = microscope.distance_range
        self._settings = _Settings(self.modes[0], FORMATS[_FORMATS[0]], distance=math.sqrt(low * high))
        self._light = False
        # One change at a time; the camera's clock never waits for it.
        self._changing = threading.Lock()
        self._frames: tuple[list[bytes], list[bytes]] | None = None
        self._owner: Receiver | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    # --- what it is ---

    def info(self) -> dict[str, object]:
        """Say what there is."""
        return {
            "driver": "nixel-virtual-microscope",
            "card": "simulated IMX219",
            "simulated": True,
            "formats": list(_FORMATS),
            "modes": [[*mode.shape, mode.rate] for mode in self.modes],
            "controls": list(CONTROLS),
        }

    def format(self, who: Receiver, name: str, rows: int, columns: int) -> dict[str, object]:
        """Choose format and mode."""
        with self._changing:
            self._refuse_others(who)
            if self._owner is who:
                raise CameraError("EBUSY", "the camera runs; stop it before the format is changed")
            if name not in _FORMATS:
                raise CameraError("EINVAL", f"the formats {', '.join(_FORMATS)} and no {name!r}")
            mode = next((mode for mode in self.modes if mode.shape == (rows, columns)), None)
            if mode is None:
                known = ", ".join(f"{mode.shape[0]} x {mode.shape[1]}" for mode in self.modes)
                raise CameraError("EINVAL", f"frames of {known} (rows x columns) and no {rows} x {columns}")
            layout = FORMATS[name]
            changed = replace(self._settings, mode=mode, format=layout)
            if changed != self._settings:
                self._settings, self._frames = changed, None
            stride = layout.line(columns)
            return {"format": name, "rows": rows, "columns": columns, "stride": stride, "size": stride * rows}

    # --- controls ---

    def get(self, control: str) -> object:
        """Read a control."""
        settings = self._settings
        values = {
            "exposure": settings.exposure,
            "gain": settings.gain,
            "rate": 1 / settings.period,
            "distance": settings.distance,
            "sample": settings.sample,
            "light": self._light,
            "seed": self._seed,
        }
        if control == "lit":
            return self._light and self._powered()
        if control not in values:
            raise CameraError("EINVAL", f"the controls {', '.join(CONTROLS)} and no {control!r}")
        return values[control]

    def set(self, who: Receiver, control: str, value: object) -> object:
        """Write a control; frames that begin when this returns are as it says."""
        if control == "light":
            if not isinstance(value, bool):
                raise CameraError("EINVAL", f"a light that is true or false, not {value!r}")
            self._light = value
            return value
        with self._changing:
            if control in ("exposure", "gain", "rate"):
                self._refuse_others(who)
            changed = self._changed(control, value)
            # The clock goes on with the frames that there are until the new ones are made.
            frames = None if self._owner is None else self._prepared(changed)
            self._settings, self._frames = changed, frames
            return self.get(control)

    def prepare(self, controls: Mapping[str, object]) -> None:
        """Write controls before anybody is connected.

        Raises
        ------
        CameraError
            A value is out of its range.
        """
        for control, value in controls.items():
            self._settings = self._changed(control, value)

    def _changed(self, control: str, value: object) -> _Settings:
        settings, low, high = self._settings, *self._microscope.distance_range
        match control:
            case "exposure":
                longest = self._microscope.limits.exposure
                return replace(settings, exposure=_number(value, 1e-6, longest, "an exposure", "s"))
            case "gain":
                return replace(settings, gain=_number(value, 1.0, _LARGEST_GAIN, "a gain", ""))
            case "rate":
                most = settings.mode.rate
                return replace(settings, rate=_number(value, 0.01, most, "a rate", "Hz"))
            case "distance":
                return replace(settings, distance=_number(value, low, high, "a distance", "m"))
            case "sample" if value in SAMPLES:
                return replace(settings, sample=str(value))
            case "sample":
                raise CameraError("EINVAL", f"the samples {', '.join(SAMPLES)} and no {value!r}")
        raise CameraError("EINVAL", f"no control {control!r} that can be set")

    def _prepared(self, new: _Settings) -> tuple[list[bytes], list[bytes]]:
        """Return the lit and the dark frames of some settings."""
        old = self._settings
        if self._frames is not None and replace(new, rate=old.rate) == old:
            return self._frames
        lit = self._scene.photons(new.mode, new.sample, new.distance, new.exposure)
        made = []
        for photons, count in ((lit, _LIT), (np.zeros_like(lit), _DARK)):
            each = [
                self._scene.expose(photons, new.exposure, new.gain, number + _LIT * (photons is not lit))
                for number in range(count)
            ]
            made.append([pack(pixels, new.format) for pixels in each])
        return made[0], made[1]

    # --- the stream ---

    def start(self, who: Receiver) -> None:
        """Begin to send frames to somebody."""
        with self._changing:
            self._refuse_others(who)
            if self._owner is who:
                raise CameraError("EBUSY", "the camera runs already")
            self._frames = self._prepared(self._settings)
            self._owner = who
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(who, self._stop), daemon=True)
            self._thread.start()

    def stop(self, who: Receiver) -> None:
        """Send no more, if it is who receives them."""
        with self._changing:
            if self._owner is not who or self._thread is None:
                return
            self._stop.set()
            self._thread.join()
            self._owner = self._thread = None

    def _refuse_others(self, who: Receiver) -> None:
        if self._owner not in (None, who):
            raise CameraError("EBUSY", "a camera that another connection is using")

    def _run(self, who: Receiver, stop: threading.Event) -> None:
        """Keep the camera's time: what comes late is lost, as on a sensor, that waits for nobody."""
        number = lost = 0
        due, period = time.monotonic(), self._settings.period
        while True:
            if stop.wait(max(0.0, due - time.monotonic())):
                return
            lit = self._light and self._powered()
            if stop.wait(self._settings.exposure):
                return
            frames = self._frames
            assert frames is not None  # there are frames as long as somebody streams
            ring = frames[0 if lit else 1]
            if who.take_buffer():
                try:
                    who.deliver(ring[number % len(ring)], number, due, lost)
                except OSError:
                    return
            else:
                lost += 1
            number, due = number + 1, due + period
            period = self._settings.period
            late = math.floor((time.monotonic() - due) / period)
            if late > 0:
                number, due, lost = number + late, due + late * period, lost + late


def _number(value: object, low: float, high: float, what: str, unit: str) -> float:
    # JSON's true is a number to Python.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise CameraError("ERANGE", f"{what} from {low:g} to {high:g} {unit}".rstrip() + f", not {value!r}")
    return float(value)
