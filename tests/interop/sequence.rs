//! What the clients were delivered, as their logs tell it, and what must hold between the logs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A process in the cluster: node id, process id.
pub(crate) type Process = (u32, u32);

/// One delivered event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A message: sender, its number when it is long enough to say it, bytes, checksum of all bytes.
    Message { from: Process, number: Option<u64>, len: usize, crc: String },
    /// The group's members after a change, and the log's text of who left and joined, with reasons.
    View { members: Vec<Process>, change: String },
    /// The ring: id and nodes.
    Ring { id: String, nodes: Vec<u32> },
}

/// The log of one client.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    /// Whose.
    pub(crate) name: String,
    /// In the order of delivery.
    pub(crate) events: Vec<Event>,
    /// How it ended, when not as asked.
    pub(crate) end: Option<String>,
}

fn process(word: &str) -> Process {
    let (node, pid) = word.split_once('/').expect("node/pid");
    (node.parse().expect("node"), pid.parse().expect("pid"))
}

impl Sequence {
    /// Reads a log. Fails on any message that arrived changed.
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut events = Vec::new();
        let mut end = None;
        for line in text.lines() {
            match line.split_at(1) {
                ("m", rest) => {
                    let words: Vec<&str> = rest.split_whitespace().collect();
                    assert_eq!(words.len(), 5, "{}: {line:?}", path.display());
                    events.push(Event::Message {
                        from: (words[0].parse().expect("node"), words[1].parse().expect("pid")),
                        number: words[2].parse().ok(),
                        len: words[3].parse().expect("length"),
                        crc: words[4].to_owned(),
                    });
                }
                ("v", rest) => {
                    let (members, change) = rest.split_once(';').expect("members;change");
                    let members = members.split_whitespace().map(process).collect();
                    events.push(Event::View { members, change: change.to_owned() });
                }
                ("r", rest) => {
                    let mut words = rest.split_whitespace();
                    let id = words.next().expect("ring id").to_owned();
                    events.push(Event::Ring { id, nodes: words.map(|w| w.parse().expect("node")).collect() });
                }
                ("x", why) => panic!("{}:{why}", path.display()),
                ("e", why) => end = Some(why.trim().to_owned()),
                _ => panic!("{}: {line:?}", path.display()),
            }
        }
        Self { name: path.display().to_string(), events, end }
    }

    /// What follows the first view with exactly `count` members, that view included.
    pub(crate) fn since_view_of(&self, count: usize) -> &[Event] {
        let start = self
            .events
            .iter()
            .position(|event| matches!(event, Event::View { members, .. } if members.len() == count))
            .unwrap_or_else(|| panic!("{}: no view of {count} members", self.name));
        &self.events[start..]
    }

    /// All senders.
    pub(crate) fn senders(&self) -> BTreeSet<Process> {
        self.messages().map(|(from, _, _, _)| from).collect()
    }

    /// All messages.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (Process, Option<u64>, usize, &str)> {
        self.events.iter().filter_map(|event| match event {
            Event::Message { from, number, len, crc } => Some((*from, *number, *len, crc.as_str())),
            _ => None,
        })
    }

    /// Checks that what came of each sender is its messages 0, 1, 2 … without loss, double or swap; gives how many.
    ///
    /// A message too short to say its number is known by its place: were it lost or doubled, the next one that does
    /// say its number would be at a wrong place.
    pub(crate) fn check_fifo(&self) -> BTreeMap<Process, u64> {
        let mut next: BTreeMap<Process, u64> = BTreeMap::new();
        for (from, number, len, _) in self.messages() {
            let expected = next.entry(from).or_default();
            if let Some(number) = number {
                assert_eq!(number, *expected, "{}: from {from:?} ({len} bytes)", self.name);
            }
            *expected += 1;
        }
        next
    }
}

/// Checks that two sequences are the same, and says where they part when they are not.
///
/// Both start with a view; of that only the members must agree. Whose coming it was is seen differently where rings have
/// merged: on each side the others came.
pub(crate) fn assert_same(left: (&str, &[Event]), right: (&str, &[Event])) {
    for (index, (a, b)) in left.1.iter().zip(right.1).enumerate() {
        if let (0, Event::View { members: a, .. }, Event::View { members: b, .. }) = (index, a, b) {
            assert_eq!(a, b, "the views that {} and {} start with", left.0, right.0);
            continue;
        }
        assert_eq!(a, b, "event {index} differs between {} and {}", left.0, right.0);
    }
    assert_eq!(left.1.len(), right.1.len(), "one of {} and {} is longer", left.0, right.0);
}

/// The events of each ring a client lived through, by ring id. What came before its first ring event is under "".
pub(crate) fn by_ring(events: &[Event]) -> Vec<(String, Vec<Event>)> {
    let mut rings = vec![(String::new(), Vec::new())];
    for event in events {
        if let Event::Ring { id, .. } = event {
            rings.push((id.clone(), Vec::new()));
        } else {
            rings.last_mut().expect("never empty").1.push(event.clone());
        }
    }
    rings
}
