//! Errors that the kernel queues at a link's socket about datagrams sent earlier: ICMP messages, and MTUs.
//!
//! Anybody can forge ICMP messages; the engine decides how far to believe them.

use std::os::fd::AsFd;

use super::wire::Wire;
use crate::time::Instant;
use crate::transport::knet::{Engine, Fault, Path};
use crate::transport::sys;

/// Number of errors read at once; further ones are read next time.
const AT_ONCE: usize = 64;

/// What was found in the error queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queued {
    /// Whether there was any error.
    pub(super) any: bool,
    /// The MTU that a datagram sent just now exceeded.
    pub(super) mtu: Option<u16>,
}

/// Reads the error queue and reports the errors to the engine.
pub(super) fn read(wire: &Wire, link: u8, now: Instant, engine: &mut Engine) -> Queued {
    let mut found = Queued::default();
    let Some(socket) = wire.socket() else { return found };
    for _ in 0..AT_ONCE {
        // A queue that cannot be read has nothing useful in it.
        let Ok(Some(error)) = sys::queued_error(socket.as_fd()) else { break };
        found.any = true;
        let mtu = u16::try_from(error.info).unwrap_or(u16::MAX);
        if error.local {
            // The send call failed as well, and reports this itself.
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

/// The fault for an error number, except one about the length of a datagram.
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
