"""The drive field of the virtual scanner, set up, read back and controlled over its wire."""

import json

import numpy as np
import pytest

from nixel.acquisition.adapters.scpi_daq import ScpiDaqAdapter
from nixel.acquisition.adapters.scpi_robot import ScpiRobotAdapter
from nixel.acquisition.devices import DeviceError
from nixel.acquisition.field_controller import FieldController
from nixel.acquisition.formats.mdf import read_mdf
from nixel.acquisition.instrument import load_instrument
from nixel.acquisition.protocol import ScanProtocol
from nixel.acquisition.scan import measure
from nixel.acquisition.transmit_setup import ChannelSetup, Steps, Tone, TransmitSetup, patches
from nixel.acquisition.virtual.chain import Chain

PERIOD = 1632
GOAL = np.diag([12e-3, 12e-3])


@pytest.fixture
def energised(scanner, safety):
    """A DAQ whose amplifier is on and whose acquisition runs."""
    adapter = ScpiDaqAdapter(scanner.instrument.devices["daq"], scanner.instrument.scanner)
    adapter.open()
    try:
        with safety.lease("test") as lease:
            lease.enable("amplifier")
            adapter.configure()
            adapter.control.command("SIM:SEED 3")
            adapter.start()
            yield adapter
    finally:
        adapter.stop()
        for channel in range(2):
            adapter.control.command(f"SIM:REF {channel},1")
        adapter.control.command("SIM:BUFF 33554432")
        adapter.configure()
        adapter.close()


def controller(scanner, daq):
    table = scanner.instrument.scanner
    return FieldController(daq, table, table.field_control)


def controlled(scanner, daq):
    made = controller(scanner, daq)
    made.prepare()
    daq.transmit(True)
    return made, made.control(lambda: None)


def test_the_field_is_brought_within_50_microtesla_and_stays_there_as_the_chain_warms(scanner, energised):
    made, history = controlled(scanner, energised)
    errors = [step["error"] for step in history]
    assert errors[0] > 5e-3
    assert errors[-1] <= 50e-6
    assert len(errors) <= 8
    field, _ = energised.field(8)
    assert np.abs(field - GOAL).max() <= 50e-6 + 3e-6
    # No step transmits more than a channel may.
    for step in history:
        assert all(sum(volts for volts, _ in channel) <= 0.8 for channel in step["volts"])
    # Half a minute of the scanner's clock on, at full power, the field has drifted away, and is brought back.
    for _ in range(30):
        energised.control.command("SIM:SAMP EMPTY")
    drifted, _ = energised.field(4)
    assert np.abs(drifted - GOAL).max() > 100e-6
    again = made.control(lambda: None)
    assert again[0]["error"] > 100e-6
    assert again[-1]["error"] <= 50e-6
    energised.control.command("SIM:SAMP PHANTOM stenosis")


def test_a_control_is_the_same_every_time(scanner, energised):
    def run():
        energised.stop()
        energised.configure()
        energised.control.command("SIM:SEED 5")
        energised.start()
        return controlled(scanner, energised)[1]

    assert run() == run()


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        ("0", "no signal on its reference channel"),
        ("-1", "the wrong phase"),
        ("0.3", "12 mT would take"),
        ("30", "one at its end"),
        ("2.5", "at most 14 mT on channel 1"),
    ],
    ids=["silence", "sign", "weak", "saturated", "strong"],
)
def test_a_field_that_cannot_be_controlled_is_switched_off(scanner, energised, factor, words):
    energised.control.command(f"SIM:REF 1,{factor}")
    with pytest.raises(DeviceError, match=words) as caught:
        controlled(scanner, energised)
    assert "The transmission is off" in str(caught.value)
    assert energised.control.query("RP:TR?") == "0"


def test_what_is_set_up_is_read_back(scanner, energised):
    setup = TransmitSetup(
        (
            ChannelSetup((Tone(102, 0.4, 1.0), Tone(96, 0.1, -2.0)), offset=0.1, ramp=2e-3),
            ChannelSetup((Tone(96, 0.5),)),
        )
    )
    energised.program(setup)
    query = energised.control.query
    assert float(query("RP:DAC:CH0:COMP1:FREQ?")) == pytest.approx(2.5e6 / 96)
    assert float(query("RP:DAC:CH0:COMP1:PHA?")) == pytest.approx(2 * np.pi - 2.0)
    assert [float(query(f"RP:DAC:CH{c}:COMP{n}:AMP?")) for c in (0, 1) for n in (0, 1)] == [
        0.4,
        0.1,
        0.5,
        0.0,
    ]
    assert (query("RP:DAC:CH0:RAMP:ENB?"), query("RP:DAC:CH1:RAMP:ENB?")) == ("1", "0")
    assert query("RP:DAC:CH0:COMP0:SIG?") == "SINE"
    # A later set-up leaves nothing of an earlier one, on whatever order the limits allow.
    energised.program(energised.nominal())
    assert float(query("RP:DAC:CH0:COMP1:AMP?")) == 0.0
    with pytest.raises(DeviceError, match=r"expected at most 0\.8 V, found 0\.9 V, which would be clipped"):
        energised.program(TransmitSetup((ChannelSetup((Tone(102, 0.9),)), ChannelSetup((Tone(96, 0.1),)))))
    assert float(query("RP:DAC:CH0:COMP0:AMP?")) == 0.6


