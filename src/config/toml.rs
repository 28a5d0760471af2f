//! `corosync.toml`: the settings of `corosync.conf` under the same names, in TOML.
//!
//! The section names are tables; nodes are `[[nodelist.node]]` (or `[[node]]`), links `[[totem.interface]]`,
//! subsystems `[logging.logger_subsys.NAME]`. Yes/no and on/off settings also accept `true` and `false`; `uid` and
//! `gid` accept lists. Unlike in `corosync.conf`, an unknown name is an error, and `totem.version` may be omitted. A
//! file for transport knet without settings for encryption uses aes256 and sha256. Settings without a place here are
//! in the table `other` under their full names, with the values that `corosync.conf` would have: a text, or a list of
//! bytes if it is not a text.
//!
//! Corosync has no such format.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::error::{Complaint, ConfigError};
use super::host::Host;
use super::keys::{self, KEYS, Key, Kind};
use super::map::{Map, Origin, Value};
use super::sections::{self, LINK_LIMIT};
use super::uidgid::Account;

/// Sections that may contain any key, because other programs read them.
pub(super) const OPEN: &[&str] =
    &["quorum.device.net", "quorum.device.heuristics", "resources.process", "nozzle", "pload"];

/// Most nested tables.
const DEPTH_LIMIT: usize = 16;

/// Reads a whole file.
///
/// # Errors
/// The first error, with its line and the allowed values.
pub(super) fn parse(text: &[u8], path: &Path, host: &dyn Host) -> Result<Map, ConfigError> {
    let lines = Lines::new(text);
    let Ok(text) = str::from_utf8(text) else {
        let good = str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
        return Err(Complaint::new("not UTF-8").at(path, lines.number(good)));
    };
    let tree: Tree = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.number(span.start));
        let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
        Complaint::new(message).at(path, line)
    })?;
    let mut reader = Reader { map: Map::default(), host, file: Arc::new(PathBuf::from(path)), lines };
    let Tree::Table(sections) = tree else {
        return Err(Complaint::new("not a table").at(path, 1));
    };
    reader.sections(&sections).map_err(|(complaint, offset)| {
        let line = reader.lines.number(offset);
        complaint.at(path, line)
    })?;
    let mut map = reader.map;
    map.derive_missing("totem.version", Value::U32(2));
    if is_silent_on_encryption(&map) {
        map.default_to("totem.crypto_cipher", Value::text("aes256"));
        map.default_to("totem.crypto_hash", Value::text("sha256"));
    }
    Ok(map)
}

/// Whether a file has a transport that can encrypt but no settings for encryption. Then everything is encrypted with
/// `corosync.toml`, and nothing with `corosync.conf`.
pub(super) fn is_silent_on_encryption(map: &Map) -> bool {
    let is_knet = map.text("totem.transport").is_none_or(|word| word == "knet");
    let said = ["totem.secauth", "totem.crypto_cipher", "totem.crypto_hash"];
    is_knet && said.into_iter().all(|name| map.entry(name).is_none())
}

