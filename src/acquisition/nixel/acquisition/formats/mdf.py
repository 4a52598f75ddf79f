"""MDF 2.1: measurements, calibrations and reconstructions of magnetic particle imaging, in HDF5.

Read leniently, written strictly, and checked. See `nixel.acquisition.formats.mdf_model` for what a file holds, and
`nixel.acquisition.formats.mdf_fields` for the fields of the specification.
"""

from nixel.acquisition.formats.atomic import sha256_file
from nixel.acquisition.formats.mdf_check import check_mdf
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
from nixel.acquisition.formats.mdf_read import open_mdf, read_mdf
from nixel.acquisition.formats.mdf_report import Finding, Report
from nixel.acquisition.formats.mdf_write import write_calibration, write_measurement, write_reconstruction

__all__ = [
    "Calibration",
    "DatasetInfo",
    "Finding",
    "Grid",
    "Labels",
    "Mdf",
    "MdfError",
    "Measurement",
    "Reconstruction",
    "Report",
    "Setting",
    "Tracer",
    "check_mdf",
    "open_mdf",
    "read_mdf",
    "sha256_file",
    "write_calibration",
    "write_measurement",
    "write_reconstruction",
]
