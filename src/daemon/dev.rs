//! `--dev`: one or several nodes on the loopback interface, for development without any configuration.
//!
//! Each node is a daemon as in production, except for its demands on the system. Together they form a ring of their
//! own on 127.0.0.1, 127.0.0.2 and so on, with quorum, client sockets, lock files and state directories. Several
//! nodes are several processes ([`super::nodes`]), so that one of them can be stopped or killed.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::exit::{Exit, Fatal};
use super::options::{Instance, Options};
use super::place::Place;
use crate::config::host::{Host, LocalAddress};
use crate::config::os::OsHost;
use crate::config::{Config, ConfigError};

/// The number of this process among the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The number of the node from 1, which is also its id.
    pub(super) node: u32,
    pub(super) nodes: u32,
}

impl Part {
    /// Reads the part from the command line.
    ///
    /// # Errors
    /// There is no node with this number.
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

/// The instance name under which clients find a node. Node 1 has the name of the command line, or none.
///
/// # Errors
/// The name would be too long.
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

pub(super) fn address(node: u32) -> IpAddr {
    let number = u8::try_from(node).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, 0, 0, number).into()
}

/// The configuration of one node.
pub(super) fn config(options: &Options, part: Part) -> Result<Config, ConfigError> {
    // All nodes use one port, which depends on the instance of the command line.
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

/// This host as one node sees it: only with that node's loopback address.
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
    fn each_node_has_its_own_id_and_address() {
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
    fn each_node_has_its_own_instance_name() {
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
