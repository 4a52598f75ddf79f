"""The scalar point spread function against closed forms, conservation of energy and a dense quadrature."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from nixel.physics.psf import Microscope, gibson_lanni
from nixel.physics.psf.pupil import choose_pupil
from nixel.physics.psf.series import bessel_overlap

OIL = Microscope(
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
# Nothing aberrates: the sample is as the immersion.
MATCHED = replace(OIL, sample_index=1.5)
WATER = replace(
    OIL, numerical_aperture=1.2, sample_index=1.38, immersion_index=1.33, immersion_index_design=1.334
)
THICK = replace(OIL, coverslip_thickness=175e-6, coverslip_index=1.523, immersion_index=1.515)
DRY = replace(
    OIL, numerical_aperture=0.4, immersion_index=1.0, immersion_index_design=1.0, wavelength=488e-9,
    coverslip_thickness=180e-6,
)  # fmt: skip


def path(m, q, stage, depth):
    """Optical path of Gibson and Lanni's equation 5, metres, complex beyond an index; stage along the first axis."""

    def cosine(n):
        return np.sqrt(n**2 - q**2 + 0j)

    actual = (m.immersion_thickness_design + stage[:, None]) * cosine(m.immersion_index)
    return (
        depth * cosine(m.sample_index)
        + m.coverslip_thickness * cosine(m.coverslip_index)
        - m.coverslip_thickness_design * cosine(m.coverslip_index_design)
        + actual
        - m.immersion_thickness_design * cosine(m.immersion_index_design)
    )


