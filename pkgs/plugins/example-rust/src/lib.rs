//! An example of a vendor plugin: a thermometer, in Rust, without dependencies.
//!
//! This file is the C interface over [`thermometer`] and the only one with unsafe code, next to the types in [`abi`].

mod abi;
mod thermometer;

use abi::{Reason, Setting, Span, Status, Table, OK};
use std::ffi::{c_char, c_void, CStr};
use std::ptr;
use thermometer::{find, wrong_type, Refusal, Thermometer, Value, PROPERTIES};

/// Write a refusal where the caller wants it; a message that is too long ends at a whole character.
unsafe fn answer(result: Result<(), Refusal>, error: *mut abi::Error) -> Status {
    let Err(Refusal { reason, message }) = result else {
        return OK;
    };
    let mut size = message.len().min(abi::MESSAGE_SIZE - 1);
    while !message.is_char_boundary(size) {
        size -= 1;
    }
    let mut text = [0; abi::MESSAGE_SIZE];
    text[..size].copy_from_slice(&message.as_bytes()[..size]);
    unsafe { error.write(abi::Error { status: reason as Status, reserved: 0, message: text }) };
    reason as Status
}

/// A text of the caller's, for as long as the call lasts. What is no UTF-8 is no name of ours.
unsafe fn text<'a>(pointer: *const c_char) -> &'a str {
    unsafe { CStr::from_ptr(pointer) }.to_str().unwrap_or("\u{fffd}")
}

/// A value of the caller's, for as long as the call lasts; `what` names it in a refusal.
unsafe fn read<'a>(value: &abi::Value, what: &str, expected: abi::Tag) -> Result<Value<'a>, Refusal> {
    if value.tag != expected {
        return wrong_type(what, expected, value.tag);
    }
    let payload = value.payload;
    let refuse = |reason, why: &str| Err(Refusal { reason, message: format!("{what}: {why}") });
    match value.tag {
        abi::INT64 => Ok(Value::Int64(unsafe { payload.int64 })),
        abi::FLOAT64 => Ok(Value::Float64(unsafe { payload.float64 })),
        abi::BOOL => match unsafe { payload.boolean } {
            0 => Ok(Value::Bool(false)),
            1 => Ok(Value::Bool(true)),
            _ => refuse(Reason::OutOfRange, "a bool is 0 or 1."),
        },
        abi::STRING => match std::str::from_utf8(unsafe { payload.span.bytes() }) {
            Ok(text) => Ok(Value::String(text)),
            Err(_) => refuse(Reason::WrongType, "the string is not UTF-8."),
        },
        _ => Ok(Value::Bytes(unsafe { payload.span.bytes() })),
    }
}

fn write(value: Value<'_>) -> abi::Value {
    let payload = match value {
        Value::Int64(int64) => abi::Payload { int64 },
        Value::Float64(float64) => abi::Payload { float64 },
        Value::Bool(boolean) => abi::Payload { boolean: boolean.into() },
        Value::String(text) => abi::Payload { span: Span::of(text.as_bytes()) },
        Value::Bytes(bytes) => abi::Payload { span: Span::of(bytes) },
    };
    abi::Value { tag: value.tag(), reserved: 0, payload }
}

extern "C" fn name() -> *const c_char {
    c"Example thermometer (Rust)".as_ptr()
}

unsafe fn opened(settings: *const Setting, count: u64) -> Result<Thermometer, Refusal> {
    let mut simulated = false;
    for index in 0..count as usize {
        let setting = unsafe { &*settings.add(index) };
        match unsafe { text(setting.name) } {
            "simulated" => {
                let value = unsafe { read(&setting.value, "Setting \"simulated\"", abi::BOOL) }?;
                simulated = value == Value::Bool(true);
            }
            other => {
                return Err(Refusal {
                    reason: Reason::NoSuchProperty,
                    message: format!(
                        "The example thermometer has no setting \"{other}\"; it takes \"simulated\"."
                    ),
                })
            }
        }
    }
    Thermometer::open(simulated)
}

unsafe extern "C" fn open(
    settings: *const Setting,
    count: u64,
    device: *mut *mut Thermometer,
    error: *mut abi::Error,
) -> Status {
    unsafe {
        device.write(ptr::null_mut());
        let result = opened(settings, count).map(|opened| device.write(Box::into_raw(Box::new(opened))));
        answer(result, error)
    }
}

