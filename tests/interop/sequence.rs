//! The delivered sequences in the logs of clients, and what must hold between them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A process in the cluster: node id and process id.
pub(crate) type Process = (u32, u32);

/// One delivered event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A message: its sender, its number if it is long enough to contain one, and length and checksum of all its
    /// bytes.
    Message { from: Process, number: Option<u64>, len: usize, crc: String },
    /// The group's members after a change, and the text in the log about the processes that left and joined, with
    /// reasons.
    View { members: Vec<Process>, change: String },
    /// A new ring: its id and nodes.
    Ring { id: String, nodes: Vec<u32> },
}

/// The log of one client.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    /// The name of the client, for failure texts.
    pub(crate) name: String,
    /// The events in the order of delivery.
    pub(crate) events: Vec<Event>,
    /// How it ended, if not as asked.
    pub(crate) end: Option<String>,
}

fn process(word: &str) -> Process {
    let (node, pid) = word.split_once('/').expect("node/pid");
    (node.parse().expect("node"), pid.parse().expect("pid"))
}

impl Sequence {
    /// Reads a log. Panics at any message that arrived altered.
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

    /// The events from the first view with exactly `count` members on, including that view.
    pub(crate) fn since_view_of(&self, count: usize) -> &[Event] {
        let start = self
            .events
            .iter()
            .position(|event| matches!(event, Event::View { members, .. } if members.len() == count))
            .unwrap_or_else(|| panic!("{}: no view of {count} members", self.name));
        &self.events[start..]
    }

    /// All processes that sent a message.
    pub(crate) fn senders(&self) -> BTreeSet<Process> {
        self.messages().map(|(from, _, _, _)| from).collect()
    }

    /// All messages: sender, number, length and checksum.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (Process, Option<u64>, usize, &str)> {
        self.events.iter().filter_map(|event| match event {
            Event::Message { from, number, len, crc } => Some((*from, *number, *len, crc.as_str())),
            _ => None,
        })
    }

    /// Checks that the messages of each sender are 0, 1, 2, … without loss, duplicate or swap; returns their counts.
    ///
    /// A message too short to contain its number is identified by its place: if it were lost or duplicated, the next
    /// one that contains its number would be in the wrong place.
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

/// Checks that two sequences are the same, and says where they differ if not.
///
/// Both start with a view, of which only the members must agree. Which processes it lists as joined differs after a
/// merge of rings: for each side, those of the other side joined.
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

/// The events of each ring that a client was in, by ring id. Events before its first ring event are under "".
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
