//! The real host, queried through the C library, which is the only access to the interfaces with their netmasks, the
//! reverse name service and the account database.
#![allow(unsafe_code, reason = "getnameinfo has no safe counterpart in the libraries that are used")]

use std::ffi::CStr;
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::ptr;

use nix::unistd::{Group, User};

use super::host::{Host, LocalAddress};
use crate::interfaces;

/// The host that this program runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsHost;

impl Host for OsHost {
    fn name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    fn addresses(&self) -> Vec<LocalAddress> {
        interfaces::addresses().unwrap_or_default().into_iter().map(local).collect()
    }

    fn resolve(&self, name: &str) -> Vec<IpAddr> {
        self.resolve_scoped(name).into_iter().map(|(address, _)| address).collect()
    }

    fn resolve_scoped(&self, name: &str) -> Vec<(IpAddr, u32)> {
        if let Ok(address) = name.parse() {
            return vec![(address, 0)];
        }
        let scope = |socket: &SocketAddr| match socket {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        };
        // The port is unused; the standard library resolves socket addresses only.
        match (name, 0).to_socket_addrs() {
            Ok(found) => found.map(|socket| (socket.ip(), scope(&socket))).collect(),
            Err(_) => Vec::new(),
        }
    }

    fn reverse(&self, address: IpAddr) -> Option<String> {
        reverse_name(address)
    }

    fn user(&self, name: &str) -> Option<u32> {
        User::from_name(name).ok()?.map(|user| user.uid.as_raw())
    }

    fn group(&self, name: &str) -> Option<u32> {
        Group::from_name(name).ok()?.map(|group| group.gid.as_raw())
    }
}

fn local(one: interfaces::Address) -> LocalAddress {
    let ones = match one.mask {
        Some(IpAddr::V4(mask)) => u32::from(mask).count_ones(),
        Some(IpAddr::V6(mask)) => u128::from(mask).count_ones(),
        None => 128,
    };
    LocalAddress {
        interface: one.interface,
        index: one.index,
        address: one.address,
        prefix: ones as u8, // at most 128
        up: one.up,
    }
}

fn reverse_name(address: IpAddr) -> Option<String> {
    let mut name = [0u8; libc::NI_MAXHOST as usize];
    let mut ask = |socket: *const libc::sockaddr, length: usize| {
        // SAFETY: both buffers are valid with the lengths given; no service name is asked for.
        unsafe {
            libc::getnameinfo(
                socket,
                length as libc::socklen_t,
                name.as_mut_ptr().cast(),
                name.len() as libc::socklen_t,
                ptr::null_mut(),
                0,
                libc::NI_NAMEREQD,
            )
        }
    };
    let error = match address {
        IpAddr::V4(v4) => {
            // SAFETY: all zeros is a valid value of this type.
            let mut socket: libc::sockaddr_in = unsafe { MaybeUninit::zeroed().assume_init() };
            socket.sin_family = libc::AF_INET as libc::sa_family_t;
            socket.sin_addr.s_addr = u32::from(v4).to_be();
            ask((&raw const socket).cast(), size_of::<libc::sockaddr_in>())
        }
        IpAddr::V6(v6) => {
            // SAFETY: all zeros is a valid value of this type.
            let mut socket: libc::sockaddr_in6 = unsafe { MaybeUninit::zeroed().assume_init() };
            socket.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            socket.sin6_addr.s6_addr = v6.octets();
            ask((&raw const socket).cast(), size_of::<libc::sockaddr_in6>())
        }
    };
    if error != 0 {
        return None;
    }
    Some(CStr::from_bytes_until_nul(&name).ok()?.to_string_lossy().into_owned())
}
