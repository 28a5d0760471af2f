//! A log divided by rings.

use super::super::journal::Event;
use super::Log;
use crate::sequence::Process;
use std::collections::BTreeMap;

/// A log in parts: what was delivered in each ring.
pub(super) struct Rings<'a> {
    pub(super) log: &'a Log,
    /// Whether the first ring existed before the client joined.
    pub(super) joined: bool,
    /// Each ring's id and the events that follow its beginning, including the views that end it.
    pub(super) list: Vec<(&'a str, &'a [Event])>,
}

impl<'a> Rings<'a> {
    /// Divides a log that begins in the ring `first`.
    pub(super) fn new(log: &'a Log, first: Option<&'a String>) -> Self {
        let mut list = Vec::new();
        let mut id: Option<&str> = first.map(String::as_str);
        let joined = log.fresh && first.is_some();
        // The log begins with the client's own join.
        let mut start = usize::from(joined && !log.events.is_empty());
        for (at, event) in log.events.iter().enumerate() {
            if let Event::Ring(next, _) = event {
                if let Some(id) = id {
                    list.push((id, &log.events[start..at]));
                }
                id = Some(next);
                start = at + 1;
            }
        }
        if let Some(id) = id {
            list.push((id, &log.events[start..]));
        }
        Self { log, joined, list }
    }

    /// The events from the start of ring `from` to the start of ring `to`; both are places in the list.
    pub(super) fn events(&self, from: usize, to: usize) -> Vec<&'a Event> {
        self.list[from..to].iter().flat_map(|(_, events)| events.iter()).collect()
    }

    /// Whether it is possible that the sender was not together with this client just before ring `at`.
    pub(super) fn came_to(&self, at: usize, sender: Process) -> bool {
        // In the first ring of a window, the sender was present; for a fresh client, its daemon may have come just
        // before.
        if at == 0 { self.log.fresh } else { self.surely_came_to(at, sender) }
    }

    /// Whether it is certain that the sender was not together with this client just before ring `at`.
    pub(super) fn surely_came_to(&self, at: usize, sender: Process) -> bool {
        if at == 0 {
            return false;
        }
        let before = self.list[at - 1].1;
        let last =
            before.iter().rposition(|event| !matches!(event, Event::View(_))).map_or(0, |place| place + 1);
        before[last..].iter().any(
            |event| matches!(event, Event::View(view) if view.joined.iter().any(|(who, _)| *who == sender)),
        )
    }
}

/// Finds the rings in which the fresh clients joined: where other clients saw them join, or else, if they were told
/// of no ring, the ring at the end of their log.
pub(super) fn joined(logs: &[Log], first: &mut BTreeMap<Process, String>) {
    first.extend(logs.iter().filter_map(|log| Some((log.who, log.told.clone()?))));
    for _ in logs {
        let mut seen: BTreeMap<Process, String> = BTreeMap::new();
        for log in logs {
            let mut ring = first.get(&log.who).cloned();
            for event in &log.events {
                match event {
                    Event::Ring(id, _) => ring = Some(id.clone()),
                    Event::View(view) => {
                        for (who, reason) in &view.joined {
                            if let (Some(ring), "Join") = (&ring, reason.as_str()) {
                                seen.insert(*who, ring.clone());
                            }
                        }
                    }
                    Event::Message(_) => {}
                }
            }
        }
        for log in logs.iter().filter(|log| log.fresh) {
            let alone =
                || log.ring.clone().filter(|_| !log.events.iter().any(|e| matches!(e, Event::Ring(..))));
            if let Some(ring) = seen.remove(&log.who).or_else(alone) {
                first.entry(log.who).or_insert(ring);
            }
        }
    }
}
