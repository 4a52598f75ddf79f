"""What the values of an MDF file must be, beyond their types and shapes."""

from __future__ import annotations

import math
import re
from datetime import datetime
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.mdf_contents import DAMAGE
from nixel.acquisition.formats.mdf_fields import DATA, FIELDS, TIME_FORMAT, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nixel.acquisition.formats.mdf_contents import Contents, Node
    from nixel.acquisition.formats.mdf_report import Report
    from nixel.acquisition.formats.mdf_sizes import Sizes

__all__ = ["TRANSFORMATIONS", "VERSION", "check_values"]

TRANSFORMATIONS = ("DCT-I", "DCT-II", "DCT-III", "DCT-IV")
VERSION = re.compile(r"\d{1,4}(\.\d{1,4}){1,2}", re.ASCII)
_ORDERS = tuple("".join(order) for order in permutations("xyz"))
_WAVEFORMS = ("sine", "triangle", "custom")
# The specification shows milliseconds; the reference implementation leaves out those that are 0, and reads up to three
# digits.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_BLOCK = 2**22  # values looked at in one go

_DRIVE, _RECEIVER, _MEASUREMENT = "/acquisition/drivefield", "/acquisition/receiver", "/measurement"
# The least that each may be; above 0 where it is None.
_LEAST = {
    "/acquisition/numAverages": 1,
    "/acquisition/numFrames": 1,
    "/acquisition/numPeriodsPerFrame": 1,
    f"{_DRIVE}/numChannels": 1,
    f"{_DRIVE}/divider": 1,
    f"{_DRIVE}/baseFrequency": None,
    f"{_DRIVE}/cycle": None,
    f"{_RECEIVER}/numChannels": 1,
    f"{_RECEIVER}/numSamplingPoints": 1,
    f"{_RECEIVER}/bandwidth": None,
    "/scanner/boreSize": None,
    "/calibration/size": 1,
    "/calibration/deltaSampleSize": 0,
    "/calibration/fieldOfView": 0,
    "/reconstruction/size": 1,
    "/reconstruction/fieldOfView": 0,
}


def check_values(contents: Contents, sizes: Sizes, report: Report) -> None:
    """Check the values of a file.

    Parameters
    ----------
    contents
    sizes
    report
        Findings are added to it.
    """
    checks = _Checks(contents, sizes, report)
    checks.texts()
    checks.numbers()
    checks.drive_field()
    checks.receiver()
    if _MEASUREMENT in contents.groups:
        checks.measurement()
        checks.selections()
        if contents.flag("isSparsityTransformed"):
            checks.sparsity()
    checks.grid("/calibration", "O")
    checks.grid("/reconstruction", "P")


