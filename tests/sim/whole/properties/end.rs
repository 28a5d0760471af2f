//! What must be so at the end, some time after the last fault.

use std::collections::BTreeSet;

use annulus::ids::ServiceId;
use annulus::service::Flow;

use crate::cluster::Cluster;
use crate::core::Core;
use crate::trace::Process;
use crate::whole::record::{Client, Role, Seen, Standing};
use crate::whole::services::Rules;
use crate::whole::speech::Member;

/// Whether every node knows who is in which group, every client has heard what it sent, and every barrier is over.
pub(crate) fn reached(c: &Cluster) -> bool {
    let alive: BTreeSet<Process> = c.alive().map(|(_, process)| process.app.who).collect();
    let mut expected: BTreeSet<(String, Member)> = BTreeSet::new();
    for ((who, _), client) in
        c.record.clients.iter().filter(|((who, _), client)| client.alive && alive.contains(who))
    {
        if let Role::Participant(participant) = &client.role {
            match participant.standing {
                Standing::In => {
                    expected.insert((
                        participant.group.to_owned(),
                        Member { node: who.node, pid: participant.pid },
                    ));
                }
                Standing::Leaving => return false,
                Standing::Out => {}
            }
        }
        if !has_all(*who, client) {
            return false;
        }
    }
    let may_act = may_act(c);
    c.alive().all(|(_, process)| {
        let Core::Whole(whole) = &process.core else { return false };
        let stack = &whole.stack;
        let known: BTreeSet<(String, Member)> = stack
            .cpg()
            .groups()
            .processes()
            .iter()
            .map(|process| {
                let group = String::from_utf8_lossy(process.group.as_bytes()).into_owned();
                (group, Member { node: process.member.node.get(), pid: process.member.pid })
            })
            .collect();
        known == expected
            && stack.settled()
            && !stack.router().syncing()
            && stack.flow(ServiceId::CPG) == Flow::Open
            && stack.votes().is_some_and(|votes| may_act.is_none_or(|may| votes.quorate() == may))
    })
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

/// Whether a client, which is alive, has everything that is due to it.
fn has_all(who: Process, client: &Client) -> bool {
    match &client.role {
        Role::Participant(participant) => {
            let me = Member { node: who.node, pid: participant.pid };
            let own = participant.told.iter().filter_map(|seen| match seen {
                Seen::Message { from, number, .. } if *from == me => Some(*number),
                _ => None,
            });
            own.eq(participant.sent.iter().copied())
        }
        Role::Keeper { set, told } => set == told,
        Role::Operator { unanswered } => *unanswered == 0,
        Role::Voter => true,
    }
}
