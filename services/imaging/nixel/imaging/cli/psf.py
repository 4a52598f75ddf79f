"""`nixel psf`: the point spread function of a microscope."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nixel.imaging.cli.common import progress
from nixel.imaging.cli.outputs import check_out, computing, make_record, write_outputs
from nixel.imaging.cli.typed import any_length, length, one_of, shape, spacing
from nixel.imaging.errors import UserError

_MICROSCOPE = "The microscope"
_MODELS = ("scalar", "vectorial", "confocal", "confocal-vectorial")
_POLARISATIONS = ("unpolarised", "x", "y")


def psf(
    out: Annotated[
        Path, typer.Option(help="The result: .nrrd, .nii, .nii.gz, .ome.zarr or .ome.tiff.", metavar="FILE")
    ],
    size: Annotated[str, typer.Option("--shape", help="Planes, rows, columns.", metavar="128x256x256")],
    step: Annotated[
        str,
        typer.Option("--spacing", help="Between planes and between pixels.", metavar="0.25um,0.1um"),
    ],
    numerical_aperture: Annotated[
        float,
        typer.Option("--na", help="Numerical aperture.", metavar="1.4", rich_help_panel=_MICROSCOPE),
    ],
    wavelength: Annotated[
        str,
        typer.Option(help="Of the fluorescence, in vacuum.", metavar="610nm", rich_help_panel=_MICROSCOPE),
    ],
    sample_index: Annotated[
        float,
        typer.Option(help="Refractive index of the sample.", metavar="1.33", rich_help_panel=_MICROSCOPE),
    ] = 1.33,
    immersion_index: Annotated[float, typer.Option(metavar="1.515", rich_help_panel=_MICROSCOPE)] = 1.515,
    immersion_index_design: Annotated[
        float | None, typer.Option(help="Default: as it is.", metavar="1.515", rich_help_panel=_MICROSCOPE)
    ] = None,
    immersion_thickness_design: Annotated[
        str, typer.Option(help="Working distance.", metavar="150um", rich_help_panel=_MICROSCOPE)
    ] = "150um",
    coverslip_index: Annotated[float, typer.Option(metavar="1.515", rich_help_panel=_MICROSCOPE)] = 1.515,
    coverslip_index_design: Annotated[
        float | None, typer.Option(help="Default: as it is.", metavar="1.515", rich_help_panel=_MICROSCOPE)
    ] = None,
    coverslip_thickness: Annotated[str, typer.Option(metavar="170um", rich_help_panel=_MICROSCOPE)] = "170um",
    coverslip_thickness_design: Annotated[
        str | None, typer.Option(help="Default: as it is.", metavar="170um", rich_help_panel=_MICROSCOPE)
    ] = None,
    depth: Annotated[str, typer.Option(help="Of the particle behind the coverslip.", metavar="2um")] = "0um",
    model: Annotated[
        str,
        typer.Option(
            help="Of the light; confocal: illumination, too, through a pinhole.", metavar="|".join(_MODELS)
        ),
    ] = "scalar",
    method: Annotated[
        str, typer.Option(help="Of the scalar model.", metavar="quadrature|series")
    ] = "quadrature",
    excitation: Annotated[
        str | None, typer.Option(help="Wavelength of the illumination (confocal).", metavar="488nm")
    ] = None,
    pinhole: Annotated[
        str | None,
        typer.Option(help="Its radius, in the sample (confocal); a point if left out.", metavar="0.2um"),
    ] = None,
    polarisation: Annotated[
        str | None,
        typer.Option(
            help="Of the illumination, or behind an analyser (vectorial models); unpolarised if left out.",
            metavar="|".join(_POLARISATIONS),
        ),
    ] = None,
    supercritical: Annotated[
        bool,
        typer.Option(
            "--supercritical",
            help="With the light beyond the critical angle, of a particle at the coverslip.",
        ),
    ] = False,
    pixel_integrated: Annotated[
        bool, typer.Option("--pixel-integrated", help="Average over each pixel's area.")
    ] = False,
    precision: Annotated[str, typer.Option(metavar="float32|float64")] = "float32",
    workers: Annotated[int, typer.Option(min=1, help="Threads.", metavar="N")] = 1,
) -> None:
    """Compute the image of a point as the stage scans it through focus (Gibson and Lanni)."""
    check_out(out)
    one_of("--model", model, *_MODELS)
    one_of("--method", method, "quadrature", "series")
    one_of("--precision", precision, "float32", "float64")
    confocal, vectorial = model.startswith("confocal"), model.endswith("vectorial")
    if not confocal and (excitation is not None or pinhole is not None):
        option = "--pinhole" if excitation is None else "--excitation"
        raise UserError(f"{option} is of --model confocal; leave it out, or choose that model")
    if confocal and excitation is None:
        raise UserError(f'--model {model} needs the wavelength of the illumination: --excitation "488nm"')
    if method == "series" and model != "scalar":
        raise UserError("--method series is of --model scalar; leave it out, or choose that model")
    if polarisation is not None:
        one_of("--polarisation", polarisation, *_POLARISATIONS)
        if not vectorial:
            raise UserError(
                f"--polarisation is of the vectorial models, not of --model {model}; leave it out"
            )
    steps = spacing("--spacing", step)
    emission: dict[str, Any] = {
        "numerical_aperture": numerical_aperture,
        "wavelength": length("--wavelength", wavelength),
        "sample_index": sample_index,
        "coverslip_index": coverslip_index,
        "coverslip_index_design": coverslip_index
        if coverslip_index_design is None
        else coverslip_index_design,
        "immersion_index": immersion_index,
        "immersion_index_design": immersion_index
        if immersion_index_design is None
        else immersion_index_design,
        "coverslip_thickness": any_length("--coverslip-thickness", coverslip_thickness),
        "coverslip_thickness_design": any_length(
            "--coverslip-thickness-design", coverslip_thickness_design or coverslip_thickness
        ),
        "immersion_thickness_design": any_length("--immersion-thickness-design", immersion_thickness_design),
    }
    parameters: dict[str, Any] = {
        "shape": list(shape("--shape", size)),
        "spacing": {"value": list(steps), "unit": "m"},
        "microscope": {**emission, "units": "m"},
        "particle_depth": {"value": any_length("--depth", depth), "unit": "m"},
        "model": model,
        "method": method if model == "scalar" else None,
        "excitation": None
        if excitation is None
        else {"value": length("--excitation", excitation), "unit": "m"},
        "pinhole_radius": {"value": any_length("--pinhole", pinhole or "0um"), "unit": "m"},
        "polarisation": (polarisation or _POLARISATIONS[0]) if vectorial else None,
        "supercritical": supercritical,
        "pixel_integrated": pixel_integrated,
        "precision": precision,
    }
    from nixel.acquisition.formats.volumes import Volume

    with progress("psf") as report, computing(workers):
        data = _compute(parameters, emission, workers, lambda done, total: report(model, done, total))
        result = Volume(data, steps, name=f"Point spread function, {model}, {wavelength}")
    written = write_outputs(out, result, make_record("point spread function", {}, parameters))
    for path in written:
        typer.echo(path)
    brightest = int(data.max(axis=(1, 2)).argmax())
    if len(data) > 2 and brightest in (0, len(data) - 1):
        typer.echo(
            f"note: the brightest plane is number {brightest + 1} of {len(data)}: the particle comes into focus at the "
            "edge of the volume or beyond it. Take more planes (--shape), or --depth 0um.",
            err=True,
        )


def _compute(
    parameters: dict[str, Any],
    emission: dict[str, Any],
    workers: int,
    report: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    from nixel.physics.psf import Microscope, confocal, gibson_lanni, vectorial

    microscope: Microscope = Microscope(**emission)
    grid = (parameters["shape"], parameters["spacing"]["value"])
    options: dict[str, Any] = {
        "particle_depth": parameters["particle_depth"]["value"],
        "pixel_integrated": parameters["pixel_integrated"],
        "supercritical": parameters["supercritical"],
        "dtype": parameters["precision"],
        "workers": workers,
        "progress": report,
    }
    polarised = parameters["polarisation"] is not None
    if polarised:
        options["polarisation"] = parameters["polarisation"]
    if parameters["model"].startswith("confocal"):
        options["model"] = "vectorial" if polarised else "scalar"
        illumination = Microscope(**{**emission, "wavelength": parameters["excitation"]["value"]})
        pinhole = parameters["pinhole_radius"]["value"]
        return confocal(*grid, illumination, microscope, pinhole_radius=pinhole, **options)
    if parameters["model"] == "vectorial":
        return vectorial(*grid, microscope, **options)
    return gibson_lanni(*grid, microscope, method=parameters["method"], **options)
