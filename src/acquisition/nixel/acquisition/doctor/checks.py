"""What the loader would stumble over: machine, program loader, libraries, versions, symbols, executable stack."""

import re
from collections.abc import Iterator, Sequence

from nixel.acquisition.doctor.elf import Elf, Machine
from nixel.acquisition.doctor.findings import Advice, Finding, Severity
from nixel.acquisition.doctor.loader import Missing, Scope
from nixel.acquisition.doctor.packages import (
    CXX,
    DRIVERS,
    HOSTS,
    attribute,
    deb_place,
    guess,
    link_flag,
)
from nixel.acquisition.doctor.providers import Provider, choose, readable
from nixel.acquisition.doctor.tables import Wanted

# Releases of distributions that say something to a person, by the version of the GNU C library that they have.
GLIBC = (
    (28, "Debian 10"),
    (31, "Debian 11, Ubuntu 20.04"),
    (35, "Ubuntu 22.04"),
    (36, "Debian 12"),
    (39, "Ubuntu 24.04"),
    (41, "Debian 13"),
)


def machine(elf: Elf, here: Machine) -> Iterator[Finding]:
    """A file for another machine than the one that is to load it."""
    if elf.machine != here:
        yield Finding(
            Severity.FAULT,
            "machine",
            elf.place,
            f"It is for {elf.machine}; what is to load it here is {here}.",
            facts={"expected": str(here), "found": str(elf.machine)},
            advice=Advice(
                steps=(
                    f"Ask the vendor for the one for {here.architecture}; no flag or path makes this one load.",
                    "What else is wrong with it shows on a machine of its kind.",
                )
            ),
        )


def interpreter(elf: Elf, *, there: bool) -> Iterator[Finding]:
    """A program whose loader is not there: the kernel says only "No such file or directory"."""
    if elf.kind == "program" and elf.interpreter and not there:
        yield Finding(
            Severity.FAULT,
            "loader",
            elf.place,
            f"The loader that it asks for, {elf.interpreter}, is not on this system; starting it says "
            '"No such file or directory" of the program itself.',
            facts={"loader": elf.interpreter},
            advice=Advice(
                steps=(
                    "Package it with fromDeb, which writes the right loader into it, or with fhs.",
                    f"By hand: patchelf --set-interpreter LOADER {elf.name}",
                )
            ),
        )


def libraries(
    scope: Scope, elsewhere: dict[str, Provider], unused_runpath: dict[str, tuple[Elf, str]]
) -> Iterator[Finding]:
    """Needed libraries that are not found; `elsewhere` says where there is one that the loader does not look at."""
    for missing in scope.missing:
        yield _missing(missing, elsewhere.get(missing.name), unused_runpath.get(missing.name))


def _missing(missing: Missing, elsewhere: Provider | None, unused: tuple[Elf, str] | None) -> Finding:
    needs, *through = missing.needed_by
    text = f"It needs {missing.name}, which the loader does not find."
    if through:
        chain = " that ".join(f"{each.name} needs" for each in through)
        text = f"{needs.name}, that {chain}, needs {missing.name}, which the loader does not find."
    steps = []
    if missing.passed_over:
        other = missing.passed_over[0]
        text += f" It passes over {other.place}, which is for {other.machine}."
    name = attribute(missing.name, elsewhere.place if elsewhere else "")
    libraries = (name,) if name else ()
    link: tuple[str, ...] = ()
    if unused is not None:
        owner, place = unused
        text += f" The RUNPATH of {owner.name} has it ({place}), but serves only what that file itself needs."
        steps.append(
            f"Give {needs.name} a RUNPATH of its own, or link {owner.name} with {missing.name} too "
            f"(-Wl,--no-as-needed {' '.join(link_flag(missing.name, '/usr/lib/'))})."
        )
    elif elsewhere is not None:
        folder = elsewhere.place.rpartition("/")[0]
        text += f" There is one: {elsewhere.place}."
        link = (f"-Wl,-rpath,{folder}",)
        steps.append(f"To try it: LD_LIBRARY_PATH={folder}")
    elif DRIVERS.match(missing.name):
        steps.append("It comes with the driver of the graphics card, not with a package.")
    elif not name:
        steps.append(
            f"nix-locate --top-level --whole-name lib/{missing.name} says which package of nixpkgs has it."
        )
    driver = (missing.name,) if DRIVERS.match(missing.name) else ()
    return Finding(
        Severity.FAULT,
        "library",
        missing.needed_by[-1].place,
        text,
        facts={
            "library": missing.name,
            "needed_by": needs.place,
            "found": elsewhere.place if elsewhere else None,
            "passed_over": [each.place for each in missing.passed_over],
        },
        advice=Advice(
            link=link, nixpkgs=libraries, libraries=libraries, may_stay_missing=driver, steps=tuple(steps)
        ),
    )


