//! The thermometer itself, in safe Rust: nothing here knows of the C interface.
//!
//! There is no such thermometer. What it reads is made up, which has to be asked for (setting `simulated`) and which it
//! says of itself (property `simulated`); a real plugin opens its bus in [`Thermometer::open`] instead.

use crate::abi::{Reason, Tag, BOOL, BYTES, FLOAT64, INT64, LIMITED, READ_ONLY, STRING};
use std::ffi::CStr;

const ROOM: f64 = 295.15; // K
const LABEL_SIZE: usize = 64;
const CALIBRATION_SIZE: usize = 32;

/// Why something was refused, for the program and for a person.
#[derive(Debug)]
pub struct Refusal {
    pub reason: Reason,
    pub message: String,
}

fn refuse<T>(reason: Reason, message: String) -> Result<T, Refusal> {
    Err(Refusal { reason, message })
}

/// A value on its way in or out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Int64(i64),
    Float64(f64),
    Bool(bool),
    String(&'a str),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    pub fn tag(&self) -> Tag {
        match self {
            Value::Int64(_) => INT64,
            Value::Float64(_) => FLOAT64,
            Value::Bool(_) => BOOL,
            Value::String(_) => STRING,
            Value::Bytes(_) => BYTES,
        }
    }
}

/// The name of a type, for a person.
pub fn tag_name(tag: Tag) -> &'static str {
    match tag {
        INT64 => "int64",
        FLOAT64 => "float64",
        BOOL => "bool",
        STRING => "string",
        BYTES => "bytes",
        _ => "unknown",
    }
}

/// What a property is.
pub struct Property {
    pub name: &'static CStr,
    pub unit: &'static CStr,
    pub description: &'static CStr,
    pub tag: Tag,
    pub flags: u32,
    pub minimum: f64,
    pub maximum: f64,
}

impl Property {
    const fn new(name: &'static CStr, tag: Tag, description: &'static CStr) -> Self {
        Self { name, unit: c"", description, tag, flags: 0, minimum: 0.0, maximum: 0.0 }
    }

    const fn unit(self, unit: &'static CStr) -> Self {
        Self { unit, ..self }
    }

    const fn read_only(self) -> Self {
        Self { flags: self.flags | READ_ONLY, ..self }
    }

    const fn limited(self, minimum: f64, maximum: f64) -> Self {
        Self { flags: self.flags | LIMITED, minimum, maximum, ..self }
    }

    fn key(&self) -> &'static str {
        self.name.to_str().unwrap_or_default()
    }
}

/// The properties, in the order in which a host sees them.
pub static PROPERTIES: [Property; 7] = [
    Property::new(c"temperature", FLOAT64, c"The temperature at the probe, read now.").unit(c"K").read_only(),
    Property::new(c"offset", FLOAT64, c"Added to every reading.").unit(c"K").limited(-5.0, 5.0),
    Property::new(c"averaging", INT64, c"How many conversions make one reading.").limited(1.0, 1024.0),
    Property::new(c"enabled", BOOL, c"Whether the converter runs; without it there is no reading."),
    Property::new(c"label", STRING, c"Where the probe is, in a person's words."),
    Property::new(c"calibration", BYTES, c"The maker's calibration record, kept as it is."),
    Property::new(c"simulated", BOOL, c"True: no such thermometer exists.").read_only(),
];

/// The property of that name.
pub fn find(name: &str) -> Result<&'static Property, Refusal> {
    PROPERTIES.iter().find(|property| property.key() == name).ok_or_else(|| Refusal {
        reason: Reason::NoSuchProperty,
        message: format!("The example thermometer has no property \"{name}\"."),
    })
}

/// What a value of the wrong type is told.
pub fn wrong_type<T>(what: &str, expected: Tag, found: Tag) -> Result<T, Refusal> {
    let message = format!("{what}: expected {}, found {}.", tag_name(expected), tag_name(found));
    refuse(Reason::WrongType, message)
}

/// An open thermometer.
#[derive(Debug)]
pub struct Thermometer {
    averaging: i64,
    offset: f64,
    enabled: bool,
    label: String,
    calibration: Vec<u8>,
    readings: u64,
}

impl Thermometer {
    pub fn open(simulated: bool) -> Result<Self, Refusal> {
        if !simulated {
            let message = "No thermometer found: this example knows a simulated one only. Open it with simulated = true.";
            return refuse(Reason::DeviceFailed, message.into());
        }
        let (label, calibration) = (String::new(), Vec::new());
        Ok(Self { averaging: 1, offset: 0.0, enabled: true, label, calibration, readings: 0 })
    }

