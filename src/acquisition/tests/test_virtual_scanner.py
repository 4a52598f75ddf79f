"""The virtual scanner as a process, over its own wires."""

import math
import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from nixel.acquisition.adapters.scpi import ScpiConnection
from nixel.acquisition.adapters.scpi_daq import ScpiDaqAdapter
from nixel.acquisition.adapters.scpi_robot import ScpiRobotAdapter
from nixel.acquisition.devices import Daq, DeviceError, Stage
from nixel.acquisition.virtual.sensors import ANALOG, DIGITAL

PERIOD, CHANNELS = 1632, 2
NOISE = 4.0  # codes, as nixel.acquisition.virtual.signal says


@pytest.fixture
def daq(scanner):
    adapter = ScpiDaqAdapter(scanner.instrument.devices["daq"], scanner.instrument.scanner)
    adapter.open()
    yield adapter
    adapter.close()


def analog(scanner):
    return [float(value) for value in scanner.line.ask("GET:ANALOG")[len("ANALOG:") : -1].split(";")]


@pytest.fixture
def energised(scanner, safety, daq):
    """A DAQ whose amplifier is on."""
    with safety.lease("test") as lease:
        lease.enable("amplifier")
        daq.configure()
        yield daq


def read(daq, first, periods, chunk=PERIOD):
    return np.concatenate([part.codes for part in daq.stream(first, periods * PERIOD, chunk)])


def test_the_adapters_are_what_the_protocols_ask_for(scanner, daq):
    assert isinstance(daq, Daq)
    assert isinstance(ScpiRobotAdapter(scanner.instrument.devices["robot"], daq.control), Stage)


def test_transmitting_is_refused_while_the_safety_output_is_off(scanner, daq):
    assert scanner.line.ask("GET:STATUS").startswith("STATUS:AC=0")
    assert not daq.ready()
    with pytest.raises(DeviceError, match="the amplifier is off: the safety output is not enabled"):
        daq.transmit(True)
    assert scanner.line.ask("GET:ANALOG").endswith(";0.000;0.000#")


def test_the_surveillance_line_speaks_its_protocol(scanner):
    line = scanner.line
    assert line.ask("VERSION") == "SURVBOX:3#"
    assert line.ask("GET:DIGITAL")[:-2] == "DIGITAL:1;1;1;1;1;"
    measured = dict(zip(ANALOG, analog(scanner), strict=True))
    assert measured["coil-1"] == pytest.approx(22.0, abs=0.5)
    assert measured["amplifier-1"] == pytest.approx(measured["amplifier-2"], abs=0.5)
    assert measured["flow"] > 3.0
    assert measured["current-x"] == measured["current-y"] == 0.0
    assert line.ask("NONSENSE") == "NAK:unknown command#"
    assert line.send(b"garbage#") == "NAK:syntax#"
    assert line.send(b"half a !VERS!VERSION*#") == "SURVBOX:3#"
    assert line.send(b"x" * 100) == "NAK:request too long#"
    assert line.ask("VERSION") == "SURVBOX:3#"


def test_the_gate_opens_only_with_a_fed_watchdog(scanner):
    line = scanner.line
    for command in ("DISABLE:WD", "RESET:FAIL"):
        assert line.ask(command) == "ACK#"
    assert line.ask("ENABLE:AC") == "NAK:the watchdog is not enabled#"
    assert line.ask("ENABLE:WD") == "ACK#"
    assert line.ask("ENABLE:AC") == "NAK:the watchdog has not been fed#"
    assert line.ask("RESET:WD") == "ACK#"
    assert line.ask("ENABLE:AC") == "ACK#"
    assert line.ask("GET:STATUS") == "STATUS:AC=1;WD=1;SV=1;FAIL=0#"
    time.sleep(1.5 * scanner.watchdog)
    assert line.ask("GET:STATUS") == "STATUS:AC=0;WD=1;SV=1;FAIL=1#"
    line.ask("DISABLE:WD")


