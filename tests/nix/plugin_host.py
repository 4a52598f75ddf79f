"""The least that can speak to a vendor plugin (pkgs/plugins/include/nixel_device.h): for tests, standard library only.

As a program, `plugin_host.py FILE` prints what the thermometer in FILE answers, as JSON.
"""

import ctypes
import json
import sys

ABI = 1
STATUS = [
    "OK",
    "NO_SUCH_PROPERTY",
    "WRONG_TYPE",
    "OUT_OF_RANGE",
    "READ_ONLY",
    "DEVICE_FAILED",
    "TIMEOUT",
    "OUT_OF_MEMORY",
]
INT64, FLOAT64, BOOL, STRING, BYTES = TAGS = range(1, 6)
READ_ONLY, LIMITED = 1, 2


class Span(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_uint64)]


class Payload(ctypes.Union):
    _fields_ = [
        ("int64", ctypes.c_int64),
        ("float64", ctypes.c_double),
        ("boolean", ctypes.c_uint8),
        ("span", Span),
    ]


class Value(ctypes.Structure):
    _fields_ = [("tag", ctypes.c_uint32), ("reserved", ctypes.c_uint32), ("payload", Payload)]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int32), ("reserved", ctypes.c_uint32), ("message", ctypes.c_char * 504)]


class Setting(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", Value)]


class Property(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("unit", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("tag", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("minimum", ctypes.c_double),
        ("maximum", ctypes.c_double),
    ]


Status, Pointer = ctypes.c_int32, ctypes.c_void_p
ErrorOut = ctypes.POINTER(Error)


class Table(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.CFUNCTYPE(ctypes.c_char_p)),
        (
            "open",
            ctypes.CFUNCTYPE(
                Status, ctypes.POINTER(Setting), ctypes.c_uint64, ctypes.POINTER(Pointer), ErrorOut
            ),
        ),
        ("free", ctypes.CFUNCTYPE(None, Pointer)),
        ("property_count", ctypes.CFUNCTYPE(ctypes.c_uint64, Pointer)),
        (
            "property",
            ctypes.CFUNCTYPE(Status, Pointer, ctypes.c_uint64, ctypes.POINTER(Property), ErrorOut),
        ),
        ("get", ctypes.CFUNCTYPE(Status, Pointer, ctypes.c_char_p, ctypes.POINTER(Value), ErrorOut)),
        ("set", ctypes.CFUNCTYPE(Status, Pointer, ctypes.c_char_p, ctypes.POINTER(Value), ErrorOut)),
    ]


class RefusedError(Exception):
    """What the plugin answered instead of OK."""

    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


def to_value(thing):
    """A value and what keeps its bytes alive."""
    value, kept = Value(), None
    match thing:
        case bool():
            value.tag, value.payload.boolean = BOOL, thing
        case int():
            value.tag, value.payload.int64 = INT64, thing
        case float():
            value.tag, value.payload.float64 = FLOAT64, thing
        case str() | bytes():
            value.tag = STRING if isinstance(thing, str) else BYTES
            data = thing.encode() if isinstance(thing, str) else thing
            kept = ctypes.create_string_buffer(data, len(data))
            value.payload.span = Span(ctypes.addressof(kept), len(data))
    return value, kept


def from_value(value):
    """A value of the plugin's, copied."""
    payload = value.payload
    if value.tag in (STRING, BYTES):
        data = ctypes.string_at(payload.span.data, payload.span.size) if payload.span.size else b""
        return data.decode() if value.tag == STRING else data
    return {INT64: payload.int64, FLOAT64: payload.float64, BOOL: bool(payload.boolean)}[value.tag]


class Plugin:
    """A loaded plugin."""

    def __init__(self, path):
        self.library = ctypes.CDLL(str(path))
        ask = self.library.nixel_device_plugin
        ask.restype, ask.argtypes = ctypes.c_uint32, [ctypes.c_uint32, ctypes.POINTER(ctypes.c_void_p)]
        table = ctypes.c_void_p(1)
        self.version = ask(ABI, table)
        if not table.value:
            raise RefusedError(
                "VERSION", f"{path} speaks version {self.version} of nixel_device.h, expected {ABI}"
            )
        self.table = Table.from_address(table.value)
        self.name = self.table.name().decode()

    def open(self, **settings):
        values = {name: to_value(thing) for name, thing in settings.items()}
        array = (Setting * len(values))(*((name.encode(), value) for name, (value, _) in values.items()))
        device, error = ctypes.c_void_p(1), Error()
        status = self.table.open(array, len(values), device, error)
        if status:
            assert device.value is None
            assert status == error.status
            raise RefusedError(STATUS[status], error.message.decode())
        return Device(self.table, device)


class Device:
    """The one holder of a device."""

    def __init__(self, table, handle):
        self.table, self.handle = table, handle

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.free()

    def free(self):
        """Give it back; the first time only."""
        handle, self.handle = self.handle, None
        if handle is not None:
            self.table.free(handle)

    def _call(self, function, *arguments):
        assert self.handle is not None, "used after it was given back"
        error = Error()
        status = function(self.handle, *arguments, error)
        if status:
            assert status == error.status
            raise RefusedError(STATUS[status], error.message.decode())

    def properties(self):
        described = []
        for index in range(self.table.property_count(self.handle)):
            each = Property()
            self._call(self.table.property, index, each)
            described.append(
                {
                    "name": each.name.decode(),
                    "unit": each.unit.decode(),
                    "description": each.description.decode(),
                    "tag": each.tag,
                    "read_only": bool(each.flags & READ_ONLY),
                    "range": [each.minimum, each.maximum] if each.flags & LIMITED else None,
                }
            )
        return described

    def get(self, name):
        value = Value()
        self._call(self.table.get, name.encode(), value)
        return from_value(value)

    def set(self, name, thing):
        value, _kept = to_value(thing)
        self._call(self.table.set, name.encode(), value)


if __name__ == "__main__":
    plugin = Plugin(sys.argv[1])
    with plugin.open(simulated=True) as opened:
        opened.set("label", "Körperwärme")
        answers = {each["name"]: opened.get(each["name"]) for each in opened.properties()}
        answers["calibration"] = answers["calibration"].hex()
    print(json.dumps({"version": plugin.version, "name": plugin.name, "answers": answers}))
