//! The driver's side of IPC clients: when to read from which client, and handing over their requests.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use super::admission::{Gate, Policy};
use super::doorbell::Doorbell;
use super::edge::Outside;
use crate::ids::ServiceId;
use crate::ipc::{Flow, Incoming, Server};
use crate::service::{self, Request};
use crate::stack::Stack;
use crate::time::{Instant, earliest};

/// The services that clients can reach, with the names of their IPC sockets.
pub const SERVICES: [(ServiceId, &str); 5] = [
    (ServiceId::CMAP, "cmap"),
    (ServiceId::CPG, "cpg"),
    (ServiceId::CFG, "cfg"),
    (ServiceId::QUORUM, "quorum"),
    (ServiceId::VOTEQUORUM, "votequorum"),
];

/// Requests taken in one turn.
const BUDGET: u32 = 64;
/// Bytes of requests after which a turn goes on to other work.
const BUDGET_BYTES: usize = 256 << 10;
/// Bytes of work that a notification of the database counts as.
const STEP_BYTES: u64 = 256;
/// Time without room for a request of any size, after which clients are told to wait. Shorter shortages occur at each
/// rotation of the token under load; during them requests stay in their ring buffers.
const PATIENCE: Duration = Duration::from_millis(20);

type Rung<'a> = AsyncFdReadyGuard<'a, Doorbell>;

/// Serves the clients over IPC; see the module.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) policy: Policy,
    /// What the server was told last.
    told: Told,
    /// Since when there has been no room for a request of any size.
    short_since: Option<Instant>,
    request: Vec<u8>,
    /// Requests since [`Clients::take_count`] was called last.
    count: u32,
}

/// Which clients may send, and whose requests are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Told {
    /// What the clients of each service are told.
    flows: [Flow; SERVICES.len()],
    /// No requests are read that the ring would lose.
    short: bool,
    /// No requests to the database are read.
    telling: bool,
}

/// What came of looking for work of clients.
enum Step {
    /// There was some, with a request of so many bytes.
    Served(usize),
    /// There is none now.
    Nothing,
}

/// What a turn has spent of [`BUDGET_BYTES`].
struct Spent {
    /// Bytes of requests.
    bytes: usize,
    /// The work of the database before the turn.
    worked: u64,
}

impl Spent {
    const fn none(stack: &Stack) -> Self {
        Self { bytes: 0, worked: stack.work() }
    }

    fn is_all(&self, stack: &Stack) -> bool {
        let steps = (stack.work() - self.worked).saturating_mul(STEP_BYTES);
        self.bytes.saturating_add(usize::try_from(steps).unwrap_or(usize::MAX)) > BUDGET_BYTES
    }
}

impl Told {
    fn tell(self, server: &mut Server) {
        server.set_paused(ServiceId::CMAP, self.telling);
        for ((service, _), flow) in SERVICES.into_iter().zip(self.flows) {
            if needs_the_ring(service) {
                server.set_paused(service, self.short);
            }
            server.set_flow(service, flow);
        }
    }
}

