"""OME-Zarr 0.5: volumes in chunks, with a pyramid, for napari, Fiji, Neuroglancer and their like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import atomic_folder, sync_folder
from nixel.acquisition.formats.images import ImageFileError
from nixel.acquisition.formats.volume_model import Volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["read_ome_zarr", "write_ome_zarr"]

_UM = 1e-6
# What the specification takes from UDUNITS-2, as far as a microscope or a scanner needs it.
_LENGTHS = {"meter": 1.0, "millimeter": 1e-3, "micrometer": 1e-6, "nanometer": 1e-9, "angstrom": 1e-10}
_TIMES = {"second": 1.0, "millisecond": 1e-3, "microsecond": 1e-6, "minute": 60.0}
_CHUNK = 2**22  # bytes, about
_SMALLEST = 64  # voxels: an axis shorter than twice this is not halved
_SPATIAL = ("z", "y", "x")


def write_ome_zarr(path: str | os.PathLike[str], volume: Volume) -> None:
    """Write a volume as an OME-Zarr 0.5 image, whole or not at all.

    Lengths are in micrometres. Beside the volume itself (level 0) there are coarser levels, each the mean of two by
    two by two voxels of the finer one, until no axis has 128 voxels or more. The same volume gives the same bytes.

    Parameters
    ----------
    path
        A folder, by convention ending in ``.ome.zarr``; an earlier image of this writer there is replaced.
    volume
        What.

    Raises
    ------
    FileExistsError
        If the folder holds anything else.
    OSError
        If it cannot be written.

    References
    ----------
    Next-generation file format specification 0.5, ngff.openmicroscopy.org/0.5.
    """
    import zarr

    names = (*(("t",) if volume.data.ndim == 4 else ()), *_SPATIAL)
    data = volume.data.astype(volume.data.dtype.newbyteorder("="), copy=False)
    kept = (str(level) for level in range(32))
    with atomic_folder(path, replaceable=("zarr.json", *kept)) as folder:
        root, datasets = zarr.open_group(folder, mode="w", zarr_format=3), []
        for level, (array, factors) in enumerate(_levels(data)):
            stored = root.create_array(
                str(level),
                shape=array.shape,
                dtype=array.dtype,
                chunks=_chunks(array),
                dimension_names=names,
            )
            stored[...] = array
            datasets.append(
                {"path": str(level), "coordinateTransformations": _transformations(volume, factors)}
            )
        root.attrs["ome"] = _metadata(volume, names, datasets)
        _make_durable(folder)


def _metadata(volume: Volume, names: Sequence[str], datasets: list[dict[str, Any]]) -> dict[str, Any]:
    # Without a unit the frames are counted, not timed.
    time = {"name": "t", "type": "time", **({"unit": "second"} if volume.interval is not None else {})}
    axes = [time if name == "t" else {"name": name, "type": "space", "unit": "micrometer"} for name in names]
    low, high = _range(volume.data)
    window = {"min": low, "max": high, "start": low, "end": high}
    channel = {"label": volume.name, "color": "FFFFFF", "active": True, "window": window}
    return {
        "version": "0.5",
        "multiscales": [{"name": volume.name, "axes": axes, "datasets": datasets, "type": "mean"}],
        "omero": {"channels": [channel]},
    }


def _range(data: NDArray[Any]) -> tuple[float, float]:
    finite = data[np.isfinite(data)] if data.dtype.kind == "f" else data
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _transformations(volume: Volume, factors: Sequence[int]) -> list[dict[str, Any]]:
    spacing = [round(step / _UM, 12) * factor for step, factor in zip(volume.spacing, factors, strict=True)]
    # The centre of the first coarse voxel lies between those of the fine ones that it is the mean of.
    place = [
        start / _UM + step / _UM * (factor - 1) / 2
        for start, step, factor in zip(volume.origin, volume.spacing, factors, strict=True)
    ]
    time = [[volume.interval or 1.0], [0.0]] if volume.data.ndim == 4 else [[], []]
    return [
        {"type": "scale", "scale": [*time[0], *spacing]},
        {"type": "translation", "translation": [*time[1], *(round(start, 12) for start in place)]},
    ]


def _levels(data: NDArray[Any]) -> Iterator[tuple[NDArray[Any], tuple[int, int, int]]]:
    """Give the volume and its coarser versions, each with its voxels' size in voxels of the first."""
    factors = [1, 1, 1]
    while True:
        yield data, (factors[0], factors[1], factors[2])
        halved = [axis for axis in (-3, -2, -1) if data.shape[axis] >= 2 * _SMALLEST]
        if not halved:
            return
        for axis in halved:
            data = _halved(data, axis)
            factors[axis] *= 2


