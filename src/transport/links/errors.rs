//! What the kernel queues at a link's socket about datagrams that it took before: ICMP messages, and MTUs.
//!
//! Anybody can forge ICMP: what it is worth, the engine decides.

use std::os::fd::AsFd;

use super::wire::Wire;
use crate::time::Instant;
use crate::transport::knet::{Engine, Fault, Path};
use crate::transport::sys;

/// Errors read at once; more come with the next look.
const AT_ONCE: usize = 64;

/// What a look into the queue found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queued {
    /// There was something.
    pub(super) any: bool,
    /// The MTU that a datagram of just now was too long for.
    pub(super) mtu: Option<u16>,
}

/// Reads the queue and tells the engine.
pub(super) fn read(wire: &Wire, link: u8, now: Instant, engine: &mut Engine) -> Queued {
    let mut found = Queued::default();
    let Some(socket) = wire.socket() else { return found };
    for _ in 0..AT_ONCE {
        // A queue that cannot be read holds nothing of use.
        let Ok(Some(error)) = sys::queued_error(socket.as_fd()) else { break };
        found.any = true;
        let mtu = u16::try_from(error.info).unwrap_or(u16::MAX);
        if error.local {
            // The call that sent it has failed as well, and is told of there.
            if error.errno == libc::EMSGSIZE {
                found.mtu = Some(mtu);
            }
            continue;
        }
        let Some(host) = error.to.and_then(|to| wire.host_at(to.ip())) else { continue };
        let what = if error.errno == libc::EMSGSIZE { Fault::TooLong(Some(mtu)) } else { fault(error.errno) };
        engine.reported(now, Path { host, link }, what);
    }
    found
}

/// What an error means, but for one of length.
pub(super) const fn fault(errno: i32) -> Fault {
    match errno {
        libc::ECONNREFUSED
        | libc::ECONNABORTED
        | libc::ENONET
        | libc::ENETUNREACH
        | libc::EHOSTUNREACH
        | libc::EHOSTDOWN
        | libc::ENETDOWN => Fault::Unreachable,
        other => Fault::Other(other),
    }
}
