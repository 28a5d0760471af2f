//! The facts about a host that its configuration depends on. They come through a trait, so that tests can make up
//! hosts.

use std::net::IpAddr;

/// One address of one network interface of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// Name of the interface, such as `eth0`.
    pub interface: String,
    /// Index of the interface.
    pub index: u32,
    /// The IP address.
    pub address: IpAddr,
    /// Length of the network part of the address, in bits.
    pub prefix: u8,
    /// Whether the interface is up.
    pub up: bool,
}

impl LocalAddress {
    /// Whether `other` lies in the subnet of this address.
    pub fn shares_subnet(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let host_bits = 32 - u32::from(self.prefix.min(32));
                let differing = u32::from(own) ^ u32::from(other);
                differing.checked_shr(host_bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let host_bits = 128 - u32::from(self.prefix.min(128));
                let differing = u128::from(own) ^ u128::from(other);
                differing.checked_shr(host_bits).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The host of a configuration: its name, addresses, name service and accounts.
pub trait Host {
    /// The name of this host, as from `uname -n`.
    fn name(&self) -> String;

    /// The addresses of its interfaces, in the system's order. Empty if they cannot be listed.
    fn addresses(&self) -> Vec<LocalAddress>;

    /// The addresses of a host name or a literal address, in the resolver's order; empty if unknown.
    fn resolve(&self, name: &str) -> Vec<IpAddr>;

    /// As [`Host::resolve`], each address with the index of its interface, as link-local addresses may have one; 0
    /// for none.
    fn resolve_scoped(&self, name: &str) -> Vec<(IpAddr, u32)> {
        self.resolve(name).into_iter().map(|address| (address, 0)).collect()
    }

    /// The name of an address, if the name service has one.
    fn reverse(&self, address: IpAddr) -> Option<String>;

    /// The id of a user in the system's account database.
    fn user(&self, name: &str) -> Option<u32>;

    /// The id of a group in the system's account database.
    fn group(&self, name: &str) -> Option<u32>;
}

/// The local address that a configured address selects: the equal one, or else the first whose subnet contains it.
/// Only addresses of interfaces that are up count.
///
/// So a `ring0_addr` may also select another address of its subnet. Source: corosync `exec/totemip.c`,
/// `totemip_iface_check`.
pub fn select(addresses: &[LocalAddress], configured: IpAddr) -> Option<&LocalAddress> {
    let usable = || addresses.iter().filter(|local| local.up);
    usable()
        .find(|local| local.address == configured)
        .or_else(|| usable().find(|local| local.shares_subnet(configured)))
}
