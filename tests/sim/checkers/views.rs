//! Configurations: their ids, their members, and which nodes joined and left.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use annulus::ids::{NodeId, RingId};
use annulus::view::View;

use super::history::{History, Stay, names};
use super::{Violation, broken};
use crate::trace::Process;

pub(super) fn check(history: &History<'_>) -> Result<(), Violation> {
    check_besieged(history)?;
    rings_are_unique(history)?;
    companions_agree(history)
}

/// Checks the properties that each node can see for itself.
pub(super) fn check_besieged(history: &History<'_>) -> Result<(), Violation> {
    for (who, life) in &history.lives {
        let mut previous: Option<&View> = None;
        for stay in &life.stays {
            shape(*who, stay, previous)?;
            previous = Some(&stay.regular);
        }
    }
    rings_rise(history)
}

fn set(list: &[NodeId]) -> BTreeSet<NodeId> {
    list.iter().copied().collect()
}

/// `members = previous - left + joined`, and the process is a member of its own configurations.
fn shape(who: Process, stay: &Stay, previous: Option<&View>) -> Result<(), Violation> {
    const SHAPE: &str = "members = previous - left + joined";
    let (entry, regular) = (&stay.entry, &stay.regular);
    let before = previous.map(|view| set(&view.members)).unwrap_or_default();
    let came_along = set(&entry.members);
    let members = set(&regular.members);
    let fine = entry.joined.is_empty()
        && regular.left.is_empty()
        && came_along.is_subset(&before)
        && came_along.is_subset(&members)
        && set(&entry.left) == &before - &came_along
        && set(&regular.joined) == &members - &came_along
        && (previous.is_none() || names(&entry.members, who.node))
        && names(&regular.members, who.node);
    let ascending = [entry, regular]
        .iter()
        .all(|v| [&v.members, &v.joined, &v.left].iter().all(|l| l.is_sorted_by(|a, b| a < b)));
    if !fine || !ascending {
        return broken(SHAPE, format!("{who:?}, after {previous:?}: {entry:?}, then {regular:?}"));
    }
    if regular.members.first() != Some(&regular.ring.rep) {
        return broken("the representative is the lowest member", format!("{who:?}: {regular:?}"));
    }
    Ok(())
}

/// Ring ids rise at each node. After a restart, no ring id comes again that the node formed itself as representative.
/// Its own ring ids rise across restarts too, except at a node whose disk failed: such a node goes on far above all
/// numbers that it had reserved. Ids that other nodes formed are reserved on their representatives' disks, so this
/// node does not store them before it uses them.
fn rings_rise(history: &History<'_>) -> Result<(), Violation> {
    const RISE: &str = "ring ids rise";
    const AGAIN: &str = "no ring id comes again, over restarts too";
    /// A node that goes on below a number that it has used, at most this far, might reach that number again. The
    /// random numbers that nodes draw when their disks fail come this near only by a rare chance.
    const NEAR: u64 = 1 << 16;
    let mut formed: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for (who, life) in &history.lives {
        let rings = life.stays.iter().map(|stay| stay.regular.ring);
        for (before, ring) in rings.clone().zip(rings.clone().skip(1)) {
            if before.seq >= ring.seq {
                return broken(RISE, format!("{who:?}: {before}, then {ring}"));
            }
        }
        for ring in rings.filter(|ring| ring.rep.get() == who.node) {
            let before = formed.entry(who.node).or_default();
            let near = before.last().is_some_and(|last| *last >= ring.seq && *last - ring.seq < NEAR);
            if near || !before.insert(ring.seq) {
                return broken(AGAIN, format!("{who:?}: {ring} after {before:x?}"));
            }
        }
    }
    Ok(())
}

fn rings_are_unique(history: &History<'_>) -> Result<(), Violation> {
    const UNIQUE: &str = "2.3: one ring id, one configuration";
    for (ring, at) in &history.rings {
        let first = history.stay(at[0]);
        let mut nodes = BTreeSet::new();
        for (who, index) in at {
            let stay = history.stay((*who, *index));
            if stay.regular.members != first.regular.members {
                return broken(UNIQUE, format!("{ring}: {:?} and {:?}", first.regular, stay.regular));
            }
            if !nodes.insert(who.node) {
                return broken(UNIQUE, format!("{ring}: node {} installs it twice", who.node));
            }
        }
    }
    Ok(())
}

/// A transitional configuration holds exactly those members of the next ring that also share the last one.
fn companions_agree(history: &History<'_>) -> Result<(), Violation> {
    const COMPANIONS: &str = "a transitional configuration has who shares both rings";
    for (ring, at) in &history.rings {
        let came: HashMap<u32, (Process, Option<RingId>)> =
            at.iter().map(|(who, index)| (who.node, (*who, history.stay((*who, *index)).previous))).collect();
        for (who, index) in at {
            let stay = history.stay((*who, *index));
            for (node, (other, previous)) in &came {
                let shared = stay.previous.is_some() && *previous == stay.previous;
                if shared != names(&stay.entry.members, *node) {
                    return broken(
                        COMPANIONS,
                        format!(
                            "{ring}: {who:?} came from {:?}, {other:?} from {previous:?}, but {:?}",
                            stay.previous, stay.entry
                        ),
                    );
                }
            }
        }
    }
    Ok(())
}
