"""Manifests: one spelling, one meaning; whatever is anything else is refused, and nothing else ever happens."""

import copy
import itertools
import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from manifests import (
    LIBRARY,
    OTHER,
    PROGRAM,
    SECRET,
    STRANGER,
    SYSTEM,
    TEXT,
    TEXT_CA,
    entry,
    good,
    json_values,
    manifest,
    manifests,
)

from nixel.update import keys
from nixel.update.failure import Failure
from nixel.update.identity import Identity
from nixel.update.manifest import Info, arrived, authentic, build, complete, fits, parse
from nixel.update.manifest.model import PREFIX, encode
from nixel.update.refusal import Refusal

RUNNING = good().identity


def signed(content, key=SECRET):
    return keys.sign(key, PREFIX + content).encode() + b"\n"


# --- bytes ---


@given(manifests())
def test_a_manifest_survives_its_bytes(made):
    content = made.encode()
    assert parse(content, "here") == made
    assert content.isascii()
    assert content.endswith(b"}\n")
    assert content == made.encode()


@settings(max_examples=60, deadline=None)
@given(manifests(), st.data())
def test_any_other_byte_fails_the_signature(made, data):
    content = made.encode()
    signature = signed(content)
    assert authentic(content, signature, [SECRET.public], "here") == "maker-1"
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(1, 255))
    other = bytearray(content)
    other[place] ^= byte
    for spoilt in (
        bytes(other),
        content[:place],
        content + content[:1],
        content[:place] + content[place + 1 :],
    ):
        with pytest.raises(Refusal):
            authentic(spoilt, signature, [SECRET.public], "here")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text + b"\n",
        lambda text: text + b"x",
        lambda text: b" " + text,
        lambda text: b"\n" + text,
        lambda text: text[:-4] + b"\n",
        lambda text: b"",
        lambda text: b"\xff" + text,
        lambda text: text.replace(b"maker-1", b"maker-2"),
        lambda text: text + text,
    ],
)
def test_a_signature_is_one_line_and_nothing_else(spoil):
    content = good().encode()
    with pytest.raises(Refusal):
        authentic(content, spoil(signed(content)), [SECRET.public], "here")


def test_another_key_is_named():
    content = good().encode()
    with pytest.raises(Refusal, match=r"signed by 'other-1', and this machine trusts maker-1"):
        authentic(content, signed(content, OTHER), [SECRET.public], "here")
    impostor = keys.SecretKey(OTHER.seed, keys.PublicKey("maker-1", OTHER.public.raw))
    with pytest.raises(Refusal, match="not what 'maker-1' signed"):
        authentic(content, signed(content, impostor), [SECRET.public], "here")


def test_a_signature_of_something_else_is_none_of_a_manifest():
    content = good().encode()
    bare = keys.sign(SECRET, content).encode() + b"\n"
    with pytest.raises(Refusal):
        authentic(content, bare, [SECRET.public], "here")


# --- parsing ---


@given(json_values | st.dictionaries(st.sampled_from(sorted(good().as_json())), json_values))
def test_arbitrary_json_is_refused_and_nothing_else(found):
    try:
        content = encode(found)
    except ValueError:  # not a number
        content = json.dumps(found).encode()
    with pytest.raises(Refusal):
        parse(content, "here")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(content):
    with pytest.raises(Refusal):
        parse(content, "here")


def places(found, here=()):
    """Every place in plain data but those in the description, which may hold anything."""
    yield here
    if isinstance(found, dict | list):
        for key, value in found.items() if isinstance(found, dict) else enumerate(found):
            if (*here, key) != ("description",):
                yield from places(value, (*here, key))


def put(found, place, value):
    if not place:
        return value
    found = copy.deepcopy(found)
    at = found
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return found


@given(manifests(), st.data())
def test_a_manifest_with_one_part_exchanged_is_one_still_or_is_refused(made, data):
    found = made.as_json()
    spoilt = put(found, data.draw(st.sampled_from(list(places(found)))), data.draw(json_values))
    try:
        content = encode(spoilt)
    except ValueError:
        content = json.dumps(spoilt).encode()
    try:
        again = parse(content, "here")
    except Refusal:
        return
    assert again.encode() == content


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 1_000_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"9" * 1_000_000,
        b'{"format":NaN}',
        b'{"format":1,"format":1}',
        b'{"format":1e400}',
    ],
    ids=["lists", "objects", "digits", "not a number", "a key twice", "too large a number"],
)
def test_what_would_upset_a_parser_is_refused(content):
    with pytest.raises(Refusal):
        parse(content, "here")


