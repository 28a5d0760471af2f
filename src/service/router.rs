//! The router: passes exec messages and clients' requests to the desk of their service, counts them, and
//! leads all desks through the synchronisation after each new ring.
//!
//! During a synchronisation only its own messages are sent. Corosync also sends the leave message of a client
//! that closes its connection then, which can overtake the join that it revokes, or stay in the queue until
//! the next ring. Here it is sent after the synchronisation, so neither can happen.
//!
//! Source: corosync `exec/main.c` (`deliver_fn`, `corosync_sync_completed`), `exec/ipc_glue.c`
//! (`cs_ipcs_msg_process`), `exec/sync.c`.

use std::collections::HashMap;

use bytes::Bytes;

pub use super::patience::FormAnew;
use super::patience::{Found, Patience};
use super::sync::{Barrier, Outcome, Phase};
use super::wire::{self, MAX_MESSAGE, SyncMessage};
use super::{
    Database, Delivery, Effects, Full, Links, Notice, Order, Progress, Request, Service, Statistics, SyncView,
};
use crate::error::Status;
use crate::ids::{ConnId, Endian, Guarantee, NodeId, Piece, RingId, ServiceId};
use crate::quiet::Quiet;
use crate::time::Instant;
use crate::value::Value;
use crate::view::{View, ViewKind};

/// Upper bound of the difference in length between a request and the longest exec message that it causes. A
/// request that needs flow control is accepted only if the send queue has room for its length and this.
pub const EXEC_OVERHEAD: usize = 256;

/// What lies under the router: the ring and the clients' connections.
pub trait Ground: Effects {
    /// Multicasts a message of the synchronisation (Totem group `sync`).
    ///
    /// # Errors
    /// [`Full`]: nothing was queued.
    fn multicast_sync(&mut self, message: &[u8]) -> Result<(), Full>;

    /// Asks for one [`Router::token_sent`] after the next token that this node passes on.
    fn want_token(&mut self);

    /// The synchronisation of this ring is complete.
    fn synced(&mut self, ring: RingId);

    /// The old ring's synchronisation was completed by one of the old ring's last messages, between the
    /// transitional and the regular view of the next ring. The old ring's remaining messages are handled as
    /// usual, but this node's own messages still wait for the next synchronisation.
    fn synced_in_transit(&mut self);

    /// Takes the earliest notice that desks have not been told yet.
    fn take_notice(&mut self) -> Option<Notice>;

    /// Whether the send queue has room for an exec message of this length now.
    fn fits(&self, bytes: usize) -> bool;

    /// A request of `conn` was refused before it reached its desk.
    fn refused(&mut self, conn: ConnId, why: Turned) {
        let _ = (conn, why);
    }
}

/// Why a request was refused before it reached its desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Its id or size is invalid.
    Invalid,
    /// A synchronisation was running, or the send queue was full.
    Overload,
}

/// The desks, in the order in which [`Router::new`] saw them; ascending by service id.
pub type Desks<'d, 'a> = &'d mut [&'a mut dyn Service];

/// How often one exec function was sent and received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages received from the ring, this node's own included.
    pub rx: u64,
    /// Messages handed to the ring.
    pub tx: u64,
}

/// The counters of the router.
///
/// Source: corosync cmap `runtime.services.*`, `stats.ipcs.*`.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// For each service that this node has: traffic by function number.
    pub services: Vec<(ServiceId, Vec<Traffic>)>,
    /// Exec messages shorter than their header; dropped.
    pub short: u64,
    /// Exec messages for services that this node does not have; dropped, as Corosync does.
    pub unknown_service: u64,
    /// Exec messages for functions that the service does not have; dropped.
    pub unknown_function: u64,
    /// Messages of the synchronisation that could not be read; dropped.
    pub bad_sync: u64,
    /// Messages of the synchronisation about another ring, or out of turn; ignored.
    pub foreign_sync: u64,
    /// Requests with an invalid id or size; answered `CS_ERR_INVALID_PARAM`.
    pub invalid_requests: u64,
    /// Requests that came while a synchronisation ran or the send queue was full; answered
    /// `CS_ERR_TRY_AGAIN`, or dropped if they have no answer (CPG multicasts). Zero if the IPC server obeys
    /// [`super::Flow`].
    pub overload: u64,
    /// Synchronisations begun.
    pub syncs_begun: u64,
    /// Synchronisations ended early by the next ring.
    pub syncs_aborted: u64,
    /// Synchronisations completed.
    pub syncs_completed: u64,
    /// Synchronisations given up because members were silent.
    pub syncs_in_vain: u64,
}

