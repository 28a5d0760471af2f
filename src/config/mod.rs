//! The configuration: all settings with type, unit, default and source; both file formats; the rules across settings;
//! and what a reload may change.
//!
//! A file is read into a flat [`map::Map`] of typed items with their origins. The map and the facts from
//! [`host::Host`] give a [`Config`]. So the two formats cannot differ in meaning, and the configuration database is
//! filled from the same map.
//!
//! Corosync's counterpart: `exec/coroparse.c`, `exec/totemconfig.c`, `exec/mainconfig.c`.
//!
//! | file | what |
//! |---|---|
//! | `keys.rs` | the table of all settings: type, default, words, reload, explanation |
//! | `map.rs` | flat names to typed values with their origin |
//! | `conf.rs`, `sections.rs` | `corosync.conf`: its grammar, and the meaning of its items |
//! | `toml.rs` | `corosync.toml` |
//! | `totem.rs`, `timeouts.rs` | section totem; the ring's timers and limits |
//! | `nodelist.rs`, `quorum.rs`, `logging.rs`, `system.rs` | the other sections |
//! | `uidgid.rs` | ids of users and groups |
//! | `host.rs`, `os.rs` | the facts about a host; the real host |
//! | `resolve.rs` | names and addresses in the file to addresses of this host, with their interface |
//! | `hint.rs`, `bytes.rs` | place and allowed values of a setting, for errors; invisible characters |
//! | `check.rs`, `check/` | from the map to a [`Config`]: the rules across settings, and warnings |
//! | `convert.rs` | from one file format to the other |
//! | `effective.rs`, `reload.rs` | the listing of effective settings; what may change at run time |
//! | `key.rs` | [`key::Key`]: the secret key that the nodes share |
//! | `fingerprint.rs` | what must be the same in the files of all nodes |
//! | `error.rs` | [`ConfigError`] |

pub mod convert;
pub mod effective;
pub mod fingerprint;
pub mod host;
pub mod key;
pub mod keys;
pub mod logging;
pub mod map;
pub mod nodelist;
pub mod os;
pub mod quorum;
pub mod reload;
pub mod system;
pub mod timeouts;
pub mod totem;

mod bytes;
mod check;
mod conf;
mod error;
mod hint;
mod resolve;
mod sections;
#[cfg(test)]
pub(crate) mod tests;
mod toml;
mod uidgid;

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use self::error::reason;
pub use self::error::{ConfigError, ErrorKind, Refusal};

use self::host::{Host, LocalAddress};
use self::logging::Logging;
use self::map::Map;
use self::nodelist::Node;
use self::quorum::Quorum;
use self::system::{Access, Resources, System};
use self::timeouts::{Given, Timeouts};
use self::totem::{Interface, Totem, TransportKind, Watching};
use crate::ids::NodeId;
use crate::secret::Secret;

/// The default path of the configuration. Source: corosync(8).
pub const DEFAULT_PATH: &str = "/etc/corosync/corosync.conf";

/// Largest configuration file in bytes; a larger one is refused.
///
/// Corosync has no such limit; the file of the largest cluster with every option is many times smaller.
pub const FILE_LIMIT: u64 = 1 << 20;

/// Most files of `uidgid.d`; more are refused.
pub const UIDGID_FILES_LIMIT: usize = 1024;

/// A checked configuration, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The ring, its transport and its links.
    pub totem: Totem,
    /// The nodes of the cluster, in the byte order of their numbers as text (10 before 2), as in Corosync.
    pub nodes: Vec<Node>,
    /// Position of this node in the node list: the N of `nodelist.node.N`.
    pub local_position: u32,
    /// Raw settings of the quorum services.
    pub quorum: Quorum,
    /// The targets of log messages.
    pub logging: Logging,
    /// Users and groups that may connect besides root.
    pub access: Access,
    /// The daemon's settings for its host.
    pub system: System,
    /// Thresholds and the watchdog.
    pub resources: Resources,
    /// Warnings for the operator, in Corosync's words.
    pub warnings: Vec<String>,
    /// All items of the file and those derived at the start, under their database names.
    pub map: Map,
    me: NodeId,
}

