//! How the services of each node are set up: the configuration that its database begins with.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use annulus::admin::Facts;
use annulus::config::Config;
use annulus::config::host::{Host, LocalAddress};
use annulus::config::timeouts::Given;
use annulus::stack::Setup;

use crate::network::id;

/// The rules of votequorum that a cluster follows. With each of them no two parts may act at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// More than half of the nodes.
    Majority,
    /// The same, and at the start all nodes must have met.
    WaitForAll,
    /// Half of the nodes are enough where the node with the lowest nodeid is among them.
    TieBreaker,
}

/// The services of every node of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) rules: Rules,
}

impl Services {
    /// The configuration of `node` in a cluster of these nodes and timers, as its file says it.
    pub(crate) fn config(&self, node: u32, nodes: &[u32], given: &Given) -> Config {
        let list: String = nodes
            .iter()
            .map(|node| format!("node {{\nnodeid: {node}\nring0_addr: {}\n}}\n", address(*node)))
            .collect();
        let rules = match self.rules {
            Rules::Majority => "",
            Rules::WaitForAll => "wait_for_all: 1\n",
            Rules::TieBreaker => "auto_tie_breaker: 1\n",
        };
        let timers = timers(given);
        let text = format!(
            "totem {{\nversion: 2\ntransport: udpu\n{timers}}}\nnodelist {{\n{list}}}\nquorum {{\nprovider: corosync_votequorum\n{rules}}}\n"
        );
        Config::from_conf(text.as_bytes(), Path::new("corosync.conf"), &OneAddress(address(node)))
            .unwrap_or_else(|why| panic!("{why}\n{text}"))
    }

    /// What a whole node is set up with.
    pub(crate) fn setup(&self, node: u32, nodes: &[u32], given: &Given) -> Setup {
        let addresses: BTreeMap<_, _> = nodes.iter().map(|node| (id(*node), vec![address(*node)])).collect();
        Setup {
            map: self.config(node, nodes, given).map,
            facts: Facts { addresses, mtu: 1410, managed: true },
            kept_votes: None,
        }
    }
}

/// The lines of a file for what is given.
fn timers(given: &Given) -> String {
    let ms =
        |key: &str, value: Option<u32>| value.map_or_else(String::new, |value| format!("{key}: {value}\n"));
    [
        ms("token", given.token),
        ms("token_floor", given.token_floor),
        ms("token_coefficient", given.token_coefficient),
        ms("loss_limit", given.loss_limit),
        ms("loss_patience", given.loss_patience),
        ms("seqno_unchanged_const", given.seqno_unchanged_const),
        ms("window_size", given.window_size),
        ms("max_messages", given.max_messages),
        ms("miss_count_const", given.miss_count_const),
        ms("fail_recv_const", given.fail_recv_const),
        ms("send_join", given.send_join),
        ms("heartbeat_failures_allowed", given.heartbeat_failures_allowed),
        given.cancel_token_hold_on_retransmit.map_or_else(String::new, |on| {
            format!("cancel_token_hold_on_retransmit: {}\n", if on { "yes" } else { "no" })
        }),
    ]
    .concat()
}

fn address(node: u32) -> IpAddr {
    Ipv4Addr::from(0x0a4d_0000 + node).into()
}

/// A host with one address and no name service.
struct OneAddress(IpAddr);

impl Host for OneAddress {
    fn name(&self) -> String {
        "simulated".to_owned()
    }

    fn addresses(&self) -> Vec<LocalAddress> {
        vec![LocalAddress { interface: "eth0".to_owned(), index: 1, address: self.0, prefix: 16, up: true }]
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        name.parse().into_iter().collect()
    }

    fn reverse(&self, _address: IpAddr) -> Option<String> {
        None
    }

    fn user(&self, _name: &str) -> Option<u32> {
        None
    }

    fn group(&self, _name: &str) -> Option<u32> {
        None
    }
}
