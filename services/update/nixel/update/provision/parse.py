"""`nixel.toml` to a `Provision`, or everything that is wrong with it at once."""

from __future__ import annotations

import difflib
import re
import tomllib
from typing import TYPE_CHECKING, Any

from nixel.update.provision import checks
from nixel.update.provision.checks import Wrong
from nixel.update.provision.model import (
    ACCOUNTS,
    KEYBOARDS,
    Account,
    Known,
    Network,
    Problem,
    Provision,
    Wifi,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

TOP = ("host-name", "locale", "time-zone", "keyboard", "wifi", "network", *ACCOUNTS)
TABLES = {
    "wifi": ("ssid", "psk"),
    "network": ("interface", "address", "gateway", "dns"),
    **dict.fromkeys(ACCOUNTS, ("password-hash", "ssh-keys")),
}
# What people write who have the secret itself; it must not stand in a file on a card, so it is not a key.
PLAIN = {
    "wifi": (("passphrase", "password", "pass", "key"), "psk", checks.MAKE_KEY),
    **dict.fromkeys(ACCOUNTS, (("password", "passwd", "pass"), "password-hash", checks.MAKE_HASH)),
}
_LINE = re.compile(r"\(at line (\d+), column (\d+)\)")


def parse(text: str, known: Known | None = None) -> Provision | list[Problem]:
    """Read a provisioning file.

    Parameters
    ----------
    text
        The content of `nixel.toml`.
    known
        What this machine can be set to; without it only forms are checked.

    Returns
    -------
    Provision or list of Problem
        The list names every problem and is never empty; no problem shows the value of a secret.
    """
    try:
        document = tomllib.loads(text.removeprefix("\ufeff"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return [_no_toml(error)]
    reader = _Reader(known or Known())
    provision = reader.read(document)
    if not reader.problems and not provision.named():
        reader.add(
            "", Wrong("nothing to set", "at least one of " + ", ".join(TOP), "Set one, or remove the file.")
        )
    return reader.problems or provision


def _no_toml(error: Exception) -> Problem:
    # The parser's own words may quote the line, and the line may hold a secret: only the place is told.
    place = _LINE.search(str(error))
    where = f"line {place[1]}, column {place[2]}" if place else "its end"
    return Problem(
        "",
        f"something that is not TOML at {where}",
        'lines like host-name = "scanner-07" and tables like [wifi]',
        "Mind quotes around every text and that no key stands twice; docs/provisioning.md has a whole file.",
    )


class _Reader:
    """Takes a document apart and collects what is wrong with it."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.problems: list[Problem] = []

    def add(self, key: str, wrong: Wrong) -> None:
        self.problems.append(Problem(key, wrong.found, wrong.expected, wrong.remedy))

    def read(self, document: dict[str, Any]) -> Provision:
        self.unknown("", document, TOP)
        return Provision(
            host_name=self.value(document, "", "host-name", checks.host_name),
            locale=self.value(document, "", "locale", lambda it: checks.locale(it, self.known.locales)),
            time_zone=self.value(
                document, "", "time-zone", lambda it: checks.time_zone(it, self.known.zones)
            ),
            keyboard=self.value(
                document, "", "keyboard", lambda it: checks.one_of(it, KEYBOARDS, "keyboards")
            ),
            wifi=self.wifi(document),
            network=self.network(document),
            accounts=tuple(filter(None, (self.account(document, name) for name in ACCOUNTS))),
        )

    def wifi(self, document: dict[str, Any]) -> Wifi | None:
        table = self.table(document, "wifi")
        if table is None:
            return None
        if "ssid" not in table:
            self.add("wifi.ssid", Wrong("nothing", "the network's name", 'Add ssid = "NAME" under [wifi].'))
        if "psk" not in table and not any(key in table for key in PLAIN["wifi"][0]):
            what = "the key of the network as 64 hexadecimal digits; a network without a key is not joined"
            self.add("wifi.psk", Wrong("nothing", what, checks.MAKE_KEY))
        return Wifi(
            self.value(table, "wifi", "ssid", checks.ssid), self.value(table, "wifi", "psk", checks.wifi_key)
        )

    def network(self, document: dict[str, Any]) -> Network | None:
        table = self.table(document, "network")
        if table is None:
            return None
        address = self.value(table, "network", "address", checks.address)
        gateway = self.value(table, "network", "gateway", checks.server)
        servers = self.values(table, "network", "dns", checks.server)
        interface = self.value(table, "network", "interface", checks.interface) or self.known.interface
        if gateway:
            if "address" not in table or table["address"] == "dhcp":
                what = "an address beside it; with DHCP the router is told by the network"
                self.add("network.gateway", Wrong(gateway, what, "Add address, or remove gateway."))
            elif address:
                wrong = checks.reachable(gateway, address)
                if wrong:
                    self.add("network.gateway", wrong)
        if not table:
            what = 'address = "192.168.1.20/24" or "dhcp"'
            self.add(
                "network", Wrong("an empty table", what, "Add what the network needs, or remove [network].")
            )
        return Network(interface, "" if address == "dhcp" else address, gateway, servers)

    def account(self, document: dict[str, Any], name: str) -> Account | None:
        table = self.table(document, name)
        if table is None:
            return None
        if not table:
            what = "password-hash, ssh-keys or both"
            self.add(name, Wrong("an empty table", what, f"Add one, or remove [{name}]."))
        return Account(
            name,
            self.value(table, name, "password-hash", checks.password_hash),
            self.values(table, name, "ssh-keys", checks.ssh_key),
        )

    # --- the document's parts ---

    def table(self, document: dict[str, Any], name: str) -> dict[str, Any] | None:
        found = document.get(name)
        if found is None:
            return None
        if not isinstance(found, dict):
            self.add(
                name, Wrong(checks.describe(found), f"a table: a line [{name}] of its own", "Write it so.")
            )
            return None
        secrets = PLAIN.get(name)
        if secrets:
            plain, instead, remedy = secrets
            for key in plain:
                if key in found:
                    what = f"{instead}, which is made from it"
                    self.add(f"{name}.{key}", Wrong("a secret in plain words (not shown)", what, remedy))
            self.unknown(name, {key for key in found if key not in plain}, TABLES[name])
        else:
            self.unknown(name, found, TABLES[name])
        return found

    def unknown(self, table: str, found: Iterable[str], keys: tuple[str, ...]) -> None:
        for key in found:
            if key in keys:
                continue
            near = difflib.get_close_matches(key.lower().replace("_", "-"), keys, 1)
            remedy = f"Did you mean {near[0]}?" if near else "Remove it."
            shown = key if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", key) else "a key that is no plain word"
            where = f"{table}.{shown}" if table else shown
            self.add(where, Wrong("a key that nixel does not know", "one of " + ", ".join(keys), remedy))

    def value(self, table: dict[str, Any], prefix: str, key: str, check: checks.Check) -> str:
        if key not in table:
            return ""
        name = f"{prefix}.{key}" if prefix else key
        return self.checked(name, table[key], check)

    def values(self, table: dict[str, Any], prefix: str, key: str, check: checks.Check) -> tuple[str, ...]:
        found = table.get(key, [])
        if not isinstance(found, list):
            self.add(
                f"{prefix}.{key}", Wrong(checks.describe(found), 'a list: ["..."]', "Put it in brackets.")
            )
            return ()
        return tuple(self.checked(f"{prefix}.{key}[{at}]", each, check) for at, each in enumerate(found, 1))

    def checked(self, name: str, found: object, check: checks.Check) -> str:
        if not isinstance(found, str):
            self.add(name, Wrong(checks.describe(found), "a text in quotes", "Put quotes around it."))
            return ""
        checked = check(found)
        if isinstance(checked, Wrong):
            self.add(name, checked)
            return ""
        return checked
