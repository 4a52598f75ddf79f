"""Search paths that are wrong, and places of the file system that are built in."""

import re
from collections.abc import Callable, Iterator
from posixpath import dirname, isabs, normpath

from nixel.acquisition.doctor.elf import Elf
from nixel.acquisition.doctor.findings import Advice, Finding, Severity
from nixel.acquisition.doctor.loader import Search, entries, expand
from nixel.acquisition.doctor.packages import deb_place

# Where things are built and not installed.
BUILD = re.compile(
    r"/(?:home|root|tmp|var/tmp|build|builds|buildd?|builddir|workspace|Users|jenkins|github)(?:/|$)"
)
# How $ORIGIN looks after a shell or a Makefile has eaten of it.
SPOILT = re.compile(
    r"\$\(ORIGIN\)|\$\$+\{?ORIGIN|\\+\$|^\{?ORIGIN\}?(?:/|$)|\$origin|@(?:loader|executable)_path|@rpath"
)
# A $ of which the first letters were taken for a variable or a Makefile's: $ORIGIN became RIGIN.
EATEN = re.compile(r"^RIGIN(?:/|$)|^/\.\./")
PATH = re.compile(
    rb"/(?:usr|opt|etc|srv|lib|lib64|bin|sbin|home|var/lib|var/opt|root|build)(?:/[A-Za-z0-9_.@+-]+)+"
)
# What stands before a path that is a text of its own, or part of a list.
BEFORE = b"\0=:;,\"' "
# Source files named in assertions; nobody opens them.
SOURCE = re.compile(rb"\.(?:c|cc|cpp|cxx|h|hh|hpp|hxx|inl|ipp|tcc|rs|go|f90|S)$")
MOST_PATHS = 1000
LONGEST_NAME = 255  # bytes between two slashes; in what Rust compiles, texts run into each other
# What NixOS has, too; what every system may have or lack; what belongs to all packages together.
EVERYWHERE = {"/bin/sh", "/usr/bin/env"}
SYSTEMS_OWN = re.compile(
    r"/etc/(?:\.pwd\.lock|aliases|ethers|fstab|gai\.conf|g?shadow|group|host\.conf|hostid|hostname|hosts|hosts\.equiv|"
    r"ld\.so\.|localtime|machine-id|mtab|netgroup|networks|nsswitch|os-release|passwd|protocols|resolv\.conf|rpc|"
    r"securetty|services|shells|ssl/|suid-debug|timezone|ttys)"
)
OPTIONAL = re.compile(
    r"/etc/|/(?:usr/)?(?:local/)?s?bin$|/usr/(?:local/)?(?:lib|lib64|share)(?:/[\w-]+-linux-gnu)?$|"
    r"/usr/(?:local/)?(?:share|lib)/(?:locale|zoneinfo|terminfo|fonts|X11|i18n|icons|applications|man|doc|debug|"
    r"mime|misc|dict|ssl|nls|tabset|getconf|python|tcltk|perl|charset)"
)


def quoted_origin(rest: str) -> str:
    """How an $ORIGIN path is written so that it arrives."""
    return (
        f"-Wl,-rpath,'$ORIGIN{rest}' in a shell, '$$ORIGIN{rest}' in a Makefile, \"\\$ORIGIN{rest}\" in CMake"
    )


def search_paths(
    elf: Elf, search: Search, is_folder: Callable[[str], bool], *, installed: bool = False
) -> Iterator[Finding]:
    """What is wrong with the RPATH and the RUNPATH of a file.

    Of one that is `installed` where the loader looks by itself, an entry that leads nowhere does no harm.
    """
    if elf.rpath is not None and elf.runpath is not None:
        yield _finding(
            elf,
            Severity.NOTE,
            "RPATH",
            elf.rpath,
            "It has an RPATH and a RUNPATH; the loader takes no notice of the RPATH.",
            "Link with one of them: -Wl,--enable-new-dtags gives a RUNPATH.",
        )
    for kind, path in (("RPATH", elf.rpath if elf.runpath is None else None), ("RUNPATH", elf.runpath)):
        for entry in dict.fromkeys(entries(path)):
            idle = Severity.NOTE if installed else Severity.RISK
            yield from _entry(elf, kind, entry, search, is_folder, idle)


