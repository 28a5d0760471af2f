//! Which members' frames get lost, and which members lack them.
//!
//! The retransmission requests in the token do not say who made them, and mostly the next member answers and removes
//! them. But the answer is multicast: to those that have the frame it comes once more. The token names the member that
//! holds the aru back, so the answer was for it if the aru has stood before the frame for a whole rotation; if several
//! members lack frames, the one that lacks the earliest is named. Another member that lacks the same frame is
//! overlooked by the nodes that have it, but each node knows exactly what it had to ask for itself.
//!
//! After some time the counts tell where datagrams get lost: if one member lacks frames and the others do not, on its
//! way in; if the frames of one member are lacked by several, on its way out.
//!
//! A member that passes the token on late is not named: the others see only the time of the whole rotation.

use std::fmt;
use std::time::Duration;

use super::hold::Rotation;
use super::members::MemberSet;
use super::window::Reception;
use crate::ids::{NodeId, Seq};
use crate::quiet::Quiet;
use crate::time::Instant;
use crate::totem::wire::{Missing, Token};

/// Time after which the counts are judged, if there were enough frames. Shorter than the least time between two lines, so
/// that a fault that lasts is seen to last.
const EVERY: Duration = Duration::from_secs(5);
/// Time after which it is looked again whether there were enough.
const AGAIN: Duration = Duration::from_secs(1);
/// The least number of frames that is judged.
const ENOUGH: u64 = 500;
/// The least number of lost frames that is worth a line, and the share of the frames that it must be: 1 of 100.
const WORTH_A_LINE: u64 = 20;
/// One member is the cause only if so much less of what passes between the others is lost.
const BETTER: u64 = 5;
const SHARE: u64 = 100;

/// What is known of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames that it multicast, as far as this node has received them.
    pub sent: u64,
    /// Its frames that some member asked for again.
    pub lost: u64,
    /// Frames of others that it asked for again.
    pub lacked: u64,
}

impl Tally {
    fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            lost: self.lost - before.lost,
            lacked: self.lacked - before.lacked,
        }
    }
}

/// What the counts said when they were judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// No member stands out.
    Fair,
    /// Of the frames on the way into this member, or out of it, so many of a hundred were lost; those of the others
    /// were not.
    Against(NodeId, u32),
}

/// The counts of one member: all, and those of the last judgement.
#[derive(Clone, Copy, Debug)]
struct Row {
    node: NodeId,
    all: Tally,
    judged: Tally,
}

impl Row {
    /// What was counted since the last judgement.
    fn fresh(&self) -> Tally {
        self.all.since(self.judged)
    }
}

/// What was counted of all members since the last judgement.
fn total(rows: &[Row]) -> Tally {
    rows.iter().map(Row::fresh).fold(Tally::default(), |all, tally| Tally {
        sent: all.sent + tally.sent,
        lost: all.lost + tally.lost,
        lacked: all.lacked + tally.lacked,
    })
}

/// The counts of the members; see the module. There is one row for each member of the ring.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Ascending by node.
    rows: Vec<Row>,
    /// When to judge the counts; `None` before the first visit of the token.
    judge_at: Option<Instant>,
    /// The last judgement, until it is taken.
    judgement: Option<Judgement>,
    quiet: Quiet,
}

impl Losses {
    /// A ring of these members was installed. What is known of those that stay is kept.
    pub(super) fn installed(&mut self, members: &MemberSet) {
        let all = |node: NodeId| self.row(node).map_or_else(Tally::default, |row| row.all);
        let rows = members.as_slice().iter().map(|node| {
            let all = all(*node);
            Row { node: *node, all, judged: all }
        });
        self.rows = rows.collect();
        self.judge_at = None;
    }

    /// All counts are 0 again.
    pub(super) fn clear(&mut self) {
        for row in &mut self.rows {
            (row.all, row.judged) = (Tally::default(), Tally::default());
        }
        self.judge_at = None;
    }

    /// The counts of each member, ascending.
    pub(super) fn tallies(&self) -> impl Iterator<Item = (NodeId, Tally)> {
        self.rows.iter().map(|row| (row.node, row.all))
    }

    fn row(&self, node: NodeId) -> Option<&Row> {
        let at = self.rows.binary_search_by_key(&node, |row| row.node).ok()?;
        self.rows.get(at)
    }

    /// The counts of a node, if it is a member.
    fn of(&mut self, node: NodeId) -> Option<&mut Tally> {
        let at = self.rows.binary_search_by_key(&node, |row| row.node).ok()?;
        self.rows.get_mut(at).map(|row| &mut row.all)
    }

