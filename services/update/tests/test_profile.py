"""Generations of a profile: which there are, which may go, which one a way back leads to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nixel.update.profile import before, generations, superfluous

KNOWN = st.dictionaries(st.integers(1, 60), st.sampled_from("abcdef"), max_size=20)


def test_only_the_numbered_links_of_this_profile_are_its_generations(tmp_path):
    for name, target in (
        ("system-2-link", "/nix/store/b"),
        ("system-11-link", "/nix/store/c"),
        ("other-3-link", "/nix/store/d"),
        ("system-x-link", "/nix/store/e"),
    ):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "system").symlink_to("system-11-link")
    (tmp_path / "system-4-link").write_text("no link")
    assert generations(tmp_path / "system") == {2: "/nix/store/b", 11: "/nix/store/c"}


def test_a_machine_without_the_profile_has_no_generations(tmp_path):
    assert generations(tmp_path / "profiles" / "system") == {}


@given(KNOWN, st.integers(2, 8), st.sets(st.sampled_from("abcdef")))
def test_the_newest_and_the_needed_stay_and_nothing_else_does(known, keep, needed):
    gone = superfluous(known, keep, needed)
    stay = set(known) - set(gone)
    assert set(sorted(known)[-keep:]) <= stay
    assert all(known[number] not in needed for number in gone)
    assert all(number in sorted(known)[-keep:] or known[number] in needed for number in stay)


@pytest.mark.parametrize(
    ("known", "running", "expected"),
    [
        ({1: "a", 2: "b"}, "b", "a"),
        ({1: "a", 2: "b", 3: "b"}, "b", "a"),
        ({1: "a", 2: "b", 3: "a"}, "a", "b"),
        # A newer generation is no way back.
        ({1: "a", 2: "b", 3: "c"}, "b", "a"),
        # A system that runs on trial has no generation yet.
        ({1: "a", 2: "b"}, "c", "b"),
        ({4: "a"}, "a", None),
        ({}, "a", None),
    ],
)
def test_the_way_back_leads_to_the_system_before(known, running, expected):
    assert before(known, running) == expected
