"""`nixel deconvolve`: take the microscope's blur out of an image."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nixel.imaging.cli.cluster import METAVAR, cluster_at, where
from nixel.imaging.cli.common import Report, progress
from nixel.imaging.cli.outputs import check_out, computing, make_record, write_outputs
from nixel.imaging.cli.typed import one_of, spacing
from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nixel.acquisition.formats.volumes import Volume
    from nixel.reconstruction.cluster import Cluster

_RL, _WIENER = "richardson-lucy", "wiener"
_ALIKE = 0.01  # of a step between voxels: by so much may the two differ
_BOUNDARIES = {_RL: ("zero-loss", "periodic"), _WIENER: ("reflect", "periodic")}


def deconvolve(
    image: Annotated[
        Path,
        typer.Argument(help="A volume (NRRD, NIfTI, OME-Zarr, OME-TIFF) or a grey image.", metavar="IMAGE"),
    ],
    psf: Annotated[
        Path, typer.Option(help="Point spread function, a volume with the image's spacing.", metavar="PSF")
    ],
    out: Annotated[
        Path, typer.Option(help="The result: .nrrd, .nii, .nii.gz, .ome.zarr or .ome.tiff.", metavar="FILE")
    ],
    method: Annotated[str, typer.Option(metavar=f"{_RL}|{_WIENER}")] = _RL,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Steps (richardson-lucy); 30 if left out.", metavar="N")
    ] = None,
    background: Annotated[
        float, typer.Option(help="Counts that are not the object's: offset, dark current.", metavar="COUNTS")
    ] = 0.0,
    acceleration: Annotated[
        bool,
        typer.Option(
            "--acceleration", help="Biggs and Andrews: far fewer steps for the same (richardson-lucy)."
        ),
    ] = False,
    regularisation: Annotated[
        float,
        typer.Option(help="Total variation, 0.002 to 0.02 is usual (richardson-lucy).", metavar="0.002"),
    ] = 0.0,
    noise_to_signal: Annotated[
        float | None,
        typer.Option(
            help="Power of the noise over that of the object (wiener); 0.01 if left out.", metavar="0.01"
        ),
    ] = None,
    boundary: Annotated[
        str | None,
        typer.Option(
            help="Default: zero-loss, or reflect with wiener.", metavar="zero-loss|reflect|periodic"
        ),
    ] = None,
    step: Annotated[
        str | None,
        typer.Option("--spacing", help="For an image without: of planes and pixels.", metavar="0.25um,0.1um"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads.", metavar="N")] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Do frames in N processes here, or on the workers of a Dask scheduler.", metavar=METAVAR
        ),
    ] = None,
) -> None:
    """Deconvolve an image with a point spread function, such as one of `nixel psf`."""
    one_of("--method", method, _RL, _WIENER)
    edges = one_of("--boundary", boundary or _BOUNDARIES[method][0], *_BOUNDARIES[method])
    _check_method(
        method,
        {"--noise-to-signal": noise_to_signal is not None},
        {
            "--iterations": iterations is not None,
            "--acceleration": acceleration,
            "--regularisation": regularisation,
        },
    )
    if cluster is not None:
        where(cluster)
    check_out(out, image, psf)
    recorded = _read(image, step)
    blur = _read(psf, None)
    _check(recorded, blur, image, psf)
    brightest = float(recorded.data.max())
    if method == _RL and 0 < brightest <= background:
        raise UserError(
            f"--background {background:g}: expected less than the brightest sample of {image}, {brightest:g}: nothing "
            "of the object would be left"
        )
    parameters: dict[str, Any] = {"method": method, "background": background, "boundary": edges}
    if method == _RL:
        parameters |= {
            "iterations": 30 if iterations is None else iterations,
            "acceleration": acceleration,
            "regularisation": regularisation,
        }
    else:
        parameters |= {"noise_to_signal": 0.01 if noise_to_signal is None else noise_to_signal}
    record = make_record(
        "deconvolution",
        {"image": image, "psf": psf},
        {**parameters, "spacing": {"value": list(recorded.spacing), "unit": "m"}},
    )
    with progress("deconvolve") as report, computing(workers), cluster_at(cluster, workers) as running:
        result = _deconvolved(recorded, blur, parameters, workers, running, report)
    for path in write_outputs(out, result, record):
        typer.echo(path)


def _read(path: Path, step: str | None) -> "Volume":
    """A volume; a plain image is one of a single plane."""
    from nixel.acquisition.formats.images import read_image
    from nixel.acquisition.formats.volumes import Volume, ending, read_volume

    if not path.exists():
        raise UserError(f"{path}: there is no such file; check the name and the folder")
    try:
        ending(path)
    except ValueError:
        if step is None:
            raise UserError(
                f"{path}: a file of this kind does not say how large its voxels are; say it with --spacing "
                '"0.25um,0.1um", or take NRRD, NIfTI, OME-Zarr or OME-TIFF'
            ) from None
        return Volume(read_image(path, grey=True)[None], spacing("--spacing", step))
    if step is not None:
        raise UserError(f"--spacing: {path} says itself how large its voxels are; leave it out")
    return read_volume(path)


def _check(image: "Volume", psf: "Volume", image_path: Path, psf_path: Path) -> None:
    if psf.data.ndim != 3:
        raise UserError(f"{psf_path}: expected one volume, found {len(psf.data)} frames")
    # A single plane has no step to the next.
    axes = [axis for axis in range(3) if psf.data.shape[axis] > 1]
    wrong = [axis for axis in axes if abs(psf.spacing[axis] / image.spacing[axis] - 1) > _ALIKE]
    if wrong:
        theirs, ours = (" x ".join(f"{s * 1e6:.4g}" for s in volume.spacing) for volume in (psf, image))
        raise UserError(
            f"{psf_path}: expected the spacing of {image_path}, {ours} um (z, y, x), found {theirs} um; compute the "
            "point spread function for the image's spacing (nixel psf --spacing)"
        )


def _check_method(method: str, of_wiener: dict[str, Any], of_lucy: dict[str, Any]) -> None:
    """Refuse options of the other method."""
    other, options = (_WIENER, of_wiener) if method == _RL else (_RL, of_lucy)
    for option, given in options.items():
        if given:
            raise UserError(f"{option} is of --method {other}, not of {method}; leave it out")


def _deconvolved(
    image: "Volume",
    psf: "Volume",
    parameters: dict[str, Any],
    workers: int,
    cluster: "Cluster | None",
    report: Report,
) -> "Volume":
    from functools import partial

    import numpy as np

    from nixel.acquisition.formats.volumes import Volume

    dtype = np.float64 if image.data.dtype == np.float64 else np.float32
    blur = np.ascontiguousarray(psf.data, dtype=dtype)
    frames = [np.ascontiguousarray(frame, dtype=dtype) for frame in image.frames]
    if cluster is not None:
        results = cluster.map(
            partial(_frame, parameters=parameters, workers=workers),
            frames,
            shared=(cluster.share(blur),),
            names=[f"frame {number}" for number in range(1, len(frames) + 1)],
            progress=lambda done, total: report("frames", done, total),
        )
    else:
        results = []
        for number, counts in enumerate(frames, 1):
            stage = "steps" if len(frames) == 1 else f"frame {number} of {len(frames)}"
            told = partial(report, stage)
            results.append(_frame(counts, blur, parameters=parameters, workers=workers, progress=told))
    data = np.stack(results) if image.data.ndim == 4 else results[0]
    name = f"{image.name or 'Image'}, deconvolved ({parameters['method']})"
    return Volume(data, image.spacing, image.origin, name, image.interval)


def _frame(
    counts: "NDArray[Any]",
    blur: "NDArray[Any]",
    *,
    parameters: dict[str, Any],
    workers: int,
    progress: "Callable[[int, int], None] | None" = None,
) -> "NDArray[Any]":
    """Deconvolve one frame; also on a cluster's workers."""
    from nixel.reconstruction.deconvolution import richardson_lucy, wiener

    options: dict[str, Any] = {
        "background": parameters["background"],
        "boundary": parameters["boundary"],
        "workers": workers,
    }
    if parameters["method"] == _WIENER:
        if progress is not None:
            progress(0, 1)
        filtered: NDArray[Any] = wiener(counts, blur, parameters["noise_to_signal"], **options)
        return filtered
    steps: NDArray[Any] = richardson_lucy(
        counts,
        blur,
        parameters["iterations"],
        acceleration=parameters["acceleration"],
        regularisation=parameters["regularisation"],
        progress=progress,
        **options,
    )
    return steps