def panels(*ends, count=64, nodes=64):
    """Composite Gauss-Legendre rule between successive ends."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    edges = np.concatenate(
        [np.linspace(a, b, count + 1)[:-1] for a, b in itertools.pairwise(ends)] + [ends[-1:]]
    )
    half = np.diff(edges)[:, None] / 2
    return ((edges[:-1, None] + edges[1:, None]) / 2 + half * x).ravel(), (half * w).ravel()


def dense(m, radii, stage, depth, *, supercritical=False, count=64):
    """Intensity, (stage, radii), by thousands of nodes: the integral as it stands in the paper."""
    indices = [m.coverslip_index, m.coverslip_index_design, m.immersion_index, m.immersion_index_design]
    last = min(m.numerical_aperture, *indices, *([] if supercritical else [m.sample_index]))
    # q = last sin(t) is smooth where cosines end; beyond the critical angle q = n_s cosh(t) is.
    bend = min(last, m.sample_index)
    t, w = panels(0, math.asin(bend / min(m.sample_index, *indices)), count=count)
    q = min(m.sample_index, *indices) * np.sin(t)
    w = w * q * min(m.sample_index, *indices) * np.cos(t)
    if bend < last:
        t, v = panels(0, math.acosh(last / bend), count=count)
        q, w = np.append(q, bend * np.cosh(t)), np.append(w, v * bend**2 * np.cosh(t) * np.sinh(t))
    k = 2 * math.pi / m.wavelength
    waves = w * np.exp(1j * k * path(m, q, np.asarray(stage), depth))
    return np.abs(waves @ special.j0(k * np.outer(q, radii))) ** 2


def stage_positions(shape, spacing):
    return spacing[0] * (np.arange(shape[0]) - (shape[0] - 1) / 2)


def radius_of(shape, spacing):
    y, x = (d * (np.arange(n) - (n - 1) / 2) for n, d in zip(shape[1:], spacing[1:], strict=True))
    return np.hypot(y[:, None], x)


def dense_volume(m, shape, spacing, depth, **options):
    radii, inverse = np.unique(radius_of(shape, spacing), return_inverse=True)
    volume = dense(m, radii, stage_positions(shape, spacing), depth, **options)[:, inverse.reshape(shape[1:])]
    return volume / volume.max()


@pytest.mark.parametrize("n", [15, 301])
@pytest.mark.parametrize("aperture", [0.01, 0.5, 1.4, 1.5])
def test_the_focus_without_aberration_is_the_airy_pattern(n, aperture):
    microscope = replace(MATCHED, numerical_aperture=aperture)
    pixel = 0.05e-6 * 1.4 / aperture
    found = gibson_lanni((1, n, n), (1e-7, pixel, pixel), microscope, particle_depth=0)
    v = microscope.wavenumber * aperture * radius_of((1, n, n), (0, pixel, pixel))
    v[n // 2, n // 2] = 1
    expected = (2 * special.j1(v) / v) ** 2
    expected[n // 2, n // 2] = 1
    assert np.abs(found[0] - expected).max() < 1e-12


@pytest.mark.parametrize("aperture", [0.1, 0.95, 1.4, 1.5])
def test_the_axis_without_aberration_is_the_closed_form(aperture):
    # The integral of u exp(ikzu) du, u = n cos(theta), from the marginal ray's u to n.
    shape, spacing = (201, 1, 1), (0.1e-6, 1e-7, 1e-7)
    microscope = replace(MATCHED, numerical_aperture=aperture)
    found = gibson_lanni(shape, spacing, microscope, particle_depth=0)[:, 0, 0]
    kz = microscope.wavenumber * stage_positions(shape, spacing)
    kz[100] = 1
    n = 1.5
    marginal = math.sqrt(n**2 - aperture**2)
    rise = aperture**2 / (n + marginal)
    # Divided by exp(i kz n), without which small apertures would cancel: exp(-i kz rise) - 1 by expm1.
    turn = np.expm1(-1j * kz * rise)
    amplitude = (n - (1 + turn) * marginal) / (1j * kz) - turn / kz**2
    amplitude[100] = aperture**2 / 2
    expected = np.abs(amplitude) ** 2 / (aperture**2 / 2) ** 2
    # What the closed form itself loses to cancellation.
    own = 8 * np.finfo(float).eps * (n / np.abs(kz) + rise / np.abs(kz)) / (aperture**2 / 2)
    assert (np.abs(found - expected) < np.maximum(1e-12, own)).all()
    assert aperture < 0.9 or own.max() < 1e-12


@pytest.mark.parametrize("microscope", [OIL, WATER, THICK, MATCHED], ids=["oil", "water", "thick", "matched"])
@pytest.mark.parametrize("supercritical", [False, True])
def test_every_plane_has_the_same_energy(microscope, supercritical):
    # One row far to both sides says what a disc contains. What diffraction at the pupil's edge spreads beyond it is
    # some 2/(pi v) = 4e-4 of the energy, v = k NA r, more or less by the plane.
    shape, spacing = (5, 1, 12001), (2e-6, 2e-8, 2e-8)
    depth = 3e-6
    found = gibson_lanni(shape, spacing, microscope, particle_depth=depth, supercritical=supercritical)[:, 0]
    r = spacing[2] * (np.arange(shape[2]) - shape[2] // 2)
    # Trapezoids over 2 pi r I dr, with Euler's correction for the slope I(0) in which r I begins.
    step = spacing[2]
    energy = (
        math.pi * step * (np.abs(r) * found).sum(axis=1) + math.pi / 6 * step**2 * found[:, shape[2] // 2]
    )
    assert np.abs(energy / energy.mean() - 1).max() < 5e-4
    # And as much as the pupil lets through (Parseval), in units of the peak.
    bend = min(microscope.aperture(), microscope.sample_index)
    last = microscope.aperture(supercritical=supercritical)
    q, w = panels(0, bend, last) if last > bend else panels(0, bend)
    damping = np.exp(
        -2 * microscope.wavenumber * depth * np.sqrt(microscope.sample_index**2 - q**2 + 0j).imag
    )
    plane, column = np.unravel_index(found.argmax(), found.shape)
    peak = dense(
        microscope, np.abs(r[[column]]), stage_positions(shape, spacing)[[plane]], depth, supercritical=supercritical
    )  # fmt: skip
    expected = 2 * math.pi / microscope.wavenumber**2 * (w * q * damping).sum() / peak[0, 0]
    outside = 2 / (math.pi * microscope.wavenumber * last * r[-1])
    assert energy == pytest.approx(expected * (1 - outside), rel=5e-4)


def test_a_disc_encircles_the_energy_of_rayleigh():
    n = 4001
    found = gibson_lanni((1, 1, n), (1e-7, 5e-9, 5e-9), MATCHED, particle_depth=0)[0, 0, n // 2 :]
    v = MATCHED.wavenumber * 1.4 * 5e-9 * np.arange(len(found))
    # Trapezoids: half of v I is integrated with an error of the step squared/12 times half the difference of the
    # slopes of v I at the ends, which lie between -1 and 1.
    inside = np.concatenate([[0], np.cumsum((v * found)[1:] + (v * found)[:-1])]) / 2 * v[1] / 2
    assert np.abs(inside - (1 - special.j0(v) ** 2 - special.j1(v) ** 2)).max() < v[1] ** 2 / 12


CASES = {
    "oil": (OIL, 2e-6, False),
    "oil, deep": (OIL, 80e-6, False),
    "oil, all rays": (OIL, 2e-6, True),
    "oil, all rays, on the coverslip": (OIL, 20e-9, True),
    "water": (WATER, 15e-6, False),
    "thick coverslip": (THICK, 1e-6, False),
    "dry": (DRY, 10e-6, False),
    "beyond the immersion": (replace(OIL, numerical_aperture=1.6), 0.5e-6, False),
    "nearly equal indices": (replace(MATCHED, sample_index=1.4999, numerical_aperture=1.4999), 5e-6, False),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("shape", "pixels"), [((13, 12, 12), (0.2e-6, 0.2e-6)), ((4, 97, 64), (0.1e-6, 0.13e-6))]
)
def test_it_is_the_dense_quadrature(case, shape, pixels):
    microscope, depth, supercritical = CASES[case]
    spacing = (0.7e-6, *pixels)
    found = gibson_lanni(shape, spacing, microscope, particle_depth=depth, supercritical=supercritical)
    expected = dense_volume(microscope, shape, spacing, depth, supercritical=supercritical)
    assert np.abs(found - expected).max() < 1e-10


def test_the_whole_published_volume_is_the_dense_quadrature():
    shape, spacing = (128, 256, 256), (0.25e-6, 0.1e-6, 0.1e-6)
    found = gibson_lanni(shape, spacing, OIL, particle_depth=2e-6)
    series = gibson_lanni(shape, spacing, OIL, particle_depth=2e-6, method="series")
    # Every radius once: from one octant.
    radius = radius_of(shape, spacing)[128:, 128:]
    _, first = np.unique(radius.round(15), return_index=True)
    expected = dense(OIL, radius.ravel()[first], stage_positions(shape, spacing), 2e-6, count=12)
    expected /= expected.max()
    y, x = np.unravel_index(first, radius.shape)
    assert np.abs(found[:, 128 + y, 128 + x] - expected).max() < 1e-10
    assert np.abs(series[:, 128 + y, 128 + x] - expected).max() < 5e-4


def test_nodes_suffice_for_a_deep_particle():
    # Half a millimetre of water under oil: some thousand radians.
    microscope = replace(OIL, numerical_aperture=1.3)
    shape, spacing = (3, 1, 9), (20e-6, 1e-6, 1e-6)
    found = gibson_lanni(shape, spacing, microscope, particle_depth=500e-6)
    expected = dense_volume(microscope, shape, spacing, 500e-6, count=256)
    assert np.abs(found - expected).max() < 1e-10


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 9, 9), (2, 64, 64), (2, 65, 65)])
@pytest.mark.parametrize("options", [{}, {"method": "series"}, {"pixel_integrated": True}])
def test_planes_are_symmetric_to_the_last_bit(shape, options):
    found = gibson_lanni(shape, (0.3e-6, 0.08e-6), OIL, particle_depth=1e-6, **options)
    assert (found == found.swapaxes(1, 2)).all()
    assert (found == found[:, ::-1]).all()
    assert (found == found[:, :, ::-1]).all()
    assert found.max() == 1
    assert found.min() >= 0


@pytest.mark.parametrize("method", ["quadrature", "series"])
def test_there_is_a_value_where_bessel_orders_meet(method):
    # k NA r = s_m at r = 0.436 um (3m - 2)/2 pi. There, and as near to it as to lose digits.
    shape = (33, 1, 2 * 298 + 1)
    for beside in (0, 1e-12, 1e-9, 1e-7, 1e-5):
        spacing = (0.5e-6, 1e-7, 0.436e-6 / (2 * math.pi) * (1 + beside))
        found = gibson_lanni(shape, spacing, OIL, particle_depth=2e-6, method=method)
        assert np.isfinite(found).all()
        expected = dense_volume(OIL, shape, spacing, 2e-6, count=12)
        assert np.abs(found - expected).max() < (5e-4 if method == "series" else 1e-10)


@pytest.mark.parametrize("difference", [0, 1e-9, 1e-7, 9e-6, 1.1e-5, 1e-4, 1e-2, 1.0])
def test_the_overlap_of_bessel_functions_has_no_gap(difference):
    s = np.array([0.4, 4.0, 7.0, 100.0, 298.0])
    rho, weights = panels(0, 0.95)
    for sign in (-1, 1):
        b = s + sign * difference
        expected = (weights * rho * special.j0(np.outer(s, rho)) * special.j0(np.outer(b, rho))).sum(axis=1)
        assert np.abs(bessel_overlap(s, b, 0.95) - expected).max() < 1e-10


def test_single_precision_is_the_double_one_rounded():
    arguments = ((5, 30, 30), (0.3e-6, 0.1e-6), OIL)
    found = gibson_lanni(*arguments, particle_depth=2e-6, dtype=np.float32)
    assert found.dtype == np.float32
    assert (found == gibson_lanni(*arguments, particle_depth=2e-6).astype(np.float32)).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 2), (3, 1, 1), (1, 2, 1)])
@pytest.mark.parametrize("method", ["quadrature", "series"])
def test_a_grid_may_be_as_small_as_can_be(shape, method):
    found = gibson_lanni(shape, (1e-7, 1e-7), MATCHED, particle_depth=0, method=method)
    expected = dense_volume(MATCHED, shape, (1e-7, 1e-7, 1e-7), 0)
    assert np.abs(found - expected).max() < (5e-4 if method == "series" else 1e-12)


def test_threads_change_nothing_and_progress_is_told():
    steps = []
    one, two = (
        gibson_lanni(
            (40, 130, 128), (0.3e-6, 0.1e-6, 0.11e-6), OIL, particle_depth=2e-6, workers=workers,
            progress=lambda *step: steps.append(step),
        )
        for workers in (1, 2)
    )  # fmt: skip
    assert (one == two).all()
    last = steps[-1][1]
    assert last > 1
    assert steps == [(step, last) for step in range(1, last + 1)] * 2


@pytest.mark.parametrize("microscope", [OIL, DRY], ids=["oil", "dry"])
@pytest.mark.parametrize(
    ("shape", "pixels"), [((3, 6, 7), (0.15e-6, 0.15e-6)), ((2, 40, 41), (0.2e-6, 0.1e-6))]
)
def test_a_pixel_is_the_mean_over_its_area(microscope, shape, pixels):
    spacing = (0.5e-6, *pixels)
    found = gibson_lanni(shape, spacing, microscope, particle_depth=1e-6, pixel_integrated=True)
    # 20 x 20 points in each of a few pixels.
    u, weights = np.polynomial.legendre.leggauss(20)
    rows, columns = (np.unique([0, 1, n // 2, n - 1]) for n in shape[1:])
    y = (rows - (shape[1] - 1) / 2)[:, None, None, None] * pixels[0] + u[:, None] * pixels[0] / 2
    x = (columns - (shape[2] - 1) / 2)[:, None, None] * pixels[1] + u * pixels[1] / 2
    radii = np.hypot(y, x)
    points = dense(microscope, radii.ravel(), stage_positions(shape, spacing), 1e-6, count=8).reshape(
        -1, *radii.shape
    )
    expected = np.einsum("zyxvu,v,u->zyx", points, weights, weights)
    part = found[:, rows[:, None], columns]
    assert part.max() == 1
    assert np.abs(part - expected / expected.max()).max() < 1e-10


def test_pixels_count_all_light_and_small_ones_are_points():
    fine = gibson_lanni((2, 1, 101), (1e-6, 1e-11, 1e-8), OIL, particle_depth=1e-6)
    pixel = gibson_lanni((2, 1, 101), (1e-6, 1e-11, 1e-11), OIL, particle_depth=1e-6, pixel_integrated=True)
    assert np.abs(pixel[:, 0, 50] / pixel.max() - fine[:, 0, 50] / fine[:, 0, 50].max()).max() < 1e-8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numerical_aperture": 0.0}, "numerical_aperture: expected a positive number, found 0.0"),
        ({"wavelength": -1.0}, "wavelength: expected a positive number in m, found -1.0"),
        ({"wavelength": math.nan}, "wavelength: expected a positive number in m, found nan"),
        ({"sample_index": math.inf}, "sample_index: expected a positive number, found inf"),
        (
            {"immersion_index_design": "1.5"},
            "immersion_index_design: expected a positive number, found '1.5'",
        ),
        ({"coverslip_thickness": -1e-6}, "coverslip_thickness: expected zero or more m, found -1e-06"),
    ],
)
def test_a_microscope_is_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(OIL, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": (4, 4)}, "shape: expected three lengths"),
        ({"shape": (4, 0, 4)}, "shape: expected three lengths"),
        ({"shape": (4, 4.5, 4)}, "shape: expected three lengths"),
        ({"spacing": (1e-7,)}, "spacing: expected distances"),
        ({"spacing": 1e-7}, "spacing: expected distances"),
        ({"spacing": (1e-7, 0.0, 1e-7)}, "spacing: expected a positive number in m, found 0.0"),
        ({"spacing": (1e-7, 1e-7, math.nan)}, "spacing: expected a positive number in m, found nan"),
        ({"particle_depth": -1e-9}, "particle_depth: expected zero or more m"),
        ({"particle_depth": math.nan}, "particle_depth: expected a finite number in m, found nan"),
        ({"method": "fast"}, 'method: expected "quadrature" or "series", found \'fast\''),
        ({"method": "series", "supercritical": True}, "supercritical: expected method"),
        ({"dtype": np.int32}, "dtype: expected float32 or float64, found int32"),
        ({"dtype": np.complex128}, "dtype: expected float32 or float64, found complex128"),
        ({"workers": 0}, "workers: expected"),
    ],
)
def test_arguments_are_checked(changes, message):
    arguments = {"shape": (4, 4, 4), "spacing": (1e-7, 1e-7, 1e-7), "microscope": OIL, "particle_depth": 0}
    with pytest.raises(ValueError, match=message):
        gibson_lanni(**(arguments | changes))


def test_a_phase_that_no_quadrature_resolves_is_refused():
    with pytest.raises(ValueError, match="phase over the pupil"):
        choose_pupil(OIL, particle_depth=0.2, radius=1e-6, stage=1e-6)
