"""What the worker process does with Micro-Manager's core, one call at a time; none waits for long."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from nixel.acquisition.adapters.micromanager.frames import Frames
from nixel.acquisition.workers.serve import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Operations"]


class Operations:
    """The methods of the worker process. What Micro-Manager refuses is refused in its own words."""

    _names = (
        "begin",
        "configure",
        "libraries",
        "offered",
        "devices",
        "load",
        "unload",
        "kind",
        "describe",
        "read",
        "write",
        "busy",
        "groups",
        "preset",
        "apply",
        "xy",
        "z",
        "move_xy",
        "move_z",
        "home",
        "halt",
        "is_open",
        "switch",
    )

    def __init__(self) -> None:
        self._core: Any = None
        self._kinds: dict[int, str] = {}

    def methods(self) -> Mapping[str, Callable[..., Any]]:
        """Return what can be called, by name."""
        own = {name: self._refusing(getattr(self, f"_{name}")) for name in self._names}
        for name in Frames.names:
            own[name] = self._refusing(self._of_frames(name))
        return own

    def end(self) -> None:
        """Bring the devices to rest: the configuration's shutdown preset, then each is unloaded."""
        if self._core is not None:
            self._core.reset()

    def _of_frames(self, name: str) -> Callable[..., Any]:
        return lambda *arguments: getattr(self._frames, name)(*arguments)

    def _refusing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:  # noqa: ANN401 (what messages carry)
            try:
                return method(*arguments)
            except Refusal:
                raise
            except Exception as error:
                # The core raises RuntimeError, IndexError, OSError and ValueError, each with what it has to say.
                raise Refusal(
                    "micro-manager", " ".join(str(error).split()) or type(error).__name__
                ) from error

        return call

    def _begin(self, folders: Sequence[str], buffer: int) -> str:
        import pymmcore

        core = pymmcore.CMMCore()
        core.setDeviceAdapterSearchPaths(list(folders))
        core.setCircularBufferMemoryFootprint(buffer >> 20)
        # What is on is what was switched on: no snapshot opens a shutter by itself.
        core.setAutoShutter(False)
        self._core, self._frames = core, Frames(core, pymmcore.Metadata)
        self._kinds = {
            pymmcore.CameraDevice: "camera",
            pymmcore.ShutterDevice: "shutter",
            pymmcore.StageDevice: "stage",
            pymmcore.XYStageDevice: "xy-stage",
            pymmcore.StateDevice: "state device",
            pymmcore.HubDevice: "hub",
            pymmcore.SerialDevice: "serial port",
        }
        return f"{core.getVersionInfo()}, {core.getAPIVersionInfo()}"

    def _configure(self, path: str) -> None:
        self._core.loadSystemConfiguration(path)
        self._core.setAutoShutter(False)

    def _libraries(self) -> list[str]:
        return sorted(self._core.getDeviceAdapterNames())

    def _offered(self, library: str) -> list[str]:
        return list(self._core.getAvailableDevices(library))

    def _devices(self) -> dict[str, list[str]]:
        """Each label with its kind, library and name."""
        return {
            label: [self._kind(label), self._core.getDeviceLibrary(label), self._core.getDeviceName(label)]
            for label in self._core.getLoadedDevices()
        }

    def _load(self, label: str, library: str, device: str, hub: str, settings: Mapping[str, str]) -> None:
        core = self._core
        core.loadDevice(label, library, device)
        try:
            if hub:
                core.setParentLabel(label, hub)
            known = set(core.getDevicePropertyNames(label))
            early = [name for name in settings if name in known and core.isPropertyPreInit(label, name)]
            for name in early:
                core.setProperty(label, name, settings[name])
            core.initializeDevice(label)
            # Others may exist only now.
            for name in settings:
                if name not in early:
                    self._write(label, name, settings[name])
        except BaseException:
            core.unloadDevice(label)
            raise

    def _unload(self, label: str) -> None:
        self._core.unloadDevice(label)

    def _kind(self, label: str) -> str:
        if label not in self._core.getLoadedDevices():
            known = ", ".join(self._core.getLoadedDevices())
            raise Refusal("label", f'No device with label "{label}" (there are {known})')
        return self._kinds.get(self._core.getDeviceType(label), "device")

    def _describe(self, label: str) -> list[dict[str, Any]]:
        return [self._described(label, name) for name in self._core.getDevicePropertyNames(label)]

    def _described(self, label: str, name: str) -> dict[str, Any]:
        core = self._core
        limits = None
        if core.hasPropertyLimits(label, name):
            limits = [core.getPropertyLowerLimit(label, name), core.getPropertyUpperLimit(label, name)]
        value = None
        with contextlib.suppress(RuntimeError):
            value = core.getProperty(label, name)
        return {
            "name": name,
            "type": {2: "number", 3: "integer"}.get(core.getPropertyType(label, name), "text"),
            "value": value,
            "read_only": core.isPropertyReadOnly(label, name) or core.isPropertyPreInit(label, name),
            "limits": limits,
            "choices": list(core.getAllowedPropertyValues(label, name)),
        }

    def _read(self, label: str, name: str) -> str:
        return str(self._core.getProperty(label, name))

    def _write(self, label: str, name: str, value: str) -> None:
        # Some adapters take what is not allowed without a word.
        choices = self._core.getAllowedPropertyValues(label, name)
        if choices and value not in choices:
            raise Refusal("value", f'property "{name}" is one of {", ".join(choices)}, not "{value}"')
        self._core.setProperty(label, name, value)

    def _busy(self, labels: Sequence[str]) -> list[str]:
        return [label for label in labels if self._core.deviceBusy(label)]

    def _groups(self) -> dict[str, list[str]]:
        return {
            group: list(self._core.getAvailableConfigs(group))
            for group in self._core.getAvailableConfigGroups()
        }

    def _preset(self, group: str) -> str:
        """The preset that the devices are in; empty if in none."""
        return str(self._core.getCurrentConfig(group))

    def _apply(self, group: str, preset: str) -> list[str]:
        """Set a preset, and return the labels of the devices that it sets."""
        data = self._core.getConfigData(group, preset)
        self._core.setConfig(group, preset)
        labels = [data.getSetting(number).getDeviceLabel() for number in range(data.size())]
        return list(dict.fromkeys(labels))

    def _xy(self, label: str) -> list[float]:
        return list(self._core.getXYPosition(label))

    def _z(self, label: str) -> list[float]:
        return [self._core.getPosition(label)]

    def _move_xy(self, label: str, x: float, y: float) -> None:
        self._core.setXYPosition(label, x, y)

    def _move_z(self, label: str, position: float) -> None:
        self._core.setPosition(label, position)

    def _home(self, label: str) -> None:
        self._core.home(label)

    def _halt(self, label: str) -> None:
        self._core.stop(label)

    def _is_open(self, label: str) -> bool:
        return bool(self._core.getShutterOpen(label))

    def _switch(self, label: str, on: bool) -> None:
        self._core.setShutterOpen(label, on)
