"""An instrument file that uses every key there is, and how tests change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nixel.safety.config.instrument import load

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = """
[instrument]
name = "bench"

[safety]
rate = "100 Hz"
lease = "500 ms"
operator_group = "nixel-operator"

[safety.deadlines]
limit = 5
window = "2 s"

[safety.surveillance]
adapter = "serial-surveillance"
path = "/nowhere/surveillance"
simulated = true

[safety.gpio]
adapter = "gpio"
chip = "pinctrl-rp1"
charge_pump = 27

[safety.gpio.inputs]
5 = { pull = "up", active = "low" }
26 = { pull = "none", active = "high" }
20 = { pull = "down", active = "high" }

[safety.gpio.outputs]
17 = { active = "high", readback = 26 }
18 = { active = "low", readback = 20 }

[safety.interlocks.coil]
kind = "limit"
source = "analog:0"
unit = "degC"
warn = "50 degC"
trip = "60 degC"
hysteresis = "2 K"
frozen_after = "10 s"
sensor = "pt1000-class-b"
part = "insulation-class-f"
max_age = "400 ms"
trips_after = "20 ms"
clears_after = "1 s"
bypass = "10 min"
message = "the coil is hot"

[safety.interlocks.sar]
kind = "limit"
source = "analog:1"
unit = "W/kg"
factor = 53e-6
power = 2
trip = "0.1 W/kg"
sensor = "lem-la-55-p"
part = "small-specimen"
max_age = "400 ms"

[safety.interlocks.flow]
kind = "limit"
source = "analog:2"
unit = "l/min"
direction = "below"
warn = "3 l/min"
trip = "2 l/min"
max_age = "400 ms"

[safety.interlocks.coil-rate]
kind = "rate"
source = "analog:0"
unit = "degC"
trip = "30 K/min"
window = "2 s"
sense = "rising"
frozen_after = "20 s"
max_age = "400 ms"

[safety.interlocks.agreement]
kind = "two-channel"
sources = ["analog:0", "analog:3"]
unit = "degC"
tolerance = "5 K"
discrepancy = "2 s"
max_age = "400 ms"

[safety.interlocks.estop]
kind = "two-channel"
sources = ["digital:0", "gpio:5"]
healthy = [true, false]
discrepancy = "100 ms"
emergency_stop = true
max_age = "400 ms"

[safety.interlocks.door]
kind = "boolean"
source = "gpio:5"
healthy = true
max_age = "400 ms"

[safety.interlocks.daq]
kind = "heartbeat"
source = "digital:3"
interval = "1 s"
max_age = "400 ms"

[safety.interlocks.processor]
kind = "limit"
source = "cpu:temperature"
unit = "degC"
trip = "80 degC"
sensor = "soc-thermal"
part = "raspberry-pi-soc"
max_age = "2 s"

[safety.outputs.light]
sink = "gpio:17"
gated_by = ["estop", "processor", "door"]
after = ["amplifier"]
on_time = "10 s"
duty = "25 percent"

[safety.outputs.amplifier]
sink = "ac"
gated_by = ["estop", "coil", "coil-rate", "sar", "flow", "agreement", "daq"]
readback_within = "400 ms"
after = ["mains"]

[safety.outputs.mains]
sink = "gpio:18"
gated_by = ["estop"]
settle = "2 s"
"""


def write(folder: Path, text: str) -> Path:
    """Write an instrument file."""
    file = folder / "bench.toml"
    file.write_text(text)
    return file


def changed(folder: Path, right: str, wrong: str):
    """Read the file with something in it that is written otherwise."""
    assert EVERYTHING.count(right) >= 1, right
    return load(write(folder, EVERYTHING.replace(right, wrong, 1)))
