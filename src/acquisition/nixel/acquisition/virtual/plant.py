"""The virtual scanner's state: transmitter, receiver, robot, sample and clock, behind one lock.

Time in here is counted in samples and moves only by what is asked of the scanner: reading samples, moving the
robot, exchanging the sample. The wall clock paces the stream and warms the coil; it touches no sample.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.virtual import signal
from nixel.acquisition.virtual.chain import Chain
from nixel.acquisition.virtual.environment import room
from nixel.acquisition.virtual.receiver import Receiver, Shapes
from nixel.acquisition.virtual.scpi import ScpiError
from nixel.acquisition.virtual.transmitter import Transmitter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nixel.acquisition.adapters.scpi_daq import ScpiDaq
    from nixel.acquisition.adapters.scpi_robot import ScpiRobot
    from nixel.acquisition.scanner_tables import Scanner

__all__ = ["EPOCH", "Block", "Plant"]

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MOVE_TIME = 0.1  # s, of the scanner's clock, where the instrument file has no [scanner.times]
_EXCHANGE_TIME = 1.0
_CURRENT_PER_TESLA = 2500.0  # A/T of the transmit coils
_BUFFER = 2**25  # samples, as on a RedPitaya
_OFF = "the amplifier is off: the safety output is not enabled"


@dataclass(frozen=True)
class Block:
    """Samples of one chunk, or why there are none."""

    codes: NDArray[np.int16]
    overload: bool
    lost: int
    overwritten: int = 0
    ended: ScpiError | None = None


def _no_cabinet(_power: float, _currents: Sequence[float]) -> None:
    pass


class Plant(Receiver):
    """A simulated scanner.

    Parameters
    ----------
    scanner : Scanner
    daq : ScpiDaq
    robot : ScpiRobot
    seed : int
        Of the device; together with a session's seed it determines all noise.
    clock : callable
        Monotonic time in s.
    """

    def __init__(
        self,
        scanner: Scanner,
        daq: ScpiDaq,
        robot: ScpiRobot,
        seed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scanner, self._daq, self._robot = scanner, daq, robot
        self._seed, self._clock = seed, clock
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        # What feels the transmission: told its power relative to the nominal one and each axis' current in A.
        self.cabinet: Callable[[float, Sequence[float]], None] = _no_cabinet
        self._amplifier = False
        self._transmitting = False
        self._started = 0.0
        self._owner: object | None = None
        self._sample: signal.Sample = signal.NamedPhantom("stenosis")
        self._position = robot.home
        self._interruption = ""
        self._origin: int | None = None
        self._key = signal.noise_key(seed, 0, 0)
        self._lost = self._overwritten = 0
        self.buffer = _BUFFER
        self._shapes: Shapes = {}
        self.transmitter = Transmitter(scanner, daq)
        self.chain = Chain(daq.drive_field_per_volt)
        self._since = 0  # when the transmission started, by the scanner's clock
        self._steady = 0  # when it was last changed
        self._ramping_down = False
        per_volt = np.array(daq.feedback_field_per_volt or ())
        self._codes_per_tesla = 1.0 / (per_volt * signal.REFERENCE_VOLTS_PER_CODE)
        self.begin_session(0)

    # The clock and the seeds.

    def begin_session(self, session_seed: int) -> None:
        """Put clock, drift and noise back to where they were at power-on, with a session's seed."""
        with self.lock:
            if self._origin is not None:
                raise ScpiError(-221, "the acquisition is on")
            self._session_seed, self._acquisition = session_seed, 0
            self._now = self._since = self._steady = 0
            self.chain.reset()
            self._forget()

    def time(self) -> datetime:
        """The scanner's clock."""
        with self.lock:
            return EPOCH + timedelta(microseconds=round(self._now / self.scanner.base_frequency * 1e6))

    def climate(self) -> tuple[float, float]:
        """Temperature in degrees Celsius and humidity in percent beside the scanner, by its clock and seeds."""
        with self.lock:
            return room(2**64 * self._seed + self._session_seed, self._now / self.scanner.base_frequency)

    def _pass(self, duration: float) -> None:
        """Let whole periods of at least `duration` s go by; samples before are gone then."""
        period = self.scanner.samples_per_period
        self._now += period * math.ceil(duration * self.scanner.base_frequency / period)
        self._forget()

    def _forget(self) -> None:
        self._oldest = self._now
        self._shapes = {}

    # Who may.

    def claim(self, who: object) -> None:
        """Refuse a connection if another one owns the scanner."""
        with self.lock:
            if self._owner is not None and self._owner is not who:
                raise ScpiError(-203, "another connection owns the scanner until it stops its acquisition")

    def release(self, who: object) -> None:
        """End what a connection that is gone left running."""
        with self.lock:
            if self._owner is who:
                self._end_transmission()
                self._origin = None
                self._owner = None
                self.changed.notify_all()

    def _disown(self) -> None:
        if not self._transmitting and self._origin is None:
            self._owner = None

    # The amplifier and the transmitter.

    def set_amplifier(self, on: bool, reason: str) -> None:
        """Gate the amplifier; its going off ends a transmission at once."""
        with self.lock:
            self._amplifier = on
            if not on and self._transmitting:
                self._end_transmission()
                self._interruption = reason
                self.changed.notify_all()

    def transmit(self, on: bool, who: object) -> None:
        """Switch the drive field."""
        with self.lock:
            self.claim(who)
            if on and not self._amplifier:
                raise ScpiError(-221, _OFF)
            if on and not self._transmitting:
                self._owner, self._transmitting, self._interruption = who, True, ""
                self._started, self._since, self._ramping_down = self._clock(), self._next_period(), False
                self._feel()
                self._forget()
            elif not on:
                self._end_transmission()
                self._disown()

    def _next_period(self) -> int:
        """When the next whole period begins, by the scanner's clock: with one the transmission does."""
        period = self.scanner.samples_per_period
        origin = self._origin or 0
        return origin - (origin - self._now) // period * period

    def _feel(self) -> None:
        """Let coils, sensors and the chain feel what is transmitted."""
        self._steady = max(self._now, self._since)
        now, power = self._steady / self.scanner.base_frequency, self.transmitter.power()
        field = self.chain.field(self.transmitter.volts(), now)
        self.chain.set_power(power, now)
        self.cabinet(power, [float(current) for current in _CURRENT_PER_TESLA * np.abs(field).sum(axis=1)])

    def _end_transmission(self) -> None:
        if self._transmitting:
            self._transmitting = self._ramping_down = False
            self.chain.set_power(0.0, max(self._now, self._steady) / self.scanner.base_frequency)
            self.cabinet(0.0, [])
            self._forget()

    def check_transmit_time(self) -> None:
        """End a transmission that has lasted as long as the scanner allows."""
        with self.lock:
            if self._transmitting and self._clock() - self._started > self.scanner.limits.transmit_time:
                self._end_transmission()
                self._interruption = f"it lasted longer than {self.scanner.limits.transmit_time:g} s"
                self.changed.notify_all()

    @property
    def ready(self) -> bool:
        """Whether the amplifier is on."""
        with self.lock:
            return self._amplifier

    @property
    def transmitting(self) -> bool:
        """Whether the drive field is on."""
        with self.lock:
            return self._transmitting

    def change(self, who: object, change: Callable[[], None]) -> None:
        """Change what the transmitter is set to; a transmission follows at once."""
        with self.lock:
            self.claim(who)
            change()
            if self._transmitting:
                self._feel()
                self._forget()

    def configure(self, who: object, change: Callable[[], None]) -> None:
        """Change what can only be changed while the transmitter is off."""
        with self.lock:
            self.claim(who)
            if self._transmitting:
                raise ScpiError(-221, "the transmitter is on")
            change()

    def ramp_down(self, who: object) -> None:
        """Ramp every channel down; time goes on by the ramp."""
        with self.lock:
            self.claim(who)
            if self._transmitting and not self._ramping_down:
                self._ramping_down = True
                self._pass(self.transmitter.ramp())

    def ramping(self) -> str:
        """Which way the field ramps: NORMAL, UP, DOWN, or DONE with it."""
        with self.lock:
            if self._ramping_down:
                return "DONE"
            ramp = self.transmitter.ramp() * self.scanner.base_frequency
            return "UP" if self._transmitting and self._now < self._since + ramp else "NORMAL"

    @property
    def adc_channels(self) -> int:
        """Receive channels and reference channels."""
        return self.scanner.receive_channels + len(self._codes_per_tesla)

    def check_channel(self, channel: int, channels: int) -> int:
        """Refuse a channel that does not exist."""
        if not 0 <= channel < channels:
            raise ScpiError(-222, f"expected a channel of 0 to {channels - 1}, found {channel}")
        return channel

    # The sample and the robot.

    @property
    def sample(self) -> signal.Sample:
        """What is in the bore."""
        with self.lock:
            return self._sample

    def exchange(self, sample: signal.Sample, who: object) -> None:
        """Put another sample into the bore."""
        with self.lock:
            self.claim(who)
            self._sample = sample
            lasting = self.scanner.times.exchange
            self._pass(_EXCHANGE_TIME if lasting is None else lasting)

    @property
    def position(self) -> tuple[float, float]:
        """The robot's position (x, y) in m."""
        with self.lock:
            return self._position

    def move(self, position: tuple[float, float], who: object) -> None:
        """Move the robot to (x, y) in m."""
        low, high = self._robot.travel
        with self.lock:
            self.claim(who)
            if not all(low <= axis <= high for axis in position):
                raise ScpiError(-222, f"expected a position within {low:g} m to {high:g} m, found {position}")
            self._position = position
            lasting = self.scanner.times.move
            self._pass(_MOVE_TIME if lasting is None else lasting)

    # The receiver.

    @property
    def acquiring(self) -> bool:
        """Whether the receiver writes samples."""
        with self.lock:
            return self._origin is not None

    def acquire(self, on: bool, who: object) -> None:
        """Start an acquisition, whose first sample has index 0, or end it."""
        with self.lock:
            self.claim(who)
            if on and self._origin is None:
                self._owner, self._origin = who, self._now
                self._acquisition += 1
                self._key = signal.noise_key(self._seed, self._session_seed, self._acquisition)
                self._lost = self._overwritten = 0
                self._forget()
            elif not on:
                self._origin = None
                self._disown()
                self.changed.notify_all()

    def write_pointer(self) -> int:
        """Index of the next sample."""
        with self.lock:
            origin = self._origin
            return 0 if origin is None else self._now - origin

    def lose(self, samples: int) -> None:
        """Lose samples, so that a client's handling of it can be tried."""
        with self.lock:
            self._lost += samples

    def overwrite(self, samples: int) -> None:
        """Count samples that a client did not fetch in time."""
        with self.lock:
            self._overwritten += samples

    def check_request(self, start: int, count: int, chunk: int, who: object) -> None:
        """Refuse a request for samples that cannot be served."""
        with self.lock:
            self.claim(who)
            origin = self._origin
            if origin is None:
                raise ScpiError(-221, "the acquisition is off")
            if min(count, chunk) < 1:
                raise ScpiError(-222, f"expected a count and chunk of 1 or more, found {count} and {chunk}")
            if start < self._oldest - origin:
                raise ScpiError(
                    -222, f"the samples before index {self._oldest - origin} are overwritten, found {start}"
                )

    def read(self, first: int, count: int, transmitting: bool, channels: Sequence[int]) -> Block:
        """Samples `first` to `first + count` of the acquisition.

        Parameters
        ----------
        first, count : int
        transmitting : bool
            Whether the request began with the drive field on: it ends with it then.
        channels : sequence of int
            Receive channels, or reference channels, which come after those.

        Returns
        -------
        Block
            Codes of shape (count, channels).
        """
        period = self.scanner.samples_per_period
        with self.lock:
            origin, generation = self._origin, self._shapes
            if origin is None or (transmitting and not self._transmitting):
                nothing = np.empty((0, len(channels)), dtype=np.int16)
                reason = self._interruption or "the acquisition was switched off"
                ended = ScpiError(-221, f"the transmission ended: {reason}")
                return Block(nothing, False, self._lost, self._overwritten, ended)
            key = self._key
        begin, end = first // period, -(-(first + count) // period)
        parts = [self._period(origin, number, key, channels, generation) for number in range(begin, end)]
        codes = np.concatenate([part for part, _ in parts])[first - begin * period :][:count]
        with self.lock:
            self._now = max(self._now, origin + first + count)
            lost, overwritten = self._lost, self._overwritten
        return Block(codes, any(overload for _, overload in parts), lost, overwritten)
