//! The test's own sockets in the network of a host.

use super::Lab;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;

/// The network namespace of a process.
pub(super) fn network_of(inside: u32) -> File {
    File::open(format!("/proc/{inside}/ns/net")).expect("the process runs")
}

/// Moves the calling thread into a network namespace for the rest of its life.
pub(super) fn enter(network: &File) {
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
        .expect("enter the namespace");
}

impl Lab {
    /// A socket of host `k`, bound to an address of the host or of a multicast group.
    pub(crate) fn socket(&self, k: usize, address: impl ToSocketAddrs + Send + 'static) -> UdpSocket {
        let network = network_of(self.host(k).holder.inside);
        let open = move || {
            enter(&network);
            UdpSocket::bind(address).expect("bind")
        };
        std::thread::spawn(open).join().expect("a socket of the host")
    }
}
