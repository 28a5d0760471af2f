//! Writing a map as `corosync.toml`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::comments::{Attached, Comments, OTHER_REMARK};
use super::{Converting, canonical, nodes};
use crate::config::keys::{self, Key, Kind};
use crate::config::map::{Entry, Value};
use crate::config::sections::LINK_LIMIT;
use crate::config::toml::OPEN;

/// A table that is written, with its settings by line.
#[derive(Debug)]
struct Table {
    header: String,
    /// First lines of what is in it, whatever the settings.
    head: Vec<String>,
    items: Vec<(u32, String)>,
    /// Of several tables with one name, which.
    position: u32,
}

/// The whole file.
pub(super) fn write(what: &Converting<'_>, comments: Comments) -> String {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let mut other: Vec<(u32, String)> = Vec::new();
    let mut ids: BTreeMap<&str, (u32, Vec<String>)> = BTreeMap::new();
    let nodes = nodes(what.map, |own| own.iter().any(|(key, _)| *key == "ring0_addr"));
    for (name, entry) in what.map.iter() {
        let line = what.line(entry);
        if let Some((kind, id)) = uidgid(name, &entry.value) {
            let called = what.host.called(kind, id).map_or_else(|| id.to_owned(), |called| quoted(&called));
            let (first, list) = ids.entry(kind).or_insert((line, Vec::new()));
            *first = line.min(*first);
            list.push(called);
        } else if let Some(place) = place(what, name, entry, nodes) {
            let table = tables.entry(place.table).or_insert_with(|| Table {
                header: place.header,
                head: place.head,
                items: Vec::new(),
                position: place.position,
            });
            table.items.extend(place.item.map(|item| (line, item)));
        } else {
            other.push((line, format!("{} = {}", quoted(name), verbatim(&entry.value))));
        }
    }
    if !ids.is_empty() {
        let items =
            ids.into_iter().map(|(kind, (line, list))| (line, format!("{kind} = [{}]", list.join(", "))));
        let table =
            Table { header: "[uidgid]".to_owned(), head: Vec::new(), items: items.collect(), position: 0 };
        tables.insert("uidgid".to_owned(), table);
    }
    let mut attached = what.attach(comments);
    let mut text = String::new();
    for (_, mut table) in in_order(tables) {
        table.items.sort();
        section(&mut text, &table, &mut attached);
    }
    if !other.is_empty() {
        other.sort();
        let header = format!("#{OTHER_REMARK}\n[other]");
        section(&mut text, &Table { header, head: Vec::new(), items: other, position: 0 }, &mut attached);
    }
    remarks(&mut text, &attached.last);
    text
}

/// Sections in the order of the file; within one the table itself before those in it, nodes by position.
fn in_order(tables: BTreeMap<String, Table>) -> Vec<(String, Table)> {
    let section = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let first = |table: &Table| table.items.iter().map(|(line, _)| *line).min().unwrap_or(u32::MAX);
    let mut firsts: BTreeMap<String, u32> = BTreeMap::new();
    for (name, table) in &tables {
        let place = firsts.entry(section(name)).or_insert(u32::MAX);
        *place = first(table).min(*place);
    }
    let mut tables: Vec<_> = tables.into_iter().collect();
    tables.sort_by_cached_key(|(name, table)| {
        let section = section(name);
        let line = if name.starts_with("nodelist.node.") { 0 } else { first(table) };
        (firsts[&section], section, name.contains('.'), line, table.position, name.clone())
    });
    tables
}

fn section(text: &mut String, table: &Table, attached: &mut Attached) {
    if !text.is_empty() {
        text.push('\n');
    }
    let mut items = table.items.iter();
    let first = items.next();
    let taken = first.map(|(line, _)| attached.take(*line)).unwrap_or_default();
    remarks(text, &taken.outside);
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "{}", table.header);
    for line in &table.head {
        let _ = writeln!(text, "{line}");
    }
    remarks(text, &taken.inside);
    if let Some((_, item)) = first {
        let _ = writeln!(text, "{item}");
    }
    for (line, item) in items {
        let taken = attached.take(*line);
        remarks(text, &taken.outside);
        remarks(text, &taken.inside);
        let _ = writeln!(text, "{item}");
    }
}

