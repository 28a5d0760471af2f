//! The router: passes exec messages and clients' requests to the desk of their service, counts them, and
//! leads all desks through the synchronisation after each new ring.
//!
//! During a synchronisation only its own messages are sent. Corosync also sends the leave message of a client
//! that closes its connection then, which can overtake the join that it revokes, or stay in the queue until
//! the next ring. Here it is sent after the synchronisation, so neither can happen.
//!
//! Source: corosync `exec/main.c` (`deliver_fn`, `corosync_sync_completed`), `exec/ipc_glue.c`
//! (`cs_ipcs_msg_process`), `exec/sync.c`.

use std::collections::BTreeMap;

use bytes::Bytes;

pub use super::patience::FormAnew;
use super::patience::{Found, Patience};
use super::sync::{Barrier, Outcome, Phase};
use super::wire::{self, MAX_MESSAGE, SyncMessage};
use super::{Context, Delivery, Full, Progress, Request, Service, SyncView, Traffic, Turned};
use crate::error::Status;
use crate::ids::{ConnId, Endian, NodeId, ServiceId};
use crate::quiet::Quiet;
use crate::time::Instant;
use crate::view::{View, ViewKind};

/// Upper bound of the difference in length between a request and the longest exec message that it causes. A
/// request that needs flow control is accepted only if the send queue has room for its length and this.
pub const EXEC_OVERHEAD: usize = 256;

/// The desks, in the order in which [`Router::new`] saw them; ascending by service id.
pub(crate) type Desks<'d, 'a> = &'d mut [&'a mut dyn Service];

/// The counters of the router.
///
/// Source: corosync cmap `stats.ipcs.*`.
#[derive(Clone, Debug, Default)]
pub struct Stats {
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
#[derive(Debug, Default)]
pub(crate) struct Router {
    desks: Vec<Counter>,
    /// Index of each service's desk.
    places: Vec<Option<u8>>,
    connections: BTreeMap<ConnId, u8>,
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
    /// Makes a router for these desks, whose messages are counted in `traffic`.
    ///
    /// # Panics
    /// If the desks are not in ascending order of service ids, or an id is not below [`ServiceId::LIMIT`].
    pub(crate) fn new(desks: Desks<'_, '_>, traffic: &mut Traffic) -> Self {
        assert!(desks.is_sorted_by(|a, b| a.id() < b.id()), "desks ascend by service id");
        let mut places = vec![None; ServiceId::LIMIT.into()];
        let mut counters = Vec::new();
        for (place, desk) in desks.iter().enumerate() {
            places[usize::from(desk.id().0)] = Some(place as u8);
            traffic.add(desk.id(), desk.functions());
            counters.push(Counter { functions: desk.functions(), requests: desk.requests(), refused: false });
        }
        Self { desks: counters, places, syncing: true, ..Self::default() }
    }

    /// Whether a synchronisation runs, or none has completed yet.
    pub(crate) const fn syncing(&self) -> bool {
        self.syncing
    }

    /// Whether a synchronisation has ever completed; from then on clients may connect.
    pub(crate) const fn ready(&self) -> bool {
        self.ready
    }

    /// The ring of the last regular view.
    #[cfg(test)]
    pub(crate) const fn ring(&self) -> Option<crate::ids::RingId> {
        self.barrier.ring()
    }

    /// The counters.
    pub(crate) const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether this node has the service.
    pub(crate) fn has(&self, service: ServiceId) -> bool {
        self.place(service.0).is_some()
    }

    /// Handles an exec message (Totem group `a`).
    pub(crate) fn deliver(
        &mut self,
        desks: Desks<'_, '_>,
        from: NodeId,
        message: Bytes,
        order: Endian,
        context: &mut Context<'_>,
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
        context.received(place, function);
        if self.syncing && self.barrier.awaited().any(|awaited| awaited == from) {
            self.patience.heard();
        }
        let delivery = Delivery { from, function, message, order };
        self.at(place, desks, context, |desk, context| desk.deliver(delivery, context));
    }

