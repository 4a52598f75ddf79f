"""What was typed of the fields of a simulated scan, turned into a trajectory."""

import math
from typing import TYPE_CHECKING, Any

from nixel.imaging.cli.typed import quantities, shape, whole_numbers
from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nixel.imaging.mpi_simulation import Trajectory
    from nixel.physics.grid import Grid

TOPOLOGIES = ("point", "line")
# What the options of the fields are where they are left out.
_USUAL = {
    "point": {"drive_field": "12mT,12mT", "dividers": "102,96", "gradient": "2.5T/m"},
    "Cartesian point": {"drive_field": "12mT,12mT", "dividers": "102", "gradient": "2.5T/m"},
    "line": {"drive_field": "16mT", "dividers": "250", "gradient": "1.25T/m"},
}


def usual(topology: str, lines: str | None) -> dict[str, str]:
    """Drive field, dividers and gradient where they are left out."""
    return _USUAL["Cartesian point" if topology == "point" and lines is not None else topology]


def check_fields(typed: dict[str, Any]) -> None:
    """Refuse options of the fields that do not go together."""
    line, lines, rotation = typed["field_free"] == "line", typed["lines"], typed["rotation_divider"]
    if line and lines is not None:
        raise UserError(
            "--lines is of --field-free point; of a line, --angles says how often it rests, or --rotation-divider how "
            "fast it turns"
        )
    if not line and rotation is not None:
        raise UserError("--rotation-divider is of --field-free line; leave it out")
    lissajous = not line and lines is None
    for option in ("patches", "feed_through"):
        if not lissajous and typed[option] not in (None, "0V"):
            raise UserError(
                f"--{option.replace('_', '-')} is of --field-free point without --lines; leave one of them out"
            )


def trajectory(typed: dict[str, Any], axes: int) -> "Trajectory":
    """Drive field of a scan in the plane or in space.

    Raises
    ------
    UserError
        If an option is not what is expected, or they do not fit together.
    """
    from nixel.physics.mpi import CartesianDrive, DriveField, ProjectionDrive, RotatingDrive

    amplitudes = quantities("--drive-field", typed["drive_field"], "T")
    dividers = whole_numbers("--dividers", typed["dividers"], "102,96")
    (base,) = quantities("--base-frequency", typed["base_frequency"], "Hz", 1)
    line, cartesian = typed["field_free"] == "line", typed["lines"] is not None
    if line and axes != 2:
        raise UserError(f"--shape {typed['shape']}: expected one plane for a field-free line")
    if line:
        what, fields, divided = "A field-free line is swept by one drive field", 1, 1
    elif cartesian:
        what, fields, divided = f"--lines are of one fast axis, x, and {axes - 1} more", axes, 1
    else:
        what, fields, divided = f"--shape {typed['shape']} has {axes} axes", axes, axes
    if (len(amplitudes), len(dividers)) != (fields, divided):
        raise UserError(
            f"{what}: expected {fields} amplitudes and {divided} dividers, found --drive-field "
            f'"{typed["drive_field"]}" and --dividers "{typed["dividers"]}"'
        )
    if line and typed["rotation_divider"] is not None:
        return RotatingDrive(base, dividers[0], typed["rotation_divider"], amplitudes[0])
    if line:
        turns = tuple(number * math.pi / typed["angles"] for number in range(typed["angles"]))
        return ProjectionDrive(base, dividers[0], amplitudes[0], turns)
    if cartesian:
        lines = whole_numbers("--lines", typed["lines"], "25")
        return CartesianDrive(base, dividers[0], tuple(amplitudes), tuple(lines))
    return DriveField(base, tuple(dividers), tuple(amplitudes))


def centres(
    typed: dict[str, Any],
    drive: Any,  # noqa: ANN401  of a point: a line has no patches
    gradient: tuple[float, float, float],
    grid: "Grid",
) -> "NDArray[np.float64]":
    """Centres of the patches, a whole number of the calibration's voxels apart: one matrix serves all of them."""
    import numpy as np

    from nixel.physics.mpi import patch_centres

    counts = shape("--patches", typed["patches"])[::-1][: drive.axes]
    if drive.axes == 2 and not typed["patches"].startswith("1x"):
        raise UserError(f"--patches {typed['patches']}: expected one plane of them, as in --shape")
    places = patch_centres(drive, gradient, counts, overlap=typed["overlap"])
    steps = np.array(grid.spacing[::-1])
    places = np.rint((places - places.min(axis=0)) / steps) * steps
    return np.asarray(places - places.max(axis=0) / 2)
