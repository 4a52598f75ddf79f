"""Micro-Manager's core as a device: a worker process that its devices share, with its presets as properties."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import platform
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.acquisition.adapters.adapter import Adapter, Surroundings
from nixel.acquisition.adapters.micromanager.settings import SIMULATED_LIBRARIES, MicroManager
from nixel.acquisition.adapters.micromanager.table import add_described, unique
from nixel.acquisition.devices import DeviceError, Property, PropertyTable, Value
from nixel.acquisition.workers.worker import Worker, WorkerRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ADAPTER", "MicroManagerCore"]

_MODULE = "nixel.acquisition.adapters.micromanager.worker"
_LOADING = 60.0  # s for a configuration: devices are searched for on their wires
_BUSY = 30.0  # s for the devices of a preset
_POLL = (0.001, 0.02)  # s, the shortest and the longest
_LABEL = "Core"


class MicroManagerCore:
    """A core in a worker process of its own; closing and opening it starts another.

    Parameters
    ----------
    settings : MicroManager
    name : str
    simulated : bool
        Whether devices that simulate are allowed.
    """

    def __init__(self, settings: MicroManager, name: str, simulated: bool) -> None:
        self._settings, self._simulated = settings, simulated
        self.name = name
        self.where = f"{name} (Micro-Manager in {', '.join(settings.adapters)})"
        # The times that the core writes to its frames are local ones.
        self._worker = Worker(_MODULE, where=self.where, environment={"TZ": "UTC"})
        self._lock = threading.Lock()
        self._table = PropertyTable(self.where)
        self._tabled = -1
        self._version = ""
        self.starts = 0
        """How often a worker was started: what was open in an earlier one is not open any more."""
        self.revision = 0
        """Grows with everything that is written, because it may change what else can be."""

    @property
    def pid(self) -> int | None:
        """Of the worker process; None when there is none."""
        return self._worker.pid

    def open(self) -> None:
        """Start the worker, and load the configuration file if there is one.

        Raises
        ------
        DeviceError
            pymmcore is not here, or the core refuses the configuration.
        """
        if importlib.util.find_spec("pymmcore") is None:
            raise DeviceError(
                "opening",
                where=self.where,
                expected="the Python package pymmcore",
                found=f"none on this {platform.machine()} machine",
                remedy="With Nix take nixel.override { microManager = true; }; elsewhere install "
                "nixel-acquisition[micro-manager], whose wheels are for x86_64 only.",
            )
        self._worker.start()
        self.starts += 1
        try:
            folders = [str(Path(folder).expanduser()) for folder in self._settings.adapters]
            self._version = self.call("starting", "begin", folders, int(self._settings.buffer))
            self._expect_libraries(folders)
            if self._settings.configuration is not None:
                path = self._configuration_file(folders)
                self.call(
                    f"loading {path}",
                    "configure",
                    path,
                    timeout=_LOADING,
                    expected="a configuration whose devices all answer",
                    remedy="Switch the devices on, or correct that line of the file.",
                )
            self._check_devices()
        except BaseException:
            with contextlib.suppress(DeviceError):
                self._worker.stop(self._settings.timeout)
            raise
        self.changed()

    def close(self) -> None:
        """Bring all its devices to rest and end the worker.

        Raises
        ------
        DeviceError
            The worker did not end well; there is none any more.
        """
        self._worker.stop(self._settings.timeout)

    @property
    def properties(self) -> tuple[Property, ...]:
        """The core's own, and ``preset_GROUP`` for each group of its configuration."""
        return self._current().properties

    def get(self, name: str) -> Value:
        """Read a property."""
        return self._current().get(name)

    def set(self, name: str, value: Value) -> None:
        """Write a property; a preset's devices are at rest when this returns."""
        self._current().set(name, value)

    def call(
        self,
        what: str,
        method: str,
        *arguments: Any,  # noqa: ANN401 (what messages carry)
        timeout: float | None = None,
        where: str | None = None,
        expected: str = "Micro-Manager to do it",
        remedy: str = "Micro-Manager said so itself; nothing else was done.",
    ) -> Any:  # noqa: ANN401 (what messages carry)
        """Call an operation of the worker.

        Parameters
        ----------
        what : str
            For the error: what is being done.
        method : str
            One of `nixel.acquisition.adapters.micromanager.operations`.
        *arguments
        timeout : float, optional
            In s; the settings' if left out. A worker that has not answered by then is killed.
        where, expected, remedy : str, optional
            For the error.

        Raises
        ------
        DeviceError
            Micro-Manager refuses, in its own words, or the worker is not there, died or hangs.
        """
        try:
            limit = self._settings.timeout if timeout is None else timeout
            return self._worker.call(method, *arguments, timeout=limit)
        except WorkerRefused as refusal:
            place = where or self.where
            raise DeviceError(
                what, where=place, expected=expected, found=refusal.message, remedy=remedy
            ) from refusal
        except DeviceError as error:
            # The process is one, but the reader asked something of one device.
            raise DeviceError(
                what,
                where=where or self.where,
                expected=error.expected,
                found=error.found,
                remedy=error.remedy,
            ) from error

    def wait(self, what: str, labels: Sequence[str], timeout: float, where: str | None = None) -> None:
        """Wait until devices are at rest; others may be spoken to meanwhile.

        Raises
        ------
        DeviceError
            One is still busy after so many seconds.
        """
        deadline = time.monotonic() + timeout
        shortest, pause = _POLL[0], _POLL[0]
        while busy := self.call(what, "busy", list(labels), where=where):
            if time.monotonic() > deadline:
                raise DeviceError(
                    what,
                    where=where or self.where,
                    expected=f"it done within {timeout:g} s",
                    found=f"{', '.join(busy)} busy",
                    remedy="Look whether it is blocked, or give it a longer timeout.",
                )
            time.sleep(pause)
            shortest, pause = pause, min(shortest + pause, _POLL[1])

    def changed(self) -> None:
        """Note that what properties there are, and within which limits, may be other than before."""
        with self._lock:
            self.revision += 1

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the configuration's groups with their presets; its channels are the presets of one of them."""
        groups = self.call("reading its groups", "groups")
        return {group: tuple(presets) for group, presets in groups.items()}

    def apply(self, group: str, preset: str) -> None:
        """Set the devices of a preset, and wait until they are at rest.

        Raises
        ------
        DeviceError
            There is no such group or preset, or a device refuses or stays busy.
        """
        what = f"setting {group} to {preset}"
        try:
            labels = self.call(what, "apply", group, preset, expected="a preset of the configuration")
        finally:
            self.changed()
        self.wait(what, labels, _BUSY)

    def _current(self) -> PropertyTable:
        with self._lock:
            if self.pid is not None and self._tabled != self.revision:
                self._table, self._tabled = self._describe(), self.revision
            return self._table

    def _describe(self) -> PropertyTable:
        table = PropertyTable(self.where)
        version = Property(
            "version", "text", "", "of the core and of the adapters that fit it", read_only=True
        )
        table.add(version, lambda: self._version)
        for group, presets in self.groups().items():
            prop = Property(
                unique(f"preset_{group}", table),
                "text",
                "",
                f'Micro-Manager\'s preset of the group "{group}"; empty when the devices are in none',
                choices=tuple(presets),
            )
            table.add(
                prop,
                functools.partial(self.call, f"reading {prop.name}", "preset", group),
                functools.partial(self.apply, group),
            )
        add_described(table, self.call("reading its properties", "describe", _LABEL), self._read, self._write)
        return table

    def _read(self, name: str) -> str:
        return str(self.call(f"reading {name}", "read", _LABEL, name))

    def _write(self, name: str, text: str) -> None:
        try:
            self.call(f"setting {name}", "write", _LABEL, name, text)
        finally:
            self.changed()

    def _expect_libraries(self, folders: Sequence[str]) -> None:
        if not self.call("looking for adapters", "libraries"):
            raise DeviceError(
                "looking for adapters",
                where=self.where,
                expected="files libmmgr_dal_*.so.0 in its folders",
                found="none in " + ", ".join(folders),
                remedy="Set adapters to the folder where Micro-Manager's device adapters are.",
            )

    def _configuration_file(self, folders: Sequence[str]) -> str:
        wanted = Path(str(self._settings.configuration)).expanduser()
        places = [wanted] if wanted.is_absolute() else [Path(folder) / wanted for folder in folders]
        for place in places:
            if place.is_file():
                return str(place)
        raise DeviceError(
            "loading the configuration",
            where=self.where,
            expected="a Micro-Manager configuration file",
            found="none at " + ", ".join(map(str, places)),
            remedy="Give its absolute path, or a name in one of the folders of adapters.",
        )

    def _check_devices(self) -> None:
        loaded = self.call("reading its devices", "devices")
        # What is no configuration at all is read without a word.
        if self._settings.configuration is not None and set(loaded) <= {_LABEL}:
            raise DeviceError(
                "loading the configuration",
                where=self.where,
                expected="lines that name devices",
                found=f"none in {self._settings.configuration}",
                remedy="Name a configuration file that Micro-Manager has saved.",
            )
        simulated = [label for label, (_, library, _) in loaded.items() if library in SIMULATED_LIBRARIES]
        if simulated and not self._simulated:
            raise DeviceError(
                "opening",
                where=self.where,
                expected="real devices, because instrument.simulated is false",
                found=f"some that simulate: {', '.join(simulated)}",
                remedy="Choose another configuration, or set instrument.simulated to true.",
            )


def _make(name: str, settings: MicroManager, around: Surroundings) -> MicroManagerCore:
    return MicroManagerCore(settings, name, around.instrument.simulated)


ADAPTER = Adapter(MicroManager, _make)