/// What the router stores for each desk.
#[derive(Clone, Copy, Debug)]
struct Counter {
    functions: u16,
    requests: u16,
    /// A multicast of the desk was refused; it waits for [`Service::retry`].
    refused: bool,
}

/// Connects the desks with the ring; see the module documentation.
#[derive(Debug)]
pub struct Router {
    desks: Vec<Counter>,
    /// Index of each service's desk.
    places: [Option<u8>; ServiceId::LIMIT as usize],
    connections: HashMap<ConnId, u8>,
    barrier: Barrier,
    patience: Patience,
    /// The members of the last transitional view.
    transitional: Vec<NodeId>,
    /// Between a transitional view and its regular one: messages that arrive still belong to the old ring.
    moving: bool,
    /// True from a transitional view to the end of the synchronisation.
    syncing: bool,
    /// Whether any synchronisation has ever completed.
    ready: bool,
    /// Whether desks are being told notices right now.
    telling: bool,
    stats: Stats,
    /// Limits for log lines about unreadable messages of the synchronisation, and about clients.
    unreadable: Quiet,
    overload: Quiet,
}

impl Router {
    /// Makes a router for these desks.
    ///
    /// # Panics
    /// If the desks are not in ascending order of service ids, or an id is not below [`ServiceId::LIMIT`].
    pub fn new(desks: Desks<'_, '_>) -> Self {
        assert!(desks.is_sorted_by(|a, b| a.id() < b.id()), "desks ascend by service id");
        let mut places = [None; ServiceId::LIMIT as usize];
        let mut stats = Stats::default();
        let mut counters = Vec::new();
        for (place, desk) in desks.iter().enumerate() {
            places[usize::from(desk.id().0)] = Some(place as u8);
            stats.services.push((desk.id(), vec![Traffic::default(); usize::from(desk.functions())]));
            counters.push(Counter { functions: desk.functions(), requests: desk.requests(), refused: false });
        }
        Self {
            desks: counters,
            places,
            connections: HashMap::new(),
            barrier: Barrier::new(),
            patience: Patience::default(),
            transitional: Vec::new(),
            moving: false,
            syncing: true,
            ready: false,
            telling: false,
            stats,
            unreadable: Quiet::default(),
            overload: Quiet::default(),
        }
    }

    /// Whether a synchronisation runs, or none has completed yet.
    pub const fn syncing(&self) -> bool {
        self.syncing
    }

    /// Whether a synchronisation has ever completed; from then on clients may connect.
    pub const fn ready(&self) -> bool {
        self.ready
    }

    /// The ring of the last regular view.
    pub const fn ring(&self) -> Option<RingId> {
        self.barrier.ring()
    }

    /// The counters.
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether this node has the service.
    pub fn has(&self, service: ServiceId) -> bool {
        self.place(service.0).is_some()
    }

