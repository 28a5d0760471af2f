//! The agreement of all members on a token time-out that follows from what they measured: a pure state machine.
//!
//! Each member watches how long it waited for the token at worst, and says which time-out it needs. The messages have
//! the same place in the order of messages at all members, so all use the largest of the needs from the same message
//! on, within the limits of their configurations. As long as a member has said nothing on a ring with a new member,
//! which nodes of Corosync never do, the configured time-out holds.
//!
//! A need is a multiple of the worst time of the last minutes, so that a time-out rises with the first slow rotation
//! and falls only after a calm time. The fewer visits there were, the less is known of the worst, and the larger is the
//! multiple. A need is one of few values, so that small changes are not announced.
//!
//! A wait that is longer than the time-out ends the ring and is not measured. It shows in what follows: the same members
//! form a ring again, or one that was lost is soon back and ran all the while. Such a false alarm is a lesson: for hours
//! the node needs a multiple of the time-out that was too short, and the longer the sooner the next one follows.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::timeouts::Timeouts;
use crate::ids::NodeId;
use crate::time::Instant;
use crate::totem::Waits;
use crate::view::View;

/// How often the waits are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The time-out is this multiple of the worst time, after so many visits.
const MARGINS: [(u32, u32); 3] = [(500, 4), (100, 8), (1, 16)];
/// A member that ran and is back after the configured time-out and this time, or sooner, was not dead.
const FORMED: Duration = Duration::from_secs(1);
/// Minutes for which the worst time counts.
const MINUTES: usize = 10;
/// The time-out that was too short is multiplied by this.
const LESSON: u32 = 4;
/// For how long that is remembered at first; the time doubles with each further lesson that comes before it has passed.
const REMEMBERED: Duration = Duration::from_secs(3600);
const DOUBLINGS: u32 = 5;

/// An action for the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Tell all members that this node needs this time-out.
    Say(Duration),
    /// Use this time-out, or the configured one.
    Use(Option<Duration>),
    /// This member was lost and is back, and ran all the while.
    Returned(NodeId),
}

/// The limits of a node's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    floor: Duration,
    ceiling: Duration,
}

impl Limits {
    /// The least of the values that a need can have which is not below `wanted`.
    fn level(self, wanted: Duration) -> Duration {
        let wanted = wanted.min(self.ceiling);
        let mut level = self.floor;
        while level < wanted {
            level = level * 5 / 4 + Duration::from_millis(1);
        }
        Duration::from_millis(level.min(self.ceiling).as_millis() as u64)
    }
}

/// The waits for the token in each of the last minutes.
#[derive(Clone, Copy, Debug, Default)]
struct Past {
    minutes: [Waits; MINUTES],
    /// The minute that is running.
    minute: u64,
}

impl Past {
    fn note(&mut self, now: Instant, waits: Waits) {
        const MINUTE: u64 = 60_000_000;
        let minute = now.as_micros() / MINUTE;
        for past in self.minute + 1..=minute.min(self.minute + MINUTES as u64) {
            self.minutes[past as usize % MINUTES] = Waits::default();
        }
        self.minute = minute;
        let running = &mut self.minutes[minute as usize % MINUTES];
        *running = running.and(waits);
    }

    /// The time-out that suits them; `None` if there were none.
    fn need(&self) -> Option<Duration> {
        let Waits { count, worst } = self.minutes.into_iter().fold(Waits::default(), Waits::and);
        let (_, margin) = MARGINS.into_iter().find(|(least, _)| count >= *least)?;
        Some(worst * margin)
    }
}

/// What false alarms have taught.
#[derive(Clone, Copy, Debug, Default)]
struct Lessons {
    /// The time-out that is needed at least.
    need: Duration,
    until: Instant,
    /// The number of lessons after the first.
    further: u32,
}

