"""Sequence files are refused with everything that is wrong with them, and say what they take before anything moves."""

import contextlib
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microscope_parts import SHAPE, instrument

from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.plan import coil_heating
from nixel.acquisition.protocol import ScanProtocol
from nixel.acquisition.sequences import SequenceError, load_sequence
from nixel.acquisition.sequences.room import check_room
from nixel.acquisition.sequences.steps import steps

SCANNER = load_instrument("virtual-scanner")
GREEN = {"config": "green", "exposure": 2}


@pytest.fixture
def load(tmp_path):
    def read(content, ending=".json"):
        file = tmp_path / f"sequence{ending}"
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content if isinstance(content, str) else json.dumps(content))
        return load_sequence(file)

    return read


def test_a_sequence_reads_alike_from_json_and_yaml(load):
    tables = {
        "channels": [GREEN],
        "z_plan": {"range": 4, "step": 1},
        "time_plan": {"interval": 1.5, "loops": 2},
    }
    text = (
        "channels:\n- {config: green, exposure: 2}\nz_plan: {range: 4, step: 1}\n"
        "time_plan:\n  interval: 1.5\n  loops: 2\n"
    )
    assert load(tables).sequence == load(text, ".yaml").sequence


def test_everything_that_is_wrong_is_said_at_once_in_the_words_of_the_file(load):
    tables = {
        "chanels": [],
        "channels": [{"config": "green", "exposure": -1}, {"confg": "x", "config": "red"}],
        "stage_positions": [{"x": "left"}, {"x": 0, "sequence": {"z_plan": {"rnge": 3, "step": 1}}}],
        "time_plan": {"interval": "soon", "loops": 3},
        "z_plan": {"range": 3, "step": 1, "speed": 2},
    }
    with pytest.raises(SequenceError) as caught:
        load(tables)
    assert {problem.key for problem in caught.value.problems} == {
        "chanels",
        "channels.0.exposure",
        "channels.1.confg",
        "stage_positions.0.x",
        "stage_positions.1.sequence.z_plan.range",
        "time_plan.interval",
        "z_plan.speed",
    }
    assert "chanels: found an unknown key (did you mean channels?)" in str(caught.value)
    assert "channels.0.exposure: found -1; expected greater than 0" in str(caught.value)


def test_a_misspelt_key_that_the_library_would_ignore_is_refused(load):
    # The library takes {"rows": 2} for a position and takes one frame.
    with pytest.raises(SequenceError, match=r"grid_plan\.rows: found an unknown key"):
        load({"grid_plan": {"rows": 2}})


@pytest.mark.parametrize(
    ("content", "ending", "message"),
    [
        ("{", ".json", "no JSON"),
        ("[1]", ".json", "found a list; expected keys"),
        ('{"a": 1, "a": 2}', ".json", "'a' is there twice"),
        ("channels: [a]\nchannels: [b]\n", ".yaml", "'channels' is there twice"),
        ("a: &x [1]\nb: *x\n", ".yaml", r"a reference \*x; write it out"),
        ("a: [\n", ".yml", "no YAML"),
        ("a = ", ".toml", "no TOML"),
        (b"\xff", ".json", "not UTF-8"),
        ("[" * 100_000, ".json", "no JSON"),
        (" " * 2**18 + "{}", ".json", "more than 262144 bytes"),
        ("{}", ".txt", 'the ending ".txt"'),
        ('{"kind": "scn"}', ".json", "kind: found 'scn'; expected scan or calibration"),
        (
            '{"kind": "scan", "frame": 3, "averages": 0}',
            ".json",
            r"averages: found 0.*frame: found an unknown key",
        ),
    ],
)
def test_a_file_that_is_no_sequence_is_refused(load, content, ending, message):
    with pytest.raises(SequenceError, match=message):
        load(content, ending)


def test_there_is_no_such_file(tmp_path):
    with pytest.raises(SequenceError, match=r"none\.yaml .*No such file"):
        load_sequence(tmp_path / "none.yaml")


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            [
                "channels",
                "stage_positions",
                "z_plan",
                "time_plan",
                "grid_plan",
                "axis_order",
                "setup",
                "autofocus_plan",
                "metadata",
            ]
        ),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-5, 5)
            | st.floats(allow_nan=False, width=16)
            | st.text(max_size=3),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "range",
                            "step",
                            "interval",
                            "loops",
                            "duration",
                            "rows",
                            "columns",
                            "x",
                            "z",
                            "config",
                            "exposure",
                            "phases",
                        ]
                    ),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_whatever_a_file_holds_it_is_a_sequence_or_refused(tmp_path_factory, tables):
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps(tables))
    with contextlib.suppress(SequenceError):
        load_sequence(file).plan(instrument())


