"""A stage behind a stepper controller that speaks Grbl 1.1 on a serial line.

Positions are machine coordinates, which Grbl knows after homing: zero at the switches, negative away from them. A move
is one straight line at the feed rate of the instrument file. What the file allows is checked before the controller
hears of it; its own soft limits ($20) are the second line and must be on. The controller's settings that say in which
units and coordinates it reports are read when it is opened and never changed silently.
"""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.adapters.grbl_connection import GrblConnection
from nixel.acquisition.adapters.grbl_dialect import AXES
from nixel.acquisition.adapters.serial_line import DevicePath
from nixel.acquisition.devices import DeviceError, HasProperties, Property, PropertyTable
from nixel.acquisition.quantities import Metre, Quantity, Second
from nixel.acquisition.settings import DeviceSettings, Row

if TYPE_CHECKING:
    from nixel.acquisition.adapters.grbl_dialect import Status

__all__ = ["ADAPTER", "GrblStage", "GrblStageAdapter"]

_POLL = 0.05  # s between two status reports; Grbl asks for no more than five to ten a second in the long run
_SETTLE = 0.3  # s that it may say Idle before a move that it has accepted begins
_SLACK = 5.0  # s that a move may take beyond what its length and feed rate say
_EEPROM = 2.0  # s that writing a setting may take
# By axis: number of the setting of the x axis, name, its unit in ours, and how many of ours one of Grbl's is.
_RATE, _ACCELERATION, _TRAVEL, _STEPS = 110, 120, 130, 100
_SETTINGS = (
    (_RATE, "maximum_rate", "m/s", 1e-3 / 60, "the fastest that its {} axis moves"),
    (_ACCELERATION, "acceleration", "m/s^2", 1e-3, "how fast its {} axis gains speed"),
)


