//! Tests of the module as a whole: both formats, the rules, and a comparison with Corosync itself.

use std::net::IpAddr;
use std::path::Path;

use super::host::{Host, LocalAddress};
use super::{Config, ConfigError, os};

mod corosync;
mod formats;
mod grammar;
mod hostile;
mod knet;
mod origins;
mod rules;
mod uidgid;
mod warnings;

/// A made-up host: `n1.example.org` with 10.0.0.1/24 and fd00::1/64.
pub(crate) struct MadeUp {
    pub(super) name: &'static str,
    pub(super) addresses: Vec<LocalAddress>,
    /// The names that it resolves, each with its addresses.
    pub(super) names: Vec<(&'static str, &'static [&'static str])>,
}

impl Default for MadeUp {
    fn default() -> Self {
        Self {
            name: "n1.example.org",
            addresses: vec![
                local("lo", 1, "127.0.0.1", 8),
                local("eth0", 2, "10.0.0.1", 24),
                local("eth0", 2, "fd00::1", 64),
            ],
            names: vec![("n2.example.org", &["fd00::2", "10.0.0.2"]), ("alias.example.org", &["10.0.0.1"])],
        }
    }
}

pub(super) fn local(interface: &str, index: u32, address: &str, prefix: u8) -> LocalAddress {
    let (interface, address) = (interface.to_owned(), address.parse().unwrap());
    LocalAddress { interface, index, address, prefix, up: true }
}

impl Host for MadeUp {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn addresses(&self) -> Vec<LocalAddress> {
        self.addresses.clone()
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        match self.names.iter().find(|(known, _)| *known == name) {
            Some((_, addresses)) => addresses.iter().map(|address| address.parse().unwrap()).collect(),
            None => name.parse().ok().into_iter().collect(),
        }
    }

    fn reverse(&self, address: IpAddr) -> Option<String> {
        (address.to_string() == "10.0.0.1").then(|| "front.example.org".to_owned())
    }

    fn user(&self, name: &str) -> Option<u32> {
        (name == "hacluster").then_some(189)
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "haclient").then_some(190)
    }
}

pub(super) fn conf(text: impl AsRef<[u8]>) -> Result<Config, ConfigError> {
    Config::from_conf(text.as_ref(), Path::new("test.conf"), &MadeUp::default())
}

pub(super) fn toml(text: impl AsRef<[u8]>) -> Result<Config, ConfigError> {
    Config::from_toml(text.as_ref(), Path::new("test.toml"), &MadeUp::default())
}

/// The rows of a table of cases that is written as text: a row a line, `|` between its columns, `\n` for a line break.
pub(crate) fn rows<const N: usize>(table: &str) -> impl Iterator<Item = [String; N]> {
    let lines = table.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| {
        let columns: Vec<String> = line.split('|').map(|text| text.trim().replace("\\n", "\n")).collect();
        columns.try_into().unwrap_or_else(|_| panic!("a row has {N} columns: {line}"))
    })
}

/// A valid configuration of two nodes, with `more` in section totem.
pub(super) fn two_nodes(transport: &str, more: &str) -> String {
    format!(
        "totem {{\nversion: 2\ncluster_name: test\ntransport: {transport}\n{more}\n}}\n\
         nodelist {{\nnode {{\nring0_addr: 10.0.0.1\nnodeid: 1\nname: n1\n}}\n\
         node {{\nring0_addr: 10.0.0.2\nnodeid: 2\nname: n2\n}}\n}}\n"
    )
}

/// The real host, which Corosync sees too when it is compared.
pub(super) const REAL: os::OsHost = os::OsHost;

/// A feature that does not exist here is refused rather than ignored.
#[test]
fn clients_over_sockets_are_refused() {
    let text = "[totem]\ntransport = \"udpu\"\n[system]\nqb_ipc_type = \"socket\"\n\
                [[nodelist.node]]\nnodeid = 1\nring0_addr = \"127.0.0.1\"\n";
    let config = Config::from_toml(text.as_bytes(), Path::new("test.toml"), &REAL).unwrap();
    let error = config.check_runnable().unwrap_err().to_string();
    assert!(error.contains("qb_ipc_type socket") && error.contains("test.toml:4"), "{error}");
}
