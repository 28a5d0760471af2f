//! Finds the address and interface of this host that a configured address refers to (Corosync's totemip).

use std::io;
use std::net::IpAddr;

use super::TransportError;
use crate::interfaces;

/// The local address to which sockets are bound, and the interface that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) addr: IpAddr,
    pub(super) interface: String,
    pub(super) index: u32,
}

/// An address of one of this host's interfaces.
#[derive(Clone, Debug)]
struct Held {
    name: String,
    index: u32,
    up: bool,
    addr: IpAddr,
    mask: u128,
}

impl Held {
    fn same_network(&self, other: IpAddr) -> bool {
        self.addr.is_ipv4() == other.is_ipv4() && bits(self.addr) & self.mask == bits(other) & self.mask
    }

    /// Whether `wanted` denotes the network of this address: equal under the network mask, with host part
    /// zero.
    fn is_in_network(&self, wanted: IpAddr) -> bool {
        self.same_network(wanted) && bits(wanted) & self.mask == bits(wanted)
    }
}

/// Finds the local address that `wanted` refers to: `wanted` itself, or the first address in the network with
/// that address. If `interface` is given, only that interface is searched.
///
/// If no interface has a host address, Corosync uses *any* address of the same network. Here that is an
/// error, because peers send to the configured address, which no node would have.
pub(super) fn find(wanted: IpAddr, interface: Option<&str>) -> Result<Local, TransportError> {
    let held = held().map_err(|source| TransportError::Socket { action: "list the interfaces", source })?;
    let found = choose(&held, wanted, interface);
    match found {
        Some(found) if !found.0.up => {
            Err(TransportError::InterfaceDown { interface: found.0.name.clone(), address: wanted })
        }
        Some((found, addr)) => Ok(Local { addr, interface: found.name.clone(), index: found.index }),
        None => Err(TransportError::NotLocal {
            address: wanted,
            interface: interface.map(|interface| format!("%{interface}")).unwrap_or_default(),
            present: describe(&held, wanted),
        }),
    }
}

/// Whether any socket has joined the multicast `group` on interface `index`; `true` if that cannot be
/// determined.
pub(super) fn is_joined(group: IpAddr, index: u32) -> bool {
    // `thread-self`, because threads of one process may be in different network namespaces.
    match group {
        IpAddr::V4(group) => match std::fs::read_to_string("/proc/thread-self/net/igmp") {
            Ok(table) => igmp_lists(&table, group.octets(), index),
            Err(_) => true,
        },
        IpAddr::V6(group) => match std::fs::read_to_string("/proc/thread-self/net/igmp6") {
            Ok(table) => igmp6_lists(&table, &format!("{:032x}", u128::from(group)), index),
            Err(_) => true,
        },
    }
}

fn held() -> io::Result<Vec<Held>> {
    let list = interfaces::addresses()?;
    Ok(list
        .into_iter()
        // Number 0: the interface disappeared while the list was made.
        .filter(|one| one.index != 0)
        .filter_map(|one| {
            let mask = bits(one.mask?);
            Some(Held { name: one.interface, index: one.index, up: one.up, addr: one.address, mask })
        })
        .collect())
}

fn choose<'a>(held: &'a [Held], wanted: IpAddr, interface: Option<&str>) -> Option<(&'a Held, IpAddr)> {
    let here = || held.iter().filter(|held| interface.is_none_or(|interface| held.name == interface));
    // The same link-local address may be on an interface that is down and on another one that is up.
    let mut exact = here().filter(|held| held.addr == wanted);
    if let Some(exact) = exact.clone().find(|held| held.up).or_else(|| exact.next()) {
        return Some((exact, wanted));
    }
    // Every address of 127.0.0.0/8 belongs to this host, whether listed or not.
    if let Some(loopback) = here().find(|held| {
        wanted.is_ipv4() && wanted.is_loopback() && held.addr.is_loopback() && held.same_network(wanted)
    }) {
        return Some((loopback, wanted));
    }
    here().find(|held| held.is_in_network(wanted)).map(|held| (held, held.addr))
}

fn describe(held: &[Held], wanted: IpAddr) -> String {
    let same: Vec<_> = held
        .iter()
        .filter(|held| held.addr.is_ipv4() == wanted.is_ipv4())
        .map(|held| format!("{} on {}", held.addr, held.name))
        .take(8)
        .collect();
    if same.is_empty() {
        format!("it has no IPv{} address", if wanted.is_ipv4() { 4 } else { 6 })
    } else {
        format!("it has {}", same.join(", "))
    }
}

fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u32::from(addr).into(),
        IpAddr::V6(addr) => addr.into(),
    }
}

