//! Writes a map as `corosync.conf`.

use std::collections::{BTreeMap, BTreeSet};

use super::comments::Attached;
use super::outline::{Outline, Place};
use super::{Converting, NOWHERE, SPECIAL, canonical, nodes};
use crate::config::keys;
use crate::config::map::{Entry, Value};

/// Longest text of a comment in one line, in bytes.
const COMMENT_LIMIT: usize = 480;

/// A line to write, after the place of the original line that it stands for.
type Item = (Place, Vec<u8>);

/// A section with its keys by line, and its inner sections. It is ordered by its name here, which need not be the
/// name that is written.
#[derive(Debug, Default)]
struct Section {
    name: String,
    /// The first line, written before all keys, with the original lines that it stands for.
    head: Option<(Vec<Place>, Vec<u8>)>,
    items: Vec<Item>,
    inner: BTreeMap<(u32, String), Self>,
}

impl Section {
    /// Returns the section of this name in this one, and creates it if needed.
    fn within(&mut self, order: u32, key: &str, name: &str) -> &mut Self {
        let inner = self.inner.entry((order, key.to_owned())).or_default();
        name.clone_into(&mut inner.name);
        inner
    }

    /// The original lines that it has lines for, without those of inner sections.
    fn own_lines(&self) -> impl Iterator<Item = Place> {
        let head = self.head.iter().flat_map(|(lines, _)| lines);
        head.chain(self.items.iter().map(|(line, _)| line)).copied().filter(|line| *line != NOWHERE)
    }

    fn first(&self) -> Place {
        self.own_lines().chain(self.inner.values().map(Self::first)).min().unwrap_or(NOWHERE)
    }

    fn collect_lines(&self, into: &mut BTreeSet<Place>) {
        into.extend(self.own_lines());
        for inner in self.inner.values() {
            inner.collect_lines(into);
        }
    }
}

/// The whole file.
pub(super) fn write(what: &Converting<'_>, outline: Outline) -> Vec<u8> {
    let mut root = Section::default();
    let nodes = nodes(what.map, |own| own.iter().all(|(key, _)| is_word(key)));
    for (name, entry) in what.map.iter() {
        add(&mut root, what, &outline, name, entry, nodes);
    }
    let mut lines = BTreeSet::new();
    root.collect_lines(&mut lines);
    let mut attached = Attached::new(outline, &lines);
    let mut text = Vec::new();
    section(&mut text, root, 0, &mut attached);
    remarks(&mut text, &attached.rest(), 0);
    text
}

fn add(root: &mut Section, what: &Converting<'_>, outline: &Outline, name: &str, entry: &Entry, nodes: u32) {
    let line = what.line(entry);
    let value = match &entry.value {
        Value::Text(text) => text.clone(),
        other => other.to_string().into_bytes(),
    };
    let item = |key: &str| (line, pair(key, &value));
    if let Some((kind, id)) = name.strip_prefix("uidgid.config.").and_then(|rest| rest.split_once('.'))
        && matches!(kind, "uid" | "gid")
        && canonical(id).is_some()
        && entry.value == Value::U8(1)
    {
        let called = what.host.called(kind, id).unwrap_or_else(|| id.to_owned());
        root.within(0, "uidgid", "uidgid").items.push((line, pair(kind, called.as_bytes())));
        return;
    }
    let (path, own) = name.rsplit_once('.').unwrap_or(("", name));
    if let Some(position) = path.strip_prefix("nodelist.node.").and_then(canonical)
        && position < nodes
    {
        let list = root.within(0, "nodelist", "nodelist");
        list.within(position, "node", "node").items.push(item(own));
        return;
    }
    if let Some(link) = path.strip_prefix("totem.interface.").and_then(canonical)
        && link <= u8::MAX.into()
        && keys::find(name).is_some()
    {
        let interface = root.within(0, "totem", "totem").within(link, "interface", "interface");
        let said = outline.sibling(line, "linknumber").into_iter().collect();
        interface.head = Some((said, pair("linknumber", link.to_string().as_bytes())));
        interface.items.push(item(own));
        return;
    }
    if let Some(subsystem) = path.strip_prefix("logging.logger_subsys.")
        && what
            .map
            .entry(&format!("{path}.subsys"))
            .is_some_and(|named| named.value == Value::text(subsystem))
        && is_word(own)
    {
        let section = root.within(0, "logging", "logging").within(0, path, "logger_subsys");
        if own == "subsys" {
            // The table's header contains the setting, and a key may repeat it.
            let said = [line].into_iter().chain(outline.sibling(line, own)).collect();
            section.head = Some((said, pair(own, &value)));
        } else {
            section.items.push(item(own));
        }
        return;
    }
    let special = SPECIAL.iter().any(|special| {
        path.strip_prefix(special).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    if special || !name.split('.').all(is_word) {
        // Written with its full name, outside of any section.
        root.items.push(item(name));
        return;
    }
    let mut section = root;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        section = section.within(0, part, part);
    }
    section.items.push(item(own));
}

/// Whether the text can be the name of a section or key.
fn is_word(name: &str) -> bool {
    !name.is_empty() && !name.contains([':', '.'])
}

fn pair(key: &str, value: &[u8]) -> Vec<u8> {
    [key.as_bytes(), b": ", value].concat()
}

fn section(text: &mut Vec<u8>, mut own: Section, depth: usize, attached: &mut Attached) {
    own.items.sort();
    let items = own.items.into_iter().map(|(line, item)| (vec![line], item));
    let mut items = own.head.into_iter().chain(items).peekable();
    let mut after = Vec::new();
    while let Some((lines, item)) = items.next() {
        let taken = attached.take(&lines);
        remarks(text, &taken.outside, depth);
        remarks(text, &taken.before, depth);
        put(text, &item, depth);
        after.extend(taken.after);
        // Each value of a list has a line of its own here, so a comment after the list goes after the last of them.
        if items.peek().is_none_or(|(next, _)| *next != lines) {
            remarks(text, &std::mem::take(&mut after), depth);
        }
    }
    let mut inner: Vec<_> = own.inner.into_iter().map(|((order, _), inner)| (order, inner)).collect();
    inner.sort_by_key(|(order, inner)| (*order, inner.first()));
    for (_, inner) in inner {
        if depth == 0 && !text.is_empty() {
            text.push(b'\n');
        }
        // Comments of a section that contains only sections go to the first of these.
        let first = inner.own_lines().min().unwrap_or(NOWHERE);
        remarks(text, &attached.take_outside(&[first]), depth);
        put(text, &[inner.name.as_bytes(), b" {"].concat(), depth);
        section(text, inner, depth + 1, attached);
        put(text, b"}", depth);
    }
}

fn put(text: &mut Vec<u8>, line: &[u8], depth: usize) {
    text.extend(std::iter::repeat_n(b' ', 2 * depth));
    text.extend_from_slice(line);
    text.push(b'\n');
}

/// Writes comments; one that is too long for a line takes several.
fn remarks(text: &mut Vec<u8>, comments: &[String], depth: usize) {
    for comment in comments {
        let mut line = String::new();
        for c in comment.chars() {
            if line.len() + c.len_utf8() > COMMENT_LIMIT {
                put(text, format!("#{line}").as_bytes(), depth);
                line.clear();
            }
            line.push(c);
        }
        put(text, format!("#{line}").as_bytes(), depth);
    }
}
