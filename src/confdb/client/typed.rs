//! Conversion of values to types of Rust.

use super::Error;
use crate::value::Value;

/// A type to which values can be converted.
///
/// | type | reads |
/// |---|---|
/// | the integers | an integer of any type, if it fits; a text that is such a number |
/// | `f32`, `f64` | a floating-point number of either size; `f32` with its precision |
/// | `bool` | an integer 0 or 1; a text `yes`, `no`, `on`, `off`, `true`, `false`, `0` or `1` |
/// | `String` | a text that is UTF-8 |
/// | `Vec<u8>` | a text or binary value, whatever bytes it has |
/// | [`Value`] | every value |
///
/// A number is a text where a configuration file contains keys whose type the daemon does not know.
pub trait FromValue: Sized {
    /// The name of the type for errors: "a u32".
    const WANTED: &'static str;

    /// The value converted to this type; `None` if it cannot be converted.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ident)*) => { $(
        impl FromValue for $type {
            const WANTED: &'static str = concat!("a number that fits ", stringify!($type));

            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Text(text) => std::str::from_utf8(text).ok()?.parse().ok(),
                    _ => Self::try_from(value.number()?).ok(),
                }
            }
        }
    )* };
}
integers!(i8 u8 i16 u16 i32 u32 i64 u64);

impl FromValue for f64 {
    const WANTED: &'static str = "a floating-point number";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::F32(n) => Some((*n).into()),
            Value::F64(n) => Some(*n),
            _ => None,
        }
    }
}

impl FromValue for f32 {
    const WANTED: &'static str = f64::WANTED;

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::F32(n) => Some(*n),
            Value::F64(n) => Some(*n as Self),
            _ => None,
        }
    }
}

impl FromValue for bool {
    const WANTED: &'static str = "yes or no";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => match &text[..] {
                b"yes" | b"on" | b"true" | b"1" => Some(true),
                b"no" | b"off" | b"false" | b"0" => Some(false),
                _ => None,
            },
            _ => match value.number()? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
        }
    }
}

impl FromValue for String {
    const WANTED: &'static str = "a text in UTF-8";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Self::from_utf8(text.clone()).ok(),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    const WANTED: &'static str = "a text or binary value";

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(bytes) | Value::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl FromValue for Value {
    const WANTED: &'static str = "a value";

    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

/// Converts the value of `key` to `T`.
pub(super) fn read<T: FromValue>(key: &str, value: &Value) -> Result<T, Error> {
    T::from_value(value).ok_or_else(|| Error::WrongType {
        key: key.to_owned(),
        found: format!("{} {value}", value.type_name()),
        wanted: T::WANTED,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_fit_or_are_refused() {
        assert_eq!(u8::from_value(&Value::U64(255)), Some(255));
        assert_eq!(u8::from_value(&Value::U64(256)), None);
        assert_eq!(i16::from_value(&Value::I8(-1)), Some(-1));
        assert_eq!(u32::from_value(&Value::I8(-1)), None);
        assert_eq!(u32::from_value(&Value::text("3000")), Some(3000));
        assert_eq!(u32::from_value(&Value::text("3 s")), None);
        assert_eq!(u32::from_value(&Value::F32(1.0)), None);
        assert_eq!(i64::from_value(&Value::U64(u64::MAX)), None);
    }

    #[test]
    fn texts_bytes_and_booleans_are_converted() {
        assert_eq!(String::from_value(&Value::text("udpu")).as_deref(), Some("udpu"));
        assert_eq!(String::from_value(&Value::text([0xff])), None);
        assert_eq!(Vec::from_value(&Value::text([0xff])), Some(vec![0xff]));
        assert_eq!(String::from_value(&Value::U8(1)), None);
        assert_eq!(bool::from_value(&Value::U8(1)), Some(true));
        assert_eq!(bool::from_value(&Value::text("no")), Some(false));
        assert_eq!(bool::from_value(&Value::U8(2)), None);
        assert_eq!(f64::from_value(&Value::F32(0.5)), Some(0.5));
        let error = read::<u32>("totem.transport", &Value::text("udpu")).unwrap_err().to_string();
        assert!(error.starts_with("key totem.transport holds str udpu"), "{error}");
    }
}
