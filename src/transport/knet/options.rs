//! What a transport of several links is opened with.

use super::envelope::Suite;
use super::settings::{LINKS, Settings};
use crate::config::key::Key;

/// Everything that a transport of several links needs to know beside what all transports are told; see
/// [`Kind::Knet`](crate::transport::Kind::Knet). Reload:
/// [`Transport::set_links`](crate::transport::Transport::set_links).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Hosts, links and how they are watched.
    pub settings: Settings,
    /// How packets are encrypted; `None`: not at all.
    ///
    /// Default: `None`. Source: `totem.crypto_cipher`, `totem.crypto_hash`, `totem.keyfile`, `totem.key`.
    pub crypto: Option<Crypto>,
    /// The interface on which this host's address of a link is looked for, by name. All link-local addresses of the
    /// link are taken to be on it.
    ///
    /// Default: `None`, the first that has the address. Source: what stands behind `%` in `ringN_addr`.
    pub interfaces: [Option<String>; LINKS],
    /// Go on with smaller socket buffers if the kernel does not give as much as libknet asks for; without it that is
    /// an error, as with Corosync.
    ///
    /// Default: no. Source: `system.allow_knet_handle_fallback`.
    pub allow_small_buffers: bool,
}

/// How packets are encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Cipher and hash.
    pub suite: Suite,
    /// The key of the cluster.
    pub key: Key,
}

impl Options {
    /// Defaults for all but the settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings, crypto: None, interfaces: [const { None }; LINKS], allow_small_buffers: false }
    }
}
