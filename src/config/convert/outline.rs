//! The outline of a file: its sections and keys by line, its comments, and what follows each comment.

use std::collections::BTreeMap;

use super::SPECIAL;
use crate::config::conf::{self, Sink};
use crate::config::error::Complaint;

/// The comment before the table `other`.
pub(super) const OTHER_REMARK: &str = " Settings that have no place of their own, as corosync.conf had them.";

/// The position of a line within all files of a conversion, in the order of the files.
pub(super) type Place = u64;

/// The position of a line (from 1) of the file with this number; later files have higher positions.
pub(super) fn place(file: usize, line: u32) -> Place {
    (file as u64) << 32 | u64::from(line)
}

/// The outermost section: all files.
pub(super) const ROOT: usize = 0;

/// A section with its first and last line.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) open: Place,
    pub(super) close: Place,
    /// The index of the enclosing section; [`ROOT`] for itself.
    pub(super) outer: usize,
}

/// A key and its line.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) at: Place,
    name: String,
    /// The key's name with those of its enclosing sections.
    path: String,
    pub(super) section: usize,
}

/// The first and the last of several lines.
type Ends = (Place, Place);

/// What follows a comment, apart from other comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Key(usize),
    /// Something else follows, but the comment belongs to this key, which it stands behind.
    After(usize),
    /// The first line of this section.
    Open(usize),
    /// The end of this section.
    Close(usize),
    /// The end of all files.
    End,
}

/// The outline of all files; see the module.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// The sections, ascending by first line.
    pub(super) sections: Vec<Section>,
    /// The keys, in ascending order.
    pub(super) keys: Vec<Key>,
    /// The comments, ascending by line.
    pub(super) comments: Vec<(Next, String)>,
    open: Vec<usize>,
    /// Comments whose successor is not known yet.
    pending: Vec<String>,
    /// The first and last key of each name in each section.
    named: BTreeMap<(usize, String), Ends>,
    /// The first and last key of each full name, where the full name identifies the setting.
    full: BTreeMap<String, Ends>,
}

impl Outline {
    pub(super) fn new() -> Self {
        let all = Section { open: 0, close: Place::MAX, outer: ROOT };
        Self { sections: vec![all], open: vec![ROOT], ..Self::default() }
    }

