//! `--dev`: nodes on the loopback interface to develop against, without any configuration.
//!
//! One of them, or each of several, is a daemon as in production, but for what it asks of the system: a whole ring of
//! its own on 127.0.0.1, 127.0.0.2 and so on, with a quorum, client sockets, a lock file and a state directory. Several
//! are several processes ([`super::nodes`]), so that one of them can be stopped or killed.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::exit::{Exit, Fatal};
use super::options::{Instance, Options};
use super::place::Place;
use crate::config::host::{Host, LocalAddress};
use crate::config::os::OsHost;
use crate::config::{Config, ConfigError};

/// Which of how many nodes this process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// From 1; also the node's id.
    pub(super) node: u32,
    pub(super) nodes: u32,
}

impl Part {
    /// What the command line says.
    ///
    /// # Errors
    /// There is no such node.
    pub(super) fn of(options: &Options) -> Result<Self, Fatal> {
        let nodes = options.nodes.unwrap_or(1);
        let node = options.node.unwrap_or(1);
        if node > nodes {
            return Err(Fatal::new(
                Exit::Options,
                format!("--node {node}: there are nodes 1 to {nodes} (--nodes)"),
            ));
        }
        Ok(Self { node, nodes })
    }
}

/// The name under which clients find a node; node 1 has that of the command line, or none.
///
/// # Errors
/// It would be too long.
pub(super) fn instance(given: Option<&Instance>, node: u32) -> Result<Option<Instance>, Fatal> {
    if node == 1 {
        return Ok(given.cloned());
    }
    let base = given.map_or("dev", Instance::as_str);
    let name = format!("{base}-{node}");
    name.parse()
        .map(Some)
        .map_err(|why| Fatal::new(Exit::Options, format!("--instance {base}: {name}: {why}")))
}

/// The address of a node.
pub(super) fn address(node: u32) -> IpAddr {
    let number = u8::try_from(node).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 0, 0, number).into()
}

/// The configuration of one node.
pub(super) fn config(options: &Options, part: Part) -> Result<Config, ConfigError> {
    // All of them meet on one port, that of the command line's instance.
    let port = Place::of_process(options.instance.clone()).dev_port();
    let mut text = format!(
        "[totem]\ncluster_name = \"dev\"\ntransport = \"udpu\"\n\n[[totem.interface]]\nmcastport = {port}\n\n\
         [quorum]\nprovider = \"corosync_votequorum\"\n\n[logging]\nto_syslog = false\n"
    );
    for node in 1..=part.nodes {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n[[nodelist.node]]\nname = \"{}\"\nnodeid = {node}\nring0_addr = \"{}\"\n",
            name(node),
            address(node)
        );
    }
    Config::from_toml(text.as_bytes(), Path::new("--dev"), &OneOfSeveral(part.node))
}

fn name(node: u32) -> String {
    format!("node{node}")
}

/// This host as one of the nodes sees it: with one of the loopback addresses alone.
struct OneOfSeveral(u32);

impl Host for OneOfSeveral {
    fn name(&self) -> String {
        name(self.0)
    }

    fn addresses(&self) -> Vec<LocalAddress> {
        let address = address(self.0);
        vec![LocalAddress { interface: "lo".to_owned(), index: 1, address, prefix: 32, up: true }]
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        OsHost.resolve(name)
    }

    fn reverse(&self, _address: IpAddr) -> Option<String> {
        None
    }

    fn user(&self, name: &str) -> Option<u32> {
        OsHost.user(name)
    }

    fn group(&self, name: &str) -> Option<u32> {
        OsHost.group(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_is_itself() {
        let options = Options { dev: true, nodes: Some(3), ..Options::default() };
        for node in 1..=3 {
            let config = config(&options, Part { node, nodes: 3 }).unwrap();
            config.check_runnable().unwrap();
            assert_eq!(config.me().get(), node);
            assert_eq!(config.bind_address(), Some(address(node)));
            assert_eq!(config.members().count(), 3);
            assert_eq!(config.map.text("quorum.provider").as_deref(), Some("corosync_votequorum"));
        }
    }

    #[test]
    fn nodes_have_names_of_their_own() {
        let given: Instance = "lab".parse().unwrap();
        let name = |given, node| instance(given, node).unwrap().map(|name| name.as_str().to_owned());
        assert_eq!(name(None, 1), None);
        assert_eq!(name(None, 2).as_deref(), Some("dev-2"));
        assert_eq!(name(Some(&given), 1).as_deref(), Some("lab"));
        assert_eq!(name(Some(&given), 3).as_deref(), Some("lab-3"));
        let long: Instance = "x".repeat(32).parse().unwrap();
        assert_eq!(instance(Some(&long), 2).unwrap_err().exit, Exit::Options);
        let none = Part::of(&Options { nodes: Some(3), node: Some(4), ..Options::default() });
        assert_eq!(none.unwrap_err().exit, Exit::Options);
    }
}
