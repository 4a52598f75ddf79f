"""Frames of a sample that was never there, as a camera would have recorded them, with what stood in the light."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import atomic_folder, atomic_write, content_sha256
from nixel.acquisition.formats.images import write_png
from nixel.imaging.hologram_files import ENDINGS, SIMULATED, write_field
from nixel.imaging.hologram_picture import draw_picture
from nixel.physics.holograms import simulate_hologram
from nixel.physics.samples import thin_sample
from nixel.physics.sensor import Sensor, imx219
from nixel.reconstruction.holography import diffraction_reach

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Progress = Callable[[str, int, int], None]
    Counts = NDArray[np.unsignedinteger[Any]]

SENSORS = ("ideal", "monochrome", "imx219")
_OVERSAMPLING = 2  # of the sample and the field: intensity has twice the field's bandwidth
_EXPOSURE_TIME = 0.02  # s, for the dark current
_DEEPEST = 65535  # DN of the ideal camera, which has the 16 bits of a PNG
MOST_FRAMES = 64


def _number(index: int) -> str:
    return "" if index == 1 else f"-{index}"


# Whatever an earlier simulation may consist of.
FILES = (
    *(f"{name}{ending}" for name in ("amplitude", "phase") for ending in ENDINGS),
    *(f"{name}{_number(i)}.png" for name in ("hologram", "shifted") for i in range(1, MOST_FRAMES + 1)),
    *("background.png", "dark.png", "picture.png", "record.json"),
)


@dataclass(frozen=True)
class SimulatedHologram:
    """What is simulated.

    Attributes
    ----------
    sample
        One of `nixel.physics.samples.SAMPLES`.
    size
        Its size, metres; see `thin_sample`.
    absorption, delay
        Of the sample; parts of the amplitude, and rad.
    shape
        Rows and columns of the frames.
    pixel_size, wavelength
        Metres; the wavelength in vacuum.
    medium_index
        Refractive index between sample and camera.
    distances
        From the sample to the camera, metres: of the hologram, and of further ones.
    shifts
        Pixels along (y, x) by which the camera stands aside in further frames at the first distance.
    sensor
        One of `SENSORS`. "ideal": no noise, 16 bits. "monochrome": the IMX219 without its colour filters.
    exposure
        Part of the sensor's range that the brightest place of the holograms fills on average.
    averages
        Exposures whose mean are the background and the dark frame.
    seed
        Of the sample and of the noise.
    """

    sample: str
    size: float
    absorption: float
    delay: float
    shape: tuple[int, int]
    pixel_size: float
    wavelength: float
    medium_index: float
    distances: tuple[float, ...]
    shifts: tuple[tuple[float, float], ...]
    sensor: str
    exposure: float
    averages: int
    seed: int


def simulate(
    asked: SimulatedHologram,
    out: Path,
    ending: str,
    record: Mapping[str, Any],
    *,
    workers: int,
    progress: Progress,
) -> list[str]:
    """Simulate, and write frames, the sample's field, a picture and the record, or nothing.

    Parameters
    ----------
    asked
        See there.
    out
        A folder: new, or one of an earlier simulation.
    ending
        One of `hologram_files.ENDINGS`: the format of the sample's amplitude and phase.
    record
        What is written of the simulation; the outputs' hashes are added.
    workers
        Threads.
    progress
        Told (what is being done, steps done, steps in all).

    Returns
    -------
    list of str
        Names of the files.

    Raises
    ------
    ValueError
        If a number is out of its range or a name unknown.
    FileExistsError
        If the folder holds other things.
    OSError
        If it cannot be written.
    """
    creator = f"nixel {record['software']['versions']['nixel-imaging']}"
    texts = {SIMULATED: "nixel hologram simulate", "Software": creator}
    about = f"{asked.sample}, simulated"
    with atomic_folder(out, replaceable=FILES) as folder:
        frames, field = expose(asked, workers=workers, progress=progress)
        for name, counts in frames.items():
            write_png(folder / name, counts, texts=texts)
        names = [
            *frames,
            *write_field(folder, ending, field, np.angle(field), asked.pixel_size, about, creator),
        ]
        picture = draw_picture(field, np.angle(field), asked.pixel_size)
        write_png(folder / "picture.png", picture, texts=texts | {"Title": about})
        names.append("picture.png")
        whole = dict(record) | {"outputs": {name: content_sha256(folder / name) for name in names}}
        with atomic_write(folder / "record.json") as temporary:
            temporary.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [*names, "record.json"]


def expose(
    asked: SimulatedHologram, *, workers: int, progress: Progress
) -> tuple[dict[str, Counts], NDArray[np.complex64]]:
    """Frames by their names, and the sample's field averaged over each pixel.

    Parameters
    ----------
    asked, workers, progress
        As of `simulate`.

    Returns
    -------
    dict of ndarray, uint16, (y, x)
        Counts.
    ndarray, complex64, (y, x)

    Raises
    ------
    ValueError
        As `simulate`.
    """
    camera = _camera(asked)
    optics = {
        "wavelength": asked.wavelength,
        "pixel_size": asked.pixel_size,
        "medium_index": asked.medium_index,
    }
    # What stands beside the window has its share in the fringes, as far as light walks aside.
    reach = math.ceil(diffraction_reach(max(asked.distances), **optics) / asked.pixel_size)
    margin = min(reach, max(asked.shape) // 2)
    rows, columns = ((n + 2 * margin) * _OVERSAMPLING for n in asked.shape)
    sample = thin_sample(
        asked.sample,
        (rows, columns),
        asked.pixel_size / _OVERSAMPLING,
        size=asked.size,
        absorption=asked.absorption,
        delay=asked.delay,
        seed=asked.seed,
    )
    places = [(f"hologram{_number(i)}.png", z, (0.0, 0.0)) for i, z in enumerate(asked.distances, 1)]
    places += [
        (f"shifted{_number(i)}.png", asked.distances[0], shift) for i, shift in enumerate(asked.shifts, 2)
    ]
    intensities = {}
    for done, (name, distance, (down, right)) in enumerate(places, 1):
        intensities[name] = simulate_hologram(
            sample,
            distance,
            oversampling=_OVERSAMPLING,
            margin=margin,
            shift=(down * asked.pixel_size, right * asked.pixel_size),
            workers=workers,
            **optics,
        )
        progress("propagating", done, len(places))
    brightest = max(float(intensity.max()) for intensity in intensities.values())
    generator = np.random.default_rng([asked.seed, 1])
    frames = {}
    for done, (name, intensity) in enumerate(intensities.items(), 1):
        frames[name] = camera(intensity / brightest, 1, generator)
        progress("exposing", done, len(places) + 2)
    for done, (name, level) in enumerate((("background", 1 / brightest), ("dark", 0.0)), len(places) + 1):
        frames[f"{name}.png"] = camera(np.full(asked.shape, level, np.float32), asked.averages, generator)
        progress("exposing", done, len(places) + 2)
    means = sample.reshape(rows // _OVERSAMPLING, _OVERSAMPLING, columns // _OVERSAMPLING, _OVERSAMPLING)
    inside = tuple(slice(margin, margin + n) for n in asked.shape)
    return frames, np.ascontiguousarray(means.mean(axis=(1, 3))[inside])


def sensor_of(asked: SimulatedHologram) -> Sensor | None:
    """Sensor model that is asked for; None: the ideal one."""
    if asked.sensor == "ideal":
        return None
    colour = imx219(asked.wavelength, pattern_seed=asked.seed)
    if asked.sensor == "imx219":
        return colour
    # Each of its pixels as efficient as the best of the coloured ones.
    return replace(colour, bayer=None, quantum_efficiency=max(colour.efficiency(kind) for kind in "RGB"))


def _camera(
    asked: SimulatedHologram,
) -> Callable[[NDArray[np.floating[Any]], int, np.random.Generator], Counts]:
    """From light, 1 the brightest there is, to the mean of some exposures."""
    sensor = sensor_of(asked)
    if sensor is None:
        full = asked.exposure * _DEEPEST

        def record(light: NDArray[np.floating[Any]], _count: int, _generator: np.random.Generator) -> Counts:
            counts: Counts = np.rint(full * light).astype(np.uint16)
            return counts

        return record
    efficiency = max(sensor.efficiency(colour) for colour in "RGB") if sensor.bayer else sensor.efficiency()
    photons = asked.exposure * (sensor.largest - sensor.offset) / (sensor.gain * efficiency)

    def photograph(light: NDArray[np.floating[Any]], count: int, generator: np.random.Generator) -> Counts:
        total = np.zeros(light.shape)
        for _ in range(count):
            total += sensor.expose(light * photons, exposure_time=_EXPOSURE_TIME, seed=generator)
        mean: Counts = np.rint(total / count).astype(np.uint16)
        return mean

    return photograph
