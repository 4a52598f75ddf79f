"""What a provisioning does to a machine, as data: files, and the commands that put them into effect.

NixOS with an immutable /etc and `users.mutableUsers = false` has nothing that may be edited, so everything stands in
one persistent folder, and the system is built to look there: /etc/hostname, /etc/locale.conf, /etc/vconsole.conf,
/etc/localtime and the file of systemd-networkd are links into it; the accounts' `hashedPasswordFile` and sshd's
`AuthorizedKeysFile` name files of it. The accounts themselves (number, home, groups) are declared: only their secrets
are not. (Records of systemd-userdb would do without userborn's second run, but then a switch of the system would not
know the accounts that it must not take away.) iwd alone keeps its networks in a folder of its own, so one file goes
there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nixel.update.provision.model import KEYBOARDS

if TYPE_CHECKING:
    from collections.abc import Collection

    from nixel.update.provision.model import Network, Provision, Wifi

STATE = "/var/lib/nixel-provision"
# Where iwd looks for networks, and the only writer there besides iwd itself.
WIRELESS = "/var/lib/iwd"
ZONES = "/etc/zoneinfo"

HOST_NAME = f"{STATE}/hostname"
LOCALE = f"{STATE}/locale.conf"
CONSOLE = f"{STATE}/vconsole.conf"
KEYBOARD = f"{STATE}/keyboard"
TIME_ZONE = f"{STATE}/localtime"
NETWORK = f"{STATE}/wired.network"
KEYS = f"{STATE}/keys"
PASSWORDS = f"{STATE}/passwords"

PUBLIC, SECRET = 0o644, 0o600
# A password that no password matches (crypt(5)).
LOCKED = "!"

_PLAIN_SSID = re.compile(r"[A-Za-z0-9 _-]+")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that must exist with this mode."""

    path: str
    mode: int


@dataclass(frozen=True, slots=True)
class Write:
    """A file with this content and mode."""

    path: str
    content: bytes = field(repr=False)
    mode: int


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Of the files with this suffix in a folder, only the one named stays."""

    folder: str
    suffix: str
    name: str


Effect = Folder | Write | Link | Keep


def plan(provision: Provision) -> list[Effect]:
    """Say what a provisioning changes.

    Parameters
    ----------
    provision
        From `parse`.

    Returns
    -------
    list of Effect
        In order. Paths are absolute on the machine. What the provisioning does not name is not touched.
    """
    # sshd wants every folder above the keys owned by root and writable by nobody else, and reads them as the user.
    effects: list[Effect] = [Folder(STATE, 0o755)]
    if provision.host_name:
        effects.append(_text(HOST_NAME, provision.host_name))
    if provision.locale:
        effects.append(_text(LOCALE, f"LANG={provision.locale}"))
    if provision.time_zone:
        effects.append(Link(TIME_ZONE, f"{ZONES}/{provision.time_zone}"))
    if provision.keyboard:
        console, layout, variant = KEYBOARDS[provision.keyboard]
        effects.append(_text(CONSOLE, f"KEYMAP={console}\nXKBLAYOUT={layout}\nXKBVARIANT={variant}"))
        # libxkbcommon's defaults, which the graphical session takes from its environment.
        effects.append(_text(KEYBOARD, f"XKB_DEFAULT_LAYOUT={layout}\nXKB_DEFAULT_VARIANT={variant}"))
    if provision.network:
        effects.append(_text(NETWORK, _network(provision.network)))
    if provision.wifi:
        effects += _wireless(provision.wifi)
    if provision.accounts:
        effects += [Folder(KEYS, 0o755), Folder(PASSWORDS, 0o700)]
    for account in provision.accounts:
        effects.append(_text(f"{KEYS}/{account.name}", "\n".join(account.ssh_keys)))
        # Written even if there is none: without a file the system would keep the password of before.
        effects.append(_text(f"{PASSWORDS}/{account.name}", account.password_hash or LOCKED, SECRET))
    return effects


def commands(present: Collection[str]) -> list[tuple[str, ...]]:
    """Say what must be run, on every start, for what was provisioned to be in effect.

    Parameters
    ----------
    present
        The paths of `STATE` that exist.

    Returns
    -------
    list of tuple of str
        Argument lists.
    """
    found: list[tuple[str, ...]] = []
    if HOST_NAME in present:
        # On the first start the service manager read /etc/hostname before it was written.
        found.append(("hostname", "-F", HOST_NAME))
    if CONSOLE in present:
        found.append(("systemctl", "restart", "systemd-vconsole-setup.service"))
    if PASSWORDS in present:
        # On the first start userborn made /etc/shadow before the hashes were there; it does so again.
        found.append(("systemctl", "restart", "userborn.service"))
    return found


def _text(path: str, text: str, mode: int = PUBLIC) -> Write:
    return Write(path, (text + "\n" if text else "").encode(), mode)


def _network(network: Network) -> str:
    lines = ["[Match]", f"Name={network.interface}", "", "[Network]"]
    if network.address:
        lines += ["DHCP=no", f"Address={network.address}"]
        lines += [f"Gateway={network.gateway}"] if network.gateway else []
    else:
        lines.append("DHCP=yes")
    lines += [f"DNS={each}" for each in network.dns]
    if network.dns and not network.address:
        lines += ["", "[DHCPv4]", "UseDNS=no", "", "[DHCPv6]", "UseDNS=no"]
    return "\n".join(lines)


def _wireless(wifi: Wifi) -> list[Effect]:
    # iwd.network(5): a name of other characters than these is written as its bytes in hexadecimal.
    plain = _PLAIN_SSID.fullmatch(wifi.ssid)
    name = (wifi.ssid if plain else "=" + wifi.ssid.encode().hex()) + ".psk"
    content = f"[Security]\nPreSharedKey={wifi.psk}"
    # The key of a network that is no longer used does not stay behind.
    return [
        Folder(WIRELESS, 0o700),
        _text(f"{WIRELESS}/{name}", content, SECRET),
        Keep(WIRELESS, ".psk", name),
    ]
