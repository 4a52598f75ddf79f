"""``nixel-virtual-microscope``: the virtual microscope's sample, light and camera, a process behind a socket."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.acquisition.instrument import Instrument, InstrumentError, load_instrument
from nixel.acquisition.quantities import parse
from nixel.acquisition.virtual.microscope_camera import Camera, CameraError
from nixel.acquisition.virtual.microscope_scene import SAMPLES, Scene
from nixel.acquisition.virtual.microscope_server import Relay, Server
from nixel.acquisition.virtual.parent import end_with_parent

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nixel-virtual-microscope", description=__doc__)
    parser.add_argument("--instrument", default="virtual-microscope", help="name or TOML file")
    parser.add_argument("--seed", type=int, default=0, help="of the sample and of the noise")
    parser.add_argument("--sample", metavar="|".join(SAMPLES), help="what lies there; particles if left out")
    parser.add_argument(
        "--distance",
        metavar="1mm",
        help="from the sample to the sensor; the middle of what the instrument file allows if left out",
    )
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument(
        "--panel",
        type=Path,
        metavar="SOCKET",
        help="the virtual panel's, whose relay feeds the light; without it the light always has power",
    )
    parser.add_argument(
        "--workers", type=int, default=0, help="threads that simulate; 0: one for each processor"
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input closes")
    return parser


def _simulated(instrument: Instrument) -> None:
    if instrument.microscope is None:
        raise ValueError(f"instrument {instrument.name}: expected a microscope, found a scanner")
    if not instrument.simulated:
        raise ValueError(
            f"instrument {instrument.name} is a real one (simulated = false) and is not simulated"
        )


def _asked(options: argparse.Namespace) -> dict[str, object]:
    """What the command line says of the sample."""
    asked: dict[str, object] = {} if options.sample is None else {"sample": options.sample}
    return asked if options.distance is None else asked | {"distance": parse(options.distance, "m")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the virtual microscope until it is told to end.

    Prints one line of JSON when it is ready: its socket and its process.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; `sys.argv` by default.

    Returns
    -------
    int
        Exit status: 0, or 2 for a fault of the command line or a socket that cannot be made.
    """
    options = _parser().parse_args(arguments)
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # a camera does not wait for a program
    try:
        instrument = load_instrument(options.instrument)
        _simulated(instrument)
        for name in ("seed", "workers"):
            if getattr(options, name) < 0:
                raise ValueError(f"--{name} {getattr(options, name)}: expected zero or more")
        assert instrument.microscope is not None
        workers = options.workers or len(os.sched_getaffinity(0))
        scene = Scene(instrument.microscope, options.seed, workers)
        relay = Relay(options.panel)
        camera = Camera(scene, instrument.microscope, options.seed, relay.powered)
        camera.prepare(_asked(options))
        server = Server(options.socket, camera)
    except OSError as error:
        reason, place = error.strerror or str(error), error.filename or options.socket
        print(f"nixel-virtual-microscope: {place}: {reason}", file=sys.stderr)
        return 2
    except CameraError as error:
        print(f"nixel-virtual-microscope: expected {error}", file=sys.stderr)
        return 2
    except (InstrumentError, ValueError) as error:
        print(f"nixel-virtual-microscope: {error}", file=sys.stderr)
        return 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if options.exit_with_parent:
        end_with_parent(stop)
    threading.Thread(target=server.accept, daemon=True).start()
    print(json.dumps({"microscope": str(options.socket), "pid": os.getpid()}), flush=True)
    stop.wait()
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
