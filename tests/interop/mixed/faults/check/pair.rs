//! What must hold between two logs.

use super::super::journal::{Event, Message};
use super::rings::Rings;
use super::{BEGUN, Counts, name};
use crate::sequence::Process;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Compares two logs, each time from a ring that both have to the next such ring.
pub(super) fn compare(one: &Rings<'_>, other: &Rings<'_>, counts: &mut Counts) -> Result<(), String> {
    let common = common(one, other)?;
    for (at, (i, j)) in common.iter().enumerate() {
        let next = common.get(at + 1);
        let (end_i, end_j) = next.map_or((one.list.len(), other.list.len()), |(i, j)| (*i, *j));
        let (left, right) = (one.events(*i, end_i), other.events(*j, end_j));
        in_one_order(&left, &right)?;
        counts.ordered += 1;
        let ends = match next {
            Some(_) => true,
            // Both logs end with the same cut in the same ring.
            None => {
                one.log.cut.is_some()
                    && one.log.cut == other.log.cut
                    && *i + 1 == one.list.len()
                    && *j + 1 == other.list.len()
            }
        };
        let apart = (away(&left, other.log.who), away(&right, one.log.who));
        if apart.0 != apart.1 && ends {
            // Corosync compares with the last ring whose synchronisation ended. If a node was away while a
            // synchronisation was broken off, Corosync does not report that. (On Corosync alone, neither of the two
            // is told.)
            let unaware = if apart.0 { other } else { one };
            if !unaware.log.corosync {
                return Err(format!(
                    "ring {}: only one of them saw the other leave: {apart:?}",
                    one.list[*i].0
                ));
            }
            counts.untold += 1;
            continue;
        }
        if ends && !apart.0 {
            let direct = end_i == i + 1 && end_j == j + 1;
            same((one, *i, left), (other, *j, right), direct, counts)
                .map_err(|why| format!("ring {}: {why}", one.list[*i].0))?;
            counts.same += 1;
        }
    }
    Ok(())
}

/// Checks that both clients had the same events; only the view with which each came may differ.
fn same<'a>(
    (one, i, mut left): (&Rings<'a>, usize, Vec<&'a Event>),
    (other, j, mut right): (&Rings<'a>, usize, Vec<&'a Event>),
    direct: bool,
    counts: &mut Counts,
) -> Result<(), String> {
    // For a client that joined during the ring, the comparison starts where the other client saw it join.
    for (it, at, theirs) in [(one, i, &mut right), (other, j, &mut left)] {
        if it.joined && at == 0 {
            let who = it.log.who;
            let joins = |event: &&Event| matches!(event, Event::View(view) if view.joined.iter().any(|(p, _)| *p == who));
            if let Some(place) = theirs.iter().position(joins) {
                theirs.drain(..=place);
            } else if !((one.joined && i == 0) && (other.joined && j == 0)) {
                return Err(format!("the join of {} was not seen by the other", name(who)));
            }
        }
    }
    if !direct {
        // Only one client was told of a ring in between: the same changes are then divided differently among the
        // views.
        left.retain(|event| matches!(event, Event::Message(_)));
        right.retain(|event| matches!(event, Event::Message(_)));
    }
    counts.begun += begun((one, i, &mut left), (other, j, &mut right))?;
    for (index, (a, b)) in left.iter().zip(&right).enumerate() {
        if a != b {
            return Err(format!("event {index} of it differs: {a:?}, {b:?}"));
        }
    }
    if left.len() != right.len() {
        let (more, whose, at) = if left.len() > right.len() {
            (left[right.len()], one, right.len())
        } else {
            (right[left.len()], other, left.len())
        };
        return Err(format!("only {} has event {at} of it: {more:?}", name(whose.log.who)));
    }
    Ok(())
}

/// Removes the messages that one of the two could not read because their sender began them before the two were
/// together. Returns their number.
fn begun<'a>(
    (one, i, left): (&Rings<'a>, usize, &mut Vec<&'a Event>),
    (other, j, right): (&Rings<'a>, usize, &mut Vec<&'a Event>),
) -> Result<u64, String> {
    let (firsts, others) = (first_numbers(left), first_numbers(right));
    let senders: BTreeSet<Process> = firsts.keys().chain(others.keys()).copied().collect();
    let mut count = 0;
    for sender in senders {
        let read = |firsts: &BTreeMap<Process, u64>| firsts.get(&sender).copied().unwrap_or(u64::MAX);
        let (a, b) = (read(&firsts), read(&others));
        // All newcomers can read the same messages: where one of the two lacks some, the other cannot be a newcomer.
        let (it, at, full, first, newcomers) = match a.cmp(&b) {
            Ordering::Equal => continue,
            Ordering::Less => (other, j, &mut *left, b, one.surely_came_to(i, sender)),
            Ordering::Greater => (one, i, &mut *right, a, other.surely_came_to(j, sender)),
        };
        let before = full.len();
        full.retain(|event| !matches!(event, Event::Message(m) if m.from == sender && m.number < first));
        let taken = before - full.len();
        if newcomers || !it.came_to(at, sender) || taken > BEGUN {
            return Err(format!(
                "{} lacks the first {taken} messages of {} that the other has",
                name(it.log.who),
                name(sender)
            ));
        }
        count += taken as u64;
    }
    Ok(count)
}

/// The number of the first message of each sender.
fn first_numbers(events: &[&Event]) -> BTreeMap<Process, u64> {
    let mut firsts = BTreeMap::new();
    for event in events {
        if let Event::Message(message) = event {
            firsts.entry(message.from).or_insert(message.number);
        }
    }
    firsts
}

/// The rings that both logs have, as pairs of places in the two lists.
fn common(one: &Rings<'_>, other: &Rings<'_>) -> Result<Vec<(usize, usize)>, String> {
    let places: HashMap<&str, usize> = other.list.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
    let common: Vec<(usize, usize)> =
        one.list.iter().enumerate().filter_map(|(i, (id, _))| places.get(id).map(|j| (i, *j))).collect();
    if common.is_sorted_by(|a, b| a.1 < b.1) {
        Ok(common)
    } else {
        Err("they have rings in another order".to_owned())
    }
}

/// Whether these events report that a client left.
fn away(events: &[&Event], who: Process) -> bool {
    events
        .iter()
        .any(|event| matches!(event, Event::View(view) if view.left.iter().any(|(left, _)| *left == who)))
}

/// Checks that the events that both have are equal and in one order.
fn in_one_order(left: &[&Event], right: &[&Event]) -> Result<(), String> {
    let messages = |events: &[&Event]| -> Vec<Message> {
        let message = |event: &&Event| match event {
            Event::Message(message) => Some(*message),
            Event::View(_) | Event::Ring(..) => None,
        };
        events.iter().filter_map(message).collect()
    };
    let (left, right) = (messages(left), messages(right));
    let places: HashMap<(Process, u64), usize> =
        left.iter().enumerate().map(|(at, message)| ((message.from, message.number), at)).collect();
    let mut last: Option<usize> = None;
    for message in &right {
        let Some(at) = places.get(&(message.from, message.number)) else { continue };
        if left[*at] != *message {
            return Err(format!("{:?} of one is {message:?} of the other", left[*at]));
        }
        if let Some(last) = last.replace(*at)
            && last >= *at
        {
            return Err(format!("one has {:?} before {message:?}, the other after", left[last]));
        }
    }
    Ok(())
}
