//! Typed values as `corosync-cmapctl` reads and writes them.
//!
//! Source: corosync-cmapctl(8).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

use super::c::{escaped, fixed, scan_float, scan_signed, scan_unsigned};
use crate::config::reason;
use crate::value::{VALUE_LIMIT, Value};

/// The name of a value's type.
pub(in crate::cli) const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::I8(_) => "i8",
        Value::U8(_) => "u8",
        Value::I16(_) => "i16",
        Value::U16(_) => "u16",
        Value::I32(_) => "i32",
        Value::U32(_) => "u32",
        Value::I64(_) => "i64",
        Value::U64(_) => "u64",
        Value::F32(_) => "flt",
        Value::F64(_) => "dbl",
        Value::Text(_) => "str",
        Value::Bytes(_) => "bin",
    }
}

/// The style in which values are printed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    /// Whether only the value is printed.
    pub(super) quiet: bool,
    /// Whether binary values are printed.
    pub(super) binary: bool,
}

/// A line `key (type) = value`.
pub(super) fn line(key: &str, value: &Value, style: Style) -> Vec<u8> {
    let mut line = Vec::new();
    if let Value::Bytes(bytes) = value {
        // The unmatched bracket is as in Debian's tool.
        let head = if style.quiet { "bin)".to_owned() } else { format!("{key} (bin)") };
        line.extend_from_slice(head.as_bytes());
        if style.binary {
            let shown = if bytes.is_empty() { "*empty*".to_owned() } else { escaped(bytes) };
            line.extend_from_slice(format!(" = {shown}").as_bytes());
        }
    } else {
        if !style.quiet {
            line.extend_from_slice(format!("{key} ({}) = ", type_name(value)).as_bytes());
        }
        match value {
            Value::Text(text) => line.extend_from_slice(text),
            Value::F32(number) => line.extend_from_slice(fixed((*number).into()).as_bytes()),
            Value::F64(number) => line.extend_from_slice(fixed(*number).as_bytes()),
            other => line.extend_from_slice(other.to_string().as_bytes()),
        }
    }
    line.push(b'\n');
    line
}

/// Makes a value from the name of its type and its text. The text of a binary value is the name of a file, or `-` for
/// standard input.
///
/// # Errors
/// The error text of Corosync's tool.
pub(in crate::cli) fn read(kind: &[u8], text: &[u8]) -> Result<Value, String> {
    let shown = || String::from_utf8_lossy(text).into_owned();
    let name = String::from_utf8_lossy(kind);
    let integer = |min: i64, max: i64| {
        let number =
            scan_signed(text).ok_or_else(|| format!("{} is not valid {name} type value", shown()))?;
        if (min..=max).contains(&number) {
            Ok(number)
        } else {
            Err(format!("{} is not valid {name} integer", shown()))
        }
    };
    let float = || scan_float(text).ok_or_else(|| format!("{} is not valid {name} type value", shown()));
    // The ranges were checked before, so no cast loses anything except precision.
    Ok(match kind {
        b"i8" => Value::I8(integer(i8::MIN.into(), i8::MAX.into())? as i8),
        b"u8" => Value::U8(integer(0, u8::MAX.into())? as u8),
        b"i16" => Value::I16(integer(i16::MIN.into(), i16::MAX.into())? as i16),
        b"u16" => Value::U16(integer(0, u16::MAX.into())? as u16),
        b"i32" => Value::I32(integer(i32::MIN.into(), i32::MAX.into())? as i32),
        b"u32" => Value::U32(integer(0, u32::MAX.into())? as u32),
        b"i64" => Value::I64(integer(i64::MIN, i64::MAX)?),
        b"u64" => {
            Value::U64(scan_unsigned(text).ok_or_else(|| format!("{} is not valid u64 type value", shown()))?)
        }
        b"flt" => Value::F32(float()? as f32),
        b"dbl" => Value::F64(float()?),
        b"str" => Value::text(text),
        b"bin" => Value::Bytes(contents(text)?),
        _ => return Err(format!("Unknown type {name}")),
    })
}

/// The content of a file or of standard input, up to one byte more than a value can hold, which shows that it is too
/// long.
fn contents(name: &[u8]) -> Result<Vec<u8>, String> {
    let limit = VALUE_LIMIT as u64 + 1;
    let mut bytes = Vec::new();
    let read = if name == b"-" {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        let file = File::open(std::ffi::OsStr::from_bytes(name))
            .map_err(|error| format!("Can't open input file: {}", reason(&error)))?;
        file.take(limit).read_to_end(&mut bytes)
    };
    // An unreadable file, such as a directory, is treated as empty, which the daemon refuses.
    if read.is_err() {
        bytes.clear();
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &Value, quiet: bool, binary: bool) -> String {
        String::from_utf8(line("my.key", value, Style { quiet, binary })).unwrap()
    }

    #[test]
    fn lines_are_those_of_debians_tool() {
        assert_eq!(shown(&Value::I8(-128), false, false), "my.key (i8) = -128\n");
        assert_eq!(shown(&Value::U64(u64::MAX), false, false), "my.key (u64) = 18446744073709551615\n");
        assert_eq!(shown(&Value::F32(1.5), false, false), "my.key (flt) = 1.500000\n");
        assert_eq!(shown(&Value::F32(f32::INFINITY), false, false), "my.key (flt) = inf\n");
        assert_eq!(shown(&Value::text("a b"), false, false), "my.key (str) = a b\n");
        assert_eq!(shown(&Value::text(""), true, false), "\n");
        let bytes = Value::Bytes(b"vm\n".to_vec());
        assert_eq!(shown(&bytes, false, false), "my.key (bin)\n");
        assert_eq!(shown(&bytes, false, true), "my.key (bin) = vm\\x0A\n");
        assert_eq!(shown(&bytes, true, false), "bin)\n");
        assert_eq!(shown(&bytes, true, true), "bin) = vm\\x0A\n");
        assert_eq!(shown(&Value::Bytes(Vec::new()), false, true), "my.key (bin) = *empty*\n");
    }

    #[test]
    fn values_are_read_and_refused_as_by_debians_tool() {
        let said = |kind: &str, text: &str| match read(kind.as_bytes(), text.as_bytes()) {
            Ok(value) => format!("{} {value}", type_name(&value)),
            Err(complaint) => complaint,
        };
        assert_eq!(said("u8", "256"), "256 is not valid u8 integer");
        assert_eq!(said("u8", "x"), "x is not valid u8 type value");
        assert_eq!(said("u8", "0x10"), "u8 0");
        assert_eq!(said("i8", "-128"), "i8 -128");
        assert_eq!(said("i8", "128"), "128 is not valid i8 integer");
        assert_eq!(said("u32", "-1"), "-1 is not valid u32 integer");
        assert_eq!(said("u64", "-1"), "u64 18446744073709551615");
        assert_eq!(said("u64", "x"), "x is not valid u64 type value");
        assert_eq!(said("i64", "9223372036854775808"), "i64 9223372036854775807");
        assert_eq!(said("flt", "x"), "x is not valid flt type value");
        assert_eq!(said("dbl", "1e300"), format!("dbl {:.6}", 1e300));
        assert_eq!(said("str", "a b"), "str a b");
        assert_eq!(said("foo", "bar"), "Unknown type foo");
        assert_eq!(said("bin", "/nonexistent"), "Can't open input file: No such file or directory");
        assert_eq!(read(b"bin", b"/"), Ok(Value::Bytes(Vec::new())));
    }
}
