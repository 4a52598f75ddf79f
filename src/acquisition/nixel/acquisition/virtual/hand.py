"""A hand at the virtual microscope's panel."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from nixel.acquisition.devices import DeviceError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["do"]

_PATIENCE = 2.0  # s


def do(panel: Path, part: str, action: str) -> None:
    """Do something at the panel; it is done when this returns.

    Parameters
    ----------
    panel : Path
        Its socket.
    part, action : str
        As `nixel.acquisition.virtual.panel.Panel.hand` takes them.

    Raises
    ------
    DeviceError
        The panel cannot be reached, or there is no such thing to do at it.
    """
    what, where = f"{part} {action}", f"the virtual panel at {panel}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(str(panel))
            connection.sendall(f"HAND {what}\n".encode())
            answer = connection.makefile("r", encoding="utf-8").readline().rstrip("\n")
        except OSError as error:
            found = error.strerror or str(error)
            remedy = "Start the simulated microscope, or name its socket with --panel."
            raise DeviceError(
                what, where=where, expected="a virtual panel", found=found, remedy=remedy
            ) from error
    if answer != "OK":
        remedy = "Ask for something that the panel has."
        raise DeviceError(what, where=where, expected="OK", found=answer or "nothing", remedy=remedy)
