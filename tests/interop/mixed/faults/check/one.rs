//! What must hold in a single log: views follow from one another, and no message of a sender that was present is
//! missing.

use super::super::journal::{Event, Message, View};
use super::{Log, name};
use crate::sequence::Process;
use std::collections::BTreeMap;

/// The part of what one client was delivered that later checks need.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) ring: String,
    members: Vec<Process>,
    /// By sender, which message must come next.
    next: BTreeMap<Process, Next>,
}

#[derive(Clone, Copy, Debug)]
struct Next {
    number: u64,
    /// The sender or this client was away, so some messages may be missing.
    away: bool,
    /// Some messages are missing, so it must turn out that the sender was away.
    missing: bool,
}

impl Past {
    /// Checks one log against what must hold in a single log.
    pub(super) fn walk(&mut self, log: &Log) -> Result<(), String> {
        if log.fresh {
            match log.events.first() {
                Some(Event::View(view)) => {
                    self.members = view.members.iter().copied().filter(|who| *who != log.who).collect();
                    self.members.retain(|who| !view.joined.iter().any(|(joined, _)| joined == who));
                    self.members.extend(view.left.iter().map(|(who, _)| *who));
                    for who in &self.members {
                        self.next.insert(*who, Next { number: 0, away: true, missing: false });
                    }
                }
                None => {}
                Some(event) => return Err(format!("it starts with {event:?}")),
            }
        }
        for event in &log.events {
            if !self.members.contains(&log.who) && !matches!(event, Event::View(_)) {
                return Err(format!("without being a member it has {event:?}"));
            }
            match event {
                Event::Message(message) => self.message(message)?,
                Event::View(view) => self.view(view)?,
                Event::Ring(id, nodes) => self.ring(id, nodes, log.who)?,
            }
        }
        if let (true, Some(ring)) = (self.ring.is_empty(), log.ring.as_ref().or(log.told.as_ref())) {
            ring.clone_into(&mut self.ring);
        }
        match log.cut {
            Some(_) => self.none_missing(),
            None => Ok(()),
        }
    }

    fn message(&mut self, message: &Message) -> Result<(), String> {
        if !self.members.contains(&message.from) {
            return Err(format!("{message:?} is of no member"));
        }
        let next =
            self.next.get_mut(&message.from).ok_or_else(|| format!("{message:?} is of an unknown sender"))?;
        if message.number < next.number {
            return Err(format!("{message:?} comes twice or too late: {next:?}"));
        }
        next.missing |= message.number > next.number && !next.away;
        (next.number, next.away) = (message.number + 1, false);
        Ok(())
    }

    fn view(&mut self, view: &View) -> Result<(), String> {
        for (who, _) in &view.left {
            if let Some(next) = self.next.get_mut(who) {
                (next.away, next.missing) = (true, false);
            }
            if !self.members.contains(who) {
                return Err(format!("one left that was no member: {view:?}"));
            }
        }
        self.members.retain(|who| !view.left.iter().any(|(left, _)| left == who));
        for (who, reason) in &view.joined {
            if self.members.contains(who) {
                return Err(format!("one joined that was a member: {view:?}"));
            }
            self.members.push(*who);
            // All messages of a process that joins now will be seen; of one that comes with its node, only those sent
            // from now on.
            let away = reason != "Join";
            let next = self.next.entry(*who).or_insert(Next { number: 0, away, missing: false });
            next.away = away;
        }
        self.members.sort_unstable();
        if self.members != view.members {
            return Err(format!("{view:?}, but the members are {:?}", self.members));
        }
        Ok(())
    }

    fn ring(&mut self, id: &str, nodes: &[u32], who: Process) -> Result<(), String> {
        self.none_missing()?;
        if !nodes.contains(&who.0) {
            return Err(format!("ring {id} of {nodes:?} is without its own node"));
        }
        if let Some(stranger) = self.members.iter().find(|member| !nodes.contains(&member.0)) {
            return Err(format!("{stranger:?} is a member, but its node is not in ring {id} of {nodes:?}"));
        }
        let sequence = |id: &str| id.split_once('.').and_then(|(_, sequence)| sequence.parse::<u64>().ok());
        if !self.ring.is_empty() && sequence(&self.ring) >= sequence(id) {
            return Err(format!("ring {id} comes after ring {}", self.ring));
        }
        id.clone_into(&mut self.ring);
        Ok(())
    }

    fn none_missing(&self) -> Result<(), String> {
        match self.next.iter().find(|(_, next)| next.missing) {
            Some((who, next)) => Err(format!(
                "of {}, which was there all the time, messages before {} are missing",
                name(*who),
                next.number
            )),
            None => Ok(()),
        }
    }
}
