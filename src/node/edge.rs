//! What the stack acts on in a real node: sockets, clients, the ring id store, listeners.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::command::is_local;
use super::locals::Locals;
use super::queue::Sink;
use super::source_port;
use super::statistics::{Log, OWN, overlap};
use super::store::Store;
use crate::error::Status;
use crate::ids::{ConnId, Destination, Piece, RingId};
use crate::ipc;
use crate::service::router::Turned;
use crate::service::{LinkState, Links, Order, Statistics};
use crate::stack::Edge;
use crate::transport::Transport;
use crate::transport::knet::envelope::Envelope;
use crate::transport::knet::{Cause, LinkView};
use crate::value::Value;
use crate::view::{View, ViewKind};

/// What is counted of links.
const KNET: &str = "stats.knet.";

/// What is told of them beyond that.
const OWN_LINKS: &str = "stats.annulus.link.";

/// Frames that are collected before they are sent, at most.
const BATCH: usize = 128;

/// Everything around the stack.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) transport: Transport,
    /// Clients over IPC, in a daemon.
    pub(super) server: Option<ipc::Server>,
    pub(super) locals: Locals,
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) views: Vec<Sink<View>>,
    /// Who waits for the first synchronisation.
    pub(super) ready: Vec<oneshot::Sender<()>>,
    /// The ring whose synchronisation completed last.
    pub(super) synced: Option<RingId>,
    /// What desks ordered, to be carried out by the driver at the end of its turn.
    pub(super) orders: VecDeque<Order>,
    batch: Vec<(Destination, Bytes)>,
}

impl Outside {
    pub(super) fn new(mut transport: Transport, server: Option<ipc::Server>, store: Store) -> Self {
        transport.recognise(source_port::shows);
        Self {
            transport,
            server,
            locals: Locals::default(),
            store,
            log: Log::default(),
            views: Vec::new(),
            ready: Vec::new(),
            synced: None,
            orders: VecDeque::new(),
            batch: Vec::with_capacity(BATCH),
        }
    }
}

impl Edge for Outside {
    fn send(&mut self, to: Destination, frame: Bytes) {
        self.batch.push((to, frame));
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.transport.send(&mut self.batch);
        }
    }

    fn store(&mut self, up_to: u64) {
        self.store.reserve(up_to);
    }

    fn reply(&mut self, conn: ConnId, bytes: &[u8]) {
        if is_local(conn) {
            self.locals.reply(conn, bytes);
        } else if let Some(server) = &mut self.server {
            server.reply(conn, bytes);
        }
    }

    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        if is_local(conn) {
            self.locals.event(conn, head, payload);
        } else if let Some(server) = &mut self.server {
            server.event(conn, head, payload);
        }
    }

    fn echo(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, piece: Piece) {
        match &mut self.server {
            Some(server) if !is_local(conn) => server.echo(conn, head, payload, piece),
            _ => self.event(conn, head, payload),
        }
    }

    fn user(&self, conn: ConnId) -> u32 {
        let server = self.server.as_ref().filter(|_| !is_local(conn));
        server.and_then(|server| server.about(conn)).map_or(0, |about| about.peer.uid)
    }

    fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status> {
        match &mut self.server {
            Some(server) if !is_local(conn) => server.buffer_open(conn, path, size),
            _ => Err(Status::NotSupported), // payloads are not copied in the process anyway
        }
    }

    fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status> {
        match &mut self.server {
            Some(server) if !is_local(conn) => server.buffer_read(conn, token),
            _ => Err(Status::NotSupported),
        }
    }

    fn buffer_close(&mut self, conn: ConnId, token: u64) {
        if let Some(server) = &mut self.server {
            server.buffer_close(conn, token);
        }
    }

    fn statistics(&self, prefix: &str) -> Vec<(String, Value)> {
        let mut all = self.log.statistics(prefix, self.server.as_ref(), self.locals.all());
        let mut links = Vec::new();
        if overlap(KNET, prefix) {
            links.extend(self.transport.statistics());
        }
        if prefix.starts_with(OWN) && overlap(OWN_LINKS, prefix) {
            links.extend(own_links(&self.transport));
        }
        if !links.is_empty() {
            all.extend(links.into_iter().filter(|(name, _)| name.starts_with(prefix)));
            all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        }
        all
    }

    fn links(&self) -> Option<Links> {
        let (_, views) = self.transport.links()?;
        Some(Links {
            own: self.transport.own_links(),
            others: views
                .into_iter()
                .map(|LinkView { path, addresses, connected, mtu, .. }| LinkState {
                    node: path.host,
                    link: path.link,
                    connected,
                    mtu,
                    to: addresses.1,
                })
                .collect(),
        })
    }

    fn clear_statistics(&mut self, which: Statistics) {
        if let (Statistics::Ipc | Statistics::All, Some(server)) = (which, &mut self.server) {
            server.clear_counters();
        }
        if matches!(which, Statistics::Schedmiss | Statistics::All) {
            self.log.clear_late();
        }
        if matches!(which, Statistics::Knet | Statistics::All) {
            self.transport.clear_statistics();
        }
    }

    fn refused(&mut self, conn: ConnId, why: Turned) {
        if let Some(server) = &mut self.server {
            server.count_refused(conn, why == Turned::Overload);
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            // At once: what was sent before goes out with the old key, what is sent next with the new one.
            Order::SwitchKey => {
                self.flush();
                self.transport.envelope(Envelope::switch);
            }
            Order::ForgetKey => {
                self.transport.envelope(Envelope::finish);
            }
            order => self.orders.push_back(order),
        }
    }

    fn view(&mut self, view: &View) {
        if view.kind == ViewKind::Regular {
            self.transport.set_members(&view.members);
        }
        // One that does not read is told so by its queue.
        self.views.retain(|sink| sink.push(view.clone(), weight(view)).is_ok());
    }

    fn synced(&mut self, ring: RingId) {
        tracing::info!(target: "annulus::node", %ring, "Completed service synchronization, ready to provide service");
        self.synced = Some(ring);
        for waiting in self.ready.drain(..) {
            // Whoever waited may be gone.
            let _ = waiting.send(());
        }
    }
}

/// What Corosync does not tell of links: since when each has been as it is, in s, and why it is down.
fn own_links(transport: &Transport) -> Vec<(String, Value)> {
    let Some((now, views)) = transport.links() else { return Vec::new() };
    let mut all = Vec::new();
    for LinkView { path, since, cause, .. } in views {
        let place = format!("{OWN_LINKS}node{}.link{}.", path.host, path.link);
        let why = cause.map_or("", Cause::words);
        all.push((format!("{place}cause"), Value::text(why)));
        all.push((format!("{place}since"), Value::U64(now.since(since).as_secs())));
    }
    all
}

/// What a view counts in a listener's queue.
pub(super) fn weight(view: &View) -> usize {
    size_of::<View>() + 4 * (view.members.len() + view.joined.len() + view.left.len())
}
