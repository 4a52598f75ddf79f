"""A scan and the calibration that it is reconstructed with: whether they belong together, and the picture's unit."""

import math

from nixel.acquisition.formats.mdf import Mdf
from nixel.imaging.errors import UserError


def check_together(scan: Mdf, matrix: Mdf) -> None:
    """Refuse a calibration that was taken with other settings than the scan."""
    for name in ("base_frequency", "dividers", "drive_field", "gradient", "samples", "channels"):
        ours, theirs = getattr(scan.setting, name), getattr(matrix.setting, name)
        if ours != theirs:
            raise UserError(
                f"{scan.path} and {matrix.path} do not belong together: expected the calibration's {name} to be "
                f"{ours}, found {theirs}. Calibrate with the settings of the scan."
            )


def iron_per_voxel(matrix: Mdf, voxel_volume: float) -> float:
    """Concentration in mol/m^3 of a voxel that holds as much iron as the calibration sample."""
    assert matrix.calibration is not None
    tracer, delta = matrix.labels.tracer, matrix.calibration.delta_sample_size
    known = tracer is not None and math.isfinite(tracer.concentration)
    if not known or delta is None or tracer is None:
        raise UserError(
            f"{matrix.path}: expected the concentration and size of the calibration sample, found none: without them "
            "a picture has no unit."
        )
    return tracer.concentration * 1e3 * math.prod(delta) / voxel_volume