# --- the steps of a microscope ---


def stepped(loaded, instrument):
    return steps(loaded.source, loaded.sequence, instrument)


def test_lengths_in_um_and_exposures_in_ms_become_m_and_s(load):
    tables = {"channels": [GREEN], "stage_positions": [{"x": 100, "y": -50, "z": 7}]}
    (step,) = stepped(load(tables), instrument())
    assert step.exposure == pytest.approx(2e-3)
    assert step.position == {"x": pytest.approx(1e-4), "y": pytest.approx(-5e-5), "z": pytest.approx(7e-6)}


def test_a_grid_steps_by_what_a_frame_shows(load):
    sequence = load({"channels": [GREEN], "grid_plan": {"rows": 1, "columns": 2}})
    first, second = stepped(sequence, instrument(pixel_size="2 um"))
    assert abs(second.position["x"] - first.position["x"]) == pytest.approx(SHAPE[1] * 2e-6)


def test_without_an_exposure_the_cameras_own_counts(load):
    (step,) = stepped(load({"channels": ["green"]}), instrument())
    assert step.exposure == 2e-3  # of devices.camera in the instrument file


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"channels": ["blue"]}, r"channels\.blue: found no such channel; expected one of .* green"),
        (
            {"channels": [{"config": "green", "exposure": 200}]},
            r"channels\.green\.exposure: found 200 ms; expected at most .*limits\.exposure, 100 ms",
        ),
        (
            {"stage_positions": [{"x": 5000}]},
            r"stage_positions\.0\.x: found 5000 µm; expected -1000 to 1000 µm",
        ),
        (
            {"autofocus_plan": {"autofocus_motor_offset": 2, "axes": ["p"]}},
            "autofocus_plan: found one",
        ),
        ({"setup": {"roi": [0, 0, 2, 2]}}, "setup: found more than properties"),
        ({"channels": [{"config": "green", "camera": "Other"}]}, r"channels\.0\.camera: found 'Other'"),
        ({"z_plan": {"range": 4, "step": -1}}, r"z_plan: found -3 points; expected one or more"),
        ({"z_plan": {"range": 4e6, "step": 1e-3}}, "expected at most 1000000"),
        ({"time_plan": {"duration": 3, "loops": 1}}, "time_plan: found what has no number of points"),
        ({"time_plan": {"interval": 0, "duration": 3}}, "time_plan: found what has no number of points"),
        ({"time_plan": {"interval": -1, "loops": 3}}, "time_plan: found times that go backwards"),
        (
            {"stage_positions": [{"x": 0, "properties": [["wheel", "a", 1]]}]},
            r"properties: found the device 'wheel'",
        ),
        ({}, "a sequence without a frame"),
    ],
)
def test_what_the_instrument_cannot_do_is_refused_by_the_plan(load, tables, message):
    microscope = instrument(
        limits={"exposure": "100 ms", "on_time": "10 s", "travel": {"x": ["-1 mm", "1 mm"]}},
    )
    with pytest.raises(SequenceError, match=message):
        load(tables).plan(microscope)


def test_a_scan_is_nothing_for_a_microscope_and_the_other_way_round(load):
    with pytest.raises(SequenceError, match=r"instrument: found a scanner .* expected a microscope"):
        load({"channels": [GREEN]}).plan(SCANNER)
    with pytest.raises(SequenceError, match="expected a scanner, found microscope"):
        load({"kind": "scan"}).plan(instrument())


# --- previews ---


def test_a_plans_duration_is_that_of_its_exposures_moves_and_intervals(load):
    microscope = instrument(times={"move": "0.5 s", "light": "0.1 s", "readout": "0.2 s"})
    tables = {
        "channels": [GREEN],
        "stage_positions": [[0, 0], [9, 9]],
        "time_plan": {"interval": 3, "loops": 2},
    }
    plan = load(tables).plan(microscope)
    one = 0.5 + 0.1 + 0.002 + 0.2
    assert plan.duration == pytest.approx(3 + 2 * one)
    assert plan.frames == 4
    assert plan.size == 4 * math.prod(SHAPE) * 2
    assert plan.on_time == pytest.approx(0.302)
    assert plan.duty == pytest.approx(4 * 0.302 / plan.duration)
    assert plan.heating is None
    assert plan.notes == ()


