//! A typed value, as in the configuration and in the configuration database.
//!
//! Source: corosync `include/corosync/cmap.h`, `cmap_value_types_t`; `cmap_keys(7)`.

use std::borrow::Cow;
use std::fmt;

/// Longest value in bytes; for a text, its terminating NUL included. Source: corosync `exec/icmap.c`.
pub const VALUE_LIMIT: usize = 16_384;

/// A value of one of the types of cmap.
#[derive(Clone, Debug)]
pub enum Value {
    /// Type `i8` in cmap.
    I8(i8),
    /// Type `u8` in cmap.
    U8(u8),
    /// Type `i16` in cmap.
    I16(i16),
    /// Type `u16` in cmap.
    U16(u16),
    /// Type `i32` in cmap.
    I32(i32),
    /// Type `u32` in cmap.
    U32(u32),
    /// Type `i64` in cmap.
    I64(i64),
    /// Type `u64` in cmap.
    U64(u64),
    /// Type `flt` in cmap.
    F32(f32),
    /// Type `dbl` in cmap.
    F64(f64),
    /// Type `str` in cmap: the bytes without the terminating NUL and with no NUL inside. Need not be UTF-8.
    Text(Vec<u8>),
    /// Type `bin` in cmap: any bytes.
    Bytes(Vec<u8>),
}

/// Values are equal if type and content are equal. Floats are compared by their bits, so that every value
/// equals itself.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::F32(a), Self::F32(b)) => a.to_bits() == b.to_bits(),
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) | (Self::Bytes(a), Self::Bytes(b)) => a == b,
            _ => {
                self.number().is_some()
                    && (self.type_name(), self.number()) == (other.type_name(), other.number())
            }
        }
    }
}

impl Eq for Value {}

impl Value {
    /// Creates a text value.
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().to_vec())
    }

    /// The name of the value's type in cmap: `u32`, `str` and so on. Source: `cmap_keys(7)`.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::I8(_) => "i8",
            Self::U8(_) => "u8",
            Self::I16(_) => "i16",
            Self::U16(_) => "u16",
            Self::I32(_) => "i32",
            Self::U32(_) => "u32",
            Self::I64(_) => "i64",
            Self::U64(_) => "u64",
            Self::F32(_) => "flt",
            Self::F64(_) => "dbl",
            Self::Text(_) => "str",
            Self::Bytes(_) => "bin",
        }
    }

    /// The value as a number if it is an integer, else `None`.
    pub const fn number(&self) -> Option<i128> {
        Some(match self {
            Self::I8(n) => *n as i128,
            Self::U8(n) => *n as i128,
            Self::I16(n) => *n as i128,
            Self::U16(n) => *n as i128,
            Self::I32(n) => *n as i128,
            Self::U32(n) => *n as i128,
            Self::I64(n) => *n as i128,
            Self::U64(n) => *n as i128,
            Self::F32(_) | Self::F64(_) | Self::Text(_) | Self::Bytes(_) => return None,
        })
    }

    /// The value as text if it is a text, else `None`; bytes that are not UTF-8 are replaced.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes)),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($variant:ident: $type:ty),* $(,)?) => { $(
        impl From<$type> for Value {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }
    )* };
}
from!(
    I8: i8, U8: u8, I16: i16, U16: u16, I32: i32, U32: u32, I64: i64, U64: u64, F32: f32, F64: f64, Bytes: Vec<u8>,
);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into_bytes())
    }
}

/// Corosync stores a boolean as a `u8`, 0 or 1.
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::U8(value.into())
    }
}

/// Formats integers as digits, floats with six decimals, texts with invalid UTF-8 replaced, and binary values
/// in hexadecimal.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32(n) => write!(f, "{n:.6}"),
            Self::F64(n) => write!(f, "{n:.6}"),
            Self::Text(bytes) => String::from_utf8_lossy(bytes).fmt(f),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            _ => self.number().map_or(Ok(()), |number| number.fmt(f)),
        }
    }
}
