"""Point spread functions on the volume that their fast computation was published with."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from case import Case, Run
from scipy import special

from nixel.physics.psf import Microscope, gibson_lanni

if TYPE_CHECKING:
    from collections.abc import Iterator

    Array = np.ndarray[Any, np.dtype[Any]]

SHAPE = (128, 256, 256)
SPACING = (0.25e-6, 0.1e-6, 0.1e-6)
DEPTH = 2e-6
MICROSCOPE = Microscope(
    numerical_aperture=1.4,
    wavelength=610e-9,
    sample_index=1.33,
    coverslip_index=1.5,
    coverslip_index_design=1.5,
    immersion_index=1.5,
    immersion_index_design=1.5,
    coverslip_thickness=170e-6,
    coverslip_thickness_design=170e-6,
    immersion_thickness_design=150e-6,
)
MEBIBYTES = math.prod(SHAPE) * 8 / 2**20


@functools.cache
def oracle(centre: float, evanescent: bool) -> tuple[Array, Array, Array]:
    """Rows, columns and values of 300 pixels in every plane, by 4096 nodes in the pupil.

    Parameters
    ----------
    centre
        Row and column of the particle.
    evanescent
        Whether the rays beyond the critical angle of the sample count.
    """
    generator = np.random.default_rng(0)
    # Where there is most light, and everywhere.
    rows, columns = np.concatenate(
        [generator.integers(120, 136, (2, 150)), generator.integers(0, 255, (2, 150))], axis=1
    )
    radii = np.hypot(rows - centre, columns - centre) * SPACING[1]
    m = MICROSCOPE
    x, weights = np.polynomial.legendre.leggauss(2048)
    t = (1 + x) * math.pi / 4
    q, w = m.sample_index * np.sin(t), weights * np.sin(t) * np.cos(t) * m.sample_index**2 * math.pi / 4
    if evanescent:
        last = math.acosh(m.numerical_aperture / m.sample_index)
        t = (1 + x) * last / 2
        q = np.append(q, m.sample_index * np.cosh(t))
        w = np.append(w, weights * np.sinh(t) * np.cosh(t) * m.sample_index**2 * last / 2)
    stage = SPACING[0] * (np.arange(SHAPE[0]) - (SHAPE[0] - 1) / 2)
    path = DEPTH * np.sqrt(m.sample_index**2 - q**2 + 0j) + stage[:, None] * np.sqrt(
        m.immersion_index**2 - q**2
    )
    k = 2 * math.pi / m.wavelength
    values = np.abs((w * np.exp(1j * k * path)) @ special.j0(k * np.outer(q, radii))) ** 2
    return rows, columns, values


def error(result: Any) -> float:  # noqa: ANN401
    """Largest deviation from the oracle in units of the peak; a peer's result comes with its own convention."""
    volume, centre, evanescent = result if isinstance(result, tuple) else (result, (SHAPE[1] - 1) / 2, False)
    rows, columns, expected = oracle(centre, evanescent)
    found = volume[:, rows, columns]
    # The peak of the whole volume need not be among the pixels: all are compared by their own brightest one.
    return float(np.abs(found / found.max() - expected / expected.max()).max())


def psfmodels() -> dict[str, Run | str]:
    """The scalar model of psfmodels, whose stage counts from the particle's nominal focus."""
    try:
        from importlib.metadata import version

        from psfmodels import make_psf
    except ImportError as failure:
        return {"psfmodels": f"not installed ({failure})"}
    m = MICROSCOPE
    stage = 0.25 * (np.arange(SHAPE[0]) - (SHAPE[0] - 1) / 2)
    focus = DEPTH * 1e6 * (1 - m.immersion_index / m.sample_index)
    positions = focus - stage

    def run() -> Any:  # noqa: ANN401
        volume = make_psf(
            positions, SHAPE[1], dxy=0.1, pz=2.0, NA=1.4, wvl=0.61, ns=1.33, ni=1.5, ni0=1.5, tg=170, tg0=170,
            ng=1.5, ng0=1.5, ti0=150, oversample_factor=1, model="scalar",
        )  # fmt: skip
        return volume, SHAPE[1] // 2 - 1, True

    return {f"psfmodels {version('psfmodels')}": run}


def microscpsf() -> dict[str, Run | str]:
    """The fast Fourier-Bessel series of MicroscPSF-Py."""
    try:
        from importlib.metadata import version

        from microscPSF import microscPSF
    except ImportError as failure:
        return {"MicroscPSF-Py": f"not installed ({failure})"}
    parameters = {
        **microscPSF.m_params, "NA": 1.4, "ns": 1.33, "ng": 1.5, "ng0": 1.5, "ni": 1.5, "ni0": 1.5, "ti0": 150,
        "tg": 170, "tg0": 170,
    }  # fmt: skip
    stage = 0.25 * (np.arange(SHAPE[0]) - (SHAPE[0] - 1) / 2)

    def run() -> Any:  # noqa: ANN401
        return microscPSF.gLXYZFocalScan(parameters, 0.1, SHAPE[1], stage, pz=2.0, wvl=0.61)

    return {f"MicroscPSF-Py {version('MicroscPSF-Py')}": run}


def fill() -> Array:
    """The result's memory, written once."""
    array = np.empty(SHAPE)
    array.fill(0.5)
    return array


def cases() -> Iterator[Case]:
    """Quadrature and series; one thread for all."""
    scalar, series = psfmodels(), microscpsf()
    common: dict[str, Any] = {
        "floor_name": f"fill the array of {MEBIBYTES:.0f} MiB",
        "floor": fill,
        "error": error,
        "error_name": "largest deviation from a quadrature by thousands of nodes, in units of the peak",
    }
    yield Case(
        name="psf: Gibson-Lanni 256x256x128",
        ours=lambda: gibson_lanni(SHAPE, SPACING, MICROSCOPE, particle_depth=DEPTH),
        peers={**scalar, **series},
        at_most_floors=6,
        times_faster={**dict.fromkeys(scalar, 8.0), **dict.fromkeys(series, 1.0)},
        error_at_most=1e-10,
        error_below=(*scalar, *series),
        extra_memory_at_most=1.3 * math.prod(SHAPE) * 8,
        note=(
            "psfmodels also counts the rays beyond the critical angle of the sample and, with an even number of "
            "pixels, leaves the last row and column empty; it is compared with a quadrature of its own convention."
        ),
        **common,
    )
    yield Case(
        name="psf: Fourier-Bessel series 256x256x128",
        ours=lambda: gibson_lanni(SHAPE, SPACING, MICROSCOPE, particle_depth=DEPTH, method="series"),
        peers=series,
        error_at_most=5e-4,
        **common,
    )
