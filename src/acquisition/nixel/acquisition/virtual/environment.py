"""``nixel-virtual-environment``: a temperature and humidity sensor on a serial line.

``READ?`` is answered by ``23.412,41.70``, the temperature in degrees Celsius and the relative humidity in percent;
what it does not know by ``ERR``. The room warms and cools by half a kelvin in ten minutes, and its noise follows from
the seed and the moment. Beside what every wire understands, a hand can::

    room DEGC PERCENT     make it another room
    fault                 let the sensing element fail: nan from now on; room mends it
"""

from __future__ import annotations

import math
import random
import sys
import time
from typing import TYPE_CHECKING

from nixel.acquisition.virtual.wire import HandError, LineMachine, parser, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Environment", "main", "room"]

_PERIOD = 600.0  # s
_SWING = 0.5  # K
_NOISE = (0.02, 0.1)  # K, percent


def room(seed: int, seconds: float, temperature: float = 22.5, humidity: float = 42.0) -> tuple[float, float]:
    """Return what a sensor measures in a room: a function of the seed and the moment, to the millisecond.

    Parameters
    ----------
    seed : int
        Of the noise.
    seconds : float
        Since the start.
    temperature, humidity : float
        Of the room in the mean, in degrees Celsius and percent.
    """
    noise = random.Random(f"{seed} {round(seconds * 1e3)}")  # noqa: S311 (no secret)
    swing = _SWING * math.sin(2 * math.pi * seconds / _PERIOD)
    return temperature + swing + noise.gauss(0.0, _NOISE[0]), humidity + noise.gauss(0.0, _NOISE[1])


class Environment:
    """The sensor, without its wire.

    Parameters
    ----------
    seed : int
        Of the noise.
    clock : callable
        Returns the time in s.
    """

    def __init__(self, seed: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seed, self._clock, self._start = seed, clock, clock()
        self._temperature, self._humidity, self._works = 22.5, 42.0, True

    def answer(self, line: str) -> str:
        """Answer one line."""
        if line != "READ?":
            return "ERR"
        if not self._works:
            return "nan,nan"
        elapsed = self._clock() - self._start
        temperature, humidity = room(self._seed, elapsed, self._temperature, self._humidity)
        return f"{temperature:.3f},{humidity:.2f}"

    def hand(self, words: Sequence[str]) -> str:
        """Make it another room, or let the element fail."""
        match list(words):
            case ["fault"]:
                self._works = False
            case ["room", temperature, humidity]:
                try:
                    self._temperature, self._humidity = float(temperature), float(humidity)
                except ValueError:
                    raise HandError("expected two numbers, degrees Celsius and percent") from None
                self._works = True
            case _:
                raise HandError(f"found {' '.join(words)!r}; expected room DEGC PERCENT or fault")
        return "ok"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulated sensor until it is told to end.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; `sys.argv` by default.

    Returns
    -------
    int
        Exit status.
    """
    name = "nixel-virtual-environment"
    command = parser(name, __doc__)
    command.add_argument("--seed", type=int, default=0, help="of the noise")
    options = command.parse_args(arguments)
    room = Environment(options.seed)
    return run(LineMachine(room.answer, room.hand), options, name)


if __name__ == "__main__":
    sys.exit(main())
