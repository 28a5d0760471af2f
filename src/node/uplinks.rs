//! Tells when an interface or an address of this host has changed.
//!
//! This is a netlink socket (`rtnetlink(7)`), of whose messages only the arrival counts: the watch then looks at the
//! interfaces at once, and not only every `downcheck`.

use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::unix::AsyncFd;

use super::doorbell::Doorbell;

/// The groups of messages: links, and addresses of both IP versions (`RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`,
/// `RTMGRP_IPV6_IFADDR`).
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// Messages read at a time. More wait in the socket, and count as further news.
const MOST: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct Uplinks(Option<AsyncFd<Doorbell>>);

impl Uplinks {
    /// Listens from now on. Where the system does not allow that, there is never any news. Needs a tokio runtime with IO.
    pub(super) fn new() -> Self {
        let open = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?; // 0: NETLINK_ROUTE
            bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            Doorbell::watch(socket)
        };
        match open() {
            Ok(news) => Self(Some(news)),
            Err(error) => {
                tracing::info!(
                    %error,
                    "the kernel does not say when interfaces change: they are looked at every totem.downcheck"
                );
                Self(None)
            }
        }
    }

    /// Whether anything has changed since the last call. If not, the task is woken when it does.
    pub(super) fn changed(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(news) = &self.0 else { return false };
        let mut any = false;
        for _ in 0..MOST {
            let Poll::Ready(Ok(mut ready)) = news.poll_read_ready(cx) else { return any };
            // A message that is longer is cut.
            match recv(news.get_ref(), &mut [0_u8; 64][..], RecvFlags::DONTWAIT) {
                Err(Errno::WOULDBLOCK) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                // Among the errors is that messages were lost, because there were too many.
                Ok(_) | Err(_) => any = true,
            }
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn nothing_is_told_while_nothing_changes_and_listening_is_possible() {
        let mut uplinks = Uplinks::new();
        assert!(uplinks.0.is_some(), "netlink is there");
        // Other tests may change interfaces meanwhile, but not all the time.
        let mut calm = 0;
        for _ in 0..50 {
            calm += u32::from(!poll_fn(|cx| Poll::Ready(uplinks.changed(cx))).await);
        }
        assert!(calm > 0);
    }
}
