//! The outputs that an input has caused and that were not taken yet.

use core::ops::Range;
use std::collections::VecDeque;

use bytes::Bytes;

use super::output::{Output, Recipient};

/// Most bytes for the heads of events whose memory is kept for the next input.
const HEADS_KEPT: usize = 64 << 10;

/// Most recipients of events whose memory is kept for the next input.
const RECIPIENTS_KEPT: usize = 4096;

/// The outputs of one input, in their order. The driver takes all of them after each input, so that it never holds more
/// than the effects of one.
///
/// Heads and recipients of the events are in two buffers that are used again, because an allocation for each event
/// costs more than the rest of a small message's way through its desk.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Queued>,
    heads: Vec<u8>,
    recipients: Vec<Recipient>,
}

#[derive(Debug)]
enum Queued {
    Event { to: Range<usize>, head: Range<usize>, payload: Bytes },
    Other(Output<'static>),
}

impl Outbox {
    /// Queues an event, if it has recipients; see [`Output::Event`].
    pub(super) fn event(
        &mut self,
        to: impl IntoIterator<Item = impl Into<Recipient>>,
        head: &[u8],
        payload: Bytes,
    ) {
        let to = appended(&mut self.recipients, |all| all.extend(to.into_iter().map(Into::into)));
        if !to.is_empty() {
            let head = appended(&mut self.heads, |all| all.extend_from_slice(head));
            self.queue.push_back(Queued::Event { to, head, payload });
        }
    }

    /// Queues an output that is not an event.
    pub(crate) fn put(&mut self, output: Output<'static>) {
        self.queue.push_back(Queued::Other(output));
    }

    /// Whether nothing is left to be taken. If so, what the events contained is forgotten.
    #[inline]
    pub(crate) fn is_drained(&mut self) -> bool {
        let drained = self.queue.is_empty();
        if drained && !self.recipients.is_empty() {
            self.forget_events();
        }
        drained
    }

    fn forget_events(&mut self) {
        self.heads.clear();
        self.heads.shrink_to(HEADS_KEPT);
        self.recipients.clear();
        self.recipients.shrink_to(RECIPIENTS_KEPT);
    }

    /// Takes the earliest output.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Output<'_>> {
        Some(match self.queue.pop_front()? {
            Queued::Event { to, head, payload } => {
                Output::Event { to: &self.recipients[to], head: &self.heads[head], payload }
            }
            Queued::Other(output) => output,
        })
    }
}

/// Where in `all` that is which `append` appends.
fn appended<T>(all: &mut Vec<T>, append: impl FnOnce(&mut Vec<T>)) -> Range<usize> {
    let from = all.len();
    append(all);
    from..all.len()
}
