"""What holds for every public function of physics and reconstruction: it says what it takes, and refuses the rest."""

import dataclasses
import importlib
import inspect
import pkgutil
import re

import array_api_strict
import numpy as np
import pytest

import nixel.physics
import nixel.reconstruction
from nixel.physics.grid import Grid
from nixel.physics.mpi import (
    DriveField,
    FieldFreePoint,
    Particles,
    ReceiveCoils,
    field_free_point,
    signal,
    system_function,
)
from nixel.physics.optics import plane_wave, point_source, propagate
from nixel.physics.psf import Microscope, confocal, gibson_lanni, vectorial
from nixel.physics.sensor import imx219
from nixel.reconstruction import holography, mpi
from nixel.reconstruction.deconvolution import richardson_lucy, wiener


def public():
    found = {}
    for root in (nixel.physics, nixel.reconstruction):
        for module in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            loaded = importlib.import_module(module.name)
            for name in getattr(loaded, "__all__", ()):
                thing = getattr(loaded, name)
                if inspect.isfunction(thing) or inspect.isclass(thing):
                    found[f"{thing.__module__}.{thing.__qualname__}"] = thing
    return found


PUBLIC = public()
# Defined for every number, and for those that are not numbers they give the like.
TOTAL = {"langevin", "langevin_derivative", "padded_shape", "unfold", "spectrum_shape"}


def sections(thing):
    return dict(
        re.findall(
            r"^(\w+)\n-+\n(.*?)(?=^\w+\n-+\n|\Z)",
            inspect.cleandoc(thing.__doc__ or ""),
            re.MULTILINE | re.DOTALL,
        )
    )


def arguments(thing):
    if inspect.isclass(thing) and (issubclass(thing, Exception) or getattr(thing, "_is_protocol", False)):
        return []
    return [name for name in inspect.signature(thing).parameters if name not in ("self", "args", "kwargs")]