    /// Adds a `corosync.conf` that the parser has accepted.
    pub(super) fn add_conf(&mut self, text: &[u8], file: usize) {
        let mut marks = Marks(Vec::new());
        // The text was parsed before, and this sink never fails.
        let _ = conf::read(text, &mut marks);
        let mut marks = marks.0.into_iter().peekable();
        for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            if let Some(comment) = line.trim_ascii().strip_prefix(b"#") {
                self.pending.push(printable(comment));
            }
            while let Some((_, mark)) = marks.next_if(|(at, _)| *at == number) {
                match mark {
                    Mark::Open => self.open(place(file, number)),
                    Mark::Key { path, name } => self.key(place(file, number), name, path),
                    Mark::Close => self.close(place(file, number)),
                }
            }
        }
    }

    /// Adds a `corosync.toml`. A comment runs from `#` to the end of its line, outside of strings. Directly above a
    /// header it belongs to that table; with an empty line in between, it ends the table before. Directly below a key
    /// with an empty line after it, it belongs to that key, otherwise to the next.
    pub(super) fn add_toml(&mut self, text: &[u8], file: usize) {
        let mut scan = Scan {
            outline: self,
            file,
            first_blank: None,
            last_blank: None,
            depth: 0,
            key: None,
            key_above: false,
        };
        let mut number = 1;
        let mut line = Line { number, ..Line::default() };
        let mut rest = text;
        while let Some((first, behind)) = rest.split_first() {
            match first {
                b'\n' => {
                    scan.line_end(&line);
                    number += 1;
                    line = Line { depth: scan.depth, number, ..Line::default() };
                    rest = behind;
                    continue;
                }
                b'#' => {
                    let end = behind.iter().position(|byte| *byte == b'\n').unwrap_or(behind.len());
                    scan.content(&mut line, rest);
                    scan.comment(&line, printable(&behind[..end]));
                    line.commented = true;
                    rest = &behind[end..];
                    continue;
                }
                blank if blank.is_ascii_whitespace() => {
                    rest = behind;
                    continue;
                }
                _ => {}
            }
            scan.content(&mut line, rest);
            match first {
                b'"' | b'\'' => {
                    let length = text_length(rest);
                    number += rest[..length].iter().filter(|byte| **byte == b'\n').count() as u32;
                    rest = &rest[length..];
                    continue;
                }
                b'[' | b'{' => scan.depth += 1,
                b']' | b'}' => scan.depth = scan.depth.saturating_sub(1),
                _ => {}
            }
            rest = behind;
        }
        scan.line_end(&line);
        scan.end();
    }

    /// Ends the last file.
    pub(super) fn end(&mut self) {
        self.settle_all(Next::End);
    }

    /// The key of this name in the section of the given line.
    pub(super) fn sibling(&self, at: Place, name: &str) -> Option<Place> {
        self.named.get(&(self.innermost(at), name.to_owned())).map(|(_, last)| *last)
    }

    /// Keys that set the same setting: those with the same name in its section, then those with the same full name.
    /// Of each kind the last and the first, one of which is effective.
    pub(super) fn same(&self, key: &Key) -> impl Iterator<Item = Place> {
        let here = self.named.get(&(key.section, key.name.clone()));
        let there = self.full.get(&key.path);
        here.into_iter().chain(there).flat_map(|(first, last)| [*last, *first])
    }

    /// The innermost section that contains a line.
    pub(super) fn innermost(&self, at: Place) -> usize {
        let mut section = self.sections.partition_point(|section| section.open <= at).saturating_sub(1);
        while section != ROOT && self.sections[section].close < at {
            section = self.sections[section].outer;
        }
        section
    }

    fn current(&self) -> usize {
        self.open.last().copied().unwrap_or(ROOT)
    }

    /// Sets `next` as the successor of the first `count` pending comments.
    fn settle(&mut self, count: usize, next: Next) {
        let count = count.min(self.pending.len());
        self.comments.extend(self.pending.drain(..count).map(|comment| (next, comment)));
    }

    fn settle_all(&mut self, next: Next) {
        self.settle(usize::MAX, next);
    }

    fn open(&mut self, at: Place) {
        let new = self.sections.len();
        self.settle_all(Next::Open(new));
        self.sections.push(Section { open: at, close: Place::MAX, outer: self.current() });
        self.open.push(new);
    }

    fn key(&mut self, at: Place, name: String, path: String) {
        self.settle_all(Next::Key(self.keys.len()));
        let section = self.current();
        self.named.entry((section, name.clone())).or_insert((at, at)).1 = at;
        // In these sections, full names do not identify a setting.
        if !SPECIAL.iter().any(|special| path.starts_with(special)) {
            self.full.entry(path.clone()).or_insert((at, at)).1 = at;
        }
        self.keys.push(Key { at, name, path, section });
    }

    fn close(&mut self, at: Place) {
        let current = self.current();
        self.settle_all(Next::Close(current));
        if current != ROOT {
            self.open.pop();
            self.sections[current].close = at;
        }
    }
}

/// The parts of a `corosync.conf`, by line.
struct Marks(Vec<(u32, Mark)>);

enum Mark {
    Open,
    Key { path: String, name: String },
    Close,
}

impl Sink for Marks {
    fn open(&mut self, _path: &[u8], line: u32) -> Result<(), Complaint> {
        self.0.push((line, Mark::Open));
        Ok(())
    }

    fn item(&mut self, path: &[u8], key: &[u8], _value: &[u8], line: u32) -> Result<(), Complaint> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.push((line, Mark::Key { path: text(path), name: text(key) }));
        Ok(())
    }

    fn close(&mut self, _path: &[u8], line: u32) -> Result<(), Complaint> {
        self.0.push((line, Mark::Close));
        Ok(())
    }
}

