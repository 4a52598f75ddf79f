"""The receive chain: coils with a sensitivity, a resonance or a measured transfer function."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from nixel.physics.checks import check_non_negative, check_positive
from nixel.physics.mpi.transfer import MeasuredTransfer

Array = NDArray[np.floating[Any]]


class SensitivityMap(Protocol):
    """A coil whose sensitivity depends on the place."""

    def field_per_current(self, positions: Array) -> NDArray[np.float64]:
        """Magnetic field per unit current, H/I, at positions of shape (voxels, 3) in m: (voxels, 3) in 1/m."""


# A coil's field per unit current in 1/m: homogeneous along the channel's own axis, homogeneous along any direction
# (x, y, z), or a map.
Sensitivity = float | tuple[float, ...] | SensitivityMap


@dataclass(frozen=True)
class ReceiveCoils:
    """Receive coils, one a channel, with a second-order resonance or a measured transfer function.

    By reciprocity a magnetic moment m at r induces -mu_0 p(r).dm/dt in a coil whose current I produces the field
    H = p(r) I at r.

    Parameters
    ----------
    sensitivities : tuple, one a channel
        p = H/I in 1/m: a number (homogeneous, along the axis of the channel's number), a vector (x, y, z)
        (homogeneous), or a map with ``field_per_current`` (such as `CircularLoop`).
    resonance : float or None
        Resonance frequency of coil and amplifier input in Hz; None for none.
    quality : float
        Quality factor of the resonance.
    measured : MeasuredTransfer or tuple of them, one a channel, or None
        Transfer function from a table; multiplies that of the resonance.

    Raises
    ------
    ValueError
        If there is no channel, a sensitivity is not finite, resonance or quality is not positive, or tables do
        not fit the channels.
    """

    sensitivities: tuple[Sensitivity, ...] = (1000.0, 1000.0)
    resonance: float | None = None
    quality: float = 1.0
    measured: MeasuredTransfer | tuple[MeasuredTransfer, ...] | None = None

    def __post_init__(self) -> None:
        if not self.sensitivities:
            raise ValueError("sensitivities: expected one for each channel, found none")
        for sensitivity in self.sensitivities:
            homogeneous = isinstance(sensitivity, int | float | np.number | tuple)
            if homogeneous and not np.isfinite(np.asarray(sensitivity, dtype=np.float64)).all():
                raise ValueError(f"sensitivities: expected finite numbers in 1/m, found {sensitivity!r}")
            if not homogeneous and not hasattr(sensitivity, "field_per_current"):
                raise ValueError(
                    "sensitivities: expected a number or a vector in 1/m, or a coil such as CircularLoop, found "
                    f"{sensitivity!r}"
                )
        if self.resonance is not None:
            check_positive("resonance", self.resonance, "Hz")
        check_positive("quality", self.quality)
        if isinstance(self.measured, tuple) and len(self.measured) != len(self.sensitivities):
            raise ValueError(
                f"measured: expected one table for each of {len(self.sensitivities)} channels, "
                f"found {len(self.measured)}"
            )

    @property
    def is_ideal(self) -> bool:
        """Whether the received voltage is the induced one."""
        return self.resonance is None and self.measured is None

    def sensitivity(self, positions: Array) -> NDArray[np.float64]:
        """Field per unit current of each channel.

        Parameters
        ----------
        positions : array of float, shape (voxels, axes)
            In m; axes that are missing are zero.

        Returns
        -------
        array of float64, shape (channels, voxels, axes)
            In 1/m.

        Raises
        ------
        ValueError
            If a channel's axis or vector does not fit the positions' axes.
        """
        axes = positions.shape[1]
        result = np.zeros((len(self.sensitivities), *positions.shape))
        for channel, sensitivity in enumerate(self.sensitivities):
            if isinstance(sensitivity, int | float | np.number):
                if channel >= axes:
                    raise ValueError(
                        f"coils: expected at most one channel for each of {axes} axes, "
                        f"found {len(self.sensitivities)}; give the others' directions as vectors"
                    )
                result[channel, :, channel] = float(sensitivity)
            elif isinstance(sensitivity, tuple):
                if len(sensitivity) < axes:
                    raise ValueError(
                        f"coils: expected vectors of {axes} components or more in 1/m, found {sensitivity}"
                    )
                result[channel] = sensitivity[:axes]
            else:
                places = np.zeros((len(positions), 3))
                places[:, :axes] = positions
                result[channel] = sensitivity.field_per_current(places)[:, :axes]
        return result

    def transfer_function(self, frequencies: Array, channel: int = 0) -> NDArray[np.complex128]:
        """Voltage at the amplifier per induced voltage; of the resonance, 1 / (1 - (f/f0)^2 + i f/(f0 Q)).

        Parameters
        ----------
        frequencies : array of float, shape (frequencies,)
            In Hz.
        channel : int

        Returns
        -------
        array of complex128, shape (frequencies,)
        """
        frequencies = np.asarray(frequencies, dtype=np.float64)
        result = np.ones(frequencies.shape, dtype=np.complex128)
        if self.resonance is not None:
            ratio = frequencies / self.resonance
            result /= 1.0 - ratio**2 + 1j * ratio / self.quality
        measured = self.measured[channel] if isinstance(self.measured, tuple) else self.measured
        return result if measured is None else result * measured.at(frequencies)

    def transfer_functions(self, frequencies: Array) -> NDArray[np.complex128]:
        """Transfer function of every channel, shape (channels, frequencies)."""
        return np.stack([self.transfer_function(frequencies, k) for k in range(len(self.sensitivities))])

    def receive(self, induced: Array, sampling_frequency: float) -> Array:
        """Pass one period of induced voltage through the chain.

        Parameters
        ----------
        induced : array of float, shape (..., samples), or (channels, ..., samples) if channels have own tables
            In V.
        sampling_frequency : float
            In Hz.

        Returns
        -------
        array of the same shape and dtype
            In V.
        """
        return induced if self.is_ideal else self._filter(induced, sampling_frequency, None)

    def correct(self, received: Array, sampling_frequency: float, *, smallest: float = 1e-3) -> Array:
        """Undo the chain: the induced voltage from the received one.

        Parameters
        ----------
        received : array of float, shape as in `receive`
            One period, in V.
        sampling_frequency : float
            In Hz.
        smallest : float
            Fourier coefficients at which the transfer function is below this part of its maximum are set to zero:
            they hold noise only.

        Returns
        -------
        array of the same shape and dtype
            In V.

        Raises
        ------
        ValueError
            If smallest is not between 0 and 1.
        """
        if not 0 <= smallest < 1:
            raise ValueError(f"smallest: expected 0 or more and less than 1, found {smallest!r}")
        return received if self.is_ideal else self._filter(received, sampling_frequency, smallest)

    def _filter(self, voltage: Array, sampling_frequency: float, smallest: float | None) -> Array:
        """Multiply the spectrum with the transfer function, or, given `smallest`, with its inverse."""
        samples = voltage.shape[-1]
        frequencies = np.fft.rfftfreq(samples, 1.0 / sampling_frequency)
        if isinstance(self.measured, tuple):
            if len(voltage) != len(self.measured):
                raise ValueError(f"expected {len(self.measured)} channels first, found {voltage.shape}")
            factor = self.transfer_functions(frequencies)
            factor = factor.reshape(len(factor), *(1,) * (voltage.ndim - 2), factor.shape[1])
        else:
            factor = self.transfer_function(frequencies)
        factor = settle_ends(factor, samples)
        if smallest is not None:
            size = np.abs(factor)
            usable = (size > smallest * size.max(axis=-1, keepdims=True)) & (size > 0)
            factor = np.where(usable, 1.0 / np.where(usable, factor, 1.0), 0.0)
        filtered = np.fft.irfft(np.fft.rfft(voltage, axis=-1) * factor, n=samples, axis=-1)
        return filtered.astype(voltage.dtype, copy=False)


def settle_ends(factor: NDArray[np.complex128], samples: int) -> NDArray[np.complex128]:
    """Make a filter real at zero and, for an even number of samples, half the sampling frequency.

    A real signal has no phase there: with a complex factor the filter could not be undone.
    """
    factor = factor.copy()
    factor[..., 0] = factor[..., 0].real
    if samples % 2 == 0:
        factor[..., -1] = factor[..., -1].real
    return factor


def thermal_noise(resistance: float, temperature: float, bandwidth: float) -> float:
    """Johnson-Nyquist noise of a resistance: its standard deviation in V.

    Parameters
    ----------
    resistance : float
        In ohm.
    temperature : float
        In K.
    bandwidth : float
        In Hz.

    Returns
    -------
    float
        In V.

    Raises
    ------
    ValueError
        If an argument is negative or not finite.

    References
    ----------
    Nyquist, Phys. Rev. 32, 110 (1928).
    """
    for name, value, unit in (
        ("resistance", resistance, "ohm"),
        ("temperature", temperature, "K"),
        ("bandwidth", bandwidth, "Hz"),
    ):
        check_non_negative(name, value, unit)
    return math.sqrt(4.0 * constants.k * temperature * resistance * bandwidth)
