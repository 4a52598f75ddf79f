"""The receive chain: coils with a resonance, and the noise that nothing can avoid."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import constants


@dataclass(frozen=True)
class ReceiveCoils:
    """Receive coils, one a channel, each along one axis, with a second-order resonance.

    Parameters
    ----------
    sensitivities : tuple of float, one a channel
        Magnetic field per unit current, p = H/I, in 1/m (reciprocity).
    resonance : float or None
        Resonance frequency of coil and amplifier input in Hz; None for an ideal coil.
    quality : float
        Quality factor of the resonance.

    Raises
    ------
    ValueError
        If there is no channel, or resonance or quality is not positive.
    """

    sensitivities: tuple[float, ...] = (1000.0, 1000.0)
    resonance: float | None = None
    quality: float = 1.0

    def __post_init__(self) -> None:
        if not self.sensitivities:
            raise ValueError("sensitivities: expected one for each channel, found none")
        if self.resonance is not None and not self.resonance > 0:
            raise ValueError(f"resonance: expected a positive frequency in Hz, found {self.resonance!r}")
        if not self.quality > 0:
            raise ValueError(f"quality: expected a positive number, found {self.quality!r}")

    def transfer_function(self, frequencies: NDArray[np.floating[Any]]) -> NDArray[np.complex128]:
        """Voltage at the amplifier per induced voltage, 1 / (1 - (f/f0)^2 + i f/(f0 Q)).

        Parameters
        ----------
        frequencies : array of float, shape (frequencies,)
            In Hz.

        Returns
        -------
        array of complex128, shape (frequencies,)
        """
        frequencies = np.asarray(frequencies, dtype=np.float64)
        if self.resonance is None:
            return np.ones(frequencies.shape, dtype=np.complex128)
        ratio = frequencies / self.resonance
        return np.asarray(1.0 / (1.0 - ratio**2 + 1j * ratio / self.quality), dtype=np.complex128)

    def receive(
        self, induced: NDArray[np.floating[Any]], sampling_frequency: float
    ) -> NDArray[np.floating[Any]]:
        """Pass one period of induced voltage in V, shape (..., samples), through the chain."""
        if self.resonance is None:
            return induced
        samples = induced.shape[-1]
        transfer = self.transfer_function(np.fft.rfftfreq(samples, 1.0 / sampling_frequency))
        received = np.fft.irfft(np.fft.rfft(induced, axis=-1) * transfer, n=samples, axis=-1)
        return received.astype(induced.dtype, copy=False)


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

    Raises
    ------
    ValueError
        If an argument is negative.

    References
    ----------
    Nyquist, Phys. Rev. 32, 110 (1928).
    """
    if min(resistance, temperature, bandwidth) < 0:
        raise ValueError(
            "expected a resistance, temperature and bandwidth of zero or more, "
            f"found {resistance!r} ohm, {temperature!r} K, {bandwidth!r} Hz"
        )
    return math.sqrt(4.0 * constants.k * temperature * resistance * bandwidth)