/// In `/proc/net/igmp` the line of an interface starts with its number. Its groups follow, indented, each as
/// its four bytes in memory printed as a number in the host's byte order.
fn igmp_lists(table: &str, group: [u8; 4], index: u32) -> bool {
    let group = format!("{:08X}", u32::from_ne_bytes(group));
    let mut current = None;
    for line in table.lines().skip(1) {
        let Some(first) = line.split_whitespace().next() else { continue };
        if !line.starts_with(['\t', ' ']) {
            current = first.parse::<u32>().ok();
        } else if current == Some(index) && first == group {
            return true;
        }
    }
    false
}

/// In `/proc/net/igmp6` each line is one group: number of the interface, its name, the group.
fn igmp6_lists(table: &str, group: &str, index: u32) -> bool {
    table.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next().and_then(|word| word.parse().ok()) == Some(index) && words.nth(1) == Some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Vec<Held> {
        let held = |name: &str, index, up, addr: &str, mask: &str| Held {
            name: name.into(),
            index,
            up,
            addr: addr.parse().unwrap(),
            mask: bits(mask.parse().unwrap()),
        };
        vec![
            held("lo", 1, true, "127.0.0.1", "255.0.0.0"),
            held("eth0", 2, true, "10.1.0.7", "255.255.255.0"),
            held("eth0", 2, true, "10.1.0.8", "255.255.255.0"),
            held("eth1", 3, false, "fd00::7", "ffff:ffff:ffff:ffff::"),
            held("eth1", 3, false, "fe80::1", "ffff:ffff:ffff:ffff::"),
            held("eth2", 4, true, "fe80::1", "ffff:ffff:ffff:ffff::"),
            held("eth3", 5, true, "fe80::1", "ffff:ffff:ffff:ffff::"),
        ]
    }

    fn chosen(wanted: &str) -> Option<String> {
        let held = host();
        let (address, interface) = wanted.split_once('%').map_or((wanted, None), |(a, i)| (a, Some(i)));
        choose(&held, address.parse().unwrap(), interface)
            .map(|(held, addr)| format!("{addr} {} {}", held.name, held.index))
    }

    #[test]
    fn an_address_means_itself_and_a_network_means_its_first_address() {
        assert_eq!(chosen("10.1.0.8").as_deref(), Some("10.1.0.8 eth0 2"));
        assert_eq!(chosen("10.1.0.0").as_deref(), Some("10.1.0.7 eth0 2"));
        assert_eq!(chosen("127.0.0.3").as_deref(), Some("127.0.0.3 lo 1"));
        assert_eq!(chosen("fd00::").as_deref(), Some("fd00::7 eth1 3"));
    }

    /// Several interfaces may have the same link-local address.
    #[test]
    fn a_named_interface_must_have_the_address() {
        assert_eq!(chosen("fe80::1%eth3").as_deref(), Some("fe80::1 eth3 5"));
        assert_eq!(chosen("fe80::%eth3").as_deref(), Some("fe80::1 eth3 5"));
        assert_eq!(chosen("fe80::1%eth1").as_deref(), Some("fe80::1 eth1 3"));
        assert_eq!(chosen("fe80::1").as_deref(), Some("fe80::1 eth2 4"), "the first that is up");
        assert_eq!(chosen("fe80::1%eth0"), None);
        assert_eq!(chosen("10.1.0.7%eth1"), None);
    }

    /// Peers would send to an address that no node has.
    #[test]
    fn another_address_of_the_network_does_not_replace_a_missing_one() {
        assert_eq!(chosen("10.1.0.9"), None);
        assert_eq!(chosen("::7f00:1"), None);
        assert_eq!(
            describe(&host(), "10.1.0.9".parse().unwrap()),
            "it has 127.0.0.1 on lo, 10.1.0.7 on eth0, 10.1.0.8 on eth0"
        );
    }

    #[test]
    fn group_tables_of_the_kernel_are_parsed() {
        let group = [239, 192, 1, 9];
        let shown = format!("{:08X}", u32::from_ne_bytes(group));
        let table = format!(
            "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n1\tlo        :     1      V3\n\
             \t\t\t\t010000E0     1 0:00000000\t\t0\n4\teth0      :     2      V3\n\
             \t\t\t\t{shown}     1 0:00000000\t\t0\n"
        );
        assert!(igmp_lists(&table, group, 4));
        assert!(!igmp_lists(&table, group, 1));
        assert!(!igmp_lists(&table, [239, 192, 1, 8], 4));
        let group = "ff150000000000000000000000001234";
        let table = format!("4    eth0            {group}     1 0000000C 0\n");
        assert!(igmp6_lists(&table, group, 4));
        assert!(!igmp6_lists(&table, group, 1));
    }
}