def test_a_starved_watchdog_ends_the_stream(scanner, daq):
    line = scanner.line
    for command in ("ENABLE:WD", "RESET:FAIL", "RESET:WD", "ENABLE:AC"):
        assert line.ask(command) == "ACK#"
    daq.configure()
    line.ask("RESET:WD")
    daq.start()
    daq.transmit(True)
    began = time.monotonic()
    with pytest.raises(DeviceError, match="the watchdog was not fed in time"):
        for _ in daq.stream(0, 10_000 * PERIOD, PERIOD):
            pass
    # 1 s by the unit's clock (test_virtual_parts is exact about it); a busy host's wall clock runs ahead.
    assert time.monotonic() - began < 3.0
    line.ask("DISABLE:WD")


def test_the_emergency_stop_ends_the_stream_at_once(scanner, energised):
    energised.start()
    energised.transmit(True)
    with ScpiConnection(scanner.ready["control"], 2.0, "scanner") as other:
        threading.Timer(0.1, other.command, ["SIMulation:ESTOP 1"]).start()
        with pytest.raises(DeviceError, match="the emergency stop was pulled"):
            for _ in energised.stream(0, 10_000 * PERIOD, PERIOD):
                pass
        assert scanner.line.ask("GET:DIGITAL").startswith("DIGITAL:0;0;1;")
        assert scanner.line.ask("ENABLE:AC") == "NAK:the emergency stop is pulled#"
        other.command("SIMulation:ESTOP 0")


def test_nothing_is_lost_and_the_stream_is_no_faster_than_the_converter(energised):
    energised.start()
    energised.transmit(True)
    periods, indices = 600, []
    began = time.monotonic()
    for chunk in energised.stream(0, periods * PERIOD, 10 * PERIOD):
        assert (chunk.lost, chunk.overwritten, chunk.overload) == (0, 0, False)
        indices.append(chunk.first)
    assert time.monotonic() - began >= 0.95 * periods * PERIOD / 2.5e6
    assert indices == list(range(0, periods * PERIOD, 10 * PERIOD))
    assert energised.write_pointer() == periods * PERIOD


def test_injected_losses_are_reported(scanner, energised):
    energised.start()
    energised.control.command("SIMulation:LOSE 3")
    assert [chunk.lost for chunk in energised.stream(0, PERIOD, PERIOD)] == [3]


def session(daq, seed, *, chunk=PERIOD, pause=0.0):
    """A fixed sequence of commands, and all samples that it brings."""
    daq.control.command(f"SIMulation:SEED {seed}")
    daq.start()
    daq.transmit(True)
    first = read(daq, PERIOD, 5, chunk)
    time.sleep(pause)
    daq.control.command("SIMulation:SAMPle DELTA 0.001,0.001,0.001")
    daq.control.command("ROBot:MOVe 0.002,-0.003")
    second = read(daq, daq.write_pointer(), 5, chunk)
    clock = daq.clock()
    daq.stop()
    daq.control.command("SIMulation:SAMPle PHANTOM stenosis")
    return np.concatenate([first, second]), clock


def test_samples_are_a_function_of_seed_commands_and_index_alone(energised, new_scanner):
    samples, clock = session(energised, 11)
    again, clock_again = session(energised, 11, chunk=1000, pause=0.2)
    np.testing.assert_array_equal(samples, again)
    assert clock == clock_again
    other, _ = session(energised, 12)
    assert np.mean(samples != other) > 0.5


def test_two_scanners_with_one_seed_agree_and_with_two_seeds_do_not(new_scanner):
    def noise(seed):
        scanner = new_scanner("--seed", seed)
        daq = ScpiDaqAdapter(scanner.instrument.devices["daq"], scanner.instrument.scanner)
        daq.open()
        daq.start()
        try:
            return read(daq, 0, 10)
        finally:
            daq.close()

    one = noise("1")
    np.testing.assert_array_equal(one, noise("1"))
    assert np.mean(one != noise("2")) > 0.5