    /// A new frame of `from` was received, or multicast by this node.
    pub(super) fn frame(&mut self, from: NodeId) {
        if let Some(tally) = self.of(from) {
            tally.sent += 1;
        }
    }

    /// A frame of `from` has come for which this node, `me`, had to ask.
    pub(super) fn came_late(&mut self, from: NodeId, me: NodeId) {
        self.lost(from, Some(me));
    }

    fn lost(&mut self, from: NodeId, at: Option<NodeId>) {
        let at = at.filter(|at| *at != from);
        for (node, what) in [(Some(from), true), (at, false)] {
            if let Some(tally) = node.and_then(|node| self.of(node)) {
                *(if what { &mut tally.lost } else { &mut tally.lacked }) += 1;
            }
        }
    }

    /// A frame has come that this node, `me`, does not need. It is an answer to the member that holds the aru back, unless
    /// that has just begun: then the network has doubled it.
    pub(super) fn came_again(&mut self, seq: Seq, rotation: &Rotation, reception: &Reception, me: NodeId) {
        let Some(by) = rotation.aru_by.filter(|by| *by != me && rotation.aru_stuck > 0) else { return };
        if rotation.aru.is_before(seq)
            && let Some(stored) = reception.window.frame(seq)
        {
            self.lost(stored.system_from, Some(by));
        }
    }

    /// The token came with these requests, which this node is to answer if it can; when this node passed it on, it had
    /// those of `passed_on`. A request is for a single frame, and a token has few of them.
    pub(super) fn requests(
        &mut self,
        token: &Token,
        passed_on: &[Missing],
        reception: &Reception,
        me: NodeId,
    ) {
        if token.missing.is_empty() {
            return;
        }
        let first = token.aru.plus(1);
        let by = token.aru_by.filter(|by| *by != me);
        let by = by.filter(|_| token.missing.iter().any(|missing| missing.seq == first));
        for missing in token.missing.iter().filter(|missing| !passed_on.contains(missing)) {
            // Frames that this node lacks as well are counted when they come.
            if let Some(stored) = reception.window.frame(missing.seq) {
                self.lost(stored.system_from, by);
            }
        }
    }

    /// The last judgement, if there was one since the last call.
    pub(super) const fn take(&mut self) -> Option<Judgement> {
        self.judgement.take()
    }

    /// Judges the counts if it is time. Returns what to log, and the number of lines that were held back before it.
    pub(super) fn judge(&mut self, now: Instant) -> Option<(Finding, u64)> {
        if *self.judge_at.get_or_insert(now + EVERY) > now {
            return None;
        }
        if total(&self.rows).sent < ENOUGH {
            self.judge_at = Some(now + AGAIN);
            return None;
        }
        self.judge_at = Some(now + EVERY);
        let finding = find(&self.rows);
        let against = finding.and_then(|finding| finding.against(&self.rows));
        self.judgement =
            Some(against.map_or(Judgement::Fair, |(node, percent)| Judgement::Against(node, percent)));
        for row in &mut self.rows {
            row.judged = row.all;
        }
        let finding = finding?;
        self.quiet.may_speak(now).map(|held_back| (finding, held_back))
    }
}

/// Where frames get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    place: Place,
    lost: u64,
    /// So many frames were sent that could have been lost there.
    of: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// One member lacks frames of several.
    Into(NodeId),
    /// The frames of one member are lacked by several.
    OutOf(NodeId),
    /// The frames of the first are lacked by the second.
    Between(NodeId, NodeId),
    /// The frames of one member are lacked by several, and it lacks those of several.
    Around(NodeId),
    /// No member stands out.
    Somewhere,
}

impl Finding {
    /// The member whose way in or out loses frames though the ways between the others do not, and how many of a hundred.
    /// Where one member lacks frames of the only one that sends, the way out of that one is good, since the others get
    /// them.
    fn against(self, rows: &[Row]) -> Option<(NodeId, u32)> {
        let all = total(rows);
        let node = match self.place {
            Place::Into(node) | Place::OutOf(node) | Place::Around(node) => node,
            Place::Between(from, to) => {
                let alone = rows.iter().any(|row| row.node == from && row.fresh().sent * 10 >= all.sent * 8);
                alone.then_some(to)?
            }
            Place::Somewhere => return None,
        };
        let its = rows.iter().find(|row| row.node == node)?.fresh();
        // Each frame of another member goes to all others but that one and this.
        let between_others = (all.sent - its.sent) * (rows.len() as u64).saturating_sub(2);
        let lost_there = all.lost.saturating_sub(its.lost + its.lacked);
        let percent = (self.lost.saturating_mul(100) / self.of.max(1)).min(100);
        let clearly = lost_there * 100 * BETTER <= percent * between_others;
        (between_others >= ENOUGH && clearly).then_some((node, percent as u32))
    }
}

