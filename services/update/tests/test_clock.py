"""Setting a clock that is wrong; no test sets this machine's."""

import time
from datetime import UTC, datetime

import pytest

from nixel.update.cli.clock import parse, set_clock
from nixel.update.refusal import Refusal

MADE = int(datetime(2026, 5, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("text", ["2026-06-01 14:30", "2026-06-01 14:30:00", " 2026-06-01 14:30 "])
def test_a_time_is_read_as_utc(text):
    assert parse(text, MADE) == datetime(2026, 6, 1, 14, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text", ["", "now", "14:30", "2026-06-31 00:00", "2026-06-01T14:30", "01.06.2026 14:30"]
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(Refusal, match="is no time"):
        parse(text, MADE)


def test_a_time_before_the_system_was_made_is_refused():
    with pytest.raises(Refusal, match="before this machine's system was made"):
        parse("2026-04-30 23:59", MADE)


def test_the_clock_is_set_to_what_was_asked_for(tmp_path):
    asked = []
    said = set_clock(MADE + 90.0, lambda *what: asked.append(what), tmp_path / "no-rtc")
    assert asked == [(time.CLOCK_REALTIME, MADE + 90.0)]
    assert "2026-05-01 00:01:30 UTC" in said
    assert "no clock that runs while it is switched off" in said


def test_a_slip_of_the_year_is_refused():
    with pytest.raises(Refusal, match="decades after"):
        parse("2206-06-01 14:30", MADE)
