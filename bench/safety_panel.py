"""The virtual microscope's panel as a process of its own, whose every move is stamped where it happens.

It is the panel of the demonstration, behind the same socket; only the time of each move is told besides. The hand is a
connection like any other.
"""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from safety_stamps import Device, say

from nixel.acquisition.virtual import panel_server
from nixel.acquisition.virtual.panel import HOLD, LIGHT, Panel

if TYPE_CHECKING:
    from collections.abc import Callable

# What the hand does for each fault, and to undo it.
FAULTS = {"lid": ("lid open", "lid close"), "light-current": ("current 0.9", "current 0.35")}
_MADE = {tuple(made.split()) for made, _ in FAULTS.values()}
_PATIENCE = 5.0  # s


class PanelDevice(Device):
    """Starts the panel's process and hears its stamps.

    Parameters
    ----------
    link
        Where its socket is to be.
    """

    faults = tuple(FAULTS)

    def __init__(self, link: Path) -> None:
        self._thermal = link.with_name("thermal")
        super().__init__(link, [__file__, str(link), str(self._thermal)])
        self._made = ""

    def wiring(self) -> list[str]:
        """Give the daemon's arguments that lead to it."""
        return ["--panel", str(self.link), "--thermal", str(self._thermal)]

    def tell(self, word: str) -> None:
        """Make one of `faults`, or "clear" it."""
        if word == "clear":
            made, self._made = self._made, ""
            self._hand(FAULTS[made][1] if made else "lid close")
        else:
            self._made = word
            self._hand(FAULTS[word][0])

    def end(self) -> None:
        """Ask the process to end."""
        self._process.send_signal(signal.SIGTERM)

    def _hand(self, what: str) -> None:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_PATIENCE)
            line.connect(str(self.link))
            line.sendall(f"HAND {what}\n".encode())
            answer = line.recv(200).decode().strip()
        if answer != "OK":
            msg = f"the panel answers {answer!r} to {what!r}"
            raise RuntimeError(msg)


class _Stamped(Panel):
    """The panel, with a stamp on every fault, on the first answer that carries it, and on every move of the relay."""

    def __init__(self, warm: Callable[[float], None] | None = None, hold: float = HOLD) -> None:
        super().__init__(warm, hold)
        self._answered = True

    def tick(self, now: float) -> None:
        before = self.relay
        super().tick(now)
        if self.relay != before:
            starved = not self.relay and self._outputs[LIGHT].level
            say("on" if self.relay else "off", "watchdog: its supply was not fed" if starved else "")

    def levels(self, owner: object, now: float) -> dict[int, bool]:
        found = super().levels(owner, now)
        if not self._answered:
            self._answered = True
            say("answered")
        return found

    def hand(self, part: str, action: str) -> None:
        made = (part, action) in _MADE
        if made:
            # Stamped first: what the daemon is charged with can only be too long.
            say("fault")
        super().hand(part, action)
        self._answered = not made
        if not made:
            say("cleared")


def main(link: Path, thermal: Path) -> int:
    """Be the panel until the process is asked to end."""
    panel_server.Panel = _Stamped  # type: ignore[misc]  # what the server makes
    return panel_server.main(["--socket", str(link), "--thermal", str(thermal)])


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
