"""Colour mosaics, and the microscope's sensor."""

import math

import numpy as np
import pytest

from nixel.physics.sensor import Bayer, imx219

ORDERS = ["RGGB", "BGGR", "GRBG", "GBRG"]


def coloured(order, shape):
    """The letter on each pixel, spelled out pixel by pixel."""
    return np.array(
        [[order[2 * (row % 2) + column % 2] for column in range(shape[1])] for row in range(shape[0])]
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(4, 6), (5, 7)])
def test_each_pixel_belongs_to_the_planes_of_its_colour(order, shape):
    letters = coloured(order, shape)
    mosaic = Bayer(order)
    seen = 0
    for colour in "RGB":
        planes = mosaic.planes(letters, colour)
        assert len(planes) == (2 if colour == "G" else 1)
        for (row, column), plane in zip(mosaic.sites(colour), planes, strict=True):
            assert (plane == colour).all()
            assert letters[row, column] == colour
            seen += plane.size
    assert seen == letters.size
    values = mosaic.spread({"R": 1.0, "G": 2.0, "B": 3.0}, shape)
    np.testing.assert_array_equal(values, np.vectorize({"R": 1.0, "G": 2.0, "B": 3.0}.get)(letters))


@pytest.mark.parametrize("order", ORDERS)
def test_a_flip_reads_the_mosaic_the_other_way_round(order):
    letters = coloured(order, (4, 6))
    mosaic = Bayer(order)
    for flipped, read in (
        (mosaic.flipped(vertically=True), letters[::-1]),
        (mosaic.flipped(horizontally=True), letters[:, ::-1]),
        (mosaic.flipped(vertically=True, horizontally=True), letters[::-1, ::-1]),
    ):
        np.testing.assert_array_equal(coloured(flipped.order, (4, 6)), read)


def test_planes_of_a_stack_are_views():
    stack = np.zeros((3, 4, 6))
    plane = Bayer("RGGB").planes(stack, "B")[0]
    assert plane.shape == (3, 2, 3)
    plane[...] = 1
    assert stack[:, 1::2, 1::2].all()
    assert stack.sum() == plane.size


def test_a_mosaic_that_is_none_is_refused():
    with pytest.raises(ValueError, match="order: expected one of"):
        Bayer("RGBG")
    with pytest.raises(ValueError, match="colour: expected R, G or B"):
        Bayer().sites("Y")
    with pytest.raises(ValueError, match=r"frame: expected \(..., y, x\)"):
        Bayer().planes(np.zeros(8), "R")
    with pytest.raises(ValueError, match="found none for B"):
        Bayer().spread({"R": 1, "G": 1}, (2, 2))


def test_the_imx219_is_as_its_data_sheet_says():
    sensor = imx219(532e-9)
    assert sensor.shape == (2464, 3280)
    assert sensor.pixel_size == 1.12e-6
    assert sensor.bayer.order == "RGGB"
    assert sensor.bayer.flipped(vertically=True, horizontally=True).order == "BGGR"
    dark = sensor.expose(np.zeros((256, 256)), seed=1)
    assert dark.dtype == np.uint16
    assert dark.mean() == pytest.approx(64.0, abs=0.02)
    assert (sensor.expose(np.full((64, 64), 1e6), seed=1) == 1023).all()
    # Half a digital number in 1/15 s, at most; in 10 s 75.
    aged = sensor.expose(np.zeros((256, 256)), exposure_time=10.0, seed=1)
    assert aged.mean() - 64 == pytest.approx(75.0, abs=0.3)
    # Its sensitivity: 0.08 to 0.09 DN per photon at green's best.
    assert 0.08 <= imx219(520e-9).gain * imx219(520e-9).efficiency("G") <= 0.09


@pytest.mark.parametrize(("wavelength", "best"), [(450e-9, "B"), (532e-9, "G"), (630e-9, "R")])
def test_a_narrow_band_source_is_seen_by_the_planes_of_its_colour(wavelength, best):
    sensor = imx219(wavelength, order="BGGR")
    frame = sensor.expose(np.full((256, 256), 3000.0), seed=2)
    signal = {
        colour: np.mean([plane.mean() for plane in sensor.bayer.planes(frame, colour)]) - 64
        for colour in "RGB"
    }
    assert max(signal, key=signal.get) == best
    for colour in "RGB":
        # 1 % PRNU and the noise, averaged over 128 x 128 pixels.
        assert signal[colour] == pytest.approx(0.15 * sensor.efficiency(colour) * 3000, rel=1e-3, abs=0.1)


def test_analogue_gain_multiplies_the_signal():
    one, eight = (imx219(532e-9, analogue_gain=gain) for gain in (1.0, 8.0))
    signal = [sensor.expose(np.full((256, 256), 300.0), seed=3).mean() - 64 for sensor in (one, eight)]
    assert signal[1] == pytest.approx(8 * signal[0], rel=0.01)


@pytest.mark.parametrize("wavelength", [399e-9, 701e-9, math.nan, 532.0])
def test_light_that_the_data_sheet_says_nothing_of_is_refused(wavelength):
    with pytest.raises(ValueError, match="wavelength: expected 400e-9 to 700e-9 m"):
        imx219(wavelength)


def test_a_gain_that_the_sensor_does_not_have_is_refused():
    for gain in (0.5, 11.0, math.nan):
        with pytest.raises(ValueError, match=r"analogue_gain: expected 1 to 10\.67"):
            imx219(532e-9, analogue_gain=gain)
