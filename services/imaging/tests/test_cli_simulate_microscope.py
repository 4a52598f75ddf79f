"""`nixel simulate sample|distance`: a hand at the virtual microscope's sample."""

import contextlib

import pytest
from files_to_files import assert_refused, nixel

from nixel.acquisition.cameras.virtual_client import VirtualMicroscope
from nixel.imaging.processes import Child


@pytest.fixture(scope="module")
def socket(tmp_path_factory):
    folder = tmp_path_factory.mktemp("microscope")
    child = Child(
        "virtual microscope",
        "nixel.acquisition.virtual.microscope",
        ["--socket", str(folder / "socket")],
        log=folder / "log",
    )
    with child:
        child.first_line()
        yield folder / "socket"


def found(socket, control):
    wire = VirtualMicroscope(str(socket), "the microscope")
    wire.open()
    with contextlib.closing(wire):
        return wire.request("get", control=control)["value"]


def test_the_sample_goes_out_and_in(socket):
    for name in ("empty", "particles"):
        done = nixel("simulate", "sample", name, f"--microscope={socket}")
        assert (done.returncode, done.stdout) == (0, f"the virtual microscope's sample: {name}\n"), (
            done.stderr
        )
        assert found(socket, "sample") == name


def test_the_sample_is_put_at_a_distance(socket):
    done = nixel("simulate", "distance", "800um", f"--microscope={socket}")
    assert done.stdout == "the virtual microscope's sample is 0.8 mm from the sensor\n", done.stderr
    assert found(socket, "distance") == pytest.approx(0.8e-3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sample", "hair"), "expected"),
        (("distance", "1"), "bare number"),
        (("distance", "1kg"), "1kg"),
        (("distance", "9mm"), "distance"),
    ],
)
def test_what_it_does_not_have_is_refused(socket, words, message):
    assert_refused(nixel("simulate", *words, f"--microscope={socket}"), message)
    assert found(socket, "sample") in ("particles", "empty")


def test_a_microscope_that_is_not_there_is_named(tmp_path):
    done = nixel("simulate", "sample", "empty", f"--microscope={tmp_path / 'none'}")
    assert_refused(done, f"the virtual microscope at {tmp_path / 'none'}")
