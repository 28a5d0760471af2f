//! The UDP port from which a peer sends, checked so that another program on the peer's host cannot
//! impersonate its daemon.
//!
//! The source address alone identifies a host, not a program: any local user can send from it. But the
//! daemon's own port cannot be used by another program while the daemon has it.
//!
//! * On udp every implementation, Corosync included, sends everything from the port below the ring's.
//!   Datagrams from other ports are refused.
//! * On udpu this implementation sends everything from the ring's port. Corosync sends only its tokens from
//!   there, and everything else from ports that the kernel chooses. So the first datagram from the ring's
//!   port that Corosync never sends from it ([`Shows::OnePort`]) proves that the peer is this implementation,
//!   and from then on datagrams from other ports of that address are refused. The proof is forgotten when the
//!   peer leaves, or when it is in no ring with this node and has been silent for [`FORGOTTEN`], because a
//!   host may change from this implementation to Corosync.

use std::time::{Duration, Instant};

/// Silence after which a peer that is in no ring with this node may send from any port again.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(5);

/// What a datagram from the ring's port shows about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// The sender sends everything from the ring's port: Corosync does not send this kind of datagram from
    /// there.
    OnePort,
    /// The sender is about to stop; another implementation may follow at its address.
    Leaving,
    /// The datagram shows nothing about the sender's port.
    Nothing,
}

/// What is known of the source port of one peer on udpu.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SourcePort {
    /// Set once the peer has shown that it sends everything from the ring's port: the time when it was last
    /// heard while it was not a member.
    fixed: Option<Instant>,
    /// Whether the peer is in a ring with this node.
    member: bool,
}

impl SourcePort {
    /// Whether to accept a datagram; `shows` is called only for one from the ring's port.
    pub(super) fn admits(&mut self, from_ring_port: bool, shows: impl FnOnce() -> Shows) -> bool {
        if !from_ring_port {
            let forgotten = !self.member && self.fixed.is_some_and(|heard| heard.elapsed() >= FORGOTTEN);
            if forgotten {
                self.fixed = None;
            }
            return self.fixed.is_none();
        }
        match (shows(), self.fixed) {
            (Shows::Leaving, _) => self.fixed = None,
            (Shows::OnePort, None) => self.fixed = Some(Instant::now()),
            (Shows::OnePort | Shows::Nothing, Some(_)) if !self.member => self.fixed = Some(Instant::now()),
            (Shows::OnePort, Some(_)) | (Shows::Nothing, _) => {}
        }
        true
    }

    /// Sets whether the peer is in a ring with this node.
    pub(super) fn set_member(&mut self, member: bool) {
        if self.member && !member && self.fixed.is_some() {
            self.fixed = Some(Instant::now());
        }
        self.member = member;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(port: &mut SourcePort) {
        port.fixed = port.fixed.and_then(|heard| heard.checked_sub(FORGOTTEN));
    }

    #[test]
    fn a_peer_that_proved_its_port_is_accepted_from_it_only() {
        let mut port = SourcePort::default();
        assert!(port.admits(false, || Shows::Nothing), "nothing is known yet");
        assert!(port.admits(true, || Shows::Nothing), "a token, as Corosync sends it");
        assert!(port.admits(false, || Shows::Nothing), "and its data");
        assert!(port.admits(true, || Shows::OnePort));
        assert!(!port.admits(false, || Shows::Nothing));
    }

    #[test]
    fn a_silent_member_keeps_its_proven_port() {
        let mut port = SourcePort::default();
        port.admits(true, || Shows::OnePort);
        port.set_member(true);
        later(&mut port);
        assert!(!port.admits(false, || Shows::Nothing));
        port.set_member(false);
        assert!(!port.admits(false, || Shows::Nothing), "its silence counts from here");
        later(&mut port);
        assert!(port.admits(false, || Shows::Nothing));
    }

    #[test]
    fn a_peer_may_use_any_port_again_after_leaving_or_long_silence() {
        let mut port = SourcePort::default();
        port.admits(true, || Shows::OnePort);
        later(&mut port);
        port.admits(true, || Shows::Nothing);
        assert!(!port.admits(false, || Shows::Nothing), "it was heard");
        later(&mut port);
        assert!(port.admits(false, || Shows::Nothing));
        port.admits(true, || Shows::OnePort);
        port.admits(true, || Shows::Leaving);
        assert!(port.admits(false, || Shows::Nothing));
    }
}