impl Config {
    /// Reads and checks a file on this host: a `corosync.toml` if its name ends in `.toml`, otherwise a
    /// `corosync.conf` with the files of `uidgid.d` beside it.
    ///
    /// # Errors
    /// The first error, with file and line if there is one.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::load_on(path, &os::OsHost)
    }

    /// As [`Config::load`], with facts about the host from the caller.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_on(path: &Path, host: &dyn Host) -> Result<Self, ConfigError> {
        // The file may contain the key.
        let text = Secret::new(read_file(path)?);
        let text = text.bytes();
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
            return Self::from_toml(text, path, host);
        }
        let mut map = Map::default();
        parse_conf(text, path, host, &mut map, false)?;
        let UidgidFiles { read, unread } = uidgid_files(path)?;
        for (file, text) in read {
            parse_conf(&text, &file, host, &mut map, true)?;
        }
        let mut config = check::config(map, host)?;
        config.warnings.extend(unread);
        Ok(config)
    }

    /// Checks the text of a `corosync.conf`; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_conf(text: &[u8], path: &Path, host: &dyn Host) -> Result<Self, ConfigError> {
        let mut map = Map::default();
        parse_conf(text, path, host, &mut map, false)?;
        check::config(map, host)
    }

    /// Checks the text of a `corosync.toml`; `path` is for messages only.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml(text: &[u8], path: &Path, host: &dyn Host) -> Result<Self, ConfigError> {
        check::config(toml::parse(text, path, host)?, host)
    }

    /// Checks whether this version can run the configuration.
    ///
    /// # Errors
    /// A link uses SCTP, the compression model is not supported, udp or udpu has no address for this node, clients
    /// are to use sockets, the priority is invalid, or a limit is larger than any ring can keep.
    pub fn check_runnable(&self) -> Result<(), ConfigError> {
        check::runnable(self)
    }

    /// Checks whether a ring can keep the limits; also used for a reload.
    ///
    /// # Errors
    /// A limit is larger than any ring can keep.
    pub fn check_limits(&self) -> Result<(), ConfigError> {
        check::check_limits(&self.map, &self.totem.timeouts)
    }

    /// The id of this node.
    pub const fn me(&self) -> NodeId {
        self.me
    }

    /// This node's entry of the node list.
    pub fn local_node(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.position == self.local_position)
    }

    /// The settings of link 0, the only link of udp and udpu.
    pub fn link(&self) -> Option<&Interface> {
        self.totem.interfaces.iter().find(|interface| interface.link == 0)
    }

    /// The configured address of this node on link 0. [`Config::select_local`] returns the address of this host that
    /// it selects.
    pub fn bind_address(&self) -> Option<IpAddr> {
        self.link()?.bind_address
    }

    /// The configured address of this node on its lowest link.
    pub fn own_address(&self) -> Option<IpAddr> {
        self.local_node()?.addresses.iter().min_by_key(|own| own.link).map(|own| own.address)
    }

    /// The name of the interface that must have the address, if the file gives one.
    pub fn bind_interface(&self) -> Option<&str> {
        self.link()?.bind_interface.as_deref()
    }

    /// Describes for the operator the place of a setting and its allowed values; a derived setting has the place of
    /// its source. `*` in the name stands for one part of it.
    pub fn explain(&self, name: &str) -> String {
        hint::explain(&self.map, name)
    }

    /// The host's address, with its interface, that [`Config::bind_address`] selects now; `None` while no interface
    /// that is up matches.
    pub fn select_local(&self, host: &dyn Host) -> Option<LocalAddress> {
        let mut addresses = host.addresses();
        if let Some(interface) = self.bind_interface() {
            addresses.retain(|local| local.interface == interface);
        }
        host::select(&addresses, self.bind_address()?).cloned()
    }

    /// All nodes with an id and an address, including this one, in the list's order. The address is that on link 0
    /// or, if knet has none there, that on the lowest link.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, IpAddr)> {
        let knet = self.totem.transport == TransportKind::Knet;
        self.nodes.iter().filter_map(move |node| {
            let lowest = || node.addresses.iter().min_by_key(|own| own.link).map(|own| own.address);
            Some((node.id?, if knet { lowest() } else { node.address(0) }?))
        })
    }

    /// UDP port of link 0.
    pub fn port(&self) -> u16 {
        self.link().map_or(totem::DEFAULT_PORT, |link| link.port)
    }
}

