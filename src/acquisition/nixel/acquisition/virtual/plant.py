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
from nixel.acquisition.virtual.scpi import ScpiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from nixel.acquisition.instrument import Scanner, ScpiDaq, ScpiRobot

__all__ = ["EPOCH", "Block", "Plant"]

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MOVE_TIME = 0.1  # s, of the scanner's clock
_EXCHANGE_TIME = 1.0
_CURRENT_PER_TESLA = 2500.0  # A/T of the transmit coils
_OFF = "the amplifier is off: the safety output is not enabled"


_Shapes = tuple["NDArray[np.float32]", "NDArray[np.float32]"]


@dataclass(frozen=True)
class Block:
    """Samples of one chunk, or why there are none."""

    codes: NDArray[np.int16]
    overload: bool
    lost: int
    ended: ScpiError | None = None


def _no_cabinet(_power: float, _currents: Sequence[float]) -> None:
    pass


class Plant:
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
        self._lost = 0
        self._shapes: _Shapes | None = None
        self._volts = tuple(
            field / factor
            for field, factor in zip(scanner.drive_field, daq.drive_field_per_volt, strict=True)
        )
        self.begin_session(0)

    # The clock and the seeds.

    def begin_session(self, session_seed: int) -> None:
        """Put clock, drift and noise back to where they were at power-on, with a session's seed."""
        with self.lock:
            if self._origin is not None:
                raise ScpiError(-221, "the acquisition is on")
            self._session_seed, self._acquisition = session_seed, 0
            self._now = 0
            self._forget()

    def time(self) -> datetime:
        """The scanner's clock."""
        with self.lock:
            return EPOCH + timedelta(microseconds=round(self._now / self.scanner.base_frequency * 1e6))

    def _pass(self, duration: float) -> None:
        """Let whole periods of at least `duration` s go by; samples before are gone then."""
        period = self.scanner.samples_per_period
        self._now += period * math.ceil(duration * self.scanner.base_frequency / period)
        self._forget()

    def _forget(self) -> None:
        self._oldest = self._now
        self._shapes = None

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
                self._started = self._clock()
                heat = [v * f / n for v, f, n in self._per_axis()]
                currents = [amplitude * _CURRENT_PER_TESLA for amplitude in self._amplitudes()]
                self.cabinet(sum(h**2 for h in heat) / len(heat), currents)
                self._forget()
            elif not on:
                self._end_transmission()
                self._disown()

    def _per_axis(self) -> list[tuple[float, float, float]]:
        factors, nominal = self._daq.drive_field_per_volt, self.scanner.drive_field
        return list(zip(self._volts, factors, nominal, strict=True))

    def _end_transmission(self) -> None:
        if self._transmitting:
            self._transmitting = False
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

    def _amplitudes(self) -> tuple[float, ...]:
        return tuple(volts * factor for volts, factor, _ in self._per_axis())

    def volts(self, channel: int) -> float:
        """Amplitude of a transmit channel in V."""
        with self.lock:
            return self._volts[self.check_channel(channel, len(self._volts))]

    def set_volts(self, channel: int, volts: float, who: object) -> None:
        """Set the amplitude of a transmit channel in V, within the scanner's limit."""
        with self.lock:
            self.claim(who)
            self.check_channel(channel, len(self._volts))
            limit = self.scanner.limits.drive_field / self._daq.drive_field_per_volt[channel]
            if not 0.0 <= volts <= limit * (1 + 1e-12):
                raise ScpiError(-222, f"expected an amplitude of 0 to {limit:g} V, found {volts:g} V")
            if self._transmitting:
                raise ScpiError(-221, "the transmitter is on")
            self._volts = (*self._volts[:channel], volts, *self._volts[channel + 1 :])
            self._forget()

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
            self._pass(_EXCHANGE_TIME)

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
            self._pass(_MOVE_TIME)

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
                self._lost = 0
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

    def read(self, first: int, count: int, transmitting: bool) -> Block:
        """Samples `first` to `first + count` of the acquisition.

        Parameters
        ----------
        first, count : int
        transmitting : bool
            Whether the request began with the drive field on: it ends with it then.

        Returns
        -------
        Block
            Codes of shape (count, channels).
        """
        period = self.scanner.samples_per_period
        particles, through = self._signals()
        with self.lock:
            origin = self._origin
            if origin is None or (transmitting and not self._transmitting):
                nothing = np.empty((0, self.scanner.receive_channels), dtype=np.int16)
                reason = self._interruption or "the acquisition was switched off"
                ended = ScpiError(-221, f"the transmission ended: {reason}")
                return Block(nothing, False, self._lost, ended)
            key, lost = self._key, self._lost
        begin, end = first // period, -(-(first + count) // period)
        parts = []
        for number in range(begin, end):
            factor = signal.drift((origin + number * period) / self.scanner.base_frequency)
            parts.append(signal.quantise(particles, through, factor, key, number))
        codes = np.concatenate([part for part, _ in parts])[first - begin * period :][:count]
        with self.lock:
            self._now = max(self._now, origin + first + count)
        return Block(codes, any(overload for _, overload in parts), lost)

    def _signals(self) -> _Shapes:
        """One period of the particles' signal and of the feed-through: codes, shape (samples, channels)."""
        with self.lock:
            if self._shapes is not None:
                return self._shapes
            asked = self._oldest, self._transmitting
            amplitudes = self._amplitudes() if self._transmitting else (0.0,) * len(self._volts)
            sample, position = self._sample, self._position
        # Computed without the lock: the surveillance line must be answered within milliseconds meanwhile.
        particles = signal.particle_signal(sample, position, self.scanner, amplitudes)
        through = signal.feed_through(self.scanner, amplitudes)
        shapes = (
            np.ascontiguousarray(particles.T, dtype=np.float32),
            np.ascontiguousarray(through.T, dtype=np.float32),
        )
        with self.lock:
            if asked == (self._oldest, self._transmitting):
                self._shapes = shapes
        return shapes
