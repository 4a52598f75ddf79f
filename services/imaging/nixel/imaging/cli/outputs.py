"""What a command leaves: the volume, a picture of it and the record of what made it, side by side."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nixel.imaging.errors import UserError

if TYPE_CHECKING:
    from nixel.acquisition.formats.volumes import Volume


def check_out(out: Path, *inputs: Path, folder: bool = False) -> None:
    """Know before computing what can be known of the place for the result; writing finds out the rest.

    Parameters
    ----------
    out
        A volume, whose ending says in which format, or a folder for several files.
    inputs
        What is read, which a result must not replace.
    folder
        Whether a folder is meant.

    Raises
    ------
    UserError
        If the result cannot be put there.
    """
    from nixel.acquisition.formats.volumes import ending

    kind = ""
    if not folder:
        try:
            kind = ending(out)
        except ValueError as error:
            raise UserError(f"--out: {error}") from None
    if kind == ".nhdr":
        raise UserError(f"--out {out}: expected one file for header and numbers; name it .nrrd")
    check_place(out, *inputs, folder=folder or kind.endswith(".zarr"))
    if folder and out.resolve() in (Path.cwd(), out.resolve().parent):
        raise UserError(f"--out {out}: name a folder of its own for the results, not the one you stand in")


def check_place(out: Path, *inputs: Path, folder: bool = False) -> None:
    """Know that a file or a folder of that name may be made where it is to be; see `check_out`."""
    from nixel.acquisition.formats.atomic import probe_folder

    target = out.resolve()
    if target in [path.resolve() for path in inputs]:
        raise UserError(f"--out {out}: this is what is read; name another file")
    if not target.parent.is_dir():
        raise UserError(f"--out {out}: the folder {target.parent} does not exist; make it first")
    if target.exists() and target.is_dir() != folder:
        raise UserError(
            f"--out {out}: found a {'folder' if target.is_dir() else 'file'} of that name; name another"
        )
    try:
        probe_folder(target.parent)
    except OSError as error:
        raise UserError(
            f"--out {out}: the folder {target.parent} cannot be written to ({error.strerror}); name another"
        ) from error


def write_outputs(out: Path, volume: "Volume", record: Mapping[str, Any]) -> list[Path]:
    """Write the volume and, beside it, NAME.png and NAME.json.

    Parameters
    ----------
    out
        Its ending says in which format.
    volume
        What was computed.
    record
        Everything that it takes to compute it again; the outputs' hashes are added.

    Returns
    -------
    list of Path
        The three of them.

    Raises
    ------
    UserError
        If they cannot be written.
    """
    from nixel.acquisition.formats.atomic import atomic_write, content_sha256
    from nixel.acquisition.formats.images import write_png
    from nixel.acquisition.formats.volumes import write_volume
    from nixel.imaging.volume_picture import draw_volume

    picture, about = out.with_name(f"{out.name}.png"), out.with_name(f"{out.name}.json")
    drawn = draw_volume(volume)
    try:
        # The record's place is taken first and its name given last: where there is a record, there is all of it.
        with atomic_write(about) as temporary:
            write_volume(out, volume)
            write_png(picture, drawn, texts={"Title": volume.name})
            whole = {**record, "outputs": {path.name: content_sha256(path) for path in (out, picture)}}
            temporary.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except FileExistsError as error:
        raise UserError(f"--out {out}: {error}; name another") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--out {out}: the result cannot be written: {reason}") from error
    return [out, picture, about]


def about_input(path: Path) -> dict[str, str]:
    """What a record says of an input."""
    from nixel.acquisition.formats.atomic import content_sha256

    try:
        return {"name": path.name, "sha256": content_sha256(path)}
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def make_record(
    kind: str, inputs: Mapping[str, Path], parameters: Mapping[str, Any], **more: object
) -> dict[str, Any]:
    """What it takes to compute a result again; no times, so that it comes out the same."""
    from nixel.imaging.provenance import running_system, software

    return {
        "kind": kind,
        "version": 1,
        "software": software(),
        "system": running_system(),
        "inputs": {role: about_input(path) for role, path in inputs.items()},
        "parameters": dict(parameters),
        **more,
    }


@contextmanager
def computing(workers: int) -> Iterator[None]:
    """Keep to so many threads; what a library finds wrong with its input is for the person at the keyboard."""
    from threadpoolctl import threadpool_limits

    try:
        with threadpool_limits(workers):
            yield
    except ValueError as error:
        raise UserError(str(error)) from error
    except MemoryError as error:
        raise UserError(f"there is not enough memory for this: {error}; ask for less") from error
