"""One check for each kind of value: it returns the value as it is applied, or what is wrong with it."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

MAKE_KEY = (
    'Make it with `nixel-provision hash-wifi SSID`, which asks for the passphrase, and write psk = "...".'
)
MAKE_HASH = (
    'Make a hash with `mkpasswd -m yescrypt`, which asks for the password, and write password-hash = "...".'
)


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a value: found, expected, what to do."""

    found: str
    expected: str
    remedy: str


Check = Callable[[str], str | Wrong]

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LOCALE = re.compile(r"(?:C|[a-z]{2,3}_[A-Z]{2})\.UTF-8")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,2}")
_INTERFACE = re.compile(r"[a-z0-9*?._-]{1,15}")
_PSK = re.compile(r"[0-9a-fA-F]{64}")
# crypt(5): what libxcrypt makes and checks; the other methods are weaker or not in every libcrypt.
_YESCRYPT = re.compile(r"\$y\$[./A-Za-z0-9]+\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}")
_SHA512 = re.compile(r"\$6\$(?:rounds=[1-9][0-9]{3,8}\$)?[!-#%-9;-~]{1,16}\$[./0-9A-Za-z]{86}")
_OTHER_CRYPT = re.compile(r"\$(?P<method>[a-z0-9]+)\$.+|[./0-9A-Za-z]{13}")
_KEY_TYPES = {
    "ssh-ed25519": "an Ed25519 key",
    "ecdsa-sha2-nistp256": "an ECDSA key",
    "ecdsa-sha2-nistp384": "an ECDSA key",
    "ecdsa-sha2-nistp521": "an ECDSA key",
    "sk-ssh-ed25519@openssh.com": "an Ed25519 key on a token",
    "sk-ecdsa-sha2-nistp256@openssh.com": "an ECDSA key on a token",
    "ssh-rsa": "an RSA key",
}
_LEAST_RSA_BITS = 2048
_SHOWN = 60


def describe(value: object) -> str:
    """Say what kind of value stands where a text was expected, without showing it."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return f"a text of {len(value)} characters (not shown)"
    names = {int: "a number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(value), "a date or time")


def _quoted(text: str) -> str:
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return '"' + "".join(each if each.isprintable() else "?" for each in shown) + '"'


def host_name(text: str) -> str | Wrong:
    """Check a host name: one DNS label (RFC 1123), lower case."""
    if _LABEL.fullmatch(text):
        return text
    expected = "1 to 63 letters a-z, digits and hyphens, no hyphen at either end, no dots"
    return Wrong(_quoted(text), expected, 'Write for example host-name = "scanner-07".')


def one_of(text: str, known: Collection[str], what: str) -> str | Wrong:
    """Check that a name is one of those known."""
    if text in known:
        return text
    return Wrong(
        _quoted(text), f"one of the {what} of this system", "Choose among " + ", ".join(sorted(known)) + "."
    )


def locale(text: str, known: Collection[str] | None) -> str | Wrong:
    """Check a locale: its form, and that this system has it."""
    if not _LOCALE.fullmatch(text):
        return Wrong(_quoted(text), "a locale in UTF-8", 'Write for example locale = "de_DE.UTF-8".')
    return text if known is None else one_of(text, known, "locales")


def time_zone(text: str, known: Collection[str] | None) -> str | Wrong:
    """Check a time zone by its name in the IANA database."""
    if not _ZONE.fullmatch(text) or (known is not None and text not in known):
        expected = "a name of the IANA time zone database"
        return Wrong(_quoted(text), expected, 'Write for example time-zone = "Europe/Berlin" or "UTC".')
    return text


def interface(text: str) -> str | Wrong:
    """Check the name of a network interface, or a pattern for names."""
    if _INTERFACE.fullmatch(text):
        return text
    expected = "a name of up to 15 characters; * and ? stand for others"
    return Wrong(_quoted(text), expected, 'Write for example interface = "enp3s0" or "en*".')


def ssid(text: str) -> str | Wrong:
    """Check the name of a wireless network: 1 to 32 bytes (IEEE 802.11), printable."""
    if 1 <= len(text.encode()) <= 32 and text.isprintable():
        return text
    return Wrong(
        _quoted(text), "1 to 32 bytes of printable text", "Write the name as the access point shows it."
    )


def wifi_key(text: str) -> str | Wrong:
    """Check a wireless key: the 256-bit pairwise master key, not the passphrase that it is made from."""
    if _PSK.fullmatch(text):
        return text.lower()
    found = "what looks like a plain passphrase (not shown)" if 8 <= len(text) <= 63 else describe(text)
    return Wrong(found, "64 hexadecimal digits", MAKE_KEY)


def password_hash(text: str) -> str | Wrong:
    """Check a password's hash: yescrypt or SHA-512 of crypt(5)."""
    if _YESCRYPT.fullmatch(text) or _SHA512.fullmatch(text):
        return text
    expected = "a hash that starts with $y$ (yescrypt) or $6$ (SHA-512)"
    for begin, name in (("$y$", "yescrypt"), ("$6$", "SHA-512")):
        if text.startswith(begin):
            return Wrong(f"a broken {name} hash (not shown)", "a whole one", f"Copy all of it. {MAKE_HASH}")
    other = _OTHER_CRYPT.fullmatch(text)
    if other and other["method"]:
        return Wrong("a hash of another kind (not shown)", expected, MAKE_HASH)
    return Wrong("what looks like a plain password (not shown)", expected, MAKE_HASH)