def test_there_is_something_to_look_at():
    assert len(PUBLIC) > 90
    assert {"gibson_lanni", "propagate", "richardson_lucy", "autofocus", "Kaczmarz"} <= {
        n.rpartition(".")[2] for n in PUBLIC
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_result_and_error_is_told(name):
    thing = PUBLIC[name]
    told, named = sections(thing), arguments(thing)
    about = told.get("Parameters", "") + told.get("Attributes", "")
    missing = [
        each for each in named if not re.search(rf"^(\*?\w+, )*{each}(, \w+)*( :|$)", about, re.MULTILINE)
    ]
    assert not missing, f"{name}: not told: {', '.join(missing)}"
    if inspect.isfunction(thing):
        if inspect.signature(thing).return_annotation not in (None, "None"):
            assert {"Returns", "Yields"} & told.keys(), f"{name}: what it returns is not told"
        if thing.__name__ not in TOTAL:
            assert "Raises" in told, f"{name}: what it raises is not told"


OPTICS = {"wavelength": 532e-9, "pixel_size": 1.12e-6, "medium_index": 1.0}
SCOPE = Microscope(
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
CELLS = {"shape": (3, 5, 5), "spacing": (250e-9, 100e-9, 100e-9), "particle_depth": 2e-6}
RANDOM = np.random.default_rng(1)
FRAME = 1.0 + 0.1 * RANDOM.standard_normal((32, 32))
STACK = 1.0 + 0.1 * RANDOM.standard_normal((2, 32, 32))
FIELD = FRAME.astype(complex)
DRIVE = DriveField(base_frequency=2.5e6, dividers=(4, 3), amplitudes=(0.012, 0.012))
TIMES = np.arange(12) / 2.5e6
PLACES = np.zeros((2, 2))
MATRIX = RANDOM.standard_normal((6, 4)) + 1j * RANDOM.standard_normal((6, 4))
SPECTRA = RANDOM.standard_normal((4, 2, 5)) + 1j * RANDOM.standard_normal((4, 2, 5))

POSITIVE = (0.0, -1.0, np.nan, np.inf, -np.inf)

# Each public function that takes numbers: a call that is right, its arrays, and the numbers that must be positive.
CALLS = {
    "propagate": (
        propagate,
        {"field": FIELD, "distance": 1e-4, **OPTICS},
        ["field"],
        ["wavelength", "pixel_size"],
    ),
    "plane_wave": (plane_wave, {"shape": (8, 8), **OPTICS}, [], ["wavelength", "pixel_size"]),
    "point_source": (
        point_source,
        {"shape": (8, 8), "distance": 1e-3, **OPTICS},
        [],
        ["wavelength", "pixel_size"],
    ),
    "gibson_lanni": (gibson_lanni, {**CELLS, "microscope": SCOPE}, [], []),
    "vectorial": (vectorial, {**CELLS, "microscope": SCOPE}, [], []),
    "confocal": (confocal, {**CELLS, "excitation": SCOPE, "emission": SCOPE}, [], []),
    "imx219": (imx219, {"wavelength": 532e-9, "analogue_gain": 1.0}, [], ["wavelength", "analogue_gain"]),
    "richardson_lucy": (
        richardson_lucy,
        {"image": FRAME, "psf": np.ones((3, 3)), "iterations": 1},
        ["image", "psf"],
        [],
    ),
    "wiener": (
        wiener,
        {"image": FRAME, "psf": np.ones((3, 3)), "noise_to_signal": 0.1},
        ["image", "psf"],
        ["noise_to_signal"],
    ),
    "correct": (holography.correct, {"hologram": FRAME, "background": FRAME}, ["hologram", "background"], []),
    "autofocus": (
        holography.autofocus,
        {"hologram": FRAME, "distances": np.array([1e-4, 1.1e-4, 1.2e-4]), **OPTICS},
        ["hologram", "distances"],
        ["wavelength", "pixel_size"],
    ),
    "back_propagate": (
        holography.back_propagate,
        {"hologram": FRAME, "distance": 1e-4, **OPTICS},
        ["hologram"],
        ["wavelength", "pixel_size", "distance"],
    ),
    "find_brightest": (
        holography.find_brightest,
        {"hologram": FRAME, "distances": np.array([1e-4, 1.1e-4, 1.2e-4]), **OPTICS},
        ["hologram", "distances"],
        ["wavelength", "pixel_size"],
    ),
    "reconstruct_single": (
        holography.reconstruct_single,
        {"hologram": FRAME, "distance": 1e-4, "iterations": 1, **OPTICS},
        ["hologram"],
        ["wavelength", "pixel_size", "distance"],
    ),
    "reconstruct_multi_height": (
        holography.reconstruct_multi_height,
        {"holograms": STACK, "distances": [1e-4, 2e-4], "iterations": 1, **OPTICS},
        ["holograms"],
        ["wavelength", "pixel_size"],
    ),
    "super_resolve": (
        holography.super_resolve,
        {
            "holograms": np.concatenate([STACK, STACK]),
            "shifts": np.array([[0.0, 0.0], [0.5, 0.5], [0.0, 0.5], [0.5, 0.0]]),
        },
        ["holograms", "shifts"],
        ["damping"],
    ),
    "estimate_shifts": (holography.estimate_shifts, {"holograms": STACK}, ["holograms"], []),
    "unwrap_phase": (holography.unwrap_phase, {"phase": FRAME}, ["phase"], []),
    "search_distances": (
        holography.search_distances,
        {"shape": (32, 32), **OPTICS},
        [],
        ["wavelength", "pixel_size"],
    ),
    "depth_of_field": (
        holography.depth_of_field,
        {"shape": (32, 32), "distance": 1e-4, **OPTICS},
        [],
        ["wavelength", "pixel_size"],
    ),
    "DriveField": (
        DriveField,
        {"base_frequency": 2.5e6, "dividers": (4, 3), "amplitudes": (0.012, 0.012)},
        [],
        ["base_frequency"],
    ),
    "Particles": (
        Particles,
        {"core_diameter": 25e-9},
        [],
        ["core_diameter", "saturation_magnetisation", "temperature"],
    ),
    "field_free_point": (
        field_free_point,
        {"drive": DRIVE, "selection": FieldFreePoint(), "times": TIMES},
        ["times"],
        [],
    ),
    "signal": (
        signal,
        {
            "concentration": np.ones(2),
            "positions": PLACES,
            "drive": DRIVE,
            "gradient": FieldFreePoint(),
            "particles": Particles(),
            "voxel_volume": 1e-9,
        },
        ["concentration", "positions"],
        ["voxel_volume"],
    ),
    "system_function": (
        system_function,
        {
            "positions": PLACES,
            "drive": DRIVE,
            "gradient": FieldFreePoint(),
            "particles": Particles(),
            "voxel_volume": 1e-9,
        },
        ["positions"],
        ["voxel_volume"],
    ),
    "Kaczmarz": (mpi.Kaczmarz, {"matrix": MATRIX, "relative_lambda": 0.1}, ["matrix"], []),
    "CGNR": (mpi.CGNR, {"matrix": MATRIX, "relative_lambda": 0.1}, ["matrix"], []),
    "row_norm_weights": (mpi.row_norm_weights, {"matrix": MATRIX}, ["matrix"], []),
    "whitening_weights": (mpi.whitening_weights, {"background": SPECTRA[:, 0]}, ["background"], []),
    "without_drift": (mpi.without_drift, {"background": SPECTRA}, ["background"], []),
    "signal_to_noise": (
        mpi.signal_to_noise,
        {"matrix": SPECTRA, "background": SPECTRA},
        ["matrix", "background"],
        [],
    ),
}


def called(name, **changes):
    function, given, _, _ = CALLS[name]
    known = inspect.signature(function).parameters
    assert set(given) <= set(known), f"{name} takes {', '.join(known)}"
    return function(**given | changes)


@pytest.mark.parametrize("name", CALLS)
def test_the_calls_that_the_refusals_start_from_are_right(name):
    if name == "autofocus":
        with pytest.raises(ValueError, match=r"no maximum|nothing comes into focus"):
            called(name)  # noise has no focus, and that is said
    else:
        called(name)


ARRAYS = [(name, argument) for name, (_, _, arrays, _) in CALLS.items() for argument in arrays]
NUMBERS = [
    (name, argument, bad)
    for name, (_, _, _, numbers) in CALLS.items()
    for argument in numbers
    for bad in POSITIVE
]


def naming(argument):
    return rf"{argument}.*(expected|must)|(expected|must).*{argument}"


@pytest.mark.parametrize(("name", "argument"), ARRAYS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(name, argument, bad):
    spoilt = CALLS[name][1][argument].copy()
    spoilt.flat[-1] = bad
    with pytest.raises(ValueError, match=naming(argument)):
        called(name, **{argument: spoilt})


@pytest.mark.parametrize(("name", "argument"), ARRAYS)
def test_another_rank_is_refused(name, argument):
    right = CALLS[name][1][argument]
    with pytest.raises(ValueError, match=naming(argument)):
        called(name, **{argument: np.broadcast_to(right, (1, 1, 1, *right.shape))})
    with pytest.raises(ValueError, match=naming(argument)):
        called(name, **{argument: right.ravel()[0]})


@pytest.mark.parametrize(("name", "argument", "bad"), NUMBERS)
def test_what_must_be_positive_is_refused_otherwise(name, argument, bad):
    with pytest.raises(ValueError, match=naming(argument)):
        called(name, **{argument: bad})


SOLVER = mpi.Kaczmarz(MATRIX, 0.1)
# Mistakes of another kind than a bad number: what a person may well pass, and the name that the refusal must say.
MISTAKES = {
    "settings for a microscope": (
        lambda: called("gibson_lanni", microscope={"wavelength": 610e-9}),
        "microscope",
    ),
    "no excitation": (lambda: called("confocal", excitation=None), "excitation"),
    "a dtype that is none": (lambda: called("vectorial", dtype="single precision"), "dtype"),
    "one length for a shape": (lambda: called("plane_wave", shape=8), "shape"),
    "a word for a number": (lambda: called("wiener", noise_to_signal="little"), "noise_to_signal"),
    "nothing for a number": (lambda: called("wiener", noise_to_signal=None), "noise_to_signal"),
    "a word for the regularisation": (
        lambda: called("richardson_lucy", regularisation="much"),
        "regularisation",
    ),
    "a word for the background": (lambda: called("richardson_lucy", background="dark"), "background"),
    "a divider for dividers": (lambda: called("DriveField", dividers=102), "dividers"),
    "half a divider": (lambda: called("DriveField", dividers=(4.5, 3)), "dividers"),
    "a quantity as text": (lambda: called("Particles", core_diameter="25 nm"), "core_diameter"),
    "one gradient": (lambda: called("signal", gradient=2.5), "gradient"),
    "a coil's name": (lambda: ReceiveCoils(("x",)), "sensitivities"),
    "half a voxel": (lambda: Grid((3.5, 3), (1e-2, 1e-2)), "shape"),
    "a matrix of lists": (lambda: called("Kaczmarz", matrix=MATRIX.tolist()), "matrix"),
    "no regularisation": (lambda: called("Kaczmarz", relative_lambda=None), "relative_lambda"),
    "half a row": (lambda: called("CGNR", block=1.5), "block"),
    "a word for a weight": (lambda: mpi.FISTA(MATRIX, l1="sparse"), "l1"),
    "voxels for a grid": (lambda: mpi.FISTA(MATRIX, grid=4), "grid"),
    "frequencies upside down": (
        lambda: mpi.select_frequencies(np.ones((2, 5)), np.arange(5) * 1e5, band=(3e5, 1e5)),
        "band",
    ),
    "two libraries": (lambda: SOLVER.solve(array_api_strict.asarray(MATRIX[:, 0]), 1), "u"),
}


@pytest.mark.parametrize(("call", "argument"), MISTAKES.values(), ids=MISTAKES)
def test_what_is_meant_otherwise_is_refused_by_its_name(call, argument):
    with pytest.raises(ValueError, match=naming(argument)):
        call()


@pytest.mark.parametrize("name", ["richardson_lucy", "wiener"])
def test_a_psf_larger_than_the_image_is_refused(name):
    with pytest.raises(ValueError, match=r"psf.*expected.*(32, 32)"):
        called(name, psf=np.ones((33, 3)))


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Microscope)])
@pytest.mark.parametrize("bad", POSITIVE)
def test_a_microscope_has_positive_numbers(field, bad):
    if bad == 0.0 and "thickness" in field:
        assert getattr(dataclasses.replace(SCOPE, **{field: bad}), field) == 0.0  # there is no coverslip
        return
    with pytest.raises(ValueError, match=naming(field)):
        dataclasses.replace(SCOPE, **{field: bad})