impl Clients {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, told: Told::default(), short_since: None, request: Vec::new(), count: 0 }
    }

    /// Serves clients within the limits of a turn. Returns whether there may be more to do.
    pub(super) fn serve(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        doorbell: &AsyncFd<Doorbell>,
        stack: &mut Stack,
        outside: &mut Outside,
    ) -> bool {
        let mut spent = Spent::none(stack);
        // Read before the server is asked, so that a signal that comes in between is not cleared unnoticed.
        let mut rung = ring(doorbell, cx);
        for taken in 0..BUDGET {
            let Some(server) = &mut outside.server else { return false };
            // Room is made by frames from the ring, and their arrival wakes this task.
            self.hold_back(now, stack, server);
            if rung.is_none() && server.deadline().is_none_or(|at| at > now) {
                return taken > 0;
            }
            match self.step(now, stack, outside) {
                Step::Served(bytes) => spent.bytes += bytes,
                // The doorbell stays readable while work is left.
                Step::Nothing if outside.server.as_ref().is_some_and(Server::is_unfinished) => return true,
                Step::Nothing => match rung.take() {
                    Some(mut heard) => {
                        heard.clear_ready();
                        rung = ring(doorbell, cx);
                    }
                    None => return taken > 0,
                },
            }
            if spent.is_all(stack) {
                return true;
            }
        }
        true
    }

    /// Takes what clients have brought by now, within the limits of a turn, whether or not the doorbell was heard.
    pub(super) fn collect(&mut self, now: Instant, stack: &mut Stack, outside: &mut Outside) {
        let mut spent = Spent::none(stack);
        for _ in 0..BUDGET {
            let Some(server) = &mut outside.server else { return };
            self.hold_back(now, stack, server);
            match self.step(now, stack, outside) {
                Step::Served(bytes) => spent.bytes += bytes,
                Step::Nothing => return,
            }
            if spent.is_all(stack) {
                return;
            }
        }
    }

    /// The number of requests since the last call.
    pub(super) fn take_count(&mut self) -> u32 {
        std::mem::take(&mut self.count)
    }

    /// Handles one thing that clients have brought.
    fn step(&mut self, now: Instant, stack: &mut Stack, outside: &mut Outside) -> Step {
        let Some(server) = &mut outside.server else { return Step::Nothing };
        let known = |service| stack.router().has(service);
        let gate = Gate {
            policy: &self.policy,
            database: stack.database(),
            ready: stack.accepts_clients(),
            known: &known,
        };
        match server.next(now, &gate, &mut self.request) {
            Some(Incoming::Request { conn }) => {
                let request = Request { bytes: &self.request, tail: &[] };
                stack.request(now, conn, request, outside);
                outside.carry_out_all(stack);
                self.count += 1;
                return Step::Served(self.request.len());
            }
            Some(Incoming::Connected { conn, service, peer }) => {
                tracing::debug!(target: "annulus::node", pid = peer.pid, service = service.0, "a client connected");
                outside.log.came(conn, peer.pid);
                let connected = stack.connected(now, service, conn, outside);
                outside.carry_out_all(stack);
                if connected.is_err()
                    && let Some(server) = &mut outside.server
                {
                    server.close(conn); // does not happen: the gate checked the same facts
                }
            }
            Some(Incoming::Closed { conn }) => {
                outside.log.went(conn);
                stack.disconnected(now, conn, outside);
                outside.carry_out_all(stack);
            }
            None => return Step::Nothing,
        }
        Step::Served(0)
    }

    /// When to serve clients even if the doorbell does not become readable.
    pub(super) fn deadline(&self, server: Option<&Server>) -> Option<Instant> {
        // Clients that have been told to wait need no second message.
        let told = SERVICES
            .iter()
            .zip(&self.told.flows)
            .all(|((service, _), flow)| !needs_the_ring(*service) || *flow != Flow::Open);
        let patience = self.short_since.filter(|_| !told).map(|since| since + PATIENCE);
        earliest([patience, server.and_then(Server::deadline)])
    }

    /// Tells clients whether the ring takes requests, when that has changed, and stops reading those whose requests
    /// would be lost. Other services go on: votequorum during a synchronisation, all of them while CPG messages fill
    /// the send queue.
    fn hold_back(&mut self, now: Instant, stack: &Stack, server: &mut Server) {
        let short = !stack.fits_request();
        if !short {
            self.short_since = None;
        } else if self.short_since.is_none() {
            self.short_since = Some(now);
        }
        let long_short = self.short_since.is_some_and(|since| now.since(since) >= PATIENCE);
        let flows = SERVICES.map(|(service, _)| {
            let held = needs_the_ring(service) && long_short || stack.flow(service) == service::Flow::Held;
            if held { Flow::Multicast } else { Flow::Open }
        });
        let told = Told { flows, short, telling: stack.is_telling() };
        if self.told != told {
            self.told = told;
            told.tell(server);
        }
    }
}

/// Whether a request of this service is lost if the ring does not take what it multicasts.
fn needs_the_ring(service: ServiceId) -> bool {
    service == ServiceId::CPG
}

/// Whether the doorbell is readable; if not, it wakes the task when it becomes so.
fn ring<'a>(doorbell: &'a AsyncFd<Doorbell>, cx: &mut Context<'_>) -> Option<Rung<'a>> {
    match doorbell.poll_read_ready(cx) {
        Poll::Ready(Ok(rung)) => Some(rung),
        Poll::Ready(Err(error)) => {
            tracing::error!(target: "annulus::node", %error, "cannot wait for clients");
            None
        }
        Poll::Pending => None,
    }
}
