"""What a transmitter is to generate, as data: sines, ramps, and step sequences of offset fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["ChannelSetup", "Steps", "Tone", "TransmitSetup", "patches"]

Waveform = Literal["SINE"]


@dataclass(frozen=True)
class Tone:
    """One component of a channel: amplitude sin(2 pi f_base t / divider + phase).

    Parameters
    ----------
    divider : int
    amplitude : float
        In V.
    phase : float
        In rad.
    waveform : {"SINE"}
        What the transmit filters of an MPI scanner pass.
    """

    divider: int
    amplitude: float
    phase: float = 0.0
    waveform: Waveform = "SINE"


@dataclass(frozen=True)
class ChannelSetup:
    """One transmit channel.

    Parameters
    ----------
    tones : tuple of Tone
        Component 0 first.
    offset : float
        In V.
    ramp : float
        Time in s that the tones take to come and to go.
    """

    tones: tuple[Tone, ...]
    offset: float = 0.0
    ramp: float = 0.0


@dataclass(frozen=True)
class Steps:
    """A sequence of offsets, each held for a while.

    Parameters
    ----------
    values : array of float32, shape (steps, channels)
        In V.
    samples_per_step : int
        How long each is held.
    repetitions : int
        How often the whole is gone through.
    enable : array of bool, shape (steps, channels), optional
        Whether the channel's tones are on; always if left out.
    up, down : array of float32, shape (steps, channels), optional
        Gone through once before and after.
    """

    values: NDArray[np.float32]
    samples_per_step: int
    repetitions: int = 1
    enable: NDArray[np.bool_] | None = None
    up: NDArray[np.float32] | None = None
    down: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        channels = self.values.shape[-1]
        for name in ("values", "up", "down"):
            table = getattr(self, name)
            if table is not None and (table.ndim != 2 or table.shape[1] != channels or not len(table)):
                raise ValueError(f"{name}: expected shape (steps, {channels}), found {table.shape}")
        if self.enable is not None and self.enable.shape != self.values.shape:
            raise ValueError(f"enable: expected shape {self.values.shape}, found {self.enable.shape}")
        if self.samples_per_step < 1 or self.repetitions < 1:
            raise ValueError(
                "samples_per_step, repetitions: expected 1 or more, "
                f"found {self.samples_per_step} and {self.repetitions}"
            )


@dataclass(frozen=True)
class TransmitSetup:
    """What all channels transmit.

    Parameters
    ----------
    channels : tuple of ChannelSetup
    steps : Steps, optional
    """

    channels: tuple[ChannelSetup, ...]
    steps: Steps | None = None

    def shift(self) -> list[float]:
        """Return how far each channel's tones are shifted at most, by its offset and the steps together, in V."""
        largest = [abs(channel.offset) for channel in self.channels]
        tables = (self.steps.values, self.steps.up, self.steps.down) if self.steps is not None else ()
        stepped = np.max(
            [np.abs(table).max(axis=0) for table in tables if table is not None] or [[0.0]], axis=0
        )
        for number, volts in enumerate(stepped[: len(largest)]):
            largest[number] += float(volts)
        return largest


def patches(
    fields: Sequence[Sequence[float]],
    field_per_volt: Sequence[float],
    samples_per_patch: int,
    repetitions: int = 1,
) -> Steps:
    """The steps that move the field of view from patch to patch.

    Parameters
    ----------
    fields : sequence of sequence of float
        Focus field of each patch, one an axis, in T.
    field_per_volt : sequence of float
        T/V of each axis.
    samples_per_patch, repetitions : int
    """
    volts = np.array(fields, dtype=np.float64) / np.array(field_per_volt)
    return Steps(volts.astype(np.float32), samples_per_patch, repetitions)