/// Any TOML value, with the positions of all its parts.
#[derive(Debug)]
enum Tree {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Spanned<Self>>),
    Table(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl Tree {
    const fn what(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a fraction",
            Self::Bool(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, number, truth value, list or table")
            }

            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Text(text.to_owned()))
            }

            fn visit_string<E>(self, text: String) -> Result<Tree, E> {
                Ok(Tree::Text(text))
            }

            fn visit_i64<E>(self, n: i64) -> Result<Tree, E> {
                Ok(Tree::Integer(n))
            }

            fn visit_f64<E>(self, n: f64) -> Result<Tree, E> {
                Ok(Tree::Float(n))
            }

            fn visit_bool<E>(self, is: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(is))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = seq.next_element()? {
                    all.push(one);
                }
                Ok(Tree::List(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut all = Vec::new();
                while let Some(key) = map.next_key()? {
                    all.push((key, map.next_value()?));
                }
                Ok(Tree::Table(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// The positions at which the lines of a text begin.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(text: &[u8]) -> Self {
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Number, from 1, of the line that contains a byte.
    fn number(&self, offset: usize) -> u32 {
        u32::try_from(self.starts.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }
}

/// The table of settings without a place of their own.
const OTHER: &str = "other";

fn byte_of(tree: &Tree) -> Option<u8> {
    match tree {
        Tree::Integer(n) => u8::try_from(*n).ok(),
        Tree::Text(_) | Tree::Float(_) | Tree::Bool(_) | Tree::List(_) | Tree::Table(_) => None,
    }
}

/// An error and the position of the byte that it concerns.
type Failed = (Complaint, usize);
type Entries = [(Spanned<String>, Spanned<Tree>)];

struct Reader<'a> {
    map: Map,
    host: &'a dyn Host,
    file: Arc<PathBuf>,
    lines: Lines,
}

impl Reader<'_> {
    fn sections(&mut self, sections: &Entries) -> Result<(), Failed> {
        for (key, value) in sections {
            let at = key.span().start;
            match (key.get_ref().as_str(), value.get_ref()) {
                ("node", Tree::List(nodes)) => self.nodes(nodes)?,
                ("uidgid", Tree::Table(entries)) => self.uidgid(entries)?,
                (OTHER, Tree::Table(_)) => {} // below
                (name, Tree::Table(entries)) if is_section(name) => self.table(name, entries, 1)?,
                (name, other) if is_section(name) || matches!(name, "node" | "uidgid") => {
                    let form = if name == "node" { "[[node]]" } else { &format!("[{name}]") };
                    let message = format!("{name}: expected {form}, found {}", other.what());
                    return Err((Complaint::new(message), at));
                }
                (name, _) => return Err((unknown("", name), at)),
            }
        }
        for (key, value) in sections {
            if let (OTHER, Tree::Table(entries)) = (key.get_ref().as_str(), value.get_ref()) {
                self.other(entries)?;
            }
        }
        Ok(())
    }

    /// Reads settings under their full names, with the rules of `corosync.conf`.
    fn other(&mut self, entries: &Entries) -> Result<(), Failed> {
        for (key, value) in entries {
            let at = key.span().start;
            let name = key.get_ref().as_str();
            if self.map.entry(name).is_some() {
                let complaint = Complaint::new(format!("{name} is set twice"));
                return Err((complaint.hint("it stands in its own table and in [other]"), at));
            }
            let text = match value.get_ref() {
                Tree::Text(text) => Some(text.clone().into_bytes()),
                Tree::List(bytes) => bytes.iter().map(|byte| byte_of(byte.get_ref())).collect(),
                Tree::Integer(_) | Tree::Float(_) | Tree::Bool(_) | Tree::Table(_) => None,
            };
            let Some(text) = text.filter(|text| !text.contains(&0) && !text.contains(&b'\n')) else {
                let complaint = Complaint::new(format!("{name}: expected a text, or a list of its bytes"));
                return Err((
                    complaint.hint("write numbers in quotes; a text has no line break and no NUL"),
                    at,
                ));
            };
            let value = match keys::find(name) {
                Some(known) => sections::typed(known, name.as_bytes(), &text),
                None => Ok(Value::Text(text)),
            };
            self.store(name, value.map_err(|complaint| (complaint, at))?, at)?;
        }
        Ok(())
    }

    /// Reads a table whose keys are settings named `path.key`, or tables of such settings.
    fn table(&mut self, path: &str, entries: &Entries, depth: usize) -> Result<(), Failed> {
        for (key, value) in entries {
            let at = key.span().start;
            if depth >= DEPTH_LIMIT {
                return Err((Complaint::new(format!("tables are nested more than {DEPTH_LIMIT} deep")), at));
            }
            let name = format!("{path}.{}", key.get_ref());
            let open = OPEN.iter().any(|open| path.starts_with(open));
            match (name.as_str(), value.get_ref()) {
                ("totem.interface", Tree::List(links)) => self.links(links)?,
                ("nodelist.node", Tree::List(nodes)) => self.nodes(nodes)?,
                ("logging.logger_subsys", Tree::Table(all)) => self.subsystems(all)?,
                ("totem.interface" | "nodelist.node" | "logging.logger_subsys", other) => {
                    let form = match name.as_str() {
                        "logging.logger_subsys" => "[logging.logger_subsys.NAME]".to_owned(),
                        _ => format!("[[{name}]]"),
                    };
                    let message = format!("{name}: expected {form}, found {}", other.what());
                    return Err((Complaint::new(message), at));
                }
                (_, Tree::Table(inner)) if open || is_section(&name) => {
                    self.table(&name, inner, depth + 1)?;
                }
                (_, value) if open => {
                    let value = free(&name, value).map_err(|complaint| (complaint, at))?;
                    self.store(&name, value, at)?;
                }
                (_, value) => self.setting(path, key.get_ref(), &name, value, at)?,
            }
        }
        Ok(())
    }

    fn setting(&mut self, path: &str, key: &str, name: &str, value: &Tree, at: usize) -> Result<(), Failed> {
        if is_section(name) {
            let message = format!("{name}: expected [{name}], found {}", value.what());
            return Err((Complaint::new(message), at));
        }
        let Some(known) = keys::find(name) else { return Err((unknown(path, key), at)) };
        let value = typed(known, name, value).map_err(|complaint| (complaint, at))?;
        self.store(name, value, at)
    }

    fn store(&mut self, name: &str, value: Value, at: usize) -> Result<(), Failed> {
        let origin = Origin::File { path: Arc::clone(&self.file), line: self.lines.number(at) };
        self.map.set(name.as_bytes(), value, origin).map_err(|why| {
            let message = format!("{name}: cannot be stored ({why})");
            (Complaint::new(message).hint("a name has 3 to 255 characters of A-Z a-z 0-9 . _ - / :"), at)
        })
    }

    fn nodes(&mut self, nodes: &[Spanned<Tree>]) -> Result<(), Failed> {
        if self.map.with_prefix("nodelist.node.").next().is_some() {
            let at = nodes.first().map_or(0, |node| node.span().start);
            return Err((Complaint::new("nodes stand both in [[node]] and in [[nodelist.node]]"), at));
        }
        for (position, node) in nodes.iter().enumerate() {
            let at = node.span().start;
            let Tree::Table(entries) = node.get_ref() else {
                let message = format!("node: expected a table, found {}", node.get_ref().what());
                return Err((Complaint::new(message), at));
            };
            if !entries.iter().any(|(key, _)| key.get_ref() == "ring0_addr") {
                let complaint = Complaint::new(format!("node {position} has no ring0_addr"));
                return Err((complaint.hint("every node needs an address: ring0_addr = \"10.0.0.1\""), at));
            }
            self.table(&format!("nodelist.node.{position}"), entries, 2)?;
        }
        Ok(())
    }

    fn links(&mut self, links: &[Spanned<Tree>]) -> Result<(), Failed> {
        let mut seen = Vec::new();
        for link in links {
            let at = link.span().start;
            let Tree::Table(entries) = link.get_ref() else {
                let message = format!("totem.interface: expected a table, found {}", link.get_ref().what());
                return Err((Complaint::new(message), at));
            };
            let mut number = 0;
            for (key, value) in entries.iter().filter(|(key, _)| key.get_ref() == "linknumber") {
                match value.get_ref() {
                    Tree::Integer(n) if (0..i64::from(LINK_LIMIT)).contains(n) => number = *n,
                    _ => {
                        let message = format!("totem.interface.linknumber: expected 0 to {}", LINK_LIMIT - 1);
                        return Err((Complaint::new(message), key.span().start));
                    }
                }
            }
            if seen.contains(&number) {
                let message = format!("totem.interface: link {number} is described twice");
                return Err((Complaint::new(message).hint("give each its own linknumber"), at));
            }
            seen.push(number);
            for (key, value) in entries.iter().filter(|(key, _)| key.get_ref() != "linknumber") {
                let path = format!("totem.interface.{number}");
                let name = format!("{path}.{}", key.get_ref());
                self.setting(&path, key.get_ref(), &name, value.get_ref(), key.span().start)?;
            }
        }
        Ok(())
    }

    fn subsystems(&mut self, all: &Entries) -> Result<(), Failed> {
        for (subsystem, value) in all {
            let at = subsystem.span().start;
            let path = format!("logging.logger_subsys.{}", subsystem.get_ref());
            let Tree::Table(entries) = value.get_ref() else {
                let message = format!("{path}: expected a table, found {}", value.get_ref().what());
                return Err((Complaint::new(message), at));
            };
            if subsystem.get_ref().contains('.') {
                let complaint = Complaint::new(format!("{path}: a subsystem's name has no dot"));
                return Err((complaint, at));
            }
            for (key, value) in entries {
                if key.get_ref() == "subsys" {
                    if !matches!(value.get_ref(), Tree::Text(name) if name == subsystem.get_ref()) {
                        let message = format!("{path}.subsys: differs from the table's name");
                        return Err((Complaint::new(message).hint("leave it out"), key.span().start));
                    }
                    continue;
                }
                let name = format!("{path}.{}", key.get_ref());
                self.setting(&path, key.get_ref(), &name, value.get_ref(), key.span().start)?;
            }
            self.store(&format!("{path}.subsys"), Value::text(subsystem.get_ref()), at)?;
        }
        Ok(())
    }

    fn uidgid(&mut self, entries: &Entries) -> Result<(), Failed> {
        for (key, value) in entries {
            let own = key.get_ref().as_str();
            let at = key.span().start;
            let Some(account) = Account::of_key(own.as_bytes()) else {
                return Err((unknown("uidgid", own), at));
            };
            let one = std::slice::from_ref(value);
            let all = match value.get_ref() {
                Tree::List(all) => all.as_slice(),
                Tree::Text(_) | Tree::Integer(_) | Tree::Float(_) | Tree::Bool(_) | Tree::Table(_) => one,
            };
            for entry in all {
                let at = entry.span().start;
                let id = match entry.get_ref() {
                    Tree::Integer(n) => match u32::try_from(*n) {
                        Ok(id) => Some(account.numbered(id).map_err(|complaint| (complaint, at))?),
                        Err(_) => None,
                    },
                    Tree::Text(name) => account.named(name, self.host),
                    other @ (Tree::Float(_) | Tree::Bool(_) | Tree::List(_) | Tree::Table(_)) => {
                        let message =
                            format!("uidgid.{own}: expected a name or number, found {}", other.what());
                        return Err((Complaint::new(message), at));
                    }
                };
                let Some(id) = id else {
                    let complaint = Complaint::new(format!("uidgid.{own}: no such {}", account.name()));
                    return Err((complaint.hint("give a name that this host knows, or a number"), at));
                };
                self.store(&format!("uidgid.config.{own}.{id}"), Value::U8(1), at)?;
            }
        }
        Ok(())
    }
}

/// Whether there are settings that begin with `name.`.
fn is_section(name: &str) -> bool {
    OPEN.contains(&name) || KEYS.iter().any(|key| begins_with(key.name, name))
}

/// Whether `path`, which may contain `*`, has the prefix `prefix` and at least one more part.
fn begins_with(path: &str, prefix: &str) -> bool {
    let parts = prefix.split('.').count();
    let mut rest = path.split('.');
    let head: Vec<&str> = rest.by_ref().take(parts).collect();
    rest.next().is_some() && keys::matches(&head.join("."), prefix)
}

/// The names that may stand in a section; at top level the sections.
fn known_in(path: &str) -> Vec<&'static str> {
    let mut known = Vec::new();
    let skip = if path.is_empty() { 0 } else { path.split('.').count() };
    for key in KEYS.iter().filter(|key| path.is_empty() || begins_with(key.name, path)) {
        if let Some(part) = key.name.split('.').nth(skip)
            && !known.contains(&part)
        {
            known.push(part);
        }
    }
    match path {
        "" => known.extend(["node", "uidgid", "nozzle", "pload"]),
        "uidgid" => known.extend(["uid", "gid"]),
        _ if keys::matches("totem.interface.*", path) => known.push("linknumber"),
        _ => {}
    }
    known
}

fn unknown(path: &str, key: &str) -> Complaint {
    let known = known_in(path);
    let place = if path.is_empty() { String::new() } else { format!(" in {path}") };
    let mut hint = String::new();
    if let Some(meant) = keys::nearest(key, known.iter().copied()) {
        hint = format!("did you mean {meant}?\n");
    }
    hint += &format!("allowed: {}", known.join(", "));
    Complaint::new(format!("unknown name {key:?}{place}")).hint(hint)
}

/// The value with the type of its setting.
fn typed(key: &Key, name: &str, value: &Tree) -> Result<Value, Complaint> {
    if let Some((min, max)) = key.kind.range() {
        let number = match value {
            Tree::Integer(n) => Some(i128::from(*n)),
            Tree::Bool(is) if is_flag(key) => Some(i128::from(*is)),
            Tree::Text(word) if name == "totem.token" && word == "auto" => Some(0),
            Tree::Bool(_) | Tree::Text(_) | Tree::Float(_) | Tree::List(_) | Tree::Table(_) => None,
        };
        let Some(n) = number.filter(|n| (min..=max).contains(n)) else {
            let found = match value {
                Tree::Integer(n) => n.to_string(),
                other => other.what().to_owned(),
            };
            let or_flag = if is_flag(key) { ", or true or false" } else { "" };
            let message = format!("{name}: expected a whole number {min}..{max}{or_flag}, found {found}");
            return Err(Complaint::new(message).hint(key.what));
        };
        // The range was checked above, so no cast loses a value.
        return Ok(match key.kind {
            Kind::U8 => Value::U8(n as u8),
            Kind::U16 => Value::U16(n as u16),
            Kind::I32 => Value::I32(n as i32),
            Kind::U32 => Value::U32(n as u32),
            Kind::U64 | Kind::Text => Value::U64(n as u64),
        });
    }
    let word = match value {
        Tree::Text(text) => text.clone(),
        Tree::Bool(is) if key.words.contains(&"yes") => if *is { "yes" } else { "no" }.to_owned(),
        Tree::Bool(is) if key.words.contains(&"on") => if *is { "on" } else { "off" }.to_owned(),
        Tree::Integer(n) if may_be_number(key) => n.to_string(),
        Tree::Float(n) if may_be_number(key) => n.to_string(),
        Tree::Bool(_) | Tree::Integer(_) | Tree::Float(_) | Tree::List(_) | Tree::Table(_) => {
            let message = format!("{name}: expected a text, found {}", value.what());
            let allowed = if key.words.is_empty() { key.what.to_owned() } else { words(key) };
            return Err(Complaint::new(message).hint(allowed));
        }
    };
    if !key.words.is_empty() && !key.words.contains(&word.as_str()) {
        let mut hint = words(key);
        if let Some(meant) = keys::nearest(&word, key.words.iter().copied()) {
            hint += &format!("\ndid you mean {meant:?}?");
        }
        return Err(Complaint::new(format!("{name}: {word:?} is not allowed")).hint(hint));
    }
    plain(name, word)
}

/// The text as a value. Refuses NUL and line ends, which end a text in the database and in `corosync.conf`.
fn plain(name: &str, text: String) -> Result<Value, Complaint> {
    if text.contains(['\0', '\n', '\r']) {
        return Err(Complaint::new(format!("{name}: a text may not contain a line break or a NUL")));
    }
    Ok(Value::text(text))
}

/// The value in a section that may contain any key.
fn free(name: &str, value: &Tree) -> Result<Value, Complaint> {
    match value {
        Tree::Text(text) => plain(name, text.clone()),
        Tree::Integer(n) => Ok(Value::text(n.to_string())),
        Tree::Float(n) => Ok(Value::text(n.to_string())),
        Tree::Bool(is) => Ok(Value::text(if *is { "on" } else { "off" })),
        Tree::List(_) | Tree::Table(_) => {
            Err(Complaint::new(format!("{name}: expected a text or number, found {}", value.what())))
        }
    }
}

/// Whether a setting of section quorum is a number in the database but means yes or no.
fn is_flag(key: &Key) -> bool {
    key.kind == Kind::U8 && key.name.starts_with("quorum.")
}

/// Whether a setting is a text that usually contains a number.
fn may_be_number(key: &Key) -> bool {
    matches!(key.name, "system.priority" | "quorum.auto_tie_breaker_node") || key.name.ends_with(".max")
}

fn words(key: &Key) -> String {
    let mut words = format!("allowed: {}", key.words.join(", "));
    if key.words.contains(&"yes") || key.words.contains(&"on") {
        words += ", true, false";
    }
    words
}
