"""A microscope's sequence as a job of the service."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nixel.acquisition.instrument import Instrument
from nixel.acquisition.opened import Opening, open_devices
from nixel.acquisition.plan import Plan
from nixel.acquisition.sequences import SequenceError, sequence_of
from nixel.acquisition.sequences.gate import Gate, NoGate, safety_gate
from nixel.acquisition.sequences.run import run_sequence
from nixel.imaging.errors import UserError
from nixel.safety.client import SafetyClient

LIGHT = "light"  # the safety output that feeds a microscope's light


def checked(document: dict[str, Any], instrument: Instrument) -> tuple[dict[str, Any], Plan]:
    """A sequence as it is kept, and what it takes on an instrument.

    Raises
    ------
    UserError
        If it is no sequence, or the instrument cannot run it.
    """
    try:
        sequence = sequence_of(document, "the sequence")
        return sequence.document, sequence.plan(instrument)
    except SequenceError as error:
        raise UserError(str(error)) from error


def image(
    instrument: Instrument,
    document: dict[str, Any],
    *,
    path: Path,
    provenance: dict[str, Any],
    safety: SafetyClient,
    opening: Opening = open_devices,
    **edges: Any,  # noqa: ANN401 - progress, cancelled, paused: as `run_sequence` takes them
) -> None:
    """Run a sequence, its light fed by the safety daemon.

    Raises
    ------
    SequenceError, ScanAborted, DeviceError, RecordingError, OSError
        At `path` there may be what was taken until then, as an incomplete dataset.
    """
    sequence = sequence_of(document, "the sequence")
    sequence.plan(instrument)
    with opening(instrument) as devices, _gate(instrument, safety) as gate:
        run_sequence(sequence, devices, path=path, gate=gate, provenance=provenance, **edges)


@contextmanager
def _gate(instrument: Instrument, safety: SafetyClient) -> Iterator[Gate]:
    outputs = instrument.safety.get("outputs", {})
    if not outputs:
        # Nothing here is energised through the safety daemon.
        yield NoGate()
        return
    if LIGHT not in outputs:
        raise UserError(
            f"instrument {instrument.name}: expected a safety output {LIGHT!r} that feeds the light, found "
            f"{', '.join(outputs)}. Name it so in [safety.outputs]."
        )
    with safety_gate(safety, LIGHT, "sequence") as gate:
        yield gate
