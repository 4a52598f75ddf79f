"""Examine a library, a program or a .deb: the edge where files are read, around the checks, which are functions."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from posixpath import dirname, normpath

from nixel.acquisition.doctor import checks, paths, scripts
from nixel.acquisition.doctor.deb import DEFAULT_LIMIT, Deb, DebError, is_deb, read_deb
from nixel.acquisition.doctor.elf import Elf, ElfError, is_elf, read_elf
from nixel.acquisition.doctor.findings import Advice, Finding, Severity, printable, together
from nixel.acquisition.doctor.loader import Scope, Search, find, load
from nixel.acquisition.doctor.providers import Library, Provider, search
from nixel.acquisition.doctor.system import (
    LIBRARY,
    RUNNING_SYSTEM,
    Files,
    closure,
    libraries_in,
    system_libraries,
    this_search,
)


class DoctorError(ValueError):
    """What a person can set right: a file that is none of those that can be examined, or that cannot be read."""


@dataclass(frozen=True)
class Report:
    """What was found.

    Attributes
    ----------
    file
        What was examined, as it was named.
    elves
        The programs and libraries that it is or has.
    findings
        Of all of them, file by file.
    """

    file: str
    elves: tuple[Elf, ...]
    findings: tuple[Finding, ...]
    package: str | None = None

    @property
    def advice(self) -> Advice:
        """What to do, together."""
        return together(finding.advice for finding in self.findings)

    @property
    def loads(self) -> bool:
        """Whether nothing was found that keeps it from loading."""
        return all(finding.severity is not Severity.FAULT for finding in self.findings)

    @property
    def healthy(self) -> bool:
        """Whether there is nothing but notes."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)


@dataclass
class Doctor:
    """What the examination of one file knows of its surroundings.

    Attributes
    ----------
    within
        Folders in which libraries are looked for beside those of the system.
    host
        The program that is to load the file.
    environment
        The environment's variables.
    limit
        How much a .deb may unpack to, in bytes.
    """

    within: Sequence[Path] = ()
    host: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    limit: int = DEFAULT_LIMIT

    def examine(self, file: Path) -> Report:
        """Examine a file.

        Raises
        ------
        DoctorError
            If it, the host or a folder cannot be read, or is not what it should be.
        """
        try:
            for folder in self.within:
                if not folder.is_dir():
                    raise DoctorError(
                        f"--in {folder}: expected a folder, found {_what(folder)}. Name one that is there."
                    )
            if not file.is_file():
                raise DoctorError(
                    f"{file}: expected a library, a program or a .deb, found {_what(file)}. Name the file itself."
                )
            if self.host is not None and not self.host.is_file():
                raise DoctorError(
                    f"--host {self.host}: expected a program, found {_what(self.host)}. Name its file."
                )
            host = read_elf(self.host, _absolute(self.host)) if self.host is not None else None
            if is_deb(file):
                with tempfile.TemporaryDirectory(prefix="nixel-doctor.") as unpacked:
                    deb = read_deb(file, Path(unpacked), self.limit)
                    return _package(file, deb, _Examination(file, self, host, deb))
            # Opened as named, not as its links lead: $ORIGIN is where the loader was sent.
            elf = read_elf(Path(_absolute(file)))
            return Report(str(file), (elf,), tuple(_Examination(file, self, host, Deb()).of(elf)))
        except (DebError, ElfError) as error:
            raise DoctorError(printable(str(error))) from error
        except OSError as error:
            raise DoctorError(f"{error.filename or file}: cannot be read: {error.strerror}.") from error


def _package(file: Path, deb: Deb, examination: "_Examination") -> Report:
    name = deb.control.get("Package", file.stem)
    elves: list[Elf] = []
    findings: list[Finding] = []
    for place in deb.elves:
        try:
            elves.append(read_elf(deb.elves[place], place))
        except ElfError as error:
            # An object file, or firmware in ELF's form, is not for the loader.
            findings.append(Finding(Severity.NOTE, "machine", place, str(error)))
    for elf in elves:
        findings += examination.of(elf)
    findings += scripts.contents(deb)
    findings += scripts.scripts(deb, name)
    findings += scripts.rules(deb, name)
    findings += scripts.dependencies(deb)
    return Report(str(file), tuple(elves), tuple(findings), name)


