//! The vote on leaving out a member that burdens the ring: a pure state machine.
//!
//! A member whose datagrams get lost, though those of the others do not, slows the ring for all; one whose link comes and
//! goes forms it anew again and again. Each member judges for itself. If a finding lasts for the configured patience, or a
//! member has come back too often, it complains of that member in an ordered message. When more than half of the others
//! complain of one member, all leave it out from the same message on, and that member goes on alone, for a time that
//! doubles each time.
//!
//! A member complains only if the others keep a majority without the member, so neither of two members is left out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::wire::complaint::{Complaint, Why};
use crate::config::timeouts::Timeouts;
use crate::ids::NodeId;
use crate::time::Instant;
use crate::totem::{Judgement, wire::MAX_NODES};
use crate::view::View;

/// Without a new one, a finding holds for this long. The counts are judged every few seconds if enough was sent.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// A member that has come back so often in [`WINDOW`] times the patience flaps.
const RETURNS: usize = 5;
const WINDOW: u32 = 5;
/// For how long a member is left out at first; the time doubles each time.
const OUT: Duration = Duration::from_secs(60);
const DOUBLINGS: u32 = 6;
/// After so long on the ring without being left out again, a member begins anew.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// An action for the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Tell all members.
    Say(Complaint),
    /// More than half of the others complained of a member: it is left out. If it is this node, this node goes on alone.
    LeaveOut { node: NodeId, why: Why, time: Duration, complaints: usize, of: usize },
    /// Another member says that the ring leaves out this node, which is not on it.
    Ignore { node: NodeId, time: Duration },
}

/// A finding about a member.
#[derive(Clone, Copy, Debug)]
struct Finding {
    node: NodeId,
    since: Instant,
    last: Instant,
    percent: u32,
}

/// What is known of a node that was left out.
#[derive(Clone, Copy, Debug)]
struct Past {
    times: u32,
    until: Instant,
}

impl Past {
    fn is_remembered(&self, now: Instant) -> bool {
        now < self.until + REMEMBERED
    }
}

/// The state of the vote at this node.
#[derive(Debug)]
pub(super) struct LeavingOut {
    me: NodeId,
    /// Percent; 0 is off.
    limit: u32,
    patience: Duration,
    members: Vec<NodeId>,
    finding: Option<Finding>,
    /// When members came back that had been lost and ran meanwhile: the last [`RETURNS`] times.
    returns: BTreeMap<NodeId, VecDeque<Instant>>,
    /// Of whom this node has complained on this ring.
    said: Option<NodeId>,
    /// Who complains of whom on this ring.
    complaints: BTreeMap<NodeId, (NodeId, Why, u32)>,
    past: BTreeMap<NodeId, Past>,
    acts: Vec<Act>,
}

impl LeavingOut {
    pub(super) fn new(me: NodeId) -> Self {
        Self {
            me,
            limit: 0,
            patience: Duration::ZERO,
            members: Vec::new(),
            finding: None,
            returns: BTreeMap::new(),
            said: None,
            complaints: BTreeMap::new(),
            past: BTreeMap::new(),
            acts: Vec::new(),
        }
    }

    /// The configuration says what is borne, and for how long.
    pub(super) const fn limit(&mut self, timeouts: &Timeouts) {
        self.limit = timeouts.loss_limit;
        self.patience = timeouts.loss_patience;
    }

    /// A ring was installed. What was found of members that stay, or come back, still counts.
    pub(super) fn view(&mut self, view: &View, now: Instant) {
        self.members.clone_from(&view.members);
        self.said = None;
        self.complaints.clear();
        self.past.retain(|_, past| past.is_remembered(now));
        let window = self.patience * WINDOW;
        self.returns.retain(|_, times| times.back().is_some_and(|last| now.since(*last) <= window));
        let old = view.members.iter().find(|node| !view.joined.contains(node));
        if !view.joined.is_empty() && old == Some(&self.me) {
            let out = self.past.iter().filter(|(_, past)| now < past.until);
            self.acts.extend(out.map(|(node, past)| {
                Act::Say(Complaint::Out { node: *node, rest: past.until.since(now), times: past.times })
            }));
        }
    }

