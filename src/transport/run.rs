//! Consecutive datagrams to one address that are sent as one message, which the kernel cuts (UDP generic segmentation
//! offload): it goes through the network stack once instead of once for each datagram.

use std::ops::Range;

use super::sys::SEGMENTS;

/// Largest message in bytes: what UDP over IPv4 carries.
const MESSAGE: usize = 65507;

/// Whether several datagrams go through the kernel as one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offload {
    /// The kernel cuts a message into datagrams when sending (UDP generic segmentation offload), or nothing has shown
    /// yet that it cannot.
    pub sending: bool,
    /// The kernel combines received datagrams into a message (UDP generic receive offload).
    pub receiving: bool,
}

/// Datagrams, by their positions, that go out as one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) first: usize,
    pub(super) count: usize,
    /// The length of each datagram but the last; `None` if there is only one.
    pub(super) segment: Option<u16>,
}

impl Run {
    /// A single datagram.
    pub(super) const fn one(first: usize) -> Self {
        Self { first, count: 1, segment: None }
    }

    /// Divides the datagrams at `range`, whose lengths `length` tells, into messages: consecutive ones of equal length,
    /// and optionally a shorter one at the end.
    pub(super) fn divide(range: Range<usize>, length: impl Fn(usize) -> usize) -> impl Iterator<Item = Self> {
        let mut first = range.start;
        std::iter::from_fn(move || {
            if first >= range.end {
                return None;
            }
            let run = Self::beginning(first..range.end, &length);
            first += run.count;
            Some(run)
        })
    }

    /// The longest message that begins with the first datagram of `range`.
    fn beginning(range: Range<usize>, length: impl Fn(usize) -> usize) -> Self {
        let first = range.start;
        let each = length(first);
        let Ok(segment) = u16::try_from(each) else { return Self::one(first) };
        let most = SEGMENTS.min(MESSAGE / each.max(1)).max(1);
        let mut count = 1;
        for next in range.skip(1).take(most - 1).map(length) {
            if next > each || next == 0 {
                break;
            }
            count += 1;
            if next < each {
                break;
            }
        }
        Self { first, count, segment: (count > 1).then_some(segment) }
    }

    /// The positions of its datagrams.
    pub(super) const fn positions(self) -> Range<usize> {
        self.first..self.first + self.count
    }

    /// Each datagram as a message of its own.
    pub(super) fn split(self) -> impl Iterator<Item = Self> {
        self.positions().map(Self::one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn divide(lengths: &[usize]) -> Vec<(usize, usize, Option<u16>)> {
        let runs = Run::divide(0..lengths.len(), |position| lengths[position]);
        runs.map(|run| (run.first, run.count, run.segment)).collect()
    }

    #[test]
    fn datagrams_of_equal_length_and_a_shorter_last_one_form_one_message() {
        assert_eq!(divide(&[]), []);
        assert_eq!(divide(&[80]), [(0, 1, None)]);
        assert_eq!(divide(&[1472, 1472, 272]), [(0, 3, Some(1472))]);
        assert_eq!(divide(&[272, 1472, 1472]), [(0, 1, None), (1, 2, Some(1472))]);
        assert_eq!(divide(&[1472, 272, 272]), [(0, 2, Some(1472)), (2, 1, None)]);
        assert_eq!(divide(&[65507, 65507]), [(0, 1, None), (1, 1, None)]);
        assert_eq!(divide(&[100; 130]), [(0, 64, Some(100)), (64, 64, Some(100)), (128, 2, Some(100))]);
        assert_eq!(divide(&[1472; 47]), [(0, 44, Some(1472)), (44, 3, Some(1472))]);
    }
}
