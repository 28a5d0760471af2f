//! Writes a map as `corosync.toml`.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::comments::{Attached, Taken};
use super::outline::{OTHER_REMARK, Outline, Place};
use super::{Converting, NOWHERE, canonical, nodes};
use crate::config::keys::{self, Key, Kind};
use crate::config::map::{Entry, Value};
use crate::config::sections::LINK_LIMIT;
use crate::config::toml::OPEN;

/// A line to write.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    /// The original lines that it stands for.
    lines: Vec<Place>,
    text: String,
    /// The values of a list whose key is `text`, with the original lines that they stand for.
    list: Vec<(Place, String)>,
}

impl Item {
    fn new(line: Place, text: String) -> Self {
        Self { lines: vec![line], text, list: Vec::new() }
    }
}

/// A table to write, with its settings by line.
#[derive(Debug, Default)]
struct Table {
    header: String,
    /// The original lines that the header contains, and those of keys with the same meaning.
    says: Vec<Place>,
    said: String,
    /// The first line of its content, before all settings.
    head: Option<Item>,
    items: Vec<Item>,
    /// The position among several tables of one name.
    position: u32,
}

impl Table {
    fn lines(&self) -> impl Iterator<Item = Place> {
        let items = || self.head.iter().chain(&self.items);
        let listed = items().flat_map(|item| &item.list).map(|(line, _)| line);
        let all = self.says.iter().chain(items().flat_map(|item| &item.lines)).chain(listed);
        all.copied().filter(|line| *line != NOWHERE)
    }

    fn first(&self) -> Place {
        self.lines().min().unwrap_or(NOWHERE)
    }
}

/// The whole file.
pub(super) fn write(what: &Converting<'_>, outline: Outline) -> String {
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let mut other: Vec<Item> = Vec::new();
    let mut ids: BTreeMap<&str, Vec<(Place, String)>> = BTreeMap::new();
    let nodes = nodes(what.map, |own| own.iter().any(|(key, _)| *key == "ring0_addr"));
    for (name, entry) in what.map.iter() {
        let line = what.line(entry);
        if let Some((kind, id)) = uidgid(name, &entry.value) {
            let called = what.host.called(kind, id).map_or_else(|| id.to_owned(), |called| quoted(&called));
            ids.entry(kind).or_default().push((line, called));
        } else if let Some(place) = place(what, name, entry, nodes) {
            let table = tables.entry(place.table).or_default();
            table.header = place.header;
            table.position = place.position;
            if let Some(link) = place.link {
                let said = outline.sibling(line, "linknumber");
                let text = || format!("linknumber = {link}");
                let head = table.head.get_or_insert_with(|| Item {
                    lines: Vec::new(),
                    text: text(),
                    list: Vec::new(),
                });
                head.lines.extend(said.filter(|said| !head.lines.contains(said)));
            }
            match place.item {
                Some(item) => table.items.push(Item::new(line, item)),
                None => {
                    table.says.push(line);
                    table.said = format!("subsys = {}", verbatim(&entry.value));
                }
            }
        } else {
            other.push(Item::new(line, format!("{} = {}", quoted(name), verbatim(&entry.value))));
        }
    }
    if !ids.is_empty() {
        let lists = ids.into_iter();
        let items =
            lists.map(|(kind, list)| Item { lines: Vec::new(), text: kind.to_owned(), list }).collect();
        tables
            .insert("uidgid".to_owned(), Table { header: "[uidgid]".to_owned(), items, ..Table::default() });
    }
    let mut tables: Vec<Table> = in_order(tables);
    if !other.is_empty() {
        let header = format!("#{OTHER_REMARK}\n[other]");
        tables.push(Table { header, items: other, ..Table::default() });
    }
    let mut attached = Attached::new(outline, &tables.iter().flat_map(Table::lines).collect());
    let mut text = String::new();
    for mut table in tables {
        table.items.sort_by_cached_key(|item| {
            let listed = item.list.iter().map(|(line, _)| *line).min();
            (item.lines.first().copied().or(listed), item.text.clone())
        });
        section(&mut text, &table, &mut attached);
    }
    let rest = attached.rest();
    if !rest.is_empty() && !text.is_empty() {
        text.push('\n');
    }
    remarks(&mut text, &rest);
    text
}

/// The tables in the order of the file. A table comes before its inner tables; nodes are ordered by position.
fn in_order(tables: BTreeMap<String, Table>) -> Vec<Table> {
    let section = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let mut firsts: BTreeMap<String, Place> = BTreeMap::new();
    for (name, table) in &tables {
        let place = firsts.entry(section(name)).or_insert(NOWHERE);
        *place = table.first().min(*place);
    }
    let mut tables: Vec<_> = tables.into_iter().collect();
    tables.sort_by_cached_key(|(name, table)| {
        let section = section(name);
        let line = if name.starts_with("nodelist.node.") { 0 } else { table.first() };
        (firsts[&section], section, name.contains('.'), line, table.position, name.clone())
    });
    tables.into_iter().map(|(_, table)| table).collect()
}

