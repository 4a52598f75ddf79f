"""The commands of the signal generator, with the names that the RedPitayaDAQServer has for them.

What only this server has: a component's divider (it has frequencies alone) and the checksum of a sequence's tables.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.virtual.parameters import integer, number, on_off, one, query
from nixel.acquisition.virtual.scpi import ScpiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.acquisition.virtual.plant import Plant
    from nixel.acquisition.virtual.scpi import Handler
    from nixel.acquisition.virtual.transmitter import Component, Part

__all__ = ["generator_commands"]

_STATES = {"NORMAL": 0, "DONE": 1, "UP": 2, "DOWN": 3}


def generator_commands(plant: Plant, who: object, receive: Callable[[int], bytes]) -> dict[str, Handler]:
    """Return the handlers.

    Parameters
    ----------
    plant : Plant
    who : object
        The connection that commands.
    receive : callable
        Takes so many bytes from its data connection.
    """
    generator = plant.transmitter

    def at(numbers: list[int]) -> int:
        return plant.check_channel(numbers[0], generator.channels)

    def asked(numbers: list[int], what: str) -> float:
        return float(getattr(generator.component(at(numbers), numbers[1]), what))

    def put(numbers: list[int], change: Callable[[Component], Component]) -> None:
        channel, place = at(numbers), numbers[1]
        changed = change(generator.component(channel, place))
        plant.change(who, lambda: generator.set_component(channel, place, changed))

    def amplify(numbers: list[int], parameters: list[str]) -> None:
        volts = number(parameters)
        put(numbers, lambda component: replace(component, amplitude=volts))

    def set_divider(numbers: list[int], parameters: list[str]) -> None:
        dividers = plant.scanner.dividers
        divider = integer(parameters, 0, 0, 2**31)
        if divider not in dividers:
            expected = " or ".join(map(str, dividers))
            raise ScpiError(-222, f"this scanner's filters are for the divider {expected}, found {divider}")
        put(numbers, lambda component: replace(component, divider=divider))

    def set_frequency(numbers: list[int], parameters: list[str]) -> None:
        channel, frequency = at(numbers), number(parameters)
        plant.change(who, lambda: generator.set_frequency(channel, numbers[1], frequency))

    def set_signal(numbers: list[int], parameters: list[str]) -> None:
        asked(numbers, "amplitude")
        if one(parameters).upper() != "SINE":
            raise ScpiError(-224, f"this scanner's filters pass SINE alone, found {parameters[0]!r}")

    def set_offset(numbers: list[int], parameters: list[str]) -> None:
        channel, volts = at(numbers), number(parameters)
        plant.change(who, lambda: generator.set_offset(channel, volts))

    def set_ramp(numbers: list[int], parameters: list[str]) -> None:
        channel, duration = at(numbers), number(parameters)
        plant.configure(who, lambda: generator.set_ramp(channel, duration))

    def set_ramping(numbers: list[int], parameters: list[str]) -> None:
        channel, on = at(numbers), on_off(parameters)
        plant.configure(who, lambda: generator.ramping.__setitem__(channel, on))

    def ramp_down(numbers: list[int], parameters: list[str]) -> None:
        at(numbers)
        if on_off(parameters):
            plant.ramp_down(who)

    def ramping() -> str:
        state = _STATES[plant.ramping()] << 1
        return str(sum((on | state) << (4 * channel) for channel, on in enumerate(generator.ramping)))

    def set_step(_numbers: list[int], parameters: list[str]) -> None:
        samples, period = integer(parameters, 0, 1, 2**31), plant.scanner.samples_per_period
        if samples % period:
            raise ScpiError(-222, f"expected steps of whole periods of {period} samples, found {samples}")
        plant.configure(who, lambda: setattr(generator.configured, "samples_per_step", samples))

    def set_count(_numbers: list[int], parameters: list[str]) -> None:
        count = integer(parameters, 0, 1, generator.channels)

        def change() -> None:
            generator.clear_sequence()
            generator.configured.channels = count

        step = generator.configured.samples_per_step
        plant.configure(who, change)
        generator.configured.samples_per_step = step

    def set_lut(part: Part) -> Handler:
        def handle(_numbers: list[int], parameters: list[str]) -> None:
            steps, repetitions = (integer(parameters, place, 0, 2**31, 2) for place in range(2))
            plant.configure(who, lambda: None)
            data = receive(generator.lut_bytes(steps, repetitions))
            plant.configure(who, lambda: generator.set_lut(part, data, repetitions))

        return handle

    def set_enable(_numbers: list[int], parameters: list[str]) -> None:
        if parameters:
            raise ScpiError(-108, f"expected none, found {','.join(parameters)!r}")
        if "values" not in generator.configured.luts:
            raise ScpiError(-221, "there is no look-up table yet (RP:DAC:SEQ:LUT)")
        plant.configure(who, lambda: None)
        data = receive(int(np.size(generator.configured.luts["values"].values)))
        plant.configure(who, lambda: generator.set_enable(data))

    def turned(numbers: list[int], parameters: list[str]) -> None:
        phase = math.fmod(number(parameters), 2 * math.pi) % (2 * math.pi)
        put(numbers, lambda component: replace(component, phase=phase))

    component, sequence = "RP:DAC:CHannel#:COMPonent#", "RP:DAC:SEQ"
    base = plant.scanner.base_frequency
    return {
        f"{component}:AMPlitude?": query(lambda n: repr(asked(n, "amplitude"))),
        f"{component}:AMPlitude": amplify,
        f"{component}:DIVider?": query(lambda n: f"{asked(n, 'divider'):.0f}"),
        f"{component}:DIVider": set_divider,
        f"{component}:FREQuency?": query(lambda n: repr(base / asked(n, "divider"))),
        f"{component}:FREQuency": set_frequency,
        f"{component}:PHAse?": query(lambda n: repr(asked(n, "phase"))),
        f"{component}:PHAse": turned,
        f"{component}:SIGnaltype?": query(lambda n: "SINE" if asked(n, "divider") else ""),
        f"{component}:SIGnaltype": set_signal,
        "RP:DAC:CHannel#:OFFset?": query(lambda n: repr(generator.offsets[at(n)])),
        "RP:DAC:CHannel#:OFFset": set_offset,
        "RP:DAC:CHannel#:RAMPing?": query(lambda n: repr(generator.ramps[at(n)])),
        "RP:DAC:CHannel#:RAMPing": set_ramp,
        "RP:DAC:CHannel#:RAMPing:ENaBle?": query(lambda n: str(int(generator.ramping[at(n)]))),
        "RP:DAC:CHannel#:RAMPing:ENaBle": set_ramping,
        "RP:DAC:CHannel#:RAMPing:DoWN": ramp_down,
        "RP:DAC:RAMPing:STATus?": query(lambda _n: ramping()),
        f"{sequence}:SAMPlesperstep?": query(lambda _n: str(generator.configured.samples_per_step)),
        f"{sequence}:SAMPlesperstep": set_step,
        f"{sequence}:CHan?": query(lambda _n: str(generator.configured.channels)),
        f"{sequence}:CHan": set_count,
        f"{sequence}:LUT": set_lut("values"),
        f"{sequence}:LUT:UP": set_lut("up"),
        f"{sequence}:LUT:DOWN": set_lut("down"),
        f"{sequence}:LUT:ENaBle": set_enable,
        f"{sequence}:LUT:CHECksum?": query(lambda _n: str(generator.checksum("values"))),
        f"{sequence}:LUT:UP:CHECksum?": query(lambda _n: str(generator.checksum("up"))),
        f"{sequence}:LUT:DOWN:CHECksum?": query(lambda _n: str(generator.checksum("down"))),
        f"{sequence}:SET": lambda _n, _p: plant.configure(who, generator.set_sequence),
        f"{sequence}:CLEAR": lambda _n, _p: plant.configure(who, generator.clear_sequence),
    }
