"""What the reconstruction of a hologram gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nixel.reconstruction.holography import AutofocusResult, BrightestPoint


@dataclass(frozen=True)
class HologramResult:
    """A reconstructed hologram.

    Attributes
    ----------
    field
        Complex field at the sample, (y, x), in units of the illuminating wave.
    phase
        (y, x), rad; unwrapped if that was asked for.
    pixel_size
        Of the field, in the sample, metres.
    distance
        Metres.
    focus
        How the distance was found; None if it was given.
    brightest
        The brightest point of the back-propagated contrast.
    record
        What `write_result` puts into record.json, without the hashes of the other files.
    """

    field: NDArray[np.complexfloating[Any, Any]]
    phase: NDArray[np.floating[Any]]
    pixel_size: float
    distance: float
    focus: AutofocusResult | None
    brightest: BrightestPoint
    record: dict[str, Any]
