"""What the tests of manifests share: a good one, and good ones by the hundred."""

from __future__ import annotations

import base64
import hashlib

from hypothesis import strategies as st

from nixel.update import hashes
from nixel.update.identity import Identity
from nixel.update.keys import PublicKey, SecretKey
from nixel.update.manifest import Entry, File, Manifest
from nixel.update.manifest.parse import CACHE_INFO, README, narinfo_name

# RFC 8032, section 7.1, TEST 2 and TEST 3: seed, public key, message, signature.
VECTORS = [
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
]
SECRET, OTHER = (
    SecretKey(bytes.fromhex(seed), PublicKey(name, bytes.fromhex(public)))
    for name, (seed, public, *_) in zip(("maker-1", "other-1"), VECTORS, strict=True)
)


def secret_text(key):
    return f"{key.public.name}:{base64.b64encode(key.seed + key.public.raw).decode()}"


def store_path(number, name="part"):
    return f"/nix/store/{hashes.base32(hashlib.sha256(b'%d' % number).digest()[:20])}-{name}"


def file(name, content):
    return File(name, hashlib.sha256(content).hexdigest(), len(content))


def entry(path, *references, ca=None, present=False, stored=True):
    digest = hashlib.sha256(path.encode()).digest()
    archive = file("", path.encode() * 3)
    both = (None, None)
    if stored and not present:
        name = f"cache/nar/{hashes.base32(bytes.fromhex(archive.sha256))}.nar.xz"
        both = (file(narinfo_name(path), path.encode() * 2), File(name, archive.sha256, archive.size))
    return Entry(path, hashes.canonical(digest), 1000, tuple(sorted(references)), ca, present, *both)


def manifest(entries, system, *, since=None, whose=None, **more):
    whose = whose or Identity("nixel", "alpha", "1.0", "", 1_790_000_000)
    said = {
        "product": whose.product,
        "host": whose.host,
        "made": 1_800_000_000,
        "made_by": "the tests",
        "note": "",
        "files": (file(README, b"read me"), file(CACHE_INFO, b"StoreDir: /nix/store\n")),
        "description": {"format": 1},
    }
    paths = tuple(sorted(entries, key=lambda each: each.path))
    return Manifest(system=system, identity=whose, since=since, paths=paths, **{**said, **more})


SYSTEM, PROGRAM, LIBRARY = store_path(1, "system"), store_path(2, "program"), store_path(3, "library")
TEXT, STRANGER = store_path(4, "text"), store_path(5, "stranger")
TEXT_CA = "text:" + hashes.canonical(hashlib.sha256(b"text").digest())


def good():
    """A system that refers to itself, to a program, and through that to a library and to a text."""
    entries = [
        entry(SYSTEM, SYSTEM, PROGRAM),
        entry(PROGRAM, LIBRARY, TEXT),
        entry(LIBRARY),
        entry(TEXT, ca=TEXT_CA),
    ]
    return manifest(entries, SYSTEM)


# --- strategies ---

lines = st.text(st.characters(codec="utf-8").filter(str.isprintable), max_size=40)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["/nix/store/../etc", SYSTEM, "cache/nar/../x.nar.xz", 1, 2**63]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def manifests(draw):
    """A system, each of whose paths refers to later ones only, all of them reached."""
    count = draw(st.integers(1, 6))
    names = [store_path(number + 100, f"p{number}") for number in range(count)]
    references = {number: set() for number in range(count)}
    for number in range(1, count):
        references[draw(st.integers(0, number - 1))].add(names[number])
    entries = [
        entry(
            name,
            *references[number],
            ca=TEXT_CA if number and draw(st.booleans()) else None,
            present=bool(number) and draw(st.booleans()),
        )
        for number, name in enumerate(names)
    ]
    whose = Identity(
        "nixel", draw(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)), draw(lines), "", 7
    )
    about = draw(
        st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), st.integers(), max_size=3)
    )
    return manifest(entries, names[0], since=STRANGER, whose=whose, note=draw(lines), description=about)
