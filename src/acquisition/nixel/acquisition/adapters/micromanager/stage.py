"""A stage behind Micro-Manager: two axes in the plane, or one."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

from nixel.acquisition.adapters.adapter import Adapter
from nixel.acquisition.adapters.micromanager.device import MicroManagerDeviceAdapter, maker
from nixel.acquisition.adapters.micromanager.settings import MicroManagerStage
from nixel.acquisition.devices import DeviceError, Property, PropertyTable

if TYPE_CHECKING:
    from nixel.acquisition.adapters.micromanager.core import MicroManagerCore

__all__ = ["ADAPTER", "MicroManagerStageAdapter"]

_MICRO = 1e-6  # Micro-Manager's lengths are in µm


class MicroManagerStageAdapter(MicroManagerDeviceAdapter[MicroManagerStage]):
    """A stage; `halt` may come from another thread while `move` waits."""

    hidden = ("Position",)

    def __init__(self, settings: MicroManagerStage, name: str, core: MicroManagerCore, hub: str = "") -> None:
        super().__init__(settings, name, core, hub)
        self.travel = dict(settings.travel)
        self.axes: tuple[str, ...] = tuple(self.travel)

    def move(self, **position: float) -> None:
        """Move axes to positions in m and be there.

        Raises
        ------
        DeviceError
            Out of reach or no axis of it (nothing moves then), still moving after its timeout (it is halted then), or
            elsewhere afterwards.
        """
        for axis, wanted in position.items():
            if axis not in self.travel:
                raise self._wrong("moving", f"the axes {', '.join(self.axes)}", axis, "Choose among those.")
            low, high = self.travel[axis]
            if not low <= wanted <= high:
                raise self._wrong(
                    "moving", f"{axis} within {low:g} m to {high:g} m", f"{wanted:g} m", "Nothing was moved."
                )
        goal = self.position() | position
        self._go("moving", f"move_{self._kind}", *(goal[axis] / _MICRO for axis in self.axes))
        reached = self.position()
        if any(abs(reached[axis] - goal[axis]) > self._settings.tolerance for axis in position):
            raise self._wrong(
                "moving",
                _words(goal),
                _words(reached),
                "Look whether the stage is blocked, and move it home.",
            )

    def position(self) -> dict[str, float]:
        """Return where each axis is, in m, as the device says."""
        numbers = self._call("reading its position", self._kind, self.label)
        # Some adapters have a negative zero.
        return {axis: number * _MICRO + 0.0 for axis, number in zip(self.axes, numbers, strict=True)}

    def home(self) -> None:
        """Have the device find its home position; not every one can."""
        self._go("moving home", "home")

    def halt(self) -> None:
        """Stop a movement at once."""
        self._call("halting", "halt", self.label)

    @property
    def _kind(self) -> str:
        return "xy" if len(self.axes) == 2 else "z"

    def _go(self, what: str, method: str, *arguments: float) -> None:
        try:
            self._call(what, method, self.label, *arguments)
            self._wait(what)
        except BaseException:
            with contextlib.suppress(DeviceError):
                self.halt()
            raise

    def _expect_kind(self) -> None:
        super()._expect_kind()
        found = self._call("opening", "kind", self.label)
        if (found == "xy-stage") != (len(self.axes) == 2):
            expected = "travel for x and y" if found == "xy-stage" else "travel for one axis"
            raise self._wrong(
                "opening", expected, f"travel for {', '.join(self.axes)}", "Correct the instrument file."
            )

    def _rest(self) -> None:
        if self._call("closing", "busy", [self.label]):
            self.halt()

    def _wrong(self, what: str, expected: str, found: str, remedy: str) -> DeviceError:
        return DeviceError(what, where=self.where, expected=expected, found=found, remedy=remedy)

    def _coordinate(self, axis: str) -> float:
        return self.position()[axis]

    def _add_own(self, table: PropertyTable) -> None:
        for axis in self.axes:
            prop = Property(f"position_{axis}", "number", "m", f"where its {axis} axis is", read_only=True)
            table.add(prop, functools.partial(self._coordinate, axis))


def _words(position: dict[str, float]) -> str:
    return ", ".join(f"{axis} {number:g} m" for axis, number in position.items())


ADAPTER = Adapter(MicroManagerStage, maker(MicroManagerStageAdapter))
