//! The meaning of the items of `corosync.conf`, section by section: their type, the name under which they are stored,
//! and checks of single values.
//!
//! Source: corosync `exec/coroparse.c`; the names are those of its configuration database.

use std::path::PathBuf;
use std::sync::Arc;

use super::conf::Sink;
use super::error::{Complaint, UNFORMATTED};
use super::host::Host;
use super::keys::{self, Key, Kind};
use super::map::{Map, Origin, Value};
use super::uidgid::Account;

/// Longest error text about a value, in bytes; Corosync fails to format a longer one.
const COMPLAINT_LIMIT: usize = 255;

/// Upper bound of link numbers, exclusive.
pub(super) const LINK_LIMIT: u32 = 8;

/// The rules within a section. A section that is not listed here has the rules of its enclosing section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rules {
    Plain,
    Interface,
    Member,
    Node,
    LoggerSubsys,
    LoggingDaemon,
    Uidgid,
    /// Top level of a file in `uidgid.d`, which may contain only `uidgid`.
    UidgidOnly,
}

/// Items that are kept until their section ends, because their names depend on a later item.
type Pending = Vec<(Vec<u8>, Vec<u8>, u32)>;

/// Fills a [`Map`] from the items of one file.
pub(super) struct Sections<'a> {
    map: &'a mut Map,
    host: &'a dyn Host,
    file: Arc<PathBuf>,
    rules: Vec<Rules>,
    /// Number of the next `node` section.
    node: u32,
    link: u32,
    interface: Vec<(String, Value, u32)>,
    members: Vec<(Vec<u8>, u32)>,
    subsys: Option<(Vec<u8>, u32)>,
    daemon: Option<(Vec<u8>, u32)>,
    logging: Pending,
}

impl<'a> Sections<'a> {
    /// For the main file, or, with `uidgid_only`, for a file of `uidgid.d`.
    pub(super) fn new(map: &'a mut Map, host: &'a dyn Host, file: Arc<PathBuf>, uidgid_only: bool) -> Self {
        Self {
            map,
            host,
            file,
            rules: vec![if uidgid_only { Rules::UidgidOnly } else { Rules::Plain }],
            node: 0,
            link: 0,
            interface: Vec::new(),
            members: Vec::new(),
            subsys: None,
            daemon: None,
            logging: Vec::new(),
        }
    }

    fn rules(&self) -> Rules {
        self.rules.last().copied().unwrap_or(Rules::Plain)
    }

    fn store(&mut self, name: &[u8], value: Value, line: u32) -> Result<(), Complaint> {
        let origin = Origin::File { path: Arc::clone(&self.file), line };
        self.map.set(name, value, origin).map_err(|why| {
            short(format!(
                "Can't store key \"{}\" into icmap, returned error is {why}",
                String::from_utf8_lossy(name)
            ))
            .hint("a name has 3 to 255 characters of A-Z a-z 0-9 . _ - / :")
            .about("name", own_part(name))
        })
    }

    /// Stores an item under `name`, with the type of that setting.
    fn store_typed(&mut self, name: &[u8], text: &[u8], line: u32) -> Result<(), Complaint> {
        let known = str::from_utf8(name).ok().and_then(keys::find);
        let value = match known {
            Some(known) => typed(known, name, text)?,
            None => Value::text(text),
        };
        self.store(name, value, line)
    }

    fn interface_item(&mut self, path: &[u8], text: &[u8], line: u32) -> Result<(), Complaint> {
        if path == b"totem.interface.linknumber" {
            let Value::U8(link) = integer(Kind::U8, path, text)? else { return Ok(()) };
            self.link = link.into();
            return Ok(());
        }
        let known = path
            .strip_prefix(b"totem.interface.")
            .and_then(|own| str::from_utf8(own).ok())
            .and_then(|own| Some((own.to_owned(), keys::find(&format!("totem.interface.0.{own}"))?)));
        match known {
            Some((own, known)) => {
                let value = typed(known, path, text)?;
                self.interface.retain(|(name, _, _)| *name != own);
                self.interface.push((own, value, line));
                Ok(())
            }
            None => self.store(path, Value::text(text), line),
        }
    }

    fn interface_end(&mut self) -> Result<(), Complaint> {
        let link = self.link;
        for (own, value, line) in self.interface.clone() {
            let name = format!("totem.interface.{link}.{own}");
            self.store(name.as_bytes(), value, line)?;
        }
        // Newest first, as Corosync numbers them.
        for (index, (address, line)) in self.members.clone().into_iter().rev().enumerate() {
            let name = format!("totem.interface.{link}.member.{index}");
            self.store(name.as_bytes(), Value::Text(address), line)?;
        }
        Ok(())
    }

