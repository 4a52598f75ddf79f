"""What an instrument's devices can do, whatever wire they are on."""

from nixel.acquisition.devices.errors import DeviceError, DevicesError
from nixel.acquisition.devices.properties import (
    HasProperties,
    Kind,
    Property,
    PropertyTable,
    Value,
    from_text,
    to_text,
)
from nixel.acquisition.devices.protocols import (
    Camera,
    Channel,
    Chunk,
    Daq,
    Device,
    Frame,
    Light,
    PowerSupply,
    Sensor,
    Simulation,
    Stage,
)

__all__ = [
    "Camera",
    "Channel",
    "Chunk",
    "Daq",
    "Device",
    "DeviceError",
    "DevicesError",
    "Frame",
    "HasProperties",
    "Kind",
    "Light",
    "PowerSupply",
    "Property",
    "PropertyTable",
    "Sensor",
    "Simulation",
    "Stage",
    "Value",
    "from_text",
    "to_text",
]
