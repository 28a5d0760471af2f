//! Describes invisible characters that an editor or a web page may put into a file.

/// Describes the first character that is not plain ASCII, with its position. `None` if there is none.
pub(super) fn unusual(text: &[u8]) -> Option<String> {
    let at = text.iter().position(|byte| !(b' '..=b'~').contains(byte))?;
    let (bytes, what) = match str::from_utf8(&text[at..]) {
        Ok(rest) => first_char(rest),
        Err(error) if error.valid_up_to() > 0 => {
            first_char(str::from_utf8(&text[at..at + error.valid_up_to()]).unwrap_or_default())
        }
        Err(_) if text[at] == 0xa0 => (1, "a no-break space of Latin-1".to_owned()),
        Err(_) => (1, "a byte that is not UTF-8".to_owned()),
    };
    let hex: Vec<String> = text[at..at + bytes].iter().map(|byte| format!("{byte:02x}")).collect();
    let place = match (at, at + bytes == text.len()) {
        (0, true) => "is".to_owned(),
        (0, false) => "begins with".to_owned(),
        (_, true) => "ends in".to_owned(),
        (_, false) => format!("has, at byte {},", at + 1),
    };
    Some(format!("{place} {what} (bytes {}); remove it", hex.join(" ")))
}

fn first_char(text: &str) -> (usize, String) {
    let Some(c) = text.chars().next() else { return (0, String::new()) };
    let name = match c {
        '\0' => "a NUL",
        '\t' => "a tab",
        '\n' => "a line feed",
        '\r' => "a carriage return",
        '\u{a0}' => "a no-break space",
        '\u{ad}' => "a soft hyphen",
        '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            "a space other than the usual one"
        }
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' => {
            "an invisible character"
        }
        '\u{feff}' => "a byte order mark",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "a dash other than '-'",
        '\u{2018}'..='\u{201f}' => "a typographic quote",
        '\u{ff01}'..='\u{ff5e}' => "a full-width character",
        c if c.is_control() => "a control character",
        c => return (c.len_utf8(), format!("{c:?}")),
    };
    (c.len_utf8(), format!("{name}, U+{:04X}", u32::from(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_reported_with_their_place() {
        for (text, said) in [
            (&b"10.29.0.1\xc2\xa0"[..], "ends in a no-break space, U+00A0 (bytes c2 a0); remove it"),
            (b"10.29.0.1\xa0", "ends in a no-break space of Latin-1 (bytes a0); remove it"),
            ("\u{feff}totem".as_bytes(), "begins with a byte order mark, U+FEFF (bytes ef bb bf); remove it"),
            (
                "10.0.\u{200b}0.1".as_bytes(),
                "has, at byte 6, an invisible character, U+200B (bytes e2 80 8b)",
            ),
            ("a\u{2011}b".as_bytes(), "has, at byte 2, a dash other than '-', U+2011"),
            (b"a\tb", "has, at byte 2, a tab, U+0009 (bytes 09)"),
            (b"\xff", "is a byte that is not UTF-8 (bytes ff)"),
            (b"a\xffb", "has, at byte 2, a byte that is not UTF-8 (bytes ff)"),
            ("\u{e9}t\u{e9}".as_bytes(), "begins with '\u{e9}' (bytes c3 a9)"),
        ] {
            let got = unusual(text).unwrap();
            assert!(got.starts_with(said), "{got}");
        }
        assert_eq!(unusual(b"plain: text {}"), None);
        assert_eq!(unusual(b""), None);
    }
}