impl Lessons {
    /// A time-out was too short.
    fn learn(&mut self, now: Instant, short: Duration) {
        self.further = if now < self.until { (self.further + 1).min(DOUBLINGS) } else { 0 };
        self.need = self.at(now).max(short * LESSON);
        self.until = now + REMEMBERED * (1 << self.further);
    }

    /// The time-out that is needed at least.
    fn at(&self, now: Instant) -> Duration {
        if now < self.until { self.need } else { Duration::ZERO }
    }
}

/// The state of the agreement at this node.
#[derive(Debug, Default)]
pub(super) struct Detection {
    /// `None`: this node uses the configured time-out, and says nothing.
    limits: Option<Limits>,
    members: Vec<NodeId>,
    /// The nodes that were lost lately, since when, and the time-out by which.
    lost: BTreeMap<NodeId, (Instant, Duration)>,
    /// Those of them that are back, and of which is not known yet whether they ran meanwhile.
    back: BTreeMap<NodeId, (Instant, Duration)>,
    /// How often the token was lost until the last ring was installed.
    tokens_lost: u64,
    /// The time-out that is agreed on.
    used: Option<Duration>,
    /// What was measured before the floor was configured is not looked at.
    fresh: bool,
    /// What the members said that they need.
    needs: BTreeMap<NodeId, Duration>,
    past: Past,
    lessons: Lessons,
    /// Whether the present ring has taught one.
    learned: bool,
    /// What this node said on this ring.
    said: Option<Duration>,
    /// When to look at the waits.
    look_at: Option<Instant>,
    acts: Vec<Act>,
}

impl Detection {
    /// The configuration says which time-outs may be used.
    pub(super) fn limit(&mut self, timeouts: &Timeouts) {
        let ceiling = timeouts.token;
        let limits = timeouts.token_floor.map(|floor| Limits { floor: floor.min(ceiling), ceiling });
        if self.limits == limits {
            return;
        }
        self.fresh = self.limits.is_none() && !self.members.is_empty();
        self.limits = limits;
        self.said = None;
        if !self.members.is_empty() {
            // At once: the others must not use less than this node does.
            self.look_at = Some(Instant::ZERO);
            if limits.is_none() {
                self.acts.push(Act::Say(ceiling));
            }
        }
        self.decide();
    }

    /// A ring was installed; the token was lost this often so far.
    pub(super) fn view(&mut self, view: &View, tokens_lost: u64, now: Instant) {
        // The regular view of a smaller ring names nobody as having left: its transitional view has done that.
        let gone: Vec<NodeId> =
            self.members.iter().copied().filter(|node| !view.members.contains(node)).collect();
        let token_lost = std::mem::replace(&mut self.tokens_lost, tokens_lost) < tokens_lost;
        self.learned = false;
        let smaller = view.joined.is_empty() && !gone.is_empty();
        if let Some(used) = self.used.take() {
            if token_lost && gone.is_empty() && view.joined.is_empty() {
                self.learn(now, used);
            }
            self.lost.extend(gone.into_iter().map(|node| (node, (now, used))));
        }
        let patience = self.limits.map_or(Duration::ZERO, |limits| limits.ceiling + FORMED);
        self.lost.retain(|_, (since, _)| now.since(*since) <= patience);
        self.back.retain(|node, _| view.members.contains(node));
        for node in &view.joined {
            self.back.extend(self.lost.remove_entry(node));
        }
        self.members.clone_from(&view.members);
        if smaller {
            self.needs.retain(|node, _| view.members.contains(node));
        } else {
            // All say their needs to the new members, or because the time-out may have been too short.
            self.needs.clear();
        }
        self.said = None;
        if self.limits.is_some() {
            self.look_at = Some(now);
        }
        // The ring uses the configured time-outs while it is formed with new members.
        self.decide();
    }

