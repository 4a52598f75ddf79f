"""Superparamagnetic tracer: Langevin magnetisation, a distribution of sizes, one relaxation time."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import constants

from nixel.physics.checks import check_non_negative, check_positive
from nixel.physics.mpi.langevin import langevin_pair

Array = NDArray[np.floating[Any]]

# Iron per volume of magnetite: three atoms in 231.533 g/mol at 5175 kg/m^3. Concentrations are of iron.
IRON_PER_CORE_VOLUME = 3 * 5175.0 / 0.231533  # mol/m^3


@dataclass(frozen=True)
class Particles:
    """Magnetite tracer that follows the Langevin function, with a first-order delay if it has a relaxation time.

    The number of particles is log-normal in the diameter. A particle counts by its iron, hence by its volume, and
    the distribution of volume is log-normal, too, with the same deviation and a median larger by exp(3 s^2)
    (Hatch and Choate, 1929). Gauss-Hermite quadrature over the logarithm of the diameter is exact, to rounding,
    for the moments that susceptibility and approach to saturation depend on; in between, 15 nodes keep the
    magnetisation to 5e-13, 1.2e-7, 1.4e-5 and 1.6e-4 of itself at deviations of 0.1, 0.2, 0.3 and 0.4 (30 nodes: to
    3.5e-6 at 0.4).

    The delay is Debye's: tau dM/dt + M = M_eq(B(t)). In the periodic steady state each Fourier coefficient of M,
    and of dM/dt, is the one in equilibrium times 1/(1 + i w tau). This is exact for the harmonics that sampling
    resolves; what is folded down from above half the sampling frequency is treated as the frequency it appears at.

    Parameters
    ----------
    core_diameter : float
        Magnetic core diameter in m; with a distribution, its median by number.
    saturation_magnetisation : float
        Of the core, in A/m (474 kA/m is magnetite's, 0.6 T/mu_0).
    temperature : float
        In K.
    size_deviation : float
        Standard deviation of the diameter's natural logarithm; zero for one size.
    sizes : int
        Nodes of the quadrature over a distribution.
    relaxation_time : float
        Debye's, in s; zero for particles that follow at once.

    Raises
    ------
    ValueError
        If the first three are not positive and finite, or the others negative, not finite or, the nodes, below one.

    References
    ----------
    Chantrell, Popplewell and Charles, IEEE Trans. Magn. 14 (1978) 975; Hatch and Choate, J. Franklin Inst. 207
    (1929) 369; Debye, Polar Molecules (1929).
    """

    core_diameter: float = 25e-9
    saturation_magnetisation: float = 474e3
    temperature: float = 293.15
    size_deviation: float = 0.0
    sizes: int = 15
    relaxation_time: float = 0.0

    def __post_init__(self) -> None:
        for name in ("core_diameter", "saturation_magnetisation", "temperature"):
            check_positive(name, getattr(self, name))
        for name in ("size_deviation", "relaxation_time"):
            check_non_negative(name, getattr(self, name))
        if isinstance(self.sizes, bool) or not isinstance(self.sizes, int | np.integer) or self.sizes < 1:
            raise ValueError(f"sizes: expected one node or more, found {self.sizes!r}")

    @property
    def moment(self) -> float:
        """Magnetic moment of one particle of the core diameter, in A m^2."""
        return float(self.saturation_magnetisation * math.pi / 6.0 * self.core_diameter**3)

    @property
    def xi_per_tesla(self) -> float:
        """Argument of the Langevin function for one tesla, m / (k T), of a particle of the core diameter."""
        return self.moment / (float(constants.k) * self.temperature)

    @property
    def magnetisation_per_iron(self) -> float:
        """Saturated magnetisation for unit concentration: A/m per mol(Fe)/m^3."""
        return self.saturation_magnetisation / IRON_PER_CORE_VOLUME

    @cached_property
    def distribution(self) -> tuple[tuple[float, float], ...]:
        """Diameters in m, each with its share of the iron: the nodes and weights of the quadrature."""
        if self.size_deviation == 0.0:
            return ((self.core_diameter, 1.0),)
        nodes, weights = np.polynomial.hermite_e.hermegauss(self.sizes)
        by_volume = math.log(self.core_diameter) + 3.0 * self.size_deviation**2
        diameters = np.exp(by_volume + self.size_deviation * nodes)
        return tuple(zip(diameters.tolist(), (weights / weights.sum()).tolist(), strict=True))

    def response(self, field_strength: Array) -> tuple[Array, Array]:
        """What the magnetisation and its rate are made of, in equilibrium and for unit concentration.

        M = f B and dM/dt = f dB/dt + g (B.dB/dt) B, with f = M_s sum w b L(b|B|)/(b|B|) over the sizes, b = m/(k T),
        and g = f'(|B|)/|B|: both are smooth at B = 0, which a formula with B/|B| is not.

        Parameters
        ----------
        field_strength : array of float, any shape
            |B| in T.

        Returns
        -------
        f : array of float64, the same shape
            In A/m/T per mol(Fe)/m^3.
        g : array of float64, the same shape
            In A/m/T^3 per mol(Fe)/m^3.
        """
        strength = np.asarray(field_strength, dtype=np.float64)
        first, second = np.zeros(strength.shape), np.zeros(strength.shape)
        for diameter, share in self.distribution:
            beta = self.xi_per_tesla * (diameter / self.core_diameter) ** 3
            over_xi, curvature = langevin_pair(beta * strength)
            scale = self.magnetisation_per_iron * share * beta
            first += scale * over_xi
            second += scale * beta**2 * curvature
        return first, second

    def delay(self, frequencies: Array) -> NDArray[np.complex128]:
        """Factor of each Fourier coefficient, 1/(1 + i 2 pi f tau), in the periodic steady state.

        Parameters
        ----------
        frequencies : array of float, any shape
            In Hz, of exp(+2 pi i f t).

        Returns
        -------
        array of complex128, the same shape
        """
        omega = 2.0 * np.pi * np.asarray(frequencies, dtype=np.float64)
        return np.asarray(1.0 / (1.0 + 1j * omega * self.relaxation_time), dtype=np.complex128)


def brownian_time(
    hydrodynamic_diameter: float, viscosity: float = 1.0e-3, temperature: float = 293.15
) -> float:
    """Relaxation time of a particle that turns as a whole, 3 eta V / (k T).

    Parameters
    ----------
    hydrodynamic_diameter : float
        In m.
    viscosity : float
        Of the fluid in Pa s.
    temperature : float
        In K.

    Returns
    -------
    float
        In s.

    Raises
    ------
    ValueError
        If an argument is not positive and finite.

    References
    ----------
    Brown, Phys. Rev. 130 (1963) 1677.
    """
    for name, value in (
        ("hydrodynamic_diameter", hydrodynamic_diameter), ("viscosity", viscosity), ("temperature", temperature)
    ):  # fmt: skip
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name}: expected a positive number, found {value!r}")
    volume = math.pi / 6.0 * hydrodynamic_diameter**3
    return 3.0 * viscosity * volume / (float(constants.k) * temperature)


def magnetisation(field: Array, particles: Particles, *, concentration: float = 1.0) -> NDArray[np.float64]:
    """Magnetisation in equilibrium.

    Parameters
    ----------
    field : array of float, shape (..., axes)
        Magnetic flux density in T.
    particles : Particles
        Its relaxation time plays no part.
    concentration : float
        Of iron, in mol/m^3 (equal to mmol/l).

    Returns
    -------
    array of float64, shape (..., axes)
        In A/m.

    Raises
    ------
    ValueError
        If the field has no axes, or a value is not finite.
    """
    field = _vectors("field", field)
    first, _ = particles.response(np.sqrt(np.sum(field**2, axis=-1)))
    result: NDArray[np.float64] = concentration * first[..., None] * field
    return result


def magnetisation_rate(
    field: Array, field_rate: Array, particles: Particles, *, concentration: float = 1.0
) -> NDArray[np.float64]:
    """Time derivative of the magnetisation of particles that follow the field at once.

    Parameters
    ----------
    field : array of float, shape (..., axes)
        Magnetic flux density in T.
    field_rate : array of float, shape (..., axes)
        Its time derivative in T/s.
    particles : Particles
        Its relaxation time plays no part.
    concentration : float
        Of iron, in mol/m^3 (equal to mmol/l).

    Returns
    -------
    array of float64, shape (..., axes)
        In A/m/s.

    Raises
    ------
    ValueError
        If the field or its rate has no axes, or a value is not finite.
    """
    field, field_rate = _vectors("field", field), _vectors("field_rate", field_rate)
    first, second = particles.response(np.sqrt(np.sum(field**2, axis=-1)))
    along = second * np.sum(field * field_rate, axis=-1)
    result: NDArray[np.float64] = concentration * (first[..., None] * field_rate + along[..., None] * field)
    return result


def _vectors(name: str, values: Array) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim < 1 or not np.isfinite(found).all():
        raise ValueError(
            f"{name}: expected finite values of shape (..., axes), found shape {found.shape}, or NaN"
        )
    return found
