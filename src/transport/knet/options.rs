//! The options of a transport with several links.

use super::envelope::Suite;
use super::settings::{LINKS, Settings};
use crate::config::key::Key;

/// The options of a transport with several links, in addition to those of all transports; see
/// [`Kind::Knet`](crate::transport::Kind::Knet). They can be changed on a reload with
/// [`Transport::set_links`](crate::transport::Transport::set_links).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Hosts, links and how links are monitored.
    pub settings: Settings,
    /// How packets are encrypted; `None` means not at all.
    ///
    /// Default: `None`. Source: `totem.crypto_cipher`, `totem.crypto_hash`, `totem.keyfile`, `totem.key`.
    pub crypto: Option<Crypto>,
    /// For each link, the name of the interface that must have this host's address. All link-local addresses
    /// of the link are taken to be on it.
    ///
    /// Default: `None`, the first that has the address. Source: the part after `%` in `ringN_addr`.
    pub interfaces: [Option<String>; LINKS],
    /// Whether to continue with smaller socket buffers if the kernel grants less than libknet requests;
    /// otherwise that is an error, as with Corosync.
    ///
    /// Default: no. Source: `system.allow_knet_handle_fallback`.
    pub allow_small_buffers: bool,
}

/// How packets are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// The cipher and the hash.
    pub suite: Suite,
    /// The key of the cluster.
    pub key: Key,
}

impl Options {
    /// Creates options with these settings and defaults for all others.
    pub fn new(settings: Settings) -> Self {
        Self { settings, crypto: None, interfaces: [const { None }; LINKS], allow_small_buffers: false }
    }
}
