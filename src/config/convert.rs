//! From `corosync.conf` to `corosync.toml` and back, without loss.
//!
//! Not the text is converted but what it means, the [`Map`]: so sections that were repeated are one, a key
//! that was set twice stands once, and what comes out means the same, which is checked before it is given out.
//! What TOML has no place for, such as keys that no table knows, goes into the table `other`; in
//! `corosync.conf` it becomes a line with its full name at the top level. Names of users and groups stay names.
//!
//! Comments are kept: each before the setting that it stood before, those at the end at the end.

mod comments;
#[cfg(test)]
mod tests;
mod to_conf;
mod to_toml;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use super::error::ConfigError;
use super::host::{Host, LocalAddress};
use super::map::{Entry, Map, Origin};
use super::{parse_conf, toml, uidgid_files};
use comments::Comments;

/// The text of a `corosync.conf` as that of a `corosync.toml`; `path` is for messages.
///
/// # Errors
/// It cannot be read, or has no `totem.version`.
pub fn conf_to_toml(text: &[u8], path: &Path, host: &dyn Host) -> Result<String, ConfigError> {
    from_conf(text, path, host, Vec::new())
}

/// As [`conf_to_toml`], of a file that was read, with the files of `uidgid.d` beside it, which are not read
/// beside a `corosync.toml`.
///
/// # Errors
/// As there.
pub fn conf_file_to_toml(text: &[u8], path: &Path, host: &dyn Host) -> Result<String, ConfigError> {
    from_conf(text, path, host, uidgid_files(path)?)
}

fn from_conf(
    text: &[u8],
    path: &Path,
    host: &dyn Host,
    others: Vec<(std::path::PathBuf, Vec<u8>)>,
) -> Result<String, ConfigError> {
    let host = Remembering::new(host);
    let mut map = Map::default();
    parse_conf(text, path, &host, &mut map, false)?;
    for (file, text) in others {
        parse_conf(&text, &file, &host, &mut map, true)?;
    }
    if map.entry("totem.version").is_none() {
        return Err(ConfigError::rule(format!("{}: totem.version is missing", path.display()))
            .hint("write `version: 2` into section totem"));
    }
    let written = to_toml::write(&Converting { map: &map, path, host: &host }, Comments::of_conf(text));
    let read = toml::parse(written.as_bytes(), Path::new("the converted text"), &host)?;
    compare(&map, &read)?;
    Ok(written)
}

/// The text of a `corosync.toml` as that of a `corosync.conf`; `path` is for messages.
///
/// # Errors
/// It cannot be read, or holds something that `corosync.conf` cannot: a `{` in a value, say.
pub fn toml_to_conf(text: &[u8], path: &Path, host: &dyn Host) -> Result<Vec<u8>, ConfigError> {
    let host = Remembering::new(host);
    let map = toml::parse(text, path, &host)?;
    let written = to_conf::write(&Converting { map: &map, path, host: &host }, Comments::of_toml(text));
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

/// Whether both mean the same; where a setting comes from does not matter.
fn compare(wanted: &Map, got: &Map) -> Result<(), ConfigError> {
    let values = |map: &Map| -> BTreeMap<String, super::map::Value> {
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
            let shown = |map: &BTreeMap<String, super::map::Value>| {
                map.get(name).map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"))
            };
            Err(ConfigError::rule(format!("{name} would change: from {} to {}", shown(&wanted), shown(&got))))
        }
    }
}

/// What is converted.
struct Converting<'a> {
    map: &'a Map,
    path: &'a Path,
    host: &'a Remembering<'a>,
}

impl Converting<'_> {
    /// The line of the main file in which an item stands; after all others if it stands elsewhere.
    fn line(&self, entry: &Entry) -> u32 {
        match &entry.origin {
            Origin::File { path, line } if path.as_path() == self.path => *line,
            Origin::File { .. } | Origin::Default | Origin::Derived => u32::MAX,
        }
    }

    /// The comments, each given to the setting that it stood before.
    fn attach(&self, comments: Comments) -> comments::Attached {
        comments.attach(
            &self.map.iter().map(|(_, entry)| self.line(entry)).filter(|line| *line < u32::MAX).collect(),
        )
    }
}

/// A number as the file formats write it, so that it can be read back to the same name.
fn canonical(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// How many nodes, from 0 on without a gap, have these settings: for each node its settings are given to
/// `fits`.
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

/// A host that knows afterwards by which names users and groups were called.
struct Remembering<'a> {
    host: &'a dyn Host,
    users: RefCell<BTreeMap<u32, String>>,
    groups: RefCell<BTreeMap<u32, String>>,
}

impl<'a> Remembering<'a> {
    fn new(host: &'a dyn Host) -> Self {
        Self { host, users: RefCell::default(), groups: RefCell::default() }
    }

    /// The name by which a `uid` or `gid` was called.
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