def versions(elf: Elf, scope: Scope) -> tuple[list[Finding], set[Wanted]]:
    """Versions of a library's symbols that the library here is too old for, and the symbols that this is about.

    A library without versions serves any (glibc warns of it).
    """
    lacking: dict[str, list[str]] = {}
    for need in elf.version_needs:
        provider = scope.named(need.library)
        if provider is None or need.weak:
            continue
        has = set(provider.tables.versions.values())
        if has and need.version not in has:
            lacking.setdefault(need.library, []).append(need.version)
    found, about = [], set()
    for library, needed in lacking.items():
        provider = scope.named(library)
        assert provider is not None
        newest = max(needed, key=_order)
        family = newest.rpartition("_")[0]
        here = max(
            (
                name
                for name in provider.tables.versions.values()
                if _order(name) and name.startswith(family + "_")
            ),
            key=_order,
            default="none of that name",
        )
        uses = {each for each in elf.wanted if each.library == library and each.version in needed}
        about |= uses
        found.append(
            Finding(
                Severity.FAULT,
                "version",
                elf.place,
                f"It needs {newest} of {library}; the one here ({provider.place}) ends at {here}.",
                tuple(
                    f"{readable(each.name)}, of {each.version}" for each in sorted(uses, key=lambda x: x.name)
                ),
                {
                    "library": library,
                    "needed": sorted(needed, key=_order),
                    "found": here,
                    "place": provider.place,
                },
                _newer(library, newest),
            )
        )
    return found, about


def _order(version: str) -> list[int]:
    """Its numbers; none where the name says something else, as GLIBC_ABI_DT_X86_64_PLT does."""
    match = re.fullmatch(r"[A-Za-z]+_(\d+(?:\.\d+)*)", version)
    return [int(number) for number in match[1].split(".")] if match else []


def _newer(library: str, version: str) -> Advice:
    order = _order(version)
    if library == "libc.so.6" and len(order) > 1:
        names = next((name for minor, name in GLIBC if order[0] == 2 and minor >= order[1]), None)
        steps = [
            f"It was built on a system with a newer C library{f' ({names} has one)' if names else ''}.",
            "Ask for a build for this system, or build it here; a C library is never replaced beneath a system.",
            "As a package (fromDeb) it gets the C library of nixpkgs, which is newer than most distributions'.",
        ]
        return Advice(steps=tuple(steps))
    if version.startswith(("GLIBCXX_", "CXXABI_", "GCC_")):
        return Advice(
            nixpkgs=(CXX,),
            libraries=(CXX,),
            steps=(
                "It was built with a newer GCC: run it with that compiler's libstdc++, or build it here.",
            ),
        )
    name = attribute(library)
    return Advice(
        nixpkgs=(name,) if name else (),
        libraries=(name,) if name else (),
        steps=(f"It was built with a newer {library}: use that version, or build it here.",),
    )


def unresolved(elf: Elf, scope: Scope, apart: set[Wanted]) -> list[Wanted]:
    """The symbols that nothing that is loaded defines; those of a library that is missing are that library's."""
    gone = {missing.name for missing in scope.missing if scope.named(missing.name) is None}
    return [
        wanted
        for wanted in elf.wanted
        if wanted not in apart and wanted.library not in gone and scope.provider(wanted) is None
    ]


def symbols(
    elf: Elf, left: Sequence[Wanted], providers: dict[Wanted, list[Provider]], scope: Scope
) -> Iterator[Finding]:
    """Symbols that none of the needed libraries defines, by the library that does."""
    rest = list(left)
    gone = sorted(missing.name for missing in scope.missing if scope.named(missing.name) is None)
    for pattern, declared, whose in HOSTS:
        hosts = [wanted for wanted in rest if pattern.match(wanted.name)]
        if hosts:
            rest = [wanted for wanted in rest if wanted not in hosts]
            yield _hosts(elf, hosts, declared, whose)
    chosen = choose({wanted: providers.get(wanted, []) for wanted in rest})
    for provider, wanteds in chosen:
        rest = [wanted for wanted in rest if wanted not in wanteds]
        others = {each.place for wanted in wanteds for each in providers[wanted]} - {provider.place}
        yield _provided(elf, wanteds, provider, sorted(others), gone)
    # Without a provider, the namespace tells what is to be found.
    guesses: dict[str | None, list[Wanted]] = {}
    for wanted in rest:
        guesses.setdefault(guess(readable(wanted.name)), []).append(wanted)
    for library, wanteds in guesses.items():
        yield _nobodys(elf, wanteds, library, gone)


