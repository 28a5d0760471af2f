//! What is delivered: only messages that were sent, each once, all of a process's own, causes before effects, and a
//! safe message to all members or after a transitional view.

use std::collections::{HashMap, HashSet};

use annulus::ids::Guarantee;

use super::history::{History, Stay, names};
use super::{End, Violation, broken};
use crate::trace::{Event, Msg, Phase, Process};

pub(super) fn check(history: &History<'_>, end: End) -> Result<(), Violation> {
    once(history)?;
    in_one_configuration(history)?;
    in_order_of_sending(history)?;
    causes_first(history)?;
    safe_means_installed(history)?;
    if end == End::Quiet {
        own_messages(history)?;
        safe_reaches_all(history)?;
    }
    Ok(())
}

pub(super) fn once(history: &History<'_>) -> Result<(), Violation> {
    let mut seen: HashSet<(u32, Msg)> = HashSet::new();
    for (who, life) in &history.lives {
        for msg in life.stays.iter().flat_map(Stay::delivered) {
            if !seen.insert((who.node, msg)) {
                let name = history.trace.name(msg);
                return broken("1.4: delivered at most once", format!("{who:?} delivers {name} again"));
            }
        }
    }
    Ok(())
}

/// Every copy of a message belongs to the ring in which it was sent, of which its sender was a member.
fn in_one_configuration(history: &History<'_>) -> Result<(), Violation> {
    const AIR: &str = "1.3: delivered in the configuration in which it was sent";
    for (who, events) in &history.trace.lives {
        for (at, event) in events {
            if let Event::Deliver(msg) = event
                && *at < history.trace.sent[*msg].at
            {
                return broken(AIR, format!("{} came before it was sent, {who:?}", name(history, *msg)));
            }
        }
    }
    for (who, life) in &history.lives {
        for stay in &life.stays {
            let ring = stay.regular.ring;
            for msg in stay.delivered() {
                let sent = &history.trace.sent[msg];
                if sent.on != Some(ring) {
                    let name = history.trace.name(msg);
                    return broken(
                        AIR,
                        format!("{name}: sent on {:?}, delivered on {ring} by {who:?}", sent.on),
                    );
                }
                if !history.stays_in(ring).any(|(p, _)| p == sent.by) {
                    let name = history.trace.name(msg);
                    return broken(
                        AIR,
                        format!("{name}: its sender never was in {ring}, {who:?} delivers it"),
                    );
                }
            }
        }
    }
    Ok(())
}

/// Messages that one sender submits through one queue keep their order, at every receiver and across configurations.
fn in_order_of_sending(history: &History<'_>) -> Result<(), Violation> {
    for (who, life) in &history.lives {
        let mut last: HashMap<(Process, bool), Msg> = HashMap::new();
        for msg in life.stays.iter().flat_map(Stay::delivered) {
            let sent = &history.trace.sent[msg];
            if let Some(before) = last.insert((sent.by, sent.phase == Phase::Working), msg)
                && history.trace.sent[before].number > sent.number
            {
                let names = (history.trace.name(before), history.trace.name(msg));
                return broken("messages of one sender keep their order", format!("{who:?}: {names:?}"));
            }
        }
    }
    Ok(())
}

/// What a sender delivered before it sent a message is delivered everywhere before that message.
fn causes_first(history: &History<'_>) -> Result<(), Violation> {
    const CAUSAL: &str = "5: causes are delivered first";
    // As all share one order, the last message that the sender delivered stands for all before it.
    let mut cause: HashMap<Msg, Msg> = HashMap::new();
    for (msg, sent) in history.trace.sent.iter().enumerate() {
        let seen = history.trace.lives.get(&sent.by).map_or(&[][..], |events| &events[..sent.after]);
        if let Some(Event::Deliver(last)) = seen.last().map(|(_, event)| event) {
            cause.insert(msg, *last);
        }
    }
    for (who, life) in &history.lives {
        for stay in &life.stays {
            let mut seen = HashSet::new();
            for msg in stay.delivered() {
                seen.insert(msg);
                let Some(cause) = cause.get(&msg).copied().filter(|cause| !seen.contains(cause)) else {
                    continue;
                };
                // Causality ends at a configuration change.
                let ring = stay.regular.ring;
                let same_ring = history.stays_in(ring).any(|(_, s)| s.delivered().any(|m| m == cause));
                if same_ring && !history.torn_for(ring, *who, cause) {
                    let names = (history.trace.name(cause), history.trace.name(msg));
                    return broken(CAUSAL, format!("{who:?} lacks the first of {names:?} in {ring}"));
                }
            }
        }
    }
    Ok(())
}

/// A safe message delivered in a regular configuration proves that every member had installed that configuration.
fn safe_means_installed(history: &History<'_>) -> Result<(), Violation> {
    for (who, life) in &history.lives {
        for stay in &life.stays {
            let ring = stay.regular.ring;
            let Some(safe) = stay.in_regular.iter().find(|msg| is_safe(history, **msg)) else { continue };
            for member in &stay.regular.members {
                if !history.stays_in(ring).any(|(p, _)| p.node == member.get()) {
                    return broken(
                        "7.2: a safe message in a regular configuration: every member installed it",
                        format!("{who:?} delivers {} but {member} never was in {ring}", name(history, *safe)),
                    );
                }
            }
        }
    }
    Ok(())
}

/// A process that does not fail delivers what it sent.
fn own_messages(history: &History<'_>) -> Result<(), Violation> {
    let mut delivered: HashSet<(Process, Msg)> = HashSet::new();
    for (who, life) in &history.lives {
        delivered.extend(life.stays.iter().flat_map(Stay::delivered).map(|msg| (*who, msg)));
    }
    for (msg, sent) in history.trace.sent.iter().enumerate() {
        let failed = history.lives.get(&sent.by).is_none_or(|life| life.stopped);
        if !failed && !delivered.contains(&(sent.by, msg)) {
            return broken("3: self-delivery", format!("{} never came back", name(history, msg)));
        }
    }
    Ok(())
}

/// If one process delivers a safe message, all members of that configuration deliver it too, or fail.
fn safe_reaches_all(history: &History<'_>) -> Result<(), Violation> {
    for (who, life) in &history.lives {
        for stay in &life.stays {
            let all = stay.in_regular.iter().map(|msg| (*msg, &stay.regular.members));
            let exit = stay
                .exit
                .iter()
                .flat_map(|exit| stay.in_transitional.iter().map(move |msg| (*msg, &exit.members)));
            for (msg, members) in all.chain(exit).filter(|(msg, _)| is_safe(history, *msg)) {
                let ring = stay.regular.ring;
                for (other, at) in history.stays_in(ring).filter(|(p, _)| names(members, p.node)) {
                    let life = &history.lives[&other];
                    let last = life.stays.last().is_some_and(|stay| stay.regular.ring == ring);
                    let failed = life.stopped && last;
                    if !failed && !at.delivered().any(|m| m == msg) && !history.torn_for(ring, other, msg) {
                        return broken(
                            "7.1: a safe message reaches every member",
                            format!(
                                "{} was delivered by {who:?} in {ring} but not by {other:?}",
                                name(history, msg)
                            ),
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

fn is_safe(history: &History<'_>, msg: Msg) -> bool {
    history.trace.sent[msg].guarantee == Guarantee::Safe
}

fn name(history: &History<'_>, msg: Msg) -> String {
    history.trace.name(msg)
}
