//! Receiving on a link: the datagrams of one system call are opened together and in place, given to the
//! engine, and the resulting messages handed up.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::time::{Duration, Instant as Clock};

use super::report::Report;
use crate::time::Instant;
use crate::transport::knet::envelope::{Envelope, Refusal};
use crate::transport::knet::{self, Engine};
use crate::transport::probes;
use crate::transport::received::{Came, Judge, Up};
use crate::transport::stats::{Logs, Stats};
use crate::transport::sys;

/// Judges what arrives on one link.
pub(super) struct Intake<'a> {
    pub(super) link: u8,
    pub(super) clear: bool,
    pub(super) engine: &'a mut Engine,
    pub(super) envelope: &'a mut Envelope,
    pub(super) stats: &'a mut Stats,
    pub(super) logs: &'a mut Logs,
    pub(super) report: &'a mut Report,
    pub(super) clock: &'a dyn Fn() -> Instant,
    /// When the last system call returned; `None` before it.
    pub(super) now: Option<Instant>,
    /// The results of opening the datagrams of the last system call that were not processed yet.
    pub(super) opened: std::vec::IntoIter<Result<Range<usize>, Refusal>>,
    /// Mean time that opening one of them took, unless packets are clear.
    pub(super) took: Duration,
}

impl Intake<'_> {
    /// Processes one datagram, which lies at offset `at` of the bytes being judged.
    fn take(&mut self, from: IpAddr, datagram: &mut [u8], at: usize, up: &mut Up<'_>) {
        // There is one result for each datagram.
        let Some(opened) = self.opened.next() else { return };
        let place = match opened {
            Ok(place) => place,
            Err(refusal) => return self.report.refused(from, self.link, refusal),
        };
        let plain = &datagram[place];
        if !self.clear {
            self.engine.handle_stats_mut().opened(plain, self.took);
        }
        let now = *self.now.get_or_insert_with(self.clock);
        match self.engine.receive(now, self.link, from, plain) {
            Ok(None) => {}
            Ok(Some(knet::Arrival::Whole(message))) => {
                self.stats.received.add(message.len());
                // The message is a part of the packet.
                let start = at + (message.as_ptr().addr() - datagram.as_ptr().addr());
                up.part(start..start + message.len());
            }
            Ok(Some(knet::Arrival::Assembled(message))) => {
                self.stats.received.add(message.len());
                up.apart(message);
            }
            Err(reason) => self.report.dropped(from, self.link, reason),
        }
    }
}

impl Judge for Intake<'_> {
    fn called(&mut self) {
        self.stats.recv_calls += 1;
        self.now = None;
    }

    fn failed(&mut self, error: &io::Error) {
        let errno = error.raw_os_error().unwrap_or(0);
        self.stats.recv_errors.add(errno);
        // Errors of datagrams that were sent are reported here too; they are read from the socket's error
        // queue.
        if matches!(super::errors::fault(errno), knet::Fault::Other(_))
            && errno != libc::EMSGSIZE
            && let Some(held_back) = self.logs.receive.may_speak()
        {
            tracing::warn!(%error, link = self.link, held_back, "receiving failed; the link goes on and tries again");
        }
    }

    fn brought(&mut self, came: Came<'_>) {
        let began = (!self.clear).then(Clock::now);
        let whole = came.each().filter(|(arrival, _)| sender(arrival).is_some());
        let mut datagrams: Vec<&mut [u8]> = whole
            .flat_map(|(arrival, bytes)| datagrams(arrival, bytes))
            .filter(|one| !probes::is_probe(one))
            .collect();
        self.opened = self.envelope.open(&mut datagrams).into_iter();
        if let Some(began) = began {
            // There are at most a few thousand datagrams.
            self.took = began.elapsed() / (datagrams.len() as u32).max(1);
        }
    }

    fn judge(&mut self, arrival: &sys::Arrival, bytes: &mut [u8], up: &mut Up<'_>) {
        let Some(from) = sender(arrival) else {
            self.stats.dropped_in.truncated += 1;
            return;
        };
        let mut at = 0;
        for datagram in datagrams(arrival, bytes) {
            let length = datagram.len();
            if probes::is_probe(datagram) {
                self.stats.probes += 1;
            } else {
                self.take(from, datagram, at, up);
            }
            at += length;
        }
    }
}

/// The sender of a message, if the message was received in full.
fn sender(arrival: &sys::Arrival) -> Option<IpAddr> {
    arrival.from.filter(|_| !arrival.truncated).map(|from| from.ip())
}

/// The datagrams that the kernel combined into a message.
fn datagrams<'a>(arrival: &sys::Arrival, bytes: &'a mut [u8]) -> impl Iterator<Item = &'a mut [u8]> {
    bytes.chunks_mut(arrival.each())
}
