"""A light that a GPIO line selects or triggers, by gpiozero on a pin factory that is named.

**Not a safety function.** The safety daemon alone energises: what can hurt an eye or a sample hangs on a relay of the
daemon's, and this line only chooses among what that relay feeds (which diode, when it flashes). A line that
``[safety.gpio]`` claims is refused when the instrument is loaded, and the kernel refuses it a second time, because a
line has one owner.

Pin factories: ``lgpio`` is the kernel's own interface to its GPIO chips, and real. ``virtual-panel`` is the virtual
microscope's panel and only for instruments that say that they are simulated. gpiozero's other factories are refused:
``native`` and ``rpigpio`` write to registers past the kernel, and so past the owner of a line; ``pigpio`` is a daemon
that would be another owner; ``mock`` drives nothing. Nothing is chosen by trying.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.devices import DeviceError, HasProperties, Property, PropertyTable
from nixel.acquisition.settings import DeviceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nixel.acquisition.settings import InstrumentTables

__all__ = ["ADAPTER", "GpioLight", "GpioLightAdapter"]

_CHECK = "Check the wiring, who else uses the line, and that this user may open the chip."


class GpioLight(DeviceSettings):
    """A light on a GPIO line."""

    adapter: Literal["gpio-light"]
    factory: Literal["lgpio", "virtual-panel"]
    line: int = Field(ge=0, le=53)
    active: Literal["high", "low"] = "high"
    chip: int = Field(default=0, ge=0)
    path: str = ""

    addresses = ("path",)

    @model_validator(mode="after")
    def _consistent(self) -> GpioLight:
        if (self.factory == "virtual-panel") != bool(self.path):
            raise ValueError("path: expected the panel's socket for the factory virtual-panel, and else none")
        return self

    def check(self, name: str, instrument: InstrumentTables) -> None:
        """Expect a line that the safety daemon does not own, and a virtual panel in a simulated instrument only."""
        if self.factory == "virtual-panel" and not instrument.simulated:
            raise ValueError(
                f'devices.{name}.factory: found "virtual-panel"; expected lgpio, because instrument.simulated is false'
            )
        chip = instrument.safety.get("gpio")
        if not isinstance(chip, dict):
            return
        owned = {str(chip.get("charge_pump")), *chip.get("inputs", ()), *chip.get("outputs", ())}
        # Chips have several names, so a number is refused on whatever chip it is.
        if str(self.line) in owned:
            raise ValueError(
                f"devices.{name}.line: found {self.line}, which is the safety daemon's; expected none of "
                f"{', '.join(sorted(map(str, owned - {'None'}), key=int))}"
            )


class GpioLightAdapter(HasProperties):
    """A light; a `nixel.acquisition.devices.Light`.

    Parameters
    ----------
    name : str
    settings : GpioLight
    factory : callable, optional
        Makes the pin factory; by the settings' own if left out.
    """

    def __init__(self, name: str, settings: GpioLight, factory: Callable[[], Any] | None = None) -> None:
        self.name, self._given = name, settings
        place = settings.path or f"GPIO chip {settings.chip}"
        self.where = f"{name} at line {settings.line} of {place}"
        self._make = factory or (_panel(settings) if settings.path else _kernel(settings))
        self._lock = threading.Lock()
        self._factory: Any = None
        self._device: Any = None
        self._table = PropertyTable(self.where)
        self._table.add(
            Property("on", "boolean", description="whether the line is active"), self.is_on, self.switch
        )

    def open(self) -> None:
        """Take the line, inactive from the beginning.

        Raises
        ------
        DeviceError
            The library, the chip or the line cannot be had.
        """
        with self._said("opening", "the line for ourselves"):
            from gpiozero import DigitalOutputDevice

            self._factory = self._make()
            try:
                self._device = DigitalOutputDevice(
                    self._given.line,
                    active_high=self._given.active == "high",
                    initial_value=False,
                    pin_factory=self._factory,
                )
            except BaseException:
                self._release()
                raise

    def close(self) -> None:
        """Make the line inactive, see it so, and give it back.

        Raises
        ------
        DeviceError
            It does not read as inactive.
        """
        if self._device is None:
            return
        try:
            self.switch(False)
        finally:
            with self._lock:
                self._release()

    def switch(self, on: bool) -> None:
        """Make the line active or not, and read it back.

        Raises
        ------
        DeviceError
            It cannot be driven, or reads otherwise.
        """
        with self._lock, self._said("switching", "the line to be driven"):
            self._opened().value = on
            found = bool(self._opened().value)
        if found != on:
            words = ("inactive", "active")
            raise self._error("switching", f"the line {words[on]}", f"it {words[found]}")

    def is_on(self) -> bool:
        """Return whether the line is active, as the chip says."""
        with self._lock, self._said("reading", "the line's level"):
            return bool(self._opened().value)

    def _opened(self) -> Any:  # noqa: ANN401
        if self._device is None:
            raise ConnectionError("a closed one")
        return self._device

    def _release(self) -> None:
        device, factory, self._device, self._factory = self._device, self._factory, None, None
        for part in (device, factory):
            if part is not None:
                with contextlib.suppress(Exception):
                    part.close()

    @contextlib.contextmanager
    def _said(self, what: str, expected: str) -> Iterator[None]:
        """Turn whatever the libraries raise into an error of the device."""
        try:
            yield
        except ImportError as error:
            found, remedy = str(error), "Install nixel-acquisition[gpio], which brings gpiozero and lgpio."
            raise DeviceError(
                what, where=self.where, expected=expected, found=found, remedy=remedy
            ) from error
        except Exception as error:  # each of the two libraries has errors of its own, under Exception alone
            found = getattr(error, "strerror", None) or str(error).strip("'\"") or repr(error)
            raise self._error(what, expected, found) from error

    def _error(self, what: str, expected: str, found: str) -> DeviceError:
        return DeviceError(what, where=self.where, expected=expected, found=found, remedy=_CHECK)


def _panel(settings: GpioLight) -> Callable[[], Any]:
    def make() -> Any:  # noqa: ANN401 (gpiozero has no types)
        from nixel.acquisition.adapters.panel_pins import PanelFactory

        return PanelFactory(settings.path)

    return make


def _kernel(settings: GpioLight) -> Callable[[], Any]:
    def make() -> Any:  # noqa: ANN401
        # lgpio makes a pipe of its own in this folder as soon as it is loaded.
        os.environ.setdefault("LG_WD", os.environ.get("RUNTIME_DIRECTORY") or tempfile.gettempdir())
        import lgpio
        from gpiozero.pins.lgpio import LGPIOFactory, LGPIOPin

        class Pin(LGPIOPin):  # type: ignore[misc]  # it has no types
            def output_with_state(self, state: bool) -> None:
                # At its level from the beginning: gpiozero would drive it low first.
                lgpio.gpio_claim_output(self.factory._handle, self._number, int(state))

        factory = LGPIOFactory(chip=settings.chip)
        factory.pin_class = Pin
        return factory

    return make


def _make(name: str, settings: GpioLight, _around: Surroundings) -> GpioLightAdapter:
    return GpioLightAdapter(name, settings)


ADAPTER = Adapter(GpioLight, _make)