/// Where frames got lost since the last judgement, if that is worth a line.
fn find(rows: &[Row]) -> Option<Finding> {
    let new = || rows.iter().map(|row| (row.node, row.fresh()));
    let all = total(rows);
    if all.lost < WORTH_A_LINE {
        return None;
    }
    let (sender, out) = new().max_by_key(|(_, tally)| tally.lost)?;
    let (receiver, into) = new().max_by_key(|(_, tally)| tally.lacked)?;
    let most = |part: u64, whole: u64| part > 0 && part * 10 >= whole * 8;
    let (around, both) = new().max_by_key(|(_, tally)| tally.lost + tally.lacked)?;
    let both = both.lost + both.lacked;
    let (one_sender, one_receiver) = (most(out.lost, all.lost), most(into.lacked, all.lacked));
    let between_two = rows.len() == 2;
    let (place, lost, of) = match (one_sender, one_receiver) {
        (true, true) => (Place::Between(sender, receiver), out.lost, out.sent),
        (true, false) if between_two => {
            let other = new().map(|(node, _)| node).find(|node| *node != sender)?;
            (Place::Between(sender, other), out.lost, out.sent)
        }
        (true, false) => (Place::OutOf(sender), out.lost, out.sent),
        (false, true) => (Place::Into(receiver), into.lacked, all.sent - into.sent),
        (false, false) if most(both, all.lost) && rows.len() > 2 => (Place::Around(around), both, all.sent),
        (false, false) => (Place::Somewhere, all.lost, all.sent),
    };
    (lost >= WORTH_A_LINE && lost * SHARE >= of).then_some(Finding { place, lost, of })
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const IN: &str =
            "its receive buffers (ring size of the NIC, net.core.rmem_max), its switch port and its CPU load";
        const OUT: &str = "its NIC and its queue, its switch port and the rate at which it sends";
        let Self { place, lost, of } = *self;
        match place {
            Place::Into(node) => write!(
                f,
                "node {node} had to ask again for {lost} of the {of} last frames of several members, and no other member \
                 lacks as many: check the way into node {node}: {IN}"
            ),
            Place::OutOf(node) => write!(
                f,
                "{lost} of the {of} last frames of node {node} had to be sent again, and more than one member lacked them: \
                 check the way out of node {node}: {OUT}"
            ),
            Place::Between(from, to) => write!(
                f,
                "node {to} had to ask again for {lost} of the {of} last frames of node {from}: check the path from node \
                 {from} to node {to}; on node {to} {IN}; on node {from} {OUT}"
            ),
            Place::Around(node) => write!(
                f,
                "{lost} of the {of} last frames had to be sent again, most of them on the way from node {node} or to it: \
                 check its NIC, cable and switch port; {IN}"
            ),
            Place::Somewhere => write!(
                f,
                "{lost} of the {of} last frames had to be sent again, and no member stands out: check the network that all \
                 members share, and that its switches are not overloaded"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::totem::srp::ring::Ring;
    use crate::totem::srp::sample::{self, node};
    use crate::totem::wire::Encapsulated;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(1_000_000 * seconds)
    }

    /// Members 1 to `count`, of whose counts nothing was judged yet.
    fn losses(count: u32) -> Losses {
        let mut losses = Losses::default();
        losses.installed(&MemberSet::new((1..=count).map(node)));
        assert_eq!(losses.judge(at(0)), None);
        losses
    }

    /// Each member sends `count` frames.
    fn send(losses: &mut Losses, count: u64) {
        let nodes: Vec<NodeId> = losses.rows.iter().map(|row| row.node).collect();
        for node in nodes {
            (0..count).for_each(|_| losses.frame(node));
        }
    }

    fn lose(losses: &mut Losses, from: u32, at: u32, count: u32) {
        (0..count).for_each(|_| losses.lost(node(from), Some(node(at))));
    }

    /// Frames of three members get lost on the way into the fourth: of a hundred that are sent, forty.
    #[test]
    fn a_judgement_names_the_member_that_stands_out_and_is_told_once() {
        let mut losses = losses(4);
        assert_eq!(losses.take(), None);
        send(&mut losses, 1000);
        for from in [1, 2, 4] {
            lose(&mut losses, from, 3, 400);
        }
        judged(&mut losses);
        assert_eq!((losses.take(), losses.take()), (Some(Judgement::Against(node(3), 40)), None));
        send(&mut losses, 1000);
        losses.judge(at(20));
        assert_eq!(losses.take(), Some(Judgement::Fair));
    }

    #[test]
    fn a_member_that_lacks_frames_of_the_only_sender_stands_out_and_one_of_two_never_does() {
        for (count, expected) in [(3, Judgement::Against(node(2), 30)), (2, Judgement::Fair)] {
            let mut losses = losses(count);
            (0..1000).for_each(|_| losses.frame(node(1)));
            lose(&mut losses, 1, 2, 300);
            judged(&mut losses);
            assert_eq!(losses.take(), Some(expected), "{count}");
        }
        // The third member's frames arrive there.
        let mut losses = losses(3);
        send(&mut losses, 1000);
        lose(&mut losses, 1, 2, 300);
        judged(&mut losses);
        assert_eq!(losses.take(), Some(Judgement::Fair));
    }

    #[test]
    fn a_member_that_sends_nearly_everything_is_not_to_blame_for_a_network_that_all_share() {
        for other in [100, 600] {
            let mut losses = losses(3);
            (0..1000).for_each(|_| losses.frame(node(1)));
            (0..other).for_each(|_| losses.frame(node(2)));
            for (from, at, count) in
                [(1, 2, 300), (1, 3, 300), (2, 1, other * 3 / 10), (2, 3, other * 3 / 10)]
            {
                lose(&mut losses, from, at, count);
            }
            judged(&mut losses);
            assert_eq!(losses.take(), Some(Judgement::Fair), "{other}");
        }
    }

    fn judged(losses: &mut Losses) -> Option<Finding> {
        losses.judge(at(10)).map(|(finding, _)| finding)
    }

    #[test]
    fn a_member_that_lacks_what_the_others_get_is_named() {
        let mut losses = losses(4);
        send(&mut losses, 1000);
        for from in [1, 2, 4] {
            lose(&mut losses, from, 3, 100);
        }
        lose(&mut losses, 1, 2, 5);
        let finding = judged(&mut losses);
        assert_eq!(finding, Some(Finding { place: Place::Into(node(3)), lost: 300, of: 3000 }));
        let text = finding.unwrap().to_string();
        assert!(text.starts_with("node 3 had to ask again for 300 of the 3000 last frames"), "{text}");
        assert!(text.contains("check the way into node 3"), "{text}");
    }

    #[test]
    fn a_member_whose_frames_several_lack_is_named() {
        let mut losses = losses(4);
        send(&mut losses, 1000);
        for at in [1, 3, 4] {
            lose(&mut losses, 2, at, 30);
        }
        let finding = judged(&mut losses);
        assert_eq!(finding, Some(Finding { place: Place::OutOf(node(2)), lost: 90, of: 1000 }));
        assert!(finding.unwrap().to_string().contains("check the way out of node 2"));
    }

    #[test]
    fn a_member_whose_frames_are_lacked_and_that_lacks_those_of_others_is_named() {
        let mut losses = losses(4);
        send(&mut losses, 1000);
        for other in [1, 2, 4] {
            lose(&mut losses, other, 3, 300);
            lose(&mut losses, 3, other, 250);
        }
        lose(&mut losses, 1, 2, 50);
        let finding = judged(&mut losses);
        assert_eq!(finding, Some(Finding { place: Place::Around(node(3)), lost: 1650, of: 4000 }));
        assert_eq!(losses.take(), Some(Judgement::Against(node(3), 41)));
        assert!(finding.unwrap().to_string().contains("from node 3 or to it"));
    }

    #[test]
    fn both_ends_of_a_bad_path_are_named() {
        let mut losses = losses(3);
        send(&mut losses, 1000);
        lose(&mut losses, 2, 3, 50);
        assert_eq!(
            judged(&mut losses),
            Some(Finding { place: Place::Between(node(2), node(3)), lost: 50, of: 1000 })
        );
    }

    #[test]
    fn two_members_cannot_tell_which_end_is_bad() {
        let mut losses = losses(2);
        send(&mut losses, 1000);
        // Who asked is not always known.
        (0..50).for_each(|_| losses.lost(node(1), None));
        let Some(Finding { place, .. }) = judged(&mut losses) else { panic!("nothing was found") };
        assert_eq!(place, Place::Between(node(1), node(2)));
    }

    #[test]
    fn losses_everywhere_are_nobodys_fault() {
        let mut losses = losses(3);
        send(&mut losses, 1000);
        for from in 1..=3 {
            (1..=3).filter(|at| *at != from).for_each(|at| lose(&mut losses, from, at, 20));
        }
        let Some(Finding { place, .. }) = judged(&mut losses) else { panic!("nothing was found") };
        assert_eq!(place, Place::Somewhere);
    }

    #[test]
    fn few_lost_frames_or_few_frames_are_not_judged() {
        let mut losses = losses(3);
        send(&mut losses, 100);
        lose(&mut losses, 1, 2, 50);
        assert_eq!(losses.judge(at(10)), None, "300 frames say little");
        send(&mut losses, 100_000);
        assert_eq!(losses.judge(at(11)), None, "50 of 100,100");
        lose(&mut losses, 1, 2, 5000);
        assert_eq!(losses.judge(at(15)), None, "it is not time yet");
        assert!(losses.judge(at(16)).is_none(), "nothing was sent since");
        send(&mut losses, 1000);
        assert!(losses.judge(at(17)).is_some());
    }

    #[test]
    fn a_lasting_fault_is_logged_ever_less_often() {
        let mut losses = losses(3);
        let mut lines = 0;
        for second in 1..=3600 {
            send(&mut losses, 200);
            lose(&mut losses, 1, 2, 20);
            lines += u32::from(losses.judge(at(second)).is_some());
        }
        assert!((5..15).contains(&lines), "{lines} lines in an hour");
    }

    #[test]
    fn members_that_stay_keep_their_counts() {
        let mut losses = losses(3);
        send(&mut losses, 10);
        losses.frame(node(7));
        losses.installed(&MemberSet::new([2, 3, 4].map(node)));
        let tallies: Vec<(NodeId, Tally)> = losses.tallies().collect();
        let ten = Tally { sent: 10, ..Tally::default() };
        assert_eq!(tallies, [(node(2), ten), (node(3), ten), (node(4), Tally::default())]);
        losses.clear();
        assert!(losses.tallies().all(|(_, tally)| tally == Tally::default()));
    }

    #[test]
    fn an_answer_counts_for_the_member_that_holds_the_aru_back() {
        let mut ring = sample::ring(3);
        let frame = sample::mcast(ring.current, Seq(1), Encapsulated::Plain);
        ring.reception.take(Seq(1), sample::stored(&frame));
        let mut losses = losses(3);
        let mut counts = |ring: &Ring, seq| {
            losses.came_again(Seq(seq), &ring.rotation, &ring.reception, node(1));
            (losses.row(node(2)).unwrap().all.lost, losses.row(node(3)).unwrap().all.lacked)
        };
        ring.rotation.aru_by = Some(node(3));
        assert_eq!(counts(&ring, 1), (0, 0), "nothing was asked for yet: the network has doubled it");
        ring.rotation.aru_stuck = 1;
        assert_eq!(counts(&ring, 1), (1, 1));
        assert_eq!(counts(&ring, 2), (1, 1), "it is not known here");
        ring.rotation.aru = Seq(1);
        assert_eq!(counts(&ring, 1), (1, 1), "all members have it");
    }

    /// Node 1 holds frames 1 to 4 of node 2, the token's aru is 1 because of node 3.
    #[test]
    fn new_requests_count_for_the_member_that_holds_the_aru_back() {
        let mut ring = sample::ring(3);
        for seq in 1..=4 {
            let frame = sample::mcast(ring.current, Seq(seq), Encapsulated::Plain);
            ring.reception.take(Seq(seq), sample::stored(&frame));
        }
        let missing = |seq| Missing { ring: ring.current, seq: Seq(seq) };
        let mut token = sample::token(ring.current, 1, Seq(5));
        (token.aru, token.aru_by) = (Seq(1), Some(node(3)));
        token.missing = vec![missing(2), missing(3), missing(5)];
        let mut losses = losses(3);
        let counts = |losses: &Losses| {
            (losses.row(node(2)).unwrap().all.lost, losses.row(node(3)).unwrap().all.lacked)
        };
        losses.requests(&token, &[missing(3)], &ring.reception, node(1));
        assert_eq!(counts(&losses), (1, 1), "3 was counted before, and 5 is not here either");
        token.missing = vec![missing(4)];
        losses.requests(&token, &[], &ring.reception, node(1));
        assert_eq!(counts(&losses), (2, 1), "2 is not asked for, so somebody else may lack 4");
    }
}
