"""The forward model of magnetic particle imaging: particles, fields, receive coils, noise.

The signal equation follows Knopp and Buzug, *Magnetic Particle Imaging*, Springer 2012, chapters 2 and 4.
"""

from nixel.physics.mpi.fields import DriveField
from nixel.physics.mpi.induction import magnetisation_rate, signal, system_function
from nixel.physics.mpi.particles import Particles, langevin, langevin_derivative
from nixel.physics.mpi.receive import ReceiveCoils, thermal_noise

__all__ = [
    "DriveField",
    "Particles",
    "ReceiveCoils",
    "langevin",
    "langevin_derivative",
    "magnetisation_rate",
    "signal",
    "system_function",
    "thermal_noise",
]
