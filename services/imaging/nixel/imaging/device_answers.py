"""What goes over the wire about devices: the shapes of requests and answers."""

import math
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nixel.acquisition.devices import Kind, Value
from nixel.acquisition.instrument import Instrument
from nixel.acquisition.readings import Change, DeviceReading, PropertyReading

# As JSON has them: bytes are hexadecimal digits, and what is no finite number has no value, only a text.
Plain = bool | int | float | str | None


class PropertyAnswer(BaseModel):
    """One property of a device."""

    name: str
    kind: Kind
    unit: str = Field(description="SI; empty for what has none", examples=["s"])
    description: str
    minimum: float | None
    maximum: float | None
    choices: list[str]
    read_only: bool
    value: Plain = Field(description="Bytes as hexadecimal digits; null where it could not be read")
    text: str = Field(description="The value for a person", examples=["0.002 s"])
    error: str = Field(description="Why it could not be read; empty when it could")


class DeviceAnswer(BaseModel):
    """One device of the instrument."""

    name: str
    adapter: str = Field(examples=["scpi-daq"])
    kinds: list[str] = Field(description="What it can do; empty where it never opened", examples=[["daq"]])
    where: str = Field(description="Its address", examples=["127.0.0.1:5025"])
    state: Literal["answers", "fails", "busy"] = Field(
        description="`busy` while a run opens or closes it: then nothing is known of it"
    )
    error: str = Field(description="Why it fails")
    properties: list[PropertyAnswer]


class DevicesAnswer(BaseModel):
    """Every device of the instrument, as it was at one moment."""

    instrument: str
    simulated: bool = Field(description="Everything here is a simulated instrument's")
    taken_at: datetime
    held_by: str = Field(
        description="The run that has the devices; empty between runs", examples=["run 3", ""]
    )
    devices: list[DeviceAnswer]


class ChangeRequest(BaseModel):
    """A property's new value."""

    model_config = ConfigDict(extra="forbid")

    value: str = Field(max_length=10_000, description="As a person writes it", examples=["2 ms", "on", "12"])


class ChangeAnswer(BaseModel):
    """A property that was set."""

    device: str
    property: str
    before: str
    asked: str
    text: str = Field(description="What the device says that it is now", examples=["0.002 s"])


def _plain(value: Value | None) -> Plain:
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _property(reading: PropertyReading) -> PropertyAnswer:
    prop = reading.prop
    return PropertyAnswer(
        name=prop.name,
        kind=prop.kind,
        unit=prop.unit,
        description=prop.description,
        minimum=prop.minimum,
        maximum=prop.maximum,
        choices=list(prop.choices),
        read_only=prop.read_only,
        value=_plain(reading.value),
        text=reading.text,
        error=reading.error,
    )


def _device(reading: DeviceReading) -> DeviceAnswer:
    return DeviceAnswer(
        name=reading.name,
        adapter=reading.adapter,
        kinds=list(reading.kinds),
        where=reading.where,
        state="fails" if reading.error else "answers",
        error=reading.error,
        properties=[_property(one) for one in reading.properties],
    )


def devices_answer(
    instrument: Instrument, readings: tuple[DeviceReading, ...], taken_at: datetime, held_by: str = ""
) -> DevicesAnswer:
    """Tell what devices said."""
    return DevicesAnswer(
        instrument=instrument.name,
        simulated=instrument.simulated,
        taken_at=taken_at,
        held_by=held_by,
        devices=[_device(reading) for reading in readings],
    )


def busy_answer(instrument: Instrument, taken_at: datetime, held_by: str) -> DevicesAnswer:
    """Tell that nothing is known, because a run is about to open the devices or to close them."""
    answer = devices_answer(instrument, (), taken_at, held_by)
    answer.devices = [
        DeviceAnswer(
            name=name, adapter=settings.adapter, kinds=[], where="", state="busy", error="", properties=[]
        )
        for name, settings in instrument.devices.items()
    ]
    return answer


def change_answer(device: str, made: Change) -> ChangeAnswer:
    """Tell of a property that was set."""
    before, asked, now = (
        PropertyReading(made.prop, value).text for value in (made.before, made.asked, made.value)
    )
    return ChangeAnswer(device=device, property=made.prop.name, before=before, asked=asked, text=now)
