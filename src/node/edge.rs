//! The surroundings of the stack in a real node: sockets, clients, the ring id store, listeners. They carry out what the
//! stack puts out, and answer what desks ask.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::command::is_local;
use super::locals::Locals;
use super::queue::Sink;
use super::source_port;
use super::statistics::{Log, overlap};
use super::store::Store;
use crate::error::Status;
use crate::ids::{ConnId, Destination, RingId};
use crate::ipc;
use crate::service::{Edge, LinkState, Links, OWN, Order, Output, Recipient, Statistics, Turned};
use crate::stack::Stack;
use crate::transport::knet::envelope::Envelope;
use crate::transport::knet::{Cause, LinkView};
use crate::transport::{Offload, Transport};
use crate::value::Value;
use crate::view::{View, ViewKind};

/// Prefix of the statistics of links that Corosync has too.
const KNET: &str = "stats.knet.";

/// Prefix of the statistics of links that only annulus has.
const OWN_LINKS: &str = "stats.annulus.link.";
/// Prefix of the statistics that say whether several datagrams go through the kernel as one message.
const OFFLOAD: &str = "stats.annulus.offload.";

/// Most frames collected before they are sent.
const BATCH: usize = 128;

/// The surroundings of the stack; see the module.
#[derive(Debug)]
pub(super) struct Outside {
    pub(super) transport: Transport,
    /// The server for clients over IPC, in a daemon.
    pub(super) server: Option<ipc::Server>,
    pub(super) locals: Locals,
    pub(super) store: Store,
    pub(super) log: Log,
    pub(super) views: Vec<Sink<View>>,
    /// Receivers of the news that the first synchronisation is complete.
    pub(super) ready: Vec<oneshot::Sender<()>>,
    /// The ring whose synchronisation completed last.
    pub(super) synced: Option<RingId>,
    /// Orders of desks, carried out by the driver at the end of its turn.
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

impl Outside {
    /// Carries out all that the stack puts out. To be called after each input of the stack.
    pub(super) fn carry_out_all(&mut self, stack: &mut Stack) {
        while let Some(output) = stack.poll_output(self) {
            // A client does not see a message before it is on the network.
            if !matches!(output, Output::Send(..) | Output::Store(_)) {
                self.flush();
            }
            self.carry_out(output);
        }
        self.flush();
    }

    fn carry_out(&mut self, output: Output<'_>) {
        match output {
            Output::Send(to, frame) => self.send(to, frame),
            Output::Store(up_to) => self.store.reserve(up_to),
            Output::Probe(node) => self.transport.ask(node),
            Output::Reply { conn, bytes } => self.reply(conn, &bytes),
            Output::Event { to, head, payload } => {
                for recipient in to {
                    self.event(*recipient, head, &payload);
                }
            }
            Output::Refused(conn, why) => {
                if let Some(server) = &mut self.server {
                    server.count_refused(conn, why == Turned::Overload);
                }
            }
            Output::Order(order) => self.order(order),
            Output::View(view) => self.view(&view),
            Output::Synced(ring) => self.synced(ring),
        }
    }

    /// Collects a frame; see [`Outside::flush`].
    fn send(&mut self, to: Destination, frame: Bytes) {
        self.batch.push((to, frame));
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Sends the collected frames now.
    fn flush(&mut self) {
        if !self.batch.is_empty() {
            self.transport.send(&mut self.batch);
        }
    }

    fn reply(&mut self, conn: ConnId, bytes: &[u8]) {
        if is_local(conn) {
            self.locals.reply(conn, bytes);
        } else if let Some(server) = &mut self.server {
            server.reply(conn, bytes);
        }
    }

    fn event(&mut self, Recipient { conn, own }: Recipient, head: &[u8], payload: &Bytes) {
        match (&mut self.server, own) {
            _ if is_local(conn) => self.locals.event(conn, head, payload),
            (Some(server), Some(piece)) => server.echo(conn, head, payload, piece),
            (Some(server), None) => server.event(conn, head, payload),
            (None, _) => {}
        }
    }

    fn order(&mut self, order: Order) {
        match order {
            // Done at once: earlier datagrams go out with the old key, later ones with the new one.
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
        // A listener that does not read learns from its queue that it was cut off.
        self.views.retain(|sink| sink.push(view.clone(), weight(view)).is_ok());
    }

    fn synced(&mut self, ring: RingId) {
        tracing::info!(target: "annulus::node", %ring, "Completed service synchronization, ready to provide service");
        self.synced = Some(ring);
        for waiting in self.ready.drain(..) {
            // The receiver may be gone.
            let _ = waiting.send(());
        }
    }
}

impl Edge for Outside {
    fn user(&self, conn: ConnId) -> u32 {
        let server = self.server.as_ref().filter(|_| !is_local(conn));
        server.and_then(|server| server.about(conn)).map_or(0, |about| about.peer.uid)
    }

    fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status> {
        match &mut self.server {
            Some(server) if !is_local(conn) => server.buffer_open(conn, path, size),
            _ => Err(Status::NotSupported), // within the process, payloads are not copied in any case
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
        if prefix.starts_with(OWN) && overlap(OFFLOAD, prefix) {
            let Offload { sending, receiving, .. } = self.transport.offload();
            let does = [("receiving", receiving), ("sending", sending)];
            links.extend(does.map(|(name, does)| (format!("{OFFLOAD}{name}"), Value::U8(does.into()))));
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
}

/// Statistics of links that Corosync does not have: for how long each has been in its state, in s, and why it is
/// down.
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

/// The bytes that a view counts as in a listener's queue.
pub(super) fn weight(view: &View) -> usize {
    size_of::<View>() + 4 * (view.members.len() + view.joined.len() + view.left.len())
}
