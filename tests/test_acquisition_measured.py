"""What the acquisition promises, in short; `make verify-acquisition` makes the long ones.

What must hold on a machine however busy is asserted here: what a kill leaves, and that nothing is dropped without a
word. The rate is printed and not asserted: other work on the machine is in it.
"""

import acquisition_kills
import acquisition_stall
import acquisition_stream
import acquisition_sustained
import measure_acquisition
import pytest


def test_killed_at_random_moments_a_run_keeps_every_committed_frame(monkeypatch, capsys):
    monkeypatch.setenv("NIXEL_KILLS", "8")
    figure = acquisition_kills.measure(False)
    with capsys.disabled():
        print(f"\n{figure.title}: {figure.found}")
    assert figure.values["wrong"] == []
    assert figure.good
    assert len(figure.values["moments"]) == 8
    # Otherwise the kills have proved nothing.
    assert sum(known > 0 for known in figure.values["committed"]) >= 2
    assert figure.values["kept"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("measured", [acquisition_sustained, acquisition_stall], ids=["sustained", "stall"])
def test_eight_megapixel_frames_at_30_megabytes_a_second_are_recorded(measured, capsys):
    figure = measured.measure(False)
    with capsys.disabled():
        print(f"\n{figure.title}: {figure.found}")
    values = figure.values
    # On a machine that cannot keep up the run ends and says so; never is a frame missing in silence.
    assert values["failure"] or values["good"] == values["frames"]
    assert values["good"] == values["committed"]
    assert values["buffer_bytes"] <= 256 * 2**20


def test_a_stream_is_taken_whole_as_fast_as_it_comes(capsys):
    figure = acquisition_stream.measure(False)
    with capsys.disabled():
        print(f"\n{figure.title}: {figure.found}")
    # A chunk that is missing or out of its place ends the stream with an error.
    assert figure.values["samples"] > 0


def test_the_page_tells_every_figure_and_whether_it_holds():
    result = {
        "title": "T",
        "bound": "at most 3",
        "found": "4",
        "good": False,
        "how": "By hand.",
        "when": "2026-01-02",
        "machine": "none",
        "load": "0.0 and 0.1",
    }
    page = measure_acquisition.page({"one": result, "two": {**result, "good": True}})
    assert "| one | T | at most 3 | **missed** | 4 |" in page
    assert "| two | T | at most 3 | holds | 4 |" in page
    assert (
        "**one.** By hand. Measured on 2026-01-02, none; load average 0.0 and 0.1 before and after." in page
    )
    assert {"kills", "sustained", "stall"} <= set(measure_acquisition.names())