def _items(wanteds: Sequence[Wanted]) -> tuple[str, ...]:
    return tuple(readable(each.name) + (f" ({each.version})" if each.version else "") for each in wanteds)


def _facts(wanteds: Sequence[Wanted]) -> list[dict[str, object]]:
    return [
        {"symbol": each.name, "readable": readable(each.name), "version": each.version, "lazy": each.lazy}
        for each in wanteds
    ]


def _when(wanteds: Sequence[Wanted]) -> str:
    if all(each.lazy for each in wanteds):
        return " A loader that binds lazily says so only when one of them is first called."
    return ""


def _count(wanteds: Sequence[Wanted]) -> str:
    return "a symbol" if len(wanteds) == 1 else f"{len(wanteds)} symbols"


def _hosts(elf: Elf, wanteds: Sequence[Wanted], declared: str, whose: str) -> Finding:
    return Finding(
        Severity.NOTE,
        "symbol",
        elf.place,
        f"It leaves {_count(wanteds)} to {whose}, which is to load it.",
        _items(wanteds),
        {"symbols": _facts(wanteds), "host": whose},
        Advice(
            symbols_from_host=(declared,),
            steps=(f"To check those too: --host FILE, the program of {whose}.",),
        ),
    )


def _provided(
    elf: Elf, wanteds: Sequence[Wanted], provider: Provider, others: Sequence[str], gone: Sequence[str]
) -> Finding:
    name = attribute(provider.soname, provider.place)
    own = provider.where == "package"
    libraries = (name,) if name and not own else ()
    which = "it" if len(wanteds) == 1 else "them"
    steps: tuple[str, ...] = ()
    if re.search(r"\.so\.\d+\.\d", provider.soname) and not own:
        # Boost's manner: each release is another library.
        steps = (
            f"{provider.soname} is of one release alone: declare the name that nixpkgs' has, and build with that.",
        )
    facts = {
        "symbols": _facts(wanteds),
        "provider": {"place": provider.place, "soname": provider.soname, "where": provider.where},
        "also": list(others),
    }
    if gone:
        text = (
            f"It uses {_count(wanteds)} that may be of what is missing ({', '.join(gone)}); of what is here, "
            f"{provider.soname} defines {which}: {provider.place}."
        )
        return Finding(Severity.NOTE, "symbol", elf.place, text, _items(wanteds), facts)
    return Finding(
        Severity.FAULT,
        "symbol",
        elf.place,
        f"It uses {_count(wanteds)} that none of the libraries that it needs defines; "
        f"{provider.soname} defines {which}: {provider.place}.{_when(wanteds)}",
        _items(wanteds),
        facts,
        Advice(
            link=link_flag(provider.soname, provider.place),
            nixpkgs=libraries,
            libraries=libraries,
            steps=steps,
            also_needs=((deb_place(elf.place) if _installed(elf) else f"lib/{elf.name}", provider.soname),),
        ),
    )


def _installed(elf: Elf) -> bool:
    """Whether it is of a .deb, and its place where that would install it."""
    return elf.place != str(elf.path)


def _nobodys(elf: Elf, wanteds: Sequence[Wanted], library: str | None, gone: Sequence[str]) -> Finding:
    text = f"It uses {_count(wanteds)} that neither the libraries that it needs nor any other that was asked defines."
    steps = [
        "Name the folder that has the library (--in FOLDER), or the program that loads it (--host FILE)."
    ]
    severity = Severity.FAULT
    link: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    if library is not None:
        name = attribute(f"lib{library}.so")
        text += f" By the name, {'it is' if len(wanteds) == 1 else 'they are'} of {library}."
        link, libraries = (f"-l{library}",), (name,) if name else ()
    elif gone:
        severity = Severity.NOTE
        text = f"It uses {_count(wanteds)} that may be of what is missing: {', '.join(gone)}."
        steps = []
    hosts = () if library or gone else tuple(each.name for each in wanteds)
    return Finding(
        severity,
        "symbol",
        elf.place,
        text + _when(wanteds),
        _items(wanteds),
        {"symbols": _facts(wanteds), "provider": None, "likely": library},
        Advice(
            link=link,
            nixpkgs=libraries,
            libraries=libraries,
            symbols_from_host=hosts[:20],
            steps=tuple(steps),
        ),
    )


def stack(elf: Elf) -> Iterator[Finding]:
    """A library that asks for an executable stack, which the loader gives no more."""
    if elf.executable_stack and elf.kind == "library":
        yield Finding(
            Severity.RISK,
            "stack",
            elf.place,
            "It asks for an executable stack; the GNU C library from 2.41 on refuses to load such a library into a "
            "running program.",
            advice=Advice(
                steps=(f"patchelf --clear-execstack {elf.name}, or assemble it with -Wa,--noexecstack.",)
            ),
        )
