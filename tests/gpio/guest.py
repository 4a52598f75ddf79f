"""The first process of a virtual machine with a simulated GPIO chip of the kernel: runs its checks, says what came out.

Started by the kernel from the initial file system that `emulated.py` makes. Every function named `check_...` is one.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import first_process
from first_process import LIBC, load, mount

CONFIG, TRACE = Path("/sys/kernel/config/gpio-sim"), Path("/sys/kernel/tracing")
PUMP, PERIOD, HOLD = 27, 0.02, 0.1

INSTRUMENT = """
[safety]
rate = "50 Hz"
lease = "2 s"

[safety.gpio]
adapter = "gpio"
chip = "panel"
charge_pump = 27

[safety.gpio.inputs]
5 = { pull = "up", active = "low" }
26 = { pull = "up", active = "high" }

[safety.gpio.outputs]
17 = { active = "high", readback = 26 }

[safety.interlocks.lid]
kind = "boolean"
source = "gpio:5"
healthy = true
max_age = "500 ms"
message = "the lid is open"

[safety.outputs.light]
sink = "gpio:17"
gated_by = ["lid"]
readback_within = "500 ms"
"""


# --- the machine ---


def prepare():
    mount("proc", "/proc")
    mount("sysfs", "/sys")
    mount("devtmpfs", "/dev")
    mount("tracefs", str(TRACE))
    load("configfs.ko")
    mount("configfs", "/sys/kernel/config")
    load("gpio-simulator.ko")
    # gpiozero serves no machine but a Raspberry Pi: a 4B, which it knows by its revision.
    Path("/cpuinfo").write_text("Revision\t: c03114\n")
    if LIBC.mount(b"/cpuinfo", b"/proc/cpuinfo", None, 4096, None):
        raise OSError(ctypes.get_errno(), "bind /proc/cpuinfo")
    os.environ["HOME"] = "/tmp"
    Path("/tmp").mkdir(exist_ok=True)


class Chip:
    """A simulated chip of 32 lines, and what is connected to it."""

    def __init__(self):
        self.device = CONFIG / "panel"
        bank = self.device / "bank0"
        bank.mkdir(parents=True)
        (bank / "num_lines").write_text("32")
        (bank / "label").write_text("panel")
        (self.device / "live").write_text("1")
        self.name = (bank / "chip_name").read_text().strip()
        self.number = int(self.name.removeprefix("gpiochip"))
        place = (self.device / "dev_name").read_text().strip()
        self.lines = Path("/sys/devices/platform") / place / self.name
        self.base = next(
            int((chip / "base").read_text())
            for chip in Path("/sys/class/gpio").glob("gpiochip*")
            if (chip / "label").read_text().strip() == "panel"
        )

    def connect(self, line, level):
        """Connect a line to a level."""
        (self.lines / f"sim_gpio{line}" / "pull").write_text("pull-up" if level else "pull-down")

    def level(self, line):
        return (self.lines / f"sim_gpio{line}" / "value").read_text().strip() == "1"

    def remove(self):
        (self.device / "live").write_text("0")
        (self.device / "bank0").rmdir()
        self.device.rmdir()

    def record(self):
        """Begin to record what is done to the lines."""
        (TRACE / "trace").write_text("")
        (TRACE / "events/gpio/enable").write_text("1")

    def driven(self, line):
        """Every level that a line was driven to since, in order."""
        text = (TRACE / "trace").read_text()
        return [found == "1" for found in re.findall(rf"gpio_value: {self.base + line} set ([01])", text)]


@contextlib.contextmanager
def chip():
    made = Chip()
    try:
        yield made
    finally:
        made.remove()


def wait_until(what, timeout=10.0):
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


# --- the lines ---


def described(number, path=""):
    from nixel.safety.config.units import GpioChip, GpioInput, GpioOutput, Pull

    return GpioChip(
        number,
        path,
        inputs=(
            GpioInput(5, Pull.UP, active_high=False),
            GpioInput(6, Pull.DOWN, active_high=True),
            GpioInput(25, Pull.UP, active_high=True),
            GpioInput(26, Pull.UP, active_high=True),
        ),
        outputs=(
            GpioOutput(17, active_high=True, readback=25),
            GpioOutput(18, active_high=False, readback=26),
        ),
        charge_pump=PUMP,
    )


def opened(number):
    from nixel.safety.units.gpio_chip import ChipLines

    return ChipLines.open(described(number))


def refused(number):
    """Why the lines cannot be had."""
    from nixel.safety.units.gpio import LinesError

    try:
        opened(number).close()
    except LinesError as error:
        return str(error)
    raise AssertionError("it was opened")


def check_pulls_are_the_kernels():
    """An input that nothing is connected to reads what its pull says, and then what is connected to it."""
    with chip() as sim:
        lines = opened(sim.number)
        assert lines.read() == {5: True, 6: False, 25: True, 26: True}, lines.read()
        sim.connect(5, False)
        sim.connect(6, True)
        assert lines.read() == {5: False, 6: True, 25: True, 26: True}, lines.read()
        lines.close()


def check_outputs_are_off_from_the_first_moment():
    """No line, not even one that is off while high, is driven to its active level by opening it."""
    with chip() as sim:
        sim.record()
        lines = opened(sim.number)
        assert set(sim.driven(17)) == {False}, sim.driven(17)
        assert set(sim.driven(18)) == {True}, sim.driven(18)
        assert (sim.level(17), sim.level(18), sim.level(PUMP)) == (False, True, False)
        lines.write(17, True)
        lines.write(18, False)
        assert (sim.level(17), sim.level(18)) == (True, False)
        lines.close()


def check_a_chip_is_found_by_its_label():
    with chip() as sim:
        for name in ("panel", sim.name):
            opened(name).close()
        assert "(panel)" in refused("nobody")


def check_lines_that_another_process_has_are_a_fault():
    with chip() as sim:
        program = f"import lgpio, time; h = lgpio.gpiochip_open({sim.number}); lgpio.gpio_claim_input(h, 6)\n"
        program += "print('has it', flush=True); time.sleep(60)"
        other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "has it\n"
        try:
            said = refused(sim.number)
            assert "line 6" in said, said
            assert "busy" in said.lower(), said
        finally:
            other.kill()
            other.wait()
        opened(sim.number).close()


@contextlib.contextmanager
def unit(gpio):
    """Start a unit, and make sure that it has ended."""
    gpio.start()
    try:
        wait_until(lambda: gpio.view.readings)
        yield gpio
    finally:
        with contextlib.suppress(Exception):
            gpio.close(5.0)


def check_a_chip_that_goes_is_a_fault_and_one_that_comes_is_taken_up():
    from nixel.safety.units.gpio import Gpio
    from nixel.safety.units.gpio_chip import ChipLines

    sim = Chip()
    with unit(Gpio(described("panel"), PERIOD, PERIOD, ChipLines.open)) as gpio:
        sim.remove()
        wait_until(lambda: gpio.view.fault)
        print("a chip that is gone:", gpio.view.fault)
        stamp = gpio.view.readings["gpio:5"].time
        time.sleep(0.5)
        assert gpio.view.readings["gpio:5"].time == stamp
        with chip():
            wait_until(lambda: not gpio.view.fault)
            assert gpio.view.readings["gpio:5"].time > stamp
            gpio.close(5.0)


def check_the_pump_has_one_edge_a_tick():
    from nixel.safety.units.gpio import Gpio
    from nixel.safety.units.gpio_chip import ChipLines
    from nixel.safety.units.unit import Command

    with chip() as sim, unit(Gpio(described(sim.number), PERIOD, PERIOD, ChipLines.open)) as gpio:
        sim.record()
        on = frozenset({"gpio:17", "gpio:18"})
        for beats in range(1, 51):
            gpio.command(Command(on, permitted=True, beats=beats))
            wait_until(lambda beats=beats: len(sim.driven(PUMP)) >= beats)
        time.sleep(5 * PERIOD)
        assert sim.driven(PUMP) == [beat % 2 == 0 for beat in range(50)], sim.driven(PUMP)
        assert (sim.level(17), sim.level(18)) == (True, False)
        gpio.close(5.0)
        assert sim.driven(17)[-1] is False
        assert sim.driven(18)[-1] is True


# --- the daemon ---


class Panel:
    """A relay on line 17, fed by the pump on line 27, its mirror contact on line 26, and a lid's contact on line 5.

    Both contacts are to ground, the one while the relay is off, the other while the lid is closed. They are connected
    again and again, for the simulator takes a pull that is asked for as another connection.
    """

    def __init__(self, sim):
        self.sim, self.on, self.lid_closed, self.ending = sim, False, True, False
        self.dropped = 0.0
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        level, edge = self.sim.level(PUMP), 0.0
        while not self.ending:
            now = time.monotonic()
            if self.sim.level(PUMP) != level:
                level, edge = not level, now
            on = self.sim.level(17) and now - edge < HOLD
            if on != self.on:
                self.on, self.dropped = on, now
            self.sim.connect(26, on)
            self.sim.connect(5, not self.lid_closed)
            time.sleep(0.002)

    def end(self):
        self.ending = True
        self.thread.join()


@contextlib.contextmanager
def ended_at_will(lease):
    """A lease that may have ended meanwhile, with its daemon, too; only what its user does wrong is an error."""
    held = lease.__enter__()
    try:
        yield held
    finally:
        with contextlib.suppress(Exception):
            lease.__exit__(None, None, None)


@contextlib.contextmanager
def lit(sim):
    """A daemon that has the light on."""
    from nixel.safety.client import SafetyClient

    Path("/tmp/i.toml").write_text(INSTRUMENT)
    panel = Panel(sim)
    arguments = ["--instrument", "/tmp/i.toml", "--socket", "/tmp/s", "--operator-group", ""]
    process = subprocess.Popen(
        [sys.executable, "-m", "nixel.safety.daemon", *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().startswith("ready")
        client = SafetyClient("/tmp/s", timeout=20.0)
        client.wait_until_healthy(30)
        assert client.status().simulated is False
        client.reset()
        client.arm()
        with ended_at_will(client.lease("a check")) as lease:
            lease.enable("light")
            wait_until(lambda: panel.on)
            yield process, client, panel
    finally:
        process.kill()
        process.wait()
        panel.end()


def check_an_interlock_on_a_line_puts_the_light_out():
    with chip() as sim, lit(sim) as (_, client, panel):
        began = time.monotonic()
        panel.lid_closed = False
        wait_until(lambda: not panel.on)
        print(f"lid open to relay off: {(panel.dropped - began) * 1e3:.0f} ms (emulated processor)")
        wait_until(lambda: client.status().state == "FAULT")
        assert client.status().first_cause.message == "the lid is open"
        assert not sim.level(17)


def check_sigterm_puts_the_light_out_first():
    with chip() as sim, lit(sim) as (process, _, panel):
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: not panel.on)
        assert not sim.level(17)
        assert process.wait(20) == 0


def check_a_killed_daemon_lets_the_relay_drop():
    with chip() as sim, lit(sim) as (process, _, panel):
        began = time.monotonic()
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: not panel.on)
        print(f"SIGKILL to relay off: {(panel.dropped - began) * 1e3:.0f} ms (emulated processor)")
        process.wait()
        opened(sim.number).close()  # the kernel has taken the lines back


if __name__ == "__main__":
    first_process.run(prepare, globals())