def test_noise_has_the_configured_standard_deviation_and_is_white(daq):
    daq.start()
    codes = read(daq, 0, 200).astype(np.float64)
    # Rounding to whole codes adds the variance of a uniform distribution, 1/12.
    expected = np.sqrt(NOISE**2 + 1 / 12)
    for channel in range(CHANNELS):
        values = codes[:, channel]
        assert abs(values.std() - expected) < 5 * expected / np.sqrt(2 * len(values))
        assert abs(values.mean()) < 5 * expected / np.sqrt(len(values))
        for lag in (1, 2, 16, PERIOD):
            correlation = np.mean(values[lag:] * values[:-lag]) / expected**2
            assert abs(correlation) < 5 / np.sqrt(len(values) - lag)
    assert abs(np.mean(codes[:, 0] * codes[:, 1])) / expected**2 < 5 / np.sqrt(len(codes))


def difference_spectrum(daq, position, periods=64):
    """Amplitudes (codes) of a delta sample at a position less the empty bore, over eight periods."""
    spectra = []
    for sample in ("DELTA 0.001,0.001,0.001", "EMPTY"):
        daq.control.command(f"SIMulation:SAMPle {sample}")
        daq.control.command(f"ROBot:MOVe {position[0]},{position[1]}")
        codes = read(daq, daq.write_pointer(), periods).reshape(-1, 8 * PERIOD, CHANNELS).mean(axis=0)
        spectra.append(np.fft.rfft(codes, axis=0) / (4 * PERIOD))
    return np.abs(spectra[0] - spectra[1])


def test_a_delta_sample_answers_at_mixing_frequencies_only(energised):
    """Lines stand at n f1 + m f2; a sample in the centre has odd orders n + m only, because M is odd in H."""
    energised.start()
    energised.transmit(True)
    # In units of the cycle's frequency the drive frequencies are 1632/102 = 16 and 1632/96 = 17.
    lines = {(n, m): abs(16 * n + 17 * m) for n in range(-3, 4) for m in range(-3, 4)}
    odd = [lines[order] for order in ((1, 0), (2, 1), (1, 2), (2, -1), (-1, 2))]
    even = [lines[order] for order in ((1, 1), (-1, 1), (3, 1), (1, 3), (3, -1), (-1, 3))]
    # White noise of n samples has coefficients of mean square n sigma^2, amplitudes 2|X|/n of 4 sigma^2/n; a
    # difference of two measurements has twice that.
    noise = np.sqrt(NOISE**2 + 1 / 12) * np.sqrt(8 / (64 * PERIOD))

    centre = difference_spectrum(energised, (0, 0))
    between = np.delete(centre, np.arange(0, len(centre), 8), axis=0)
    assert between.max() < 6 * noise
    assert np.sqrt((between**2).mean()) == pytest.approx(noise, rel=0.05)
    on_lines = centre[::8]
    assert on_lines[odd].max(axis=1).min() > 30 * noise
    assert on_lines[even].max() < 6 * noise

    aside = difference_spectrum(energised, (0.004, 0.003))[::8]
    assert aside[even].max(axis=1).max() > 30 * noise


def test_feed_through_stands_at_harmonics_of_the_drive_and_drifts_slowly(energised):
    energised.start()
    energised.transmit(True)
    energised.control.command("SIMulation:SAMPle EMPTY")
    early = np.abs(
        np.fft.rfft(read(energised, energised.write_pointer(), 32).reshape(32, PERIOD, 2).mean(0), axis=0)
    )
    energised.control.command("SIMulation:SAMPle EMPTY")
    for _ in range(40):
        energised.control.command("SIMulation:SAMPle EMPTY")  # a second of the scanner's clock each
    late = np.abs(
        np.fft.rfft(read(energised, energised.write_pointer(), 32).reshape(32, PERIOD, 2).mean(0), axis=0)
    )
    strong = np.argsort(early[:, 0])[-5:]
    assert all(line % 16 == 0 or line % 17 == 0 for line in strong)
    assert 1.005 < late[16, 0] / early[16, 0] < 1.03
    energised.control.command("SIMulation:SAMPle PHANTOM stenosis")


def test_one_connection_owns_the_scanner(scanner, energised):
    energised.start()
    energised.transmit(True)
    with ScpiConnection(scanner.ready["control"], 2.0, "scanner") as other:
        for command in ("RP:TR OFF", "RP:ADC:ACQ:STAT OFF", "ROB:MOV 0,0", "SIM:SAMP EMPTY", "SIM:SEED 1"):
            with pytest.raises(DeviceError, match=r"-203|-221"):
                other.command(command)
        assert other.query("RP:TR?") == "1"
    energised.stop()
    with ScpiConnection(scanner.ready["control"], 2.0, "scanner") as other:
        other.command("ROB:MOV 0,0")


