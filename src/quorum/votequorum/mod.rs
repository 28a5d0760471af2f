//! The desk of service 5: counts votes, and decides whether this partition is quorate.
//!
//! Source: corosync `exec/votequorum.c`; `votequorum(5)`. Differences that another node or a client could
//! notice: a node may only send its own data; a client that disconnects while it registers a device cancels
//! the registration; no NODEINFO is queued before the first ring, because the one in its synchronisation says
//! the same.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | the inputs of the desk, and where each is handled |
//! | `exec.rs` | exec messages of all nodes |
//! | `sync.rs` | its part in the synchronisation after a new ring |
//! | `requests.rs` | requests of clients |
//! | `device_requests.rs` | requests of the quorum device, and its silence |
//! | `answer.rs` | the answers to both |
//! | `changes.rs` | changed keys of the database |
//! | `desk.rs` | the state of the desk, and what follows from a count of the votes |
//! | `device.rs` | the state of the quorum device |
//! | `telling.rs` | the events for clients that track |
//! | `publish.rs` | the keys that show the state |
//! | `outbox.rs` | messages that wait to be multicast |

mod answer;
mod changes;
mod desk;
mod device;
mod device_requests;
mod exec;
mod outbox;
mod publish;
mod requests;
mod sync;
mod telling;

pub(crate) use self::desk::Desk;

use self::desk::Leaving;
use super::wire::exec::{Exec, function};
use super::wire::votequorum::request;
use crate::ids::{ConnId, ServiceId};
use crate::service::{Context, Delivery, Notice, Request, Service, Synchronised};
use crate::time::{Instant, earliest};
use crate::view::View;

impl Service for Desk {
    fn id(&self) -> ServiceId {
        ServiceId::VOTEQUORUM
    }

    fn functions(&self) -> u16 {
        function::COUNT
    }

    fn requests(&self) -> u16 {
        request::COUNT
    }

    fn needs_flow_control(&self, _request: u16) -> bool {
        false
    }

    fn settled(&self) -> bool {
        self.leaving != Leaving::Telling
    }

    fn leaving(&mut self, context: &mut Context<'_>) {
        if self.votes.rules.allow_downscale && self.leaving == Leaving::No {
            self.leaving = Leaving::Telling;
            self.outbox.info = true;
            self.send(context);
        }
    }

    fn deliver(&mut self, delivery: Delivery, context: &mut Context<'_>) {
        let Delivery { from, function, message, order } = delivery;
        match Exec::decode(function, &message, order) {
            Some(exec) => self.heard(from, exec, context),
            None => {
                self.stats.malformed += 1;
                if let Some(held_back) = self.logs.malformed.may_speak(context.now()) {
                    let length = message.len();
                    tracing::warn!(%from, function, length, held_back, "malformed quorum message dropped");
                }
            }
        }
    }

    fn connected(&mut self, _conn: ConnId, _context: &mut Context<'_>) {}

    fn request(&mut self, conn: ConnId, function: u16, request: Request<'_>, context: &mut Context<'_>) {
        self.asked(conn, function, request.bytes, context);
    }

    fn disconnected(&mut self, conn: ConnId, _context: &mut Context<'_>) {
        self.trackers.retain(|tracker| tracker.conn != conn);
        self.device.forget(conn);
    }

    fn retry(&mut self, context: &mut Context<'_>) {
        self.send(context);
    }

    fn noticed(&mut self, notice: &Notice, context: &mut Context<'_>) {
        match notice {
            Notice::NoRing => self.lost_its_ring(context),
            Notice::Changed(change) => self.changed(&change.name, change.new.as_ref(), context),
            Notice::Quorum(decision) => {
                telling::quorum(&self.trackers, &self.votes, decision.quorate, context);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        // During a synchronisation it is not decided whether this partition is quorate, so expected votes are not
        // lowered then; nor without a ring, because the remaining nodes are not known.
        let last_man_at = self.last_man_at.filter(|_| !self.syncing && !self.ringless);
        earliest([last_man_at, self.device.silent_at])
    }

    fn expired(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        if self.device.silent_at.is_some_and(|at| at <= now) {
            self.device_is_silent(context);
        }
        if !self.syncing && !self.ringless && self.last_man_at.is_some_and(|at| at <= now) {
            self.last_man_at = None;
            if self.votes.quorate() {
                self.recalculate(true, true, context);
                tracing::info!(
                    expected = self.votes.nodes.us().expected,
                    needed = self.votes.quorum(),
                    "last_man_standing: expected votes follow the nodes that are left"
                );
            }
        }
    }

    fn view(&mut self, _view: &View, _context: &mut Context<'_>) {}

    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        Some(self)
    }
}