    /// Handles a message of the synchronisation (Totem group `sync`).
    pub(crate) fn deliver_sync(
        &mut self,
        desks: Desks<'_, '_>,
        from: NodeId,
        message: &Bytes,
        order: Endian,
        context: &mut Context<'_>,
    ) {
        let awaited = self.barrier.awaited().any(|awaited| awaited == from);
        let outcome = match SyncMessage::decode(message, order) {
            Ok(SyncMessage::Services { ring, services }) => self.barrier.list(from, ring, &services),
            Ok(SyncMessage::Barrier { ring }) => self.barrier.barrier(from, ring),
            Err(error) => {
                self.stats.bad_sync += 1;
                if let Some(held_back) = self.unreadable.may_speak(context.now()) {
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
            Outcome::Begin => context.want_token(),
            Outcome::Nothing => self.complete(desks, context),
            Outcome::Passed(service) => {
                if let Some(place) = self.place(service.0) {
                    self.at(place, desks, context, |desk, context| {
                        if let Some(part) = desk.sync() {
                            part.activate(context);
                        }
                    });
                }
                match self.barrier.phase() {
                    Phase::Idle => self.complete(desks, context),
                    Phase::Lists { .. } | Phase::Speak { .. } | Phase::Listen { .. } => context.want_token(),
                }
            }
        }
    }

    /// The ring reported a configuration change.
    pub(crate) fn view(&mut self, desks: Desks<'_, '_>, view: &View, context: &mut Context<'_>) {
        self.syncing = true;
        for place in 0..desks.len() {
            self.at(place, desks, context, |desk, context| desk.view(view, context));
        }
        match view.kind {
            ViewKind::Transitional => {
                self.moving = true;
                self.transitional.clone_from(&view.members);
            }
            ViewKind::Regular => {
                self.moving = false;
                self.abort(desks);
                self.begin(desks, view, context);
            }
        }
    }

    /// The token that `Context::want_token` asked for has been passed on.
    pub(crate) fn token_sent(&mut self, desks: Desks<'_, '_>, context: &mut Context<'_>) {
        if self.moving {
            return;
        }
        match self.barrier.phase() {
            Phase::Lists { sent: false } => self.send_list(desks, context),
            Phase::Speak { said, .. } => self.speak(desks, said, context),
            Phase::Idle | Phase::Lists { sent: true } | Phase::Listen { .. } => {}
        }
        if !self.syncing {
            self.retry(desks, context);
        }
    }

    /// A client connected to a service.
    ///
    /// # Errors
    /// [`Status::NotSupported`]: this node does not have the service; refuse the connection.
    pub(crate) fn connected(
        &mut self,
        desks: Desks<'_, '_>,
        service: ServiceId,
        conn: ConnId,
        context: &mut Context<'_>,
    ) -> Result<(), Status> {
        let place = self.place(service.0).ok_or(Status::NotSupported)?;
        let before = self.connections.insert(conn, place as u8);
        assert!(before.is_none(), "a connection id is never used twice");
        self.at(place, desks, context, |desk, context| desk.connected(conn, context));
        Ok(())
    }

    /// A client sent a request. Exactly one answer follows, unless the request is of a kind without answer.
    ///
    /// A request that needs flow control may only be handed over while no synchronisation runs and the send
    /// queue has room (see [`super::Flow`]). A multicast that comes at another time is dropped and counted,
    /// because it has no answer that could tell its sender.
    pub(crate) fn request(
        &mut self,
        desks: Desks<'_, '_>,
        conn: ConnId,
        request: Request<'_>,
        context: &mut Context<'_>,
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
            context.turn_away(conn, Turned::Invalid);
            context.reply(conn, wire::plain_reply(0, Status::InvalidParam).to_vec());
            return;
        };
        let desk = &*desks[place];
        if desk.needs_flow_control(function) && (self.syncing || !context.fits(length + EXEC_OVERHEAD)) {
            self.stats.overload += 1;
            context.turn_away(conn, Turned::Overload);
            if desk.answers(function) {
                context.reply(conn, wire::plain_reply(0, Status::TryAgain).to_vec());
            } else if let Some(held_back) = self.overload.may_speak(context.now()) {
                tracing::warn!(
                    ?conn,
                    held_back,
                    "message dropped: it was sent while the ring could not take it"
                );
            }
            return;
        }
        self.at(place, desks, context, |desk, context| desk.request(conn, function, request, context));
    }

    /// A client has disconnected. A second call has no effect.
    pub(crate) fn disconnected(&mut self, desks: Desks<'_, '_>, conn: ConnId, context: &mut Context<'_>) {
        if let Some(place) = self.connections.remove(&conn) {
            self.at(usize::from(place), desks, context, |desk, context| desk.disconnected(conn, context));
        }
    }

    /// Ends a service before the node leaves: disconnects its clients, then lets it multicast its last
    /// messages. Returns whether this node has the service.
    pub(crate) fn stop(
        &mut self,
        desks: Desks<'_, '_>,
        service: ServiceId,
        context: &mut Context<'_>,
    ) -> bool {
        let Some(place) = self.place(service.0) else { return false };
        let own = self.connections.iter().filter(|(_, at)| usize::from(**at) == place);
        let mut clients: Vec<ConnId> = own.map(|(conn, _)| *conn).collect();
        clients.sort_unstable();
        for conn in clients {
            self.disconnected(desks, conn, context);
        }
        self.at(place, desks, context, |desk, context| desk.leaving(context));
        true
    }

    /// Calls the desks whose deadline has passed.
    pub(crate) fn expired(&mut self, desks: Desks<'_, '_>, context: &mut Context<'_>) {
        for place in 0..desks.len() {
            if desks[place].deadline().is_some_and(|at| at <= context.now()) {
                self.at(place, desks, context, |desk, context| desk.expired(context));
            }
        }
    }

    /// The time at which to call [`Router::look`], if any.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.patience.deadline()
    }

