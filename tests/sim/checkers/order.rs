//! One order of messages and configuration changes, the same for every process and without holes.

use std::collections::HashMap;

use annulus::ids::{NodeId, RingId};

use super::history::{History, Stay, names};
use super::{Violation, broken};
use crate::trace::{Msg, Process};

pub(super) fn check(history: &History<'_>) -> Result<(), Violation> {
    one_order(history)?;
    same_between_same_views(history)?;
    no_holes(history)
}

/// One event, shared by all copies of it: 2.3, 2.4, 6.1 and 6.2 say that such copies have one logical time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Moment {
    Deliver(Msg),
    Transitional(RingId, Vec<NodeId>, Option<RingId>),
    Regular(RingId),
}

/// The graph of all moments, in which each process's moments are linked in its own order, has no cycle.
fn one_order(history: &History<'_>) -> Result<(), Violation> {
    let mut index: HashMap<Moment, usize> = HashMap::new();
    let mut moments: Vec<Moment> = Vec::new();
    let mut after: Vec<Vec<usize>> = Vec::new();
    let mut waiting: Vec<usize> = Vec::new(); // how many moments come directly before
    for life in history.lives.values() {
        let mut last = None;
        for moment in life.stays.iter().flat_map(moments_of) {
            let at = *index.entry(moment.clone()).or_insert_with(|| {
                moments.push(moment);
                after.push(Vec::new());
                waiting.push(0);
                moments.len() - 1
            });
            if let Some(last) = last {
                let nexts: &mut Vec<usize> = &mut after[last];
                if !nexts.contains(&at) {
                    nexts.push(at);
                    waiting[at] += 1;
                }
            }
            last = Some(at);
        }
    }
    let mut ready: Vec<usize> = (0..moments.len()).filter(|at| waiting[*at] == 0).collect();
    let mut done = 0;
    while let Some(at) = ready.pop() {
        done += 1;
        for next in &after[at] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.push(*next);
            }
        }
    }
    if done == moments.len() {
        return Ok(());
    }
    let stuck = (0..moments.len()).filter(|at| waiting[*at] > 0).take(6);
    let names: Vec<String> = stuck
        .map(|at| match &moments[at] {
            Moment::Deliver(msg) => history.trace.name(*msg),
            other => format!("{other:?}"),
        })
        .collect();
    broken("1.1, 6.1, 6.2: one order for all", format!("a circle through {names:?}"))
}

fn moments_of(stay: &Stay) -> impl Iterator<Item = Moment> + '_ {
    let regular = std::iter::once(Moment::Regular(stay.regular.ring));
    let exit = stay
        .exit
        .iter()
        .map(|view| Moment::Transitional(view.ring, view.members.clone(), Some(stay.regular.ring)));
    regular
        .chain(stay.in_regular.iter().copied().map(Moment::Deliver))
        .chain(exit)
        .chain(stay.in_transitional.iter().copied().map(Moment::Deliver))
}

/// Property 4: processes that go together from one configuration to the next delivered the same messages in the
/// first.
fn same_between_same_views(history: &History<'_>) -> Result<(), Violation> {
    const SAME: &str = "4: the same messages between the same two views";
    for ring in history.rings.keys() {
        let mut regular: HashMap<(RingId, &[NodeId]), (Process, &Stay)> = HashMap::new();
        let mut transitional: HashMap<RingId, (Process, &Stay)> = HashMap::new();
        for (who, stay) in history.stays_in(*ring) {
            let Some(exit) = &stay.exit else { continue };
            let key = (exit.ring, exit.members.as_slice());
            let (other, theirs) = *regular.entry(key).or_insert((who, stay));
            compare(history, *ring, SAME, (who, &stay.in_regular), (other, &theirs.in_regular))?;
            // The transitional configuration is complete only at processes that installed the next regular one.
            if !history.stays_in(exit.ring).any(|(p, s)| p == who && s.previous == Some(*ring)) {
                continue;
            }
            let (other, theirs) = *transitional.entry(exit.ring).or_insert((who, stay));
            if theirs.exit.as_ref().is_some_and(|theirs| theirs.members == exit.members) {
                compare(
                    history,
                    *ring,
                    SAME,
                    (who, &stay.in_transitional),
                    (other, &theirs.in_transitional),
                )?;
            }
        }
    }
    Ok(())
}

/// The two sequences are equal, apart from messages that were torn (see `History::torn_for`) for one of the two.
fn compare(
    history: &History<'_>,
    ring: RingId,
    property: &'static str,
    (p, mine): (Process, &[Msg]),
    (q, theirs): (Process, &[Msg]),
) -> Result<(), Violation> {
    if mine == theirs {
        return Ok(());
    }
    let torn = |msg| history.torn_for(ring, p, msg) || history.torn_for(ring, q, msg);
    let keep = |list: &[Msg]| list.iter().copied().filter(|msg| !torn(*msg)).collect::<Vec<_>>();
    let (mine, theirs) = (keep(mine), keep(theirs));
    if mine == theirs {
        return Ok(());
    }
    let at = mine.iter().zip(&theirs).take_while(|(a, b)| a == b).count();
    let show = |list: &[Msg]| list.get(at).map_or("nothing more".to_owned(), |msg| history.trace.name(*msg));
    broken(property, format!("in {ring}, place {at}: {} at {p:?}, {} at {q:?}", show(&mine), show(&theirs)))
}

/// 6.3: a process that delivers a message also delivers all messages before it whose senders are in the
/// configuration.
fn no_holes(history: &History<'_>) -> Result<(), Violation> {
    for ring in history.rings.keys() {
        let places: Vec<(Process, &Stay, HashMap<Msg, usize>)> = history
            .stays_in(*ring)
            .map(|(who, stay)| (who, stay, stay.delivered().enumerate().map(|(at, msg)| (msg, at)).collect()))
            .collect();
        for (who, stay, mine) in &places {
            for (other, theirs, order) in &places {
                let theirs: Vec<Msg> = theirs.delivered().collect();
                let ends = [
                    (stay.in_regular.as_slice(), None),
                    (stay.in_transitional.as_slice(), stay.exit.as_ref()),
                ];
                for (delivered, exit) in ends {
                    let Some(last) = delivered.iter().rev().find_map(|msg| order.get(msg)) else { continue };
                    for msg in &theirs[..*last] {
                        let by = history.trace.sent[*msg].by;
                        let counts = exit.is_none_or(|exit| names(&exit.members, by.node));
                        if counts && !mine.contains_key(msg) && !history.torn_for(*ring, *who, *msg) {
                            return broken(
                                "6.3: no holes",
                                format!(
                                    "in {ring} {who:?} lacks {}, which {other:?} delivered before {}",
                                    history.trace.name(*msg),
                                    history.trace.name(theirs[*last])
                                ),
                            );
                        }
                    }
                }
            }
        }
    }
    Ok(())
}