    pub fn get(&mut self, name: &str) -> Result<Value<'_>, Refusal> {
        find(name)?;
        Ok(match name {
            "temperature" => Value::Float64(self.read()?),
            "offset" => Value::Float64(self.offset),
            "averaging" => Value::Int64(self.averaging),
            "enabled" => Value::Bool(self.enabled),
            "label" => Value::String(&self.label),
            "calibration" => Value::Bytes(&self.calibration),
            _ => Value::Bool(true),
        })
    }

    pub fn set(&mut self, name: &str, value: Value<'_>) -> Result<(), Refusal> {
        let property = find(name)?;
        if property.flags & READ_ONLY != 0 {
            return refuse(Reason::ReadOnly, format!("Property \"{name}\" can be read only."));
        }
        match (name, value) {
            ("offset", Value::Float64(number)) => {
                within(property, number)?;
                self.offset = number;
            }
            ("averaging", Value::Int64(number)) => {
                within(property, number as f64)?;
                self.averaging = number;
            }
            ("enabled", Value::Bool(on)) => self.enabled = on,
            ("label", Value::String(text)) => {
                fits(property, text.as_bytes(), LABEL_SIZE)?;
                self.label = text.into();
            }
            ("calibration", Value::Bytes(bytes)) => {
                fits(property, bytes, CALIBRATION_SIZE)?;
                self.calibration = bytes.into();
            }
            _ => return wrong_type(&format!("Property \"{name}\""), property.tag, value.tag()),
        }
        Ok(())
    }

    /// A quarter of a kelvin up and down, a little further with every reading.
    fn read(&mut self) -> Result<f64, Refusal> {
        if !self.enabled {
            let message = "The converter is off: set \"enabled\" to true before reading.";
            return refuse(Reason::DeviceFailed, message.into());
        }
        let step = (self.readings % 5) as f64 / 2.0 - 1.0;
        self.readings += 1;
        Ok(ROOM + self.offset + 0.25 * step)
    }
}

fn within(property: &Property, number: f64) -> Result<(), Refusal> {
    // A NaN is in no range.
    if (property.minimum..=property.maximum).contains(&number) {
        return Ok(());
    }
    let unit = property.unit.to_str().unwrap_or_default();
    let limits = format!("{} to {} {unit}", property.minimum, property.maximum);
    refuse(
        Reason::OutOfRange,
        format!("Property \"{}\": expected {}, found {number}.", property.key(), limits.trim_end()),
    )
}

fn fits(property: &Property, bytes: &[u8], room: usize) -> Result<(), Refusal> {
    if bytes.len() <= room {
        return Ok(());
    }
    refuse(
        Reason::OutOfRange,
        format!("Property \"{}\" has room for {room} bytes, found {}.", property.key(), bytes.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Thermometer {
        Thermometer::open(true).unwrap()
    }

    #[test]
    fn a_simulation_is_asked_for() {
        let refusal = Thermometer::open(false).unwrap_err();
        assert_eq!(refusal.reason, Reason::DeviceFailed);
        assert!(refusal.message.contains("simulated = true"));
    }

    #[test]
    fn every_type_comes_back_as_it_was_set() {
        let mut device = opened();
        for (name, value) in [
            ("offset", Value::Float64(-1.5)),
            ("averaging", Value::Int64(1024)),
            ("enabled", Value::Bool(false)),
            ("label", Value::String("Körperwärme, 2 µm")),
            ("calibration", Value::Bytes(&[0, 255, 0])),
        ] {
            device.set(name, value).unwrap();
            assert_eq!(device.get(name).unwrap(), value);
        }
    }

    #[test]
    fn every_property_can_be_read() {
        let mut device = opened();
        for property in &PROPERTIES {
            assert_eq!(device.get(property.key()).unwrap().tag(), property.tag);
        }
    }

    #[test]
    fn the_offset_moves_the_reading() {
        let (mut one, mut other) = (opened(), opened());
        other.set("offset", Value::Float64(2.0)).unwrap();
        let (Value::Float64(a), Value::Float64(b)) =
            (one.get("temperature").unwrap(), other.get("temperature").unwrap())
        else {
            panic!("a temperature is a float64");
        };
        assert!((b - a - 2.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut device = opened();
        for (name, value, reason) in [
            ("averaging", Value::Float64(1.0), Reason::WrongType),
            ("averaging", Value::Int64(0), Reason::OutOfRange),
            ("offset", Value::Float64(f64::NAN), Reason::OutOfRange),
            ("calibration", Value::Bytes(&[0; 33]), Reason::OutOfRange),
            ("temperature", Value::Float64(1.0), Reason::ReadOnly),
            ("pressure", Value::Float64(1.0), Reason::NoSuchProperty),
        ] {
            let refusal = device.set(name, value).unwrap_err();
            assert_eq!(refusal.reason, reason, "{name}: {}", refusal.message);
        }
        assert_eq!(device.get("averaging").unwrap(), Value::Int64(1));
        assert_eq!(device.get("offset").unwrap(), Value::Float64(0.0));
        assert_eq!(device.get("calibration").unwrap(), Value::Bytes(&[]));
    }
}
