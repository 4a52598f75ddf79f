"""The lines of a GPIO chip of the kernel, by gpiozero's pins on lgpio; both are loaded when a chip is opened.

gpiozero knows the lines of a Raspberry Pi and refuses other machines. Only its pins are used: its devices would have
a thread for edges, and bind a pull to a polarity.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import TYPE_CHECKING, Any, Self

from nixel.safety.config.units import Pull
from nixel.safety.units.gpio import LinesError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nixel.safety.config.units import GpioChip

_PULLS = {Pull.UP: "up", Pull.DOWN: "down", Pull.NONE: "floating"}
_MOST_CHIPS = 32


class ChipLines:
    """The lines of a chip; a `nixel.safety.units.gpio.Lines`.

    Parameters
    ----------
    factory
        A pin factory of gpiozero.
    chip
        Which lines.

    Raises
    ------
    LinesError
        If a line cannot be had.
    """

    def __init__(self, factory: Any, chip: GpioChip) -> None:  # noqa: ANN401  gpiozero has no types
        self._factory = factory
        self._outputs: dict[int, Any] = {}
        self._inputs: dict[int, Any] = {}
        off = {line.line: not line.active_high for line in chip.outputs}
        if chip.charge_pump is not None:
            off[chip.charge_pump] = False
        try:
            for number, level in off.items():
                with _said(f"does not give its line {number} as an output"):
                    self._outputs[number] = factory.pin(number)
                    self._outputs[number].output_with_state(level)
            for line in chip.inputs:
                with _said(f"does not give its line {line.line} as an input with the pull {line.pull}"):
                    self._inputs[line.line] = factory.pin(line.line)
                    self._inputs[line.line].input_with_pull(_PULLS[line.pull])
        except LinesError:
            with contextlib.suppress(LinesError):
                self.close()
            raise

    @classmethod
    def open(cls, chip: GpioChip) -> Self:
        """Open a chip of this machine.

        Parameters
        ----------
        chip
            By its number or its name.

        Returns
        -------
        ChipLines
            With all of its lines.

        Raises
        ------
        LinesError
            If the libraries, the chip or a line cannot be had.
        """
        with _said("cannot be opened"):
            # lgpio makes a pipe of its own in this folder as soon as it is loaded.
            os.environ.setdefault("LG_WD", os.environ.get("RUNTIME_DIRECTORY") or tempfile.gettempdir())
            import lgpio
            from gpiozero.pins.lgpio import LGPIOFactory, LGPIOPin

            class Pin(LGPIOPin):  # type: ignore[misc]  # it has no types
                def output_with_state(self, state: bool) -> None:
                    # At its level from the beginning: gpiozero would drive it low first.
                    lgpio.gpio_claim_output(self.factory._handle, self._number, int(state))

            factory = LGPIOFactory(chip=_number(lgpio, chip.chip))
            factory.pin_class = Pin
        return cls(factory, chip)

    def read(self) -> Mapping[int, bool | None]:
        """Give the level of every input line.

        Raises
        ------
        LinesError
            If one cannot be read.
        """
        with _said("was lost"):
            return {number: bool(pin.state) for number, pin in self._inputs.items()}

    def write(self, line: int, level: bool) -> None:
        """Drive an output line.

        Raises
        ------
        LinesError
            If it cannot be driven.
        """
        with _said(f"does not drive its line {line}"):
            self._outputs[line].state = level

    def close(self) -> None:
        """Give the lines back to the kernel.

        Raises
        ------
        LinesError
            If it does not take them.
        """
        with _said("does not take its lines back"), contextlib.ExitStack() as stack:
            # gpiozero stops at the first pin that fails, and would give the pins of a chip that is gone to the next.
            stack.callback(self._factory.close)
            stack.callback(self._factory.pins.clear)
            for pin in tuple(self._factory.pins.values()):
                stack.callback(pin.close)


def _number(lgpio: Any, wanted: int | str | None) -> int:  # noqa: ANN401  lgpio has no types
    """Find a chip by its name (gpiochip0) or its label (pinctrl-bcm2711)."""
    if isinstance(wanted, int):
        return wanted
    seen: list[str] = []
    for number in range(_MOST_CHIPS):
        try:
            handle = lgpio.gpiochip_open(number)
        except lgpio.error:
            continue
        _, _, name, label = lgpio.gpio_get_chip_info(handle)
        lgpio.gpiochip_close(handle)
        if wanted in (name, label):
            return number
        seen.append(f"{name} ({label})")
    msg = f"there is no chip of this name; those that may be opened: {', '.join(seen) or 'none'}"
    raise LinesError(msg)


@contextlib.contextmanager
def _said(what: str) -> Iterator[None]:
    """Turn whatever the libraries raise into a fault of the chip."""
    try:
        yield
    except LinesError as error:
        msg = f"{what}: {error}"
        raise LinesError(msg) from error
    except ImportError as error:
        msg = f"{what}: {error}; install nixel-safety[gpio], which brings gpiozero and lgpio"
        raise LinesError(msg) from error
    except Exception as error:  # each of the two libraries has errors of its own, under Exception alone
        why = str(error).strip("'\"") or repr(error)
        msg = f"{what}: {why}"
        raise LinesError(msg) from error
