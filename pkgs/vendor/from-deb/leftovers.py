"""Last step: no file may go on naming a place where the .deb's files would have been, unless that is declared."""

import fnmatch
import json

import deb


def main() -> None:
    """Look through every file as bytes."""
    places = json.loads(deb.PLACES.read_text())
    if not places:
        return
    pattern = deb.mentions(places)
    problems = []
    for path in deb.files():
        name = deb.short(path)
        if any(fnmatch.fnmatchcase(name, allowed) for allowed in deb.DECLARED["mayNameOldPlaces"]):
            continue
        data = path.read_bytes()
        named = sorted({match[0].decode() for match in pattern.finditer(data)})
        if named:
            problems.append(
                f"{name} still names {', '.join(named)}, and a path in a program cannot grow into the store's.\n"
                f'    If it is harmless: mayNameOldPlaces = [ "{name}" ];\n'
                "    If the program reads from there when it runs, package it with fhs, which gives it that place."
            )
    deb.refuse(problems)


main()