    /// The counts of lost frames were judged.
    pub(super) fn judged(&mut self, judgement: Judgement, now: Instant) {
        let against = match judgement {
            Judgement::Against(node, percent) => Some((node, percent)),
            Judgement::Fair => None,
        };
        let against =
            against.filter(|(node, percent)| self.limit > 0 && *percent >= self.limit && *node != self.me);
        self.finding = against.map(|(node, percent)| {
            let since = self.finding.filter(|old| old.node == node && now.since(old.last) <= FORGOTTEN);
            Finding { node, since: since.map_or(now, |old| old.since), last: now, percent }
        });
    }

    /// A member that was lost is back, and ran all the while.
    pub(super) fn returned(&mut self, node: NodeId, now: Instant) {
        let times = self.returns.entry(node).or_default();
        times.push_back(now);
        if times.len() > RETURNS {
            times.pop_front();
        }
    }

    /// Of whom to complain.
    fn suspect(&self, now: Instant) -> Option<(NodeId, Why)> {
        if self.limit == 0 {
            return None;
        }
        let lasts = |finding: &&Finding| {
            now.since(finding.last) <= FORGOTTEN && now.since(finding.since) >= self.patience
        };
        if let Some(finding) = self.finding.as_ref().filter(lasts) {
            return Some((finding.node, Why::Loss(finding.percent)));
        }
        // To a member that flaps, all others seem to.
        let [(node, times)] = &self.returns.iter().collect::<Vec<_>>()[..] else { return None };
        let recent = times.iter().filter(|at| now.since(**at) <= self.patience * WINDOW).count();
        (recent >= RETURNS).then_some((**node, Why::Flapping(recent as u32)))
    }

    /// To be called every second while there is a ring. `spare` says whether the others keep a majority without a member.
    pub(super) fn look(&mut self, now: Instant, spare: impl FnOnce(NodeId) -> bool) {
        let suspect = self.suspect(now).filter(|(node, _)| self.members.contains(node) && spare(*node));
        match suspect {
            Some((node, why)) if self.said != Some(node) => {
                self.said = Some(node);
                let times = self.times(node, now);
                self.acts.push(Act::Say(Complaint::Against { node, why, times }));
            }
            None if self.said.take().is_some() => self.acts.push(Act::Say(Complaint::Withdrawn)),
            _ => {}
        }
    }

    /// How often a node was left out lately.
    fn times(&self, node: NodeId, now: Instant) -> u32 {
        self.past.get(&node).filter(|past| past.is_remembered(now)).map_or(0, |past| past.times)
    }

    /// A member said something. `all_ours`: all members are nodes of annulus, which obey.
    pub(super) fn heard(&mut self, from: NodeId, complaint: Complaint, all_ours: bool, now: Instant) {
        if !self.members.contains(&from) {
            return;
        }
        match complaint {
            Complaint::Withdrawn => drop(self.complaints.remove(&from)),
            Complaint::Against { node, why, times } => {
                if node != from && self.members.contains(&node) {
                    self.complaints.insert(from, (node, why, times));
                    if all_ours {
                        self.count(node, why, now);
                    }
                }
            }
            Complaint::Out { node, rest, times } => {
                let times = times.min(DOUBLINGS + 1);
                let until = now + rest.min(OUT * (1 << DOUBLINGS));
                let longer = self.past.get(&node).is_none_or(|past| past.until < until);
                if !self.members.contains(&node) && longer && self.past.len() < MAX_NODES {
                    self.past.insert(node, Past { times, until });
                    self.acts.push(Act::Ignore { node, time: until.since(now) });
                }
            }
        }
    }

    /// All members have shown that they are nodes of annulus; some may have complained before that.
    pub(super) fn all_are_ours(&mut self, now: Instant) {
        let about: Vec<(NodeId, Why)> =
            self.complaints.values().map(|(node, why, _)| (*node, *why)).collect();
        about.into_iter().for_each(|(node, why)| self.count(node, why, now));
    }

