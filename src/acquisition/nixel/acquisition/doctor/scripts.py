"""What of a .deb is not its programs: what it depends on, what its scripts would do, its udev rules, its links."""

import re
from collections.abc import Iterator
from posixpath import dirname, join, normpath

from nixel.acquisition.doctor.deb import Deb
from nixel.acquisition.doctor.findings import Advice, Finding, Severity
from nixel.acquisition.doctor.packages import LIBC, attribute, deb_place, debian_library

# Commands of a maintainer's script to what they do there, and what does it in NixOS ("NAME" is the package).
COMMANDS = (
    (r"udevadm|/udev/rules\.d", "tells udev of new rules", "services.udev.packages = [ NAME ];"),
    (r"(?:addgroup|groupadd)\b", "makes a group", "users.groups.GROUP = { };"),
    (r"(?:adduser|useradd)\b", "makes a user", "users.users.USER = { isSystemUser = true; group = \"GROUP\"; };"),
    (r"usermod|gpasswd", "puts users into a group", "users.users.USER.extraGroups = [ \"GROUP\" ];"),
    (r"dkms|depmod", "builds or adds a kernel module", "boot.extraModulePackages = [ MODULE ];"),
    (r"modprobe|insmod|/etc/modules", "loads a kernel module", "boot.kernelModules = [ \"MODULE\" ];"),
    (r"systemctl|deb-systemd-helper|update-rc\.d|invoke-rc\.d|service\s+\S+\s+(?:re)?start",
     "starts a service", "systemd.packages = [ NAME ];"),
    (r"sysctl", "sets the kernel's parameters", "boot.kernel.sysctl.\"KEY\" = VALUE;"),
    (r"setcap", "gives a program capabilities", "security.wrappers.PROGRAM = { ... };"),
    (r"update-alternatives", "chooses among programs of one purpose", None),
    (r"(?:curl|wget)\b", "downloads something that is not in the package", None),
    (r"/lib/firmware", "puts firmware where the kernel looks", "hardware.firmware = [ NAME ];"),
)  # fmt: skip
# A command that writes, and where.
WRITES = re.compile(
    r"^\s*(?:sudo\s+)?(?:cp|mv|ln|install|mkdir|touch|chmod|chown|sed\s+-i\S*|rm|tar|unzip)\b.*\s"
    r"(/(?:usr|opt|etc|lib|var|srv|home|root)/[\w./+@-]+)"
    r"|>{1,2}\s*(/(?:usr|opt|etc|lib|var|srv|home|root)/[\w./+@-]+)"
)
RUNS = re.compile(r'(?:RUN|PROGRAM|IMPORT)(?:\{\w+\})?\s*\+?=+\s*"(/[^\s"]+)')
NAMES_GROUP = re.compile(r'GROUP\s*:?=\s*"([^"]+)"')
# Groups that NixOS makes by itself.
GROUPS = {
    "root",
    "audio",
    "dialout",
    "disk",
    "input",
    "kvm",
    "lp",
    "plugdev",
    "render",
    "tty",
    "uucp",
    "users",
    "video",
}


def scripts(deb: Deb, package: str) -> Iterator[Finding]:
    """What the maintainer's scripts would do, which fromDeb does not."""
    for name, text in deb.scripts.items():
        does: dict[str, str | None] = {}
        writes: list[str] = []
        for line in text.splitlines():
            line = line.split("#", 1)[0]
            for pattern, meaning, nixos in COMMANDS:
                if re.search(rf"(?:^|[\s;&|(`/]){pattern}" if pattern[0] != "/" else pattern, line):
                    does.setdefault(meaning, nixos.replace("NAME", package) if nixos else None)
            if match := WRITES.search(line):
                writes.append(match[1] or match[2])
        # What is undone when a package goes is nobody's business where nothing was done.
        if name in ("prerm", "postrm") or not (does or writes):
            continue
        if writes:
            does.setdefault(f"writes to {', '.join(dict.fromkeys(writes))}", None)
        yield Finding(
            Severity.RISK,
            "script",
            name,
            f"Its {name} does what fromDeb does not, for it is not run.",
            tuple(does),
            {"script": name, "does": list(does), "writes": writes},
            Advice(
                nixos=tuple(dict.fromkeys(filter(None, does.values()))),
                steps=(f"Read it: dpkg-deb --ctrl-tarfile X.deb | tar -xO ./{name}",),
            ),
        )


def rules(deb: Deb, package: str) -> Iterator[Finding]:
    """Programs and groups that udev rules name."""
    for place, text in deb.texts.items():
        if not place.endswith(".rules"):
            continue
        lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
        programs = list(dict.fromkeys(match[1] for line in lines for match in RUNS.finditer(line)))
        absent = [each for each in programs if each not in deb.files and each not in deb.links]
        groups = [
            each
            for each in dict.fromkeys(match[1] for line in lines for match in NAMES_GROUP.finditer(line))
            if each not in GROUPS
        ]
        if absent:
            yield Finding(
                Severity.RISK,
                "place",
                place,
                "Its rules start programs that the package does not have.",
                tuple(absent),
                {"places": absent},
                Advice(
                    steps=(
                        f"Put the right paths into {deb_place(place)}: NixOS has nothing in /usr and /bin but sh.",
                    )
                ),
            )
        yield Finding(
            Severity.NOTE,
            "place",
            place,
            "It has udev rules; NixOS takes those of packages that are declared."
            + (f" They name {', '.join(groups)}, which nobody else makes." if groups else ""),
            facts={"programs": programs, "groups": groups},
            advice=Advice(
                nixos=(
                    f"services.udev.packages = [ {package} ];",
                    *(f"users.groups.{each} = {{ }};" for each in groups),
                )
            ),
        )


def dependencies(deb: Deb) -> Iterator[Finding]:
    """What it depends on, as far as the names of Debian's packages tell of nixpkgs'."""
    named = ", ".join(filter(None, (deb.control.get("Pre-Depends"), deb.control.get("Depends"))))
    found: dict[str, str | None] = {}
    for alternatives in re.split(r"\s*,\s*", named):
        # The first of several alternatives is the one that is meant.
        match = re.match(r"([a-z0-9][a-z0-9+.-]+)", alternatives)
        if match:
            library = debian_library(match[1])
            if library is None or not LIBC.match(library):
                found[match[1]] = attribute(library) if library else None
    if not found:
        return
    known = tuple(dict.fromkeys(filter(None, found.values())))
    yield Finding(
        Severity.NOTE,
        "dependency",
        "control",
        "It depends on packages of Debian's.",
        tuple(f"{name}: {each or 'see nix-locate or search.nixos.org'}" for name, each in found.items()),
        {"depends": found},
        Advice(nixpkgs=known, libraries=known),
    )


def contents(deb: Deb) -> Iterator[Finding]:
    """What no honest package has, and links to what the package lacks."""
    for sentence in deb.strange:
        yield Finding(
            Severity.FAULT,
            "package",
            "data.tar",
            sentence,
            advice=Advice(steps=("Do not install it: ask the vendor where it comes from.",)),
        )
    have = deb.files | deb.folders | deb.links.keys()
    for place, target in deb.links.items():
        whole = normpath(join(dirname(place), target))
        if whole not in have:
            yield Finding(
                Severity.RISK,
                "package",
                place,
                f"It is a link to {whole}, which the package does not have.",
                facts={"target": whole},
                advice=Advice(
                    steps=("Package what it leans on first, or ask the vendor for the complete package.",)
                ),
            )