    /// A member said what it needs, and for how long its process runs.
    pub(super) fn heard(&mut self, from: NodeId, need: Duration, runs: Duration, now: Instant) {
        if !self.members.contains(&from) {
            return;
        }
        self.needs.insert(from, need);
        if let Some((since, used)) = self.back.remove(&from)
            && runs > now.since(since)
        {
            self.learn(now, used);
            self.look_at = self.look_at.map(|_| now);
            self.acts.push(Act::Returned(from));
        }
        self.decide();
    }

    /// A time-out was too short. What happens on one ring is one lesson.
    fn learn(&mut self, now: Instant, short: Duration) {
        if !std::mem::replace(&mut self.learned, true) {
            self.lessons.learn(now, short);
        }
    }

    /// This node said what it needs. If it did not, somebody else spoke for it: it says it again.
    pub(super) fn heard_own(&mut self, need: Duration, now: Instant) {
        if self.said != Some(need) {
            self.said = None;
            self.look_at = self.look_at.map(|_| now);
        }
    }

    /// When to call [`Detection::look`].
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.look_at
    }

    /// Since the last call this node waited like this.
    pub(super) fn look(&mut self, now: Instant, waits: Waits) {
        let Some(limits) = self.limits else {
            self.look_at = None;
            return;
        };
        self.look_at = Some(now + LOOK);
        let waits = if std::mem::take(&mut self.fresh) { Waits::default() } else { waits };
        self.past.note(now, waits);
        let learned = self.lessons.at(now);
        let need = self.past.need().map_or(limits.ceiling, |need| limits.level(need.max(learned)));
        if self.said != Some(need) {
            self.said = Some(need);
            self.acts.push(Act::Say(need));
        }
    }

    /// The actions that are due.
    pub(super) fn acts(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.acts)
    }

    /// Whether all members have said what they need: they are nodes of annulus.
    pub(super) const fn is_agreed(&self) -> bool {
        self.used.is_some()
    }

    fn decide(&mut self) {
        let all = self.limits.filter(|_| self.members.iter().all(|node| self.needs.contains_key(node)));
        let most = self.needs.values().copied().max().filter(|_| !self.members.is_empty());
        let agreed = all.zip(most).map(|(limits, most)| most.clamp(limits.floor, limits.ceiling));
        self.used = agreed;
        self.acts.push(Act::Use(agreed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::timeouts::Given;
    use crate::ids::{RingId, node};
    use crate::view::ViewKind;

    const FLOOR: Duration = Duration::from_millis(300);
    const RUNS: Duration = Duration::from_secs(60);

    fn timeouts(token_floor: Option<u32>) -> Timeouts {
        Timeouts::derive(&Given { token_floor, ..Given::default() }, 3)
    }

    /// The regular view of a ring; who has left is in the transitional view before it.
    fn view(members: &[u32], joined: &[u32]) -> View {
        let nodes = |ids: &[u32]| ids.iter().map(|id| node(*id)).collect();
        let (kind, ring) = (ViewKind::Regular, RingId { rep: node(1), seq: 8 });
        View { kind, ring, members: nodes(members), joined: nodes(joined), left: Vec::new() }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(1_000_000 * seconds)
    }

    /// A second in which this node waited a thousand times, and this long at worst.
    fn waits(worst: Duration) -> Waits {
        Waits { count: 1000, worst }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Node 1 on a ring of three, of which all need the floor.
    fn agreed() -> Detection {
        let mut detection = Detection::default();
        detection.limit(&timeouts(Some(300)));
        detection.view(&view(&[1, 2, 3], &[1, 2, 3]), 0, at(1));
        detection.look(at(1), waits(ms(1)));
        (1..=3).for_each(|id| detection.heard(node(id), FLOOR, RUNS, at(1)));
        assert_eq!(detection.acts().last(), Some(&Act::Use(Some(FLOOR))));
        detection
    }

    #[test]
    fn the_configured_time_out_holds_until_every_member_has_said_what_it_needs() {
        let mut detection = Detection::default();
        detection.limit(&timeouts(Some(300)));
        detection.view(&view(&[1, 2, 3], &[1, 2, 3]), 0, at(1));
        assert_eq!(detection.deadline(), Some(at(1)));
        detection.look(at(1), waits(ms(1)));
        assert!(detection.acts().contains(&Act::Say(FLOOR)));
        for id in [1, 2] {
            detection.heard(node(id), FLOOR, RUNS, at(1));
            assert_eq!(detection.acts(), [Act::Use(None)]);
        }
        detection.heard(node(4), FLOOR, RUNS, at(1));
        assert_eq!(detection.acts(), [], "no member");
        detection.heard(node(3), ms(700), RUNS, at(1));
        assert_eq!(detection.acts(), [Act::Use(Some(ms(700)))], "the largest need");
    }

    #[test]
    fn a_node_without_a_floor_says_and_changes_nothing() {
        let mut detection = Detection::default();
        detection.limit(&timeouts(Some(0)));
        detection.view(&view(&[1, 2], &[1, 2]), 0, at(1));
        assert_eq!(detection.deadline(), None);
        (1..=2).for_each(|id| detection.heard(node(id), FLOOR, RUNS, at(1)));
        assert!(detection.acts().iter().all(|act| *act == Act::Use(None)));
    }

    #[test]
    fn a_slow_rotation_raises_the_need_at_once_and_ten_calm_minutes_lower_it() {
        let mut detection = agreed();
        detection.look(at(60), waits(ms(70)));
        assert_eq!(detection.acts(), [], "a quarter of the time-out is no reason");
        detection.look(at(61), waits(ms(200)));
        let [Act::Say(need)] = detection.acts()[..] else { panic!("one need is said") };
        assert!((ms(800)..ms(1000)).contains(&need), "{need:?}");
        for second in 62..660 {
            detection.look(at(second), waits(ms(1)));
            assert_eq!(detection.acts(), [], "{second}");
        }
        detection.look(at(660), waits(ms(1)));
        assert_eq!(detection.acts(), [Act::Say(FLOOR)]);
    }

    #[test]
    fn fewer_visits_need_a_larger_margin() {
        let mut detection = Detection::default();
        detection.limit(&timeouts(Some(300)));
        detection.view(&view(&[1], &[1]), 0, at(1));
        detection.acts();
        let mut said = |second, count| {
            detection.look(at(second), Waits { count, worst: ms(50) });
            detection.acts()
        };
        assert_eq!(said(1, 0), [Act::Say(ms(3650))], "nothing is known");
        let [Act::Say(few)] = said(2, 10)[..] else { panic!("a need is said") };
        let [Act::Say(more)] = said(3, 100)[..] else { panic!("a need is said") };
        let [Act::Say(many)] = said(4, 500)[..] else { panic!("a need is said") };
        assert!((ms(800)..ms(1000)).contains(&few), "{few:?}");
        assert!((ms(400)..ms(500)).contains(&more), "{more:?}");
        assert_eq!(many, FLOOR);
    }

    #[test]
    fn no_need_is_beyond_the_configured_time_out() {
        let mut detection = agreed();
        detection.look(at(2), waits(ms(60_000)));
        assert_eq!(detection.acts(), [Act::Say(ms(3650))]);
        detection.heard(node(2), ms(u32::MAX.into()), RUNS, at(1));
        assert_eq!(detection.acts(), [Act::Use(Some(ms(3650)))]);
        detection.heard(node(2), ms(0), RUNS, at(1));
        assert_eq!(detection.acts(), [Act::Use(Some(FLOOR))]);
    }

    #[test]
    fn members_that_stay_keep_their_agreement_and_a_new_one_ends_it() {
        let mut detection = agreed();
        detection.view(&view(&[1, 3], &[]), 0, at(5));
        assert_eq!(detection.acts(), [Act::Use(Some(FLOOR))]);
        detection.view(&view(&[1, 2, 3], &[2]), 0, at(20));
        assert_eq!(detection.acts(), [Act::Use(None)]);
        detection.look(at(20), waits(ms(1)));
        assert_eq!(detection.acts(), [Act::Say(FLOOR)], "the new member must hear it");
        for id in [1, 3] {
            detection.heard(node(id), FLOOR, RUNS, at(1));
            assert_eq!(detection.acts(), [Act::Use(None)], "all say their needs again");
        }
    }

    /// What this node says that it needs after a calm second.
    fn need(detection: &mut Detection, now: Instant) -> Duration {
        detection.acts();
        detection.said = None;
        detection.look(now, waits(ms(1)));
        let [Act::Say(need)] = detection.acts()[..] else { panic!("a need is said") };
        need
    }

    #[test]
    fn a_token_lost_for_nothing_is_a_lesson_for_an_hour_and_the_next_one_for_longer() {
        const HOUR: u64 = 3600;
        let mut detection = agreed();
        let lost = |detection: &mut Detection, tokens_lost, second| {
            detection.view(&view(&[1, 2, 3], &[]), tokens_lost, at(second));
            let need = need(detection, at(second));
            (1..=3).for_each(|id| detection.heard(node(id), FLOOR, RUNS, at(second)));
            need
        };
        assert_eq!(lost(&mut detection, 0, 5), FLOOR, "the ring was not formed because of the token");
        let learned = lost(&mut detection, 1, 10);
        assert!((FLOOR * 4..FLOOR * 6).contains(&learned), "{learned:?}");
        assert_eq!(need(&mut detection, at(10 + HOUR)), FLOOR);
        assert_eq!(lost(&mut detection, 2, 20 + HOUR), learned);
        assert_eq!(lost(&mut detection, 3, 30 + HOUR), learned);
        assert_eq!(need(&mut detection, at(29 + 3 * HOUR)), learned, "twice as long");
        assert_eq!(need(&mut detection, at(30 + 3 * HOUR)), FLOOR);
    }

    #[test]
    fn a_lost_member_that_ran_and_is_soon_back_is_a_lesson_and_one_that_started_anew_is_none() {
        for (back_at, runs, lesson) in [(7, 600, true), (7, 1, false), (12, 600, false)] {
            let mut detection = agreed();
            detection.view(&view(&[1, 3], &[]), 1, at(5));
            detection.view(&view(&[1, 2, 3], &[2]), 1, at(back_at));
            detection.heard(node(2), FLOOR, Duration::from_secs(runs), at(back_at));
            assert_eq!(need(&mut detection, at(back_at)) > FLOOR, lesson, "{back_at}, {runs}");
        }
    }

    #[test]
    fn changed_limits_are_said_at_once() {
        let mut detection = agreed();
        detection.limit(&timeouts(Some(2000)));
        assert_eq!(detection.acts(), [Act::Use(Some(ms(2000)))]);
        assert!(detection.deadline().is_some_and(|due| due <= at(2)));
        detection.look(at(2), waits(ms(1)));
        assert_eq!(detection.acts(), [Act::Say(ms(2000))]);

        detection.limit(&timeouts(Some(0)));
        assert_eq!(detection.acts(), [Act::Say(ms(3650)), Act::Use(None)], "the others must not use less");
        detection.look(at(3), waits(ms(1)));
        assert_eq!((detection.acts(), detection.deadline()), (vec![], None));

        detection.limit(&timeouts(Some(300)));
        assert!(detection.deadline().is_some());
        detection.acts();
        detection.look(at(4), waits(ms(900)));
        assert_eq!(detection.acts(), [Act::Say(FLOOR)], "what came before is not looked at");
    }

    #[test]
    fn a_floor_above_the_configured_time_out_is_no_floor() {
        let mut detection = Detection::default();
        detection.limit(&timeouts(Some(5000)));
        detection.view(&view(&[1], &[1]), 0, at(1));
        detection.heard(node(1), ms(1), RUNS, at(1));
        assert_eq!(detection.acts().last(), Some(&Act::Use(Some(ms(3650)))));
    }
}
