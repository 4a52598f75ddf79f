"""A recorded sequence as an OME-Zarr 0.5 image: its header, and the finisher that needs nothing but the recording."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from nixel.acquisition.formats.atomic import atomic_folder, atomic_write, sync_folder
from nixel.acquisition.formats.ome_zarr_frames import FrameImage, write_frames
from nixel.acquisition.recording.finisher import Finisher, Plan, counted
from nixel.acquisition.slow import recorded_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nixel.acquisition.recording import FrameRecord, Recovered
    from nixel.acquisition.sequences.bench import Bench
    from nixel.acquisition.sequences.load import MicroscopeSequence
    from nixel.acquisition.sequences.steps import Step

__all__ = ["FORMAT", "SEQUENCE", "header"]

FORMAT = "ome-zarr-sequence"
_UM = 1e-6


def header(
    sequence: MicroscopeSequence, parts: Bench, steps: Sequence[Step], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all that is needed to make the dataset of a sequence's frames, as JSON."""
    instrument, camera = parts.devices.instrument, parts.camera
    assert instrument.microscope is not None
    pixel = instrument.microscope.pixel_size
    return {
        "format": FORMAT,
        "planned": len(steps),
        "images": _images(steps),
        "channels": list(dict.fromkeys(step.channel for step in steps)),
        "spacing": [_plane_spacing(steps), pixel, pixel],
        "interval": _interval(steps),
        "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "camera": {"bits": camera.bits, "pattern": camera.pattern, "where": camera.where},
        "instrument": {"name": instrument.name, "fingerprint": instrument.fingerprint()},
        "isSimulation": instrument.simulated,
        "devices": _jsonable(parts.devices.snapshot()),
        "sequence": sequence.document,
        "provenance": dict(provenance),
    }


def _images(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """One image a position (and tile of its grid): its name, and its size along t and z."""
    images: dict[tuple[int, int], dict[str, Any]] = {}
    for step in steps:
        p, g = step.index.get("p", 0), step.index.get("g", 0)
        image = images.setdefault((p, g), {"p": p, "g": g, "name": step.place, "t": 0, "z": 0, "planned": 0})
        for axis in "tz":
            image[axis] = max(image[axis], step.index.get(axis, 0) + 1)
        image["planned"] += 1
    return list(images.values())


def _plane_spacing(steps: Sequence[Step]) -> float:
    """Between planes, in m; that of the first two if they lie unevenly, 1 µm where there is one plane only."""
    first = steps[0]
    for step in steps:
        same = {k: v for k, v in step.index.items() if k != "z"} == {
            k: v for k, v in first.index.items() if k != "z"
        }
        if same and step.index.get("z", 0) == first.index.get("z", 0) + 1 and "z" in step.position:
            return abs(step.position["z"] - first.position["z"])
    return _UM


def _interval(steps: Sequence[Step]) -> float | None:
    """Between times, in s, if they are equally far apart."""
    times = {step.index["t"]: step.not_before or 0.0 for step in steps if "t" in step.index}
    apart = {round(float(d), 6) for d in np.diff([times[t] for t in sorted(times)])}
    return apart.pop() or None if len(apart) == 1 else None


def _jsonable(snapshot: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value.hex() if isinstance(value, bytes) else value for key, value in properties.items()}
        for name, properties in snapshot.items()
    }


def _plan(found: Recovered) -> Plan:
    planned = found.what["planned"]
    kept = len(found.journal.frames)
    return Plan(bool(kept), found.complete and kept == planned, counted(found, planned))


def _write(found: Recovered, path: Path) -> None:
    what = found.what
    images = [image for image in what["images"] if _of(found, image)]
    common = {key: what[key] for key in _KEPT} | {
        "complete": _plan(found).complete,
        "frames": {
            "planned": what["planned"],
            "recorded": len(found.journal.frames),
            "damaged": list(found.damaged),
        },
        "end": dict(found.journal.end) if found.journal.end else {"reason": "cut off", "counters": {}},
    }
    if (environment := recorded_in(found.folder)) is not None:
        common["environment"] = environment
    if len(what["images"]) == 1:
        _write_image(found, images[0], common, path)
        return
    with atomic_folder(path) as folder:
        series = [str(what["images"].index(image)) for image in images]
        _group(folder, {"ome": {"version": "0.5", "bioformats2raw.layout": 3}, "nixel": common})
        (folder / "OME").mkdir()
        _group(folder / "OME", {"ome": {"version": "0.5", "series": series}})
        sync_folder(folder / "OME")
        for image, name in zip(images, series, strict=True):
            _write_image(found, image, common, folder / name)


_KEPT = ("isSimulation", "began", "instrument", "camera", "devices", "sequence", "provenance")


def _group(folder: Path, attributes: Mapping[str, Any]) -> None:
    text = json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}, indent=2)
    with atomic_write(folder / "zarr.json") as temporary:
        temporary.write_text(text, encoding="utf-8")


def _of(found: Recovered, image: Mapping[str, Any]) -> list[FrameRecord]:
    """The good frames of one image."""
    return [
        record
        for record in found.journal.frames
        if record.note["index"].get("p", 0) == image["p"] and record.note["index"].get("g", 0) == image["g"]
    ]


def _write_image(found: Recovered, image: Mapping[str, Any], common: Mapping[str, Any], path: Path) -> None:
    what, records = found.what, _of(found, image)
    channels = list(what["channels"])

    def place(record: FrameRecord) -> tuple[int, int, int]:
        index = record.note["index"]
        return index.get("t", 0), channels.index(record.note["channel"]), index.get("z", 0)

    notes = [{**record.note, "place": place(record), "sha256": record.sha256} for record in records]
    shape = found.journal.header["shape"]
    described = FrameImage(
        counts=(image["t"], len(channels), image["z"]),
        frame=(shape[0], shape[1]),
        dtype=found.journal.header["dtype"],
        name=image["name"] or f"{what['instrument']['name']} {what['began']}",
        channels=tuple(channels),
        spacing=tuple(what["spacing"]),
        interval=what["interval"],
        attributes={**common, "planned": image["planned"], "notes": notes},
    )
    # One frame a file: the files become the image's chunks.
    write_frames(
        path, described, {place(record): found.folder / f"frames.{record.index}" for record in records}
    )


SEQUENCE = Finisher(_plan, _write)
