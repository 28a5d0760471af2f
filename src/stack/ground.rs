//! The ground on which the router and the desks stand: the ring and the edge as one.

use std::collections::VecDeque;

use bytes::Bytes;

use super::edge::Edge;
use super::statistics;
use crate::confdb::Store;
use crate::error::Status;
use crate::ids::{ConnId, Guarantee, NodeId, Piece, RingId};
use crate::service::router::{Ground, Turned};
use crate::service::{Database, Effects, Full, Links, Notice, Order, Statistics};
use crate::time::Instant;
use crate::totem::{Group, Refused, Totem};
use crate::value::Value;

/// Ring and edge as one, borrowed while one input is handled.
pub(super) struct Below<'a> {
    pub(super) me: NodeId,
    pub(super) now: Instant,
    pub(super) totem: &'a mut Totem,
    pub(super) database: &'a mut Store,
    pub(super) announced: &'a mut VecDeque<Notice>,
    pub(super) edge: &'a mut dyn Edge,
}

impl Below<'_> {
    /// What a desk is told about a message that the ring did not take.
    fn taken(sent: Result<(), Refused>, group: Group, length: usize) -> Result<(), Full> {
        sent.map_err(|refused| match refused {
            Refused::Full => Full,
            // Desks check lengths themselves, so this is a mistake of ours: log it, and keep the ring.
            Refused::Length => {
                tracing::error!(?group, length, "a service made a message of impossible length");
                Full
            }
        })
    }

    fn submit(&mut self, group: Group, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full> {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        Self::taken(self.totem.submit(group, guarantee, pieces), group, length)
    }
}

impl Effects for Below<'_> {
    fn me(&self) -> NodeId {
        self.me
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn database(&mut self) -> &mut dyn Database {
        self.database.at(self.now);
        self.database
    }

    fn statistics(&self, prefix: &str) -> Vec<(String, Value)> {
        let mut all = self.edge.statistics(prefix);
        let ring = statistics::of_ring(self.totem, self.now);
        all.extend(ring.into_iter().filter(|(name, _)| name.starts_with(prefix)));
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    fn clear_statistics(&mut self, which: Statistics) {
        if matches!(which, Statistics::Totem | Statistics::All) {
            self.totem.clear_stats();
        }
        self.edge.clear_statistics(which);
    }

    fn links(&self) -> Option<Links> {
        self.edge.links()
    }

    fn announce(&mut self, notice: Notice) {
        self.announced.push_back(notice);
    }

    fn order(&mut self, order: Order) {
        self.edge.order(order);
    }

    fn multicast(&mut self, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full> {
        self.submit(Group::App, guarantee, pieces)
    }

    fn multicast_undivided(&mut self, guarantee: Guarantee, message: &[u8]) -> Result<(), Full> {
        let sent = self.totem.submit_undivided(Group::App, guarantee, message);
        Self::taken(sent, Group::App, message.len())
    }

    fn reply(&mut self, conn: ConnId, reply: &[u8]) {
        self.edge.reply(conn, reply);
    }

    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        self.edge.event(conn, head, payload);
    }

    fn echo(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, piece: Piece) {
        self.edge.echo(conn, head, payload, piece);
    }

    fn user(&self, conn: ConnId) -> u32 {
        self.edge.user(conn)
    }

    fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status> {
        self.edge.buffer_open(conn, path, size)
    }

    fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status> {
        self.edge.buffer_read(conn, token)
    }

    fn buffer_close(&mut self, conn: ConnId, token: u64) {
        self.edge.buffer_close(conn, token);
    }
}

impl Ground for Below<'_> {
    fn multicast_sync(&mut self, message: &[u8]) -> Result<(), Full> {
        self.submit(Group::Sync, Guarantee::Agreed, &[message])
    }

    fn want_token(&mut self) {
        self.totem.want_token();
    }

    fn synced(&mut self, ring: RingId) {
        self.totem.synced();
        self.edge.synced(ring);
    }

    fn synced_in_transit(&mut self) {
        self.totem.synced_in_transit();
    }

    fn take_notice(&mut self) -> Option<Notice> {
        self.database.take_change().map(Notice::Changed).or_else(|| self.announced.pop_front())
    }

    fn fits(&self, bytes: usize) -> bool {
        self.totem.fits(bytes)
    }

    fn refused(&mut self, conn: ConnId, why: Turned) {
        self.edge.refused(conn, why);
    }
}
