"""The first process of a virtual machine with the kernel's virtual camera, vivid: runs its checks, says what came out.

Started by the kernel from the initial file system that `vivid_machine.py` makes. Every function named `check_...` is
one.
"""

import contextlib
import itertools
import time
from pathlib import Path

import first_process
from first_process import load, mount

MODULES = (
    "drivers/media/mc/mc.ko",
    "drivers/media/v4l2-core/videodev.ko",
    "drivers/media/common/videobuf2/videobuf2-common.ko",
    "drivers/media/common/videobuf2/videobuf2-memops.ko",
    "drivers/media/common/videobuf2/videobuf2-v4l2.ko",
    "drivers/media/common/videobuf2/videobuf2-vmalloc.ko",
    "drivers/media/common/videobuf2/videobuf2-dma-contig.ko",
    "drivers/media/common/v4l2-tpg/v4l2-tpg.ko",
    "drivers/media/v4l2-core/v4l2-dv-timings.ko",
    "drivers/media/rc/rc-core.ko",
    "drivers/media/cec/core/cec.ko",
    "drivers/media/test-drivers/vivid/vivid.ko",
)
NODE, PLANAR = "/dev/video0", "/dev/video1"
SHAPE = (180, 320)  # rows, columns: small enough that an emulated processor draws 60 in a second
# The bars of the test pattern: which of red, green and blue are bright, in its order from the left.
BARS = ("RGB", "RG", "GB", "G", "RB", "R", "B", "")


def prepare():
    mount("proc", "/proc")
    mount("sysfs", "/sys")
    mount("devtmpfs", "/dev")
    for module in MODULES:
        name = Path(module).name
        # Two devices that capture video, with one input each, a webcam; the second has the interface of several planes.
        two = "n_devs=2 node_types=0x1,0x1 num_inputs=1,1 input_types=0x0,0x0 multiplanar=1,2"
        load(name, two if name == "vivid.ko" else "")
    deadline = time.monotonic() + 10
    while not (Path(NODE).exists() and Path(PLANAR).exists()):
        assert time.monotonic() < deadline, sorted(map(str, Path("/dev").iterdir()))
        time.sleep(0.05)


def settings(**more):
    from nixel.acquisition.adapters.v4l2_settings import V4l2

    return V4l2(**{"adapter": "v4l2", "path": NODE, "format": "SRGGB10", "shape": SHAPE, **more})


@contextlib.contextmanager
def camera(**more):
    from nixel.acquisition.adapters.v4l2 import V4l2Camera
    from nixel.acquisition.devices import Camera

    made = V4l2Camera(settings(**more), "camera")
    assert isinstance(made, Camera)
    made.open()
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def refused(*words):
    from nixel.acquisition.devices import DeviceError

    said = None
    try:
        yield
    except DeviceError as error:
        said = str(error)
    assert said is not None, "it was not refused"
    print("said:", said)
    for word in words:
        assert word in said, f"{word!r} is not in: {said}"


def turn(made, name, value, path=NODE):
    """Do to vivid what only its own controls can do."""
    from nixel.acquisition.cameras.v4l2_node import VideoNode

    controls = {control.name: control for control in made.controls()}
    assert name in controls, sorted(controls)
    node = VideoNode(path)
    try:
        node.set_control(controls[name], value)
    finally:
        node.close()


def accounted(made, numbers):
    """How many frames are missing among the numbers; as many as the camera says that it lost."""
    assert all(late > early for early, late in itertools.pairwise(numbers)), numbers
    missing = numbers[-1] + 1 - len(numbers)
    assert made.get("lost") + made.get("damaged") == missing, (numbers, made.get("lost"), made.get("damaged"))
    return missing


def check_120_frames_arrive_at_the_full_rate_and_none_is_lost():
    # vivid leaves frames out when its own thread comes late, as an emulated processor's does on a busy machine: then
    # the fastest rate that it keeps for so long counts.
    for rate in (None, "30 Hz", "15 Hz", "5 Hz"):
        with camera(**({} if rate is None else {"rate": rate})) as made:
            told = made.get("frame_rate")
            assert told == (60 if rate is None else float(rate.split()[0])), told
            made.start()
            numbers, frames = [], []
            while len(frames) < 121 and len(numbers) < 400:
                frame = made.frame(5.0)
                numbers.append(frame.number)
                frames = [*frames, frame] if frames and frame.number == frames[-1].number + 1 else [frame]
            times = [frame.time for frame in frames]
            assert all(late > early for early, late in itertools.pairwise(times))
            assert abs(times[-1] - time.monotonic()) < 1.0, "it is not the monotonic clock"
            missing = accounted(made, numbers)
            made.stop()
        if len(frames) == 121:
            break
        print(f"at {told:g} Hz the emulated camera left out {missing} frames of {missing + len(numbers)}")
    assert len(frames) == 121
    mean = (times[-1] - times[0]) / 120
    assert abs(mean * told - 1) < 0.02, mean
    print(f"121 frames in {times[-1] - times[0]:.2f} s at {told:g} Hz, none lost (emulated processor)")