def _halved(data: NDArray[Any], axis: int) -> NDArray[Any]:
    """Mean of neighbours along an axis; a last one without a neighbour stays."""
    moved = np.moveaxis(data, axis, -1)
    even = moved[..., : moved.shape[-1] // 2 * 2]
    if data.dtype.kind == "f":
        half = even[..., 0::2] * 0.5 + even[..., 1::2] * 0.5
    else:
        # Rounded down, without leaving the dtype for a wider one.
        first, second = even[..., 0::2], even[..., 1::2]
        half = first // 2 + second // 2 + (first % 2 + second % 2) // 2
    whole = np.concatenate([half, moved[..., even.shape[-1] :]], axis=-1)
    return np.ascontiguousarray(np.moveaxis(whole, -1, axis), dtype=data.dtype)


def _chunks(array: NDArray[Any]) -> tuple[int, ...]:
    """Whole planes as far as they fit into a chunk, and otherwise cubes of about its size."""
    shape = [1] * (array.ndim - 3) + list(array.shape[-3:])
    while int(np.prod(shape)) * array.dtype.itemsize > _CHUNK:
        longest = int(np.argmax(shape))
        shape[longest] = -(-shape[longest] // 2)
    return tuple(shape)


def _make_durable(folder: Path) -> None:
    """Put every file and every name below a folder onto the disk."""
    for place, _, files in os.walk(folder):
        for name in files:
            descriptor = os.open(Path(place, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(place))


def read_ome_zarr(path: str | os.PathLike[str]) -> Volume:
    """Read the finest level of an OME-Zarr 0.5 image, the first of its multiscales.

    Parameters
    ----------
    path
        The image's folder. An axis of time becomes frames; one of channels must have a single channel. A length
        without a unit is taken as micrometres; frames without one are counted, not timed.

    Returns
    -------
    Volume

    Raises
    ------
    ImageFileError
        If the folder is missing, or holds no such image.
    """
    import zarr

    path = Path(path)
    if not path.is_dir():
        raise ImageFileError(f"{path}: there is no such folder; check the name")
    try:
        root = zarr.open_group(path, mode="r", zarr_format=3)
        image: Any = dict(root.attrs)["ome"]
        if not str(image["version"]).startswith("0.5"):
            raise ImageFileError(f"{path}: expected OME-Zarr 0.5, found version {image['version']!r}")
        multiscale = image["multiscales"][0]
        dataset = multiscale["datasets"][0]
        stored: Any = root[dataset["path"]]
        data = np.asarray(stored[...])
        return _volume(data, multiscale, dataset)
    except ImageFileError:
        raise
    except FileNotFoundError as error:
        raise ImageFileError(
            f"{path}: expected an OME-Zarr 0.5 image, found none (no Zarr 3 group)"
        ) from error
    except (KeyError, IndexError, TypeError) as error:
        raise ImageFileError(
            f"{path}: expected an OME-Zarr 0.5 image, found none ({error!r} is missing)"
        ) from error
    except (ValueError, OSError, RuntimeError) as error:
        raise ImageFileError(f"{path}: {error}") from error


def _volume(data: NDArray[Any], multiscale: Mapping[str, Any], dataset: Mapping[str, Any]) -> Volume:
    axes = multiscale["axes"]
    names = [axis["name"] for axis in axes]
    if len(names) != data.ndim or [name for name in names if name in _SPATIAL] != list(_SPATIAL):
        raise ValueError(f"axes: expected z, y, x and before them t or a single channel, found {names}")
    units = []
    for axis in axes:
        known, assumed = (_TIMES, "second") if axis.get("type") == "time" else (_LENGTHS, "micrometer")
        unit = axis.get("unit", assumed)
        if axis.get("type") in ("space", "time") and unit not in known:
            raise ValueError(f"axes: unit: expected one of {', '.join(known)}, found {unit!r}")
        units.append(known.get(unit, 1.0))
    scale, place = np.ones(data.ndim), np.zeros(data.ndim)
    for transformation in (
        *dataset["coordinateTransformations"],
        *multiscale.get("coordinateTransformations", ()),
    ):
        kind = transformation["type"]
        if kind == "scale":
            factors = np.asarray(transformation["scale"], dtype=np.float64)
            scale, place = scale * factors, place * factors
        elif kind == "translation":
            place = place + np.asarray(transformation["translation"], dtype=np.float64)
        elif kind != "identity":
            raise ValueError(f"coordinateTransformations: expected scale or translation, found {kind!r}")
    steps, starts = scale * units, place * units
    timed = "t" in names and "unit" in axes[names.index("t")]
    interval = float(steps[names.index("t")]) if timed else None
    for axis in reversed(range(data.ndim - 3)):
        if names[axis] != "t":
            if data.shape[axis] != 1:
                raise ValueError(
                    f"axes: expected one channel, found {data.shape[axis]} along {names[axis]!r}"
                )
            data = data[(slice(None),) * axis + (0,)]
    spacing, origin = ([float(value) for value in values[-3:]] for values in (steps, starts))
    return Volume(
        data,
        (spacing[0], spacing[1], spacing[2]),
        (origin[0], origin[1], origin[2]),
        str(multiscale.get("name", "")),
        interval,
    )
