//! The real host, queried through the C library, which is the only access to the interfaces with their netmasks, the
//! reverse name service and the account database.
#![allow(
    unsafe_code,
    reason = "getifaddrs, getnameinfo, getpwnam_r and getgrnam_r have no safe counterpart here"
)]

use std::ffi::{CStr, CString};
use std::mem::{MaybeUninit, size_of};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::ptr;

use super::host::{Host, LocalAddress};

/// Largest buffer for one entry of the account database, in bytes, as a group can have many members.
const ACCOUNT_LIMIT: usize = 1 << 20;

/// The host that this program runs on.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsHost;

impl Host for OsHost {
    fn name(&self) -> String {
        node_name().unwrap_or_default()
    }

    fn addresses(&self) -> Vec<LocalAddress> {
        interface_addresses()
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
        let name = CString::new(name).ok()?;
        account(|buffer| {
            let mut entry = MaybeUninit::<libc::passwd>::uninit();
            let mut found = ptr::null_mut();
            // SAFETY: all pointers are valid for the call, and the length is that of the buffer.
            let error = unsafe {
                libc::getpwnam_r(
                    name.as_ptr(),
                    entry.as_mut_ptr(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    &mut found,
                )
            };
            // SAFETY: a non-null result points to `entry`, which the call has then filled.
            (error, unsafe { found.as_ref() }.map(|entry| entry.pw_uid))
        })
    }

    fn group(&self, name: &str) -> Option<u32> {
        let name = CString::new(name).ok()?;
        account(|buffer| {
            let mut entry = MaybeUninit::<libc::group>::uninit();
            let mut found = ptr::null_mut();
            // SAFETY: all pointers are valid for the call, and the length is that of the buffer.
            let error = unsafe {
                libc::getgrnam_r(
                    name.as_ptr(),
                    entry.as_mut_ptr(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    &mut found,
                )
            };
            // SAFETY: a non-null result points to `entry`, which the call has then filled.
            (error, unsafe { found.as_ref() }.map(|entry| entry.gr_gid))
        })
    }
}

fn node_name() -> Option<String> {
    let mut about = MaybeUninit::<libc::utsname>::uninit();
    // SAFETY: the pointer is valid for the call.
    if unsafe { libc::uname(about.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call succeeded and so has filled it.
    let about = unsafe { about.assume_init() };
    let name: Vec<u8> = about.nodename.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect();
    Some(String::from_utf8_lossy(&name).into_owned())
}

/// Queries the account database with growing buffers until one is large enough.
fn account(mut ask: impl FnMut(&mut [u8]) -> (libc::c_int, Option<u32>)) -> Option<u32> {
    let mut buffer = vec![0; 4096];
    loop {
        let (error, id) = ask(&mut buffer);
        if error != libc::ERANGE || buffer.len() >= ACCOUNT_LIMIT {
            return id;
        }
        buffer.resize(buffer.len() * 2, 0);
    }
}

fn interface_addresses() -> Vec<LocalAddress> {
    let mut first = ptr::null_mut();
    // SAFETY: the pointer is valid; on success the list it then points to is freed below.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Vec::new();
    }
    let mut all = Vec::new();
    let mut next = first;
    // SAFETY: every element of the list is valid until `freeifaddrs`, and the last one's next is null.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // SAFETY: both are null or point to a socket address of the list, which is not yet freed.
        let (Some(address), mask) = (unsafe { (address(entry.ifa_addr), address(entry.ifa_netmask)) }) else {
            continue;
        };
        // SAFETY: the name is a C string of the list.
        let name = unsafe { CStr::from_ptr(entry.ifa_name) };
        // SAFETY: as above; the call keeps nothing of it.
        let index = unsafe { libc::if_nametoindex(entry.ifa_name) };
        let ones = match mask {
            Some(IpAddr::V4(mask)) => u32::from(mask).count_ones(),
            Some(IpAddr::V6(mask)) => u128::from(mask).count_ones(),
            None => 128,
        };
        all.push(LocalAddress {
            interface: name.to_string_lossy().into_owned(),
            index,
            address,
            prefix: ones as u8, // at most 128
            up: entry.ifa_flags & libc::IFF_UP as libc::c_uint != 0,
        });
    }
    // SAFETY: `first` came from `getifaddrs`, and nothing of the list is used any more.
    unsafe { libc::freeifaddrs(first) };
    all
}

/// The IP address in a socket address of the C library; `None` for null or another family.
///
/// # Safety
/// `socket` is null or points to a socket address as long as its family says.
unsafe fn address(socket: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: the caller vouches for it.
    let family = i32::from(unsafe { socket.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: the family says which type it is; read unaligned because nobody promises more.
            let v4 = unsafe { socket.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { socket.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(v6.sin6_addr.s6_addr).into())
        }
        _ => None,
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