def test_a_connection_that_is_gone_leaves_nothing_on(scanner, safety):
    with safety.lease("test") as lease:
        lease.enable("amplifier")
        daq = ScpiDaqAdapter(scanner.instrument.devices["daq"], scanner.instrument.scanner)
        daq.open()
        daq.start()
        daq.transmit(True)
        daq.close()
        with ScpiConnection(scanner.ready["control"], 2.0, "scanner") as other:
            deadline = time.monotonic() + 2
            while other.query("RP:TR?") != "0" and time.monotonic() < deadline:
                time.sleep(0.01)
            assert other.query("RP:TR?") == "0"
            assert other.query("RP:ADC:ACQ:STAT?") == "0"


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("FOO:BAR", -113),
        ("RP:ADC:WP", -113),
        ("RP:ADC:WP? 1", -108),
        ("ROB:MOV 1e-3", -109),
        ("ROB:MOV a,b", -104),
        ("ROB:MOV 1,0", -222),
        ("ROB:MOV nan,0", -222),
        ("RP:DAC:CH0:COMP0:AMP 0.9", -222),
        ("RP:DAC:CH7:COMP0:AMP 0.1", -222),
        ("RP:DAC:CH0:COMP0:DIV 100", -222),
        ("RP:ADC:DEC 8", -222),
        ("SIM:SAMP PHANTOM nobody", -224),
        ("SIM:SAMP DELTA 1,2", -109),
        ("SIM:ESTOP MAYBE", -224),
        ("SIM:SEED -1", -222),
        ("RP:ADC:DATA:PIPELINED? 0,1,1", -221),
        ("RP:ADC:WP?;*IDN?", -102),
        ("x" * 600, -102),
        ("ROB:MOV é,0", -104),
    ],
)
def test_bad_commands_are_refused_and_change_nothing(scanner, command, number):
    with socket.create_connection(tuple(scanner.ready["control"].rsplit(":", 1)), 2.0) as connection:
        lines = connection.makefile("rwb")

        def exchange(text):
            lines.write(text.encode() + b"\n")
            lines.flush()
            return lines.readline().decode().strip()

        before = [
            exchange(query) for query in ("ROB:POS?", "SIM:SAMP?", "RP:DAC:CH0:COMP0:AMP?", "SYST:TIME?")
        ]
        assert exchange(command) == f"ERROR {number}"
        assert exchange("SYSTem:ERRor?").startswith(f'{number},"')
        assert exchange("SYSTem:ERRor?") == '0,"No error"'
        after = [
            exchange(query) for query in ("ROB:POS?", "SIM:SAMP?", "RP:DAC:CH0:COMP0:AMP?", "SYST:TIME?")
        ]
        assert after == before


def test_the_clock_moves_with_samples_and_moves_only(daq):
    start = daq.clock()
    assert start.isoformat() == "2000-01-01T00:00:00+00:00"
    time.sleep(0.05)
    assert daq.clock() == start
    daq.start()
    read(daq, 0, 100)
    assert (daq.clock() - start).total_seconds() == pytest.approx(100 * PERIOD / 2.5e6, abs=1e-6)


def test_the_coil_warms_while_transmitting(scanner, energised):
    def temperature():
        return analog(scanner)[ANALOG.index("coil-1")]

    energised.control.command("SIMulation:TEMPerature 22")
    energised.start()
    energised.transmit(True)
    time.sleep(1.0)
    warm = temperature()
    # 12 mT at 0.4 mT/A, as far as an uncontrolled chain does what the instrument file says.
    assert analog(scanner)[-2:] == pytest.approx([30.0, 30.0], rel=0.1)
    assert 22.1 < warm < 23.0  # 30 K (1 - exp(-1 s / 100 s)) = 0.3 K
    energised.control.command("SIMulation:TEMPerature 65")
    assert temperature() == pytest.approx(65, abs=0.1)


