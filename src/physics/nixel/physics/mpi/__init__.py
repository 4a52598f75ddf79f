"""The forward model of magnetic particle imaging: particles, fields, receive coils, noise.

The signal equation follows Knopp and Buzug, *Magnetic Particle Imaging*, Springer 2012, chapters 2 and 4.
"""

from nixel.physics.mpi.background import Drift, FeedThrough
from nixel.physics.mpi.calibration import Calibration, calibrate
from nixel.physics.mpi.cartesian import CartesianDrive
from nixel.physics.mpi.fields import Drive, DriveField
from nixel.physics.mpi.induction import signal, system_function
from nixel.physics.mpi.langevin import langevin, langevin_derivative
from nixel.physics.mpi.loops import CircularLoop
from nixel.physics.mpi.matrix import system_matrix
from nixel.physics.mpi.measurement import measure
from nixel.physics.mpi.particles import Particles, brownian_time, magnetisation, magnetisation_rate
from nixel.physics.mpi.patches import focus_for, multi_patch_signal, patch_centres
from nixel.physics.mpi.projection import ProjectionDrive, RotatingDrive
from nixel.physics.mpi.receive import ReceiveCoils, thermal_noise
from nixel.physics.mpi.receive_noise import flicker_density, noise, spectral_deviation, tabulated_density
from nixel.physics.mpi.selection import FieldFreeLine, FieldFreePoint, SelectionField, SteppedLine
from nixel.physics.mpi.trajectories import field_free_line, field_free_point
from nixel.physics.mpi.transfer import MeasuredTransfer

__all__ = [
    "Calibration",
    "CartesianDrive",
    "CircularLoop",
    "Drift",
    "Drive",
    "DriveField",
    "FeedThrough",
    "FieldFreeLine",
    "FieldFreePoint",
    "MeasuredTransfer",
    "Particles",
    "ProjectionDrive",
    "ReceiveCoils",
    "RotatingDrive",
    "SelectionField",
    "SteppedLine",
    "brownian_time",
    "calibrate",
    "field_free_line",
    "field_free_point",
    "flicker_density",
    "focus_for",
    "langevin",
    "langevin_derivative",
    "magnetisation",
    "magnetisation_rate",
    "measure",
    "multi_patch_signal",
    "noise",
    "patch_centres",
    "signal",
    "spectral_deviation",
    "system_function",
    "system_matrix",
    "tabulated_density",
    "thermal_noise",
]
