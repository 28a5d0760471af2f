//! The rules across settings, on hosts made up for them.

use std::net::IpAddr;

use super::super::host;
use super::super::nodelist::id_from_address;
use super::super::reload;
use super::*;

fn nodelist(nodes: &str) -> String {
    format!("totem {{\nversion: 2\ntransport: udpu\n}}\nnodelist {{\n{nodes}}}\n")
}

fn node(lines: &[&str]) -> String {
    format!("node {{\n{}\n}}\n", lines.join("\n"))
}

fn refused(text: String) -> String {
    conf(text).unwrap_err().message
}

#[test]
fn accessors_return_the_settings_of_this_node() {
    let config = conf(two_nodes("udpu", "token: 1000")).unwrap();
    assert_eq!(config.me().get(), 1);
    assert_eq!(config.port(), 5405);
    assert_eq!(config.bind_address().unwrap().to_string(), "10.0.0.1");
    let all: Vec<String> = config.members().map(|(id, address)| format!("{id} {address}")).collect();
    assert_eq!(all, ["1 10.0.0.1", "2 10.0.0.2"]);
    assert_eq!(config.totem.timeouts.token.as_millis(), 1000);
    assert_eq!(config.select_local(&MadeUp::default()).unwrap().interface, "eth0");
}

/// The steps in their order; a later step never overrides an earlier one.
#[test]
fn the_local_node_is_found_by_name_and_by_address() {
    let other = node(&["nodeid: 9", "ring0_addr: 10.0.0.9", "name: n9"]);
    for own in [
        &["nodeid: 1", "ring0_addr: 10.0.0.8", "name: n1.example.org"][..], // its full name
        &["nodeid: 1", "ring0_addr: 10.0.0.8", "name: n1.example"],         // without its last label
        &["nodeid: 1", "ring0_addr: 10.0.0.8", "name: n1"],                 // without its last two labels
        &["nodeid: 1", "ring0_addr: 10.0.0.8", "name: n1.other.net"],       // short names match
        &["nodeid: 1", "ring0_addr: 10.0.0.1"],                             // an address as it is written
        &["nodeid: 1", "ring0_addr: 10.0.0.8", "name: front.example.org"],  // its reverse name
        &["nodeid: 1", "ring0_addr: 10.0.0.8", "name: front"],              // the short form of that
        &["nodeid: 1", "ring0_addr: alias.example.org"],                    // a name that resolves to it
    ] {
        let config = conf(nodelist(&(other.clone() + &node(own)))).unwrap();
        assert_eq!((config.local_position, config.me().get()), (1, 1), "{own:?}");
        assert_eq!(config.map.u32("nodelist.local_node_pos"), Some(1));
    }
    assert_eq!(refused(nodelist(&other)), "parse error in config: No valid name found for local host");
}

#[test]
fn node_ids_are_made_from_addresses() {
    let text = nodelist(&(node(&["ring0_addr: 10.0.0.1"]) + &node(&["ring0_addr: 200.0.0.2"])));
    let config = conf(&text).unwrap();
    let ids = |config: &Config| config.members().map(|(id, _)| id.get()).collect::<Vec<_>>();
    assert_eq!(ids(&config), [0x0a00_0001, 0xc800_0002]);
    assert_eq!(config.map.u32("nodelist.node.1.nodeid"), Some(0xc800_0002));
    let cleared = conf(text.replace("version: 2", "version: 2\nclear_node_high_bit: yes")).unwrap();
    assert_eq!(ids(&cleared), [0x0a00_0001, 0x4800_0002]);
    // The number is 0x0a4d_0001.
    assert_eq!(id_from_address("10.77.0.1".parse().unwrap(), false), 172_818_433);

    let twice = node(&["ring0_addr: 10.0.0.1"]) + &node(&["ring0_addr: 10.0.0.2", "nodeid: 167772161"]);
    assert_eq!(refused(nodelist(&twice)), "Nodeid 167772161 appears twice in corosync.conf");
    let v6 = node(&["ring0_addr: fd00::1"]);
    assert_eq!(refused(nodelist(&v6)), "An IPV6 network requires that a node ID be specified");
    let zero = node(&["ring0_addr: 0.0.0.0", "name: n1"]);
    assert_eq!(refused(nodelist(&zero)), "the local node has no node id");
}

