"""The numbers that MDF calls by letters, from a file's own fields, and the shapes that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nixel.acquisition.formats.mdf_fields import DATA, FIELDS, Field

if TYPE_CHECKING:
    from nixel.acquisition.formats.mdf_contents import Contents

__all__ = ["Sizes", "data_axes", "sizes_of"]

_MEASUREMENT = "/measurement"


@dataclass(frozen=True)
class Sizes:
    """What the letters stand for.

    Parameters
    ----------
    numbers : dict of str to int
        As far as the file says them.
    sources : dict of str to str
        Where the file says it.
    """

    numbers: dict[str, int]
    sources: dict[str, str]

    def shape(self, field: Field, contents: Contents) -> tuple[str | int, ...]:
        """The dimensions of a field, in letters."""
        return data_axes(contents) if field.path == DATA else field.shape

    def expected(self, axes: tuple[str | int, ...]) -> tuple[int | None, ...]:
        """Dimensions as numbers; None where the file does not say one."""
        return tuple(axis if isinstance(axis, int) else self.numbers.get(axis) for axis in axes)

    def told(self, axes: tuple[str | int, ...]) -> str:
        """Dimensions for a person: letters, numbers, and where the numbers come from."""
        if not axes:
            return "a single value"
        letters = " x ".join(map(str, axes))
        numbers = " x ".join("?" if size is None else str(size) for size in self.expected(axes))
        known = {str(axis): self.sources[axis] for axis in axes if axis in self.sources}
        origin = "; ".join(f"{letter} is said by {source}" for letter, source in known.items())
        return f"dimensions {letters} = {numbers}" + (f" ({origin})" if origin else "")


def data_axes(contents: Contents) -> tuple[str, ...]:
    """Dimensions of measured data, in letters, as the flags say."""
    samples = "K" if contents.flag("isFourierTransformed") else "W"
    if contents.flag("isSparsityTransformed"):
        return ("J", "C", "K", "B+E")
    if contents.flag("isFastFrameAxis"):
        return ("J", "C", samples, "N")
    return ("N", "J", "C", samples)


def sizes_of(contents: Contents) -> Sizes:
    """Find what the letters stand for.

    Parameters
    ----------
    contents
        Of a file.

    Returns
    -------
    Sizes
    """
    found = _Found(contents)
    data = contents.shape(DATA)
    axes = data_axes(contents)
    of_data = dict(zip(axes, data, strict=True)) if data is not None and len(data) == len(axes) else {}
    found.say("N", "/acquisition/numFrames")
    found.dimension("N", f"{_MEASUREMENT}/isBackgroundFrame", 0, 1)
    found.say("J", "/acquisition/numPeriodsPerFrame")
    found.say("D", "/acquisition/drivefield/numChannels")
    found.say("C", "/acquisition/receiver/numChannels")
    found.say("V", "/acquisition/receiver/numSamplingPoints")
    found.dimension("F", "/acquisition/drivefield/divider", 1, 2)
    found.dimension("J", "/acquisition/drivefield/phase", 0, 3)
    found.dimension("J", "/acquisition/gradient", 0, 4)
    found.dimension("Y", "/acquisition/gradient", 1, 4)
    found.dimension("Y", "/acquisition/offsetField", 1, 3)
    for name in ("vendor", "name", "batch", "solute", "concentration", "volume"):
        found.dimension("A", f"/tracer/{name}", 0, 1)
    _frames(found)
    _samples(found, of_data)
    if contents.flag("isSparsityTransformed"):
        found.dimension("B", f"{_MEASUREMENT}/subsamplingIndices", 3, 4)
        if "B" in found.numbers and "E" in found.numbers:
            found.numbers["B+E"] = found.numbers["B"] + found.numbers["E"]
    for axis, letter in enumerate("QPS"):
        found.dimension(letter, "/reconstruction/data", axis, 3)
    return Sizes(found.numbers, found.sources)


class _Found:
    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.numbers: dict[str, int] = {}
        self.sources: dict[str, str] = {}

    def take(self, letter: str, number: int, source: str) -> None:
        """Keep the first that is said."""
        if letter not in self.numbers:
            self.numbers[letter], self.sources[letter] = number, source

    def say(self, letter: str, path: str) -> None:
        number = self.contents.number(path)
        if number is not None and number > 0:
            self.take(letter, number, path)

    def dimension(self, letter: str, path: str, axis: int, dimensions: int) -> None:
        shape = self.contents.shape(path)
        if shape is not None and len(shape) == dimensions:
            self.take(letter, shape[axis], path)


def _frames(found: _Found) -> None:
    """Foreground and background frames, by the mask."""
    path = f"{_MEASUREMENT}/isBackgroundFrame"
    node = found.contents.nodes.get(path)
    if node is None or node.value is None or node.value.dtype.kind not in "iufb" or node.value.ndim != 1:
        # Without measured data there is no mask; the calibration's positions are then all there is.
        if _MEASUREMENT not in found.contents.groups:
            found.dimension("O", "/calibration/offsetFields", 0, 2)
            found.dimension("O", "/calibration/positions", 0, 2)
        return
    empty = int((node.value != 0).sum())
    found.take("E", empty, path)
    found.take("O", node.value.size - empty, path)


def _samples(found: _Found, of_data: dict[str, int]) -> None:
    """W and K: as many as were sampled, unless the file says that some were left out."""
    contents, samples = found.contents, found.numbers.get("V")
    # Frequencies are those of the samples that were stored.
    lowered = samples if samples is None else min(samples, of_data.get("W", samples))
    whole = {"W": samples, "K": None if lowered is None else lowered // 2 + 1}
    if contents.flag("isFrequencySelection"):
        found.dimension("K", f"{_MEASUREMENT}/frequencySelection", 0, 1)
        if "W" in of_data:
            found.take("W", of_data["W"], DATA)
    for letter, most in whole.items():
        stored = of_data.get(letter)
        if most is None:
            if stored is not None:
                found.take(letter, stored, DATA)
        elif stored is not None and stored < most and letter not in found.numbers:
            # Left out by a reduction of the bandwidth, which has no flag; the checker speaks of it.
            found.take(letter, stored, DATA)
        else:
            found.take(letter, most, FIELDS["/acquisition/receiver/numSamplingPoints"].path)
