"""docs/technician.md shows what a technician will see: every line of its screens comes from a machine, in order."""

import re

import pytest
import technician
from lab import ROOT

from nixel.update.follow import VERDICTS

PAGE = (ROOT / "docs" / "technician.md").read_text()
LEFT_OUT = "[...]"
# What differs each time.
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC")
# How far a copy is, is told once a second.
_COPIED = re.compile(r" +\d+ % of .*")


def lines(text):
    """A screen's lines, as they are each time."""
    found = (_TIME.sub("TIME", each.rstrip()) for each in text.splitlines())
    return [each for each in found if not _COPIED.fullmatch(each)]


def shows(screen, wanted):
    """Whether a screen has these lines, one after another, but for what is left out."""
    at = 0
    for part in "\n".join(wanted).split(LEFT_OUT):
        run = part.strip("\n").split("\n") if part.strip("\n") else []
        found = (i + len(run) for i in range(at, len(screen) + 1) if screen[i : i + len(run)] == run)
        at = next(found, None)
        if at is None:
            return False
    return True


@pytest.fixture(scope="module")
def screens(lab):
    made = []

    def start(*arguments, **more):
        made.append(lab.start(*arguments, **more))
        return made[-1]

    yield {name: lines(text) for name, text in technician.screens(lab, start).items()}
    for machine in made:
        lab.remove(machine)


def test_what_the_page_shows_is_what_machines_show(screens):
    blocks = [lines(each) for each in re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
    assert len(blocks) >= 5
    for block in blocks:
        assert any(shows(screen, block) for screen in screens.values()), "\n".join(block)
    assert not shows(screens["done"], ["DONE. The new system runs."])
    assert not shows(screens["done"], ["This machine is scanner.", "Install this? [y/N] y"])
    assert shows(screens["done"], ["This machine is scanner.", LEFT_OUT, "Install this? [y/N] y"])


def test_the_page_says_what_to_do_in_every_verdict(screens):
    rows = dict(re.findall(r"^\| \*\*(.*?)\*\* \| (.*) \|$", PAGE, re.MULTILINE))
    assert set(rows) == {words.partition(".")[0] for words in VERDICTS.values()}
    shown = "\n".join(line for screen in screens.values() for line in screen)
    assert {name for name in rows if name in shown} >= set(rows) - {"NOTHING TO DO"}


def test_it_is_one_page():
    assert len(PAGE.splitlines()) <= 110
    assert len(re.sub(r"^```text\n.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL).splitlines()) <= 70
