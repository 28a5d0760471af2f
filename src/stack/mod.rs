//! Ring, router and desks, joined into one node that does no IO.
//!
//! The driver (or a simulator) gives a [`Stack`] its inputs one at a time, and after each of them takes its outputs with
//! [`Stack::poll_output`] until there are none. What a desk must know of the world outside at once, it asks through
//! [`Edge`].
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Stack`] |
//! | `desks.rs` | the desks of a node |
//! | `outage.rs` | how long this node has been in no operating ring |

mod desks;
mod outage;
#[cfg(test)]
mod tests;

use std::time::Duration;

use self::desks::Desks;
use self::outage::{Outage, Standing, Turn};
use crate::admin;
use crate::confdb;
use crate::config::Config;
use crate::config::key::Key;
use crate::config::map::Map;
use crate::config::timeouts::Timeouts;
use crate::cpg;
use crate::error::Status;
use crate::ids::{ConnId, NodeId, ServiceId};
use crate::quorum::{self, votequorum};
use crate::service::router::{self, EXEC_OVERHEAD, FormAnew, Router};
use crate::service::wire::MAX_MESSAGE;
use crate::service::{Context, Database, Edge, Flow, Ground, Notice, Output, Request, Service, Traffic};
use crate::time::{Instant, earliest};
use crate::totem::pg::level::Level;
use crate::totem::{self, Group, Input, Params, StateName, Totem};
use crate::value::Value;

/// One node without IO; see the module documentation.
#[derive(Debug)]
pub struct Stack {
    ground: Ground,
    router: Router,
    desks: Desks,
    /// The deadline of the ring alone.
    deadline: Option<Instant>,
    /// What is still to be checked after the last input.
    check: Check,
    outage: Outage,
    /// The exec messages that were delivered, for tests that compare them.
    #[cfg(test)]
    delivered: Vec<(NodeId, bytes::Bytes)>,
}

/// What an input of the ring or the clock makes necessary once the ring has nothing more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Whether deadlines of desks have passed.
    Deadlines,
    /// Whether members are silent in the synchronisation, and whether this node is in an operating ring.
    Standing,
    /// Nothing.
    Nothing,
}

/// Configuration of a node, besides that of its ring.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The initial content of the configuration database: the configuration.
    pub map: Map,
    /// Facts about the nodes, such as their addresses.
    pub facts: admin::Facts,
    /// The highest number of expected votes that was stored (`expected_votes_tracking`).
    pub kept_votes: Option<u32>,
}

/// Why a node cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The section `quorum` is contradictory, or requires something that is not available.
    #[error(transparent)]
    Quorum(#[from] quorum::settings::Wrong),
}

/// The services in the order in which they are ended, with the names that operators know them by.
///
/// Source: corosync `exec/service.c`: by descending priority, then ascending number.
const ENGINES: [(ServiceId, &str); 5] = [
    (ServiceId::VOTEQUORUM, "corosync vote quorum service v1.0"),
    (ServiceId::CMAP, "corosync configuration map access"),
    (ServiceId::CFG, "corosync configuration service"),
    (ServiceId::CPG, "corosync cluster closed process group service v1.01"),
    (ServiceId::QUORUM, "corosync cluster quorum service v0.1"),
];

/// The key that says why this node is in no operating ring; it exists only in that state.
pub(crate) const OUTAGE: &str = "runtime.totem.outage";

/// How long the services of an operating ring may synchronise before the node counts as being in no operating ring;
/// longer if a quorum device may be waited for.
const SYNC_MAY_TAKE: Duration = Duration::from_secs(10);

/// The configuration database with its initial content.
pub(crate) fn database_of(map: &Map) -> Database {
    let mut database = Database::default();
    for (name, entry) in map.iter() {
        database.set(name, entry.value.clone());
    }
    database
}

impl Stack {
    /// Makes a node that is in no ring. Give it [`Input::Timeout`] to make it look for other nodes.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(params: Params, setup: Setup, now: Instant) -> Result<Self, SetupError> {
        let me = params.me;
        let mut database = database_of(&setup.map);
        let confdb = confdb::Desk::new(me, setup.facts.addresses.clone());
        let provided = quorum::settings::provider(&database)?;
        let votequorum =
            if provided { Some(votequorum::Desk::new(me, &mut database, setup.kept_votes)?) } else { None };
        let mut desks = Desks {
            confdb,
            admin: admin::Desk::new(me, setup.facts),
            cpg: cpg::Desk::new(me),
            quorum: quorum::Desk::new(provided),
            votequorum,
        };
        let outage = Outage::new(&params.timeouts);
        desks.admin.limit(&params.timeouts, now);
        let mut traffic = Traffic::default();
        let router = desks.with(|desks| Router::new(desks, &mut traffic));
        let services = traffic.services().iter();
        let services = services.map(|(service, functions)| (*service, functions.len() as u16));
        desks.confdb.begin(&mut database, &params.timeouts, services);
        // These changes are the initial state, which is not to be announced.
        while database.take_change().is_some() {}
        let ground = Ground::new(me, now, Totem::new(params, now), database, traffic);
        Ok(Self {
            ground,
            router,
            desks,
            deadline: Some(now),
            check: Check::Nothing,
            outage,
            #[cfg(test)]
            delivered: Vec::new(),
        })
    }

    /// Gives the stack an input from the network or the clock. `now` never decreases.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.ground.now = now;
        self.ground.totem.handle_input(now, input);
        self.check = Check::Deadlines;
    }

    /// The next thing to be done outside. `None`: nothing is left of what the last input has caused, and the next input
    /// may follow; [`Stack::deadline`] says when at the latest.
    pub fn poll_output(&mut self, edge: &mut dyn Edge) -> Option<Output<'_>> {
        loop {
            if !self.ground.outbox.is_drained() {
                return self.ground.outbox.take();
            }
            match self.ground.totem.poll_output() {
                totem::Output::Send(to, frame) => return Some(Output::Send(to, frame)),
                totem::Output::Store(up_to) => return Some(Output::Store(up_to)),
                totem::Output::Probe(node) => return Some(Output::Probe(node)),
                totem::Output::Deliver(totem::Message { from, group, body, order, .. }) => {
                    #[cfg(test)]
                    if group == Group::App {
                        self.delivered.push((from, body.clone()));
                    }
                    self.route(edge, |router, desks, context| match group {
                        Group::App => router.deliver(desks, from, body, order, context),
                        Group::Sync => router.deliver_sync(desks, from, &body, order, context),
                    });
                }
                totem::Output::View(view) => {
                    self.ground.outbox.put(Output::View(view.clone()));
                    self.route(edge, |router, desks, context| router.view(desks, &view, context));
                }
                totem::Output::TokenSent => self.route(edge, Router::token_sent),
                totem::Output::Wait(deadline) => {
                    self.deadline = deadline;
                    if !self.look_after_input(edge) {
                        return None;
                    }
                }
            }
        }
    }

    /// Makes the checks that the last input made necessary, until one of them has led to something. Returns whether
    /// one has.
    fn look_after_input(&mut self, edge: &mut dyn Edge) -> bool {
        if self.ground.exclude() {
            return true;
        }
        if self.check == Check::Deadlines {
            self.check = Check::Standing;
            if self.desks.deadline().is_some_and(|at| at <= self.ground.now) {
                self.route(edge, Router::expired);
                return true;
            }
        }
        if self.check == Check::Standing {
            self.check = Check::Nothing;
            return self.look_after_synchronisation() | self.look_for_outage(edge);
        }
        false
    }

    /// Lets the router act on the desks.
    fn route<R>(
        &mut self,
        edge: &mut dyn Edge,
        act: impl FnOnce(&mut Router, router::Desks<'_, '_>, &mut Context<'_>) -> R,
    ) -> R {
        let Self { ground, router, desks, .. } = self;
        let mut context = ground.context(edge);
        desks.with(|desks| act(router, desks, &mut context))
    }

    /// Forms the ring again if members are silent in the synchronisation, so that they do not delay the
    /// others without end. Returns whether it was time to look.
    fn look_after_synchronisation(&mut self) -> bool {
        let Self { ground, router, desks, .. } = self;
        if router.deadline().is_none_or(|at| at > ground.now) {
            return false;
        }
        let on_ring = ground.totem.state() == StateName::Operational;
        let anew = desks.with(|desks| router.look(desks, ground.me, ground.now, on_ring));
        if let Some(FormAnew { without, time }) = anew {
            ground.totem.leave_out(ground.now, &without, time);
        }
        true
    }

    /// A client connected to a service.
    ///
    /// # Errors
    /// [`Status::TryAgain`] before the first synchronisation, [`Status::NotSupported`] for a service that
    /// this node does not have. The connection must then be refused and forgotten.
    pub fn connected(
        &mut self,
        now: Instant,
        service: ServiceId,
        conn: ConnId,
        edge: &mut dyn Edge,
    ) -> Result<(), Status> {
        self.ground.now = now;
        if !self.accepts_clients() {
            return Err(Status::TryAgain);
        }
        let connected =
            self.route(edge, |router, desks, context| router.connected(desks, service, conn, context));
        self.desks.confdb.statistics_moved(now);
        connected
    }

    /// A client sent a request. It is answered once by an [`Output::Reply`], at once or later; a CPG multicast
    /// is not answered.
    ///
    /// A multicast that comes while its service's flow is held, or while [`Stack::fits_request`] is false, is
    /// lost without notice to its sender. So the edge must keep such requests until then.
    pub fn request(&mut self, now: Instant, conn: ConnId, request: Request<'_>, edge: &mut dyn Edge) {
        self.ground.now = now;
        self.route(edge, |router, desks, context| router.request(desks, conn, request, context));
    }

    /// A client has disconnected. A second call has no effect.
    pub fn disconnected(&mut self, now: Instant, conn: ConnId, edge: &mut dyn Edge) {
        self.ground.now = now;
        self.route(edge, |router, desks, context| router.disconnected(desks, conn, context));
        self.desks.confdb.statistics_moved(now);
    }

    /// The time for the next [`Input::Timeout`] if no other input comes before. If it is in the past, give it
    /// after the other pending inputs.
    pub fn deadline(&self) -> Option<Instant> {
        earliest([self.deadline, self.router.deadline(), self.outage.deadline(), self.desks.deadline()])
    }

    /// Whether clients may connect: true from the first completed synchronisation on.
    pub const fn accepts_clients(&self) -> bool {
        self.router.ready()
    }

    /// Whether a service's clients may send requests; see [`Flow`].
    pub fn flow(&self, service: ServiceId) -> Flow {
        // Votequorum's requests are served during a synchronisation, because a synchronisation may wait for
        // one of them.
        let syncing = self.router.syncing() && service != ServiceId::VOTEQUORUM;
        // The other services' requests need no room in the send queue, or wait for it at their desks.
        let full = self.ground.totem.level() == Level::Critical && service == ServiceId::CPG;
        if syncing || full { Flow::Held } else { Flow::Open }
    }

    /// Whether clients of the database are being notified of a change. Requests to the database must not be read
    /// meanwhile.
    pub fn is_telling(&self) -> bool {
        self.desks.confdb.is_telling()
    }

    /// The work done for clients of the database since the start, in steps that each cost about as much as one event.
    pub const fn work(&self) -> u64 {
        self.desks.confdb.work()
    }

    /// Whether a request of any size would be accepted now. While this is false, the edge reads no requests
    /// that need flow control, so that none is lost.
    pub fn fits_request(&self) -> bool {
        !self.router.syncing() && self.ground.totem.fits(MAX_MESSAGE + EXEC_OVERHEAD)
    }

    /// Ends all services, votequorum first: disconnects their clients, and lets each service multicast its
    /// last messages. This is the first step of a clean stop, which announces the end of the clients in the
    /// order of the ring. Continue with inputs until [`Stack::settled`] is true or a time limit is reached,
    /// then call [`Stack::leave`].
    ///
    /// Source: corosync `exec/service.c`, `corosync_service_unlink_all`.
    pub fn disconnect_all(&mut self, edge: &mut dyn Edge) {
        tracing::info!("Unloading all Corosync service engines.");
        for (service, name) in ENGINES {
            if self.route(edge, |router, desks, context| router.stop(desks, service, context)) {
                tracing::info!("Service engine unloaded: {name}");
            }
        }
    }

    /// Reports that the configuration has been read, as a desk ordered: the result, or why it cannot be used.
    pub fn judged(&mut self, now: Instant, outcome: Result<&Config, &str>, edge: &mut dyn Edge) {
        self.with_admin(now, edge, |admin, effects| admin.judged(outcome, effects));
    }

    /// Applies the configuration that was read last, as a desk ordered, or records why it cannot be used after all;
    /// then answers the clients that asked for the reload. Everything outside of the stack must have been adapted
    /// before. `rekeys`: the transport has another key, cipher or hash ready; [`Order::SwitchKey`] and
    /// [`Order::ForgetKey`] follow.
    ///
    /// [`Order::SwitchKey`]: crate::service::Order::SwitchKey
    /// [`Order::ForgetKey`]: crate::service::Order::ForgetKey
    pub fn adopted(
        &mut self,
        now: Instant,
        outcome: Result<&Config, &str>,
        rekeys: bool,
        edge: &mut dyn Edge,
    ) {
        self.ground.now = now;
        if let Ok(config) = outcome {
            self.reconfigure(config.totem.timeouts.clone(), edge);
        }
        self.desks.admin.adopted(outcome, rekeys, &mut self.ground.context(edge));
        self.desks.confdb.set_addresses(self.desks.admin.facts().addresses.clone());
        self.wake_admin(edge);
    }

    /// Reports that a key was generated, as a desk ordered, or why not; see `admin::Desk::key_made`.
    pub fn key_made(&mut self, now: Instant, outcome: Result<(Key, u64), String>, edge: &mut dyn Edge) {
        self.with_admin(now, edge, |admin, effects| admin.key_made(outcome, effects));
    }

    /// Reports that a key was stored, as a desk ordered, or why not.
    pub fn key_stored(&mut self, now: Instant, outcome: Result<(), String>, edge: &mut dyn Edge) {
        self.with_admin(now, edge, |admin, effects| admin.key_stored(outcome, effects));
    }

    /// Reports that the key file was replaced, as a desk ordered, or why not; see `admin::Desk::key_kept`.
    pub fn key_kept(&mut self, now: Instant, outcome: Result<(u64, String), String>, edge: &mut dyn Edge) {
        self.with_admin(now, edge, |admin, effects| admin.key_kept(outcome, effects));
    }

    /// Reports the key, cipher and hash in use, as a desk ordered; see `admin::Desk::key_seen`.
    pub fn key_seen(
        &mut self,
        now: Instant,
        (print, next, suite): (u64, Option<u64>, &str),
        edge: &mut dyn Edge,
    ) {
        self.with_admin(now, edge, |admin, effects| admin.key_seen(print, next, suite, effects));
    }

    fn with_admin(
        &mut self,
        now: Instant,
        edge: &mut dyn Edge,
        told: impl FnOnce(&mut admin::Desk, &mut Context<'_>),
    ) {
        self.ground.now = now;
        told(&mut self.desks.admin, &mut self.ground.context(edge));
        self.wake_admin(edge);
    }

    /// Lets the desk of the administration multicast what it could not while it was told something, and delivers its
    /// notices.
    fn wake_admin(&mut self, edge: &mut dyn Edge) {
        self.route(edge, |router, desks, context| {
            router.wake(desks, ServiceId::CFG, context);
            router.tell(desks, context);
        });
    }

    /// Whether the ring is changing its key, cipher or hash.
    pub fn is_rekeying(&self) -> bool {
        self.desks.admin.is_rekeying()
    }

    /// Whether a new key is being distributed to all nodes.
    pub fn is_rotating(&self) -> bool {
        self.desks.admin.is_rotating()
    }

    /// Reports that the log files were reopened, as a desk ordered; answers the clients that asked for it.
    pub fn logs_reopened(&mut self, now: Instant, status: Status, edge: &mut dyn Edge) {
        self.ground.now = now;
        self.desks.admin.logs_reopened(status, &mut self.ground.context(edge));
    }

    /// Whether the ring has been told of all clients that have disconnected, and of everything else that the
    /// other nodes must know.
    pub fn settled(&self) -> bool {
        self.desks.all().all(Service::settled)
    }

    /// Leaves the ring. The stack takes no further input after that.
    pub fn leave(&mut self) {
        self.ground.totem.leave();
    }

    /// Restricts the membership to these nodes: [`Totem::admit_only`]. `None`: no restriction.
    pub fn admit(&mut self, nodes: Option<&[NodeId]>) {
        match nodes {
            Some(nodes) => self.ground.totem.admit_only(nodes),
            None => self.ground.totem.admit_any(),
        }
    }

    /// Changes the ring's timers and limits.
    pub fn reconfigure(&mut self, timeouts: Timeouts, edge: &mut dyn Edge) {
        self.write(edge, |database| confdb::totem(database, &timeouts));
        self.outage.reconfigure(&timeouts);
        self.desks.admin.detect(&timeouts, &mut self.ground.context(edge));
        self.ground.totem.reconfigure(timeouts);
    }

    /// Forms the membership again.
    pub fn gather(&mut self) {
        self.ground.totem.force_gather(self.ground.now);
    }

    /// Changes the configuration database, then notifies the desks and the clients that track the changed
    /// keys.
    pub(crate) fn write(&mut self, edge: &mut dyn Edge, write: impl FnOnce(&mut Database)) {
        self.ground.database.at(self.ground.now);
        write(&mut self.ground.database);
        self.route(edge, Router::tell);
    }

    /// The configuration database.
    pub(crate) const fn database(&self) -> &Database {
        &self.ground.database
    }

    /// The ring, to read its counters and state.
    pub const fn totem(&self) -> &Totem {
        &self.ground.totem
    }

    /// The router, to read its counters.
    pub(crate) const fn router(&self) -> &Router {
        &self.router
    }

    /// Whether a synchronisation runs, or none has completed yet.
    pub const fn is_syncing(&self) -> bool {
        self.router.syncing()
    }

    /// The groups and their members.
    pub const fn groups(&self) -> &cpg::groups::Groups {
        self.desks.cpg.groups()
    }

    /// Whether this node is quorate; `None` without a quorum provider, which is always quorate.
    pub fn quorate(&self) -> Option<bool> {
        self.desks.votequorum.as_ref().map(votequorum::Desk::quorate)
    }

    /// The counters of the router.
    pub const fn router_stats(&self) -> &router::Stats {
        self.router.stats()
    }

    /// The counters of the desk of CPG.
    pub const fn cpg_stats(&self) -> &cpg::Stats {
        self.desks.cpg.stats()
    }

    /// Checks whether this node has been in no operating ring for longer than a change of membership takes. Then
    /// clients are told that it is not quorate, and `runtime.totem.outage` gives the reason until it is in a ring
    /// again. After the same time again the node forms a ring of its own for a while, because a program that acts on
    /// messages to itself, such as Pacemaker, cannot react to the loss of quorum without a ring. Returns whether there
    /// was something to tell.
    fn look_for_outage(&mut self, edge: &mut dyn Edge) -> bool {
        let standing = match (self.ground.totem.state(), self.router.syncing()) {
            (StateName::Operational, false) => Standing::Working,
            (StateName::Operational, true) => {
                let device =
                    self.desks.votequorum.as_ref().map_or(Duration::ZERO, votequorum::Desk::sync_takes);
                Standing::Syncing(device.max(SYNC_MAY_TAKE))
            }
            (StateName::Gather | StateName::Commit | StateName::Recovery, _) => Standing::Apart,
        };
        let Some(turn) = self.outage.look(self.ground.now, standing) else { return false };
        let why = match standing {
            Standing::Working => String::new(),
            Standing::Syncing(_) => "the services of the ring are not synchronised".to_owned(),
            Standing::Apart => self.ground.totem.why_no_ring(self.ground.now),
        };
        let ms = |out: Duration| u64::try_from(out.as_millis()).unwrap_or(u64::MAX);
        match turn {
            Turn::Out(out) => {
                tracing::warn!(
                    ms = ms(out), last = %self.ground.totem.ring(), state = %self.ground.totem.state(), %why,
                    "in no operating ring for longer than a change of membership takes: this node is not quorate"
                );
                self.ground.announce(Notice::NoRing);
            }
            Turn::StillOut(out) => {
                let me = self.ground.me;
                let others: Vec<_> =
                    self.ground.totem.known().iter().copied().filter(|node| *node != me).collect();
                if standing == Standing::Apart && !others.is_empty() {
                    let alone = self.outage.alone();
                    tracing::warn!(
                        ms = ms(out), for_ms = ms(alone), %why,
                        "still in no operating ring: this node goes on alone for a while, so that its groups go on"
                    );
                    self.ground.totem.leave_out(self.ground.now, &others, alone);
                }
            }
            Turn::Back(out) => {
                tracing::info!(ms = ms(out), ring = %self.ground.totem.ring(), "in an operating ring again");
            }
        }
        self.write(edge, |database| match turn {
            Turn::Out(_) | Turn::StillOut(_) => database.set(OUTAGE, Value::text(&why)),
            Turn::Back(_) => {
                database.remove(OUTAGE);
            }
        });
        true
    }
}
