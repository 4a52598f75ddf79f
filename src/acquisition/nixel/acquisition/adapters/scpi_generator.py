"""The signal generator of a data-acquisition server: set up, and read back.

Commands have the RedPitayaDAQServer's names; a sequence's tables are compared by their checksums.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.transmit_setup import Tone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nixel.acquisition.adapters.scpi import ScpiConnection
    from nixel.acquisition.transmit_setup import Steps, TransmitSetup

_Setting = tuple[str, "float | str", float]  # command, value, and what the value read back may differ by

__all__ = ["Generator"]

_VOLTS = 1e-6  # that what is read back may differ by
_RADIANS = 1e-6
_SECONDS = 1e-6
_COMPONENTS = 4


class Generator:
    """The transmit side behind a control connection.

    Parameters
    ----------
    control : ScpiConnection
    send : callable
        Sends a table on the data connection.
    base_frequency : float
        In Hz.
    """

    def __init__(self, control: ScpiConnection, send: Callable[[bytes], None], base_frequency: float) -> None:
        self._control, self._send, self._base_frequency = control, send, base_frequency

    def program(self, setup: TransmitSetup) -> None:
        """Set all channels and the sequence up, and compare each value with what the device then says.

        Raises
        ------
        DeviceError
            The device refuses, or says another value afterwards.
        """
        self.tones([channel.tones for channel in setup.channels])
        for number, channel in enumerate(setup.channels):
            name = f"RP:DAC:CHannel{number}"
            settings: list[_Setting] = [(f"{name}:OFFset", channel.offset, _VOLTS)]
            if channel.ramp > 0:
                settings.append((f"{name}:RAMPing", channel.ramp, _SECONDS))
            self._set([*settings, (f"{name}:RAMPing:ENaBle", int(channel.ramp > 0), 0.0)])
        self._control.command("RP:DAC:SEQ:CLEAR")
        if setup.steps is not None:
            self._steps(setup.steps)

    def tones(self, channels: Sequence[tuple[Tone, ...]]) -> None:
        """Set the components of the channels, and silence those that are not among them.

        Raises
        ------
        DeviceError
            As `program`.
        """
        places = [(channel, number) for channel in range(len(channels)) for number in range(_COMPONENTS)]
        silence = Tone(0, 0.0)
        wanted = {(c, n): channels[c][n] if n < len(channels[c]) else silence for c, n in places}
        now = self._numbers([f"{_component(*place)}:AMPlitude?" for place in places])
        change = {place: wanted[place].amplitude - volts for place, volts in zip(places, now, strict=True)}
        settings: list[_Setting] = []
        # What gets weaker comes first, so that the channel's limit holds on the way.
        for place in sorted(places, key=change.__getitem__):
            component, tone = _component(*place), wanted[place]
            if tone is silence:
                settings += [(f"{component}:AMPlitude", 0.0, _VOLTS)] if change[place] else []
                continue
            frequency = self._base_frequency / tone.divider
            settings += [
                (f"{component}:SIGnaltype", tone.waveform, 0.0),
                (f"{component}:FREQuency", frequency, 1e-9 * frequency),
                (f"{component}:PHAse", tone.phase % (2 * math.pi), _RADIANS),
                (f"{component}:AMPlitude", tone.amplitude, _VOLTS),
            ]
        self._set(settings)

    def offsets(self, volts: Sequence[float]) -> None:
        """Set the offset of each channel in V.

        Raises
        ------
        DeviceError
            As `program`.
        """
        self._set([(f"RP:DAC:CHannel{number}:OFFset", value, _VOLTS) for number, value in enumerate(volts)])

    def _steps(self, steps: Steps) -> None:
        channels, samples = steps.values.shape[1], steps.samples_per_step
        self._set([("RP:DAC:SEQ:CHan", channels, 0.0), ("RP:DAC:SEQ:SAMPlesperstep", samples, 0.0)])
        self._table("RP:DAC:SEQ:LUT", steps.values, steps.repetitions)
        if steps.enable is not None:
            self._announce("RP:DAC:SEQ:LUT:ENaBle", steps.enable.astype(np.uint8).tobytes())
        for name, table in (("UP", steps.up), ("DOWN", steps.down)):
            if table is not None:
                self._table(f"RP:DAC:SEQ:LUT:{name}", table, 1)
        self._control.command("RP:DAC:SEQ:SET")

    def _table(self, command: str, values: NDArray[np.float32], repetitions: int) -> None:
        data = np.ascontiguousarray(values, dtype="<f4").tobytes()
        self._announce(f"{command} {len(values)},{repetitions}", data)
        found = int(self._control.number(f"{command}:CHECksum?"))
        if found != zlib.crc32(data):
            raise self._differs(command, f"a table whose CRC-32 is {zlib.crc32(data)}", str(found))

    def _announce(self, command: str, data: bytes) -> None:
        # The device answers when it has the table, which it takes before its answer.
        self._control.command(command, lambda: self._send(data))

    def _set(self, settings: Sequence[_Setting]) -> None:
        """Send settings, and compare what is read back; of a phase it is the phase that counts, not its number."""
        sent = [
            f"{command} {value if isinstance(value, str) else repr(value)}" for command, value, _ in settings
        ]
        for command, answer in zip(sent, self._control.together(sent), strict=True):
            if answer != "0":
                raise self._differs(command, "0", repr(answer))
        found = self._control.together([f"{command}?" for command, _, _ in settings])
        for (command, value, tolerance), answer in zip(settings, found, strict=True):
            if isinstance(value, str):
                good = answer.strip('"').upper() == value
            else:
                try:
                    difference = float(answer) - value
                except ValueError:
                    raise self._differs(command, "a number", repr(answer)) from None
                turned = math.remainder(difference, 2 * math.pi)
                good = abs(turned if command.endswith(":PHAse") else difference) <= tolerance
            if not good:
                raise self._differs(command, f"{value}", answer)

    def _numbers(self, queries: Sequence[str]) -> list[float]:
        answers = self._control.together(queries)
        try:
            return [float(answer) for answer in answers]
        except ValueError:
            raise self._differs(queries[0], "numbers", repr(answers)) from None

    def _differs(self, command: str, expected: str, found: str) -> DeviceError:
        remedy = "The device took the command and says another value: nothing is transmitted with it."
        return DeviceError(command, where=self._control.where, expected=expected, found=found, remedy=remedy)


def _component(channel: int, number: int) -> str:
    return f"RP:DAC:CHannel{channel}:COMPonent{number}"