@pytest.mark.parametrize(
    "again",
    [
        lambda found: json.dumps(found, sort_keys=True, indent=1).encode() + b"\n",
        lambda found: json.dumps(found, separators=(",", ":")).encode() + b"\n",
        lambda found: encode(found)[:-1],
        lambda found: encode(found) + b"\n",
        lambda found: encode(found).replace(b'"format":1', b'"format":1.0'),
        lambda found: encode(found).replace(b"nixel", b"\\u006eixel"),
        lambda found: b"\xef\xbb\xbf" + encode(found),
    ],
)
def test_another_spelling_is_refused(again):
    found = dict(reversed(good().as_json().items()))
    assert parse(encode(found), "here") == good()
    with pytest.raises(Refusal):
        parse(again(found), "here")


TRAVERSALS = [
    "../../etc/passwd",
    "/etc/passwd",
    "cache/../../etc/passwd",
    "cache/nar/../../../etc/passwd.nar.xz",
    "cache/nar/.nar.xz",
    "cache//nar",
    "cache/nar/x/../x",
    "",
    ".",
    "..",
    "cache\\nar",
    "cache/nar/\0",
    "cache/nar/" + "0" * 52 + ".nar.xz/../x",
    "file:///etc/passwd",
    "-rf",
]
NAMES = [
    ("host",),
    ("system", "path"),
    ("since",),
    ("paths", 0, "path"),
    ("paths", 0, "references", 0),
    ("paths", 0, "narinfo", "name"),
    ("paths", 0, "nar", "name"),
]


def reaching(place):
    """Manifests of `good` in which the first path has a reference, whichever that is."""
    found = good().as_json()
    if "references" in place:
        found["paths"][0]["references"] = [PROGRAM]
    return found


@pytest.mark.parametrize("place", NAMES, ids=lambda place: ".".join(map(str, place)))
@pytest.mark.parametrize(
    "name",
    [
        *TRAVERSALS,
        "/nix/store/../etc",
        "/nix/store/" + "0" * 32,
        "/nix/store/" + "0" * 32 + "-a/../b",
        "/nix/store/" + "e" * 32 + "-a",
        "/nix/store/" + "0" * 32 + "-a\n",
        "/nix/store/" + "0" * 32 + "-" + "a" * 212,
        "/tmp/" + "0" * 32 + "-a",
    ],
)
def test_no_name_leads_elsewhere(place, name):
    found = reaching(place)
    parse(encode(found), "here")
    with pytest.raises(Refusal):
        parse(encode(put(found, place, name)), "here")


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_other_file_is_pinned(name):
    found = good().as_json()
    found["files"][name] = found["files"].pop("README.txt")
    with pytest.raises(Refusal):
        parse(encode(found), "here")


def test_an_archive_is_named_after_its_content():
    found = good().as_json()
    first, second = (each["nar"] for each in found["paths"][:2])
    first["name"], second["name"] = second["name"], first["name"]
    with pytest.raises(Refusal, match="nar"):
        parse(encode(found), "here")


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[2J", "a" * 1001, "\ud800", "\u202e"])
@pytest.mark.parametrize("place", [("note",), ("made_by",), ("product",), ("system", "identity", "version")])
def test_words_for_a_person_are_one_line_that_can_be_shown(place, text):
    with pytest.raises(Refusal):
        parse(encode(put(good().as_json(), place, text)), "here")


def test_parses_a_large_system_within_seconds():
    parts = [entry(SYSTEM.replace("-system", f"-{number:05}"), SYSTEM, PROGRAM) for number in range(1)]
    many = [entry(f"/nix/store/{number:032}-part", PROGRAM) for number in range(20_000)]
    made = manifest([*parts, *many, entry(PROGRAM)], parts[0].path)
    content = made.encode()
    began = time.monotonic()
    assert parse(content, "here") == made
    assert time.monotonic() - began < 10


# --- what must hold ---


def test_a_good_one_is_complete_and_fits():
    complete(good())
    fits(good(), RUNNING)


def without(path):
    return replace(good(), paths=tuple(each for each in good().paths if each.path != path))


def with_entry(changed):
    others = [each for each in good().paths if each.path != changed.path]
    return replace(good(), paths=tuple(sorted([*others, changed], key=lambda each: each.path)))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (without(TEXT), f"does not list {TEXT}"),
        (without(LIBRARY), f"does not list {LIBRARY}"),
        (without(SYSTEM), "does not list its own system"),
        (with_entry(entry(STRANGER)), f"lists {STRANGER}, which its system does not need"),
        (with_entry(entry(STRANGER, SYSTEM, STRANGER)), f"lists {STRANGER}, which its system does not need"),
        (with_entry(entry(SYSTEM, SYSTEM, PROGRAM, ca=TEXT_CA)), "content-addressed"),
        (with_entry(entry(SYSTEM, SYSTEM, PROGRAM, present=True)), "leaves out the system itself"),
        (with_entry(entry(LIBRARY, present=True)), "does not say since which system"),
        (replace(good(), host="beta"), "says that it is for nixel alpha"),
        (replace(good(), product="other"), "says that it is for nixel alpha"),
        (replace(good(), system=LIBRARY), "which its system does not need"),
    ],
)
def test_what_contradicts_itself_is_refused(made, says):
    with pytest.raises(Refusal, match=says):
        complete(made)


