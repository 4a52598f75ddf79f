//! `nixel_device.h`, version 1, as Rust types. The header says what they mean.

use std::ffi::{c_char, c_void};

/// The version of the interface that this file describes.
pub const ABI: u32 = 1;

/// What a call returns.
pub type Status = i32;
pub const OK: Status = 0;

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Reason {
    NoSuchProperty = 1,
    WrongType = 2,
    OutOfRange = 3,
    ReadOnly = 4,
    DeviceFailed = 5,
}

/// The type of a value. Not an enum: a host may send any number.
pub type Tag = u32;
pub const INT64: Tag = 1;
pub const FLOAT64: Tag = 2;
pub const BOOL: Tag = 3;
pub const STRING: Tag = 4;
pub const BYTES: Tag = 5;

/// `nixel_property.flags`
pub const READ_ONLY: u32 = 1;
pub const LIMITED: u32 = 2;

pub const MESSAGE_SIZE: usize = 504;

#[repr(C)]
pub struct Error {
    pub status: Status,
    pub reserved: u32,
    pub message: [u8; MESSAGE_SIZE],
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Span {
    pub data: *const u8,
    pub size: u64,
}

impl Span {
    pub fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), size: bytes.len() as u64 }
    }

    /// # Safety
    /// `data` points to `size` readable bytes that outlive the use, or `size` is 0.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.size == 0 {
            // An empty span may have a null pointer, which no slice may.
            return &[];
        }
        unsafe { std::slice::from_raw_parts(self.data, self.size as usize) }
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
pub union Payload {
    pub int64: i64,
    pub float64: f64,
    pub boolean: u8,
    pub span: Span,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Value {
    pub tag: Tag,
    pub reserved: u32,
    pub payload: Payload,
}

#[repr(C)]
pub struct Setting {
    pub name: *const c_char,
    pub value: Value,
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Property {
    pub name: *const c_char,
    pub unit: *const c_char,
    pub description: *const c_char,
    pub tag: Tag,
    pub flags: u32,
    pub minimum: f64,
    pub maximum: f64,
}

/// The table of version 1, over a device of type `D`.
#[repr(C)]
pub struct Table<D> {
    pub name: extern "C" fn() -> *const c_char,
    pub open: unsafe extern "C" fn(*const Setting, u64, *mut *mut D, *mut Error) -> Status,
    pub free: unsafe extern "C" fn(*mut D),
    pub property_count: unsafe extern "C" fn(*mut D) -> u64,
    pub property: unsafe extern "C" fn(*mut D, u64, *mut Property, *mut Error) -> Status,
    pub get: unsafe extern "C" fn(*mut D, *const c_char, *mut Value, *mut Error) -> Status,
    pub set: unsafe extern "C" fn(*mut D, *const c_char, *const Value, *mut Error) -> Status,
}

// The numbers that nixel_device.h asserts of its own structures.
const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<Error>() == 512);
    assert!(offset_of!(Value, payload) == 8 && size_of::<Value>() == 24);
    assert!(offset_of!(Setting, value) == 8 && size_of::<Setting>() == 32);
    assert!(offset_of!(Property, tag) == 24 && size_of::<Property>() == 48);
    assert!(size_of::<Table<u8>>() == 7 * size_of::<*const c_void>());
};
