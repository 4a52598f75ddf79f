"""A sequence file, loaded: the microscope's or the scanner's, each with its plan."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nixel.acquisition.instrument_file import InstrumentError, Problem, validate
from nixel.acquisition.protocol import CalibrationProtocol, ProtocolError, ScanProtocol
from nixel.acquisition.sequences.files import SequenceError, parse_tables, read_tables

if TYPE_CHECKING:
    import useq

    from nixel.acquisition.instrument import Instrument
    from nixel.acquisition.plan import Plan

__all__ = ["MicroscopeSequence", "ScannerSequence", "load_sequence", "parse_sequence", "sequence_of"]

_PROTOCOLS: dict[str, type[ScanProtocol] | type[CalibrationProtocol]] = {
    "scan": ScanProtocol,
    "calibration": CalibrationProtocol,
}


@dataclass(frozen=True)
class ScannerSequence:
    """A scan or a calibration.

    Parameters
    ----------
    source : str
        The file.
    kind : str
        ``"scan"`` or ``"calibration"``.
    protocol : ScanProtocol or CalibrationProtocol
    given : mapping
        The protocol's keys as the file has them: what it leaves out is chosen by who runs it.
    """

    source: str
    kind: str
    protocol: ScanProtocol | CalibrationProtocol
    given: dict[str, Any] = field(default_factory=dict)

    instrument_kind = "scanner"

    @property
    def request(self) -> dict[str, Any]:
        """What a service is asked to run: its kind and its protocol."""
        return {"kind": self.kind, "protocol": self.given}

    def plan(self, instrument: Instrument) -> Plan:
        """Work out what a run takes.

        Raises
        ------
        SequenceError
            The instrument cannot run it.
        """
        try:
            return self.protocol.plan(instrument)
        except ProtocolError as error:
            raise SequenceError(self.source, [Problem("protocol", "", str(error))]) from error


@dataclass(frozen=True)
class MicroscopeSequence:
    """A `useq.MDASequence`.

    Parameters
    ----------
    source : str
        The file.
    sequence : useq.MDASequence
    """

    source: str
    sequence: useq.MDASequence

    instrument_kind = "microscope"

    @property
    def request(self) -> dict[str, Any]:
        """What a service is asked to run: its kind and its protocol."""
        return {"kind": "sequence", "protocol": self.document}

    @property
    def document(self) -> dict[str, Any]:
        """The sequence as JSON, which `sequence_of` reads again."""
        document: dict[str, Any] = json.loads(self.sequence.model_dump_json(exclude_unset=True))
        return document

    def plan(self, instrument: Instrument) -> Plan:
        """Work out what a run takes.

        Raises
        ------
        SequenceError
            The instrument cannot run it; everything that stands in the way is told.
        """
        from nixel.acquisition.sequences.preview import preview
        from nixel.acquisition.sequences.steps import steps

        return preview(self.source, steps(self.source, self.sequence, instrument), instrument)


def load_sequence(path: str | os.PathLike[str]) -> MicroscopeSequence | ScannerSequence:
    """Read and validate a sequence file.

    Parameters
    ----------
    path
        JSON, YAML or TOML. With a key ``kind`` (``scan`` or ``calibration``) it is a scanner's protocol, without one a
        microscope's `useq.MDASequence`.

    Returns
    -------
    MicroscopeSequence or ScannerSequence

    Raises
    ------
    SequenceError
        It cannot be read or is not valid. The message names the file and, for everything that is wrong, the key, what
        was found and what was expected.
    """
    return _loaded(read_tables(path), os.fspath(path))


def parse_sequence(text: str, name: str) -> MicroscopeSequence | ScannerSequence:
    """Validate the text of a sequence file that somebody else has read.

    Parameters
    ----------
    text : str
    name : str
        The file's, whose ending says the language; for errors too.

    Raises
    ------
    SequenceError
        As `load_sequence`.
    """
    return _loaded(parse_tables(text.encode(), name), name)


def _loaded(tables: dict[str, Any], source: str) -> MicroscopeSequence | ScannerSequence:
    return _scanner(tables, source) if "kind" in tables else sequence_of(tables, source)


def sequence_of(tables: dict[str, Any], source: str) -> MicroscopeSequence:
    """Validate a microscope's sequence that is read already.

    Parameters
    ----------
    tables : dict
    source : str
        Where they come from, for errors.

    Raises
    ------
    SequenceError
        They are no sequence.
    """
    from nixel.acquisition.sequences.microscope_file import validated

    sequence, problems = validated(tables)
    if sequence is None:
        raise SequenceError(source, problems)
    return MicroscopeSequence(source, sequence)


def _scanner(tables: dict[str, Any], source: str) -> ScannerSequence:
    given = {key: value for key, value in tables.items() if key != "kind"}
    kind = tables["kind"]
    if not isinstance(kind, str) or kind not in _PROTOCOLS:
        expected = f"{' or '.join(_PROTOCOLS)} (a microscope's sequence has no such key)"
        raise SequenceError(source, [Problem("kind", repr(kind), expected)])
    try:
        protocol = validate(_PROTOCOLS[kind], given, source)
    except InstrumentError as error:
        raise SequenceError(source, error.problems) from error
    return ScannerSequence(source, kind, protocol, given)
