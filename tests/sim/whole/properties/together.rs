//! What must hold of clients whose nodes moved together from ring to ring: they were told the same, in the same order,
//! from the end of one synchronisation to the next ring, and from there to the end of the next synchronisation. And either
//! all of these nodes or none completed the synchronisation of the ring that they left.
//!
//! A message that was accepted on an earlier ring may have begun there, or on any ring of its sender since, if it is longer
//! than a frame. Whoever was not in all of these lacks a part of it and is not told of it; so it counts only between clients
//! whose nodes both were.

use std::collections::BTreeMap;

use annulus::ids::RingId;

use super::Moves;
use crate::trace::Process;
use crate::whole::clients::GROUPS;
use crate::whole::record::{Participant, Record, Seen};
use crate::whole::speech::Member;

/// Checks all pairs. How many there were.
pub(super) fn check<'a>(record: &'a Record, moves: &Moves) -> Result<usize, String> {
    let mut pairs = 0;
    for ((from, to), together) in &moves.together {
        for group in GROUPS {
            let those = || record.participants().filter(|(who, ..)| together.contains(who));
            let pieces: Vec<Piece<'a>> =
                those().flat_map(|(who, _, client)| Piece::between(who, client, *from, *to, group)).collect();
            // Whoever was a member all the time saw everything; everybody else a part of it in one piece.
            for whole in pieces.iter().filter(|piece| piece.whole) {
                for other in &pieces {
                    let common = |piece: &Piece<'a>| -> Vec<&'a Seen> {
                        let counts = |seen: &&&Seen| match seen {
                            Seen::Message { number, .. } => {
                                record.sent_on.get(number).is_none_or(|(sender, ring)| {
                                    let saw = |who| moves.saw_whole(who, *sender, *ring, *from);
                                    saw(whole.who) && saw(other.who)
                                })
                            }
                            _ => true,
                        };
                        piece.seen.iter().filter(counts).copied().collect()
                    };
                    let (all, part) = (common(whole), common(other));
                    let agrees = if other.whole {
                        part == all
                    } else {
                        part.is_empty() || all.windows(part.len()).any(|window| window == part)
                    };
                    if !agrees {
                        return Err(format!(
                            "{from} to {to}, group {group}, members differ:\n{whole:?}\n{other:?}"
                        ));
                    }
                    pairs += 1;
                }
            }
            let synchronised: Vec<Vec<&Seen>> =
                those().filter_map(|(who, _, told)| exchange(who, told, *from, *to, group)).collect();
            if let Some(pair) = synchronised.windows(2).find(|pair| pair[0] != pair[1]) {
                return Err(format!("{from} to {to}, group {group}, synchronised differently: {pair:?}"));
            }
            pairs += synchronised.len().saturating_sub(1);
        }
    }
    Ok(pairs)
}

/// Of the processes that moved together from ring to ring, either all completed the synchronisation of the earlier ring,
/// be it with its last messages between the two views, or none.
pub(super) fn all_or_none(record: &Record) -> Result<(), String> {
    let mut answers: BTreeMap<(RingId, RingId), BTreeMap<bool, Process>> = BTreeMap::new();
    for (who, rings) in &record.installed {
        for pair in rings.windows(2) {
            let ((from, before), (to, after)) = (pair[0], pair[1]);
            answers.entry((from, to)).or_default().insert(after > before, *who);
        }
    }
    match answers.into_iter().find(|(_, answers)| answers.len() > 1) {
        Some(((from, to), answers)) => {
            Err(format!("{from} to {to}, only some completed the synchronisation: {answers:?}"))
        }
        None => Ok(()),
    }
}

/// What one client was told of a group between the end of a ring's synchronisation and the next ring.
#[derive(Debug)]
struct Piece<'a> {
    who: Process,
    #[allow(dead_code, reason = "shown when a check fails")]
    pid: u32,
    seen: Vec<&'a Seen>,
    /// It was in the group from the first to the last moment.
    whole: bool,
}

impl<'a> Piece<'a> {
    /// One piece for each stay in the group: of what happens between a leave and the next join nothing is told.
    fn between(who: Process, client: &'a Participant, from: RingId, to: RingId, group: &str) -> Vec<Self> {
        let me = Member { node: who.node, pid: client.pid };
        let told = &client.told;
        let begin = told.iter().position(|seen| is_settled(seen, from));
        let end = told.iter().position(|seen| *seen == Seen::Regular(to));
        let Some((begin, end)) = begin.zip(end) else { return Vec::new() };
        let seen: Vec<&Seen> =
            told[begin + 1..end].iter().filter(|seen| seen.group() == Some(group)).collect();
        let was_in = group_of(&told[..begin], me) == Some(group);
        let is_in = group_of(&told[..end], me) == Some(group);
        let left = seen.iter().any(|seen| is_leave_of(seen, me));
        let whole = was_in && is_in && !left;
        if seen.is_empty() {
            return vec![Self { who, pid: client.pid, seen, whole }];
        }
        let stays = seen.split_inclusive(|seen| is_leave_of(seen, me));
        stays.map(|stay| Self { who, pid: client.pid, seen: stay.to_vec(), whole }).collect()
    }
}

/// What a member was told of its group in the synchronisation of ring `to`, having completed that of ring `from`.
fn exchange<'a>(
    who: Process,
    client: &'a Participant,
    from: RingId,
    to: RingId,
    group: &str,
) -> Option<Vec<&'a Seen>> {
    let me = Member { node: who.node, pid: client.pid };
    let told = &client.told;
    told.iter().position(|seen| is_settled(seen, from))?;
    let begin = told.iter().position(|seen| *seen == Seen::Regular(to))?;
    let end = told.iter().position(|seen| is_settled(seen, to))?;
    (group_of(&told[..begin], me) == Some(group))
        .then(|| told[begin..end].iter().filter(|seen| seen.group() == Some(group)).collect())
}

fn is_settled(seen: &Seen, ring: RingId) -> bool {
    matches!(seen, Seen::Settled(settled, _) if *settled == ring)
}

/// The group that a client is in after these events: that of the last one, unless it was the client's own leave.
fn group_of(told: &[Seen], me: Member) -> Option<&str> {
    let last = told.iter().rev().find(|seen| seen.group().is_some())?;
    if is_leave_of(last, me) { None } else { last.group() }
}

fn is_leave_of(seen: &Seen, me: Member) -> bool {
    matches!(seen, Seen::Membership { left, .. } if left.iter().any(|(member, _)| *member == me))
}
