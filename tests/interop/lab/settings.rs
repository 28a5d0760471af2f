//! What stands in a host's corosync.conf.

use super::Transport;
use std::fmt::Write as _;
use std::path::Path;

/// A configuration of the cluster. The pieces of text are lines of their section, without its braces.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The transport.
    pub(crate) transport: Transport,
    /// More lines of the section `totem`.
    pub(crate) totem: String,
    /// Lines of the section `quorum`.
    pub(crate) quorum: String,
    /// How many hosts, from the first on, are in the node list.
    pub(crate) nodes: usize,
    /// More lines of each node.
    pub(crate) node: String,
    /// More sections.
    pub(crate) more: String,
}

impl Settings {
    /// The votequorum of `nodes` hosts with one vote each.
    pub(crate) fn new(transport: Transport, totem: &str, nodes: usize) -> Self {
        Self {
            transport,
            totem: totem.to_owned(),
            quorum: "provider: corosync_votequorum".to_owned(),
            nodes,
            node: String::new(),
            more: String::new(),
        }
    }

    /// The same with more lines in the section `quorum`.
    pub(crate) fn quorum(mut self, lines: &str) -> Self {
        self.quorum = format!("{}\n{lines}", self.quorum);
        self
    }

    /// The text of a host that logs to `log`.
    pub(super) fn text(&self, log: &Path) -> String {
        let mut text = format!(
            "totem {{\n  version: 2\n  cluster_name: lab\n  transport: {}\n  {}\n  interface {{\n    linknumber: 0\n",
            self.transport.word(),
            self.totem
        );
        if self.transport == Transport::Udp {
            text.push_str("    bindnetaddr: 10.77.0.0\n    mcastaddr: 239.192.77.1\n");
        }
        let _ = write!(
            text,
            "    mcastport: 5405\n  }}\n}}\nlogging {{\n  to_stderr: no\n  to_syslog: no\n  to_logfile: yes\n  logfile: {}\n  \
             timestamp: hires\n}}\nquorum {{\n{}\n}}\nnodelist {{\n",
            log.display(),
            self.quorum
        );
        for k in 1..=self.nodes {
            let _ = writeln!(
                text,
                "  node {{\n    ring0_addr: 10.77.0.{k}\n    name: n{k}\n    nodeid: {k}\n{}\n  }}",
                self.node
            );
        }
        let _ = writeln!(text, "}}\n{}", self.more);
        text
    }
}