    /// The ids of the open connections.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.connections.keys().copied()
    }

    /// Handles an exec message (Totem group `a`).
    pub fn deliver(
        &mut self,
        desks: Desks<'_, '_>,
        from: NodeId,
        message: Bytes,
        order: Endian,
        ground: &mut dyn Ground,
    ) {
        let Some((service, function)) = wire::exec_header(&message, order) else {
            self.stats.short += 1;
            return;
        };
        let Some(place) = self.place(service) else {
            self.stats.unknown_service += 1;
            return;
        };
        if function >= self.desks[place].functions {
            self.stats.unknown_function += 1;
            tracing::debug!(%from, service, function, "unknown exec function, message dropped");
            return;
        }
        self.stats.services[place].1[usize::from(function)].rx += 1;
        if self.syncing && self.barrier.awaited().any(|awaited| awaited == from) {
            self.patience.heard();
        }
        let delivery = Delivery { from, function, message, order };
        self.at(place, desks, ground, |desk, effects| desk.deliver(delivery, effects));
    }

    /// Handles a message of the synchronisation (Totem group `sync`).
    pub fn deliver_sync(
        &mut self,
        desks: Desks<'_, '_>,
        from: NodeId,
        message: &Bytes,
        order: Endian,
        ground: &mut dyn Ground,
    ) {
        let awaited = self.barrier.awaited().any(|awaited| awaited == from);
        let outcome = match SyncMessage::decode(message, order) {
            Ok(SyncMessage::Services { ring, services }) => self.barrier.list(from, ring, &services),
            Ok(SyncMessage::Barrier { ring }) => self.barrier.barrier(from, ring),
            Err(error) => {
                self.stats.bad_sync += 1;
                if let Some(held_back) = self.unreadable.may_speak(ground.now()) {
                    tracing::warn!(%from, %error, held_back, "unreadable synchronisation message dropped");
                }
                return;
            }
        };
        if awaited && outcome != Outcome::Foreign {
            self.patience.heard();
        }
        match outcome {
            Outcome::Foreign => self.stats.foreign_sync += 1,
            Outcome::Noted => {}
            Outcome::Begin => ground.want_token(),
            Outcome::Nothing => self.complete(desks, ground),
            Outcome::Passed(service) => {
                if let Some(place) = self.place(service.0) {
                    self.at(place, desks, ground, |desk, effects| {
                        if let Some(part) = desk.sync() {
                            part.activate(effects);
                        }
                    });
                }
                match self.barrier.phase() {
                    Phase::Idle => self.complete(desks, ground),
                    Phase::Lists { .. } | Phase::Speak { .. } | Phase::Listen { .. } => ground.want_token(),
                }
            }
        }
    }

    /// The ring reported a configuration change.
    pub fn view(&mut self, desks: Desks<'_, '_>, view: &View, ground: &mut dyn Ground) {
        self.syncing = true;
        for place in 0..desks.len() {
            self.at(place, desks, ground, |desk, effects| desk.view(view, effects));
        }
        match view.kind {
            ViewKind::Transitional => {
                self.moving = true;
                self.transitional.clone_from(&view.members);
            }
            ViewKind::Regular => {
                self.moving = false;
                self.abort(desks);
                self.begin(desks, view, ground);
            }
        }
    }

    /// The token that [`Ground::want_token`] asked for has been passed on.
    pub fn token_sent(&mut self, desks: Desks<'_, '_>, ground: &mut dyn Ground) {
        if self.moving {
            return;
        }
        match self.barrier.phase() {
            Phase::Lists { sent: false } => self.send_list(desks, ground),
            Phase::Speak { said, .. } => self.speak(desks, said, ground),
            Phase::Idle | Phase::Lists { sent: true } | Phase::Listen { .. } => {}
        }
        if !self.syncing {
            self.retry(desks, ground);
        }
    }

    /// A client connected to a service.
    ///
    /// # Errors
    /// [`Status::NotSupported`]: this node does not have the service; refuse the connection.
    pub fn connected(
        &mut self,
        desks: Desks<'_, '_>,
        service: ServiceId,
        conn: ConnId,
        ground: &mut dyn Ground,
    ) -> Result<(), Status> {
        let place = self.place(service.0).ok_or(Status::NotSupported)?;
        let before = self.connections.insert(conn, place as u8);
        assert!(before.is_none(), "a connection id is never used twice");
        self.at(place, desks, ground, |desk, effects| desk.connected(conn, effects));
        Ok(())
    }

    /// A client sent a request. Exactly one answer follows, unless the request is of a kind without answer.
    ///
    /// A request that needs flow control may only be handed over while no synchronisation runs and the send
    /// queue has room (see [`super::Flow`]). A multicast that comes at another time is dropped and counted,
    /// because it has no answer that could tell its sender.
    pub fn request(
        &mut self,
        desks: Desks<'_, '_>,
        conn: ConnId,
        request: Request<'_>,
        ground: &mut dyn Ground,
    ) {
        let Some(place) = self.connections.get(&conn).map(|place| usize::from(*place)) else {
            return; // The client was disconnected while the request was under way.
        };
        let length = request.bytes.len() + request.tail.len();
        let header = wire::request_header(request.bytes);
        let function = header.and_then(|(id, size)| {
            let function = u16::try_from(id).ok().filter(|id| *id < self.desks[place].requests)?;
            (usize::try_from(size) == Ok(length) && length <= MAX_MESSAGE).then_some(function)
        });
        let Some(function) = function else {
            self.stats.invalid_requests += 1;
            tracing::debug!(?conn, ?header, length, "request with an impossible id or size");
            ground.refused(conn, Turned::Invalid);
            ground.reply(conn, &wire::plain_reply(0, Status::InvalidParam));
            return;
        };
        let desk = &*desks[place];
        if desk.needs_flow_control(function) && (self.syncing || !ground.fits(length + EXEC_OVERHEAD)) {
            self.stats.overload += 1;
            ground.refused(conn, Turned::Overload);
            if desk.answers(function) {
                ground.reply(conn, &wire::plain_reply(0, Status::TryAgain));
            } else {
                if let Some(held_back) = self.overload.may_speak(ground.now()) {
                    tracing::warn!(
                        ?conn,
                        held_back,
                        "message dropped: it was sent while the ring could not take it"
                    );
                }
            }
            return;
        }
        self.at(place, desks, ground, |desk, effects| desk.request(conn, function, request, effects));
    }

    /// A client has disconnected. A second call has no effect.
    pub fn disconnected(&mut self, desks: Desks<'_, '_>, conn: ConnId, ground: &mut dyn Ground) {
        if let Some(place) = self.connections.remove(&conn) {
            self.at(usize::from(place), desks, ground, |desk, effects| desk.disconnected(conn, effects));
        }
    }

    /// Ends a service before the node leaves: disconnects its clients, then lets it multicast its last
    /// messages. Returns whether this node has the service.
    pub fn stop(&mut self, desks: Desks<'_, '_>, service: ServiceId, ground: &mut dyn Ground) -> bool {
        let Some(place) = self.place(service.0) else { return false };
        let own = self.connections.iter().filter(|(_, at)| usize::from(**at) == place);
        let mut clients: Vec<ConnId> = own.map(|(conn, _)| *conn).collect();
        clients.sort_unstable();
        for conn in clients {
            self.disconnected(desks, conn, ground);
        }
        self.at(place, desks, ground, |desk, effects| desk.leaving(effects));
        true
    }

    /// Calls the desks whose deadline has passed.
    pub fn expired(&mut self, desks: Desks<'_, '_>, ground: &mut dyn Ground) {
        for place in 0..desks.len() {
            if desks[place].deadline().is_some_and(|at| at <= ground.now()) {
                self.at(place, desks, ground, |desk, effects| desk.expired(effects));
            }
        }
    }

    /// The time at which to call [`Router::look`], if any.
    pub fn deadline(&self) -> Option<Instant> {
        self.patience.deadline()
    }

    /// Checks whether members that are awaited in a synchronisation have been silent for too long. `on_ring`: whether
    /// the ring operates. Returns a demand to form the ring again if so.
    pub fn look(
        &mut self,
        desks: Desks<'_, '_>,
        me: NodeId,
        now: Instant,
        on_ring: bool,
    ) -> Option<FormAnew> {
        let current = self.barrier.current();
        let place = current.and_then(|service| self.place(service.0));
        let entitled = place.and_then(|place| desks[place].sync().map(|part| part.may_be_silent()));
        // This node may itself be one that delays the barrier; only the other nodes can conclude that.
        let others: Vec<NodeId> = self.barrier.awaited().filter(|node| *node != me).collect();
        let found = self.patience.look(now, on_ring, entitled.unwrap_or_default(), &others);
        if found == Found::Nothing {
            return None;
        }
        let awaited: Vec<String> = self.barrier.awaited().map(|node| node.to_string()).collect();
        let awaited = awaited.join(" ");
        let service = current.map_or("the list of services", |service| {
            service.name().unwrap_or("a service that this node does not have")
        });
        let Found::Enough(anew) = found else {
            tracing::warn!(
                ring = %self.barrier.ring().map_or_else(String::new, |ring| ring.to_string()), %awaited,
                waits_for = service, seconds = self.patience.silence().as_secs(),
                "the services are not synchronised, and clients wait: these nodes pass the token on, but do not say \
                 what they have to; look at their logs"
            );
            return None;
        };
        self.stats.syncs_in_vain += 1;
        let without: Vec<String> = anew.without.iter().map(ToString::to_string).collect();
        tracing::error!(
            ring = %self.barrier.ring().map_or_else(String::new, |ring| ring.to_string()), %awaited,
            waits_for = service, without = without.join(" "), without_seconds = anew.time.as_secs(),
            "the services were not synchronised in time, because these nodes said nothing; the ring is formed anew"
        );
        Some(anew)
    }

    /// Lets a service multicast messages that arose outside of the router, as far as there is room.
    pub fn wake(&mut self, desks: Desks<'_, '_>, service: ServiceId, ground: &mut dyn Ground) {
        if let Some(place) = self.place(service.0) {
            self.at(place, desks, ground, |desk, effects| desk.retry(effects));
        }
    }

    /// Delivers the notices that arose outside of any desk.
    pub fn tell(&mut self, desks: Desks<'_, '_>, ground: &mut dyn Ground) {
        if self.telling {
            return;
        }
        self.telling = true;
        while let Some(notice) = ground.take_notice() {
            for place in 0..desks.len() {
                self.at(place, desks, ground, |desk, effects| desk.noticed(&notice, effects));
            }
        }
        self.telling = false;
    }

    fn place(&self, service: u16) -> Option<usize> {
        self.places.get(usize::from(service)).copied().flatten().map(usize::from)
    }

    /// Lets one desk act. Its multicasts are counted; during a synchronisation they are refused, and the desk
    /// is asked to retry at the end.
    fn at(
        &mut self,
        place: usize,
        desks: Desks<'_, '_>,
        ground: &mut dyn Ground,
        act: impl FnOnce(&mut dyn Service, &mut dyn Effects),
    ) {
        let refused_before = self.desks[place].refused;
        let mut counted = Counted {
            ground,
            services: &mut self.stats.services,
            place,
            open: !self.syncing,
            refused: &mut self.desks[place].refused,
        };
        act(desks[place], &mut counted);
        if self.desks[place].refused && !refused_before && !self.syncing {
            ground.want_token();
        }
        self.tell(desks, ground);
    }

    fn begin(&mut self, desks: Desks<'_, '_>, view: &View, ground: &mut dyn Ground) {
        self.stats.syncs_begun += 1;
        let local: Vec<ServiceId> =
            desks.iter_mut().filter_map(|desk| desk.sync().is_some().then(|| desk.id())).collect();
        self.barrier.start(view.ring, &view.members, &local);
        self.patience.begin(ground.now());
        self.send_list(desks, ground);
        let mut transitional = std::mem::take(&mut self.transitional);
        transitional.retain(|node| view.members.contains(node));
        let view = SyncView { ring: view.ring, members: view.members.clone(), transitional };
        for place in 0..desks.len() {
            self.at(place, desks, ground, |desk, effects| {
                if let Some(part) = desk.sync() {
                    part.begin(&view, effects);
                }
            });
        }
    }

    fn abort(&mut self, desks: Desks<'_, '_>) {
        if self.barrier.phase() == Phase::Idle {
            return;
        }
        self.stats.syncs_aborted += 1;
        let current = self.barrier.current().and_then(|service| self.place(service.0));
        if let Some(part) = current.and_then(|place| desks[place].sync()) {
            part.abort();
        }
    }

    fn send_list(&mut self, desks: Desks<'_, '_>, ground: &mut dyn Ground) {
        let Some(ring) = self.barrier.ring() else { return };
        let services = desks.iter_mut().filter_map(|desk| desk.sync().is_some().then(|| desk.id())).collect();
        match ground.multicast_sync(&SyncMessage::Services { ring, services }.encode()) {
            Ok(()) => self.barrier.list_sent(),
            Err(Full) => ground.want_token(),
        }
    }

    /// This node's turn in the current service: its desk's messages, then the barrier.
    fn speak(&mut self, desks: Desks<'_, '_>, said: bool, ground: &mut dyn Ground) {
        let Some(ring) = self.barrier.ring() else { return };
        let place = self.barrier.current().and_then(|service| self.place(service.0));
        if let (false, Some(place)) = (said, place) {
            let mut counted = Counted {
                ground,
                services: &mut self.stats.services,
                place,
                open: true,
                refused: &mut false,
            };
            let progress = desks[place].sync().map_or(Progress::Done, |part| part.process(&mut counted));
            self.tell(desks, ground);
            if progress == Progress::Again {
                ground.want_token();
                return;
            }
        }
        self.barrier.said();
        match ground.multicast_sync(&SyncMessage::Barrier { ring }.encode()) {
            Ok(()) => self.barrier.barrier_sent(),
            Err(Full) => ground.want_token(),
        }
    }

    fn complete(&mut self, desks: Desks<'_, '_>, ground: &mut dyn Ground) {
        self.stats.syncs_completed += 1;
        self.patience.complete(self.barrier.members());
        if self.moving {
            ground.synced_in_transit();
            return;
        }
        let Some(ring) = self.barrier.ring() else { return };
        self.syncing = false;
        self.ready = true;
        ground.synced(ring);
        self.retry(desks, ground);
    }

    /// Lets the desks whose multicasts were refused try again.
    fn retry(&mut self, desks: Desks<'_, '_>, ground: &mut dyn Ground) {
        for place in 0..self.desks.len() {
            if std::mem::take(&mut self.desks[place].refused) {
                self.at(place, desks, ground, |desk, effects| desk.retry(effects));
            }
        }
    }
}

