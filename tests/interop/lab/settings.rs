//! The contents of a host's corosync.conf.

use super::{NETWORKS, Transport};
use std::fmt::Write as _;
use std::path::Path;

/// A configuration of the cluster. The texts are lines of their section, without its braces.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The transport of all hosts.
    pub(crate) transport: Transport,
    /// Further lines of the section `totem`.
    pub(crate) totem: String,
    /// Further lines of the section `interface` of each link.
    pub(crate) interface: [String; NETWORKS],
    /// The second byte of the addresses of each link.
    pub(crate) network: [usize; NETWORKS],
    /// The number from which the key is made, where one is needed.
    pub(crate) seed: u8,
    /// Lines of the section `quorum`.
    pub(crate) quorum: String,
    /// How many hosts, from the first on, the node list contains.
    pub(crate) nodes: usize,
    /// Further lines of each node's section.
    pub(crate) node: String,
    /// Further sections at the end of the file.
    pub(crate) more: String,
}

impl Settings {
    /// Votequorum of `nodes` hosts with one vote each.
    pub(crate) fn new(transport: Transport, totem: &str, nodes: usize) -> Self {
        Self {
            transport,
            totem: totem.to_owned(),
            interface: Default::default(),
            network: std::array::from_fn(|link| 77 + link),
            seed: 0,
            quorum: "provider: corosync_votequorum".to_owned(),
            nodes,
            node: String::new(),
            more: String::new(),
        }
    }

    /// Adds lines to the section `quorum`.
    pub(crate) fn quorum(mut self, lines: &str) -> Self {
        self.quorum = format!("{}\n{lines}", self.quorum);
        self
    }

    /// Adds lines to the section `interface` of a link.
    pub(crate) fn interface(mut self, link: usize, lines: &str) -> Self {
        self.interface[link] = lines.to_owned();
        self
    }

    /// The key of all hosts, as long as those that corosync-keygen makes.
    pub(crate) fn key(&self) -> Vec<u8> {
        (0..=u8::MAX).map(|at| at.wrapping_mul(167).wrapping_add(self.seed.wrapping_mul(29))).collect()
    }

    /// The file's text for a host that logs to `log`.
    pub(super) fn text(&self, log: &Path) -> String {
        let mut text = format!(
            "totem {{\n  version: 2\n  cluster_name: lab\n  transport: {}\n  {}\n",
            self.transport.word(),
            self.totem
        );
        if let Transport::Knet(knet) = self.transport {
            if let Some(crypto) = knet.crypto {
                let _ = writeln!(text, "  crypto_cipher: {}\n  crypto_hash: {}", crypto.cipher, crypto.hash);
            }
            if let Some(mode) = knet.mode {
                let _ = writeln!(text, "  link_mode: {mode}");
            }
        }
        for link in 0..self.transport.links() {
            let _ = writeln!(text, "  interface {{\n    linknumber: {link}");
            if self.transport == Transport::Udp {
                text.push_str("    bindnetaddr: 10.77.0.0\n    mcastaddr: 239.192.77.1\n");
            }
            let _ = writeln!(text, "    mcastport: {}\n    {}\n  }}", 5405 + link, self.interface[link]);
        }
        let _ = write!(
            text,
            "}}\nlogging {{\n  to_stderr: no\n  to_syslog: no\n  to_logfile: yes\n  logfile: {}\n  \
             timestamp: hires\n}}\nquorum {{\n{}\n}}\nnodelist {{\n",
            log.display(),
            self.quorum
        );
        for k in 1..=self.nodes {
            text.push_str("  node {\n");
            for link in 0..self.transport.links() {
                let _ = writeln!(text, "    ring{link}_addr: 10.{}.0.{k}", self.network[link]);
            }
            let _ = writeln!(text, "    name: n{k}\n    nodeid: {k}\n{}\n  }}", self.node);
        }
        let _ = writeln!(text, "}}\n{}", self.more);
        text
    }
}
