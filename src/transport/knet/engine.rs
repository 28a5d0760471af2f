//! The decisions of a knet transport: which packets leave on which links, which messages come in, which links work.
//!
//! Whoever drives it passes the time, sends what [`Engine::poll_output`] gives, sealed, and brings what came,
//! opened. It works on plain packets: of encryption it knows only the [`Sizes`].

use std::net::IpAddr;

use bytes::Bytes;

use super::arrival::{Arrival, DropReason};
use super::output::{Burst, Fault, LinkView, Output, PacketKind, Path, Refused};
use super::settings::Settings;
use super::sizes::Sizes;
use super::stats::{Drops, HandleStats};
use crate::ids::{Destination, NodeId};
use crate::time::Instant;
use crate::value::Value;

/// See the module.
#[derive(Debug)]
pub struct Engine {}

impl Engine {
    /// An engine in which no link is up yet. `epoch`: a number that was never used before, such as a random one;
    /// a pong that answers a ping of an earlier life is told from ours by it.
    ///
    /// # Errors
    /// The settings contradict themselves.
    pub fn new(settings: Settings, sizes: Sizes, epoch: u64, now: Instant) -> Result<Self, Refused> {
        todo!("{settings:?} {sizes:?} {epoch} {now:?}")
    }

    /// Sends a message to the other hosts; [`Destination::All`] is all that are reachable. A message for this node
    /// itself must not be given.
    pub fn send(&mut self, now: Instant, to: Destination, message: &Bytes) {
        todo!("{now:?} {to:?} {message:?}")
    }

    /// Takes a plain packet that came from this address on this link's socket. `Ok(None)`: it was understood, and
    /// no message is complete by it.
    ///
    /// # Errors
    /// Why it was dropped; it is counted.
    pub fn receive<'p>(
        &mut self,
        now: Instant,
        link: u8,
        from: IpAddr,
        packet: &'p [u8],
    ) -> Result<Option<Arrival<'p>>, DropReason> {
        todo!("{now:?} {link} {from} {packet:?}")
    }

    /// The kernel refused to send a packet on this path.
    pub fn not_sent(&mut self, now: Instant, path: Path, kind: PacketKind, fault: Fault) {
        todo!("{now:?} {path:?} {kind:?} {fault:?}")
    }

    /// The kernel reported an error of a packet that it had sent on this path before (the socket's error queue). It may
    /// come from an ICMP message that anybody forged.
    pub fn reported(&mut self, now: Instant, path: Path, fault: Fault) {
        todo!("{now:?} {path:?} {fault:?}")
    }

    /// The socket's buffer was full, so the packet was sent again later. Only counts.
    pub fn retried(&mut self, path: Path, kind: PacketKind) {
        todo!("{path:?} {kind:?}")
    }

    /// Takes a burst back that was sent; its memory is used for the next ones.
    pub fn recycle(&mut self, burst: Burst) {
        todo!("{burst:?}")
    }

    /// This host's address on a link is gone, or back.
    pub fn set_interface(&mut self, now: Instant, link: u8, up: bool) {
        todo!("{now:?} {link} {up}")
    }

    /// Encryption changed.
    pub fn set_sizes(&mut self, now: Instant, sizes: Sizes) {
        todo!("{now:?} {sizes:?}")
    }

    /// Whether [`Engine::reconfigure`] would take these settings.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, settings: &Settings) -> Result<(), Refused> {
        todo!("{settings:?}")
    }

    /// Goes over to other settings: hosts and links come and go, links that stay keep their state.
    ///
    /// # Errors
    /// Refused as a whole.
    pub fn reconfigure(&mut self, now: Instant, settings: Settings) -> Result<(), Refused> {
        todo!("{now:?} {settings:?}")
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!("{now:?}")
    }

    /// When something is due.
    pub fn deadline(&self) -> Instant {
        todo!()
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }

    /// Whether any link to the host works.
    pub fn reaches(&self, host: NodeId) -> bool {
        todo!("{host}")
    }

    /// User bytes of a fragment now.
    pub fn fragment_size(&self) -> usize {
        todo!()
    }

    /// How each link to each other host is, by host and link.
    pub fn links(&self) -> Vec<LinkView> {
        todo!()
    }

    /// Every key below `stats.knet.nodeN.linkL.` of each link, by node and link; this node's link 0 to itself is one.
    pub fn link_stats(&self) -> Vec<(Path, [(&'static str, Value); 39])> {
        todo!()
    }

    /// The counters of all links together; whoever encrypts counts it here.
    pub fn handle_stats_mut(&mut self) -> &mut HandleStats {
        todo!()
    }

    /// The counters of all links together.
    pub fn handle_stats(&self) -> &HandleStats {
        todo!()
    }

    /// What was dropped.
    pub fn drops(&self) -> &Drops {
        todo!()
    }

    /// Counts a message for this node alone, which did not come here.
    pub fn count_looped(&mut self, bytes: usize) {
        todo!("{bytes}")
    }

    /// All counters are 0, as after `stats.clear.knet`.
    pub fn clear_stats(&mut self) {
        todo!()
    }

    /// What it goes by.
    pub fn settings(&self) -> &Settings {
        todo!()
    }
}
