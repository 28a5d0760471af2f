//! Log lines about links: one line for each change, with its cause, in Corosync's words where it has them.
//! Repeated lines about datagrams from unknown senders are suppressed.

use std::net::IpAddr;

use crate::ids::NodeId;
use crate::transport::knet::envelope::Refusal;
use crate::transport::knet::{DropReason, Engine, Event, LinkMode, Path};
use crate::transport::stats::Quiet;

/// State of the log lines about refused and dropped datagrams.
#[derive(Debug, Default)]
pub(super) struct Report {
    refused: Quiet,
    foreign: Quiet,
    dropped: Quiet,
    /// Number of datagrams that could not be opened.
    pub(super) sealed_otherwise: u64,
}

impl Report {
    /// Counts and logs a datagram that could not be opened.
    pub(super) fn refused(&mut self, from: IpAddr, link: u8, refusal: Refusal) {
        self.sealed_otherwise += 1;
        if let Some(held_back) = self.refused.may_speak() {
            tracing::error!(
                %from, link, held_back,
                "rx: Unable to decrypt packet: {refusal}; if that host belongs to this cluster, compare totem.crypto_cipher, \
                 crypto_hash and the authkey there with those here"
            );
        }
    }

    /// Logs a packet that the engine has dropped and counted.
    pub(super) fn dropped(&mut self, from: IpAddr, link: u8, reason: DropReason) {
        match reason {
            DropReason::Foreign => {
                if let Some(held_back) = self.foreign.may_speak() {
                    tracing::warn!(
                        %from, link, held_back,
                        "rx: Packet rejected: no host of the node list has this address on this link; if that host belongs \
                         to this cluster, add it on every node, else give the other cluster other ports"
                    );
                }
            }
            DropReason::Malformed | DropReason::Fragment | DropReason::Compression | DropReason::Flood => {
                if let Some(held_back) = self.dropped.may_speak() {
                    tracing::warn!(%from, link, held_back, ?reason, "rx: Packet dropped");
                }
            }
            // These are normal: a copy from another link, a message to another host, packets that came early
            // or late.
            DropReason::Duplicate | DropReason::NotForUs | DropReason::Unreachable => {
                tracing::trace!(%from, link, ?reason, "rx: Packet dropped");
            }
        }
    }
}

/// Logs a change.
pub(super) fn changed(event: &Event, engine: &Engine) {
    match event {
        Event::LinkUp(Path { host, link }) => {
            tracing::info!("link: host: {host} link: {link} is up");
            best(*host, engine);
        }
        Event::LinkDown(Path { host, link }, cause) => {
            tracing::info!("link: host: {host} link: {link} is down: {}", cause.words());
            best(*host, engine);
        }
        Event::Host(host, true) => tracing::debug!("host: host: {host} can be reached"),
        Event::Host(host, false) => tracing::warn!("host: host: {host} has no active links"),
        Event::Mtu { path: Path { host, link }, from, to } => {
            tracing::info!("pmtud: PMTUD link change for host: {host} link: {link} from {from} to {to}");
        }
        Event::Fragments { from, to } => {
            tracing::info!("pmtud: Global data MTU changed to: {to} (from {from})");
        }
    }
}

/// Logs which links carry messages to a host from now on.
fn best(host: NodeId, engine: &Engine) {
    let settings = engine.settings();
    let up = engine.links().into_iter().filter(|view| view.path.host == host && view.connected);
    let up: Vec<u8> = up.map(|view| view.path.link).collect();
    match settings.mode {
        LinkMode::Passive => {
            let priority =
                |link: &u8| settings.links[usize::from(*link)].as_ref().map_or(0, |link| link.priority);
            // Among equal priorities, the lowest number is the best.
            let best = up.iter().rev().max_by_key(|link| priority(link));
            if let Some(best) = best {
                tracing::info!("host: host: {host} (passive) best link: {best} (pri: {})", priority(best));
            }
        }
        LinkMode::Active => tracing::info!("host: host: {host} (active) uses links: {up:?}"),
        LinkMode::RoundRobin => tracing::info!("host: host: {host} (rr) uses links: {up:?}"),
    }
}