class GrblStage(DeviceSettings):
    """A stage behind a Grbl 1.1 controller."""

    adapter: Literal["grbl-stage"]
    path: DevicePath
    baudrate: int = Field(default=115200, ge=1200)
    timeout: Second = 1.0
    homing_timeout: Second = 60.0
    feed: Annotated[float, Quantity("m/s")]
    travel: dict[Literal["x", "y", "z"], Annotated[tuple[Metre, Metre], Row]]

    addresses = ("path",)

    @model_validator(mode="after")
    def _consistent(self) -> GrblStage:
        if not self.travel:
            raise ValueError('travel: found no axis; expected such as { z = ["-15 mm", "-1 mm"] }')
        for axis, (low, high) in self.travel.items():
            if not low < high:
                raise ValueError(f"travel.{axis}: expected the lower end first")
        for name in ("timeout", "homing_timeout", "feed"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected more than zero")
        return self


class GrblStageAdapter(HasProperties):
    """A stage of one to three axes; a `nixel.acquisition.devices.Stage`.

    Parameters
    ----------
    name : str
    settings : GrblStage
    """

    def __init__(self, name: str, settings: GrblStage) -> None:
        self.name, self._given = name, settings
        self._grbl = GrblConnection(settings.path, name, settings.baudrate, settings.timeout)
        self.where = self._grbl.where
        self.axes: tuple[str, ...] = tuple(axis for axis in AXES if axis in settings.travel)
        self.travel = {axis: settings.travel[axis] for axis in self.axes}  # type: ignore[index]
        self._moving, self._halted = threading.Lock(), threading.Event()
        self._kept: dict[int, float] = {}
        self._table = PropertyTable(self.where)
        self._fill()

    def _fill(self) -> None:
        state = Property(
            "state", "text", description="what it does: Idle, Run, Hold, Alarm, ...", read_only=True
        )
        version = Property("version", "text", description="what the controller says it is", read_only=True)
        pins = Property("pins", "text", description="inputs that are triggered, as XYZ", read_only=True)
        homed = Property("homed", "boolean", "", "whether it knows where it is; true searches the switches")
        self._table.add(homed, lambda: self._grbl.status().state not in ("Alarm", "Home"), self._set_homed)
        self._table.add(state, lambda: self._grbl.status().state)
        self._table.add(version, lambda: self._grbl.version)
        self._table.add(pins, lambda: self._grbl.status().pins)
        for axis in self.axes:
            where = Property(f"position_{axis}", "number", "m", f"where its {axis} axis is", read_only=True)
            self._table.add(where, functools.partial(self._coordinate, axis))
        for first, name, unit, scale, description in _SETTINGS:
            for axis in self.axes:
                number = first + AXES.index(axis)
                prop = Property(
                    f"{name}_{axis}", "number", unit, description.format(axis), minimum=scale * 1e-3
                )
                self._table.add(
                    prop,
                    functools.partial(self._read_setting, number, scale),
                    functools.partial(self._write_setting, number, scale),
                )

    def open(self) -> None:
        """Hear the controller answer, and check that its settings are those of this stage; nothing moves.

        Raises
        ------
        DeviceError
            It does not answer, is no Grbl 1.1, or is set for another machine.
        """
        self._grbl.open()
        try:
            self._kept = self._grbl.settings()
            self._check_settings(self._kept)
        except DeviceError:
            self._grbl.close()
            raise

    def close(self) -> None:
        """Stop what moves, and disconnect.

        Raises
        ------
        DeviceError
            It does not stop, or does not answer.
        """
        if not self._grbl.is_open:
            return
        try:
            if not self._grbl.status().stopped:
                self.halt()
        finally:
            self._grbl.close()

    def position(self) -> dict[str, float]:
        """Return where each axis is, in m, as the controller counts its steps."""
        reached = self._grbl.status().position
        return {axis: reached[axis] for axis in self.axes}

    def move(self, **position: float) -> None:
        """Move axes to positions in m along a straight line, and be there; the other axes stay.

        Raises
        ------
        DeviceError
            Out of reach or not homed (nothing moves then), halted by another thread, stopped by an alarm, not there
            in time (it is halted then), or elsewhere afterwards.
        """
        self._check_target(position)
        if not self._moving.acquire(blocking=False):
            raise self._error("moving", "a stage at rest", "one that another thread moves", "Wait for it.")
        try:
            self._halted.clear()
            status = self._grbl.status()
            if status.state != "Idle":
                remedy = (
                    f"`nixel devices set {self.name}.homed on`."
                    if status.state == "Alarm"
                    else "Resume or halt it."
                )
                raise self._error(
                    "moving", "a stage that is homed and idle", f"the state {status.state}", remedy
                )
            length = max((abs(position[axis] - status.position[axis]) for axis in position), default=0.0)
            words = "".join(f"{axis.upper()}{metres * 1e3:.4f}" for axis, metres in position.items())
            if words:
                self._grbl.command(f"G21G90G94G53G1{words}F{self._given.feed * 60e3:.3f}")
                self._arrive(position, length * 2 / self._given.feed + _SLACK)
        finally:
            self._moving.release()

    def home(self) -> None:
        """Search the switches of all axes: the position is known afterwards.

        Raises
        ------
        DeviceError
            It fails, by the controller's alarm or in time, or another thread moves the stage.
        """
        if not self._moving.acquire(blocking=False):
            raise self._error("homing", "a stage at rest", "one that another thread moves", "Wait for it.")
        try:
            self._halted.clear()
            self._grbl.home(self._given.homing_timeout)
        finally:
            self._moving.release()

    def halt(self) -> None:
        """Stop at once and forget the movement; the position is kept, but for a homing that is cut short.

        May be called while another thread is in `move` or `home`, which raise then.

        Raises
        ------
        DeviceError
            It does not say that it has stopped.
        """
        self._halted.set()
        self._grbl.halt()

    def hold(self) -> None:
        """Pause a movement: it slows down and stops; `resume` goes on with it, `halt` ends it."""
        self._grbl.hold()

    def resume(self) -> None:
        """Go on with a movement that was paused."""
        self._grbl.resume()

    def _arrive(self, target: dict[str, float], limit: float) -> None:
        """Wait until it is there. While it is on hold, by `hold` or by a hand, no time counts."""
        deadline, idle = time.monotonic() + limit, None
        while True:
            status = self._grbl.status()
            now = time.monotonic()
            if self._halted.is_set():
                raise self._error("moving", "to arrive", "that it was halted", "Move it again.")
            if status.state == "Idle":
                if self._is_at(status, target):
                    return
                idle = now if idle is None else idle
                if now - idle > _SETTLE:
                    raise self._error(
                        "moving", _shown(target), _shown(self.position()), "Look what blocks it, and home it."
                    )
            elif status.state not in ("Run", "Hold"):
                raise self._error("moving", "to arrive", f"the state {status.state}", "Home it.")
            else:
                idle = None
            if status.state == "Hold":
                deadline = now + limit
            elif now > deadline:
                self.halt()
                raise self._error(
                    "moving", f"to arrive within {limit:.1f} s", _shown(self.position()), "It was halted."
                )
            time.sleep(_POLL)

    def _is_at(self, status: Status, target: dict[str, float]) -> bool:
        # Reports have three decimals of a mm, and a target may lie between two steps.
        return all(abs(status.position[axis] - target[axis]) <= self._grain[axis] for axis in target)

    def _check_target(self, target: dict[str, float]) -> None:
        for axis, metres in target.items():
            if axis not in self.travel:
                raise self._error("moving", f"the axes {', '.join(self.axes)}", axis, "Choose among those.")
            low, high = self.travel[axis]
            if not low <= metres <= high:
                expected = f"{axis} from {low:g} m to {high:g} m"
                raise self._error("moving", expected, f"{metres:g} m", "Nothing was moved.")

    def _check_settings(self, found: dict[int, float]) -> None:
        needed = {
            10: "report machine positions",
            13: "report in mm",
            20: "have soft limits on",
            22: "be homed",
        }
        right = {
            10: int(found.get(10, 0)) & 1 == 1, 13: found.get(13) == 0, 20: found.get(20) == 1, 22: found.get(22) == 1,
        }  # fmt: skip
        for number, purpose in needed.items():
            if not right[number]:
                value = f"${number}={found[number]:g}" if number in found else f"no ${number}"
                wanted = f"${number}={0 if number == 13 else 1}"
                remedy = f"Send {wanted} with a terminal program, once: the controller keeps it."
                raise self._error("opening", f"a controller set to {purpose} ({wanted})", value, remedy)
        self._grain = {}
        for axis, (low, high) in self.travel.items():
            number = AXES.index(axis)
            reach, steps = found.get(_TRAVEL + number, 0.0) * 1e-3, found.get(_STEPS + number, 0.0)
            if not (steps > 0 and -reach <= low and high <= 0):
                raise self._error(
                    "opening",
                    f"a {axis} axis that travels from {low:g} m to {high:g} m, below its switch",
                    f"one from {-reach:g} m to 0 m (${_TRAVEL + number})",
                    "Correct the instrument file's travel, or the controller's setting.",
                )
            self._grain[axis] = max(1e-3 / steps, 1e-6) + 1e-9

    def _set_homed(self, homed: bool) -> None:
        if not homed:
            raise self._error(
                "setting homed", "true", "false", "It forgets where it is when it loses its power."
            )
        self.home()

    def _coordinate(self, axis: str) -> float:
        return self.position()[axis]

    def _read_setting(self, number: int, scale: float) -> float:
        # The controller does not print its settings while it moves. It has one user, so they are as last read.
        return self._kept[number] * scale

    def _write_setting(self, number: int, scale: float, value: float) -> None:
        self._grbl.command(f"${number}={value / scale:.3f}", _EEPROM)
        self._kept = self._grbl.settings()
        kept = self._kept[number]
        if abs(kept - value / scale) > 1e-3:
            raise self._error(f"setting ${number}", f"{value / scale:.3f}", f"{kept:g}", "Set another value.")

    def _error(self, what: str, expected: str, found: str, remedy: str) -> DeviceError:
        return DeviceError(what, where=self.where, expected=expected, found=found, remedy=remedy)


def _shown(position: dict[str, float]) -> str:
    return ", ".join(f"{axis} = {metres * 1e3:.3f} mm" for axis, metres in position.items())


def _make(name: str, settings: GrblStage, _around: Surroundings) -> GrblStageAdapter:
    return GrblStageAdapter(name, settings)


ADAPTER = Adapter(GrblStage, _make)