/// The ring's timers and limits that follow from a section `totem` and a node list.
///
/// # Errors
/// A timer or limit is out of its range.
pub fn timeouts_of(map: &Map) -> Result<Timeouts, ConfigError> {
    let given = Given::read(map);
    let on_link_0 = map
        .with_prefix("nodelist.node.")
        .filter(|(name, _)| name.strip_suffix(".ring0_addr").is_some_and(|start| !start.is_empty()))
        .count();
    let timeouts = Timeouts::derive(&given, on_link_0);
    check::check_timers(map, &given, &timeouts)?;
    check::check_limits(map, &timeouts)?;
    Ok(timeouts)
}

/// The link monitoring of transport knet that follows from a section `totem` and a node list; `timeouts` are those
/// derived from the same.
///
/// # Errors
/// The MTU is out of the range of packets.
pub fn watching_of(map: &Map, timeouts: &Timeouts) -> Result<Watching, ConfigError> {
    let watching = totem::watching(map, timeouts.token);
    check::check_mtu(map, watching.mtu)?;
    Ok(watching)
}

/// The logging settings of a section `logging`.
///
/// # Errors
/// A word is invalid for its key.
pub fn logging_of(map: &Map) -> Result<Logging, ConfigError> {
    logging::read(map)
}

fn parse_conf(
    text: &[u8],
    path: &Path,
    host: &dyn Host,
    map: &mut Map,
    uidgid_only: bool,
) -> Result<(), ConfigError> {
    let file = Arc::new(PathBuf::from(path));
    let mut sections = sections::Sections::new(map, host, file, uidgid_only);
    conf::read(text, &mut sections).map_err(|(complaint, line)| complaint.at(path, line))
}

/// Reads the whole file, if it is not too large. A pipe or device is read up to the limit.
fn read_file(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let unreadable = |why: std::io::Error| ConfigError::unreadable(path, &why);
    let mut text = Vec::new();
    File::open(path).map_err(unreadable)?.take(FILE_LIMIT + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(ConfigError::unreadable(path, &std::io::Error::from_raw_os_error(libc::EFBIG))
            .hint(format!("a configuration file may have {FILE_LIMIT} bytes")));
    }
    Ok(text)
}

/// The content of the directory `uidgid.d`.
#[derive(Default)]
struct UidgidFiles {
    read: Vec<(PathBuf, Vec<u8>)>,
    /// A warning for each file that cannot be read.
    unread: Vec<String>,
}

/// Reads the files of the directory `uidgid.d` beside `path`, in the directory's order. A missing directory is no
/// error; a file that cannot be read is skipped as in Corosync, but with a warning.
fn uidgid_files(path: &Path) -> Result<UidgidFiles, ConfigError> {
    let directory = path.parent().unwrap_or(Path::new("")).join("uidgid.d");
    let mut files = UidgidFiles::default();
    let Ok(listing) = std::fs::read_dir(&directory) else { return Ok(files) };
    for entry in listing.flatten() {
        let file = entry.path();
        // Follows links, and skips pipes and devices, which could block.
        if !std::fs::metadata(&file).is_ok_and(|about| about.is_file()) {
            continue;
        }
        if files.read.len() + files.unread.len() >= UIDGID_FILES_LIMIT {
            let message = format!("Can't read directory {}: too many files", directory.display());
            return Err(ConfigError { kind: ErrorKind::Unreadable, message, hint: None }
                .hint(format!("at most {UIDGID_FILES_LIMIT} files are read; put several users into one")));
        }
        match read_file(&file) {
            Ok(text) => files.read.push((file, text)),
            Err(error) => {
                files.unread.push(format!("{}; who is named there may not connect.", error.message));
            }
        }
    }
    Ok(files)
}
