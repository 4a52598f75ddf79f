"""A simulated instrument and its safety daemon, in processes of their own, wired as the real ones would be."""

import json
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from nixel.acquisition.instrument import Instrument, load_instrument
from nixel.acquisition.instrument_file import path_of, read_toml
from nixel.imaging.errors import UserError
from nixel.imaging.processes import Child
from nixel.safety.client import SafetyClient

_PATIENCE = 20.0
_SERIAL = {"grbl-stage": "grbl", "line-sensor": "environment", "scpi-supply": "supply"}


class VirtualBench:
    """Starts them on entering, ends them in reverse on leaving.

    Parameters
    ----------
    name : str
        Of a shipped simulated instrument, or a file that describes one.
    watchdog : str, optional
        How long after it was last fed a scanner's surveillance unit switches off, such as "500 ms"; otherwise as
        long as the virtual unit takes by itself.

    Attributes
    ----------
    instrument : nixel.acquisition.instrument.Instrument
        With the addresses at which this bench is reached.
    file : Path
        Where it is described.
    safety : SafetyClient
    safety_socket : Path
    panel : Path
        The socket of a microscope's panel; a scanner has none.
    microscope : Path
        The socket of its camera and light.
    runtime : Path
        A folder that is gone afterwards.
    """

    def __init__(self, name: str, watchdog: str | None = None) -> None:
        self._name, self._watchdog = name, watchdog
        self.file = path_of(name)
        self._stack = ExitStack()
        self.children: list[Child] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # Short, because a Unix socket's path may have about 100 characters.
            self.runtime = Path(tempfile.mkdtemp(prefix="nixel-"))
            stack.callback(shutil.rmtree, self.runtime, ignore_errors=True)
            self.safety_socket = self.runtime / "safety.sock"
            self.endpoints: dict[str, str] = {}
            shipped = load_instrument(self._name)
            wires = self._panel(stack) if shipped.scanner is None else self._scanner(stack)
            self._serial(stack, shipped)
            self.instrument = shipped.with_endpoints(self.endpoints)
            daemon = Child(
                "safety daemon",
                "nixel.safety.daemon",
                [
                    *("--instrument", str(self.file), "--socket", str(self.safety_socket)),
                    *("--operator-group", "", *wires),
                ],
                log=self.runtime / "safety.log",
            )
            self.add(stack.enter_context(daemon))
            daemon.first_line()
            self.safety = SafetyClient(self.safety_socket)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _scanner(self, stack: ExitStack) -> list[str]:
        surveillance = self.runtime / "surveillance"
        scanner = Child(
            "virtual scanner",
            "nixel.acquisition.virtual.scanner",
            [
                *("--instrument", self._name, "--control", "127.0.0.1:0", "--data", "127.0.0.1:0"),
                *("--surveillance-link", str(surveillance)),
                *(["--watchdog", self._watchdog] if self._watchdog else []),
            ],
            log=self.runtime / "scanner.log",
        )
        self.add(stack.enter_context(scanner))
        wires = json.loads(scanner.first_line())
        self.endpoints = {"daq.control": wires["control"], "daq.data": wires["data"]}
        return ["--surveillance", str(surveillance)]

    def _panel(self, stack: ExitStack) -> list[str]:
        self.panel, thermal = self.runtime / "panel", self.runtime / "thermal"
        # The relay holds for as long as the safety daemon is told that it does.
        safety = read_toml(self.file)[0].get("safety", {})
        hold = safety.get("gpio", {}).get("hold")  # what is missing there is for the safety daemon to tell
        panel = Child(
            "virtual panel",
            "nixel.acquisition.virtual.panel_server",
            ["--socket", str(self.panel), "--thermal", str(thermal), *(["--hold", hold] if hold else [])],
            log=self.runtime / "panel.log",
        )
        self.add(stack.enter_context(panel))
        panel.first_line()
        self.microscope = self.runtime / "microscope"
        microscope = Child(
            "virtual microscope",
            "nixel.acquisition.virtual.microscope",
            ["--instrument", self._name, "--socket", str(self.microscope), "--panel", str(self.panel)],
            log=self.runtime / "microscope.log",
        )
        self.add(stack.enter_context(microscope))
        microscope.first_line()
        self.endpoints = {"camera.path": str(self.microscope), "light.path": str(self.microscope)}
        return ["--panel", str(self.panel), "--thermal", str(thermal)]

    def _serial(self, stack: ExitStack, shipped: Instrument) -> None:
        """Start what simulates the serial devices of an instrument."""
        focus = shipped.microscope.focus if shipped.microscope else None
        for name, device in shipped.devices.items():
            if device.adapter not in _SERIAL:
                continue
            link = self.runtime / name
            carried = focus is not None and focus.stage == name
            also = ["--microscope", str(self.microscope), "--instrument", self._name] if carried else []
            child = Child(
                f"virtual {name}",
                f"nixel.acquisition.virtual.{_SERIAL[device.adapter]}",
                ["--link", str(link), *also],
                log=self.runtime / f"{name}.log",
            )
            self.add(stack.enter_context(child))
            child.first_line()
            self.endpoints[f"{name}.path"] = str(link)

    def add(self, child: Child) -> None:
        """Watch over one more process."""
        self.children.append(child)

    def arm(self) -> None:
        """Reset and arm the safety daemon, which comes up latched: what an operator does.

        Raises
        ------
        SafetyRefused
            If the interlocks do not become healthy.
        """
        self.safety.wait_until_healthy(_PATIENCE)
        self.safety.reset()
        self.safety.arm()

    def wait(self) -> None:
        """Return only when a part of the system has ended, with an error that says which.

        Raises
        ------
        UserError
        """
        while True:
            for child in self.children:
                if child.process.poll() is not None:
                    raise UserError(
                        f"the {child.name} has ended ({child.process.returncode}). {child.words()}"
                    )
            time.sleep(0.2)