fn section(text: &mut String, table: &Table, attached: &mut Attached) {
    if !text.is_empty() {
        text.push('\n');
    }
    remarks(text, &attached.take_outside(&[table.first()]));
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "{}", table.header);
    let said = attached.take(&table.says);
    remarks(text, &said.outside);
    if !said.before.is_empty() {
        remarks(text, &said.before);
        // A comment needs a setting that it stands with.
        let _ = writeln!(text, "{}", table.said);
    }
    let mut items = table.head.iter().chain(&table.items).peekable();
    while let Some(item) = items.next() {
        let after = if item.list.is_empty() {
            let taken = attached.take(&item.lines);
            remarks(text, &taken.outside);
            remarks(text, &taken.before);
            let _ = writeln!(text, "{}", item.text);
            taken.after
        } else {
            list(text, item, attached)
        };
        remarks_behind(text, &after, items.peek().is_some());
    }
    remarks(text, &said.after);
}

/// Writes comments after a line. An empty line separates them from what follows.
fn remarks_behind(text: &mut String, comments: &[String], something_follows: bool) {
    remarks(text, comments);
    if something_follows && !comments.is_empty() {
        text.push('\n');
    }
}

/// Writes a list, on one line unless there are comments between its values. Returns the comments after it.
fn list(text: &mut String, item: &Item, attached: &mut Attached) -> Vec<String> {
    let mut taken: Vec<_> = item.list.iter().map(|(line, _)| attached.take(&[*line])).collect();
    let last = taken.last_mut().map(|taken| std::mem::take(&mut taken.after)).unwrap_or_default();
    if let Some(first) = taken.first_mut() {
        remarks(text, &std::mem::take(&mut first.outside));
        remarks(text, &std::mem::take(&mut first.before));
    }
    let is_bare =
        |taken: &Taken| [&taken.outside, &taken.before, &taken.after].iter().all(|all| all.is_empty());
    if taken.iter().all(is_bare) {
        let values: Vec<&str> = item.list.iter().map(|(_, value)| value.as_str()).collect();
        let _ = writeln!(text, "{} = [{}]", item.text, values.join(", "));
    } else {
        let _ = writeln!(text, "{} = [", item.text);
        for (taken, (_, value)) in taken.iter().zip(&item.list) {
            remarks(text, &taken.outside);
            remarks(text, &taken.before);
            let _ = writeln!(text, "    {value},");
            remarks_behind(text, &taken.after, true);
        }
        let _ = writeln!(text, "]");
    }
    last
}

fn remarks(text: &mut String, comments: &[String]) {
    for comment in comments {
        let _ = writeln!(text, "#{comment}");
    }
}

/// The key `uid` or `gid`, and the number.
fn uidgid<'a>(name: &'a str, value: &Value) -> Option<(&'a str, &'a str)> {
    let (kind, id) = name.strip_prefix("uidgid.config.")?.split_once('.')?;
    (matches!(kind, "uid" | "gid") && canonical(id).is_some() && *value == Value::U8(1)).then_some((kind, id))
}

/// The place of a setting in TOML.
struct At {
    /// The name of the table.
    table: String,
    header: String,
    /// The number of the link, if the table describes one.
    link: Option<u32>,
    position: u32,
    /// The line `key = value`; `None` if the table's header contains the setting.
    item: Option<String>,
}

fn place(what: &Converting<'_>, name: &str, entry: &Entry, nodes: u32) -> Option<At> {
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
        return Some(At { table: table.to_owned(), header, link: None, position: 0, item });
    }
    let item = format!("{own} = {}", typed(known, &entry.value)?);
    if let Some(position) = table.strip_prefix("nodelist.node.") {
        let position = canonical(position).filter(|position| *position < nodes)?;
        let header = "[[nodelist.node]]".to_owned();
        return Some(At { table: table.to_owned(), header, link: None, position, item: Some(item) });
    }
    if let Some(link) = table.strip_prefix("totem.interface.") {
        let position = canonical(link).filter(|link| *link < LINK_LIMIT)?;
        let header = "[[totem.interface]]".to_owned();
        let link = Some(position);
        return Some(At { table: table.to_owned(), header, link, position, item: Some(item) });
    }
    (known.name == name).then(|| simple(table, item))
}

fn simple(table: &str, item: String) -> At {
    let header = format!("[{table}]");
    At { table: table.to_owned(), header, link: None, position: 0, item: Some(item) }
}

/// The value in the form that TOML has for this setting.
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

/// The value as a string of one line; `None` if it is not one.
fn plain(value: &Value) -> Option<String> {
    let Value::Text(text) = value else { return None };
    let text = str::from_utf8(text).ok()?;
    (!text.contains(['\0', '\n', '\r'])).then(|| quoted(text))
}

/// Any value: a text as a string, anything else as its bytes.
fn verbatim(value: &Value) -> String {
    match value {
        Value::Text(text) => plain(value).unwrap_or_else(|| {
            let bytes: Vec<String> = text.iter().map(ToString::to_string).collect();
            format!("[{}]", bytes.join(", "))
        }),
        other => quoted(&other.to_string()),
    }
}

/// A key for TOML, in quotes if needed.
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
