"""Made-up NixOS systems in a folder: links into a store, as nixpkgs' top-level.nix and etc.nix make them."""

import hashlib
import json

ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz"


def store_path(name, salt=""):
    """A store path whose hash follows from its name and the salt."""
    number = int.from_bytes(hashlib.sha256(f"{name} {salt}".encode()).digest()[:20], "big")
    digits = []
    for _ in range(32):
        number, digit = divmod(number, 32)
        digits.append(ALPHABET[digit])
    return f"/nix/store/{''.join(digits)}-{name}"


class MadeSystems:
    """A machine's root folder whose store holds systems."""

    def __init__(self, root):
        self.root = root

    def write(self, path, text=""):
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            place.write_text(text)
        return path

    def link(self, path, target):
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(target)

    def system(
        self,
        salt="",
        *,
        host="scanner",
        version="0.4.1",
        date=1_790_000_000,
        kernel="6.18.37",
        parameters="loglevel=4 quiet",
        systemd="259.3",
        interface="systemd 2",
        inhibitors=None,
        units=(),
        wants=(),
        etc=(),
        modes=(),
        fstab=None,
    ):
        """Make a system; returns its store path.

        units: from NAME or NAME.d/FILE.conf to text; wants: (target, unit); etc: from path to text.
        """
        top = store_path(f"nixos-system-{host}-26.11", salt)
        folder = store_path("etc", salt) + "/etc"
        unit_folder = store_path("system-units", salt)
        for name, text in dict(units).items():
            base = name.partition("/")[2] or name
            if text is None:
                self.link(f"{unit_folder}/{name}", "/dev/null")
            else:
                path = store_path(f"unit-{name.replace('/', '-').replace('@', '-')}", text)
                self.link(f"{unit_folder}/{name}", self.write(f"{path}/{base}", text))
        for target, unit in wants:
            self.link(f"{unit_folder}/{target}.wants/{unit}", f"../{unit}")
        self.write(f"{unit_folder}/.keep")
        self.link(f"{folder}/systemd/system", unit_folder)
        for path, text in dict(etc).items():
            self.link(f"{folder}/{path}", self.write(store_path(f"etc-{path.replace('/', '-')}", text), text))
        for path, mode in dict(modes).items():
            for suffix, value in zip((".mode", ".uid", ".gid"), (mode, "+0", "+0"), strict=True):
                self.write(f"{folder}/{path}{suffix}", value + "\n")
        if fstab is not None:
            self.link(f"{folder}/fstab", self.write(store_path("etc-fstab", fstab), fstab))
        linux = store_path(f"linux-{kernel}")
        self.link(f"{top}/kernel", self.write(f"{linux}/bzImage"))
        modules = store_path(f"linux-{kernel}-modules")
        self.write(f"{modules}/lib/modules/{kernel}/modules.dep")
        self.link(f"{top}/kernel-modules", modules)
        self.link(f"{top}/initrd", self.write(f"{store_path(f'initrd-linux-{kernel}')}/initrd"))
        self.write(f"{store_path(f'systemd-{systemd}')}/lib/systemd/systemd")
        self.link(f"{top}/systemd", store_path(f"systemd-{systemd}"))
        self.link(f"{top}/etc", folder)
        self.write(f"{top}/kernel-params", parameters)
        self.write(f"{top}/init-interface-version", interface)
        self.write(f"{top}/nixos-version", "26.11")
        if inhibitors is not None:
            text = json.dumps(inhibitors)
            self.link(f"{top}/switch-inhibitors", self.write(store_path("switch-inhibitors", text), text))
        identity = {
            "format": 1,
            "product": "nixel",
            "host": host,
            "version": version,
            "revision": "",
            "date": date,
        }
        self.write(f"{top}/nixel/system.json", json.dumps(identity))
        return top

    def place(self, path):
        return self.root / path.lstrip("/")
