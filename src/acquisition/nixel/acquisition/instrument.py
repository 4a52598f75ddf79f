"""Instruments as data: which devices there are, on which wires, and within which limits.

An instrument is one TOML file. It is validated as a whole on load; everything that is wrong with it is said
at once. The table ``[safety]`` is the safety daemon's own and passes through unread.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from nixel.acquisition.instrument_file import (
    InstrumentError,
    Problem,
    read_toml,
    shipped_instruments,
    validate,
)
from nixel.acquisition.quantities import Hertz, Metre, Quantity, Second, Tesla

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "Instrument",
    "InstrumentError",
    "Microscope",
    "Scanner",
    "ScpiDaq",
    "ScpiRobot",
    "load_instrument",
    "shipped_instruments",
]


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError('expected HOST:PORT, such as "127.0.0.1:5025"')
    return text


Address = Annotated[str, AfterValidator(_address)]
TeslaPerMetre = Annotated[float, Quantity("T/m")]
# TOML has lists where the models have tuples; what they hold is validated as strictly as everything else.
_Row = Field(strict=False)
TeslaPerVolt = Annotated[float, Quantity("T/V")]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Identity(_Table):
    """``[instrument]``: what the instrument is."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    kind: Literal["scanner", "microscope"]
    description: str
    simulated: bool


class ScpiDaq(_Table):
    """A data-acquisition server: SCPI on a control connection, samples on a data connection."""

    adapter: Literal["scpi-daq"]
    control: Address
    data: Address
    timeout: Second = 2.0
    drive_field_per_volt: Annotated[tuple[TeslaPerVolt, ...], _Row]

    @model_validator(mode="after")
    def _positive(self) -> ScpiDaq:
        if not self.timeout > 0:
            raise ValueError('timeout: expected a time above zero, such as "2 s"')
        if not all(factor > 0 for factor in self.drive_field_per_volt):
            raise ValueError("drive_field_per_volt: expected values above zero")
        return self


class ScpiRobot(_Table):
    """A robot that moves the calibration sample, spoken to over its DAQ's control connection."""

    adapter: Literal["scpi-robot"]
    daq: str
    home: Annotated[tuple[Metre, Metre], _Row]
    travel: Annotated[tuple[Metre, Metre], _Row]

    @model_validator(mode="after")
    def _home_is_reachable(self) -> ScpiRobot:
        low, high = self.travel
        if not low < high:
            raise ValueError("travel: expected the lower end first")
        if not all(low <= axis <= high for axis in self.home):
            raise ValueError(f"home: expected a position within travel, {low:g} m to {high:g} m")
        return self


class VirtualCamera(_Table):
    """The virtual microscope's camera."""

    adapter: Literal["virtual-camera"]
    sensor: Literal["imx219"]
    exposure: Second
    gain: float = Field(ge=1.0)


class VirtualLight(_Table):
    """The virtual microscope's coherent source."""

    adapter: Literal["virtual-light"]


Device = Annotated[ScpiDaq | ScpiRobot | VirtualCamera | VirtualLight, Field(discriminator="adapter")]


class ScannerLimits(_Table):
    """``[scanner.limits]``: what no sequence may exceed."""

    drive_field: Tesla
    transmit_time: Second


