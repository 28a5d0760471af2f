//! The comments of a file, and where they stood.

use std::collections::{BTreeMap, BTreeSet};

/// What stands before the table `other`.
pub(super) const OTHER_REMARK: &str = " Settings that have no place of their own, as corosync.conf had them.";

/// Comments by line, and the lines in which sections begin.
#[derive(Debug, Default)]
pub(super) struct Comments {
    /// Ascending by line.
    all: Vec<(u32, String)>,
    sections: Vec<u32>,
}

/// Comments that go before one setting.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Those that stood before the section began.
    pub(super) outside: Vec<String>,
    /// Those that stood in it.
    pub(super) inside: Vec<String>,
}

impl Comments {
    /// Of a `corosync.conf`: lines that begin with `#`.
    pub(super) fn of_conf(text: &[u8]) -> Self {
        let mut comments = Self::default();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if let Some(comment) = line.strip_prefix(b"#") {
                comments.all.push((number, printable(comment)));
            } else if line.contains(&b'{') {
                comments.sections.push(number);
            }
        }
        comments
    }

    /// Of a `corosync.toml`: from `#` to the end of the line, outside of texts.
    pub(super) fn of_toml(text: &[u8]) -> Self {
        let mut comments = Self::default();
        let mut number = 1;
        let mut fresh = true; // nothing but blanks in this line so far
        let mut rest = text;
        while let Some((first, behind)) = rest.split_first() {
            match first {
                b'\n' => {
                    number += 1;
                    fresh = true;
                    rest = behind;
                    continue;
                }
                b'#' => {
                    let end = behind.iter().position(|byte| *byte == b'\n').unwrap_or(behind.len());
                    let comment = printable(&behind[..end]);
                    // What the way to TOML puts there itself is not to be heaped up.
                    if comment != OTHER_REMARK {
                        comments.all.push((number, comment));
                    }
                    rest = &behind[end..];
                    continue;
                }
                b'"' | b'\'' => {
                    let text = text_length(rest);
                    number += rest[..text].iter().filter(|byte| **byte == b'\n').count() as u32;
                    rest = &rest[text..];
                }
                b'[' if fresh => {
                    comments.sections.push(number);
                    rest = behind;
                }
                _ => rest = behind,
            }
            fresh = fresh && first.is_ascii_whitespace();
        }
        comments
    }

    /// Gives each comment to the first of these lines that is not before it.
    pub(super) fn attach(self, lines: &BTreeSet<u32>) -> Attached {
        let mut attached = Attached::default();
        for (at, comment) in self.all {
            let Some(line) = lines.range(at..).next() else {
                attached.last.push(comment);
                continue;
            };
            let outside = self.sections.iter().any(|section| at < *section && section <= line);
            let taken = attached.before.entry(*line).or_default();
            if outside { &mut taken.outside } else { &mut taken.inside }.push(comment);
        }
        attached
    }
}

/// Comments by the line of the setting that they go before.
#[derive(Debug, Default)]
pub(super) struct Attached {
    before: BTreeMap<u32, Taken>,
    /// Those behind all settings.
    pub(super) last: Vec<String>,
}

impl Attached {
    /// Those before the setting in this line; once.
    pub(super) fn take(&mut self, line: u32) -> Taken {
        self.before.remove(&line).unwrap_or_default()
    }

    /// Gives some back, to be taken later.
    pub(super) fn give_back(&mut self, line: u32, taken: Taken) {
        self.before.insert(line, taken);
    }
}

/// Bytes of the text that begins here, its quotes included. An unclosed one, which no parser lets pass, ends
/// with the file.
fn text_length(text: &[u8]) -> usize {
    let quote = text[0];
    let long = [quote; 3];
    let mark: &[u8] = if text.starts_with(&long) { &long } else { &long[..1] };
    let mut at = mark.len();
    while at < text.len() {
        if quote == b'"' && text[at] == b'\\' {
            at += 2;
        } else if text[at..].starts_with(mark) {
            return at + mark.len();
        } else {
            at += 1;
        }
    }
    text.len()
}

/// A comment's text as both formats take it: without control characters.
fn printable(comment: &[u8]) -> String {
    let text = String::from_utf8_lossy(comment);
    let text = text.trim_end().chars();
    text.map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_toml_are_outside_of_texts() {
        let text =
            b"# one\n[a] # two\nb = \"x # y\" # three\nc = '''\n# no\n''' # four\nd = \"\\\"#\"\n  # five";
        let comments = Comments::of_toml(text);
        let all: Vec<_> = comments.all.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(all, [(1, " one"), (2, " two"), (3, " three"), (6, " four"), (8, " five")]);
        assert_eq!(comments.sections, [2]);
    }

    #[test]
    fn comments_go_before_their_setting() {
        let comments = Comments::of_conf(b"# file\n\ntotem {\n  # first\n  version: 2\n#last\n}\n");
        let mut attached = comments.attach(&BTreeSet::from([5]));
        let taken = attached.take(5);
        assert_eq!((taken.outside, taken.inside), (vec![" file".to_owned()], vec![" first".to_owned()]));
        assert!(attached.take(5).inside.is_empty());
        assert_eq!(attached.last, ["last"]);
    }

    #[test]
    fn unclosed_texts_end() {
        for text in ["\"", "'''", "\"\\", "a = \"\"\"x\""] {
            Comments::of_toml(text.as_bytes());
        }
    }
}