    /// Checks whether members that are awaited in a synchronisation have been silent for too long. `on_ring`: whether
    /// the ring operates. Returns a demand to form the ring again if so.
    pub(crate) fn look(
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
    pub(crate) fn wake(&mut self, desks: Desks<'_, '_>, service: ServiceId, context: &mut Context<'_>) {
        if let Some(place) = self.place(service.0) {
            self.at(place, desks, context, |desk, context| desk.retry(context));
        }
    }

    /// Delivers the notices that arose outside of any desk.
    pub(crate) fn tell(&mut self, desks: Desks<'_, '_>, context: &mut Context<'_>) {
        if self.telling {
            return;
        }
        self.telling = true;
        while let Some(notice) = context.take_notice() {
            for place in 0..desks.len() {
                self.at(place, desks, context, |desk, context| desk.noticed(&notice, context));
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
        context: &mut Context<'_>,
        act: impl FnOnce(&mut dyn Service, &mut Context<'_>),
    ) {
        context.enter(place, !self.syncing);
        act(desks[place], context);
        if context.exit() && !std::mem::replace(&mut self.desks[place].refused, true) && !self.syncing {
            context.want_token();
        }
        self.tell(desks, context);
    }

    fn begin(&mut self, desks: Desks<'_, '_>, view: &View, context: &mut Context<'_>) {
        self.stats.syncs_begun += 1;
        let local: Vec<ServiceId> =
            desks.iter_mut().filter_map(|desk| desk.sync().is_some().then(|| desk.id())).collect();
        self.barrier.start(view.ring, &view.members, &local);
        self.patience.begin(context.now());
        self.send_list(desks, context);
        let mut transitional = std::mem::take(&mut self.transitional);
        transitional.retain(|node| view.members.contains(node));
        let view = SyncView { ring: view.ring, members: view.members.clone(), transitional };
        for place in 0..desks.len() {
            self.at(place, desks, context, |desk, context| {
                if let Some(part) = desk.sync() {
                    part.begin(&view, context);
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

    fn send_list(&mut self, desks: Desks<'_, '_>, context: &mut Context<'_>) {
        let Some(ring) = self.barrier.ring() else { return };
        let services = desks.iter_mut().filter_map(|desk| desk.sync().is_some().then(|| desk.id())).collect();
        match context.multicast_sync(&SyncMessage::Services { ring, services }.encode()) {
            Ok(()) => self.barrier.list_sent(),
            Err(Full) => context.want_token(),
        }
    }

    /// This node's turn in the current service: its desk's messages, then the barrier.
    fn speak(&mut self, desks: Desks<'_, '_>, said: bool, context: &mut Context<'_>) {
        let Some(ring) = self.barrier.ring() else { return };
        let place = self.barrier.current().and_then(|service| self.place(service.0));
        if let (false, Some(place)) = (said, place) {
            context.enter(place, true);
            let progress = desks[place].sync().map_or(Progress::Done, |part| part.process(context));
            // What did not fit is sent when the part is processed again.
            context.exit();
            self.tell(desks, context);
            if progress == Progress::Again {
                context.want_token();
                return;
            }
        }
        self.barrier.said();
        match context.multicast_sync(&SyncMessage::Barrier { ring }.encode()) {
            Ok(()) => self.barrier.barrier_sent(),
            Err(Full) => context.want_token(),
        }
    }

    fn complete(&mut self, desks: Desks<'_, '_>, context: &mut Context<'_>) {
        self.stats.syncs_completed += 1;
        self.patience.complete(self.barrier.members());
        if self.moving {
            context.synced_in_transit();
            return;
        }
        let Some(ring) = self.barrier.ring() else { return };
        self.syncing = false;
        self.ready = true;
        context.synced(ring);
        self.retry(desks, context);
    }

    /// Lets the desks whose multicasts were refused try again.
    fn retry(&mut self, desks: Desks<'_, '_>, context: &mut Context<'_>) {
        for place in 0..self.desks.len() {
            if std::mem::take(&mut self.desks[place].refused) {
                self.at(place, desks, context, |desk, context| desk.retry(context));
            }
        }
    }
}