    fn logger_subsys_end(&mut self) -> Result<(), Complaint> {
        let items = std::mem::take(&mut self.logging);
        let Some((subsys, at)) = self.subsys.take() else {
            return Err(Complaint::new("No subsys key in logger_subsys directive"));
        };
        let prefix = [b"logging.logger_subsys.", subsys.as_slice(), b"."].concat();
        self.store_first(&prefix, items)?;
        self.store(&[prefix.as_slice(), b"subsys"].concat(), Value::Text(subsys), at)
    }

    fn logging_daemon_end(&mut self) -> Result<(), Complaint> {
        let items = std::mem::take(&mut self.logging);
        let subsys = self.subsys.take();
        let Some((daemon, at_name)) = self.daemon.take() else {
            return Err(Complaint::new("No name key in logging_daemon directive"));
        };
        let mut prefix = b"logging.".to_vec();
        let ours = daemon == b"corosync";
        if !ours {
            prefix.extend_from_slice(b"logging_daemon.");
            prefix.extend_from_slice(&daemon);
            prefix.push(b'.');
        }
        if let Some((subsys, _)) = &subsys {
            if ours {
                prefix.extend_from_slice(b"logger_subsys.");
            }
            prefix.extend_from_slice(subsys);
            prefix.push(b'.');
        }
        self.store_first(&prefix, items)?;
        if let Some((subsys, at)) = subsys {
            self.store(&[prefix.as_slice(), b"subsys"].concat(), Value::Text(subsys), at)?;
        }
        if !ours {
            self.store(&[prefix.as_slice(), b"name"].concat(), Value::Text(daemon), at_name)?;
        }
        Ok(())
    }

    /// Stores items under `prefix`; if a key is repeated, the first is stored.
    fn store_first(&mut self, prefix: &[u8], items: Pending) -> Result<(), Complaint> {
        for (key, value, line) in items.into_iter().rev() {
            self.store(&[prefix, &key].concat(), Value::Text(value), line)?;
        }
        Ok(())
    }

    /// In the main file the key's own name decides, in a file of `uidgid.d` its full name, so that nothing may stand
    /// outside of a section there.
    fn uidgid_item(&mut self, path: &[u8], key: &[u8], text: &[u8], line: u32) -> Result<(), Complaint> {
        let key = if self.rules[0] == Rules::UidgidOnly {
            path.strip_prefix(b"uidgid.").unwrap_or_default()
        } else {
            key
        };
        let Some(account) = Account::of_key(key) else {
            return Err(Complaint::new("uidgid: Only uid and gid are allowed items")
                .hint("they stand in a section: `uidgid {`, `uid: NAME`, `}`"));
        };
        let name = String::from_utf8_lossy(text);
        let id = match number(text) {
            Some(id) => Some(account.numbered(id)?),
            None => account.named(&name, self.host),
        };
        let Some(id) = id else { return Err(short(account.unknown(&name)).about("value", text)) };
        self.store(format!("uidgid.config.{}.{id}", account.key()).as_bytes(), Value::U8(1), line)
    }
}

