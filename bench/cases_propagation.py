"""Free-space propagation of a full frame of the microscope's sensor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft
from case import Case, Run

from nixel.physics.optics import padded_shape, propagate

if TYPE_CHECKING:
    from collections.abc import Iterator

SHAPE = (2464, 3280)
PIXEL = 1.12e-6
WAVELENGTH = 532e-9
DISTANCE = 1e-3
WAIST = 150e-6
THREADS = 1


def beam(distance: float) -> np.ndarray[Any, Any]:
    """Paraxial Gaussian beam without exp(ikz); its divergence of 1 mrad is paraxial to 1e-9."""
    wavenumber = 2 * math.pi / WAVELENGTH
    q = distance - 1j * wavenumber * WAIST**2 / 2
    y, x = ((np.arange(n) - (n - 1) / 2) * PIXEL for n in SHAPE)
    one = [np.exp(1j * wavenumber * axis**2 / (2 * q)) for axis in (y, x)]
    return np.outer(*one) * (-1j * wavenumber * WAIST**2 / 2 / q)


def waveprop(field: np.ndarray[Any, Any]) -> dict[str, Run | str]:
    """The band-limited angular spectrum of waveprop, with its own padding, on NumPy."""
    try:
        from importlib.metadata import version

        from waveprop.rs import angular_spectrum
    except ImportError as error:
        return {"waveprop": f"not installed ({error})"}
    piston = np.complex64(np.exp(-2j * math.pi * ((DISTANCE / WAVELENGTH) % 1)))

    def run() -> np.ndarray[Any, Any]:
        propagated, _, _ = angular_spectrum(
            u_in=field, wv=WAVELENGTH, d1=PIXEL, dz=DISTANCE, bandlimit=True, dtype=np.float32
        )
        return np.asarray(propagated * piston)

    return {f"waveprop {version('waveprop')}": run}


def lightpipes(field: np.ndarray[Any, Any]) -> dict[str, Run | str]:
    """The spectral method of LightPipes, which takes square fields only and pads nothing."""
    try:
        import LightPipes
    except ImportError as error:
        return {"LightPipes": f"not installed ({error})"}
    begun = LightPipes.Begin(len(field) * PIXEL, WAVELENGTH, len(field), dtype=np.complex64)
    begun.field = field

    def run() -> np.ndarray[Any, Any]:
        propagated: np.ndarray[Any, Any] = LightPipes.Forvard(begun, DISTANCE).field
        return propagated

    return {f"LightPipes {LightPipes.LPversion}": run}


def cases() -> Iterator[Case]:
    """One frame, complex64, 1 mm."""
    field = beam(0.0).astype(np.complex64)
    expected = beam(DISTANCE)
    padded = np.zeros(padded_shape(SHAPE), np.complex64)
    padded[: SHAPE[0], : SHAPE[1]] = field

    def transforms() -> np.ndarray[Any, Any]:
        spectrum = scipy.fft.fft2(padded, workers=THREADS)
        result: np.ndarray[Any, Any] = scipy.fft.ifft2(spectrum, overwrite_x=True, workers=THREADS)
        return result

    yield Case(
        name="propagation: 2464x3280 complex64",
        ours=lambda: propagate(field, DISTANCE, wavelength=WAVELENGTH, pixel_size=PIXEL, workers=THREADS),
        floor_name=f"FFT and inverse FFT of {padded.shape[0]}x{padded.shape[1]}",
        floor=transforms,
        peers={
            **waveprop(field),
            "HoloPy": "not on the Python Package Index, where holopy is another project",
        },
        error=lambda result: float(np.abs(result - expected).max()),
        error_name="largest deviation from a Gaussian beam of amplitude 1",
        at_most_floors=1.2,
        error_at_most=1e-5,
        extra_memory_at_most=200 * 2**20,
        note=(
            "The floor transforms the padded grid whole, as every peer does. Ours can be below it: it never "
            "transforms the rows of zeros along x."
        ),
    )
    square = np.ascontiguousarray(field[:, (SHAPE[1] - SHAPE[0]) // 2 :][:, : SHAPE[0]])
    there = expected[:, (SHAPE[1] - SHAPE[0]) // 2 :][:, : SHAPE[0]]
    yield Case(
        name="propagation: 2464x2464 complex64",
        ours=lambda: propagate(square, DISTANCE, wavelength=WAVELENGTH, pixel_size=PIXEL, workers=THREADS),
        peers=lightpipes(square),
        # The piston is a matter of convention: the one that suits the result best is taken out of it.
        error=lambda result: float(
            np.abs(result * np.exp(-1j * np.angle(np.vdot(there, result))) - there).max()
        ),
        error_name="largest deviation from a Gaussian beam of amplitude 1, up to a common phase",
        error_at_most=1e-5,
        note="LightPipes takes square fields only and does not pad: what leaves its window comes in on the other side.",
    )
