//! The order in which the messages of a unicast ring leave, one to each node.
//!
//! In a ring of some size the next node gets its frames and then the token; the other nodes get the frames after that. So
//! the token does not wait until the same frames have been sent to everybody, and it overtakes no frame on the way to the
//! node that takes it. The others need the frames only when the token reaches them, a hop later or more.
//!
//! Source: A. Babay, Y. Amir, "The Accelerated Ring Protocol", which lets the token overtake multicasts for that reason.

use super::run::Run;
use super::send::{Leg, Target};

/// Other nodes from which on the token leaves before the frames of most of them. With fewer it would wait for one or two
/// datagrams more, which is less than what the nodes that wake up at the same time cost each other.
const MANY: usize = 4;

/// Messages for all nodes that have no destinations yet.
#[derive(Debug, Default)]
pub(super) struct Fan {
    waiting: Vec<Run>,
}

impl Fan {
    /// Adds messages for all nodes.
    pub(super) fn add(&mut self, runs: impl IntoIterator<Item = Run>) {
        self.waiting.extend(runs);
    }

    /// Sends what waits to the nodes at the positions `others`, before anything that is added later.
    pub(super) fn spread(&mut self, others: impl Iterator<Item = usize> + Clone, legs: &mut Vec<Leg>) {
        for run in self.waiting.drain(..) {
            legs.extend(others.clone().map(|position| Leg { run, to: Target::Peer(position) }));
        }
    }

    /// Sends the token to the node at position `next`, after what waits for that node and, if there are many, before what
    /// waits for the others.
    pub(super) fn spread_around(
        &mut self,
        token: Run,
        next: usize,
        others: impl Iterator<Item = usize> + Clone,
        legs: &mut Vec<Leg>,
    ) {
        let to_next = |run| Leg { run, to: Target::Peer(next) };
        let many = !self.waiting.is_empty() && others.clone().nth(MANY - 1).is_some();
        // The node may have the address of another one, to which the frames go.
        if many && others.clone().any(|position| position == next) {
            legs.extend(self.waiting.iter().copied().map(to_next));
            legs.push(to_next(token));
            let after = others.clone().filter(|position| *position > next);
            self.spread(after.chain(others.filter(|position| *position < next)), legs);
        } else {
            self.spread(others, legs);
            legs.push(to_next(token));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What leaves, in order: the position of the first frame of each message, and its destination.
    fn order(act: impl FnOnce(&mut Fan, &mut Vec<Leg>)) -> Vec<(usize, usize)> {
        let (mut fan, mut legs) = (Fan::default(), Vec::new());
        fan.add([Run::one(0), Run::one(1)]);
        act(&mut fan, &mut legs);
        let to = |leg: &Leg| match leg.to {
            Target::Peer(position) => position,
            Target::Group => unreachable!("unicast"),
        };
        legs.iter().map(|leg| (leg.run.first, to(leg))).collect()
    }

    #[test]
    fn the_token_leaves_behind_the_next_nodes_frames_and_before_those_of_the_others() {
        let left = order(|fan, legs| fan.spread_around(Run::one(2), 2, [0, 1, 2, 3].into_iter(), legs));
        let others = [(0, 3), (0, 0), (0, 1), (1, 3), (1, 0), (1, 1)];
        assert_eq!(left, [&[(0, 2), (1, 2), (2, 2)][..], &others].concat());
    }

    #[test]
    fn with_few_other_nodes_the_token_leaves_last() {
        let left = order(|fan, legs| fan.spread_around(Run::one(2), 2, [1, 2].into_iter(), legs));
        assert_eq!(left, [(0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]);
    }

    #[test]
    fn without_a_token_each_frame_leaves_to_all_in_turn() {
        let left = order(|fan, legs| fan.spread([1, 3].into_iter(), legs));
        assert_eq!(left, [(0, 1), (0, 3), (1, 1), (1, 3)]);
    }

    #[test]
    fn a_token_to_an_address_that_two_nodes_have_leaves_last() {
        let left = order(|fan, legs| fan.spread_around(Run::one(2), 4, [0, 1, 2, 3].into_iter(), legs));
        let frames = (0..2).flat_map(|frame| (0..4).map(move |position| (frame, position)));
        assert_eq!(left, frames.chain([(2, 4)]).collect::<Vec<_>>());
    }
}
