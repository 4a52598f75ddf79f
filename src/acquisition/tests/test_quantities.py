"""A quantity is a number with its unit; everything else is refused with a message that helps."""

import math
import subprocess
import sys
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from nixel.acquisition.quantities import Quantity, QuantityError, parse


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("0.0851um", "m", 0.0851e-6),
        ("0.0851 µm", "m", 0.0851e-6),  # micro sign
        ("0.0851 μm", "m", 0.0851e-6),  # Greek mu
        ("660 nm", "m", 660e-9),
        ("12 mT", "T", 0.012),
        ("1.25 T/m", "T/m", 1.25),
        ("-1.25 T/m", "T/m", -1.25),
        ("60 degC", "degC", 60.0),
        ("60 degC", "K", 333.15),
        ("2.5 MHz", "Hz", 2.5e6),
        ("  2   s ", "s", 2.0),
        ("1e3 mm", "m", 1.0),
        (".5 mm", "m", 0.5e-3),
        ("20 mT/V", "T/V", 0.02),
        ("100 mmol/l", "mol/m^3", 100.0),
    ],
)
def test_values(text, unit, value):
    assert parse(text, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "unit", "found"),
    [
        ("12", "T", "bare number"),
        (12, "T", "bare number 12"),
        (1.5, "T", "bare number 1.5"),
        (True, "T", "bool"),
        (None, "T", "NoneType"),
        ("", "T", "not a finite number"),
        ("mT", "T", "not a finite number"),
        ("twelve mT", "T", "not a finite number"),
        ("nan T", "T", "not a finite number"),
        ("inf T", "T", "not a finite number"),
        ("-inf T", "T", "not a finite number"),
        ("1e999 T", "T", "not finite"),
        ("12 mm", "T", "of another kind"),
        ("12 furlongs per", "T", "is unknown"),
        ("12 mQ", "T", "is unknown"),
        ("12 T + 1 T", "T", "is unknown"),
        ("2**99999 T", "T", "is unknown"),
        ("12 __import__('os')", "T", "is unknown"),
        ("1 T" + " " * 200, "T", "not a finite number"),
    ],
)
def test_refusals_say_what_was_found_and_give_an_example(text, unit, found):
    with pytest.raises(QuantityError) as caught:
        parse(text, unit)
    message = str(caught.value)
    assert found in message
    assert 'expected a magnetic flux density with its unit, such as "12 mT"' in message


@given(st.text(max_size=40))
def test_any_text_is_a_finite_number_or_a_quantity_error(text):
    try:
        value = parse(text, "m")
    except QuantityError:
        return
    assert math.isfinite(value)


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["T", "m", "s", "Hz", "T/m", "degC", "V", "A"]),
)
def test_what_is_written_is_read_back_exactly(value, unit):
    assert parse(Quantity(unit).format(value), unit) == value


@given(st.floats(min_value=-1e6, max_value=1e6))
def test_a_prefix_scales_by_its_power_of_ten(value):
    assert parse(f"{value!r} mm", "m") == pytest.approx(value * 1e-3, rel=1e-14, abs=1e-320)


def test_pydantic_fields_hold_si_and_dump_text():
    class Model(BaseModel):
        field: Annotated[float, Quantity("T")]

    model = Model.model_validate({"field": "12 mT"})
    assert model.field == 0.012
    assert model.model_dump() == {"field": 0.012}
    assert model.model_dump(mode="json") == {"field": "0.012 T"}
    assert Model.model_validate_json(model.model_dump_json()) == model
    assert Model.model_json_schema()["properties"]["field"]["type"] == "string"
    with pytest.raises(ValidationError, match="bare number 12"):
        Model.model_validate({"field": 12})
    with pytest.raises(ValidationError, match=r"unit '\{x\}' is unknown"):
        Model.model_validate({"field": "1 {x}"})


def test_importing_the_module_does_not_import_pint():
    program = "import sys, nixel.acquisition.quantities; sys.exit('pint' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
