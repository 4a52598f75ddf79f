"""Keys and signatures: RFC 8032's own vectors, and everything that is no key."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifests import OTHER, SECRET, VECTORS, secret_text

from nixel.update import keys
from nixel.update.refusal import Refusal


def spelled(name, raw):
    return f"{name}:{base64.b64encode(raw).decode()}"


@pytest.fixture
def key_file(tmp_path):
    place = tmp_path / "key"
    place.touch(0o600)
    place.write_text(secret_text(SECRET))
    return place


@pytest.mark.parametrize(("seed", "public", "message", "signature"), VECTORS)
def test_signs_and_checks_as_the_standard_does(seed, public, message, signature):
    key = keys.SecretKey(bytes.fromhex(seed), keys.PublicKey("rfc-1", bytes.fromhex(public)))
    found = keys.sign(key, bytes.fromhex(message))
    assert found == spelled("rfc-1", bytes.fromhex(signature))
    assert keys.verify([key.public], found, bytes.fromhex(message))


def test_a_signature_holds_for_its_content_its_key_and_its_name_alone():
    signature = keys.sign(SECRET, b"content")
    assert keys.verify([OTHER.public, SECRET.public], signature, b"content")
    assert not keys.verify([SECRET.public], signature, b"content ")
    assert not keys.verify([OTHER.public], signature, b"content")
    assert not keys.verify([keys.PublicKey(SECRET.public.name, OTHER.public.raw)], signature, b"content")
    assert not keys.verify([keys.PublicKey("another-1", SECRET.public.raw)], signature, b"content")
    assert not keys.verify([], signature, b"content")


def test_a_signature_has_one_spelling():
    signature = keys.sign(SECRET, b"content")
    name, _, code = signature.partition(":")
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    # The last digit before the padding has four spare bits: fifteen more texts decode to the same bytes.
    place = digits.index(code[-3])
    others = [code[:-3] + digits[place ^ spare] + "==" for spare in range(1, 16)]
    assert {base64.b64decode(each) for each in others} == {base64.b64decode(code)}
    for other in (*others, code[:-2], code + "\n", " " + code, code + "=", code.rstrip("=") + "\n=="):
        assert not keys.verify([SECRET.public], f"{name}:{other}", b"content")


@given(st.text(max_size=120) | st.binary(max_size=80).map(lambda raw: spelled("maker-1", raw)))
def test_whatever_is_no_signature_is_not_good(text):
    assert not keys.verify([SECRET.public], text, b"content")


@given(st.integers(0, 511))
def test_every_bit_of_a_signature_counts(bit):
    raw = bytearray(base64.b64decode(keys.sign(SECRET, b"content").partition(":")[2]))
    raw[bit // 8] ^= 1 << bit % 8
    assert not keys.verify([SECRET.public], spelled("maker-1", bytes(raw)), b"content")


def test_tells_which_key_signed():
    both = [keys.sign(OTHER, b"content"), keys.sign(SECRET, b"content")]
    assert keys.signed_by([SECRET.public], both, b"content") == "maker-1"
    assert keys.signed_by([SECRET.public], both[:1], b"content") is None


def test_reads_a_key_as_nix_writes_it(key_file):
    assert keys.read_secret(key_file) == SECRET
    key_file.write_text(secret_text(SECRET) + "\n")
    assert keys.read_secret(key_file) == SECRET
    assert keys.parse_public(str(SECRET.public)) == SECRET.public
    assert base64.b64encode(SECRET.seed).decode() not in repr(SECRET)
    assert SECRET.seed.hex() not in repr(SECRET)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_secret_that_others_may_read_is_not_used(key_file, mode):
    key_file.chmod(mode)
    with pytest.raises(Refusal, match=f"mode 0{mode:o}.*chmod 600") as caught:
        keys.read_secret(key_file)
    assert secret_text(SECRET).partition(":")[2] not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (str(SECRET.public), "holds a public key"),
        ("", "holds no secret key"),
        ("maker-1:", "holds no secret key"),
        ("no key at all", "holds no secret key"),
        (secret_text(SECRET)[:-4], "holds no secret key"),
        (secret_text(SECRET) + "\nmore", "holds no secret key"),
        ("\0" * 10_000, "holds no secret key"),
    ],
)
def test_what_is_no_secret_key_is_refused(key_file, content, says):
    key_file.write_text(content)
    with pytest.raises(Refusal, match=says):
        keys.read_secret(key_file)


def test_a_key_that_cannot_be_read_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for place in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        with pytest.raises(Refusal, match="nix key generate-secret"):
            keys.read_secret(place)


def test_a_secret_key_is_not_taken_for_a_public_one():
    with pytest.raises(Refusal, match="is a secret key") as caught:
        keys.parse_public(secret_text(SECRET))
    assert secret_text(SECRET).partition(":")[2] not in str(caught.value)
    for text in ("", "maker-1", "maker-1:AAAA", str(SECRET.public)[:-1], "a b:" + str(SECRET.public)[8:]):
        with pytest.raises(Refusal, match="no public key"):
            keys.parse_public(text)


def test_a_key_whose_halves_differ_is_refused(key_file):
    mixed = keys.SecretKey(SECRET.seed, keys.PublicKey("mixed-1", OTHER.public.raw))
    key_file.write_text(secret_text(mixed))
    with pytest.raises(Refusal, match="damaged"):
        keys.read_secret(key_file)


def test_says_so_without_openssl(monkeypatch, tmp_path):
    signature = keys.sign(SECRET, b"content")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refusal, match="no openssl"):
        keys.verify([SECRET.public], signature, b"content")
    (tmp_path / "openssl").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (tmp_path / "openssl").chmod(0o755)
    # What fails is not taken for a wrong signature, nor for a good one.
    with pytest.raises(Refusal, match="status 3: broken"):
        keys.verify([SECRET.public], signature, b"content")
