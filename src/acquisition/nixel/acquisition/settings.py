"""What the settings of every adapter have in common, and what an adapter sees of the instrument around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from nixel.acquisition.microscope_tables import Microscope
from nixel.acquisition.scanner_tables import Scanner
from nixel.acquisition.tables import Address, Row, Table

__all__ = ["Address", "DeviceSettings", "Identity", "InstrumentTables", "Row", "Table"]


class Identity(Table):
    """``[instrument]``: what the instrument is."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    kind: Literal["scanner", "microscope"]
    description: str
    simulated: bool


class DeviceSettings(Table):
    """``[devices.NAME]``. An adapter's own settings add ``adapter: Literal["its-name"]`` and its keys."""

    adapter: str

    addresses: ClassVar[tuple[str, ...]] = ()
    """Keys that say where the device is, not what it is: they may differ from run to run."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the devices that must be open before this one."""
        return ()

    def check(self, name: str, instrument: InstrumentTables) -> None:
        """Check what can only be seen beside the rest of the instrument.

        Parameters
        ----------
        name : str
            The device's own.
        instrument : InstrumentTables

        Raises
        ------
        ValueError
            As ``devices.NAME.KEY: found ...; expected ...``.
        """


class InstrumentTables(Table):
    """An instrument as its devices' adapters see it: `nixel.acquisition.instrument.Instrument`, which knows them all.

    Frozen: what differs at run time (addresses) makes a new one.
    """

    instrument: Identity
    devices: Mapping[str, DeviceSettings]
    scanner: Scanner | None = None
    microscope: Microscope | None = None
    safety: dict[str, Any] = Field(default_factory=dict)

    @property
    def name(self) -> str:
        """The instrument's name."""
        return self.instrument.name

    @property
    def simulated(self) -> bool:
        """Whether everything recorded with it is simulated."""
        return self.instrument.simulated
