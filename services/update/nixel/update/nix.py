"""The `nix` command: what a store knows of its paths, and copies between stores; what fails says so in words."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from nixel.update import hashes
from nixel.update.failure import Failure
from nixel.update.manifest.model import Info
from nixel.update.progress import nobody

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nixel.update.progress import Progress

_LAST_WORDS = 2000
_STORE = "/nix/store/"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# In Nix's log for programs: a path that is being copied, how far that is, and how much there is to do.
_COPY_PATH, _PROGRESS, _EXPECTED = 100, 105, 106
_CA = {"text": "text:", "flat": "fixed:", "nar": "fixed:r:", "git": "fixed:git:"}
# What Nix says, what that means here, and what to do.
_KNOWN = (
    ("No space left on device", "The disk is full.", "Make room, then try again; what was copied stays."),
    ("lacks a signature by a trusted key", "A path is not signed by a key that is trusted here.", "Sign it."),
    ("lacks a valid signature", "A path is not signed by a key that is trusted here.", "Sign it."),
    ("Input/output error", "The disk or the stick cannot be read.", "Plug it in again, or take another one."),
    ("Read-only file system", "It is write-protected.", "Make it writable."),
    ("Permission denied", "This user may not do that.", "Do it as root."),
    ("is not valid", "Something is not in the store.", "Build or copy it first."),
    (
        "hash mismatch",
        "What was read is not what it should be: it is damaged or was changed.",
        "Do not use it.",
    ),
)


@dataclass(frozen=True, slots=True)
class Nix:
    """How to call Nix.

    Attributes
    ----------
    command
        What starts it.
    store
        Which store it works on, as Nix's `--store` has it; `None` for its own choice.
    """

    command: tuple[str, ...] = ("nix",)
    store: str | None = None

    def run(self, *arguments: str, paths: Iterable[str] | None = None, within: float | None = None) -> str:
        """Run a command.

        Parameters
        ----------
        arguments
            What follows `nix`.
        paths
            Store paths for its standard input (with `--stdin` among the arguments): there may be more than an
            argument list holds.
        within
            How long it may take, in s.

        Returns
        -------
        str
            What it printed.

        Raises
        ------
        Failure
            If it fails, takes too long or is missing.
        """
        stdin = "" if paths is None else "".join(f"{each}\n" for each in paths)
        try:
            done = subprocess.run(
                self._line(arguments),
                input=stdin,
                capture_output=True,
                text=True,
                check=False,
                timeout=within,
            )
        except FileNotFoundError as error:
            raise _missing(self.command) from error
        except subprocess.TimeoutExpired as error:
            raise Failure(f"nix {arguments[0]} did not end within {within:g} s.", "Try again.") from error
        if done.returncode != 0:
            raise failure(arguments, done.returncode, done.stderr)
        return done.stdout

    def path_info(self, paths: Sequence[str], *, recursive: bool = False) -> dict[str, Info | None]:
        """Ask what the store knows.

        Parameters
        ----------
        paths
            Of these.
        recursive
            And of everything that they need.

        Returns
        -------
        dict
            By path; `None` for one that the store does not have.

        Raises
        ------
        Failure
            If Nix fails, or answers in a way that is not known here.
        """
        if not paths:
            return {}
        more = ("--recursive",) if recursive else ()
        answer = self.run("path-info", "--offline", "--json", *more, "--stdin", paths=paths)
        try:
            found = infos(json.loads(answer))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Failure(
                f"nix path-info answered in a way that is not known here ({error!r}).",
                "Use a Nix of 2.26 or newer with a nixel-update that knows it.",
                answer[:200],
            ) from error
        return {**dict.fromkeys(paths), **found}

    def closure(self, path: str) -> dict[str, Info]:
        """Ask what a path needs, itself among it.

        Parameters
        ----------
        path
            A store path.

        Returns
        -------
        dict
            By path.

        Raises
        ------
        Failure
            If the store lacks any of it.
        """
        found = self.path_info([path], recursive=True)
        whole = {each: info for each, info in found.items() if info is not None}
        if len(whole) != len(found) or path not in whole:
            lacking = sorted(set(found) - set(whole))
            raise Failure(f"The store lacks {', '.join(lacking[:3])}.", "Build or copy it first.")
        return whole

    def copy(self, sizes: Mapping[str, int], *options: str, progress: Progress = nobody) -> None:
        """Copy paths between stores.

        Parameters
        ----------
        sizes
            Exactly these, each with the size of its archive in bytes; what they need is there already or among them.
        options
            `--from`, `--to` and the like.
        progress
            Told how much of what was lacking there is copied.

        Raises
        ------
        Failure
            If Nix fails; what was copied whole stays.
        """
        arguments = ("copy", "--no-recursive", "--stdin", *options, "--log-format", "internal-json", "-v")
        copied = Copied(sizes)
        with tempfile.TemporaryFile("w+") as stdin, self._start(arguments, stdin, sizes) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if copied.take(line):
                    progress(min(copied.done, copied.total), copied.total)
        if process.returncode != 0:
            raise failure(arguments, process.returncode, copied.said)

    @contextmanager
    def _start(
        self, arguments: Sequence[str], stdin: IO[str], paths: Iterable[str]
    ) -> Iterator[subprocess.Popen[str]]:
        stdin.writelines(f"{each}\n" for each in paths)
        stdin.seek(0)
        try:
            process = subprocess.Popen(
                self._line(arguments),
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except FileNotFoundError as error:
            raise _missing(self.command) from error
        with process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise

    def _line(self, arguments: Sequence[str]) -> list[str]:
        features = ("--extra-experimental-features", "nix-command")
        store = () if self.store is None else ("--store", self.store)
        return [*self.command, *features, *arguments, *store]


class Copied:
    """Reads Nix's log of a copy.

    Parameters
    ----------
    sizes
        The paths with the sizes of their archives, in bytes: of a small one Nix tells only that it is there.

    Attributes
    ----------
    done, total
        Bytes of archives that were copied, and that are to be.
    said
        What it said to a person.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.done = 0
        self.total = 0
        self.said = ""
        self._sizes = sizes
        # By the number of its activity: the path, and how much of it is counted.
        self._under_way: dict[int, tuple[str, int]] = {}

    def take(self, line: str) -> bool:
        """Read a line.

        Parameters
        ----------
        line
            As Nix wrote it.

        Returns
        -------
        bool
            Whether there is something new to tell.
        """
        try:
            event = json.loads(line.removeprefix("@nix ")) if line.startswith("@nix ") else None
        except ValueError:
            event = None
        if not isinstance(event, dict):
            self._keep(line)
            return False
        number, action, kind, fields = (event.get(key) for key in ("id", "action", "type", "fields"))
        number = number if isinstance(number, int) else -1
        fields = fields if isinstance(fields, list) else []
        if action == "msg" and event.get("level") in (0, 1):
            self._keep(str(event.get("msg")))
        elif (action, kind) == ("start", _COPY_PATH) and fields:
            self._under_way[number] = (str(fields[0]), 0)
        elif action == "stop" and number in self._under_way:
            path, _ = self._under_way[number]
            self._moved(number, self._sizes.get(path, 0))
            del self._under_way[number]
            return True
        elif (action, kind) == ("result", _EXPECTED) and len(fields) == 2 and fields[0] == _COPY_PATH:
            self.total = _count(fields[1])
            return True
        elif (action, kind) == ("result", _PROGRESS) and number in self._under_way and fields:
            self._moved(number, _count(fields[0]))
            return True
        return False

    def _moved(self, number: int, done: int) -> None:
        path, before = self._under_way[number]
        if done > before:
            self.done += done - before
            self._under_way[number] = (path, done)

    def _keep(self, text: str) -> None:
        self.said = (self.said + text.rstrip("\n") + "\n")[-_LAST_WORDS:]


