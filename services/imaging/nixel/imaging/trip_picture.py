"""A picture of a black box recording: what was read, on and decided around a trip, over the time to it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from nixel.safety.records.recording import Recording

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 1500, 210, 300, 104, 50
_PANEL, _BAND, _GAP = 210, 24, 26
_FINE = 2  # drawn so much larger and reduced, for smooth lines
_LABEL, _APART = 15, 19  # the font's size, and how far apart labels must stand

_PAPER, _INK, _FAINT, _GRID = (255, 255, 255), (30, 34, 40), (112, 118, 126), (228, 231, 235)
_WARN, _TRIP = (214, 140, 0), (200, 30, 40)
_LINES = ((0, 90, 181), (0, 140, 110), (150, 60, 170), (200, 95, 20), (70, 70, 70), (0, 150, 190))
_ON = (58, 120, 200)
_STATES = {
    "SAFE": (190, 198, 206),
    "ARMED": (240, 200, 90),
    "ENERGISED": (90, 150, 220),
    "FAULT": (214, 80, 84),
}

_Colour = tuple[int, int, int]


@dataclass(slots=True)
class _Panel:
    """Curves of one unit on one axis; `levels` are the warning and trip levels, `whose` the interlocks' names."""

    unit: str
    curves: list[tuple[str, NDArray[Any]]] = field(default_factory=list)
    levels: list[tuple[float, _Colour, str]] = field(default_factory=list)
    whose: list[str] = field(default_factory=list)


def draw_trip(recording: Recording, seconds: float | None = None) -> NDArray[np.uint8]:
    """Draw a recording: states, outputs, contacts, and a panel for each unit, over the time to the trip.

    Parameters
    ----------
    recording
        From the safety daemon's black box.
    seconds
        How much before the trip; all of it if `None`.

    Returns
    -------
    ndarray, uint8, (rows, columns, 3)
        RGB.

    Raises
    ------
    ValueError
        If the recording has no tick in that time.
    """
    times = np.asarray(recording.columns["t"], float)
    chosen = np.full(times.shape, True) if seconds is None else times >= -seconds
    if not chosen.any():
        msg = "the recording has no tick in that time"
        raise ValueError(msg)
    columns = {name: np.asarray(values, float)[chosen] for name, values in recording.columns.items()}
    return _Drawing(recording, columns).draw()


def _panels(recording: Recording, columns: dict[str, NDArray[Any]]) -> tuple[list[_Panel], list[str]]:
    """Sort the sources into panels by unit, and contacts; a source of no interlock is a contact or a number."""
    panels: dict[str, _Panel] = {}
    contacts: list[str] = []
    drawn: set[str] = set()

    def panel(unit: str) -> _Panel:
        return panels.setdefault(unit, _Panel(unit))

    for guard in recording.header.interlocks:
        sources, unit = [str(source) for source in guard["sources"]], str(guard.get("unit") or "")
        if guard["kind"] == "limit":
            where = panel(unit)
            factor, power = float(guard.get("factor", 1.0)), int(guard.get("power", 1))
            values = columns[sources[0]]
            if guard.get("magnitude"):
                values = np.abs(values)
            where.curves.append((f"{guard['name']}", factor * values**power))
            for key, colour in (("warn", _WARN), ("trip", _TRIP)):
                if guard.get(key) is not None:
                    where.levels.append((float(guard[key]), colour, f"{key} {float(guard[key]):g}"))
                    where.whose.append(str(guard["name"]))
            drawn.update(sources)
    for guard in recording.header.interlocks:
        sources, unit = [str(source) for source in guard["sources"]], str(guard.get("unit") or "")
        for source in sources:
            if source in drawn:
                continue
            drawn.add(source)
            if unit:
                # A rate of kelvins is read off a scale in degrees Celsius, if there is one.
                where = panel("degC" if unit == "K" and "degC" in panels else unit)
                where.curves.append((f"{guard['name']} ({source})", columns[source]))
            elif _is_contact(columns[source]):
                contacts.append(source)
            else:
                panel("count").curves.append((f"{guard['name']} ({source})", columns[source]))
    contacts += [source for source in recording.header.sources if source not in drawn]
    return list(panels.values()), contacts


def _is_contact(values: NDArray[Any]) -> bool:
    return bool(np.isin(values[np.isfinite(values)], (0.0, 1.0)).all())


