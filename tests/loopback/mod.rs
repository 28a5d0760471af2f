//! Ports and addresses of the loopback interface that no other process uses: no other test, no other run on this
//! machine, and no program that gets its port from the system.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that systems assign (32768 and up), and above those of `annulusd --dev`.
const FIRST: u16 = 30_000;
/// Number of pairs of ports in that range.
const PAIRS: u16 = 1380;

/// A UDP port that is free, with the one below it, on all addresses of this host.
pub(crate) fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Each process starts at another place, so that two of them do not find the same port free at the same time.
    let start = (std::process::id() % u32::from(PAIRS)) as u16 * 37;
    for _ in 0..PAIRS {
        let pair = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PAIRS;
        let ports = [FIRST + 2 * pair, FIRST + 2 * pair + 1];
        if ports.iter().all(|port| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok()) {
            return ports[1];
        }
    }
    panic!("no two neighbouring UDP ports are free from {FIRST} on");
}

/// The address of host `host` on one of this process's two networks in 127.0.0.0/8.
#[allow(dead_code)] // not every test program needs addresses of its own
pub(crate) fn address(network: bool, host: u8) -> Ipv4Addr {
    let process = (std::process::id() % 16_000) as u16 * 2 + u16::from(network);
    let [high, low] = process.to_be_bytes();
    Ipv4Addr::new(127, high + 1, low, host)
}