def digital(scanner):
    return dict(zip(DIGITAL, scanner.line.ask("GET:DIGITAL")[len("DIGITAL:") : -1].split(";"), strict=True))


def test_a_hand_at_the_front_panel_breaks_freezes_and_restores_a_sensor(scanner, daq):
    flow = ANALOG.index("flow")
    daq.control.command("SIMulation:SENSor flow,BREAK")
    assert math.isnan(analog(scanner)[flow])
    daq.control.command("SIMulation:SENSor flow,FREEZE")
    assert len({analog(scanner)[flow] for _ in range(20)}) == 1
    daq.control.command("SIMulation:SENSor flow,1.5")
    assert analog(scanner)[flow] == 1.5
    daq.control.command("SIMulation:SENSor flow,RESTORE")
    assert len({analog(scanner)[flow] for _ in range(20)}) > 1
    for wrong in ("flow,NAN", "flow,hot", "bogus,BREAK"):
        with pytest.raises(DeviceError, match="expected"):
            daq.control.command(f"SIMulation:SENSor {wrong}")


def test_a_hand_at_the_front_panel_opens_contacts_and_stops_coolant_and_heartbeat(scanner, daq):
    def beats():
        return len({digital(scanner)["heartbeat"] for _ in range(8) if time.sleep(0.05) is None}) == 2

    for name in ("door", "bore", "amplifier", "emergency-stop-2"):
        daq.control.command(f"SIMulation:CONTact {name},OFF")
        assert [
            other for other, closed in digital(scanner).items() if closed == "0" and other != "heartbeat"
        ] == [name]
        daq.control.command(f"SIMulation:CONTact {name},ON")
    with pytest.raises(DeviceError, match="emergency-stop-1, emergency-stop-2, bore, door"):
        daq.control.command("SIMulation:CONTact window,OFF")
    daq.control.command("SIMulation:COOLant OFF")
    assert abs(analog(scanner)[ANALOG.index("flow")]) < 0.1
    daq.control.command("SIMulation:COOLant ON")
    assert beats()
    daq.control.command("SIMulation:HEARtbeat OFF")
    time.sleep(0.15)
    assert not beats()
    daq.control.command("SIMulation:HEARtbeat ON")


def run(*arguments):
    command = [sys.executable, "-m", "nixel.acquisition.virtual.scanner", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--control", "127.0.0.1:{taken}"], ["--control 127.0.0.1:", "in use", "port 0"]),
        (["--data", "127.0.0.1:{taken}"], ["--data 127.0.0.1:", "in use"]),
        (["--control", "nowhere"], ["--control nowhere"]),
        (["--instrument", "nobody"], ["no such instrument", "virtual-scanner"]),
        (["--instrument", "virtual-microscope"], ["expected a scanner with one DAQ and one robot"]),
        (["--seed", "-1"], ["--seed -1: expected zero or more"]),
        (["--surveillance-link", "/no/such/folder/link"], ["--surveillance-link"]),
    ],
)
def test_a_fault_of_the_command_line_is_one_paragraph_and_status_2(scanner, tmp_path, arguments, words):
    taken = scanner.ready["control"].rsplit(":", 1)[1]
    arguments = [argument.format(taken=taken) for argument in arguments]
    result = run("--surveillance-link", str(tmp_path / "link"), *arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    for word in words:
        assert word in result.stderr
    assert not list(tmp_path.iterdir())


def test_it_ends_and_tidies_up_when_its_parent_ends(tmp_path, new_scanner):
    started = new_scanner()
    assert started.link.is_symlink()
    started.process.stdin.close()
    assert started.process.wait(10) == 0
    assert not started.link.is_symlink()


def test_it_ends_when_its_parent_is_killed(tmp_path):
    link = tmp_path / "link"
    program = (
        "import subprocess, sys, time\n"
        "module = 'nixel.acquisition.virtual.scanner'\n"
        "p = subprocess.Popen([sys.executable, '-m', module, '--exit-with-parent',"
        f" '--surveillance-link', {str(link)!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "p.stdout.readline()\nprint(p.pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while os.path.lexists(link) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not os.path.lexists(link)
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
