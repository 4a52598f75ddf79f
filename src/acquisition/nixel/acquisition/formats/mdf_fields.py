"""The fields of MDF 2.1.0, as data: what each is called, holds, measures and depends on.

Reader, writer and checker go by this one table. Letters are the numbers of the specification (Knopp et al.,
arXiv:1602.06072, section 1.5):

====  =========================================  ====  ==============================================
A     tracers                                    N     frames, O + E
J     periods a frame                            O, E  foreground and background frames
Y     partitions of a period                     B     coefficients kept by a sparsity transformation
C     receive channels                           V, W  samples a period, as sampled and as stored
D     drive-field channels                       K     frequencies stored; V / 2 + 1 when none was left out
F     frequencies of a drive-field channel       Q     frames of a reconstruction
P     voxels of a reconstruction                 S     channels of a reconstruction
====  =========================================  ====  ==============================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "DATA",
    "FIELDS",
    "GROUPS",
    "OF_THE_REFERENCE",
    "TIME_FORMAT",
    "Field",
    "Kind",
    "encode",
    "is_user_defined",
]

TIME_FORMAT = "yyyy-mm-ddThh:mm:ss.ms"
DATA = "/measurement/data"
# A flag holds 0 or 1; a number is what measured data may be.
_NUMBERS = "float32, float64, int8, int16, int32, int64, or a compound {r, i} of two of one of these"


class Kind(StrEnum):
    """How a field is stored, and how its content is written."""

    TEXT = "text"
    TIME = "text, a time"
    UUID = "text, a UUID"
    VERSION = "text, a version"
    INT64 = "int64"
    INTEGER = "int8, int16, int32 or int64"
    FLOAT64 = "float64"
    FLAG = "int8"
    NUMBER = _NUMBERS
    COMPLEX128 = "compound {r, i} of two float64"

    @property
    def is_text(self) -> bool:
        """Whether it is stored as a string."""
        return self in (Kind.TEXT, Kind.TIME, Kind.UUID, Kind.VERSION)


@dataclass(frozen=True)
class Field:
    """One field.

    Parameters
    ----------
    path : str
        In the file.
    kind : Kind
    shape : tuple of str or int
        Letters of the specification, and numbers; empty for a single value. That of measured data depends on flags.
    unit : str
        SI, but for fields, which are in T/mu0; empty where it has none.
    needed : bool or str
        Whether the file must have it where it has the group, or the flag that says so.
    assumed : object
        What stands in where a file lacks it; None where nothing can.
    """

    path: str
    kind: Kind
    shape: tuple[str | int, ...] = ()
    unit: str = ""
    needed: bool | str = True
    assumed: Any = None

    @property
    def group(self) -> str:
        """The path of the group that it stands in."""
        return self.path.rpartition("/")[0] or "/"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


# Whether a file must have them.
GROUPS = {
    "/": True,
    "/study": True,
    "/experiment": True,
    "/tracer": False,
    "/scanner": True,
    "/acquisition": True,
    "/acquisition/drivefield": True,
    "/acquisition/receiver": True,
    "/measurement": False,
    "/calibration": False,
    "/reconstruction": False,
}

# Fields and groups that the reference implementation writes or reads though the specification has none of that name.
OF_THE_REFERENCE = (
    "/custom",
    "/acquisition/numPeriods",
    "/acquisition/drivefield/customWaveform",
    "/acquisition/drivefield/period",
    "/acquisition/receiver/transferFunctionFileName",
    "/calibration/isMeanderingGrid",
    "/measurement/isTransposed",
    "/measurement/isFramePermution",
)

_NA = "n.a."
_TIME, _FLOAT, _INT, _TEXT = Kind.TIME, Kind.FLOAT64, Kind.INT64, Kind.TEXT


def _fields() -> tuple[Field, ...]:
    drive, receiver = "/acquisition/drivefield", "/acquisition/receiver"
    fields = [
        Field("/time", _TIME),
        Field("/uuid", Kind.UUID),
        Field("/version", Kind.VERSION),
        Field("/study/description", _TEXT, assumed=_NA),
        Field("/study/name", _TEXT, assumed=_NA),
        Field("/study/number", _INT, assumed=0),
        Field("/study/time", _TIME, needed=False),
        Field("/study/uuid", Kind.UUID),
        Field("/experiment/description", _TEXT, assumed=_NA),
        Field("/experiment/isSimulation", Kind.FLAG),
        Field("/experiment/name", _TEXT, assumed=_NA),
        Field("/experiment/number", _INT, assumed=0),
        Field("/experiment/subject", _TEXT, assumed=_NA),
        Field("/experiment/uuid", Kind.UUID),
        Field("/tracer/batch", _TEXT, ("A",), assumed=_NA),
        Field("/tracer/concentration", _FLOAT, ("A",), "mol(solute)/l", assumed=np.nan),
        Field("/tracer/injectionTime", _TIME, ("A",), needed=False),
        Field("/tracer/name", _TEXT, ("A",), assumed=_NA),
        Field("/tracer/solute", _TEXT, ("A",), assumed="Fe"),
        Field("/tracer/vendor", _TEXT, ("A",), assumed=_NA),
        Field("/tracer/volume", _FLOAT, ("A",), "l", assumed=np.nan),
        Field("/scanner/boreSize", _FLOAT, unit="m", needed=False),
        Field("/scanner/facility", _TEXT, assumed=_NA),
        Field("/scanner/manufacturer", _TEXT, assumed=_NA),
        Field("/scanner/name", _TEXT, assumed=_NA),
        Field("/scanner/operator", _TEXT, assumed=_NA),
        Field("/scanner/topology", _TEXT, assumed=_NA),
        Field("/acquisition/gradient", _FLOAT, ("J", "Y", 3, 3), "T/m/mu0", False, (1.0, 1.0, -2.0)),
        Field("/acquisition/numAverages", _INT, assumed=1),
        Field("/acquisition/numFrames", _INT),
        Field("/acquisition/numPeriodsPerFrame", _INT),
        Field("/acquisition/offsetField", _FLOAT, ("J", "Y", 3), "T/mu0", False),
        Field("/acquisition/startTime", _TIME),
        Field(f"{drive}/baseFrequency", _FLOAT, unit="Hz"),
        Field(f"{drive}/cycle", _FLOAT, unit="s"),
        Field(f"{drive}/divider", _INT, ("D", "F")),
        Field(f"{drive}/numChannels", _INT),
        Field(f"{drive}/phase", _FLOAT, ("J", "D", "F"), "rad"),
        Field(f"{drive}/strength", _FLOAT, ("J", "D", "F"), "T/mu0"),
        Field(f"{drive}/waveform", _TEXT, ("D", "F")),
        Field(f"{receiver}/bandwidth", _FLOAT, unit="Hz"),
        Field(f"{receiver}/dataConversionFactor", _FLOAT, ("C", 2), "the unit of the receiver", False),
        Field(f"{receiver}/inductionFactor", _FLOAT, ("C",), "the unit of the receiver, per A m^2", False),
        Field(f"{receiver}/numChannels", _INT),
        Field(f"{receiver}/numSamplingPoints", _INT),
        Field(f"{receiver}/transferFunction", Kind.COMPLEX128, ("C", "K"), needed=False),
        Field(f"{receiver}/unit", _TEXT, assumed="V"),
        # Its shape depends on the flags: nixel.acquisition.formats.mdf_sizes.
        Field(DATA, Kind.NUMBER),
        Field("/measurement/framePermutation", _INT, ("N",), needed="isFramePermutation"),
        Field("/measurement/frequencySelection", _INT, ("K",), needed="isFrequencySelection"),
        Field("/measurement/isBackgroundFrame", Kind.FLAG, ("N",)),
        Field("/measurement/sparsityTransformation", _TEXT, needed="isSparsityTransformed"),
        Field(
            "/measurement/subsamplingIndices",
            Kind.INTEGER,
            ("J", "C", "K", "B"),
            needed="isSparsityTransformed",
        ),
        Field("/calibration/deltaSampleSize", _FLOAT, (3,), "m", False),
        Field("/calibration/method", _TEXT),
        Field("/calibration/offsetFields", _FLOAT, ("O", 3), "T/mu0", False),
        Field("/calibration/snr", _FLOAT, ("J", "C", "K"), needed=False),
        Field("/reconstruction/data", Kind.NUMBER, ("Q", "P", "S")),
        Field("/reconstruction/isOverscanRegion", Kind.FLAG, ("P",), needed=False),
    ]
    flags = (
        *("BackgroundCorrected", "FastFrameAxis", "FourierTransformed", "FramePermutation"),
        *(
            "FrequencySelection",
            "SparsityTransformed",
            "SpectralLeakageCorrected",
            "TransferFunctionCorrected",
        ),
    )
    fields += [Field(f"/measurement/is{flag}", Kind.FLAG, assumed=0) for flag in flags]
    for group, voxels in (("/calibration", "O"), ("/reconstruction", "P")):
        fields += [
            Field(f"{group}/fieldOfView", _FLOAT, (3,), "m", False),
            Field(f"{group}/fieldOfViewCenter", _FLOAT, (3,), "m", False, (0.0, 0.0, 0.0)),
            Field(f"{group}/order", _TEXT, needed=False, assumed="xyz"),
            Field(f"{group}/positions", _FLOAT, (voxels, 3), "m", False),
            Field(f"{group}/size", _INT, (3,), needed=False),
        ]
    return tuple(sorted(fields, key=lambda field: field.path))


FIELDS = {field.path: field for field in _fields()}


def is_user_defined(path: str) -> bool:
    """Whether a path leads to what the specification leaves to its users: a part of it begins with an underscore."""
    return any(part.startswith("_") for part in path.split("/"))


_TYPES = {
    Kind.INT64: np.int64,
    Kind.INTEGER: np.int64,
    Kind.FLOAT64: np.float64,
    Kind.FLAG: np.int8,
    Kind.COMPLEX128: np.complex128,
}


def encode(field: Field, value: Any) -> str | NDArray[Any]:  # noqa: ANN401 (whatever the field holds)
    """Give a value the type that the field has in a file.

    Parameters
    ----------
    field
    value
        A number, a text, or an array or nested list of them.

    Returns
    -------
    str or array

    Raises
    ------
    ValueError
        The type cannot hold it.
    """
    if field.kind.is_text:
        return value if isinstance(value, str) else np.array(value, dtype=object)
    wanted = _TYPES.get(field.kind)
    if wanted is None:
        return np.asarray(value)
    array = np.asarray(value)
    if field.kind is Kind.INTEGER and array.dtype in (np.int8, np.int16, np.int32, np.int64):
        return array
    try:
        result = array.astype(wanted, casting="unsafe" if array.dtype.kind in "iub" else "same_kind")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{field.path}: expected {field.kind}, found what cannot be made that ({error})"
        ) from error
    if array.dtype.kind in "iu" and not np.array_equal(result, array):
        raise ValueError(f"{field.path}: expected {field.kind}, found numbers that it cannot hold")
    return result