def _entry(
    elf: Elf, kind: str, entry: str, search: Search, is_folder: Callable[[str], bool], idle: Severity
) -> Iterator[Finding]:
    set_it = f"patchelf --set-rpath '$ORIGIN' {elf.name}, or what else is right"
    if not entry:
        text = f"Its {kind} has an empty entry, which means the folder from which the program happens to be started."
        yield _finding(elf, Severity.RISK, kind, entry, text, f"Take the entry out: {set_it}.")
        return
    spoilt = SPOILT.search(entry)
    if spoilt or EATEN.search(entry):
        rest = re.sub(r"^.*?(?:ORIGIN|RIGIN|origin|_path|@rpath)[)}]?|^(?=/\.\./)", "", entry)
        text = f'Its {kind} has the entry "{entry}", which was meant to be $ORIGIN{rest}.'
        if entry.startswith("@"):
            text = (
                f'Its {kind} has the entry "{entry}", which only macOS understands; here it is $ORIGIN{rest}.'
            )
        yield _finding(elf, Severity.RISK, kind, entry, text, f"Link it again with {quoted_origin(rest)}.")
        return
    place = normpath(expand(entry, dirname(elf.place), search))
    if not isabs(place):
        text = f'Its {kind} has the entry "{entry}", which counts from the folder in which the program is started.'
        yield _finding(
            elf,
            Severity.RISK,
            kind,
            entry,
            text,
            f"From the file itself it is {quoted_origin('/' + normpath(entry))}.",
        )
    elif "$ORIGIN" in entry or "${ORIGIN}" in entry:
        if not is_folder(place):
            text = f'Its {kind} has the entry "{entry}", which is {place} where the file lies now: no such folder.'
            step = "Put the file beside its libraries as the vendor has them, or correct the entry."
            yield _finding(elf, idle, kind, entry, text, step)
    elif BUILD.match(place):
        text = f'Its {kind} has the entry "{entry}", a folder of the machine that built it.'
        step = f"Take it out ({set_it}): on another machine anyone who may make that folder decides what is loaded."
        yield _finding(elf, Severity.RISK, kind, entry, text, step)
    elif not is_folder(place):
        text = f'Its {kind} has the entry "{entry}", and there is no such folder here.'
        step = "fromDeb writes the folders of the package and of its `libraries` in its place."
        yield _finding(elf, idle, kind, entry, text, step)


def _finding(elf: Elf, severity: Severity, kind: str, entry: str, text: str, step: str) -> Finding:
    return Finding(
        severity,
        "search-path",
        elf.place,
        text,
        facts={"kind": kind, "entry": entry},
        advice=Advice(steps=(step,)),
    )


def built_in(elf: Elf) -> list[str]:
    """Paths of the file system in the parts of a file that are loaded (debugging information is not).

    Raises
    ------
    OSError
        If it cannot be read.
    """
    ours = {
        part
        for text in (elf.rpath, elf.runpath, elf.interpreter)
        if text
        for part in (text, *text.split(":"))
    }
    found: set[str] = set()
    with elf.path.open("rb") as stream:
        for start, length in elf.loaded:
            stream.seek(start)
            data = stream.read(length)
            for match in PATH.finditer(data):
                before = data[match.start() - 1] if match.start() else 0
                if before not in BEFORE or SOURCE.search(match[0]) or len(found) >= MOST_PATHS:
                    continue
                if max(map(len, match[0].split(b"/"))) <= LONGEST_NAME:
                    found.add(match[0].decode().rstrip("."))
    return sorted(found - ours)


def places(
    elf: Elf,
    named: list[str],
    exists: Callable[[str], bool],
    own: dict[str, bool],
    *,
    installed: bool = False,
) -> Iterator[Finding]:
    """Places that a file names and that may not be there.

    Parameters
    ----------
    elf
        The file.
    named
        The paths in it.
    exists
        Whether there is something at a place on this system.
    own
        Places of the .deb's own to whether a library is there.
    installed
        Whether the file lies where this system keeps its libraries: what installed it there knows which of those places
        it can do without, as does whoever reads the note.
    """
    named = [path for path in named if path not in EVERYWHERE]
    opened = [path for path in named if own.get(path)]
    mine = [path for path in named if path in own and not own[path]]
    rest = [path for path in named if path not in own]
    gone = [path for path in rest if not OPTIONAL.match(path) and not exists(path)]
    there = [path for path in rest if path not in gone and not path.startswith("/etc/") and exists(path)]
    settings = [path for path in rest if path.startswith("/etc/") and not SYSTEMS_OWN.match(path)]
    if mine:
        name = deb_place(elf.place)
        yield _places(
            elf,
            Severity.RISK,
            "It opens files of its package by absolute paths, which a path in the Nix store is too long to replace.",
            mine,
            Advice(
                may_name_old_places=(name,),
                steps=(
                    f"If {elf.name} reads from there when it runs: package it with fhs, which gives it those places.",
                ),
            ),
        )
    if gone:
        step = (
            "See whether it opens them (strace -f -e trace=openat); if so: fhs, or a setting of the vendor's."
        )
        severity = Severity.NOTE if installed else Severity.RISK
        yield _places(
            elf, severity, "It names places that are not on this system.", gone, Advice(steps=(step,))
        )
    if opened:
        text = (
            "It opens libraries of its package by absolute paths; fromDeb cuts these to names that are found."
        )
        yield _places(elf, Severity.NOTE, text, opened, Advice())
    if there:
        text = "It names places that are on this system, and not on NixOS."
        yield _places(elf, Severity.NOTE, text, there, Advice())
    if settings:
        text = "It names files in /etc, which NixOS makes from its configuration."
        nixos = tuple(
            f'environment.etc."{path.removeprefix("/etc/")}".source = FILE;' for path in settings[:4]
        )
        yield _places(elf, Severity.NOTE, text, settings, Advice(nixos=nixos))


def _places(elf: Elf, severity: Severity, text: str, named: list[str], advice: Advice) -> Finding:
    return Finding(severity, "place", elf.place, text, tuple(named), {"places": named}, advice)