def _count(found: object) -> int:
    return found if isinstance(found, int) else 0


def infos(found: object) -> dict[str, Info | None]:
    """Read what `nix path-info --json` printed, in any of the forms that it has had.

    Parameters
    ----------
    found
        A list of objects with their path (before 2.19), an object by path (since), or the same below `info` with base
        names and structured hashes.

    Returns
    -------
    dict
        By path; `None` for one that is not in the store.

    Raises
    ------
    ValueError, KeyError, TypeError
        If it has another form.
    """
    if isinstance(found, list):
        found = {each["path"]: each if each.get("valid", True) else None for each in found}
    if not isinstance(found, dict):
        raise TypeError(f"{type(found).__name__} was found, a list or an object was expected")
    return {
        _whole(path): None if each is None else _info(_whole(path), each)
        for path, each in _without_cover(found).items()
    }


def _without_cover(found: dict[str, Any]) -> dict[str, Any]:
    inside = found.get("info")
    return inside if isinstance(inside, dict) else found


def _info(path: str, found: dict[str, Any]) -> Info:
    size = found["narSize"]
    if not isinstance(size, int) or not isinstance(found["references"], list):
        raise TypeError(f"{path} has a size or references of another kind")
    ca = found.get("ca")
    return Info(
        path=path,
        nar_hash=hashes.canonical(_sha256(found["narHash"])),
        nar_size=size,
        references=tuple(sorted(map(_whole, found["references"]))),
        ca=ca if ca is None or isinstance(ca, str) else _content_address(ca),
        signatures=tuple(_signature(each) for each in found.get("signatures") or ()),
    )


def _sha256(found: object) -> bytes:
    if isinstance(found, str):
        return hashes.parse(found)
    if not isinstance(found, dict) or found["algorithm"] != "sha256":
        raise TypeError("no SHA-256 was found")
    code = found["hash"]
    return hashes.parse(code if code.startswith("sha256") else f"sha256:{code}")


def _content_address(found: dict[str, Any]) -> str:
    return f"{_CA[found['method']]}{hashes.canonical(_sha256(found['hash']))}"


def _signature(found: str | dict[str, str]) -> str:
    return found if isinstance(found, str) else f"{found['keyName']}:{found['sig']}"


def _whole(path: str) -> str:
    return path if path.startswith(_STORE) else _STORE + path


def failure(arguments: Sequence[str], status: int, said: str) -> Failure:
    """Say in words why a nix command failed.

    Parameters
    ----------
    arguments
        What followed `nix`.
    status
        Its exit status.
    said
        What it said.

    Returns
    -------
    Failure
        To be raised.
    """
    said = _COLOUR.sub("", said).strip()[-_LAST_WORDS:]
    place = said.rfind("error:")
    said = said[max(place, 0) :]
    for words, what, todo in _KNOWN:
        if words in said:
            return Failure(what, todo, said)
    return Failure(f"nix {arguments[0]} failed with status {status}.", "", said)


def _missing(command: Sequence[str]) -> Failure:
    return Failure(f"There is no {command[0]} here.", "Install Nix, 2.26 or newer.")
