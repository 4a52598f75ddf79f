"""A measured transfer function, interpolated."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class MeasuredTransfer:
    """Transfer function from a table, such as a network analyser's.

    Between the table's frequencies the logarithm of the magnitude and the unwrapped phase are linear, which is
    exact for a gain, a delay and a power of the frequency's exponential; outside them the nearest value holds.

    Parameters
    ----------
    frequencies : tuple of float
        In Hz, ascending, zero or more; dense enough that the phase turns by less than half a turn from one to the
        next.
    values : tuple of complex
        Received per induced voltage; not zero.

    Raises
    ------
    ValueError
        If there are fewer than two, lengths differ, frequencies do not ascend, or a value is zero or not finite.
    """

    frequencies: tuple[float, ...]
    values: tuple[complex, ...]

    def __post_init__(self) -> None:
        frequencies, values = np.asarray(self.frequencies, dtype=np.float64), np.asarray(self.values)
        if frequencies.ndim != 1 or len(frequencies) < 2 or values.shape != frequencies.shape:
            raise ValueError(
                "expected two or more frequencies, each with a value, "
                f"found shapes {frequencies.shape} and {values.shape}"
            )
        if not np.isfinite(frequencies).all() or frequencies[0] < 0 or (np.diff(frequencies) <= 0).any():
            raise ValueError("frequencies: expected ascending numbers of zero or more in Hz")
        if not np.isfinite(values).all() or (values == 0).any():
            raise ValueError("values: expected finite numbers that are not zero")
        object.__setattr__(self, "frequencies", tuple(frequencies.tolist()))
        object.__setattr__(self, "values", tuple(values.astype(np.complex128).tolist()))

    def at(self, frequencies: Array) -> NDArray[np.complex128]:
        """Value at any frequencies.

        Parameters
        ----------
        frequencies : array of float, any shape
            In Hz.

        Returns
        -------
        array of complex128, the same shape
        """
        wanted = np.asarray(frequencies, dtype=np.float64)
        known, values = np.asarray(self.frequencies), np.asarray(self.values)
        size = np.interp(wanted, known, np.log(np.abs(values)))
        phase = np.interp(wanted, known, np.unwrap(np.angle(values)))
        return np.asarray(np.exp(size + 1j * phase), dtype=np.complex128)
