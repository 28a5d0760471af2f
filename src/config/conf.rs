//! The grammar of `corosync.conf`, line by line: sections, keys and values. Their meaning is in `sections`.
//!
//! Source: `corosync.conf(5)`; corosync `exec/coroparse.c`.

use super::error::Complaint;

/// Longest line in bytes, including its newline.
const LINE_LIMIT: usize = 511;

/// Upper bound of the length of a section's or key's full name, in bytes, exclusive.
const PATH_LIMIT: usize = 255;

/// Receives the parts of a file in their order.
pub(super) trait Sink {
    /// A section begins; `path` is its full name.
    fn open(&mut self, path: &[u8], line: u32) -> Result<(), Complaint>;
    /// A key with its value in the innermost section; `path` is the key's full name.
    fn item(&mut self, path: &[u8], key: &[u8], value: &[u8], line: u32) -> Result<(), Complaint>;
    /// The innermost section ends; `path` is its full name.
    fn close(&mut self, path: &[u8], line: u32) -> Result<(), Complaint>;
}

/// Reads a whole file. Nesting needs no bound of its own: each level takes two bytes of a name that
/// may not reach 255.
///
/// # Errors
/// The first complaint, of the grammar or of `sink`, and its line number.
pub(super) fn read(text: &[u8], sink: &mut dyn Sink) -> Result<(), (Complaint, u32)> {
    // The open sections are one name; `ends` remembers where the name of each outer one ended.
    let mut path: Vec<u8> = Vec::new();
    let mut ends: Vec<usize> = Vec::new();
    let mut number = 0u32;
    for raw in text.split_inclusive(|byte| *byte == b'\n') {
        number = number.saturating_add(1);
        line(raw, &mut path, &mut ends, number, sink).map_err(|complaint| (complaint, number))?;
    }
    if !ends.is_empty() {
        let open = String::from_utf8_lossy(&path).into_owned();
        let complaint = Complaint::new("Missing closing brace");
        return Err((complaint.hint(format!("section {open} is still open at the end of the file")), number));
    }
    Ok(())
}

fn line(
    raw: &[u8],
    path: &mut Vec<u8>,
    ends: &mut Vec<usize>,
    number: u32,
    sink: &mut dyn Sink,
) -> Result<(), Complaint> {
    let whole = complete(raw)?;
    let first = whole.iter().find(|byte| !is_blank(byte));
    if first.is_none_or(|byte| *byte == b'#') {
        return Ok(());
    }

    if let Some(brace) = position(whole, b'{') {
        let name = trim_name(&whole[..head(whole, brace)]);
        if name.is_empty() {
            return Err(Complaint::new("Missing section name before opening bracket '{'"));
        }
        if !trim(&whole[brace + 1..]).is_empty() {
            let complaint = Complaint::new("Extra characters after opening bracket '{'")
                .hint("a comment needs a line of its own, and a value may not contain '{'");
            return Err(complaint.about("line", whole));
        }
        let outer = path.len();
        if !extend(path, name) {
            return Err(Complaint::new("Start of section makes total cmap path too long"));
        }
        ends.push(outer);
        return sink.open(path, number);
    }

    if let Some(colon) = position(whole, b':') {
        let key = trim_name(&whole[..head(whole, colon)]);
        let value = trim(&whole[colon + 1..]);
        let outer = path.len();
        if !extend(path, key) {
            return Err(Complaint::new("New key makes total cmap path too long"));
        }
        let result = sink.item(path, key, value, number);
        path.truncate(outer);
        return result;
    }

    if position(whole, b'}').is_some() {
        if trim(whole) != b"}" {
            return Err(
                Complaint::new("Extra characters before or after closing bracket '}'").about("line", whole)
            );
        }
        let Some(outer) = ends.pop() else {
            return Err(Complaint::new("Unexpected closing brace").hint("no section is open here"));
        };
        sink.close(path, number)?;
        path.truncate(outer);
        return Ok(());
    }

    let complaint = Complaint::new("Line is not opening or closing section or key value");
    Err(complaint.hint("write `section {`, `key: value`, `}` or `# comment`").about("line", whole))
}

/// Returns the line without its end and trailing blanks.
///
/// In C a NUL ends the line, which then lacks its newline and is taken for an overlong one. The error is the same
/// here; the hint gives the real reason.
fn complete(raw: &[u8]) -> Result<&[u8], Complaint> {
    let too_long = Complaint::new("Line too long");
    let ended = raw.ends_with(b"\n");
    if raw.len() > LINE_LIMIT || (raw.len() == LINE_LIMIT && !ended) {
        return Err(too_long.hint(format!("a line may have {LINE_LIMIT} bytes, its newline included")));
    }
    let mut whole = raw;
    if let Some(nul) = position(raw, 0) {
        if nul > 0 && ended {
            return Err(too_long.hint("the line contains a NUL byte"));
        }
        whole = &raw[..nul];
    }
    whole = whole.strip_suffix(b"\n").unwrap_or(whole);
    whole = whole.strip_suffix(b"\r").unwrap_or(whole);
    while let Some((last, rest)) = whole.split_last()
        && is_blank(last)
    {
        whole = rest;
    }
    Ok(whole)
}

/// Appends `.part` (at top level `part`). Returns `false`, and changes nothing, if the name would be too long.
fn extend(path: &mut Vec<u8>, part: &[u8]) -> bool {
    if path.len() + part.len() + 1 >= PATH_LIMIT {
        return false;
    }
    if !path.is_empty() {
        path.push(b'.');
    }
    path.extend_from_slice(part);
    true
}

/// Length of the name before a brace or colon. As in Corosync, the mark itself is included if a blank follows. That
/// only matters in lines that are invalid anyway, such as `: x`, where the name is then `:`.
fn head(line: &[u8], mark: usize) -> usize {
    if line.get(mark + 1).is_some_and(is_blank) { mark + 1 } else { mark }
}

const fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}

fn trim(bytes: &[u8]) -> &[u8] {
    trim_with(bytes, is_blank)
}

/// Removes blanks, and colons and braces at the end of names, so that `totem: {` opens `totem`.
fn trim_name(bytes: &[u8]) -> &[u8] {
    trim_with(bytes, |byte| is_blank(byte) || matches!(byte, b':' | b'{'))
}

/// Removes blanks at the beginning and bytes of `at_end` at the end. If only such bytes are left, the first stays, as
/// in C.
fn trim_with(bytes: &[u8], at_end: impl Fn(&u8) -> bool) -> &[u8] {
    let start = bytes.iter().take_while(|byte| is_blank(byte)).count();
    let mut rest = &bytes[start..];
    while let [_, .., last] = rest
        && at_end(last)
    {
        rest = &rest[..rest.len() - 1];
    }
    rest
}
