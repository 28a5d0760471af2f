//! Which of two equal halves stays quorate.
//!
//! Source: `votequorum(5)`, `auto_tie_breaker`, `auto_tie_breaker_node`.

use super::nodes::NODES_MAX;
use crate::ids::NodeId;

/// The rule that decides between two equal halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TieBreaker {
    /// The half that contains the lowest node of the cluster when it was last quorate.
    Lowest,
    /// The half that contains the highest node of the cluster when it was last quorate.
    Highest,
    /// The half that contains the first node of this list that was present when the cluster was last quorate. If it
    /// never was, as far as this node knows, only the first node of the list counts, because only one half can
    /// contain it.
    List(Vec<NodeId>),
}

/// The facts by which a tie is broken.
#[derive(Clone, Copy, Debug)]
pub struct Halves<'a> {
    /// The present members, ascending.
    pub members: &'a [NodeId],
    /// The members when the cluster was last quorate by its votes, ascending; empty if it never was.
    pub before: &'a [NodeId],
}

impl TieBreaker {
    /// Reads `quorum.auto_tie_breaker_node`: `lowest`, `highest`, or node ids separated by spaces. A list ends at the
    /// first word that is not an id; ids after the 384th are ignored. `None`: the text is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "lowest" => Some(Self::Lowest),
            "highest" => Some(Self::Highest),
            _ => {
                let id = |word: &str| NodeId::new(word.parse().ok()?);
                let ids: Vec<NodeId> = text.split_ascii_whitespace().map_while(id).take(NODES_MAX).collect();
                (!ids.is_empty()).then_some(Self::List(ids))
            }
        }
    }

    /// The number for the configuration database; 0 means no tie breaker.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Lowest => 1,
            Self::Highest => 2,
            Self::List(_) => 3,
        }
    }

    /// Whether the tie is decided for this half.
    pub fn favours(&self, halves: Halves<'_>) -> bool {
        let here = |node: &NodeId| halves.members.contains(node);
        match self {
            Self::Lowest => halves.before.first().is_some_and(here),
            Self::Highest => halves.before.last().is_some_and(here),
            // If an earlier node of the list was present then, it is in the other half now.
            Self::List(ids) => match ids.iter().position(here) {
                Some(first) if halves.before.is_empty() => first == 0,
                Some(first) => !ids[..first].iter().any(|node| halves.before.contains(node)),
                None => false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::nodes as ids;

    #[test]
    fn names_and_lists_are_read() {
        let list = |nodes: &[u32]| Some(TieBreaker::List(ids(nodes)));
        let cases = [
            ("lowest", Some(TieBreaker::Lowest)),
            ("highest", Some(TieBreaker::Highest)),
            ("3", list(&[3])),
            ("1 3 5", list(&[1, 3, 5])),
            (" 1  3 ", list(&[1, 3])),
            ("1 x 5", list(&[1])),
            ("2 0 5", list(&[2])),
            ("0", None),
            ("", None),
            ("Lowest", None),
            ("4294967296", None),
        ];
        for (text, expected) in cases {
            assert_eq!(TieBreaker::parse(text), expected, "{text:?}");
        }
        let long = "7 ".repeat(10_000);
        assert_eq!(TieBreaker::parse(&long), list(&[7; NODES_MAX]));
    }

    /// votequorum(5): the half that stays quorate when 1 2 3 4 are cut into halves.
    #[test]
    fn one_half_and_never_both_is_favoured() {
        let all = ids(&[1, 2, 3, 4]);
        let cases: [(TieBreaker, &[u32], &[u32]); 5] = [
            (TieBreaker::Lowest, &[1, 4], &[2, 3]),
            (TieBreaker::Highest, &[1, 4], &[2, 3]),
            (TieBreaker::List(ids(&[3, 1])), &[2, 3], &[1, 4]),
            (TieBreaker::List(ids(&[9, 4])), &[3, 4], &[1, 2]),
            (TieBreaker::List(ids(&[2])), &[2, 3], &[1, 4]),
        ];
        for (breaker, winner, loser) in cases {
            for (half, expected) in [(winner, true), (loser, false)] {
                let members = ids(half);
                let halves = Halves { members: &members, before: &all };
                assert_eq!(breaker.favours(halves), expected, "{breaker:?} {half:?}");
            }
        }
    }

    /// Nodes that start apart know nothing of each other: at most one half can be favoured.
    #[test]
    fn before_the_first_quorum_only_the_first_of_a_list_counts() {
        let list = TieBreaker::List(ids(&[3, 1]));
        for (half, expected) in [(&[2, 3], true), (&[1, 4], false)] {
            let members = ids(half);
            let halves = Halves { members: &members, before: &[] };
            assert!(!TieBreaker::Lowest.favours(halves) && !TieBreaker::Highest.favours(halves));
            assert_eq!(list.favours(halves), expected, "{half:?}");
        }
    }
}
