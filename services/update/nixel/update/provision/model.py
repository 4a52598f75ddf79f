"""What a machine is provisioned with, and what is wrong with a file that says so."""

from __future__ import annotations

from dataclasses import dataclass, field

# The accounts that a system of ours declares; a provisioning gives them a password and keys, it never makes others.
ACCOUNTS = ("operator", "technician")

# Name in the file: console key map (kbd's name), and layout and variant as the graphical session calls them (XKB).
# One name for both, because the two disagree ("uk" and "gb") and nobody should have to know.
KEYBOARDS = {
    "be": ("be-latin1", "be", ""),
    "br": ("br-abnt2", "br", ""),
    "ch": ("de_CH-latin1", "ch", ""),
    "ch-fr": ("fr_CH-latin1", "ch", "fr"),
    "de": ("de-latin1", "de", ""),
    "de-nodeadkeys": ("de-latin1-nodeadkeys", "de", "nodeadkeys"),
    "dk": ("dk-latin1", "dk", ""),
    "es": ("es", "es", ""),
    "fi": ("fi", "fi", ""),
    "fr": ("fr-latin1", "fr", ""),
    "gb": ("uk", "gb", ""),
    "hu": ("hu", "hu", ""),
    "it": ("it", "it", ""),
    "jp": ("jp106", "jp", ""),
    "nl": ("nl", "nl", ""),
    "no": ("no", "no", ""),
    "pl": ("pl", "pl", ""),
    "pt": ("pt-latin1", "pt", ""),
    "se": ("sv-latin1", "se", ""),
    "us": ("us", "us", ""),
}


@dataclass(frozen=True, slots=True)
class Known:
    """What this machine can be set to.

    Attributes
    ----------
    locales
        The locales in its closure; `None` if that is not known here, and then only the form is checked.
    zones
        The names of its time zones; `None` likewise.
    interface
        Which wired interfaces `[network]` means if it names none (a shell pattern, as systemd matches it).
    """

    locales: frozenset[str] | None = None
    zones: frozenset[str] | None = None
    interface: str = "en*"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a file, for the person who wrote it.

    Attributes
    ----------
    key
        Where: `wifi.psk`; empty for the file as a whole.
    found
        What stands there; never the value of a secret.
    expected
        What should.
    remedy
        What to do.
    """

    key: str
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        where = self.key or "nixel.toml"
        return f"{where}: found {self.found}; expected {self.expected}. {self.remedy}"


@dataclass(frozen=True, slots=True)
class Wifi:
    """A network with WPA2: its name, and the 256-bit key as 64 hexadecimal digits, lower case."""

    ssid: str
    psk: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Network:
    """The wired network.

    Attributes
    ----------
    interface
        Which interfaces; a shell pattern.
    address
        With prefix length, `192.168.1.20/24`; empty for DHCP.
    gateway
        Empty for none, or for the one that DHCP names.
    dns
        Name servers; empty for those that DHCP names.
    """

    interface: str
    address: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """One of `ACCOUNTS`: its password's hash (empty: it has none and cannot log in with one) and its SSH keys."""

    name: str
    password_hash: str = field(default="", repr=False)
    ssh_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provision:
    """What one `nixel.toml` says; what it does not name is empty or `None` and stays as it is on the machine."""

    host_name: str = ""
    locale: str = ""
    time_zone: str = ""
    keyboard: str = ""
    wifi: Wifi | None = None
    network: Network | None = None
    accounts: tuple[Account, ...] = ()

    def named(self) -> tuple[str, ...]:
        """Name the keys that it sets, for a note without their values."""
        single = {
            "host-name": self.host_name,
            "locale": self.locale,
            "time-zone": self.time_zone,
            "keyboard": self.keyboard,
            "wifi": self.wifi,
            "network": self.network,
        }
        return (*(key for key, value in single.items() if value), *(each.name for each in self.accounts))