def test_a_plan_says_what_it_does_not_count(load):
    (note,) = load({"channels": [GREEN], "stage_positions": [[0, 0]]}).plan(instrument()).notes
    assert "moves of the stage, switching of the light, the camera's read-out" in note


def test_a_light_kept_on_through_a_series_counts_through_its_waits(load):
    tables = {"channels": [GREEN], "time_plan": {"interval": 1, "loops": 4}}
    assert load(tables).plan(instrument()).on_time == pytest.approx(0.002)
    kept = load({**tables, "keep_shutter_open_across": "t"})
    assert kept.plan(instrument()).on_time == pytest.approx(3.002)


def test_a_light_that_would_be_on_for_too_long_is_refused(load):
    tables = {
        "channels": [GREEN],
        "time_plan": {"interval": 1, "loops": 12},
        "keep_shutter_open_across": "t",
    }
    with pytest.raises(
        SequenceError, match=r"the light on for 11 s at a stretch; expected at most .*on_time, 10 s"
    ):
        load(tables).plan(instrument())


def test_a_light_that_is_on_for_too_large_a_share_is_refused(load):
    # Half of the time is allowed beyond 10 s: 100 ms lit and 1 ms dark is more.
    channel = {"config": "green", "exposure": 100}
    microscope = instrument(
        limits={"exposure": "100 ms", "on_time": "10 s", "duty": "50 percent"}, times={"readout": "1 ms"}
    )
    tables = {"channels": [channel], "time_plan": {"interval": 0, "loops": 99}}
    assert load(tables).plan(microscope).duty > 0.9
    with pytest.raises(SequenceError, match=r"at most 50 percent of the time \(microscope\.limits\.duty\)"):
        load({**tables, "time_plan": {"interval": 0.11, "loops": 300}}).plan(microscope)
    load({**tables, "time_plan": {"interval": 0.21, "loops": 300}}).plan(microscope)


def test_a_scanners_plan_is_its_protocols(load):
    sequence = load('kind = "scan"\nframes = 6\naverages = 100\n', ".toml")
    assert sequence.plan(SCANNER) == ScanProtocol(frames=6, averages=100).plan(SCANNER)
    assert sequence.given == {"frames": 6, "averages": 100}


# --- heating ---


def test_heating_without_a_thermal_table_is_not_estimated():
    bare = SCANNER.scanner.model_copy(update={"thermal": None})
    assert coil_heating(bare, [(1.0, True)]) is None


def test_heating_follows_the_closed_form():
    scanner = SCANNER.scanner
    thermal = scanner.thermal
    power = thermal.coil_resistance[0] * (scanner.drive_field[0] / thermal.field_per_ampere[0]) ** 2 / 2
    rise, tau = power * thermal.thermal_resistance, thermal.thermal_resistance * thermal.heat_capacity
    once = coil_heating(scanner, [(50.0, True)])
    assert once.peak - once.start == pytest.approx(rise * (1 - math.exp(-50 / tau)))
    # On long enough, it is the power's temperature; in between, it cools.
    assert coil_heating(scanner, [(1e5, True)]).peak == pytest.approx(thermal.ambient + rise)
    twice = coil_heating(scanner, [(50.0, True), (1e5, False), (50.0, True)])
    assert twice.peak == pytest.approx(once.peak)


def test_cutting_a_phase_in_two_changes_nothing():
    scanner = SCANNER.scanner
    whole = coil_heating(scanner, [(30.0, True), (7.0, False), (30.0, True)])
    cut = coil_heating(scanner, [(10.0, True), (20.0, True), (3.0, False), (4.0, False), (30.0, True)])
    assert cut.peak == pytest.approx(whole.peak)


def test_the_virtual_scanners_coil_warms_as_estimated():
    from nixel.acquisition.virtual.thermal import Coil

    # Two models written apart: the file's, and that of the virtual scanner.
    coil = Coil(0.0)
    coil.set_power(1.0, 0.0)
    estimate = coil_heating(SCANNER.scanner, [(60.0, True)])
    assert estimate.peak == pytest.approx(coil.temperature(60.0), abs=0.1)


# --- room ---


def test_a_run_that_does_not_fit_is_refused(load, tmp_path):
    plan = load({"channels": [GREEN]}).plan(instrument())
    check_room("s", plan, tmp_path, 2**20)
    with pytest.raises(SequenceError, match=r"size: found .* MB; expected at most .*buffer: found"):
        check_room("s", type(plan)(**{**plan.__dict__, "size": 2**60}), tmp_path, 2**60)
