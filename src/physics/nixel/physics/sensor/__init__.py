"""Image sensors: from photons to digital numbers."""

from __future__ import annotations

from nixel.physics.sensor.bayer import Bayer
from nixel.physics.sensor.imx219 import imx219
from nixel.physics.sensor.model import Sensor

__all__ = ["Bayer", "Sensor", "imx219"]
