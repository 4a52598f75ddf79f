"""A stand-in for libcamera's ``cam``: takes its options, writes frames and lines as its source says. No camera.

    stand_in_cam.py MISBEHAVIOUR OPTIONS...

It is written from the source of libcamera's own program (src/apps/cam), and has been compared with none that runs.
"""

import re
import select
import signal
import sys
import time
from pathlib import Path

import numpy as np

RATE = 60.0


def frame(number, rows, columns, stride):
    """Frame whose pixel (y, x) is y + x + number, of ten bits, packed as MIPI does."""
    y, x = np.mgrid[:rows, :columns]
    values = (y + x + number) % 1024
    lines = np.zeros((rows, stride), np.uint8)
    for place in range(4):
        lines[:, place : columns * 5 // 4 : 5] = values[:, place::4] >> 2
        lines[:, 4 : columns * 5 // 4 : 5] |= ((values[:, place::4] & 3) << (2 * place)).astype(np.uint8)
    return lines.tobytes()


def main(misbehaviour, options):
    # As the original: SIGINT is heard between frames.
    asked = {"ended": False}
    signal.signal(signal.SIGINT, lambda *_: asked.update(ended=True))
    stream = dict(part.split("=") for part in options[options.index("--stream") + 1].split(","))
    fifo = next(Path(each.removeprefix("--file=")) for each in options if each.startswith("--file="))
    script = Path(options[options.index("--script") + 1]).read_text()
    wanted = dict(re.findall(r"(\w+): (\S+)", script))
    assert {"--strict-formats", "--capture", "--metadata"} <= set(options)
    assert wanted["AeEnable"] == "false"
    if options[options.index("--camera") + 1] != "1":
        print("Camera 7 not found", file=sys.stderr)
        print("Failed to create camera session")
        return 1
    if stream["pixelformat"] != "SRGGB10_CSI2P" or stream["role"] != "raw":
        print("Adjusting camera configuration disallowed by --strict-formats argument")
        print("Failed to create camera session")
        return 1
    print("Using camera /base/soc/i2c0mux/i2c@1/imx219@10 as cam0", flush=True)
    print("cam0: Capture until user interrupts by SIGINT", flush=True)
    rows, columns = int(stream["height"]), int(stream["width"])
    stride = -(-columns * 5 // 4 // 32) * 32
    large = rows > 1000  # then four frames in turn, drawn beforehand
    drawn = [frame(number, rows, columns, stride) for number in range(4)] if large else []
    began = time.monotonic()
    for turn in range(100000):
        number = turn + (5 if misbehaviour == "loses" and turn > 10 else 0)
        due = began + number / RATE
        select.select([], [], [], max(0.0, due - time.monotonic()))
        if asked["ended"]:
            print("Exiting", flush=True)
            return 0
        if misbehaviour == "ends" and turn == 20:
            print("Camera frontend has timed out!", file=sys.stderr, flush=True)
            return 1
        if misbehaviour == "silent" and turn == 12:
            time.sleep(60)
        with fifo.open("wb", buffering=0) as file:  # one write, as the original's
            content = drawn[number % 4] if large else frame(number, rows, columns, stride)
            if misbehaviour == "short" and turn == 12:
                content = content[: len(content) // 2]
            file.write(content)
        stamp = f"{int(due)}.{int(due % 1 * 1e6):06d}"
        print(
            f"{stamp} ({RATE:.2f} fps) cam0-stream0 seq: {number:06d} bytesused: {len(content)}", flush=True
        )
        # The sensor has what was asked for some frames later.
        settled = turn >= 4 and misbehaviour != "adapts"
        drifting = misbehaviour == "drifts" and turn > 30
        exposure = wanted["ExposureTime"] if settled and not drifting else "33000"
        print(f"\tExposureTime = {exposure}\n\tSensorBlackLevels = [ 4096, 4096, 4096, 4096 ]", flush=True)
        print(f"\tAnalogueGain = {wanted['AnalogueGain'] if settled else '4.0'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