#[test]
fn ten_nodes_are_read_in_text_order() {
    let all: String =
        (1..=11).map(|n| node(&[&format!("ring0_addr: 10.0.0.{n}"), &format!("nodeid: {n}")])).collect();
    let config = conf(nodelist(&all)).unwrap();
    let order: Vec<u32> = config.nodes.iter().map(|node| node.position).collect();
    assert_eq!(order, [0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(config.totem.timeouts.token.as_millis(), 3000 + 9 * 650);
}

#[test]
fn names_resolve_to_the_preferred_family() {
    let nodes =
        node(&["ring0_addr: fd00::1", "nodeid: 1"]) + &node(&["ring0_addr: n2.example.org", "nodeid: 2"]);
    let config = conf(nodelist(&nodes)).unwrap();
    assert_eq!(config.members().last().unwrap().1.to_string(), "fd00::2");
    let four = nodelist(&nodes.replace("fd00::1", "10.0.0.1"))
        .replace("version: 2", "version: 2\nip_version: ipv4-6");
    assert_eq!(conf(four).unwrap().members().last().unwrap().1.to_string(), "10.0.0.2");
    let expected = "parse error in config: Nodes for link 0 have different IP families (compared n2.example.org with 10.0.0.1)";
    assert_eq!(refused(nodelist(&nodes.replace("fd00::1", "10.0.0.1"))), expected);
}

/// An equal address is preferred, then the first in the same subnet; an interface that is down does not count.
#[test]
fn an_address_selects_an_interface() {
    let mut all = vec![
        local("eth0", 2, "10.0.0.5", 24),
        local("eth1", 3, "10.0.0.6", 24),
        local("eth2", 4, "10.1.0.1", 16),
        local("eth2", 4, "fd00:0:0:1::1", 64),
        local("all", 5, "0.0.0.0", 0),
    ];
    let selected = |all: &[LocalAddress], address: &str| {
        let address: IpAddr = address.parse().unwrap();
        host::select(all, address).map(|local| local.address.to_string())
    };
    assert_eq!(selected(&all, "10.0.0.6").as_deref(), Some("10.0.0.6"));
    assert_eq!(selected(&all, "10.0.0.0").as_deref(), Some("10.0.0.5"));
    assert_eq!(selected(&all, "10.1.255.1").as_deref(), Some("10.1.0.1"));
    assert_eq!(selected(&all, "fd00:0:0:1:2::").as_deref(), Some("fd00:0:0:1::1"));
    assert_eq!(selected(&all, "fd00:0:0:2::").as_deref(), None);
    assert_eq!(selected(&all, "192.168.1.1").as_deref(), Some("0.0.0.0"));
    all[0].up = false;
    assert_eq!(selected(&all, "10.0.0.0").as_deref(), Some("10.0.0.6"));
}

#[test]
fn udp_derives_its_group_from_the_cluster_name() {
    let config = conf(two_nodes("udp", "")).unwrap();
    let link = config.link().unwrap();
    // "test": ((116 * 2 + 101) * 2 + 115) * 2 + 116 = 1678 = 6 * 256 + 142; 1678 mod 255 = 148.
    assert_eq!(link.multicast.unwrap().to_string(), "239.192.6.148");
    assert_eq!(config.map.text("totem.interface.0.mcastaddr").unwrap(), "239.192.6.148");
    let broadcast = conf(two_nodes("udp", "interface {\nbroadcast: yes\n}")).unwrap();
    assert_eq!(broadcast.link().unwrap().multicast.unwrap().to_string(), "255.255.255.255");
    assert!(broadcast.link().unwrap().broadcast);
}

#[test]
fn timers_out_of_range_are_refused() {
    let limits = r#"
        max_network_delay: 29 | The max_network_delay parameter (29 ms) may not be less than (30 ms).
        token: 29 | The token timeout parameter (29 ms) may not be less than (30 ms).
        token: 30 | Not appropriate token or token_retransmits_before_loss_const value set
        token_retransmit: 29 | The token retransmit timeout parameter (29 ms) may not be less than (30 ms).
        hold: 13 | The token hold timeout parameter (13 ms) may not be less than (14 ms).
        join: 29 | The join timeout parameter (29 ms) may not be less than (30 ms).
        consensus: 29 | The consensus timeout parameter (29 ms) may not be less than (30 ms).
        consensus: 49 | The consensus timeout parameter (49 ms) may not be less than join timeout (50 ms).
        merge: 29 | The merge timeout parameter (29 ms) may not be less than (30 ms).
        downcheck: 29 | The downcheck timeout parameter (29 ms) may not be less than (30 ms).
        token_warning: 101 | The token warning parameter (101%) must be between 0 (disabled) and 100.
    "#;
    for [line, message] in rows(limits) {
        let wanted = format!("parse error in config: {message}");
        assert_eq!(refused(two_nodes("udpu", &line)), wanted);
    }
    conf(two_nodes("udpu", "token_warning: 100\nhold: 14\njoin: 30\nmerge: 30\ntoken: 130")).unwrap();
}

/// A configuration with a watchdog gets a warning that it is not supported.
#[test]
fn an_unsupported_watchdog_is_warned_of() {
    let warnings = |more: &str| conf(two_nodes("udpu", "") + more).unwrap().warnings;
    let of = |line: &str| {
        format!("{line}:20 has no effect: this version serves no watchdog and watches no thresholds.")
    };
    let expected = [of("resources.watchdog_device = /dev/watchdog at test.conf")];
    assert_eq!(warnings("resources {\n watchdog_device: /dev/watchdog\n}\n"), expected);
    assert_eq!(
        warnings("resources {\n system {\n  memory_used {\n   recovery: shutdown\n}\n}\n}\n").len(),
        1
    );
    assert!(warnings("resources {\n watchdog_device: off\n watchdog_timeout: 6\n}\n").is_empty());
}

#[test]
fn a_reload_keeps_settings_that_need_a_restart() {
    let old = conf(two_nodes("udpu", "token: 1000\nnetmtu: 1400\njoin: 60")).unwrap();
    let new = conf(two_nodes("udpu", "token: 2000\nnetmtu: 1300\nip_version: ipv4")).unwrap();
    let changes = reload::changes(&old.map, &new.map);
    assert_eq!(changes.refused, ["totem.ip_version", "totem.netmtu"]);
    assert_eq!(changes.changed, ["totem.token", "totem.join"]);
    reload::check_links(&old, &new).unwrap();

    let moved = conf(two_nodes("udpu", "").replace("10.0.0.1\n", "127.0.0.1\n")).unwrap();
    let error = reload::check_links(&old, &moved).unwrap_err();
    let expected = "new config has different address for link 0 (addr changed from 10.0.0.1 to 127.0.0.1). \
         Internal value was NOT changed.";
    assert_eq!(error.message, expected);
}