@pytest.mark.parametrize(
    ("offset", "steps", "volts"),
    [(-0.25, None, "0.85 V"), (0.0, (0.0, -0.3), "0.9 V"), (0.15, (0.1, 0.0), "0.85 V")],
)
def test_offsets_and_steps_count_towards_a_channels_limit(energised, offset, steps, volts):
    tones = [channel.tones for channel in energised.nominal().channels]  # of 0.6 V
    before = energised.control.query("RP:DAC:CH0:OFF?")
    table = None if steps is None else Steps(np.array([[step, 0.0] for step in steps], np.float32), PERIOD)
    setup = TransmitSetup((ChannelSetup(tones[0], offset=offset), ChannelSetup(tones[1])), table)
    with pytest.raises(DeviceError, match=rf"channel 0.*at most 0\.8 V, found {volts}"):
        energised.program(setup)
    assert energised.control.query("RP:DAC:CH0:OFF?") == before


def test_the_control_of_the_field_leaves_room_for_what_is_stepped(energised):
    channels = energised.nominal().channels
    energised.program(TransmitSetup(channels, patches([(4e-3, 0.0)], (40e-3, 40e-3), PERIOD)))  # of 0.1 V
    energised.transmit_volts(np.diag([0.69, 0.79]).astype(complex))
    with pytest.raises(DeviceError, match=r"channel 0.*at most 0\.8 V, found 0\.81 V"):
        energised.transmit_volts(np.diag([0.71, 0.6]).astype(complex))
    energised.program(energised.nominal())
    energised.transmit_volts(np.diag([0.71, 0.6]).astype(complex))


def test_a_device_that_says_another_value_is_not_believed(scanner, energised):
    class Lying:
        where = "daq"

        def __init__(self, control):
            self._control = control

        def __getattr__(self, name):
            return getattr(self._control, name)

        def together(self, commands):
            answers = self._control.together(commands)
            return [
                "0.55" if command.endswith("COMPonent0:AMPlitude?") else a
                for command, a in zip(commands, answers, strict=True)
            ]

    energised.generator._control = Lying(energised.control)
    with pytest.raises(DeviceError, match=r"expected 0\.6, found 0\.55"):
        energised.configure()
    energised.generator._control = energised.control


def test_the_field_ramps_up_and_down(scanner, energised):
    made = scanner.instrument.devices["daq"].model_copy(update={"ramp": 4 * PERIOD / 2.5e6})
    energised._device = made
    energised.configure()
    energised.transmit(True)
    first = energised.write_pointer()
    energised._receive_channels((2, 3))
    codes = next(iter(energised.stream(first, 8 * PERIOD, 8 * PERIOD, 2))).codes[:, 0].astype(float)
    levels = np.abs(codes).reshape(16, -1).max(axis=1)
    # Linear over eight half periods, then still. The last peak of a half period lies a sixteenth of it before its end
    # at most, and a twentieth of the other frequency, coupled in, beats with it.
    np.testing.assert_allclose(levels[:8] / levels[10], np.arange(1, 9) / 8, atol=1 / 128 + 0.06)
    np.testing.assert_allclose(levels[8:] / levels[10], 1.0, atol=0.06)
    assert energised.settled() - energised.write_pointer() == 5 * PERIOD
    energised.transmit(False)
    assert energised.control.query("RP:TR?") == "0"


def mean(daq, first, periods=40):
    codes = [chunk.codes for chunk in daq.stream(first, periods * PERIOD, periods * PERIOD)]
    return np.concatenate(codes).reshape(periods, PERIOD, 2).astype(float).mean(axis=0)


def test_a_focus_field_moves_the_field_of_view(scanner, energised):
    """With a focus field b the field-free point is at -b/G: a sample at r is seen as one at r + b/G without."""
    per_volt = scanner.instrument.devices["daq"].focus_field_per_volt
    gradient = scanner.instrument.scanner.gradient
    robot = ScpiRobotAdapter(scanner.instrument.devices["robot"], energised.control)
    energised.control.command("SIM:SAMP DELTA 0.001,0.001,0.001")
    fields = [(0.0, 0.0), (-2.5e-3, 0.0), (0.0, -5e-3)]
    length = 60 * PERIOD
    energised.program(
        TransmitSetup(energised.nominal().channels, patches(fields, per_volt, length, repetitions=2))
    )
    robot.move(x=0.0, y=0.0)
    start = energised.write_pointer()
    energised.transmit(True)
    patched = [mean(energised, start + n * length + 10 * PERIOD) for n in range(4)]
    energised.transmit(False)
    energised.program(energised.nominal())
    noise = 6 * 4.0 * np.sqrt(2 / 40) + 3.0  # and the drift of feed-through between the two
    for n, (x, y) in enumerate([*fields, fields[0]]):
        robot.move(x=x / gradient[0], y=y / gradient[1])
        energised.transmit(True)
        alone = mean(energised, energised.settled())
        energised.transmit(False)
        assert np.abs(patched[n] - alone).max() < noise + 0.01 * np.abs(alone).max()
    assert np.abs(patched[1] - patched[0]).max() > 10 * noise  # they are not all the same
    energised.control.command("SIM:SAMP PHANTOM stenosis")


