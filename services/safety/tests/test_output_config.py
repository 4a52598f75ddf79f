"""The tables of outputs: their order, their sinks, their gates."""

from __future__ import annotations

import pytest
from instrument_texts import EVERYTHING, changed, write

from nixel.safety.config.instrument import ConfigError, load
from nixel.safety.core.model import Output


def test_outputs_are_read_in_the_order_of_their_start_up_whatever_their_order_in_the_file(tmp_path):
    mains, amplifier, light = load(write(tmp_path, EVERYTHING)).core.outputs
    assert mains == Output("mains", "gpio:18", ("estop",), settle=2.0)
    gates = ("estop", "coil", "coil-rate", "sar", "flow", "agreement", "daq")
    assert amplifier == Output("amplifier", "ac", gates, 0.4, ("mains",))
    assert light == Output(
        "light", "gpio:17", ("estop", "processor", "door"), after=("amplifier",), on_time=10.0, duty=0.25
    )


MISTAKES = [
    ('sink = "ac"', 'sink = "dc"', "amplifier.sink", '"ac", "gpio:17", "gpio:18"'),
    ('sink = "ac"', 'sink = "gpio:5"', "amplifier.sink", '"ac", "gpio:17", "gpio:18"'),
    ('sink = "ac"', 'sink = "gpio:17"', "amplifier.sink", "a sink other than that of 'light'"),
    (
        'gated_by = ["estop"]',
        'gated_by = ["stop"]',
        "mains.gated_by",
        "names of interlocks of this file (coil, sar",
    ),
    ('gated_by = ["estop"]', 'gated_by = ["estop", "estop"]', "mains.gated_by", "each name once"),
    ('gated_by = ["estop"]', "gated_by = []", "mains.gated_by", "one or more"),
    ('gated_by = ["estop"]', 'gated_by = "estop"', "mains.gated_by", "a list"),
    ('gated_by = ["estop"]', 'gated_by = ["coil"]', "mains.gated_by", "estop among them"),
    (', "daq"]', "]", "interlocks.daq", "it gates nothing"),
    (
        'after = ["mains"]',
        'after = ["main"]',
        "amplifier.after",
        "names of other outputs of this file (light, mains)",
    ),
    ('after = ["mains"]', 'after = ["amplifier"]', "amplifier.after", "names of other outputs"),
    ('after = ["mains"]', 'after = ["light"]', "light.after", "a circle (light, amplifier)"),
    ('settle = "2 s"', 'settle = "2 min"', "mains.settle", "from 0 to 60 s"),
    (
        'readback_within = "400 ms"',
        'readback_within = "2 s"',
        "amplifier.readback_within",
        "from 0.02 to 1 s",
    ),
    ('on_time = "10 s"', "", "light.on_time", "which a duty cycle needs"),
    ('on_time = "10 s"', 'on_time = "0 s"', "light.on_time", "from 0.02"),
    ('duty = "25 percent"', 'duty = "0 percent"', "light.duty", "from 0.1 to 100 percent"),
    ('duty = "25 percent"', "duty = 0.25", "light.duty", "the bare number 0.25"),
    ('duty = "25 percent"', 'duty = "25 percent"\nwait = 1', "light.wait", "does not exist here"),
    ("outputs.mains]", "outputs.start]", "outputs.start", "is none of"),
]


@pytest.mark.parametrize(("right", "wrong", "key", "says"), MISTAKES)
def test_a_mistake_names_file_key_found_and_expected(tmp_path, right, wrong, key, says):
    with pytest.raises(ConfigError) as caught:
        changed(tmp_path, right, wrong)
    text = str(caught.value)
    place = key if key.startswith(("outputs.", "interlocks.")) else f"outputs.{key}"
    assert text.startswith(f"{tmp_path / 'bench.toml'}: safety.{place}: ")
    assert says in text
    assert "found" in text
    assert "expected" in text
    assert "\n" not in text
