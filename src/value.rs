//! A typed value, as the configuration and the configuration database hold it.
//!
//! Source: corosync `include/corosync/cmap.h`, `cmap_value_types_t`; `cmap_keys(7)`.

use std::borrow::Cow;
use std::fmt;

/// Longest value, in bytes; of a text with its closing NUL. Source: corosync `exec/icmap.c`.
pub const VALUE_LIMIT: usize = 16_384;

/// A value with its type.
#[derive(Clone, Debug)]
pub enum Value {
    /// `i8`.
    I8(i8),
    /// `u8`.
    U8(u8),
    /// `i16`.
    I16(i16),
    /// `u16`.
    U16(u16),
    /// `i32`.
    I32(i32),
    /// `u32`.
    U32(u32),
    /// `i64`.
    I64(i64),
    /// `u64`.
    U64(u64),
    /// `flt`.
    F32(f32),
    /// `dbl`.
    F64(f64),
    /// `str`, verbatim, without the closing NUL and with none inside. It need not be UTF-8.
    Text(Vec<u8>),
    /// `bin`.
    Bytes(Vec<u8>),
}

/// Equal in type and content: floats by their bits, so that a value equals itself.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::I8(a), Self::I8(b)) => a == b,
            (Self::U8(a), Self::U8(b)) => a == b,
            (Self::I16(a), Self::I16(b)) => a == b,
            (Self::U16(a), Self::U16(b)) => a == b,
            (Self::I32(a), Self::I32(b)) => a == b,
            (Self::U32(a), Self::U32(b)) => a == b,
            (Self::I64(a), Self::I64(b)) => a == b,
            (Self::U64(a), Self::U64(b)) => a == b,
            (Self::F32(a), Self::F32(b)) => a.to_bits() == b.to_bits(),
            (Self::F64(a), Self::F64(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) | (Self::Bytes(a), Self::Bytes(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Value {
    /// A text value.
    pub fn text(text: impl AsRef<[u8]>) -> Self {
        Self::Text(text.as_ref().to_vec())
    }

    /// The name of its type: `u32`, `str` and so on. Source: `cmap_keys(7)`.
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

    /// The whole number, if it is one.
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

    /// The text, if it is one; bytes that are not UTF-8 are replaced.
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

/// As Corosync has it: a `u8`, 0 or 1.
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::U8(value.into())
    }
}

/// Numbers as digits, floats with six decimals, texts with bytes that are not UTF-8 replaced, binary values in
/// hexadecimal.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I8(n) => n.fmt(f),
            Self::U8(n) => n.fmt(f),
            Self::I16(n) => n.fmt(f),
            Self::U16(n) => n.fmt(f),
            Self::I32(n) => n.fmt(f),
            Self::U32(n) => n.fmt(f),
            Self::I64(n) => n.fmt(f),
            Self::U64(n) => n.fmt(f),
            Self::F32(n) => write!(f, "{n:.6}"),
            Self::F64(n) => write!(f, "{n:.6}"),
            Self::Text(bytes) => String::from_utf8_lossy(bytes).fmt(f),
            Self::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}
