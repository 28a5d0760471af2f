//! The driver's dealings with clients over IPC: which are read when, and the hand-over of their requests.

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
use crate::time::Instant;

/// The services that clients can reach, with the names of their sockets.
pub const SERVICES: [(ServiceId, &str); 5] = [
    (ServiceId::CMAP, "cmap"),
    (ServiceId::CPG, "cpg"),
    (ServiceId::CFG, "cfg"),
    (ServiceId::QUORUM, "quorum"),
    (ServiceId::VOTEQUORUM, "votequorum"),
];

/// Requests taken in one turn of the loop.
const BUDGET: u32 = 64;
/// Bytes of requests after which the turn goes to others too.
const BUDGET_BYTES: usize = 256 << 10;
/// Time without room for a request of any size after which clients are told that they must wait. Shorter
/// shortages happen at each rotation of the token under load; requests just stay in their rings then.
const PATIENCE: Duration = Duration::from_millis(20);

type Rung<'a> = AsyncFdReadyGuard<'a, Doorbell>;

/// See the module.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) policy: Policy,
    flows: [Flow; SERVICES.len()],
    /// Since when there is no room for a request of any size.
    short_since: Option<Instant>,
    request: Vec<u8>,
}

impl Clients {
    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, flows: [Flow::Open; SERVICES.len()], short_since: None, request: Vec::new() }
    }

    /// Serves clients for a while. Whether there may be more to do.
    pub(super) fn serve(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        doorbell: &AsyncFd<Doorbell>,
        stack: &mut Stack,
        outside: &mut Outside,
    ) -> bool {
        let mut spent = 0;
        // Taken before the server is asked, so that a ring that comes in between is not cleared unheard.
        let mut rung = ring(doorbell, cx);
        for taken in 0..BUDGET {
            let Some(server) = &mut outside.server else { return false };
            if self.hold_back(now, stack, server) {
                // Whatever makes room comes through the ring, and that wakes this task.
                return taken > 0;
            }
            if rung.is_none() && server.deadline().is_none_or(|at| at > now) {
                return taken > 0;
            }
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
                    spent += self.request.len();
                    if spent > BUDGET_BYTES {
                        return true;
                    }
                }
                Some(Incoming::Connected { conn, service, peer }) => {
                    tracing::debug!(target: "annulus::node", pid = peer.pid, service = service.0, "a client connected");
                    outside.log.came(conn, peer.pid);
                    if stack.connected(now, service, conn, outside).is_err()
                        && let Some(server) = &mut outside.server
                    {
                        server.close(conn); // cannot be: the gate looked at the same facts
                    }
                }
                Some(Incoming::Closed { conn }) => {
                    outside.log.went(conn);
                    stack.disconnected(now, conn, outside);
                }
                None => match rung.take() {
                    Some(mut heard) => {
                        heard.clear_ready();
                        rung = ring(doorbell, cx);
                    }
                    None => return taken > 0,
                },
            }
        }
        true
    }

    /// When to serve even if nobody rings.
    pub(super) fn deadline(&self, server: Option<&Server>) -> Option<Instant> {
        match self.short_since {
            Some(since) if self.flows == [Flow::Open; SERVICES.len()] => Some(since + PATIENCE),
            _ => server.and_then(Server::deadline),
        }
    }

    /// Tells the clients how things are, as far as that changed. Whether nothing may be read at all.
    fn hold_back(&mut self, now: Instant, stack: &Stack, server: &mut Server) -> bool {
        let short = !stack.fits_request();
        if !short {
            self.short_since = None;
        } else if self.short_since.is_none() {
            self.short_since = Some(now);
        }
        let long_short = self.short_since.is_some_and(|since| now.since(since) >= PATIENCE);
        for ((service, _), known) in SERVICES.into_iter().zip(&mut self.flows) {
            let held = long_short && needs_room(service) || stack.flow(service) == service::Flow::Held;
            let flow = if held { Flow::Multicast } else { Flow::Open };
            if *known != flow {
                *known = flow;
                server.set_flow(service, flow);
            }
        }
        // While requests are held, new clients and those that left are still dealt with.
        let open = SERVICES.into_iter().zip(&self.flows).filter(|(_, flow)| **flow == Flow::Open);
        short && open.into_iter().any(|((service, _), _)| needs_room(service))
    }
}

/// Whether the doorbell has rung; if not, it wakes the task when it does.
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

/// Whether a service has requests that the ring must have room for. Others are read at any time; a
/// synchronisation may even wait for one of votequorum's.
fn needs_room(service: ServiceId) -> bool {
    matches!(service, ServiceId::CPG | ServiceId::CFG)
}
