"""MDF 2.1: measurements, calibrations and reconstructions of magnetic particle imaging, in HDF5.

Read leniently, written strictly; see `nixel.acquisition.formats.mdf_model` for what a file holds.
"""

from nixel.acquisition.formats.atomic import sha256_file
from nixel.acquisition.formats.mdf_model import (
    Calibration,
    DatasetInfo,
    Grid,
    Labels,
    Mdf,
    MdfError,
    Measurement,
    Reconstruction,
    Setting,
    Tracer,
)
from nixel.acquisition.formats.mdf_read import read_mdf
from nixel.acquisition.formats.mdf_write import write_calibration, write_measurement, write_reconstruction

__all__ = [
    "Calibration",
    "DatasetInfo",
    "Grid",
    "Labels",
    "Mdf",
    "MdfError",
    "Measurement",
    "Reconstruction",
    "Setting",
    "Tracer",
    "read_mdf",
    "sha256_file",
    "write_calibration",
    "write_measurement",
    "write_reconstruction",
]