/// The [`Effects`] that a desk gets: the ground, with counted multicasts.
struct Counted<'a> {
    ground: &'a mut dyn Ground,
    services: &'a mut [(ServiceId, Vec<Traffic>)],
    place: usize,
    open: bool,
    refused: &'a mut bool,
}

impl Counted<'_> {
    /// Multicasts a message that begins with this header, if the service may, and counts it.
    fn counted(
        &mut self,
        header: &[u8],
        send: impl FnOnce(&mut dyn Ground) -> Result<(), Full>,
    ) -> Result<(), Full> {
        if !self.open {
            *self.refused = true;
            return Err(Full);
        }
        let sent = send(self.ground);
        match sent {
            Ok(()) => {
                let function = wire::exec_header(header, Endian::Little);
                debug_assert!(function.is_some(), "the first piece holds the whole header");
                let traffic = &mut self.services[self.place].1;
                if let Some(traffic) = function.and_then(|(_, f)| traffic.get_mut(usize::from(f))) {
                    traffic.tx += 1;
                }
            }
            Err(Full) => *self.refused = true,
        }
        sent
    }
}

impl Effects for Counted<'_> {
    fn me(&self) -> NodeId {
        self.ground.me()
    }

    fn now(&self) -> Instant {
        self.ground.now()
    }

    fn database(&mut self) -> &mut dyn Database {
        self.ground.database()
    }

    /// Statistics of the services come from the router, all others from the ground.
    fn statistics(&self, prefix: &str) -> Vec<(String, Value)> {
        const OWN: &str = "runtime.services.";
        if !prefix.starts_with(OWN) {
            return self.ground.statistics(prefix);
        }
        let mut all = Vec::new();
        for (service, functions) in &*self.services {
            let Some(name) = service.name() else { continue };
            for (function, Traffic { rx, tx }) in functions.iter().enumerate() {
                for (direction, count) in [("rx", rx), ("tx", tx)] {
                    all.push((format!("{OWN}{name}.{function}.{direction}"), Value::U64(*count)));
                }
            }
        }
        all.retain(|(name, _)| name.starts_with(prefix));
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    fn clear_statistics(&mut self, which: Statistics) {
        self.ground.clear_statistics(which);
    }

    fn links(&self) -> Option<Links> {
        self.ground.links()
    }

    fn announce(&mut self, notice: Notice) {
        self.ground.announce(notice);
    }

    fn order(&mut self, order: Order) {
        self.ground.order(order);
    }

    fn multicast(&mut self, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full> {
        let header = pieces.first().copied().unwrap_or_default();
        self.counted(header, |ground| ground.multicast(guarantee, pieces))
    }

    fn multicast_undivided(&mut self, guarantee: Guarantee, message: &[u8]) -> Result<(), Full> {
        self.counted(message, |ground| ground.multicast_undivided(guarantee, message))
    }

    fn reply(&mut self, conn: ConnId, reply: &[u8]) {
        self.ground.reply(conn, reply);
    }

    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        self.ground.event(conn, head, payload);
    }

    fn echo(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, piece: Piece) {
        self.ground.echo(conn, head, payload, piece);
    }

    fn user(&self, conn: ConnId) -> u32 {
        self.ground.user(conn)
    }

    fn buffer_open(&mut self, conn: ConnId, path: &[u8], size: u64) -> Result<u64, Status> {
        self.ground.buffer_open(conn, path, size)
    }

    fn buffer_read(&mut self, conn: ConnId, token: u64) -> Result<Bytes, Status> {
        self.ground.buffer_read(conn, token)
    }

    fn buffer_close(&mut self, conn: ConnId, token: u64) {
        self.ground.buffer_close(conn, token);
    }
}
