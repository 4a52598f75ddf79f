"""Superparamagnetic tracer in thermal equilibrium: the Langevin model."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import constants
from scipy.special import bernoulli

Array = NDArray[np.floating[Any]]

# Iron per volume of magnetite: three atoms in 231.533 g/mol at 5175 kg/m^3. Concentrations are of iron.
IRON_PER_CORE_VOLUME = 3 * 5175.0 / 0.231533  # mol/m^3

# Below this argument coth(xi) - 1/xi cancels; the Taylor series (radius pi) has converged to the last bit.
_SERIES_BELOW = 0.7
_TERMS = 16


@cache
def _series() -> tuple[float, ...]:
    """Coefficients c_n of L(xi) = sum c_n xi^(2n-1), from the Bernoulli numbers: 1/3, -1/45, 2/945, ..."""
    numbers = bernoulli(2 * _TERMS)
    return tuple(float(4.0**n * numbers[2 * n] / math.factorial(2 * n)) for n in range(1, _TERMS + 1))


def _piecewise(xi: Array, coefficients: list[float], closed: Callable[[Array], Array]) -> Array:
    """Even function of xi: a polynomial in xi^2 near zero, the closed form elsewhere."""
    magnitude = np.abs(np.asarray(xi, dtype=np.float64))
    small = magnitude < _SERIES_BELOW
    result: Array = closed(np.where(small, 1.0, magnitude))
    if small.any():
        # Clamped, so that the polynomial does not overflow where its value is thrown away.
        series = np.polynomial.polynomial.polyval(np.where(small, magnitude, 0.0) ** 2, coefficients)
        result = np.where(small, series, result)
    return result


def _coth(xi: Array) -> Array:
    result: Array = 1.0 / np.tanh(xi)
    return result


def _cosech_squared(xi: Array) -> Array:
    decay = np.exp(-2.0 * xi)  # 1/sinh^2 without overflow
    result: Array = 4.0 * decay / (1.0 - decay) ** 2
    return result


def langevin_over_xi(xi: Array) -> Array:
    """L(xi)/xi, 1/3 at zero.

    Parameters
    ----------
    xi : array of float, any shape
        Ratio of magnetic to thermal energy (dimensionless).

    Returns
    -------
    array of float64, the shape of `xi`
    """
    return _piecewise(xi, list(_series()), lambda x: (_coth(x) - 1.0 / x) / x)


def langevin_curvature(xi: Array) -> Array:
    """(d/dxi of L(xi)/xi) / xi, -2/45 at zero: what the chain rule needs for a rotating field.

    Parameters
    ----------
    xi : array of float, any shape
        Ratio of magnetic to thermal energy (dimensionless).

    Returns
    -------
    array of float64, the shape of `xi`
    """
    coefficients = [2 * n * c for n, c in enumerate(_series())][1:]
    return _piecewise(
        xi, coefficients, lambda x: ((1.0 / x**2 - _cosech_squared(x)) - (_coth(x) - 1.0 / x) / x) / x**2
    )


def langevin(xi: Array) -> Array:
    """Langevin function L(xi) = coth(xi) - 1/xi.

    Parameters
    ----------
    xi : array of float, any shape
        Ratio of magnetic to thermal energy (dimensionless).

    Returns
    -------
    array of float64, the shape of `xi`
        Mean alignment, -1 to 1, accurate to rounding at every argument.
    """
    result: Array = np.asarray(xi, dtype=np.float64) * langevin_over_xi(xi)
    return result


def langevin_derivative(xi: Array) -> Array:
    """Derivative L'(xi) = 1/xi^2 - 1/sinh^2(xi); 1/3 at zero, full width at half maximum 4.16105.

    Parameters
    ----------
    xi : array of float, any shape
        Ratio of magnetic to thermal energy (dimensionless).

    Returns
    -------
    array of float64, the shape of `xi`
    """
    coefficients = [(2 * n + 1) * c for n, c in enumerate(_series())]
    return _piecewise(xi, coefficients, lambda x: 1.0 / x**2 - _cosech_squared(x))


@dataclass(frozen=True)
class Particles:
    """Monodisperse magnetite tracer in thermal equilibrium.

    Parameters
    ----------
    core_diameter : float
        Magnetic core diameter in m.
    saturation_magnetisation : float
        Of the core, in A/m (474 kA/m is magnetite's, 0.6 T/mu_0).
    temperature : float
        In K.

    Raises
    ------
    ValueError
        If a parameter is not a positive finite number.
    """

    core_diameter: float = 25e-9
    saturation_magnetisation: float = 474e3
    temperature: float = 293.15

    def __post_init__(self) -> None:
        for name in ("core_diameter", "saturation_magnetisation", "temperature"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: expected a positive number, found {value!r}")

    @property
    def moment(self) -> float:
        """Magnetic moment of one particle in A m^2."""
        return float(self.saturation_magnetisation * math.pi / 6.0 * self.core_diameter**3)

    @property
    def xi_per_tesla(self) -> float:
        """Argument of the Langevin function for one tesla: m / (k T)."""
        return self.moment / (float(constants.k) * self.temperature)

    @property
    def magnetisation_per_iron(self) -> float:
        """Saturated magnetisation for unit concentration: A/m per mol(Fe)/m^3."""
        return self.saturation_magnetisation / IRON_PER_CORE_VOLUME
