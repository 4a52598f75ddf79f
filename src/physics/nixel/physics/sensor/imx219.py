"""The microscope's sensor, Sony's IMX219."""

from __future__ import annotations

import numpy as np

from nixel.physics.sensor.bayer import Bayer
from nixel.physics.sensor.model import Sensor

# Read off figure 45 of the data sheet to about 1 % of the largest value, which is green's at 520 nm.
_WAVELENGTHS = np.arange(400, 701, 20) * 1e-9
_RESPONSE = {
    "R": (0.10, 0.06, 0.04, 0.03, 0.05, 0.06, 0.12, 0.11, 0.11, 0.51, 0.96, 0.84, 0.76, 0.66, 0.55, 0.49),
    "G": (0.08, 0.05, 0.06, 0.09, 0.61, 0.93, 0.99, 0.93, 0.83, 0.66, 0.43, 0.23, 0.15, 0.13, 0.17, 0.23),
    "B": (0.49, 0.61, 0.75, 0.83, 0.72, 0.47, 0.24, 0.15, 0.09, 0.08, 0.07, 0.06, 0.06, 0.08, 0.09, 0.11),
}
_PEAK_EFFICIENCY = 0.6
_GAIN = 0.15
_LARGEST_ANALOGUE_GAIN = 256 / 24


def imx219(
    wavelength: float, *, analogue_gain: float = 1.0, order: str = "RGGB", pattern_seed: int = 0
) -> Sensor:
    """Sony IMX219: 2464 x 3280 pixels of 1.12 um, 10 bits, Bayer mosaic, black level 64.

    From its data sheet: geometry, bits, black level, saturation at 1023, the mosaic, the relative spectral
    response, and, as the upper limit of the dark signal, half a digital number in 1/15 s at a junction
    temperature of 60 degrees C, which gives the dark current. Its sensitivity (205 DN in 1/120 s from a
    706 cd/m^2, 3200 K source through F/2.8 and an infrared filter) fixes the product of gain and efficiency:
    0.08 to 0.09 DN per photon where green is the most sensitive. It does not say which part is which. Taken
    here: a quantum efficiency of 0.6 there and 0.15 DN/e-, so 6400 e- at saturation. The dark noise of 4 e-, a
    PRNU of 1 % and a DSNU of 1 e- are typical of such pixels, not from the data sheet. Replace what you have
    measured (`dataclasses.replace`).

    The sensor's own order, unflipped, is RGGB (data sheet, figure 47; the Linux driver's
    MEDIA_BUS_FMT_SRGGB10). With both flips, by which libcamera turns the picture of the Raspberry Pi's
    camera module the right way up, it is BGGR: ask the camera which it sent.

    Parameters
    ----------
    wavelength
        Of the narrow-band source, metres, 400 to 700 nm.
    analogue_gain
        1 to 10.67, before digitisation. The dark noise in electrons is taken to stay as it is.
    order
        Of the mosaic in the frames, see `Bayer`.
    pattern_seed
        Which sensor of its kind.

    Returns
    -------
    Sensor

    Raises
    ------
    ValueError
        If the wavelength or the gain is outside its range, or there is no such order.

    References
    ----------
    Sony, IMX219PQH5-C data sheet, chapters 11 and 12.
    """
    if not _WAVELENGTHS[0] <= wavelength <= _WAVELENGTHS[-1]:
        raise ValueError(f"wavelength: expected 400e-9 to 700e-9 m, found {wavelength!r}")
    if not 1 <= analogue_gain <= _LARGEST_ANALOGUE_GAIN:
        raise ValueError(
            f"analogue_gain: expected 1 to {_LARGEST_ANALOGUE_GAIN:.2f}, found {analogue_gain!r}"
        )
    dark_signal_per_second = 0.5 * 15
    return Sensor(
        quantum_efficiency={
            colour: _PEAK_EFFICIENCY * float(np.interp(wavelength, _WAVELENGTHS, response))
            for colour, response in _RESPONSE.items()
        },
        gain=_GAIN * analogue_gain,
        dark_noise=4.0,
        dark_current=dark_signal_per_second / _GAIN,
        offset=64.0,
        bit_depth=10,
        prnu=0.01,
        dsnu=1.0,
        pattern_seed=pattern_seed,
        bayer=Bayer(order),
        shape=(2464, 3280),
        pixel_size=1.12e-6,
    )
