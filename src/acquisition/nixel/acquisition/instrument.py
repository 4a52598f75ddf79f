"""Instruments as data: which devices there are, on which wires, and within which limits.

An instrument is one TOML file. It is validated as a whole on load; everything that is wrong with it is said
at once. The table ``[safety]`` is the safety daemon's own and passes through unread.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Union

from pydantic import Field, model_validator

from nixel.acquisition.adapters.registry import adapters
from nixel.acquisition.devices.order import opening_order
from nixel.acquisition.instrument_file import (
    InstrumentError,
    Problem,
    read_toml,
    shipped_instruments,
    validate,
)
from nixel.acquisition.microscope_tables import Microscope
from nixel.acquisition.scanner_tables import Scanner
from nixel.acquisition.settings import InstrumentTables

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nixel.acquisition.settings import DeviceSettings

__all__ = [
    "Instrument",
    "InstrumentError",
    "Microscope",
    "Scanner",
    "load_instrument",
    "shipped_instruments",
]


if TYPE_CHECKING:
    DeviceTable = DeviceSettings
else:
    # A union, so that a wrong key is told by the settings of the adapter that the table names.
    DeviceTable = Annotated[
        Union[tuple(adapter.settings for adapter in adapters().values())],  # noqa: UP007
        Field(discriminator="adapter"),
    ]


class Instrument(InstrumentTables):
    """A validated instrument. Frozen: what differs at run time (addresses) makes a new one."""

    # A device is named in commands ("daq.ready"), in addresses and in files.
    devices: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")], DeviceTable]

    @model_validator(mode="after")
    def _consistent(self) -> Instrument:
        kind = self.instrument.kind
        for table in ("scanner", "microscope"):
            present = getattr(self, table) is not None
            if present != (table == kind):
                fault = (
                    "found none; expected the table" if table == kind else "found one; expected no such table"
                )
                raise ValueError(f'{table}: {fault}, because instrument.kind is "{kind}"')
        for name, device in self.devices.items():
            if device.adapter.startswith("virtual-") and not self.instrument.simulated:
                raise ValueError(
                    f'devices.{name}.adapter: found "{device.adapter}"; expected a real device, '
                    "because instrument.simulated is false"
                )
            device.check(name, self)
            for needed in device.needs:
                if needed not in self.devices:
                    raise ValueError(
                        f'devices.{name}: found "{needed}" among what it needs; expected one of '
                        f"{', '.join(sorted(set(self.devices) - {name}))}"
                    )
        opening_order({name: device.needs for name, device in self.devices.items()})
        robot = self.scanner.robot if self.scanner else None
        if robot is not None and robot not in self.devices:
            raise ValueError(
                f"scanner.robot: found no device {robot!r}; expected one of {', '.join(sorted(self.devices))}"
            )
        if self.microscope is not None and self.microscope.focus is not None:
            self.microscope.focus.check(self.devices, self.microscope.distance_range)
        for name, channel in self.microscope.channels.items() if self.microscope else ():
            named = {"light": channel.light} if channel.light is not None else {}
            named |= {f"properties.{key}": key.partition(".")[0] for key in channel.properties}
            for key, device_name in named.items():
                if device_name not in self.devices:
                    raise ValueError(
                        f"microscope.channels.{name}.{key}: found no device {device_name!r}; expected one of "
                        f"{', '.join(sorted(self.devices))}"
                    )
        return self

    def with_endpoints(self, endpoints: Mapping[str, str]) -> Instrument:
        """Return the same instrument reached at other addresses.

        Parameters
        ----------
        endpoints : mapping of str to str
            ``"DEVICE.KEY"`` (``"daq.control"``) or ``"safety.surveillance.path"`` to the new address.

        Returns
        -------
        Instrument
            With the same fingerprint.

        Raises
        ------
        InstrumentError
            There is no such device or address, or the text is not an address.
        """
        tables = self.model_dump(mode="json", exclude_none=True)
        problems = []
        for key, address in endpoints.items():
            if key == "safety.surveillance.path":
                tables["safety"].setdefault("surveillance", {})["path"] = address
                continue
            known = [f"{name}.{field}" for name, device in self.devices.items() for field in device.addresses]
            name, _, field = key.partition(".")
            if key in known:
                tables["devices"][name][field] = address
            else:
                expected = ", ".join([*known, "safety.surveillance.path"])
                problems.append(Problem(key, "an unknown address", f"one of {expected}"))
        if problems:
            raise InstrumentError(f"instrument {self.name}", problems)
        return validate(Instrument, tables, f"instrument {self.name}")

    def fingerprint(self) -> str:
        """SHA-256 over everything that makes the instrument what it is.

        Addresses do not count: an address says where the instrument is, not what it is. Quantities count by
        value ("12 mT" and "0.012 T" are the same).

        Returns
        -------
        str
            64 hexadecimal digits.
        """
        tables = self.model_dump(mode="json", exclude_none=True)
        for name, device in self.devices.items():
            for field in device.addresses:
                del tables["devices"][name][field]
        for unit in (tables["safety"].get(name) for name in ("surveillance", "gpio")):
            if isinstance(unit, dict):
                unit.pop("path", None)
        text = json.dumps(tables, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def load_instrument(name_or_path: str | Path) -> Instrument:
    """Read and validate an instrument.

    Parameters
    ----------
    name_or_path : str or path
        The name of a shipped instrument (``"virtual-scanner"``) or the path of a TOML file.

    Returns
    -------
    Instrument

    Raises
    ------
    InstrumentError
        The file cannot be read or is not valid. The message names the file and, for everything that is wrong,
        the key, what was found and what was expected.
    """
    tables, source = read_toml(name_or_path)
    return validate(Instrument, tables, source)