    fn count(&mut self, node: NodeId, why: Why, now: Instant) {
        let of = self.members.len() - 1;
        let against = self.complaints.values().filter(|(about, ..)| *about == node);
        let (complaints, times) = against
            .fold((0, self.times(node, now)), |(count, most), (.., times)| (count + 1, most.max(*times)));
        if of < 2 || complaints * 2 <= of {
            return;
        }
        let times = times.min(DOUBLINGS);
        let time = OUT * (1 << times);
        self.past.insert(node, Past { times: times + 1, until: now + time });
        self.complaints.clear();
        self.returns.remove(&node);
        (self.finding, self.said) = (None, None);
        self.acts.push(Act::LeaveOut { node, why, time, complaints, of });
    }

    /// The actions that are due.
    pub(super) fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::timeouts::Given;
    use crate::ids::{RingId, node};
    use crate::view::ViewKind;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(1_000_000 * seconds)
    }

    fn view(members: &[u32], joined: &[u32]) -> View {
        let nodes = |ids: &[u32]| ids.iter().map(|id| node(*id)).collect();
        let (kind, ring) = (ViewKind::Regular, RingId { rep: node(1), seq: 8 });
        View { kind, ring, members: nodes(members), joined: nodes(joined), left: Vec::new() }
    }

    /// Node 1 on a ring of nodes 1 to `count`.
    fn on_a_ring_of(count: u32) -> LeavingOut {
        let mut vote = LeavingOut::new(node(1));
        vote.limit(&Timeouts::derive(&Given::default(), 3));
        let all: Vec<u32> = (1..=count).collect();
        vote.view(&view(&all, &all), at(0));
        vote.acts();
        vote
    }

    /// From second `from` to second `to`, frames on the way into node 3 are lost.
    fn losing(vote: &mut LeavingOut, from: u64, to: u64, percent: u32) -> Vec<Act> {
        for second in from..=to {
            if second % 5 == 0 {
                vote.judged(Judgement::Against(node(3), percent), at(second));
            }
            vote.look(at(second), |_| true);
        }
        vote.acts()
    }

    fn against(times: u32) -> Complaint {
        Complaint::Against { node: node(3), why: Why::Loss(30), times }
    }

    fn left_out(acts: &[Act]) -> Option<(NodeId, Duration)> {
        acts.iter().find_map(|act| match act {
            Act::LeaveOut { node, time, .. } => Some((*node, *time)),
            _ => None,
        })
    }

    #[test]
    fn a_member_that_loses_datagrams_for_the_patience_is_complained_of_once() {
        let mut vote = on_a_ring_of(3);
        assert_eq!(losing(&mut vote, 5, 64, 30), []);
        assert_eq!(losing(&mut vote, 65, 200, 30), [Act::Say(against(0))]);
        vote.judged(Judgement::Fair, at(201));
        vote.look(at(202), |_| true);
        assert_eq!(vote.acts(), [Act::Say(Complaint::Withdrawn)]);
    }

    #[test]
    fn less_loss_a_pause_of_it_and_a_needed_member_are_borne() {
        let mut vote = on_a_ring_of(3);
        assert_eq!(losing(&mut vote, 5, 200, 19), [], "less than the limit");
        losing(&mut vote, 205, 240, 30);
        vote.judged(Judgement::Fair, at(241));
        assert_eq!(losing(&mut vote, 245, 300, 30), [], "it begins anew");
        assert_eq!(losing(&mut vote, 340, 399, 30), [], "40 s without a judgement");
        vote.judged(Judgement::Against(node(3), 30), at(400));
        vote.look(at(401), |_| false);
        assert_eq!(vote.acts(), [], "the others would not have a majority");
        vote.judged(Judgement::Against(node(1), 90), at(402));
        vote.judged(Judgement::Against(node(1), 90), at(470));
        vote.look(at(471), |_| true);
        assert_eq!(vote.acts(), [], "a node does not complain of itself");
    }

    #[test]
    fn more_than_half_of_the_others_leave_a_member_out() {
        let mut vote = on_a_ring_of(5);
        vote.heard(node(1), against(0), true, at(70));
        vote.heard(node(3), against(0), true, at(70));
        vote.heard(node(9), against(0), true, at(70));
        vote.heard(node(2), against(0), true, at(71));
        assert_eq!(vote.acts(), [], "two of the other four");
        vote.heard(node(2), Complaint::Withdrawn, true, at(72));
        vote.heard(node(4), against(0), true, at(73));
        assert_eq!(vote.acts(), [], "still two");
        vote.heard(node(5), against(0), false, at(74));
        assert_eq!(vote.acts(), [], "not all members would obey");
        vote.all_are_ours(at(75));
        let time = OUT;
        assert_eq!(
            vote.acts(),
            [Act::LeaveOut { node: node(3), why: Why::Loss(30), time, complaints: 3, of: 4 }]
        );
    }

    #[test]
    fn one_of_two_members_is_never_left_out() {
        let mut vote = on_a_ring_of(2);
        let complaint = Complaint::Against { node: node(2), why: Why::Loss(90), times: 0 };
        vote.heard(node(1), complaint, true, at(70));
        assert_eq!(vote.acts(), []);
    }

    #[test]
    fn each_time_a_member_is_left_out_for_twice_as_long_until_it_was_good_for_an_hour() {
        let mut vote = on_a_ring_of(3);
        let mut now = 100;
        let mut out = |vote: &mut LeavingOut, after: u64, told: u32| {
            now += after;
            vote.heard(node(1), against(told), true, at(now));
            vote.heard(node(2), against(0), true, at(now));
            let (_, time) = left_out(&vote.acts()).expect("it is left out");
            now += time.as_secs();
            time
        };
        for times in 0..=DOUBLINGS {
            assert_eq!(out(&mut vote, 3599, 0), OUT * (1 << times));
        }
        assert_eq!(out(&mut vote, 3599, 0), OUT * (1 << DOUBLINGS), "the longest time");
        assert_eq!(out(&mut vote, 3601, 0), OUT, "forgotten");
        assert_eq!(out(&mut vote, 3601, 2), OUT * 4, "another member remembers more");
    }

    #[test]
    fn a_member_that_comes_and_goes_is_complained_of_and_several_are_not() {
        let mut vote = on_a_ring_of(4);
        let comes_and_goes = |vote: &mut LeavingOut, id: u32, times: u64, from: u64| {
            for turn in 0..times {
                vote.returned(node(id), at(from + 20 * turn));
                vote.look(at(from + 20 * turn), |_| true);
            }
            vote.acts()
        };
        assert_eq!(comes_and_goes(&mut vote, 3, 4, 0), []);
        let complaint = Complaint::Against { node: node(3), why: Why::Flapping(5), times: 0 };
        assert_eq!(comes_and_goes(&mut vote, 3, 1, 300), [Act::Say(complaint)]);
        let mut vote = on_a_ring_of(4);
        comes_and_goes(&mut vote, 2, 1, 0);
        assert_eq!(comes_and_goes(&mut vote, 3, 5, 1), [], "this node may be the one");
    }

    #[test]
    fn new_members_are_told_who_is_left_out_and_ignore_it() {
        let mut vote = on_a_ring_of(3);
        vote.heard(node(1), against(0), true, at(70));
        vote.heard(node(2), against(0), true, at(70));
        assert_eq!(left_out(&vote.acts()), Some((node(3), OUT)));
        vote.view(&view(&[1, 2], &[]), at(71));
        assert_eq!(vote.acts(), []);
        vote.view(&view(&[1, 2, 4], &[4]), at(80));
        let told = Complaint::Out { node: node(3), rest: SECOND * 50, times: 1 };
        assert_eq!(vote.acts(), [Act::Say(told)]);
        let mut new = on_a_ring_of(2);
        new.heard(node(2), told, true, at(80));
        assert_eq!(new.acts(), [Act::Ignore { node: node(3), time: SECOND * 50 }]);
        new.heard(node(2), told, true, at(80));
        let mine = Complaint::Out { node: node(2), rest: SECOND, times: 1 };
        new.heard(node(1), mine, true, at(80));
        assert_eq!(new.acts(), [], "told already; a member is not left out");
    }
}
