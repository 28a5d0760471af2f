//! What must hold of each client's events by themselves: membership events add up and lie within the ring; whoever sends is
//! a member; each message comes once, a sender's in order, and nothing of a member is missed.

use std::collections::{BTreeMap, BTreeSet};

use annulus::ids::ConnId;

use super::numbers;
use crate::trace::Process;
use crate::whole::record::{Participant, Record, Seen};
use crate::whole::speech::Member;

/// Reason of a join in a membership event: the process's node came into the ring.
const NODE_UP: u32 = 4;

/// Checks one client.
pub(super) fn check(who: Process, participant: &Participant) -> Result<(), String> {
    let me = Member { node: who.node, pid: participant.pid };
    let mut groups: BTreeMap<&str, BTreeSet<Member>> = BTreeMap::new();
    let mut ring: Option<BTreeSet<u32>> = None;
    let mut synchronised = false;
    let mut heard: BTreeMap<Member, u64> = BTreeMap::new();
    for seen in &participant.told {
        match seen {
            Seen::Membership { group, members, left, joined } => {
                let now: BTreeSet<Member> = members.iter().copied().collect();
                let (gone, come): (Vec<Member>, Vec<Member>) =
                    (left.iter().map(|(m, _)| *m).collect(), joined.iter().map(|(m, _)| *m).collect());
                match groups.remove(group.as_str()) {
                    Some(mut expected) => {
                        for member in &gone {
                            require(expected.remove(member), || {
                                format!("{member:?} left, but was no member")
                            })?;
                        }
                        for member in &come {
                            require(expected.insert(*member), || format!("{member:?} joined twice"))?;
                        }
                        require(now == expected, || format!("members {now:?}, but {expected:?} follows"))?;
                    }
                    None => require(come.contains(&me), || "the first event is not its own join".to_owned())?,
                }
                let stays = gone.iter().find(|member| now.contains(member));
                require(stays.is_none(), || format!("{stays:?} left, but is still a member"))?;
                let lacks = come.iter().find(|member| !now.contains(member));
                require(lacks.is_none(), || format!("{lacks:?} joined, but is no member"))?;
                if let Some(ring) = ring.as_ref().filter(|_| synchronised) {
                    // Those that came with a ring are told of just before the synchronisation is over.
                    let comes = |m: &Member| joined.contains(&(*m, NODE_UP));
                    let outside = now.iter().find(|m| !ring.contains(&m.node) && !comes(m));
                    require(outside.is_none(), || {
                        format!("{outside:?} is a member, but not in the ring {ring:?}")
                    })?;
                }
                if !gone.contains(&me) {
                    groups.insert(group, now);
                }
            }
            Seen::Message { group, from, number } => {
                let is_member = groups.get(group.as_str()).is_some_and(|members| members.contains(from));
                require(is_member, || format!("{from:?} sends to {group}, but is no member"))?;
                let last = heard.insert(*from, *number);
                require(last.is_none_or(|last| last < *number), || {
                    format!("message {number} of {from:?} after {last:?}")
                })?;
            }
            Seen::Regular(_) => synchronised = false,
            Seen::Settled(_, nodes) => {
                let nodes = numbers(nodes);
                for (group, members) in &groups {
                    let outside = members.iter().find(|member| !nodes.contains(&member.node));
                    require(outside.is_none(), || {
                        format!("{outside:?} of {group} is not in the ring {nodes:?}")
                    })?;
                }
                (ring, synchronised) = (Some(nodes), true);
            }
        }
    }
    Ok(())
}

/// While a process is a member, another member misses nothing of what it sends. How many messages were heard.
pub(super) fn nothing_missed(record: &Record) -> Result<usize, String> {
    let mut places: BTreeMap<u64, (ConnId, usize)> = BTreeMap::new();
    for (_, conn, participant) in record.participants() {
        places.extend(participant.sent.iter().enumerate().map(|(at, number)| (*number, (conn, at))));
    }
    let mut messages = 0;
    for (who, conn, participant) in record.participants() {
        let me = Member { node: who.node, pid: participant.pid };
        let mut last: BTreeMap<Member, (ConnId, usize)> = BTreeMap::new();
        for seen in &participant.told {
            match seen {
                Seen::Membership { left, .. } if left.iter().any(|(member, _)| *member == me) => last.clear(),
                Seen::Membership { left, .. } => left.iter().for_each(|(member, _)| {
                    last.remove(member);
                }),
                Seen::Message { from, number, .. } => {
                    let place = *places.get(number).ok_or_else(|| format!("nobody sent {number}"))?;
                    if let Some((sender, at)) = last.insert(*from, place) {
                        require(place == (sender, at + 1), || {
                            format!("{conn:?} of {who:?} misses a message of {from:?} before {number}")
                        })?;
                    }
                    messages += 1;
                }
                Seen::Regular(_) | Seen::Settled(..) => {}
            }
        }
    }
    Ok(messages)
}

fn require(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