impl Sink for Sections<'_> {
    fn open(&mut self, path: &[u8], _line: u32) -> Result<(), Complaint> {
        let rules = match path {
            b"uidgid" => Rules::Uidgid,
            _ if matches!(self.rules(), Rules::UidgidOnly | Rules::Uidgid)
                && self.rules[0] == Rules::UidgidOnly =>
            {
                return Err(Complaint::new("uidgid: Can't add subsection different than uidgid"));
            }
            b"totem.interface" => {
                self.link = 0;
                self.interface.clear();
                self.members.clear();
                Rules::Interface
            }
            b"totem.interface.member" => Rules::Member,
            b"nodelist" => {
                self.node = 0;
                self.rules()
            }
            b"nodelist.node" => Rules::Node,
            b"logging.logger_subsys" => {
                self.subsys = None;
                self.logging.clear();
                Rules::LoggerSubsys
            }
            b"logging.logging_daemon" => {
                self.subsys = None;
                self.daemon = None;
                self.logging.clear();
                Rules::LoggingDaemon
            }
            _ => self.rules(),
        };
        self.rules.push(rules);
        Ok(())
    }

    fn item(&mut self, path: &[u8], key: &[u8], value: &[u8], line: u32) -> Result<(), Complaint> {
        match self.rules() {
            Rules::Plain => self.store_typed(path, value, line)?,
            Rules::Interface => self.interface_item(path, value, line)?,
            Rules::Member => {
                if key != b"memberaddr" {
                    return Err(Complaint::new("Only memberaddr is allowed in member section"));
                }
                self.members.push((value.to_vec(), line));
            }
            Rules::Node => {
                // The key's own name decides, even in an inner section.
                let name = [format!("nodelist.node.{}.", self.node).as_bytes(), key].concat();
                if name.len() > super::map::NAME_LIMIT {
                    return Err(Complaint::new("New key makes total cmap path too long"));
                }
                self.store_typed(&name, value, line)?;
            }
            Rules::LoggerSubsys | Rules::LoggingDaemon if key == b"subsys" => {
                self.subsys = Some((value.to_vec(), line));
            }
            Rules::LoggingDaemon if key == b"name" => self.daemon = Some((value.to_vec(), line)),
            Rules::LoggerSubsys | Rules::LoggingDaemon => {
                self.logging.push((key.to_vec(), value.to_vec(), line));
            }
            Rules::Uidgid | Rules::UidgidOnly => self.uidgid_item(path, key, value, line)?,
        }
        Ok(())
    }

    fn close(&mut self, _path: &[u8], _line: u32) -> Result<(), Complaint> {
        let rules = self.rules();
        self.rules.pop();
        match rules {
            Rules::Interface => self.interface_end()?,
            Rules::Node => self.node = self.node.saturating_add(1),
            Rules::LoggerSubsys => self.logger_subsys_end()?,
            Rules::LoggingDaemon => self.logging_daemon_end()?,
            Rules::Plain | Rules::Member | Rules::Uidgid | Rules::UidgidOnly => {}
        }
        Ok(())
    }
}

/// The value with the type of its setting, if the parser accepts it.
pub(super) fn typed(key: &Key, path: &[u8], text: &[u8]) -> Result<Value, Complaint> {
    if key.kind != Kind::Text {
        return integer(key.kind, path, text);
    }
    if !key.refusal.is_empty() && !key.words.iter().any(|word| word.as_bytes() == text) {
        let given = String::from_utf8_lossy(text);
        let mut hint = format!("{} was {given:?}; allowed: {}", key.name, key.words.join(", "));
        if let Some(meant) = keys::nearest(&given, key.words.iter().copied()) {
            hint += &format!("; did you mean {meant}?");
        }
        return Err(Complaint::new(key.refusal).hint(hint).about("value", text));
    }
    Ok(Value::text(text))
}

/// The last part of a full name that contains something unusual, so that "begins with" is true in the file.
fn own_part(name: &[u8]) -> &[u8] {
    let mut parts = name.split(|byte| *byte == b'.').rev();
    parts.find(|part| super::bytes::unusual(part).is_some()).unwrap_or(name)
}

fn integer(kind: Kind, path: &[u8], text: &[u8]) -> Result<Value, Complaint> {
    let Some((min, max)) = kind.range() else { return Ok(Value::text(text)) };
    if path == b"totem.token" && text == b"auto" {
        return Ok(Value::U32(0));
    }
    let parsed = parse_integer(text).filter(|n| (min..=max).contains(n));
    let refused = || {
        let (path, text) = (String::from_utf8_lossy(path), String::from_utf8_lossy(text));
        if kind == Kind::U64 {
            short(format!(
                "Value of key \"{path}\" is expected to be unsigned integer, but \"{text}\" was given"
            ))
        } else {
            short(format!(
                "Value of key \"{path}\" is expected to be integer in range ({min}..{max}), but \"{text}\" was given"
            ))
        }
    };
    let n = parsed.ok_or_else(|| refused().about("value", text))?;
    // The range was checked above, so no cast loses a value.
    Ok(match kind {
        Kind::U8 => Value::U8(n as u8),
        Kind::U16 => Value::U16(n as u16),
        Kind::I32 => Value::I32(n as i32),
        Kind::U32 => Value::U32(n as u32),
        Kind::U64 => Value::U64(n as u64),
        Kind::Text => Value::text(text),
    })
}

/// Reads a number as C's `strtoll` does, up to the end of the text: white space, a sign, decimal digits.
fn parse_integer(text: &[u8]) -> Option<i128> {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | 9..=13)).count();
    let (negative, digits) = match &text[blanks..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    // The standard library would take a second sign.
    let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with(['+', '-']))?;
    let n: i128 = digits.parse().ok()?;
    Some(if negative { -n } else { n })
}

/// A user or group given as a number.
fn number(text: &[u8]) -> Option<u32> {
    parse_integer(text)?.try_into().ok()
}

fn short(message: String) -> Complaint {
    if message.len() <= COMPLAINT_LIMIT {
        return Complaint::new(message);
    }
    Complaint::new(UNFORMATTED).hint(message)
}
