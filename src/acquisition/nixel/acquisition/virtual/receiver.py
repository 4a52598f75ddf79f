"""The virtual scanner's receiver: the codes of one period, from what is transmitted and what is in the bore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nixel.acquisition.virtual import signal

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nixel.acquisition.scanner_tables import Scanner
    from nixel.acquisition.virtual.chain import Chain
    from nixel.acquisition.virtual.transmitter import Transmitter

__all__ = ["Receiver", "Shapes"]

_STILL = 1.0  # s for which the chain's drift is not looked at anew
_KEPT = 64  # periods that are remembered

_Shapes = tuple["NDArray[np.float32]", "NDArray[np.float32]"]
_Key = tuple[int, tuple[float, ...], tuple[bool, ...]]
Shapes = dict[_Key, _Shapes]


class Receiver:
    """What the receiver depends on, which the plant keeps up to date under the lock."""

    scanner: Scanner
    lock: threading.RLock
    transmitter: Transmitter
    chain: Chain
    _transmitting: bool
    _ramping_down: bool
    _since: int
    _steady: int
    _sample: signal.Sample
    _position: tuple[float, float]
    _codes_per_tesla: NDArray[np.float64]

    def _period(
        self,
        origin: int,
        number: int,
        key: NDArray[np.uint64],
        channels: Sequence[int],
        generation: Shapes,
    ) -> tuple[NDArray[np.int16], bool]:
        """Codes of one period of the acquisition, and whether one is at the end of the range."""
        now, receivers = origin + number * self.scanner.samples_per_period, self.scanner.receive_channels
        state, field, envelope = self._state(now)
        found: list[tuple[NDArray[np.int16], bool]] = []
        if min(channels) < receivers:
            particles, through = self._signals(state, field, generation)
            if envelope is not None:
                particles, through = envelope * particles, envelope * through
            factor = signal.drift(now / self.scanner.base_frequency)
            found.append(signal.quantise(particles, through, factor, key, number))
        if max(channels) >= receivers:
            seen = self.chain.faults[:, None] * field
            found.append(
                signal.quantise_reference(self.scanner, seen, self._codes_per_tesla, key, number, envelope)
            )
        skipped = 0 if min(channels) < receivers else receivers
        codes = np.concatenate([codes for codes, _ in found], axis=1)[:, [c - skipped for c in channels]]
        return codes, any(overload for _, overload in found)

    def _state(self, now: int) -> tuple[_Key, NDArray[np.complex128], NDArray[np.float32] | None]:
        """What is transmitted in the period that begins at `now`: its key, its field and its ramp, if it has one."""
        with self.lock:
            nothing = np.zeros((self.transmitter.channels, len(self.scanner.dividers)), dtype=np.complex128)
            if not self._transmitting or now < self._since or self._ramping_down:
                return (0, (), ()), nothing, None
            focus, enabled, _ = self.transmitter.step(now - self._since)
            still = round(_STILL * self.scanner.base_frequency)
            epoch = max(0, now - self._steady) // still
            volts = self.transmitter.volts() * np.array(enabled)[:, None]
            field = self.chain.field(volts, (self._steady + epoch * still) / self.scanner.base_frequency)
            ramp = self.transmitter.ramp() * self.scanner.base_frequency
        instants = now - self._since + np.arange(self.scanner.samples_per_period)
        envelope = (instants / ramp).clip(max=1.0).astype(np.float32)[:, None] if instants[0] < ramp else None
        return (1 + epoch, focus, enabled), field, envelope

    def _signals(self, state: _Key, field: NDArray[np.complex128], generation: Shapes) -> _Shapes:
        """One period of the particles' signal and of the feed-through: codes, shape (samples, channels)."""
        with self.lock:
            if state in generation:
                return generation[state]
            sample, position = self._sample, self._position
        # Computed without the lock: the surveillance line must be answered within milliseconds meanwhile.
        particles = signal.particle_signal(sample, position, self.scanner, field, state[1])
        through = signal.feed_through(self.scanner, field)
        shapes = (
            np.ascontiguousarray(particles.T, dtype=np.float32),
            np.ascontiguousarray(through.T, dtype=np.float32),
        )
        with self.lock:
            # Of another generation by now, if something was changed: nobody asks that one again.
            generation[state] = shapes
            if len(generation) > _KEPT:
                del generation[next(iter(generation))]
        return shapes