unsafe extern "C" fn free(device: *mut Thermometer) {
    if !device.is_null() {
        // The holder's only pointer comes home: it was made by Box::into_raw in open().
        drop(unsafe { Box::from_raw(device) });
    }
}

unsafe extern "C" fn property_count(_device: *mut Thermometer) -> u64 {
    PROPERTIES.len() as u64
}

unsafe extern "C" fn property(
    _device: *mut Thermometer,
    index: u64,
    property: *mut abi::Property,
    error: *mut abi::Error,
) -> Status {
    let known = usize::try_from(index).ok().and_then(|index| PROPERTIES.get(index)).ok_or_else(|| Refusal {
        reason: Reason::OutOfRange,
        message: format!(
            "There are {} properties, counted from 0; number {index} was asked for.",
            PROPERTIES.len()
        ),
    });
    let result = known.map(|known| unsafe {
        property.write(abi::Property {
            name: known.name.as_ptr(),
            unit: known.unit.as_ptr(),
            description: known.description.as_ptr(),
            tag: known.tag,
            flags: known.flags,
            minimum: known.minimum,
            maximum: known.maximum,
        });
    });
    unsafe { answer(result, error) }
}

unsafe extern "C" fn get(
    device: *mut Thermometer,
    name: *const c_char,
    value: *mut abi::Value,
    error: *mut abi::Error,
) -> Status {
    unsafe {
        let result = (*device).get(text(name)).map(|read| value.write(write(read)));
        answer(result, error)
    }
}

unsafe extern "C" fn set(
    device: *mut Thermometer,
    name: *const c_char,
    value: *const abi::Value,
    error: *mut abi::Error,
) -> Status {
    unsafe {
        let name = text(name);
        let result = find(name).and_then(|property| {
            if property.flags & abi::READ_ONLY != 0 {
                // Its refusal needs no value.
                return (*device).set(name, Value::Bool(false));
            }
            let value = read(&*value, &format!("Property \"{name}\""), property.tag)?;
            (*device).set(name, value)
        });
        answer(result, error)
    }
}

static VERSION_1: Table<Thermometer> = Table { name, open, free, property_count, property, get, set };

/// The one exported function: see `nixel_device.h`.
///
/// # Safety
/// `table` points to a pointer that may be written.
#[no_mangle]
pub unsafe extern "C" fn nixel_device_plugin(wanted: u32, table: *mut *const c_void) -> u32 {
    let found = if wanted == 1 { ptr::from_ref(&VERSION_1).cast() } else { ptr::null() };
    unsafe { table.write(found) };
    abi::ABI
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_ends_at_a_whole_character() {
        let message = "µ".repeat(abi::MESSAGE_SIZE);
        let mut error = abi::Error { status: 0, reserved: 0, message: [1; abi::MESSAGE_SIZE] };
        let refusal = Refusal { reason: Reason::ReadOnly, message };
        assert_eq!(unsafe { answer(Err(refusal), &mut error) }, Reason::ReadOnly as Status);
        let text = CStr::from_bytes_until_nul(&error.message).unwrap().to_str().unwrap();
        assert_eq!(text, "µ".repeat((abi::MESSAGE_SIZE - 1) / 2));
    }

    #[test]
    fn only_known_versions_have_a_table() {
        let mut table = ptr::null();
        for (wanted, served) in [(0, false), (1, true), (2, false)] {
            assert_eq!(unsafe { nixel_device_plugin(wanted, &mut table) }, 1);
            assert_eq!(!table.is_null(), served);
        }
    }

    #[test]
    fn a_device_comes_and_goes_over_the_table() {
        let settings = [Setting { name: c"simulated".as_ptr(), value: write(Value::Bool(true)) }];
        let mut error = abi::Error { status: 0, reserved: 0, message: [0; abi::MESSAGE_SIZE] };
        let mut device = ptr::null_mut();
        unsafe {
            assert_eq!(open(settings.as_ptr(), 1, &mut device, &mut error), OK);
            let value = write(Value::String("plate"));
            assert_eq!(set(device, c"label".as_ptr(), &value, &mut error), OK);
            let mut back = write(Value::Bool(false));
            assert_eq!(get(device, c"label".as_ptr(), &mut back, &mut error), OK);
            assert_eq!(back.tag, abi::STRING);
            assert_eq!(back.payload.span.bytes(), b"plate");
            free(device);
        }
    }
}