class _Examination:
    """What is the same for all programs and libraries of one examination."""

    def __init__(self, file: Path, doctor: Doctor, host: Elf | None, deb: Deb) -> None:
        self._file, self._doctor, self._host, self._deb = file, doctor, host, deb
        self._files = Files(deb.elves, deb.links)
        # The program that runs this stands for the machine.
        self._python = read_elf(Path("/proc/self/exe"))
        self._own = {place: self._files.resolve(place) in deb.elves for place in deb.files | deb.links.keys()}
        self._own |= dict.fromkeys(_own_folders(deb), False)

    def of(self, elf: Elf) -> Iterator[Finding]:
        """The findings of one program or library."""
        here = (self._host or self._python).machine
        if elf.machine != here:
            yield from checks.machine(elf, here)
            return
        if elf.kind == "static program":
            return
        asked = [each.interpreter for each in (elf, self._host, self._python) if each is not None]
        interpreter = next((each for each in asked if each and _there(each)), None)
        where = _with_package(this_search(elf, interpreter, self._doctor.environment), self._deb)
        yield from checks.interpreter(elf, there=elf.interpreter is not None and _there(elf.interpreter))
        yield from self._loading(elf, where)
        yield from checks.stack(elf)
        installed = not self._deb.elves and (
            dirname(elf.place) in where.folders or elf.place.startswith(f"/usr/{where.library_folder}/")
        )
        yield from paths.search_paths(elf, where, self._is_folder, installed=installed)
        yield from paths.places(elf, paths.built_in(elf), _there, self._own, installed=installed)

    def _is_folder(self, place: str) -> bool:
        return self._files.resolve(place) in self._deb.folders or os.path.isdir(place)  # noqa: PTH112

    def _loading(self, elf: Elf, where: Search) -> Iterator[Finding]:
        elsewhere: dict[str, Provider] = {}

        def supply(name: str) -> Elf | None:
            for library in self._within_reach(elf, where):
                if Path(library.place).name == name and _is(library, elf):
                    elsewhere[name] = Provider(library.place, name, library.where)
                    return read_elf(library.path, library.place)
            return None

        start = [elf] if self._host is None else [self._host, elf]
        scope = load(start, where, self._files.open, supply)
        unused = {}
        for missing in scope.missing:
            for ancestor in missing.needed_by[1:]:
                found, _ = find(missing.name, ancestor, (), elf.machine, Search(), self._files.open)
                if found is not None and ancestor.runpath is not None:
                    unused[missing.name] = ancestor, found.place
        yield from checks.libraries(_without_host(scope, self._host), elsewhere, unused)
        too_old, about = checks.versions(elf, scope)
        yield from too_old
        # What comes with the file is examined with it; the system's own libraries are taken to be whole.
        left = checks.unresolved(elf, scope, about)
        found_in = search(left, self._within_reach(elf, where), elf.machine, elf.path) if left else {}
        yield from checks.symbols(elf, left, found_in, scope)

    def _within_reach(self, elf: Elf, where: Search) -> Iterator[Library]:
        """Libraries, from near to far: of the package, the folders, beside the file, of the closure, the system."""
        deb, doctor = self._deb, self._doctor
        for place, path in deb.elves.items():
            if LIBRARY.search(place):
                yield Library(path, place, "package")
        for folder in doctor.within:
            for path in libraries_in(folder, deep=True):
                yield Library(path, _absolute(path), "folder")
        if not deb.elves:
            for path in libraries_in(Path(elf.place).parent, deep=False):
                yield Library(path, str(path), "folder")
        for store_path in self._closure:
            for path in libraries_in(store_path / "lib", deep=False):
                yield Library(path, str(path), "closure")
        for path in system_libraries(where):
            yield Library(path, str(path), "system")

    @cached_property
    def _closure(self) -> list[Path]:
        """The store paths of what is examined, of the host, of nixel itself and of the running system."""
        roots = [self._file, *([self._doctor.host] if self._doctor.host else []), Path(__file__), *_running()]
        return closure([Path(os.path.realpath(root)) for root in roots], self._doctor.environment)


def _absolute(path: Path) -> str:
    """As it was named: the loader, too, takes a link's folder for $ORIGIN."""
    return normpath(Path.cwd() / path)


def _what(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "something that is no regular file" if path.exists() else "nothing there"


def _there(place: str) -> bool:
    # Not Path.exists, which raises where a text is too long to be a path.
    return os.path.exists(place)  # noqa: PTH110


def _running() -> list[Path]:
    return [RUNNING_SYSTEM] if RUNNING_SYSTEM.exists() else []


def _is(library: Library, elf: Elf) -> bool:
    """Whether a library can be loaded with a file."""
    if not is_elf(library.path):
        return False
    try:
        return read_elf(library.path).machine == elf.machine
    except ElfError:
        return False


def _with_package(search: Search, deb: Deb) -> Search:
    """The machine's search after the .deb's installation: Debian's usual folders, and those that it adds."""
    if not deb.elves:
        return search
    added = [
        line.strip()
        for place, text in deb.texts.items()
        if place.endswith(".conf")
        for line in text.splitlines()
    ]
    more = [folder for folder in added if folder.startswith("/")]
    return Search(
        search.environment,
        search.cache,
        (*search.folders, "/usr/local/lib", *more),
        search.library_folder,
        search.platform,
    )


def _own_folders(deb: Deb) -> Iterator[str]:
    """The folders that are the package's alone: below /opt, /usr/local and the folders that all packages fill."""
    for place in deb.folders:
        top, *below = place.split("/")[1:]
        local = below[:1] == ["local"]
        if (
            (top == "opt" and below)
            or (top == "usr" and local and len(below) > 2)
            or (top == "usr" and len(below) > 1 and not local and not paths.OPTIONAL.match(place))
        ):
            yield place


def _without_host(scope: Scope, host: Elf | None) -> Scope:
    """What is missing to the file itself: the host's own lacks are the host's."""
    if host is None:
        return scope
    return Scope(
        scope.loaded, tuple(each for each in scope.missing if each.needed_by[-1].place != host.place)
    )
