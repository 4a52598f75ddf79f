"""``nixel-virtual-grbl``: a stepper controller that speaks Grbl 1.1, with three axes and their limit switches.

It does what Grbl's interface document says of settings, homing, status reports, feed hold, resume, soft reset, jogging,
alarms and errors. Axes move at constant speed, without acceleration; a feed hold takes 20 ms. Settings live as long as
the process, as if in EEPROM. With ``--microscope`` it carries the sensor of a virtual microscope, whose distance from
the sample follows the axis that the instrument's ``microscope.focus`` names.

Beside what every wire understands, a hand can::

    limit X     press the limit switch of an axis (x, y, z) for a moment
    jam X       keep an axis from reaching its switch, which homing notices and nothing else; free X frees it
    state       tell the state and where the axes are in mm
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.virtual.carried_sensor import CarriedSensor
from nixel.acquisition.virtual.grbl_controller import Grbl
from nixel.acquisition.virtual.wire import parser, run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def _setting(text: str) -> tuple[int, float]:
    number, _, value = text.partition("=")
    return int(number), float(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulated controller until it is told to end.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; `sys.argv` by default.

    Returns
    -------
    int
        Exit status.
    """
    name = "nixel-virtual-grbl"
    command = parser(name, __doc__)
    command.add_argument(
        "--setting", type=_setting, action="append", default=[], metavar="N=VALUE", help="a $-setting"
    )
    command.add_argument("--microscope", type=Path, metavar="SOCKET", help="whose sensor this stage carries")
    command.add_argument(
        "--instrument",
        default="virtual-microscope",
        help="name or TOML file, whose table microscope.focus says how",
    )
    options = command.parse_args(arguments)
    settings = dict(options.setting)
    if options.microscope is None:
        return run(Grbl(settings), options, name)
    try:
        microscope = load_instrument(options.instrument).microscope
        if microscope is None or microscope.focus is None:
            raise ValueError(
                f"--instrument {options.instrument}: expected a table microscope.focus, found none"
            )
    except ValueError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return run(Grbl(settings, CarriedSensor(options.microscope, microscope.focus).carry), options, name)


if __name__ == "__main__":
    sys.exit(main())
