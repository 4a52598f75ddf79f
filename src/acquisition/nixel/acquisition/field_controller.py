"""Control of the drive field on a device: transmits, measures with the reference channels, and goes on from there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.devices import DeviceError
from nixel.acquisition.field_control import ControlFailure, ControlLimits, FieldControl, polar

if TYPE_CHECKING:
    from collections.abc import Callable

    from nixel.acquisition.adapters.scpi_daq import ScpiDaqAdapter
    from nixel.acquisition.scanner_tables import FieldControlSettings, Scanner

__all__ = ["FieldController"]


class FieldController:
    """Brings a DAQ's drive field to the scanner's amplitudes, again and again during a run.

    Parameters
    ----------
    daq : ScpiDaqAdapter
    scanner : Scanner
    settings : FieldControlSettings
    """

    def __init__(self, daq: ScpiDaqAdapter, scanner: Scanner, settings: FieldControlSettings) -> None:
        self._daq, self._periods = daq, settings.periods
        self.interval = round(settings.interval * scanner.base_frequency)
        """Samples after which the field is to be controlled again."""
        limits = ControlLimits(
            daq.voltage_limits, settings.voltage_step, scanner.limits.drive_field, settings.steps
        )
        self._control = FieldControl(
            np.array(scanner.drive_field),
            np.array(daq.field_per_volt),
            settings.tolerance_of(scanner.drive_field),
            limits,
        )

    def prepare(self) -> None:
        """Set what is to be transmitted first; the drive field is off.

        Raises
        ------
        DeviceError
            The device refuses it.
        """
        try:
            self._daq.transmit_volts(self._control.begin())
        except ControlFailure as failure:
            raise self._error(failure) from failure

    def control(self, check: Callable[[], None]) -> list[dict[str, Any]]:
        """Bring the field to its goal; it is on, with what `prepare` set.

        Parameters
        ----------
        check : callable
            Called before each step; what it raises ends the control.

        Returns
        -------
        list of dict
            What each step transmitted and saw, in plain numbers: ``sample``, ``volts`` and ``field`` (amplitude and
            phase of each channel at each frequency, in V, T and rad) and ``error`` in T.

        Raises
        ------
        DeviceError
            The field cannot be brought there. The transmission is off then.
        """
        history: list[dict[str, Any]] = []
        try:
            while True:
                check()
                field, overload = self._daq.field(self._periods)
                if overload:
                    raise ControlFailure(
                        "reference channels within the range of the converter",
                        "one at its end",
                        "Lower the gain of the reference channels, or look for what disturbs them.",
                    )
                wanted = self._control.next(field)
                step = self._control.steps[-1]
                history.append(
                    {
                        "sample": self._daq.write_pointer(),
                        "volts": polar(step.volts),
                        "field": polar(step.field),
                        "error": step.error,
                    }
                )
                if wanted is None:
                    return history
                self._daq.transmit_volts(wanted)
        except ControlFailure as failure:
            self._daq.transmit(False)
            raise self._error(failure) from failure
        except DeviceError:
            self._daq.transmit(False)
            raise

    def _error(self, failure: ControlFailure) -> DeviceError:
        return DeviceError(
            "controlling the drive field",
            where=self._daq.where,
            expected=failure.expected,
            found=failure.found,
            remedy=f"{failure.remedy} The transmission is off.",
        )