class Scanner(_Table):
    """``[scanner]``: the fields and the receiver of an MPI scanner. Axes are x, y(, z)."""

    base_frequency: Hertz
    dividers: Annotated[tuple[int, ...], _Row]
    drive_field: Annotated[tuple[Tesla, ...], _Row]
    gradient: Annotated[tuple[TeslaPerMetre, TeslaPerMetre, TeslaPerMetre], _Row]
    receive_channels: int = Field(ge=1)
    samples_per_period: int = Field(ge=2)
    limits: ScannerLimits

    @model_validator(mode="after")
    def _consistent(self) -> Scanner:
        if not 1 <= len(self.dividers) <= 3 or min(self.dividers) < 2:
            raise ValueError(
                f"dividers: found {list(self.dividers)}; expected one to three integers of 2 or more"
            )
        if len(self.drive_field) != len(self.dividers):
            raise ValueError(
                f"drive_field: found {len(self.drive_field)} amplitudes; "
                f"expected one for each of the {len(self.dividers)} dividers"
            )
        for axis, amplitude in enumerate(self.drive_field):
            if not 0 < amplitude <= self.limits.drive_field:
                raise ValueError(
                    f"drive_field.{axis}: found {amplitude:g} T; expected more than zero and at most "
                    f"limits.drive_field, {self.limits.drive_field:g} T"
                )
        if not self.base_frequency > 0:
            raise ValueError(f'base_frequency: found {self.base_frequency:g} Hz; expected such as "2.5 MHz"')
        if self.samples_per_period != math.lcm(*self.dividers):
            raise ValueError(
                f"samples_per_period: found {self.samples_per_period}; expected {math.lcm(*self.dividers)}, "
                f"the least common multiple of the dividers {list(self.dividers)}"
            )
        if self.receive_channels > len(self.dividers):
            raise ValueError(
                f"receive_channels: found {self.receive_channels}; expected at most one for each of "
                f"{len(self.dividers)} axes"
            )
        if abs(sum(self.gradient)) > 1e-9 * max(map(abs, self.gradient)):
            raise ValueError(
                f"gradient: found {list(self.gradient)} T/m; expected components that sum to zero "
                "(a magnetic field has no divergence)"
            )
        if not self.limits.transmit_time > 0:
            raise ValueError('limits.transmit_time: expected a time above zero, such as "120 s"')
        return self


class MicroscopeLimits(_Table):
    """``[microscope.limits]``: what no sequence may exceed."""

    exposure: Second
    on_time: Second


class Microscope(_Table):
    """``[microscope]``: the optics of a lensless microscope."""

    wavelength: Metre
    medium_index: float = Field(ge=1.0, le=4.0)
    pixel_size: Metre
    shape: Annotated[tuple[int, int], _Row]
    distance_range: Annotated[tuple[Metre, Metre], _Row]
    limits: MicroscopeLimits

    @model_validator(mode="after")
    def _consistent(self) -> Microscope:
        if not (self.wavelength > 0 and self.pixel_size > 0):
            raise ValueError("wavelength, pixel_size: expected lengths above zero")
        if min(self.shape) < 1:
            raise ValueError(f"shape: found {list(self.shape)}; expected rows and columns above zero")
        if not 0 < self.distance_range[0] < self.distance_range[1]:
            raise ValueError("distance_range: expected two lengths above zero, the shorter first")
        return self


class Instrument(_Table):
    """A validated instrument. Frozen: what differs at run time (addresses) makes a new one."""

    instrument: Identity
    devices: dict[str, Device]
    scanner: Scanner | None = None
    microscope: Microscope | None = None
    safety: dict[str, Any] = Field(default_factory=dict)

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
            if isinstance(device, ScpiRobot) and not isinstance(self.devices.get(device.daq), ScpiDaq):
                known = ", ".join(n for n, d in self.devices.items() if isinstance(d, ScpiDaq)) or "none"
                raise ValueError(
                    f'devices.{name}.daq: found "{device.daq}"; expected a scpi-daq device ({known})'
                )
            if isinstance(device, ScpiDaq) and self.scanner is not None:
                channels = len(self.scanner.dividers)
                if len(device.drive_field_per_volt) != channels:
                    raise ValueError(
                        f"devices.{name}.drive_field_per_volt: found {len(device.drive_field_per_volt)}; "
                        f"expected one for each of the {channels} drive-field channels"
                    )
        return self

    @property
    def name(self) -> str:
        """The instrument's name."""
        return self.instrument.name

    @property
    def simulated(self) -> bool:
        """Whether everything recorded with it is simulated."""
        return self.instrument.simulated

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
            known = [
                f"{name}.{field}" for name, device in self.devices.items() for field in _addresses(device)
            ]
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
            for field in _addresses(device):
                del tables["devices"][name][field]
        for unit in (tables["safety"].get(name) for name in ("surveillance", "gpio")):
            if isinstance(unit, dict):
                unit.pop("path", None)
        text = json.dumps(tables, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _addresses(device: Device) -> tuple[str, ...]:
    return ("control", "data") if isinstance(device, ScpiDaq) else ()


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
