//! A process's events, cut into the configurations in which they happened.

use std::collections::BTreeMap;

use annulus::ids::{NodeId, RingId};
use annulus::view::{View, ViewKind};

use super::{Violation, broken};
use crate::trace::{Event, Msg, Process, Trace};

/// One regular configuration at one process, with the transitional one after it: `com(c)` of the paper.
#[derive(Clone, Debug)]
pub(super) struct Stay {
    /// The transitional view that came with `regular`.
    pub(super) entry: View,
    pub(super) regular: View,
    /// The regular configuration before this one, at this process.
    pub(super) previous: Option<RingId>,
    /// Delivered in the regular configuration.
    pub(super) in_regular: Vec<Msg>,
    /// The transitional configuration that ended it, if it ended.
    pub(super) exit: Option<View>,
    /// Delivered in the transitional configuration `exit`.
    pub(super) in_transitional: Vec<Msg>,
}

impl Stay {
    pub(super) fn delivered(&self) -> impl Iterator<Item = Msg> + '_ {
        self.in_regular.iter().chain(&self.in_transitional).copied()
    }
}

/// A run as the checkers see it.
pub(super) struct History<'a> {
    pub(super) trace: &'a Trace,
    pub(super) lives: BTreeMap<Process, Life>,
    /// The processes that were in each ring: each process with the index into its stays.
    pub(super) rings: BTreeMap<RingId, Vec<(Process, usize)>>,
}

pub(super) struct Life {
    pub(super) stays: Vec<Stay>,
    pub(super) stopped: bool,
}

impl<'a> History<'a> {
    /// Divides the run into stays. Fails if a regular view does not follow its transitional one, or if anything
    /// happens outside a configuration.
    pub(super) fn read(trace: &'a Trace) -> Result<Self, Violation> {
        let mut lives = BTreeMap::new();
        let mut rings: BTreeMap<RingId, Vec<(Process, usize)>> = BTreeMap::new();
        for (who, events) in &trace.lives {
            let life = Life::read(trace, *who, events)?;
            for (index, stay) in life.stays.iter().enumerate() {
                rings.entry(stay.regular.ring).or_default().push((*who, index));
            }
            lives.insert(*who, life);
        }
        Ok(Self { trace, lives, rings })
    }

    pub(super) fn stay(&self, (who, index): (Process, usize)) -> &Stay {
        &self.lives[&who].stays[index]
    }

    /// The stay of each process that was in `ring`.
    pub(super) fn stays_in(&self, ring: RingId) -> impl Iterator<Item = (Process, &Stay)> {
        self.rings.get(&ring).into_iter().flatten().map(|at| (at.0, self.stay(*at)))
    }

    /// Whether `who` may lack `msg`, sent in `ring`, although the others of that ring have it.
    ///
    /// Packets are filled to the last byte, so even a short message may be split over two. A process that joined in
    /// between cannot put together a message whose first part went out in an earlier ring. As every Corosync does, it
    /// drops that packet whole, with the messages packed behind the tail, and what is split over this packet and the
    /// next, until a message ends with its packet. Senders of this project divide the first such packet of a new ring
    /// behind the tail.
    pub(super) fn torn_for(&self, ring: RingId, who: Process, msg: Msg) -> bool {
        let sent = &self.trace.sent[msg];
        let Some(began) = sent.row_began_on.filter(|began| sent.by != who && *began != ring) else {
            return false;
        };
        let stays = &self.lives[&who].stays;
        let at = |ring| stays.iter().position(|stay| stay.regular.ring == ring);
        let (Some(from), Some(to)) = (at(began), at(ring)) else { return true };
        from > to || !stays[from + 1..=to].iter().all(|stay| names(&stay.entry.members, sent.by.node))
    }
}

impl Life {
    fn read(
        trace: &Trace,
        who: Process,
        events: &[(annulus::time::Instant, Event)],
    ) -> Result<Self, Violation> {
        const SHAPE: &str = "2.2: everything happens in a configuration, transitional then regular";
        let mut life = Self { stays: Vec::<Stay>::new(), stopped: false };
        let mut entry: Option<View> = None; // the transitional view whose regular one is due
        for (_, event) in events {
            if life.stopped {
                return broken(SHAPE, format!("{who:?} goes on after its end: {event:?}"));
            }
            match event {
                Event::Stop => life.stopped = true,
                Event::Deliver(msg) => match (life.stays.last_mut(), &entry) {
                    (Some(stay), None) => stay.in_regular.push(*msg),
                    (Some(stay), Some(_)) => stay.in_transitional.push(*msg),
                    (None, _) => {
                        return broken(SHAPE, format!("{who:?} delivers {} before any", trace.name(*msg)));
                    }
                },
                Event::View(view) => match (view.kind, entry.take()) {
                    (ViewKind::Transitional, None) => {
                        if let Some(stay) = life.stays.last_mut() {
                            stay.exit = Some(view.clone());
                        }
                        entry = Some(view.clone());
                    }
                    (ViewKind::Regular, Some(before)) if before.ring == view.ring => life.stays.push(Stay {
                        entry: before,
                        regular: view.clone(),
                        previous: life.stays.last().map(|stay| stay.regular.ring),
                        in_regular: Vec::new(),
                        exit: None,
                        in_transitional: Vec::new(),
                    }),
                    (_, before) => {
                        return broken(SHAPE, format!("{who:?} has {view:?} after {before:?}"));
                    }
                },
            }
        }
        Ok(life)
    }
}

/// Whether `list` names `node`.
pub(super) fn names(list: &[NodeId], node: u32) -> bool {
    list.iter().any(|id| id.get() == node)
}
