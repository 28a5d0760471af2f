//! From which UDP port a peer sends, so that another program on its host cannot speak for it.
//!
//! The address alone says which host a datagram comes from, not which program: any local user can send from there. The
//! daemon's own port can be used by nobody else while the daemon has it.
//!
//! * On udp every implementation, Corosync's too, sends everything from the port below the ring's. Nothing else is
//!   taken.
//! * On udpu this implementation sends everything from the ring's port. Corosync sends only its tokens from there, all
//!   else from ports that the kernel chooses. So what a peer's datagrams show is remembered: one that only a daemon of
//!   ours sends from the ring's port ([`Shows::OnePort`]) is the proof, and from then on nothing else is taken from that
//!   address. It is forgotten when the peer takes its leave, or when it is in no ring with this node and has been silent
//!   for [`FORGOTTEN`]: a host may change from this implementation to Corosync.

use std::time::{Duration, Instant};

/// Silence after which a peer that is in no ring with this node may send from any port again.
pub(super) const FORGOTTEN: Duration = Duration::from_secs(5);

/// What a datagram from the ring's port shows about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// It sends everything from the ring's port: what Corosync sends from there is not of this kind.
    OnePort,
    /// It is about to end; another implementation may follow at its address.
    Leaving,
    /// The datagram shows nothing of its sender's port.
    Nothing,
}

/// What is known of one peer on udpu.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SourcePort {
    /// Since it was shown that the peer sends everything from the ring's port: when it was last heard while it was not
    /// a member.
    fixed: Option<Instant>,
    /// It is in a ring with this node.
    member: bool,
}

impl SourcePort {
    /// Whether to take a datagram; `shows` is asked only for one from the ring's port.
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

    /// Whether the peer is in a ring with this node from now on.
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
    fn a_peer_that_shows_one_port_is_heard_from_there_only() {
        let mut port = SourcePort::default();
        assert!(port.admits(false, || Shows::Nothing), "nothing is known yet");
        assert!(port.admits(true, || Shows::Nothing), "a token, as Corosync sends it");
        assert!(port.admits(false, || Shows::Nothing), "and its data");
        assert!(port.admits(true, || Shows::OnePort));
        assert!(!port.admits(false, || Shows::Nothing));
    }

    #[test]
    fn a_member_stays_fixed_however_silent_it_is() {
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
    fn a_peer_that_was_silent_for_long_or_took_its_leave_may_come_back_as_another() {
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