class _Drawing:
    """The picture while it is drawn; places are in its own pixels, whatever it is drawn at."""

    def __init__(self, recording: Recording, columns: dict[str, NDArray[Any]]) -> None:
        self.recording = recording
        self.columns = columns
        self.times = columns["t"]
        self.panels, self.contacts = _panels(recording, columns)
        self.begin = float(min(self.times[0], 0.0))
        self.end = float(max(self.times[-1], self.begin + 1e-3, 0.0))
        bands = 1 + len(recording.header.outputs) + len(self.contacts)
        self.height = _TOP + bands * (_BAND + 8) + _GAP + len(self.panels) * (_PANEL + _GAP) + _BOTTOM
        self.image = Image.new("RGB", (_WIDTH * _FINE, self.height * _FINE), _PAPER)
        self.pen = ImageDraw.Draw(self.image)

    def draw(self) -> NDArray[np.uint8]:
        top = self._bands(_TOP)
        bottom = top
        for panel in self.panels:
            self._panel(panel, top)
            bottom = top + _PANEL
            top = bottom + _GAP
        self._time_axis(bottom)
        self._title()
        small = self.image.resize((_WIDTH, self.height), Image.Resampling.LANCZOS)
        return np.asarray(small)

    # --- what everything is drawn with ---

    def x(self, t: float) -> float:
        return _LEFT + (t - self.begin) / (self.end - self.begin) * (_WIDTH - _LEFT - _RIGHT)

    def line(self, points: Sequence[tuple[float, float]], colour: _Colour, width: float = 1.6) -> None:
        scaled = [(x * _FINE, y * _FINE) for x, y in points]
        self.pen.line(scaled, fill=colour, width=max(1, round(width * _FINE)), joint="curve")

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: _Colour) -> None:
        # What lasts for a tick must be seen too.
        self.pen.rectangle((x0 * _FINE, y0 * _FINE, max(x1, x0 + 1) * _FINE, y1 * _FINE), fill=colour)

    def text(
        self, x: float, y: float, text: str, colour: _Colour = _INK, anchor: str = "lm", size: int = _LABEL
    ) -> None:
        font = ImageFont.load_default(size * _FINE)
        self.pen.text((x * _FINE, y * _FINE), text, fill=colour, font=font, anchor=anchor)

    def trip_line(self, top: float, bottom: float) -> None:
        self.line([(self.x(0.0), top), (self.x(0.0), bottom)], _TRIP, 1.2)

    # --- the parts ---

    def _title(self) -> None:
        header = self.recording.header
        simulated = "  (simulated)" if header.simulated else ""
        what = header.message if header.cause in header.message else f"{header.cause}: {header.message}"
        self.text(24, 30, _short(what, 130), size=22)
        about = f"{header.instrument}{simulated}    trip at {header.trip}    {header.before} to FAULT"
        self.text(24, 60, about, _FAINT)
        self.text(self.x(0.0), _TOP - 14, f"trip: {_short(header.cause, 40)}", _TRIP, anchor="mm")

    def _bands(self, top: float) -> float:
        header, columns = self.recording.header, self.columns
        first = top
        names = dict(enumerate(header.states))
        self.text(_LEFT - 12, top + _BAND / 2, "state", anchor="rm")
        for value, t0, t1 in self._runs(columns["state"]):
            name = names.get(int(value), "?") if value == value else "?"
            self.box(self.x(t0), top, self.x(t1), top + _BAND, _STATES.get(name, _GRID))
            if self.x(t1) - self.x(t0) > 9 * len(name) + 12:
                self.text((self.x(t0) + self.x(t1)) / 2, top + _BAND / 2 + 1, name, anchor="mm")
        top += _BAND + 8
        for output in header.outputs:
            self.text(_LEFT - 12, top + _BAND / 2, output, anchor="rm")
            self.line([(self.x(self.begin), top + _BAND), (self.x(self.end), top + _BAND)], _GRID)
            for value, t0, t1 in self._runs(columns[f"out:{output}"]):
                if value == 1.0:
                    self.box(self.x(t0), top, self.x(t1), top + _BAND, _ON)
                    if self.x(t1) - self.x(t0) > 40:
                        middle = (self.x(t0) + self.x(t1)) / 2
                        self.text(middle, top + _BAND / 2 + 1, "on", _PAPER, anchor="mm")
            top += _BAND + 8
        for source in self.contacts:
            self.text(_LEFT - 12, top + _BAND / 2, _short(self._meaning(source), 24), anchor="rm")
            self._steps(columns[source], top)
            top += _BAND + 8
        self.trip_line(first - 4, top - 4)
        return top + _GAP - 8

    def _meaning(self, source: str) -> str:
        """Name a contact by the interlock that looks at it, or by what it reports."""
        for guard in self.recording.header.interlocks:
            if source in guard["sources"]:
                several = len(guard["sources"]) > 1
                return f"{guard['name']} {source}" if several else str(guard["name"])
        return source

    def _steps(self, values: NDArray[Any], top: float) -> None:
        high, low = top + 3, top + _BAND - 3
        for value, t0, t1 in self._runs(values):
            if value != value:
                self.box(self.x(t0), top, self.x(t1), top + _BAND, _GRID)
            else:
                level = high if value else low
                self.line([(self.x(t0), level), (self.x(t1), level)], _INK)
        known = np.isfinite(values)
        changes = np.flatnonzero(known[1:] & known[:-1] & (values[1:] != values[:-1])) + 1
        for index in changes:
            x = self.x(float(self.times[index]))
            self.line([(x, high), (x, low)], _INK)
        last = values[-1]
        if last == last:
            self.text(_WIDTH - _RIGHT + 10, top + _BAND / 2, f"{last:g}", _FAINT)

    def _runs(self, values: NDArray[Any]) -> Iterator[tuple[float, float, float]]:
        """Give each stretch of one value, with when it began and when the next one did."""
        same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
        edges = [0, *(np.flatnonzero(~same) + 1), len(values)]
        for first, last in itertools.pairwise(edges):
            end = self.times[last] if last < len(values) else self.end
            yield float(values[first]), float(self.times[first]), float(end)

    def _panel(self, panel: _Panel, top: float) -> None:
        levels = [level for level, _, _ in panel.levels]
        known = [values[np.isfinite(values)] for _, values in panel.curves]
        every = np.concatenate([*known, np.asarray(levels, float)])
        low, high = (float(every.min()), float(every.max())) if every.size else (0.0, 1.0)
        pad = 0.08 * (high - low) or max(abs(high) * 0.05, 0.5)
        low, high = low - pad, high + pad

        def y(value: float) -> float:
            return top + (high - value) / (high - low) * _PANEL

        left, right = self.x(self.begin), self.x(self.end)
        for tick in _ticks(low, high, 5):
            self.line([(left, y(tick)), (right, y(tick))], _GRID, 1.0)
            self.text(_LEFT - 12, y(tick), f"{tick:.6g}", _FAINT, anchor="rm")
        self.text(24, top + _PANEL / 2, panel.unit, anchor="lm", size=18)
        labels = []
        for (level, colour, what), name in zip(panel.levels, panel.whose, strict=True):
            self._dashes(y(level), colour)
            said = what if len(set(panel.whose)) == 1 else f"{what} {name}"
            labels.append((y(level), _short(said, 36), colour))
        for index, (name, values) in enumerate(panel.curves):
            colour = _LINES[index % len(_LINES)]
            self._curve(values, y, colour)
            last = values[np.isfinite(values)]
            labels.append((y(float(last[-1])) if last.size else top + _PANEL / 2, _short(name, 36), colour))
            if name == self.recording.header.cause:
                self._ring(values, y)
        for place, text, colour in _apart(labels, top, top + _PANEL):
            self.text(right + 10, place, text, colour)
        self.line([(left, top), (left, top + _PANEL), (right, top + _PANEL)], _FAINT, 1.0)
        self.trip_line(top, top + _PANEL)

    def _curve(self, values: NDArray[Any], y: Any, colour: _Colour) -> None:  # noqa: ANN401  a function
        """Draw a curve that breaks where nothing was read, at most one point a fine pixel and its extremes."""
        points: list[tuple[float, float]] = []
        for t, value in zip(self.times, values, strict=True):
            if math.isfinite(value):
                points.append((self.x(float(t)), y(float(value))))
                continue
            self._stroke(points, colour)
            points = []
        self._stroke(points, colour)

    def _ring(self, values: NDArray[Any], y: Any) -> None:  # noqa: ANN401  a function
        """Mark what was read in the tick of the trip, or last before it."""
        known = np.flatnonzero(np.isfinite(values) & (self.times <= 0.0))
        if known.size:
            x, place = self.x(float(self.times[known[-1]])), y(float(values[known[-1]]))
            around = [each * _FINE for each in (x - 7, place - 7, x + 7, place + 7)]
            self.pen.ellipse(around, outline=_TRIP, width=2 * _FINE)

    def _stroke(self, points: list[tuple[float, float]], colour: _Colour) -> None:
        if len(points) == 1:
            x, y = points[0]
            self.box(x - 1, y - 1, x + 1, y + 1, colour)
        elif points:
            self.line(points, colour, 2.0)

    def _dashes(self, y: float, colour: _Colour) -> None:
        x, right = self.x(self.begin), self.x(self.end)
        while x < right:
            self.line([(x, y), (min(x + 9, right), y)], colour, 1.4)
            x += 15

    def _time_axis(self, bottom: float) -> None:
        for tick in _ticks(self.begin, self.end, 10):
            self.line([(self.x(tick), bottom), (self.x(tick), bottom + 6)], _FAINT, 1.0)
            self.text(self.x(tick), bottom + 16, f"{tick:g}", _FAINT, anchor="mm")
        middle = (self.x(self.begin) + self.x(self.end)) / 2
        self.text(middle, bottom + 38, "time to the trip [s]", anchor="mm")


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Give round numbers in a range, some `about` of them."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _apart(
    labels: list[tuple[float, str, _Colour]], top: float, bottom: float
) -> list[tuple[float, str, _Colour]]:
    """Move labels apart that would stand on each other."""
    placed: list[tuple[float, str, _Colour]] = []
    for place, text, colour in sorted(labels):
        lowest = placed[-1][0] + _APART if placed else top
        placed.append((max(place, lowest), text, colour))
    over = placed[-1][0] - bottom if placed else 0.0
    if over > 0.0:
        # From below: as far up as needed, and no further than the one below allows.
        limit = bottom
        for index in range(len(placed) - 1, -1, -1):
            place, text, colour = placed[index]
            placed[index] = (min(place, limit), text, colour)
            limit = placed[index][0] - _APART
    return placed


def _short(text: str, most: int) -> str:
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return text if len(text) <= most else text[: most - 3] + "..."
