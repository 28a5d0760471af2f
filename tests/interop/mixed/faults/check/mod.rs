//! What must hold between the logs of all clients: extended virtual synchrony, as libcpg's clients can see it.
//!
//! A log is looked at from one moment of rest to the next. Between two rings that two clients share one after the other,
//! and that neither saw the other leave between, both have the same messages and views in the same order. Whatever two
//! clients both have, they have in one order. From each sender comes message after message, and one may be missing
//! only where the sender was away. A ring has the same nodes, and begins with the same group, in every log.

mod one;
mod pair;
mod rings;
mod tests;

use super::journal::Event;
use crate::sequence::Process;
use one::Past;
use rings::Rings;
use std::collections::BTreeMap;

/// What a client was delivered since the last moment of rest.
#[derive(Debug)]
pub(crate) struct Log {
    /// Which client.
    pub(crate) who: Process,
    /// Whether its daemon is Corosync.
    pub(crate) corosync: bool,
    /// Its first log: it starts with its join.
    pub(crate) fresh: bool,
    /// The cut that the log ends with; none if the client ended.
    pub(crate) cut: Option<String>,
    /// The ring it is in at its end, if it is known. (A client that comes is not told in which ring it is.)
    pub(crate) ring: Option<String>,
    /// The ring that it was told of before it joined.
    pub(super) told: Option<String>,
    /// In the order of delivery.
    pub(crate) events: Vec<Event>,
}

impl Log {
    /// Of a client that was delivered these events; see the fields.
    pub(crate) fn new(who: Process, corosync: bool, fresh: bool, mut events: Vec<Event>) -> Self {
        let mut told = None;
        if fresh {
            // A connection is told of rings before it has joined.
            let before = events.iter().take_while(|event| matches!(event, Event::Ring(..))).count();
            told = events.drain(..before).next_back().and_then(|event| match event {
                Event::Ring(id, _) => Some(id),
                Event::Message(_) | Event::View(_) => None,
            });
        }
        Self { who, corosync, fresh, cut: None, ring: None, told, events }
    }
}

/// The checks, with what they remember from one moment of rest to the next.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    pasts: BTreeMap<Process, Past>,
    /// How much was looked at.
    pub(crate) counts: Counts,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Messages delivered, at all clients together.
    pub(crate) delivered: u64,
    /// Rings.
    pub(crate) rings: u64,
    /// Pairs of clients that had to have the same between two rings.
    pub(crate) same: u64,
    /// Pairs of clients that had to have what both have in the same order.
    pub(crate) ordered: u64,
    /// Pairs of which one, on Corosync, was not told that the other had left and come back.
    pub(crate) untold: u64,
    /// Messages that a newcomer could not read, as the sender had begun before it came.
    pub(crate) begun: u64,
}

/// The most messages of one sender that a newcomer may be unable to read. Corosync, too, packs what is submitted while
/// a ring is being formed without a gap, each frame beginning with the end of the message in the one before; who
/// cannot read the first of these frames, as it ends a message begun in the ring before, cannot read the others.
const BEGUN: usize = 1000;

impl Checker {
    /// Looks at all that was delivered from one moment of rest to the next.
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

/// Who tells of the beginning of a ring: its nodes, and the group if it changed.
type Beginning<'a> = (&'a Log, &'a [u32], Option<&'a [Process]>);

/// A ring has the same nodes, and begins with the same group, in every log that tells of its beginning.
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

/// `process 34 of host 2`.
fn name(who: Process) -> String {
    format!("process {} of host {}", who.1, who.0)
}