def test_long_chains_are_followed():
    paths = [f"/nix/store/{number:032}-link" for number in range(5000)]
    chain = [entry(one, other) for one, other in itertools.pairwise(paths)]
    complete(manifest([*chain, entry(paths[-1])], paths[0]))
    with pytest.raises(Refusal, match=paths[-1]):
        complete(manifest(chain, paths[0]))


def test_another_machine_and_another_product_are_refused():
    with pytest.raises(Refusal, match="for the machine 'alpha', and this machine is 'beta'"):
        fits(good(), replace(RUNNING, host="beta"))
    with pytest.raises(Refusal, match="for the product 'nixel', and this product is 'other'"):
        fits(good(), replace(RUNNING, product="other"))
    with pytest.raises(Refusal):
        fits(good(), replace(RUNNING, host="beta"), allow_older=True)


def test_an_older_one_needs_a_word():
    newer = replace(RUNNING, date=RUNNING.date + 1, version="2.0")
    with pytest.raises(Refusal, match=r"1\.0.*is older than.*2\.0.*--allow-older"):
        fits(good(), newer)
    fits(good(), newer, allow_older=True)
    fits(good(), replace(RUNNING, date=RUNNING.date - 1))
    with pytest.raises(Refusal, match="s after 1970"):
        fits(good(), replace(RUNNING, date=2**62))


# --- making ---


def closure(made):
    return {
        each.path: Info(each.path, each.nar_hash, each.nar_size, each.references, each.ca)
        for each in made.paths
    }


def test_builds_what_parses_and_is_complete():
    known, about = closure(good()), {"made": 1, "made_by": "the tests", "description": {}}
    made = build(SYSTEM, RUNNING, known, **about)
    assert parse(made.encode(), "here") == made
    assert [each.path for each in made.paths] == sorted(known)
    assert all(each.nar is None and not each.present for each in made.paths)
    left_out = build(SYSTEM, RUNNING, known, since=STRANGER, present=frozenset({LIBRARY}), **about)
    assert [each.path for each in left_out.paths if each.present] == [LIBRARY]
    for wrong in (
        {"system": LIBRARY},
        {"whose": Identity("nixel", "../etc", "1", "", 0)},
        {"whose": Identity("nixel", "a" * 64, "1", "", 0)},
        {"note": "two\nlines"},
    ):
        system, whose = wrong.pop("system", SYSTEM), wrong.pop("whose", RUNNING)
        with pytest.raises(Refusal):
            build(system, whose, known, **about, **wrong)


def test_what_arrived_is_compared_with_what_was_checked():
    known = closure(good())
    arrived(good(), known)
    for spoilt, says in (
        ({**known, LIBRARY: None}, f"lacks {LIBRARY}"),
        ({path: info for path, info in known.items() if path != TEXT}, f"lacks {TEXT}"),
        (
            {**known, LIBRARY: replace(known[LIBRARY], nar_hash=known[TEXT].nar_hash)},
            f"has another {LIBRARY}",
        ),
    ):
        with pytest.raises(Failure, match=says):
            arrived(good(), spoilt)
