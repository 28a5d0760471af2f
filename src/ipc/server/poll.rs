//! Handling the events of descriptors and timers.

use std::mem::MaybeUninit;

use rustix::event::epoll::{self, EventFlags};

use super::options::Admission;
use super::{EVENTS, LISTENER, Server, table};
use crate::ids::ConnId;

impl Server {
    /// Handles events of descriptors until the turn is over. Returns whether there were any.
    pub(super) fn poll(&mut self, admit: &dyn Admission) -> bool {
        if self.reported.is_empty() && !self.ask() {
            return false;
        }
        while !self.reported.is_empty() && self.turn.step() {
            let Some((flags, token)) = self.reported.pop_front() else { break };
            if token & LISTENER != 0 {
                self.accept((token & !LISTENER) as usize);
            } else {
                self.rung(ConnId(token), flags, admit);
            }
        }
        true
    }

    /// Polls the descriptors. Returns whether there are events, or to poll again at once.
    fn ask(&mut self) -> bool {
        let mut room = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        let reported: &[epoll::Event] = match epoll::wait(&self.epoll, &mut room[..], Some(&now)) {
            Ok((reported, _)) => reported,
            Err(rustix::io::Errno::INTR) => return true,
            Err(error) => {
                tracing::warn!(%error, "cannot ask which clients have something");
                return false;
            }
        };
        self.reported.extend(reported.iter().map(|event| (event.flags, event.data.u64())));
        !reported.is_empty()
    }

    /// Handles an event on a client's socket.
    pub(super) fn rung(&mut self, conn: ConnId, flags: EventFlags, admit: &dyn Admission) {
        let Some(client) = self.table.open(conn) else {
            self.greet(conn, admit);
            return;
        };
        if flags.intersects(EventFlags::HUP | EventFlags::RDHUP | EventFlags::ERR) {
            client.hang_up();
        }
        if client.lingers.is_some() {
            self.flush_client(conn);
            self.finish_lingering(conn);
            return;
        }
        let service = client.service;
        if !self.reads_from(service)
            && let Some(client) = self.table.open(conn)
        {
            // The request waits, but its doorbell byte is read: a client spins when its socket is full.
            if let Err(reason) = client.read_doorbells() {
                self.throw_out(conn, &reason);
                return;
            }
        }
        if flags.contains(EventFlags::OUT) {
            self.flush_client(conn);
        }
        self.make_ready(conn);
    }

    pub(super) fn pass_deadlines(&mut self) {
        if self.slow_at.is_some_and(|at| at <= self.now) {
            self.look_at_slow();
        }
        if self.handshakes.front().is_some_and(|&(at, _)| at <= self.now)
            || self.handshakes.len() > table::PLACES
        {
            self.expire_handshakes();
        }
        if self.resume_at.is_some_and(|at| at <= self.now) {
            self.resume();
        }
    }

    /// Looks at clients that had no room. They get at most half of a turn, because requests come after them.
    fn look_at_slow(&mut self) {
        self.slow_at = None;
        for _ in 0..self.slow.len() {
            if !self.turn.step_within(2) {
                // The rest is looked at in the next turn.
                self.slow_at = Some(self.now);
                return;
            }
            let Some(conn) = self.slow.pop_front() else { return };
            let Some(client) = self.table.open(conn) else { continue };
            client.slow = false;
            let lingers = client.lingers.is_some();
            self.flush_client(conn);
            if lingers {
                self.finish_lingering(conn);
            }
        }
    }
}
