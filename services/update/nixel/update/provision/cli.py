"""The command line of `nixel-provision`."""

from __future__ import annotations

import argparse
import getpass
import hashlib
import subprocess
import sys
import zoneinfo
from pathlib import Path
from typing import TYPE_CHECKING

from nixel.update.provision import checks
from nixel.update.provision.apply import INPUT, apply, present, read, refusal
from nixel.update.provision.model import Known, Problem
from nixel.update.provision.parse import parse
from nixel.update.provision.plan import commands

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Describe the command line.

    Returns
    -------
    argparse.ArgumentParser
        Of nixel-provision.
    """
    made = argparse.ArgumentParser(
        prog="nixel-provision", description="Give a machine its name, network and accounts from nixel.toml."
    )
    verbs = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = verbs.add_parser("check", help="say what is wrong with a file, without applying it")
    check.add_argument("file", type=Path, metavar="FILE")
    make = verbs.add_parser("apply", help="apply the file on the boot partition, and remove it (run at boot)")
    make.add_argument("--boot", type=Path, default=Path("/boot"), metavar="DIR", help="the boot partition")
    effect = verbs.add_parser("activate", help="put into effect what was applied (run at every boot)")
    for each in (make, effect):
        each.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="the machine under DIR")
    for each in (check, make):
        each.add_argument(
            "--locale",
            action="append",
            metavar="NAME",
            help="a locale of this system; only those named are taken",
        )
        each.add_argument(
            "--interface",
            default="en*",
            metavar="PATTERN",
            help="which interfaces [network] means without one",
        )
    wifi = verbs.add_parser("hash-wifi", help="make the key of a wireless network from its passphrase")
    wifi.add_argument("ssid", metavar="SSID", help="the network's name")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run nixel-provision.

    Parameters
    ----------
    argv
        The arguments; those of the process if `None`.

    Returns
    -------
    int
        0; 1 if a file is refused or a command fails; 2 if something cannot be read or written.
    """
    arguments = parser().parse_args(argv)
    try:
        match arguments.command:
            case "check":
                return _check(arguments.file, _known(arguments))
            case "apply":
                return _apply(arguments.boot, arguments.root, _known(arguments))
            case "activate":
                return _activate(arguments.root)
            case _:
                return _hash_wifi(arguments.ssid)
    except OSError as error:
        remedy = "Look whether the storage is full, write-protected or broken, and start the machine again."
        print(
            f"nixel-provision: {error.filename or 'the storage'}: {error.strerror}. {remedy}", file=sys.stderr
        )
        return 2


def wireless_key(passphrase: str, ssid: str) -> str:
    """Derive the key of a WPA2 network (IEEE 802.11-2020, J.4.1).

    Parameters
    ----------
    passphrase
        8 to 63 printable ASCII characters.
    ssid
        The network's name.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hashlib.pbkdf2_hmac("sha1", passphrase.encode("ascii"), ssid.encode(), 4096, 32).hex()


def _known(arguments: argparse.Namespace) -> Known:
    locales = None if arguments.locale is None else frozenset(arguments.locale)
    # A machine without the database can only check the form.
    return Known(locales, frozenset(zoneinfo.available_timezones()) or None, arguments.interface)


def _check(file: Path, known: Known) -> int:
    text = read(file)
    found = [text] if isinstance(text, Problem) else parse(text, known)
    if isinstance(found, list):
        print("\n".join(str(each) for each in found), file=sys.stderr)
        return 1
    print(f"{file} is right. It sets: {', '.join(found.named())}.")
    return 0


def _apply(boot: Path, root: Path, known: Known) -> int:
    if not (boot / INPUT).is_file():
        print(f"There is no {INPUT} on {boot}: nothing to apply.")
        return 0
    outcome = apply(boot, root, known)
    if outcome.problems:
        print(refusal(list(outcome.problems)), file=sys.stderr)
        return 1
    print(outcome.text)
    return 0


def _activate(root: Path) -> int:
    status = 0
    for command in commands(present(root)):
        try:
            code = subprocess.run(command, check=False).returncode
        except FileNotFoundError:
            code = 127
        if code != 0:
            # The others are still worth having: a console without its key map is no reason for no accounts.
            print(
                f"nixel-provision: {' '.join(command)} ended with {code}; see its journal.", file=sys.stderr
            )
            status = 1
    return status


def _hash_wifi(ssid: str) -> int:
    name = checks.ssid(ssid)
    if isinstance(name, checks.Wrong):
        print(
            f"nixel-provision: the name {name.found} is not {name.expected}. {name.remedy}", file=sys.stderr
        )
        return 2
    passphrase = getpass.getpass(f"Passphrase of {ssid} (not shown): ")
    if not (8 <= len(passphrase) <= 63 and passphrase.isascii() and passphrase.isprintable()):
        print(
            "nixel-provision: a passphrase has 8 to 63 printable ASCII characters. Try again.",
            file=sys.stderr,
        )
        return 2
    print(f'psk = "{wireless_key(passphrase, ssid)}"')
    return 0


if __name__ == "__main__":
    sys.exit(main())
