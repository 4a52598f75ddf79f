"""What the tests of provisioning share: keys and hashes of the right form, a whole file, and files by the hundred."""

from __future__ import annotations

import base64

from hypothesis import strategies as st

from nixel.update.provision import Account, Known, Network, Provision, Wifi
from nixel.update.provision.model import KEYBOARDS

# The forms of crypt(5), the shortest yescrypt setting that mkpasswd makes.
SHA512 = "$6$saltsalt$" + "a" * 86
YESCRYPT = "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$" + "X" * 43
PSK = "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"

# The numbers of an RSA key as SSH writes them.
EXPONENT = b"\1\0\1"
STRONG, WEAK = bytes([0, 255]) + bytes(383), b"\1" + bytes(127)


def public_key(kind: str = "ssh-ed25519", *fields: bytes, comment: str = "anna@clinic") -> str:
    parts = [kind.encode(), *(fields or (bytes(range(32)),))]
    blob = b"".join(len(part).to_bytes(4) + part for part in parts)
    return f"{kind} {base64.b64encode(blob).decode()} {comment}".strip()


KEY = public_key()
KNOWN = Known(frozenset({"de_DE.UTF-8", "en_US.UTF-8"}), frozenset({"Europe/Berlin", "UTC"}), "en*")

WHOLE = f"""
host-name = "scanner-07"
locale = "de_DE.UTF-8"
time-zone = "Europe/Berlin"
keyboard = "de"

[wifi]
ssid = "Klinik Gäste"
psk = "{PSK}"

[network]
address = "192.168.1.20/24"
gateway = "192.168.1.1"
dns = ["192.168.1.1", "2001:db8::53"]

[operator]
password-hash = "{YESCRYPT}"

[technician]
password-hash = "{SHA512}"
ssh-keys = ["{KEY}"]
"""


# --- strategies ---

CRYPT = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def crypt_text(least: int, most: int):
    return st.text(CRYPT, min_size=least, max_size=most)


hashes = st.one_of(
    st.builds(lambda salt, body: f"$6${salt}${body}", crypt_text(1, 16), crypt_text(86, 86)),
    st.builds(lambda salt, body: f"$y$j9T${salt}${body}", crypt_text(1, 22), crypt_text(43, 43)),
)
keys = st.builds(
    lambda body, comment: public_key("ssh-ed25519", body, comment=comment),
    st.binary(min_size=32, max_size=32),
    st.from_regex(r"[a-z]+@[a-z]+", fullmatch=True),
)
printable = st.characters(codec="utf-8").filter(str.isprintable)
names = st.text(printable, min_size=1, max_size=32).filter(lambda it: len(it.encode()) <= 32)
wired = st.one_of(
    st.builds(lambda dns: Network("en*", dns=dns), st.just(("9.9.9.9",))),
    st.builds(
        lambda host, dns: Network("enp3s0", f"10.1.2.{host}/24", "10.1.2.1", tuple(dns)),
        st.integers(2, 254),
        st.lists(st.ip_addresses(network="192.168.0.0/16").map(str), max_size=3),
    ),
)
provisions = st.builds(
    Provision,
    host_name=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True),
    locale=st.sampled_from(["", *sorted(KNOWN.locales)]),
    time_zone=st.sampled_from(["", *sorted(KNOWN.zones)]),
    keyboard=st.sampled_from(["", *KEYBOARDS]),
    wifi=st.none() | st.builds(Wifi, names, st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
    network=st.none() | wired,
    accounts=st.tuples(
        st.builds(Account, st.just("operator"), hashes),
        st.builds(Account, st.just("technician"), hashes, st.lists(keys, max_size=3).map(tuple)),
    ),
)