fn remarks(text: &mut String, comments: &[String]) {
    for comment in comments {
        let _ = writeln!(text, "#{comment}");
    }
}

/// `uid` or `gid`, and the number.
fn uidgid<'a>(name: &'a str, value: &Value) -> Option<(&'a str, &'a str)> {
    let (kind, id) = name.strip_prefix("uidgid.config.")?.split_once('.')?;
    (matches!(kind, "uid" | "gid") && canonical(id).is_some() && *value == Value::U8(1)).then_some((kind, id))
}

/// Where a setting goes that TOML has a place for.
struct Place {
    /// Name of the table.
    table: String,
    header: String,
    head: Vec<String>,
    position: u32,
    /// `key = value`; `None` if the table says it.
    item: Option<String>,
}

fn place(what: &Converting<'_>, name: &str, entry: &Entry, nodes: u32) -> Option<Place> {
    if let Some(open) =
        OPEN.iter().find(|open| name.strip_prefix(**open).is_some_and(|rest| rest.starts_with('.')))
    {
        let value = plain(&entry.value)?;
        let item = format!("{} = {value}", key(&name[open.len() + 1..]));
        return Some(simple(open, item));
    }
    let known = keys::find(name)?;
    let (table, own) = name.rsplit_once('.')?;
    if let Some(subsystem) = table.strip_prefix("logging.logger_subsys.") {
        let named = what.map.entry(&format!("{table}.subsys")).map(|entry| &entry.value);
        let is_its_own = named == Some(&Value::text(subsystem)) && !subsystem.contains('.');
        if !is_its_own {
            return None;
        }
        let item =
            if own == "subsys" { None } else { Some(format!("{own} = {}", typed(known, &entry.value)?)) };
        let header = format!("[logging.logger_subsys.{}]", key(subsystem));
        return Some(Place { table: table.to_owned(), header, head: Vec::new(), position: 0, item });
    }
    let item = format!("{own} = {}", typed(known, &entry.value)?);
    if let Some(position) = table.strip_prefix("nodelist.node.") {
        let position = canonical(position).filter(|position| *position < nodes)?;
        let header = "[[nodelist.node]]".to_owned();
        return Some(Place { table: table.to_owned(), header, head: Vec::new(), position, item: Some(item) });
    }
    if let Some(link) = table.strip_prefix("totem.interface.") {
        let position = canonical(link).filter(|link| *link < LINK_LIMIT)?;
        let head = vec![format!("linknumber = {link}")];
        let header = "[[totem.interface]]".to_owned();
        return Some(Place { table: table.to_owned(), header, head, position, item: Some(item) });
    }
    (known.name == name).then(|| simple(table, item))
}

fn simple(table: &str, item: String) -> Place {
    let header = format!("[{table}]");
    Place { table: table.to_owned(), header, head: Vec::new(), position: 0, item: Some(item) }
}

/// A value that TOML takes for this setting.
fn typed(known: &Key, value: &Value) -> Option<String> {
    match (known.kind, value) {
        (Kind::Text, Value::Text(text)) => {
            let text = str::from_utf8(text).ok()?;
            (known.words.is_empty() || known.words.contains(&text)).then(|| plain(value)).flatten()
        }
        (Kind::U8, Value::U8(_))
        | (Kind::U16, Value::U16(_))
        | (Kind::I32, Value::I32(_))
        | (Kind::U32, Value::U32(_)) => Some(value.to_string()),
        (Kind::U64, Value::U64(number)) => i64::try_from(*number).ok().map(|number| number.to_string()),
        _ => None,
    }
}

/// A text of one line.
fn plain(value: &Value) -> Option<String> {
    let Value::Text(text) = value else { return None };
    let text = str::from_utf8(text).ok()?;
    (!text.contains(['\0', '\n', '\r'])).then(|| quoted(text))
}

/// Any value: as a text where it is one, else as its bytes.
fn verbatim(value: &Value) -> String {
    match value {
        Value::Text(text) => plain(value).unwrap_or_else(|| {
            let bytes: Vec<String> = text.iter().map(ToString::to_string).collect();
            format!("[{}]", bytes.join(", "))
        }),
        other => quoted(&other.to_string()),
    }
}

/// A key as it may stand alone, in quotes if it must.
fn key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
