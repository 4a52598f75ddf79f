"""Sequences: what a run does, as a file that can be looked at before anything moves.

A microscope's sequence is a `useq.MDASequence` in JSON or YAML; a scanner's is one of nixel's protocols in JSON, YAML
or TOML with its ``kind``. Both are loaded by `load_sequence`, and both can say what they would take (`plan`).
"""

from nixel.acquisition.sequences.files import SequenceError
from nixel.acquisition.sequences.load import (
    MicroscopeSequence,
    ScannerSequence,
    load_sequence,
    parse_sequence,
    sequence_of,
)

__all__ = [
    "MicroscopeSequence",
    "ScannerSequence",
    "SequenceError",
    "load_sequence",
    "parse_sequence",
    "sequence_of",
]
