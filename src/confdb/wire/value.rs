//! Values as bytes: their type number, length and content.

use std::borrow::Cow;

use crate::value::Value;

/// Defines the conversions, with the numbers' variants, types and type numbers.
macro_rules! conversions {
    ($($variant:ident: $type:ty = $code:literal;)*) => {
        /// The type number of a value: 1 to 12.
        pub(crate) const fn type_code(value: &Value) -> u8 {
            match value {
                $(Value::$variant(_) => $code,)*
                Value::Text(_) => 11,
                Value::Bytes(_) => 12,
            }
        }

        /// A value's bytes in this host's byte order; a text with its terminating NUL.
        pub(crate) fn value_bytes(value: &Value) -> Cow<'_, [u8]> {
            Cow::Owned(match value {
                $(Value::$variant(n) => n.to_ne_bytes().to_vec(),)*
                Value::Text(text) => [text, &[0][..]].concat(),
                Value::Bytes(bytes) => return Cow::Borrowed(bytes),
            })
        }

        /// The length of [`value_bytes`].
        pub(crate) const fn value_len(value: &Value) -> usize {
            match value {
                $(Value::$variant(_) => size_of::<$type>(),)*
                Value::Text(text) => text.len() + 1,
                Value::Bytes(bytes) => bytes.len(),
            }
        }

        /// The value with this type number and bytes in this host's byte order. A text may lack its terminating NUL.
        ///
        /// `None`: an unknown type, a length that does not fit the type, or a text that continues after a NUL.
        pub(crate) fn value_from(code: u8, bytes: &[u8]) -> Option<Value> {
            Some(match code {
                $($code => Value::$variant(<$type>::from_ne_bytes(bytes.try_into().ok()?)),)*
                11 => match bytes.iter().position(|byte| *byte == 0) {
                    None => Value::Text(bytes.to_vec()),
                    Some(end) if end + 1 == bytes.len() => Value::Text(bytes[..end].to_vec()),
                    Some(_) => return None,
                },
                12 => Value::Bytes(bytes.to_vec()),
                _ => return None,
            })
        }
    };
}

conversions! {
    I8: i8 = 1; U8: u8 = 2; I16: i16 = 3; U16: u16 = 4; I32: i32 = 5; U32: u32 = 6; I64: i64 = 7; U64: u64 = 8;
    F32: f32 = 9; F64: f64 = 10;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_with_their_bytes() {
        let values = [
            Value::I8(-1),
            Value::U8(255),
            Value::I16(-2),
            Value::U16(3),
            Value::I32(-4),
            Value::U32(5),
            Value::I64(-6),
            Value::U64(7),
            Value::F32(1.5),
            Value::F64(-2.5),
            Value::text("eleven"),
            Value::Bytes(vec![0, 1, 0]),
        ];
        for (value, code) in values.iter().zip(1..) {
            let bytes = value_bytes(value);
            assert_eq!((type_code(value), value_len(value)), (code, bytes.len()));
            assert_eq!(value_from(code, &bytes).as_ref(), Some(value));
            if code < 11 {
                assert_eq!(value_from(code, &[&bytes[..], &[0]].concat()), None);
            }
        }
        assert_eq!(value_from(11, b"abc"), Some(Value::text("abc")), "the NUL may be missing");
        assert_eq!(value_from(11, b""), Some(Value::text("")));
        assert_eq!(value_from(11, b"a\0b"), None);
        assert_eq!(value_from(11, b"a\0\0"), None);
        assert_eq!((value_from(0, b""), value_from(13, b"")), (None, None));
    }
}
