"""The settings of a machine: what is refused, and what a machine that trusts nobody still is."""

import pytest

from nixel.update import config
from nixel.update.manifest import authentic
from nixel.update.refusal import Refusal

KEY = "acme-1:" + "A" * 43 + "="


def test_keys_are_taken_as_they_stand():
    assert config.parse({"trusted-keys": [KEY]}, "update.toml").trusted_keys == (KEY,)


def test_a_machine_may_trust_nobody():
    # Its other commands work then: it ends what was interrupted, tells its status and goes back to an older system.
    assert config.parse({"trusted-keys": []}, "update.toml").trusted_keys == ()
    with pytest.raises(Refusal, match="trusts no key"):
        authentic(b"manifest", b"acme-1:" + b"A" * 86 + b"==\n", (), "The stick")


@pytest.mark.parametrize("found", [{}, {"trusted-keys": KEY}, {"trusted-keys": ["acme-1"]}])
def test_whom_it_trusts_is_said(found):
    with pytest.raises(Refusal, match="trusted-keys"):
        config.parse(found, "update.toml")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state", "var"),
        ("keep-generations", 1),
        ("keep-generations", True),
        ("check-within", 0),
        ("color", 1),
    ],
)
def test_a_wrong_setting_is_named(key, value):
    with pytest.raises(Refusal, match=key):
        config.parse({"trusted-keys": [KEY], key: value}, "update.toml")
