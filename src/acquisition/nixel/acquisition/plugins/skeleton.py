"""A new plugin to begin with: the example thermometer under another name, with what builds and checks it."""

from __future__ import annotations

import re
import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nixel.acquisition.devices import DeviceError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Language", "write_skeleton"]

Language = Literal["c", "rust"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
_LONGEST = 60
# A crate's library cannot be called so.
_TAKEN = (
    "abstract alloc as async await become box break const continue core crate do dyn else enum extern false final fn "
    "for gen if impl in let loop macro match mod move mut override priv proc-macro pub ref return self static std "
    "struct super test trait true try type typeof union unsafe unsized use virtual where while yield"
)
_ABOUT_C = """/*
 * A plugin for nixel, in C, without dependencies; include/nixel_device.h says what it has to do.
 *
 * It begins as a simulated device: what it reads is made up, which has to be asked for (setting `simulated`) and which
 * it says of itself (property `simulated`). Put yours in its place, and open its bus in device_open.
 */"""
_WORDS = (
    ("Example thermometer (C)", "NAME"),
    ("Example thermometer (Rust)", "NAME"),
    ("The example thermometer", "NAME"),
    ("No thermometer found: this example", "No NAME found: this plugin"),
    ("No memory for a thermometer.", "No memory for NAME."),
    ("no such thermometer", "no such device"),
    ("There is no such thermometer. What", "There is no such device: what"),
    ("An example of a vendor plugin: a thermometer, in Rust,", "A plugin for nixel, in Rust,"),
    ("An example of a vendor plugin: a thermometer,", "A plugin for nixel,"),
    ("The thermometer itself", "The device itself"),
    ("An open thermometer", "An open device"),
    ("nixel-plugin-example", "NAME"),
    ("nixel_plugin_example", "IDENTIFIER"),
    ("Thermometer", "Device"),
    ("thermometer", "device"),
)


def write_skeleton(folder: Path, name: str, language: Language) -> Path:
    """Write a new plugin.

    Parameters
    ----------
    folder : Path
        In which its own folder is made.
    name : str
        At most 60 lower-case letters and digits, in words joined by hyphens.
    language : {"c", "rust"}

    Returns
    -------
    Path
        Its folder.

    Raises
    ------
    DeviceError
        The name is none, there is such a file already, or it cannot be written; nothing is left then.
    """
    if not _NAME.match(name) or len(name) > _LONGEST or name in _TAKEN.split():
        expected = (
            f"up to {_LONGEST} lower-case letters, digits and hyphens, a letter first, and no word of Rust's"
        )
        raise _error(name, expected, repr(name), "Choose a name such as my-laser.")
    target = folder / name
    if target.exists():
        raise _error(name, "a name that is free", f"{target}, which exists", "Choose another name or folder.")
    texts = _texts(name, language)
    try:
        target.mkdir()
    except OSError as error:
        found = f"{error.strerror} for {target}"
        raise _error(name, "a folder that can be written", found, "Choose another with --in.") from error
    try:
        for relative, text in texts.items():
            path = target / relative
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise _error(
            name, "room for its files", str(error), "Make room, or choose another folder."
        ) from error
    return target


def _texts(name: str, language: Language) -> Mapping[str, str]:
    """Each file's text, by its path in the new folder."""
    package = Path(str(resources.files("nixel.acquisition"))) / "plugins"
    sources, templates = package / "sources", package / "templates" / language

    def named(path: Path) -> str:
        text = path.read_text(encoding="utf-8")
        for old, new in _WORDS:
            text = text.replace(old, new)
        return _named(text, name)

    texts = {"include/nixel_device.h": (sources / "include" / "nixel_device.h").read_text(encoding="utf-8")}
    texts |= {
        path.name: _named(path.read_text(encoding="utf-8"), name) for path in sorted(templates.iterdir())
    }
    if language == "c":
        code = named(sources / "example-c" / "thermometer.c")
        texts[f"{name}.c"] = _ABOUT_C + code[code.index("*/") + len("*/") :]
        return texts
    crate = sources / "example-rust"
    for file in ("Cargo.toml", "Cargo.lock", "rustfmt.toml", "src/lib.rs", "src/abi.rs"):
        texts[file] = named(crate / file)
    texts["src/device.rs"] = named(crate / "src" / "thermometer.rs")
    return texts


def _named(text: str, name: str) -> str:
    return re.sub(r"\bNAME\b", name, text).replace("IDENTIFIER", name.replace("-", "_"))


def _error(name: str, expected: str, found: str, remedy: str) -> DeviceError:
    return DeviceError("writing a new plugin", where=name, expected=expected, found=found, remedy=remedy)
