//! What must hold between the logs of all clients: extended virtual synchrony, as clients of libcpg can see it.
//!
//! A log is checked from one moment of rest to the next. If two clients share two successive rings, and neither saw
//! the other leave in between, then both have the same messages and views in the same order between these rings.
//! Events that two clients both have are in the same order. Each sender's messages arrive in sequence, and one may be
//! missing only where the sender was away. A ring has the same nodes, and begins with the same group, in every log.

mod one;
mod pair;
mod rings;
mod tests;

use super::journal::Event;
use crate::sequence::Process;
use one::Past;
use rings::Rings;
use std::collections::BTreeMap;

/// The events that a client was delivered since the last moment of rest.
#[derive(Debug)]
pub(crate) struct Log {
    /// The client's process.
    pub(crate) who: Process,
    /// Whether its daemon is Corosync.
    pub(crate) corosync: bool,
    /// Whether it is the client's first log, which starts with its join.
    pub(crate) fresh: bool,
    /// The cut (a marker multicast to all) that the log ends with; `None` if the client ended.
    pub(crate) cut: Option<String>,
    /// The ring that the client is in at the end, if known. (A client that joins a group is not told its ring.)
    pub(crate) ring: Option<String>,
    /// The ring that the client was told before it joined.
    pub(super) told: Option<String>,
    /// The events in the order of delivery.
    pub(crate) events: Vec<Event>,
}

impl Log {
    /// The log of a client that was delivered `events`; the fields explain the arguments.
    pub(crate) fn new(who: Process, corosync: bool, fresh: bool, mut events: Vec<Event>) -> Self {
        let mut told = None;
        if fresh {
            // A connection is told of rings even before it has joined.
            let before = events.iter().take_while(|event| matches!(event, Event::Ring(..))).count();
            told = events.drain(..before).next_back().and_then(|event| match event {
                Event::Ring(id, _) => Some(id),
                Event::Message(_) | Event::View(_) => None,
            });
        }
        Self { who, corosync, fresh, cut: None, ring: None, told, events }
    }
}

/// The checks, with the state that they keep from one moment of rest to the next.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    pasts: BTreeMap<Process, Past>,
    /// Totals of what was checked.
    pub(crate) counts: Counts,
}

/// Totals of what was checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Messages delivered to all clients together.
    pub(crate) delivered: u64,
    /// Rings that occur in the logs.
    pub(crate) rings: u64,
    /// Pairs of clients that had to have the same events between two rings.
    pub(crate) same: u64,
    /// Pairs of clients whose common events had to be in the same order.
    pub(crate) ordered: u64,
    /// Pairs of which one client, on Corosync, was not told that the other had left and come back.
    pub(crate) untold: u64,
    /// Messages that a newcomer could not read because the sender had begun them before it joined.
    pub(crate) begun: u64,
}

/// The most messages of one sender that a newcomer may be unable to read. What is submitted while a ring is being
/// formed is packed without gaps, by Corosync too, so each frame begins with the end of the message in the frame
/// before. A newcomer cannot read the first of these frames, which ends a message begun on the ring before, and so
/// cannot read the others.
const BEGUN: usize = 1000;

impl Checker {
    /// Checks everything that was delivered from one moment of rest to the next.
    pub(crate) fn window(&mut self, logs: &[Log]) -> Result<(), String> {
        let known = |past: &Past| (!past.ring.is_empty()).then(|| past.ring.clone());
        let mut first: BTreeMap<Process, String> =
            self.pasts.iter().filter_map(|(who, past)| Some((*who, known(past)?))).collect();
        for log in logs {
            let past = self.pasts.entry(log.who).or_default();
            past.walk(log).map_err(|why| format!("{}: {why}", name(log.who)))?;
            self.counts.delivered +=
                log.events.iter().filter(|event| matches!(event, Event::Message(_))).count() as u64;
        }
        rings::joined(logs, &mut first);
        let rings: Vec<Rings<'_>> = logs.iter().map(|log| Rings::new(log, first.get(&log.who))).collect();
        self.counts.rings += same_rings(logs)?;
        for (index, one) in rings.iter().enumerate() {
            for other in &rings[index + 1..] {
                pair::compare(one, other, &mut self.counts)
                    .map_err(|why| format!("{} and {}: {why}", name(one.log.who), name(other.log.who)))?;
            }
        }
        self.pasts.retain(|who, _| logs.iter().any(|log| log.who == *who && log.cut.is_some()));
        Ok(())
    }
}

/// The first log that reports the beginning of a ring: its nodes, and the group if it changed.
type Beginning<'a> = (&'a Log, &'a [u32], Option<&'a [Process]>);

/// Checks that a ring has the same nodes, and begins with the same group, in every log that reports its beginning.
/// Returns the number of rings.
fn same_rings(logs: &[Log]) -> Result<u64, String> {
    let mut known: BTreeMap<&str, Beginning<'_>> = BTreeMap::new();
    for log in logs {
        let mut members: Option<&[Process]> = None;
        for event in &log.events {
            match event {
                Event::Message(_) => {}
                Event::View(view) => members = Some(&view.members),
                Event::Ring(id, nodes) => {
                    let group = members;
                    let (whose, others, theirs) = known.entry(id).or_insert((log, nodes, group));
                    let same = others == nodes && (theirs.is_none() || group.is_none() || *theirs == group);
                    if !same {
                        return Err(format!(
                            "ring {id}: {} has nodes {nodes:?} and group {group:?}, {} {others:?} and {theirs:?}",
                            name(log.who),
                            name(whose.who)
                        ));
                    }
                    if theirs.is_none() {
                        *theirs = group;
                    }
                }
            }
        }
    }
    Ok(known.len() as u64)
}

/// The process as text, for example `process 34 of host 2`.
fn name(who: Process) -> String {
    format!("process {} of host {}", who.1, who.0)
}