def check_a_slower_rate_is_kept():
    with camera(rate="30 Hz") as made:
        assert made.get("frame_rate") == 30
        made.start()
        frames = [made.frame(5.0) for _ in range(31)]
        expected = (frames[-1].number - frames[0].number) / 30
        assert abs(frames[-1].time - frames[0].time - expected) < 0.1, frames[-1].time - frames[0].time
    with refused("7 Hz", "60 Hz", "30 Hz"), camera(rate="7 Hz"):
        pass


def _bars(name, path=NODE):
    """The mean of each colour in the middle of each bar, of the largest number."""
    import numpy as np

    # No text in the picture, and every colour at its full.
    with camera(path=path, format=name, fixed={"osd_text_mode": 2, "test_pattern": 1}) as made:
        made.start()
        pixels = made.frame(5.0).pixels
        assert pixels.shape == SHAPE
        assert pixels.dtype == (np.uint8 if made.bits == 8 else np.uint16), pixels.dtype
        assert pixels.max() < 1 << made.bits
        means = []
        for bar in range(8):
            left = (bar * SHAPE[1] // 8 + 8) // 2 * 2
            part = pixels[60:120, left : left + 24]
            sites = {}
            for place, colour in enumerate(made.pattern):
                row, column = divmod(place, 2)
                sites.setdefault(colour, []).append(part[row::2, column::2].mean())
            means.append({colour: np.mean(each) / ((1 << made.bits) - 1) for colour, each in sites.items()})
        return means


def _check_bars(*names, path=NODE):
    for name in names:
        for bright, means in zip(BARS, _bars(name, path), strict=True):
            for colour, mean in means.items():
                assert mean > 0.95 if colour in bright else mean < 0.05, (name, bright, means)


def check_colour_bars_of_8_bits():
    _check_bars("SRGGB8", "SBGGR8", "SGRBG8", "SGBRG8")


def check_colour_bars_of_10_bits():
    _check_bars("SRGGB10", "SBGGR10", "SGRBG10", "SGBRG10")


def check_colour_bars_of_12_and_16_bits():
    _check_bars("SRGGB12", "SBGGR12", "SRGGB16", "SGBRG16")


def check_grey_formats():
    import numpy as np

    for name in ("GREY", "Y10", "Y12", "Y16"):
        with camera(format=name, fixed={"osd_text_mode": 2, "test_pattern": 6}) as made:
            made.start()
            white = made.frame(5.0).pixels / ((1 << made.bits) - 1)
        with camera(format=name, fixed={"osd_text_mode": 2, "test_pattern": 5}) as made:
            made.start()
            black = made.frame(5.0).pixels / ((1 << made.bits) - 1)
        assert np.ptp(white) < 0.01, name
        assert white.mean() > 0.9, name
        assert black.max() < 0.1, name


def check_controls_are_fixed_and_read_back():
    with camera(gain_code=77, fixed={"brightness": 99}) as made:
        assert made.get("control_gain") == 77
        assert made.get("control_gain_automatic") == 0
        assert made.get("control_brightness") == 99
        assert made.get("driver") == "vivid"
    # They are the driver's, and stay where the next one puts them.
    with camera(gain_code=11) as made:
        assert made.get("control_gain") == 11
    with refused("gain", "0 to 255", "256"), camera(gain_code=256):
        pass
    with refused("no_such", "brightness"), camera(fixed={"no_such": 1}):
        pass
    with refused("exposure", "none"), camera(exposure="1 ms"):
        pass


def check_what_the_camera_cannot_do_is_told():
    with refused("choosing the format", "SRGGB10P", "SRGGB10,"), camera(format="SRGGB10P"):
        pass
    with refused("choosing the format", "181 x 320", "180 x 320"), camera(shape=(181, 320)):
        pass
    with refused("no such device file", NODE, PLANAR), camera(path="/dev/video7"):
        pass
    with refused("no video device"), camera(path="/dev/null"):
        pass


def check_a_camera_in_use_is_told():
    with camera() as first:
        first.start()
        with refused("another program is using"), camera(shape=(360, 640)):
            pass
        assert first.frame(5.0).pixels.shape == SHAPE, "the one that uses it must not notice"


def check_lost_frames_are_counted_by_the_cameras_own_count():
    with camera(rate="30 Hz") as made:
        made.start()
        numbers = [made.frame(5.0).number]
        turn(made, "percentage_of_dropped_buffers", 50)
        try:
            numbers += [made.frame(5.0).number for _ in range(40)]
        finally:
            turn(made, "percentage_of_dropped_buffers", 0)
        lost = accounted(made, numbers)
        assert lost > 10, lost
        print(f"lost {lost} of {numbers[-1] + 1}")


def check_frames_that_are_not_fetched_in_time_are_counted():
    with camera(buffers=2) as made:
        made.start()
        numbers = [made.frame(5.0).number]
        time.sleep(1.0)
        numbers += [made.frame(5.0).number for _ in range(4)]
        assert accounted(made, numbers) > 20


def check_a_damaged_frame_is_left_out_and_counted():
    with camera(rate="30 Hz") as made:
        made.start()
        numbers = [made.frame(5.0).number]
        turn(made, "inject_v4l2_buf_flag_error", 1)
        numbers += [made.frame(5.0).number for _ in range(20)]
        assert made.get("damaged") == 1
        accounted(made, numbers)


def check_the_count_goes_on_where_the_drivers_begins_anew():
    with camera() as made:
        turn(made, "wrap_sequence_number", 1)  # 128 frames after the start
        try:
            made.start()
            numbers = [made.frame(5.0).number for _ in range(160)]
        finally:
            turn(made, "wrap_sequence_number", 0)
        accounted(made, numbers)
        assert numbers[0] < 128 < numbers[-1] < 1000, numbers


def check_silence_ends_with_the_time_limit():
    with camera() as made:
        with refused("does not", "Start it"):
            made.frame(1.0)
        turn(made, "percentage_of_dropped_buffers", 100)
        try:
            made.start()
            began = time.monotonic()
            with refused("one within 0.5 s", "none"):
                made.frame(0.5)
            assert 0.5 <= time.monotonic() - began < 2.0
        finally:
            turn(made, "percentage_of_dropped_buffers", 0)


def check_it_starts_and_stops_again_and_again():
    with camera() as made:
        for _ in range(5):
            made.start()
            accounted(made, [made.frame(5.0).number for _ in range(3)])
            made.stop()


def check_an_unplugged_camera_is_told_and_taken_up_again():
    with camera() as made:
        made.start()
        made.frame(5.0)
        turn(made, "disconnect", 1)
        with refused("gone (unplugged?)"):
            for _ in range(20):
                made.frame(5.0)
        with refused("gone (unplugged?)"):
            made.get("control_brightness")
    # vivid comes back when nobody holds it any more.
    with camera() as made:
        made.start()
        assert made.frame(5.0).pixels.shape == SHAPE


def check_a_driver_of_several_planes_gives_the_same_pictures():
    from nixel.acquisition.cameras.v4l2_node import VideoNode
    from nixel.acquisition.cameras.v4l2_uapi import Capture

    node = VideoNode(PLANAR)
    able = node.capability()[2]
    node.close()
    assert able & Capture.VIDEO_CAPTURE_MPLANE, hex(able)
    assert not able & Capture.VIDEO_CAPTURE, "it would do as the other one"
    _check_bars("SRGGB8", "SBGGR10", "SGRBG12", "SRGGB16", path=PLANAR)


def check_a_driver_of_several_planes_streams_counts_and_stops():
    with camera(path=PLANAR, rate="30 Hz", gain_code=77) as made:
        assert made.get("control_gain") == 77
        assert made.get("frame_rate") == 30
        for _ in range(3):
            made.start()
            frames = [made.frame(5.0) for _ in range(20)]
            accounted(made, [frame.number for frame in frames])
            assert all(late.time > early.time for early, late in itertools.pairwise(frames))
            made.stop()
        made.start()
        numbers = [made.frame(5.0).number]
        turn(made, "percentage_of_dropped_buffers", 50, PLANAR)
        try:
            numbers += [made.frame(5.0).number for _ in range(30)]
        finally:
            turn(made, "percentage_of_dropped_buffers", 0, PLANAR)
        assert accounted(made, numbers) > 5, numbers
    with refused("181 x 320", "180 x 320"), camera(path=PLANAR, shape=(181, 320)):
        pass


def check_an_unplugged_camera_of_several_planes_is_told_and_taken_up_again():
    with camera(path=PLANAR) as made:
        made.start()
        made.frame(5.0)
        turn(made, "disconnect", 1, PLANAR)
        with refused("gone (unplugged?)"):
            for _ in range(20):
                made.frame(5.0)
    with camera(path=PLANAR) as made:
        made.start()
        assert made.frame(5.0).pixels.shape == SHAPE


if __name__ == "__main__":
    first_process.run(prepare, globals())
