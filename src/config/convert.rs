//! Converts `corosync.conf` to `corosync.toml` and back, without loss.
//!
//! The meaning is converted, not the text: that is, the [`Map`]. So repeated sections become one, and a key that was
//! set twice appears once. The output is checked to have the same meaning before it is returned. Settings without a
//! place in TOML, such as unknown keys, go into the table `other`; in `corosync.conf` they become lines with their
//! full name at top level. If a file does not mention encryption, the default of its format is written out. Names of
//! users and groups are kept as names.
//!
//! Every comment is kept: with the setting or section that it stood before, or at the end of its section or file.

mod comments;
mod outline;
#[cfg(test)]
mod tests;
mod to_conf;
mod to_toml;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::host::{Host, LocalAddress};
use super::map::{Entry, Map, Origin, Value};
use super::{parse_conf, toml, uidgid_files};
use outline::{Outline, Place, place};

/// Converts the text of a `corosync.conf` to a `corosync.toml`; `path` is for messages.
///
/// # Errors
/// The text is invalid, or has no `totem.version`.
pub fn conf_to_toml(text: &[u8], path: &Path, host: &dyn Host) -> Result<String, ConfigError> {
    from_conf(text, path, host, Vec::new())
}

/// As [`conf_to_toml`], for a file: includes the files of `uidgid.d` beside it, which are not read with a
/// `corosync.toml`.
///
/// # Errors
/// As [`conf_to_toml`].
pub fn conf_file_to_toml(text: &[u8], path: &Path, host: &dyn Host) -> Result<String, ConfigError> {
    from_conf(text, path, host, uidgid_files(path)?.read)
}

fn from_conf(
    text: &[u8],
    path: &Path,
    host: &dyn Host,
    others: Vec<(PathBuf, Vec<u8>)>,
) -> Result<String, ConfigError> {
    let host = Remembering::new(host);
    let (mut map, mut outline) = (Map::default(), Outline::new());
    parse_conf(text, path, &host, &mut map, false)?;
    outline.add_conf(text, 0);
    let mut files = vec![path.to_owned()];
    for (file, text) in others {
        parse_conf(&text, &file, &host, &mut map, true)?;
        outline.add_conf(&text, files.len());
        files.push(file);
    }
    outline.end();
    if map.entry("totem.version").is_none() {
        return Err(ConfigError::rule(format!("{}: totem.version is missing", path.display()))
            .hint("write `version: 2` into section totem"));
    }
    if toml::is_silent_on_encryption(&map) {
        map.derive("totem.crypto_cipher", Value::text("none"));
    }
    let written = to_toml::write(&Converting { map: &map, files: &files, host: &host }, outline);
    let read = toml::parse(written.as_bytes(), Path::new("the converted text"), &host)?;
    compare(&map, &read)?;
    Ok(written)
}

/// Converts the text of a `corosync.toml` to a `corosync.conf`; `path` is for messages.
///
/// # Errors
/// The text is invalid, or contains something that `corosync.conf` cannot express, such as a `{` in a value.
pub fn toml_to_conf(text: &[u8], path: &Path, host: &dyn Host) -> Result<Vec<u8>, ConfigError> {
    let host = Remembering::new(host);
    let map = toml::parse(text, path, &host)?;
    let mut outline = Outline::new();
    outline.add_toml(text, 0);
    outline.end();
    let written = to_conf::write(&Converting { map: &map, files: &[path.to_owned()], host: &host }, outline);
    let mut read = Map::default();
    let place = Path::new("the converted text");
    let parsed = parse_conf(&written, place, &host, &mut read, false);
    parsed.and_then(|()| compare(&map, &read)).map_err(|error| {
        let mut refused =
            ConfigError::rule(format!("{}: not everything can be written as corosync.conf", path.display()));
        refused.hint = Some(error.to_string());
        refused
    })?;
    Ok(written)
}

/// Checks that both maps have the same meaning, regardless of the origin of their settings.
fn compare(wanted: &Map, got: &Map) -> Result<(), ConfigError> {
    let values = |map: &Map| -> BTreeMap<String, Value> {
        map.iter().map(|(name, entry)| (name.to_owned(), entry.value.clone())).collect()
    };
    let (wanted, got) = (values(wanted), values(got));
    let differs = wanted
        .iter()
        .find(|(name, value)| got.get(*name) != Some(*value))
        .or_else(|| got.iter().find(|(name, _)| !wanted.contains_key(*name)));
    match differs {
        None => Ok(()),
        Some((name, _)) => {
            let shown = |map: &BTreeMap<String, Value>| {
                map.get(name).map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"))
            };
            Err(ConfigError::rule(format!("{name} would change: from {} to {}", shown(&wanted), shown(&got))))
        }
    }
}

/// Sections whose keys the parser stores under other names; no other settings may be written into them.
const SPECIAL: &[&str] =
    &["uidgid", "totem.interface", "nodelist.node", "logging.logger_subsys", "logging.logging_daemon"];

/// The input of a conversion.
struct Converting<'a> {
    map: &'a Map,
    /// The file, and the files that belong to it.
    files: &'a [PathBuf],
    host: &'a Remembering<'a>,
}

/// After all lines: the place of settings that are in none of the files.
const NOWHERE: Place = Place::MAX;

impl Converting<'_> {
    /// The line of an item.
    fn line(&self, entry: &Entry) -> Place {
        match &entry.origin {
            Origin::File { path, line } => self
                .files
                .iter()
                .position(|file| file == path.as_path())
                .map_or(NOWHERE, |file| place(file, *line)),
            Origin::Default | Origin::Derived | Origin::DerivedFrom { .. } => NOWHERE,
        }
    }
}

/// A number in the form in which it can be read back to the same name.
fn canonical(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// The number of nodes, from 0 on without a gap, for whose settings `fits` is true.
fn nodes(map: &Map, fits: impl Fn(&[(&str, &Entry)]) -> bool) -> u32 {
    (0..)
        .find(|position| {
            let prefix = format!("nodelist.node.{position}.");
            let own: Vec<_> =
                map.with_prefix(&prefix).map(|(name, entry)| (&name[prefix.len()..], entry)).collect();
            own.is_empty() || !fits(&own)
        })
        .unwrap_or(0)
}

/// A host that remembers the names by which users and groups were looked up.
struct Remembering<'a> {
    host: &'a dyn Host,
    users: RefCell<BTreeMap<u32, String>>,
    groups: RefCell<BTreeMap<u32, String>>,
}

impl<'a> Remembering<'a> {
    fn new(host: &'a dyn Host) -> Self {
        Self { host, users: RefCell::default(), groups: RefCell::default() }
    }

    /// The name by which a `uid` or `gid` was looked up.
    fn called(&self, kind: &str, id: &str) -> Option<String> {
        let id = id.parse().ok()?;
        let names = if kind == "uid" { &self.users } else { &self.groups };
        names.borrow().get(&id).cloned()
    }
}

impl Host for Remembering<'_> {
    fn name(&self) -> String {
        self.host.name()
    }

    fn addresses(&self) -> Vec<LocalAddress> {
        self.host.addresses()
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        self.host.resolve(name)
    }

    fn reverse(&self, address: IpAddr) -> Option<String> {
        self.host.reverse(address)
    }

    fn user(&self, name: &str) -> Option<u32> {
        let id = self.host.user(name)?;
        self.users.borrow_mut().entry(id).or_insert_with(|| name.to_owned());
        Some(id)
    }

    fn group(&self, name: &str) -> Option<u32> {
        let id = self.host.group(name)?;
        self.groups.borrow_mut().entry(id).or_insert_with(|| name.to_owned());
        Some(id)
    }
}