def ssh_key(text: str) -> str | Wrong:
    """Check an SSH public key: its type, and that its body is a key of that type."""
    expected = "a public key in one line: ssh-ed25519 AAAA... comment"
    if "PRIVATE KEY" in text:
        remedy = "Use the file whose name ends in .pub; treat the private key as lost and make another."
        return Wrong("a private key (not shown)", expected, remedy)
    remedy = "Copy the whole line of the .pub file."
    kind, _, rest = text.strip().partition(" ")
    if kind not in _KEY_TYPES:
        known = "a type among " + ", ".join(_KEY_TYPES) + " first, without options"
        return Wrong(describe(text), known, remedy)
    body, _, comment = rest.strip().partition(" ")
    try:
        blob = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return Wrong(f"{_KEY_TYPES[kind]} whose body is no base64", expected, remedy)
    fields = _fields(blob)
    if fields is None or len(fields) < 2 or fields[0] != kind.encode():
        return Wrong(f"{_KEY_TYPES[kind]} that is broken or cut short", expected, remedy)
    if kind == "ssh-ed25519" and len(fields[1]) != 32:
        return Wrong("an Ed25519 key that is not 32 bytes long", expected, remedy)
    if kind == "ssh-rsa" and (len(fields) != 3 or int.from_bytes(fields[2]).bit_length() < _LEAST_RSA_BITS):
        what = f"at least {_LEAST_RSA_BITS} bits"
        return Wrong("an RSA key that is too short", what, "Make a key with `ssh-keygen -t ed25519`.")
    if not comment.isprintable():
        return Wrong("a comment with line ends or control characters", "one line", remedy)
    return " ".join(filter(None, (kind, body, comment.strip())))


def _fields(blob: bytes) -> list[bytes] | None:
    """Take a key's body apart (RFC 4253, 6.6): fields, each after its length; `None` if it is cut short."""
    fields = []
    while blob:
        length = int.from_bytes(blob[:4])
        if len(blob) < 4 + length or len(blob) < 4:
            return None
        fields.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return fields


# --- addresses ---


def address(text: str) -> str | Wrong:
    """Check an address with its prefix length, or `dhcp`."""
    if text == "dhcp":
        return text
    expected = 'an address with its prefix length, "192.168.1.20/24", or "dhcp"'
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        return Wrong(_quoted(text), expected, "Ask whoever runs the network for both.")
    if "/" not in text:
        many = "24" if found.version == 4 else "64"
        return Wrong(_quoted(text), expected, f"Add the prefix length; {text}/{many} is the usual one.")
    if "/" in text and not text.rpartition("/")[2].isdigit():
        return Wrong(_quoted(text), expected, f"Write the mask as {found.with_prefixlen}.")
    if found.is_multicast or found.is_loopback or found.is_unspecified:
        return Wrong(
            _quoted(text), "an address of one machine in a network", "Write this machine's own address."
        )
    network = found.network
    ends = {network.network_address, network.broadcast_address} if network.num_addresses > 2 else set()
    if found.version == 4 and found.ip in ends:
        what = f"an address inside {network}; this one is the network's own"
        return Wrong(_quoted(text), what, "Write this machine's own address.")
    return found.with_prefixlen


def server(text: str) -> str | Wrong:
    """Check the address of a gateway or a name server."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        remedy = (
            "Write the number, without a prefix length." if "/" in text else "Write its number, not its name."
        )
        return Wrong(_quoted(text), 'an address such as "192.168.1.1"', remedy)
    if found.is_multicast or found.is_unspecified:
        return Wrong(_quoted(text), "the address of one machine", "Write the server's own address.")
    return str(found)


def reachable(gateway: str, own: str) -> Wrong | None:
    """Check that a gateway stands in the network of an address that was checked, and is another machine."""
    here, there = ipaddress.ip_interface(own), ipaddress.ip_address(gateway)
    if there == here.ip:
        return Wrong(gateway, "another machine's address than this one's", "Write the router's address.")
    if there.version == 6 and there.is_link_local:
        return None
    if there not in here.network:
        return Wrong(
            gateway, f"an address inside {here.network}", "Correct the gateway, or the prefix length."
        )
    return None