class _Checks:
    def __init__(self, contents: Contents, sizes: Sizes, report: Report) -> None:
        self.contents, self.sizes, self.report = contents, sizes, report

    def _values(self, path: str, *families: str) -> NDArray[Any] | None:
        """A field's values, if they were read and are of the right family; otherwise that has been said already."""
        node = self.contents.nodes.get(path)
        return None if node is None or node.type.family not in families else node.value

    def texts(self) -> None:
        """Texts are Unicode; versions, times and UUIDs are written as they must be."""
        known = {
            Kind.VERSION: (
                _is_version,
                "a version, as 2.1.0",
                "Write the version of MDF that the file follows.",
            ),
            Kind.TIME: (
                _is_time,
                f"a time as {TIME_FORMAT}",
                "Write it in UTC, without a zone and with at most three digits after the second.",
            ),
            Kind.UUID: (
                _is_uuid,
                "a UUID: 32 hexadecimal digits as 8-4-4-4-12",
                "Make one (version 4 is recommended).",
            ),
        }
        for field in FIELDS.values():
            values = self._values(field.path, "text")
            if values is None:
                continue
            for text in map(str, values.ravel()):
                if not _is_unicode(text):
                    self.report.error(field.path, "text in UTF-8", _shown(text), "Write it in UTF-8.")
                elif field.kind in known and not known[field.kind][0](text):
                    _, expected, remedy = known[field.kind]
                    self.report.error(field.path, expected, _shown(text), remedy)
                else:
                    continue
                break  # one of a kind is enough

    def numbers(self) -> None:
        """Flags are 0 or 1; counts and lengths are not below what they can be."""
        for field in FIELDS.values():
            if field.kind is Kind.FLAG:
                values = self._values(field.path, "integer")
                if values is not None and not np.isin(values, (0, 1)).all():
                    found = str(values[~np.isin(values, (0, 1))].ravel()[0])
                    self.report.error(field.path, "0 or 1", found, "Write 1 for yes and 0 for no.")
        for path, least in _LEAST.items():
            values = self._values(path, "integer", "real")
            if values is None or not values.size:
                continue
            if not np.isfinite(values).all() or (
                values.min() <= 0 if least is None else values.min() < least
            ):
                expected = "more than 0" if least is None else f"{least} or more"
                self.report.error(path, expected, _some(values), "Write the true value.")
        for name in ("gradient", "offsetField", "drivefield/strength"):
            values = self._values(f"/acquisition/{name}", "real")
            if values is not None and not np.isfinite(values).all():
                self.report.error(
                    f"/acquisition/{name}", "finite numbers", _some(values), "Write the true value."
                )

    def drive_field(self) -> None:
        """Cycle, phases and waveforms."""
        divider = self._values(f"{_DRIVE}/divider", "integer")
        base = self._one(f"{_DRIVE}/baseFrequency", "real")
        cycle = self._one(f"{_DRIVE}/cycle", "real")
        if divider is not None and divider.size and divider.min() > 0 and base and cycle:
            # Python's integers: the multiple of many dividers may be larger than any of NumPy's.
            multiple = math.lcm(*map(int, divider.ravel()[:100]))
            wanted = multiple / base if multiple < 2**1000 else math.inf
            if not math.isclose(cycle, wanted, rel_tol=1e-6):
                expected = f"lcm(divider) / baseFrequency = {multiple} / {base:g} Hz = {wanted:.9g} s"
                remedy = "Correct cycle, divider or baseFrequency, whichever is wrong."
                self.report.error(f"{_DRIVE}/cycle", expected, f"{cycle:.9g} s", remedy)
        phase = self._values(f"{_DRIVE}/phase", "real")
        if phase is not None and phase.size and not ((phase >= -math.pi) & (phase < math.pi)).all():
            remedy = "Add or subtract whole turns."
            self.report.error(f"{_DRIVE}/phase", "radians in [-pi, pi)", _some(phase), remedy)
        waveform = self._values(f"{_DRIVE}/waveform", "text")
        if waveform is not None:
            other = [text for text in map(str, waveform.ravel()) if text not in _WAVEFORMS]
            if other:
                remedy = "Write custom where it is neither of the others."
                self.report.error(f"{_DRIVE}/waveform", ", ".join(_WAVEFORMS), _shown(other[0]), remedy)

    def _one(self, path: str, *families: str) -> float | None:
        values = self._values(path, *families)
        if values is None or values.size != 1 or not np.isfinite(values).all():
            return None
        return float(values.ravel()[0])

    def receiver(self) -> None:
        """The samples of a period fit the bandwidth, half of the sampling rate."""
        samples = self._one(f"{_RECEIVER}/numSamplingPoints", "integer")
        bandwidth, cycle = self._one(f"{_RECEIVER}/bandwidth", "real"), self._one(f"{_DRIVE}/cycle", "real")
        if not samples or not bandwidth or not cycle or samples < 1:
            return
        if not math.isclose(samples, 2 * bandwidth * cycle, rel_tol=1e-3):
            expected = f"2 * bandwidth * cycle = {2 * bandwidth * cycle:.6g} samples a period"
            remedy = "See that the bandwidth is half of the sampling rate after decimation."
            self.report.warn(f"{_RECEIVER}/numSamplingPoints", expected, f"{samples:.0f}", remedy)

    def measurement(self) -> None:
        """Data as complex as its flags say, and as long."""
        data, fourier = self.contents.nodes.get(DATA), self.contents.flag("isFourierTransformed")
        if data is not None and data.type.family in ("integer", "real", "complex"):
            is_complex = data.type.family == "complex"
            if fourier != is_complex:
                expected = "complex numbers" if fourier else "real numbers"
                because = f", because isFourierTransformed is {int(fourier)}"
                self.report.error(DATA, expected + because, data.type.name, "Correct the flag, or the data.")
        selected = self.contents.flag("isFrequencySelection")
        sampled, letter = self.sizes.numbers.get("V"), "K" if fourier else "W"
        stored = self.sizes.numbers.get(letter)
        if sampled is not None and stored is not None and not selected and data is not None:
            whole = sampled // 2 + 1 if fourier else sampled
            if stored < whole:
                expected = f"{letter} = {whole}, as many as {sampled} samples a period give"
                remedy = f"It is taken for a reduced bandwidth: the first {stored} of them, if they are frequencies."
                self.report.warn(DATA, expected, str(stored), remedy)
        for flag, name in (
            ("isFramePermutation", "framePermutation"),
            ("isFrequencySelection", "frequencySelection"),
        ):
            if f"{_MEASUREMENT}/{name}" in self.contents.nodes and not self.contents.flag(flag):
                remedy = f"It is not used. Set {flag} to 1, or leave it out."
                self.report.warn(
                    f"{_MEASUREMENT}/{name}", f"no such field, because {flag} is 0", "one", remedy
                )

    def selections(self) -> None:
        """Permutations and selections count from 1 and name nothing twice."""
        order = self._values(f"{_MEASUREMENT}/framePermutation", "integer")
        frames = self.sizes.numbers.get("N")
        if not self.contents.flag("isFramePermutation") or order is None or order.shape != (frames,):
            order = None
        if order is not None and not np.array_equal(np.sort(order), np.arange(1, order.size + 1)):
            expected = f"each of 1 to {frames} once"
            remedy = "Count from 1, and name each frame's place in time once."
            self.report.error(f"{_MEASUREMENT}/framePermutation", expected, _some(order), remedy)
        chosen = self._values(f"{_MEASUREMENT}/frequencySelection", "integer")
        sampled = self.sizes.numbers.get("V")
        if chosen is None or not chosen.size or not self.contents.flag("isFrequencySelection"):
            return
        most = None if sampled is None else sampled // 2 + 1
        if (
            chosen.min() < 1
            or (most is not None and chosen.max() > most)
            or len(np.unique(chosen)) < chosen.size
        ):
            expected = f"different numbers from 1 to {'K' if most is None else most}"
            remedy = "Count from 1: the constant part is number 1."
            self.report.error(f"{_MEASUREMENT}/frequencySelection", expected, _some(chosen), remedy)

    def sparsity(self) -> None:
        """What the specification asks of compressed frames."""
        flag = f"{_MEASUREMENT}/isSparsityTransformed"
        for other in ("isFastFrameAxis", "isFourierTransformed"):
            if not self.contents.flag(other):
                remedy = "Compress spectra with the frames last, and set both flags."
                self.report.error(flag, f"1 only where {other} is 1", f"{other} is 0", remedy)
        name = self._values(f"{_MEASUREMENT}/sparsityTransformation", "text")
        if name is not None and name.size == 1 and str(name.ravel()[0]) not in TRANSFORMATIONS:
            remedy = "Others are not standardised."
            expected, found = " or ".join(TRANSFORMATIONS), _shown(str(name.ravel()[0]))
            self.report.error(f"{_MEASUREMENT}/sparsityTransformation", expected, found, remedy)
        empty = self._values(f"{_MEASUREMENT}/isBackgroundFrame", "integer")
        if empty is not None and empty.ndim == 1 and (np.diff(empty.astype(int)) < 0).any():
            remedy = "Put the background frames last."
            self.report.error(
                f"{_MEASUREMENT}/isBackgroundFrame",
                "foreground frames, then background",
                "another order",
                remedy,
            )
        if "/calibration/size" not in self.contents.nodes:
            remedy = "Write it; the transformation has as many dimensions as the grid."
            self.report.error("/calibration/size", "the grid that was compressed", "no such field", remedy)
        try:
            self._kept()
        except DAMAGE as error:  # what was too large to be read at once is read here
            path = f"{_MEASUREMENT}/subsamplingIndices"
            self.report.error(path, "a dataset that can be read", f"damage ({error})", "Take a whole copy.")

    def _kept(self) -> None:
        """Indices of the coefficients that were kept: from 1 to O, none twice for a frequency."""
        path, voxels = f"{_MEASUREMENT}/subsamplingIndices", self.sizes.numbers.get("O")
        node = self.contents.nodes.get(path)
        if node is None or node.type.family != "integer" or len(node.shape) != 4 or 0 in node.shape:
            return
        if voxels is not None and node.shape[3] > voxels:
            self.report.error(
                path, f"B of at most O = {voxels}", str(node.shape[3]), "Keep no more than there are."
            )
            return
        for block in [node.value] if node.value is not None else _blocks(node):
            bad = block.min() < 1 or (voxels is not None and block.max() > voxels)
            if bad or (np.diff(np.sort(block, axis=-1), axis=-1) == 0).any():
                expected = (
                    f"different numbers from 1 to {'O' if voxels is None else voxels} for each frequency"
                )
                self.report.error(
                    path, expected, _some(block), "Count from 1, and keep no coefficient twice."
                )
                return

    def grid(self, group: str, letter: str) -> None:
        """A grid has as many voxels as there are frames or values, in an order that there is."""
        order = self._values(f"{group}/order", "text")
        if order is not None and order.size == 1 and str(order.ravel()[0]) not in _ORDERS:
            remedy = "Write the axes, the fastest first."
            self.report.error(f"{group}/order", ", ".join(_ORDERS), _shown(str(order.ravel()[0])), remedy)
        size, voxels = self._values(f"{group}/size", "integer"), self.sizes.numbers.get(letter)
        if size is None or size.shape != (3,) or voxels is None:
            return
        product = math.prod(int(count) for count in size)
        if product != voxels:
            source = self.sizes.sources.get(letter, "the file")
            expected = f"three numbers whose product is {letter} = {voxels} ({letter} is said by {source})"
            found = f"{' x '.join(map(str, size))} = {product}"
            remedy = "Correct the size, or the frames that count as foreground."
            if self.contents.flag("isSparsityTransformed") and self.sizes.numbers.get("B") == voxels:
                remedy = "Count the frames as before the compression: numFrames = O + E, and as many flags."
            self.report.error(f"{group}/size", expected, found, remedy)


def _blocks(node: Node) -> Iterator[NDArray[Any]]:
    """Values of four dimensions, a part of them at a time."""
    periods, channels, frequencies, kept = node.shape
    step = max(1, _BLOCK // kept)
    for period in range(periods):
        for channel in range(channels):
            for start in range(0, frequencies, step):
                yield np.asarray(node.array[period, channel, start : start + step])


def _is_version(text: str) -> bool:
    return VERSION.fullmatch(text) is not None


def _is_time(text: str) -> bool:
    if _TIME.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _shown(text: str) -> str:
    safe = text.encode("ascii", "backslashreplace").decode()
    return repr(safe if len(safe) <= 80 else safe[:77] + "...")


def _some(values: NDArray[Any]) -> str:
    flat = values.ravel()
    shown = ", ".join(f"{value:g}" for value in flat[:6].tolist())
    return shown if flat.size <= 6 else f"{shown}, ... (smallest {flat.min():g}, largest {flat.max():g})"
