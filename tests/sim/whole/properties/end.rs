//! What must be so at the end, some time after the last fault.

use std::collections::BTreeSet;

use annulus::ids::ServiceId;
use annulus::service::Flow;
use annulus::stack::Stack;

use crate::cluster::Cluster;
use crate::core::Core;
use crate::trace::Process;
use crate::whole::record::{Client, Role, Seen, Standing};
use crate::whole::services::Rules;
use crate::whole::speech::Member;

/// Whether every node knows who is in which group, every client has heard what it sent, and every barrier is over.
pub(crate) fn reached(c: &Cluster) -> bool {
    missing(c).is_none()
}

/// The first thing that is not yet as it must be at the end.
pub(crate) fn missing(c: &Cluster) -> Option<String> {
    let mut expected: BTreeSet<(String, Member)> = BTreeSet::new();
    for ((who, conn), client) in c.record.clients.iter().filter(|(_, client)| client.alive) {
        if let Role::Participant(participant) = &client.role {
            match participant.standing {
                Standing::In => {
                    expected.insert((
                        participant.group.to_owned(),
                        Member { node: who.node, pid: participant.pid },
                    ));
                }
                Standing::Leaving => {
                    return Some(format!("{conn:?} of {who:?} has not been told that it left"));
                }
                Standing::Out => {}
            }
        }
        if let Some(what) = lacks(*who, client) {
            return Some(format!("{conn:?} of {who:?} {what}"));
        }
    }
    let may_act = may_act(c);
    c.alive().find_map(|(node, process)| {
        let Core::Whole(whole) = &process.core else { panic!("whole nodes") };
        let stack = &whole.stack;
        let known: BTreeSet<(String, Member)> = stack
            .groups()
            .processes()
            .iter()
            .map(|process| {
                let group = String::from_utf8_lossy(process.group.as_bytes()).into_owned();
                (group, Member { node: process.member.node.get(), pid: process.member.pid })
            })
            .collect();
        let quorate = stack.quorate() == Some(true);
        if known != expected {
            Some(format!("node {node} knows the groups as {known:?}, but they are {expected:?}"))
        } else if let Some(what) = lost(stack) {
            Some(format!("node {node} {what}"))
        } else if !stack.settled() {
            Some(format!("node {node} has not told the end of every client"))
        } else if stack.is_syncing() || stack.flow(ServiceId::CPG) != Flow::Open {
            Some(format!("node {node} takes no requests"))
        } else if may_act.is_some_and(|may| may != quorate) {
            Some(format!("node {node} is {}quorate", if quorate { "" } else { "not " }))
        } else {
            None
        }
    })
}

/// What the groups of a node dropped or left out although every node and every client kept to the rules, if anything.
fn lost(stack: &Stack) -> Option<String> {
    let stats = stack.cpg_stats();
    let counts = [stats.malformed, stats.refused_joins, stats.capped_events, stats.dropped_requests];
    (counts != [0; 4]).then(|| format!("dropped something of its groups: {stats:?}"))
}

/// Whether those who are in the one ring that is left may act, as far as the rules leave no doubt.
fn may_act(c: &Cluster) -> Option<bool> {
    let (there, all) = (c.alive().count(), c.setup.nodes.len());
    let rules = c.setup.services.as_ref().expect("whole nodes").rules;
    match rules {
        _ if there == all => Some(true),
        _ if 2 * there < all => Some(false),
        Rules::Majority => Some(2 * there > all),
        // Depends on who has met whom, and who was there last.
        Rules::WaitForAll | Rules::TieBreaker => None,
    }
}

/// What a client that is alive has not been told yet, if anything.
fn lacks(who: Process, client: &Client) -> Option<String> {
    match &client.role {
        Role::Participant(participant) => {
            let me = Member { node: who.node, pid: participant.pid };
            let own = participant.told.iter().filter_map(|seen| match seen {
                Seen::Message { from, number, .. } if *from == me => Some(*number),
                _ => None,
            });
            let own: Vec<u64> = own.collect();
            (own != participant.sent)
                .then(|| format!("sent {:?} and heard of that {own:?}", participant.sent))
        }
        Role::Keeper { set, told } => (set != told).then(|| format!("set {set:?} and was told of {told:?}")),
        Role::Operator { unanswered } => (*unanswered > 0).then(|| "waits for an answer".to_owned()),
        Role::Voter => None,
    }
}