/// The line of TOML that is being read.
#[derive(Default)]
struct Line {
    number: u32,
    /// Number of open brackets at its beginning.
    depth: usize,
    /// Whether it has any content besides blanks and comments.
    full: bool,
    commented: bool,
}

/// State of reading TOML into an outline.
struct Scan<'a> {
    outline: &'a mut Outline,
    file: usize,
    /// Number of pending comments at the first and at the last empty line since the last content.
    first_blank: Option<usize>,
    last_blank: Option<usize>,
    /// Number of open brackets.
    depth: usize,
    /// The last key, whose value may continue.
    key: Option<String>,
    /// Whether this table has had a key.
    key_above: bool,
}

impl Scan<'_> {
    /// Handles content in the line: a header, a key, or a part of a value.
    fn content(&mut self, line: &mut Line, rest: &[u8]) {
        if line.full || rest.starts_with(b"#") {
            return;
        }
        line.full = true;
        let at = place(self.file, line.number);
        if line.depth == 0 && rest.starts_with(b"[") {
            self.header(at, rest);
        } else {
            let name = match (line.depth, self.key.take()) {
                (1.., Some(name)) => name,
                (_, _) => key_name(rest),
            };
            if let Some(own) = self.first_blank.filter(|_| self.key_above) {
                let above = Next::After(self.outline.keys.len() - 1);
                self.outline.settle(own, above);
            }
            self.outline.key(at, name.clone(), name.clone());
            self.key_above = true;
            self.key = Some(name);
        }
        (self.first_blank, self.last_blank) = (None, None);
    }

    fn header(&mut self, at: Place, rest: &[u8]) {
        // The comment that the conversion to TOML adds itself must not accumulate.
        if rest.starts_with(b"[other]")
            && self.outline.pending.last().is_some_and(|last| last == OTHER_REMARK)
        {
            self.outline.pending.pop();
        }
        self.end_table(self.last_blank);
        self.outline.open(at);
        (self.key, self.key_above) = (None, false);
    }

    /// Ends the table before, to which the first `own` pending comments belong.
    fn end_table(&mut self, own: Option<usize>) {
        let current = self.outline.current();
        let last = self.outline.keys.last().map_or(0, |key| key.at);
        if current != ROOT {
            self.outline.settle(own.unwrap_or(0), Next::Close(current));
            self.outline.open.pop();
            let section = &mut self.outline.sections[current];
            section.close = section.open.max(last);
        }
    }

    fn comment(&mut self, line: &Line, comment: String) {
        let here = place(self.file, line.number);
        match self.outline.keys.last() {
            Some(key) if line.full && key.at == here => {
                let key = Next::Key(self.outline.keys.len() - 1);
                self.outline.comments.push((key, comment));
            }
            _ => self.outline.pending.push(comment),
        }
    }

    fn line_end(&mut self, line: &Line) {
        if !line.full && !line.commented {
            let pending = self.outline.pending.len();
            self.first_blank.get_or_insert(pending);
            self.last_blank = Some(pending);
        }
    }

    /// Ends the file: comments directly below the last setting belong to its table.
    fn end(&mut self) {
        let all = self.outline.pending.len();
        self.end_table(Some(self.first_blank.unwrap_or(all)));
    }
}

/// The key at the beginning of a line, without quotes.
fn key_name(line: &[u8]) -> String {
    let end = line.iter().position(|byte| matches!(byte, b'=' | b'\n')).unwrap_or(line.len());
    let name = String::from_utf8_lossy(&line[..end]);
    name.trim().trim_matches(['"', '\'']).to_owned()
}

/// Length of the string that begins here, including its quotes. An unclosed string, which no parser accepts, ends
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

/// The text of a comment as both formats accept it: without control characters.
fn printable(comment: &[u8]) -> String {
    let text = String::from_utf8_lossy(comment);
    text.trim_end().chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests;