def test_a_sequence_switches_channels_and_ends(scanner, energised):
    enable = np.array([[True, True], [True, False]])
    steps = Steps(np.zeros((2, 2), dtype=np.float32), PERIOD, repetitions=2, enable=enable)
    energised.program(
        TransmitSetup(tuple(ChannelSetup(c.tones) for c in energised.nominal().channels), steps)
    )
    energised.transmit(True)
    first = energised.write_pointer()
    energised._receive_channels((2, 3))
    codes = next(iter(energised.stream(first, 6 * PERIOD, 6 * PERIOD, 2))).codes.astype(float)
    level = np.abs(codes).reshape(6, PERIOD, 2).max(axis=1)
    assert (level[:4, 0] > 3000).all()
    assert (level[[0, 2], 1] > 3000).all()
    assert (level[[1, 3], 1] < 300).all()  # its field is what couples in from the other
    assert (level[4:] < 40).all()  # over: noise alone


def test_a_table_that_arrives_otherwise_is_noticed(scanner, energised):
    send = energised.generator._send
    energised.generator._send = lambda data: send(bytes(len(data)))
    steps = patches([(1e-3, 0.0)], (40e-3, 40e-3), PERIOD)
    with pytest.raises(DeviceError, match=r"SEQ:LUT failed: expected a table whose CRC-32"):
        energised.program(TransmitSetup(energised.nominal().channels, steps))
    energised.generator._send = send


def test_a_run_records_how_its_field_was_controlled(scanner, safety, tmp_path):
    protocol = ScanProtocol(frames=5, averages=5, background_frames=2, background_every=2, seed=4)
    assert protocol.stages() == [(True, 2), (False, 2), (True, 1), (False, 2), (True, 1), (False, 1)]
    assert protocol.plan(scanner.instrument).frames == 9
    found = measure(scanner.instrument, protocol, path=tmp_path / "m.mdf", safety=safety, provenance={})
    mdf = read_mdf(found.dataset)
    assert mdf.measurement.is_background.tolist() == [
        True,
        True,
        False,
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    controls = json.loads(mdf.extras["fieldControl"])
    assert [control["frame"] for control in controls] == [0, 2, 4, 5, 7, 8]  # before each stage
    assert all(control["steps"][-1]["error"] <= 50e-6 for control in controls)
    assert len(controls[0]["steps"]) > len(controls[1]["steps"]) == 1


def test_a_long_stage_is_controlled_again(scanner, safety, tmp_path):
    tables = scanner.instrument.model_dump(mode="json", exclude_none=True)
    tables["scanner"]["field_control"]["interval"] = "20 ms"
    instrument = type(scanner.instrument).model_validate(tables)
    protocol = ScanProtocol(frames=20, averages=5, background_frames=0, seed=4)
    found = measure(instrument, protocol, path=tmp_path / "m.mdf", safety=safety, provenance={})
    controls = json.loads(read_mdf(found.dataset).extras["fieldControl"])
    # A frame takes 5 * 1632 / 2.5 MHz = 3.26 ms, so that six of them fit into the time.
    assert [control["frame"] for control in controls] == [0, 6, 12, 18]


def test_the_chain_is_linear_and_drifts_with_its_temperature():
    chain = Chain((20e-3, 20e-3))
    volts = np.array([[0.6, 0.1j], [0.0, 0.5 - 0.2j]])
    cold = chain.field(volts, 0.0)
    np.testing.assert_allclose(chain.field(2 * volts, 0.0), 2 * cold)
    chain.set_power(1.0, 0.0)
    # 30 K after a long time: 3 % less field, and 60 mrad.
    np.testing.assert_allclose(chain.field(volts, 1e4), cold * 0.97 * np.exp(0.06j), rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"feedback_channels": None}, "expected it and feedback_field_per_volt"),
        ({"feedback_channels": [1, 2]}, "those before are the receive channels"),
        ({"feedback_channels": [2]}, "expected one for each of the 2"),
        ({"voltage_limit": ["0 V", "1 V"]}, "above zero"),
        ({"ramp": "11 s"}, "from 0 s to 10 s"),
        (
            {"feedback_channels": None, "feedback_field_per_volt": None},
            "there is a table scanner.field_control",
        ),
    ],
)
def test_a_daq_that_does_not_fit_is_refused(change, words):
    instrument = load_instrument("virtual-scanner")
    tables = instrument.model_dump(mode="json", exclude_none=True)
    tables["devices"]["daq"] = {
        key: value for key, value in {**tables["devices"]["daq"], **change}.items() if value is not None
    }
    with pytest.raises(ValueError, match=words):
        type(instrument).model_validate(tables)
