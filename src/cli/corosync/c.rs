//! Details of C that are visible in what Corosync's tools accept and print.

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

fn skip_space(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| is_space(**byte)).count()..]
}

/// Splits a sign from the rest; `true` for a minus.
fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    }
}

/// The decimal number at the beginning of a text, and the rest. Numbers are limited to 2⁶⁴.
fn saturating(text: &[u8]) -> Option<(i128, &[u8])> {
    let (negative, digits) = sign(skip_space(text));
    let end = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if end == 0 {
        return None;
    }
    let number = digits[..end]
        .iter()
        .fold(0i128, |n, digit| (n * 10 + i128::from(digit - b'0')).min(i128::from(u64::MAX) + 1));
    Some((if negative { -number } else { number }, &digits[end..]))
}

/// The whole text as a number.
pub(super) fn whole<T: TryFrom<i128>>(text: &[u8]) -> Option<T> {
    let (number, rest) = saturating(text)?;
    if rest.is_empty() { number.try_into().ok() } else { None }
}

/// Reads a number as `scanf` with `%lld`: the beginning of the text counts, and values out of range become the
/// nearest limit.
pub(super) fn scan_signed(text: &[u8]) -> Option<i64> {
    let (number, _) = saturating(text)?;
    Some(number.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

/// Reads a number as `scanf` with `%llu`: a negative number wraps around.
pub(super) fn scan_unsigned(text: &[u8]) -> Option<u64> {
    let (number, _) = saturating(text)?;
    if number.unsigned_abs() > u128::from(u64::MAX) {
        return Some(u64::MAX);
    }
    let magnitude = number.unsigned_abs() as u64;
    Some(if number < 0 { magnitude.wrapping_neg() } else { magnitude })
}

/// Reads a number as `scanf` with `%lf`: decimal, hexadecimal, infinite or NaN; the rest of the text is ignored.
///
/// By hand, since the standard library and the crates that read floats take the whole text or know no hexadecimal
/// floats, and C's `strtod` obeys the locale of the process. The digits of a decimal number are left to the standard
/// library, which rounds them correctly.
pub(super) fn scan_float(text: &[u8]) -> Option<f64> {
    let (negative, body) = sign(skip_space(text));
    let starts = |word: &[u8]| body.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
    let magnitude = if starts(b"nan") {
        f64::NAN
    } else if starts(b"inf") {
        f64::INFINITY
    } else if starts(b"0x") {
        hexadecimal(&body[2..])?
    } else {
        decimal(body)?
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// Reads digits with at most one point among them: the number of bytes, and of digits among these.
fn mantissa(text: &[u8], is_digit: fn(&u8) -> bool) -> (usize, usize) {
    let (mut end, mut digits, mut point) = (0, 0, false);
    for byte in text {
        if is_digit(byte) {
            digits += 1;
        } else if *byte == b'.' && !point {
            point = true;
        } else {
            break;
        }
        end += 1;
    }
    (end, digits)
}

/// The exponent after `mark`, if there is one.
fn exponent(text: &[u8], mark: u8) -> Option<i64> {
    match text {
        [first, rest @ ..] if first.eq_ignore_ascii_case(&mark) => saturating(rest)
            .filter(|_| !rest.first().is_some_and(|byte| is_space(*byte)))
            .map(|(n, _)| n as i64),
        _ => None,
    }
}

fn decimal(text: &[u8]) -> Option<f64> {
    let (end, digits) = mantissa(text, u8::is_ascii_digit);
    if digits == 0 {
        return None;
    }
    let number = str::from_utf8(&text[..end]).ok()?;
    let exponent = exponent(&text[end..], b'e').unwrap_or(0).clamp(-100_000, 100_000);
    format!("{number}e{exponent}").parse().ok()
}

fn hexadecimal(text: &[u8]) -> Option<f64> {
    let (end, digits) = mantissa(text, u8::is_ascii_hexdigit);
    if digits == 0 {
        return None;
    }
    let mut number = 0.0f64;
    let mut places = 0i64;
    let mut behind = false;
    for byte in &text[..end] {
        let Some(digit) = char::from(*byte).to_digit(16) else {
            behind = true;
            continue;
        };
        number = number * 16.0 + f64::from(digit);
        places += i64::from(behind);
    }
    let exponent = exponent(&text[end..], b'p').unwrap_or(0).clamp(-10_000, 10_000) - 4 * places;
    Some(number * 2.0f64.powi(exponent.clamp(-10_000, 10_000) as i32))
}

/// Formats a number as `printf` with `%f`.
pub(super) fn fixed(number: f64) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    format!("{number:.6}")
}

/// Bytes as the tools print them: a backslash doubled, unprintable bytes in hexadecimal.
///
/// Bytes from 0x80 on are printed as signed numbers, as `char` is signed on x86.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            0..=0x7f => text.push_str(&format!("\\x{byte:02X}")),
            0x80.. => text.push_str(&format!("\\x{:02X}", *byte as i8 as i32)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_by_scanf() {
        assert_eq!(scan_signed(b" +5x"), Some(5));
        assert_eq!(scan_signed(b"0x10"), Some(0));
        assert_eq!(scan_signed(b"99999999999999999999999999999999999999999999"), Some(i64::MAX));
        assert_eq!(scan_signed(b"-9223372036854775809"), Some(i64::MIN));
        for nothing in ["", "x", "-", "+ 5", "--5"] {
            assert_eq!(scan_signed(nothing.as_bytes()), None, "{nothing:?}");
        }
        assert_eq!(scan_unsigned(b"-1"), Some(u64::MAX));
        assert_eq!(scan_unsigned(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(scan_unsigned(b"18446744073709551616"), Some(u64::MAX));
        assert_eq!(scan_unsigned(b"-18446744073709551616"), Some(u64::MAX));
    }

    #[test]
    fn floats_are_read_as_by_scanf() {
        let read = |text: &str| scan_float(text.as_bytes()).map(fixed);
        for (text, number) in [
            ("1.5x", "1.500000"),
            (".5", "0.500000"),
            ("1e", "1.000000"),
            ("1e2", "100.000000"),
            ("-2.e-1", "-0.200000"),
            ("0x1p3", "8.000000"),
            ("0x.8", "0.500000"),
            ("infx", "inf"),
            ("-nan", "-nan"),
            ("1e400", "inf"),
        ] {
            assert_eq!(read(text).as_deref(), Some(number), "{text:?}");
        }
        for nothing in ["", "x", "+.e", ".", "-"] {
            assert_eq!(read(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn bytes_are_printed_as_by_debians_tools() {
        assert_eq!(escaped(b"sp ace\ttab\x01\xff~"), "sp ace\\x09tab\\x01\\xFFFFFFFF~");
        assert_eq!(escaped(b"a\\b\x7f\x00"), "a\\\\b\\x7F\\x00");
    }
}
