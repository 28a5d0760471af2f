//! The record of a run, which the checkers read.

use std::collections::BTreeMap;

use annulus::ids::{Guarantee, NodeId, RingId};
use annulus::time::Instant;
use annulus::view::View;

/// One life of a node, from its start to its crash. All that it knew ends with it, except for the stored ring id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Process {
    pub(crate) node: u32,
    pub(crate) life: u32,
}

/// A message, as an index into [`Trace::sent`].
pub(crate) type Msg = usize;

/// The phase of the sender in which a message was submitted; it decides the queue in which the message waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// No synchronisation was under way.
    Working,
    /// A transitional view had come, and the synchronisation that follows it had not ended.
    Syncing,
}

/// A message that the ring accepted.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) by: Process,
    /// Rises with every message of `by`, from 0.
    pub(crate) number: u32,
    pub(crate) guarantee: Guarantee,
    pub(crate) size: usize,
    pub(crate) phase: Phase,
    pub(crate) at: Instant,
    /// Number of events that `by` had seen when it submitted the message.
    pub(crate) after: usize,
    /// The ring on which its last part was multicast; `None` until then.
    pub(crate) on: Option<RingId>,
    /// The ring on which its packet was sent, or the first of the packets that are linked to it by split messages.
    pub(crate) row_began_on: Option<RingId>,
}

/// What one process experienced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    View(View),
    Deliver(Msg),
    /// The process crashed, or left and ended.
    Stop,
}

/// A run. The events of a process are in the order in which they happened to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    pub(crate) sent: Vec<Sent>,
    pub(crate) lives: BTreeMap<Process, Vec<(Instant, Event)>>,
}

impl Trace {
    pub(crate) fn add(&mut self, now: Instant, who: Process, event: Event) {
        self.lives.entry(who).or_default().push((now, event));
    }

    /// Number of events that `who` has seen so far.
    pub(crate) fn seen(&self, who: Process) -> usize {
        self.lives.get(&who).map_or(0, Vec::len)
    }

    /// A message as a failure report names it: `2.1#17` is the 17th message of node 2 in its first life.
    pub(crate) fn name(&self, msg: Msg) -> String {
        let sent = &self.sent[msg];
        let safe = if sent.guarantee == Guarantee::Safe { "s" } else { "" };
        format!("{}.{}#{}{safe}({} B)", sent.by.node, sent.by.life, sent.number, sent.size)
    }

    /// The last `lines` lines of the events of all processes; consecutive deliveries share one line.
    pub(crate) fn tail(&self, lines: usize) -> String {
        let mut all: Vec<(Instant, Process, usize)> = Vec::new();
        for (who, events) in &self.lives {
            all.extend(events.iter().enumerate().map(|(index, (at, _))| (*at, *who, index)));
        }
        all.sort();
        let mut out: Vec<String> = Vec::new();
        let mut run: Option<(Process, Msg, Msg, usize)> = None;
        for (at, who, index) in all {
            let event = &self.lives[&who][index].1;
            let line = |what: &str| {
                format!("{:>9.3} ms  {}.{}  {what}", at.as_micros() as f64 / 1e3, who.node, who.life)
            };
            let what = match event {
                Event::View(view) => shown(view),
                Event::Stop => "stop".to_owned(),
                Event::Deliver(msg) => {
                    let (first, count) = match run {
                        Some((same, first, _, count)) if same == who => {
                            out.pop();
                            (first, count + 1)
                        }
                        _ => (*msg, 1),
                    };
                    run = Some((who, first, *msg, count));
                    let (first, last) = (self.name(first), self.name(*msg));
                    out.push(line(&format!("deliver {count}: {first} ... {last}")));
                    continue;
                }
            };
            run = None;
            out.push(line(&what));
        }
        out.split_off(out.len().saturating_sub(lines)).join("\n")
    }
}

fn shown(view: &View) -> String {
    let ids = |list: &[NodeId]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let (members, joined, left) = (ids(&view.members), ids(&view.joined), ids(&view.left));
    format!("{:?} {} [{members}] joined [{joined}] left [{left}]", view.kind, view.ring)
}
