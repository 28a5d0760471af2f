//! The addresses of this host's network interfaces, as the kernel lists them.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

/// One address of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// Name of the interface, without the label that an address may have (`eth0` of `eth0:1`).
    pub(crate) interface: String,
    /// Index of the interface; 0 if it disappeared while the list was made.
    pub(crate) index: u32,
    /// Whether the interface is up.
    pub(crate) up: bool,
    pub(crate) address: IpAddr,
    /// The network mask, of the same IP version as the address; `None` if the kernel names none.
    pub(crate) mask: Option<IpAddr>,
}

/// The IP addresses of all interfaces in this thread's network namespace, in the kernel's order.
pub(crate) fn addresses() -> io::Result<Vec<Address>> {
    let list = getifaddrs()?;
    Ok(list
        .filter_map(|entry| {
            let address = ip(entry.address.as_ref()?)?;
            let interface = without_label(&entry.interface_name).to_owned();
            Some(Address {
                index: if_nametoindex(interface.as_str()).unwrap_or(0),
                interface,
                up: entry.flags.contains(InterfaceFlags::IFF_UP),
                address,
                mask: entry.netmask.as_ref().and_then(ip),
            })
        })
        .collect())
}

/// The kernel lists an address that has a label under the label, which begins with the name of the interface.
fn without_label(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

fn ip(socket: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = socket.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| socket.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_is_listed_with_interface_and_mask() {
        let all = addresses().unwrap();
        let lo = all.iter().find(|one| one.address.is_ipv4() && one.address.is_loopback()).unwrap();
        assert_eq!((lo.interface.as_str(), lo.index, lo.up), ("lo", 1, true));
        assert_eq!(lo.mask, Some("255.0.0.0".parse().unwrap()));
    }

    #[test]
    fn every_address_has_an_interface_and_a_mask_of_its_version() {
        for one in addresses().unwrap() {
            assert!(one.index != 0 && !one.interface.contains(':'), "{one:?}");
            assert_eq!(one.mask.map(|mask| mask.is_ipv4()), Some(one.address.is_ipv4()), "{one:?}");
        }
    }

    #[test]
    fn an_address_with_a_label_counts_to_its_interface() {
        assert_eq!(without_label("eth0:1"), "eth0");
        assert_eq!(without_label("eth0"), "eth0");
    }
}
