//! Comparison of long client logs line by line, without keeping them in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::sequence::Process;

/// Totals of what each client of a stream was delivered.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Number of messages.
    pub(crate) messages: u64,
    /// Total bytes of these messages.
    pub(crate) bytes: u64,
    /// Number of messages of each sender.
    pub(crate) senders: BTreeMap<Process, u64>,
    /// Number of views of the group, from the complete one on.
    pub(crate) views: u64,
}

/// A log, from its first view of all clients on.
struct Log<'a> {
    path: &'a Path,
    lines: std::io::Lines<BufReader<File>>,
    at: u64,
}

impl<'a> Log<'a> {
    /// Opens the log and reads up to the first view of `members` members; the views of the other logs must be the
    /// same.
    fn open(path: &'a Path, members: usize) -> (Self, String) {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut log = Self { path, lines: BufReader::with_capacity(1 << 20, file).lines(), at: 0 };
        while let Some(line) = log.next() {
            // Which processes this view lists as joined depends on when the client itself joined.
            let Some((view, _)) = line.strip_prefix("v ").and_then(|rest| rest.split_once(';')) else {
                continue;
            };
            if view.split_whitespace().count() == members {
                return (log, view.to_owned());
            }
        }
        panic!("{}: no view of {members} members", path.display());
    }

    fn next(&mut self) -> Option<String> {
        self.at += 1;
        let line = self.lines.next()?.unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
        assert!(!line.starts_with(['x', 'e']), "{}:{}: {line}", self.path.display(), self.at);
        Some(line)
    }
}

/// Checks that all clients were delivered the same from the view with all of them on, and from each sender the
/// messages 0, 1, 2, … without gaps or duplicates.
pub(super) fn same_streams(paths: &[&Path]) -> Stream {
    let mut logs: Vec<(Log<'_>, String)> = paths.iter().map(|path| Log::open(path, paths.len())).collect();
    let (mut first, view) = logs.remove(0);
    for (log, other) in &logs {
        assert_eq!(view, *other, "{}: another view than {}", log.path.display(), first.path.display());
    }
    let mut stream = Stream { views: 1, ..Stream::default() };
    while let Some(line) = first.next() {
        for (log, _) in &mut logs {
            let other = log.next();
            assert_eq!(
                Some(&line),
                other.as_ref(),
                "{}:{} and {}:{} part",
                first.path.display(),
                first.at,
                log.path.display(),
                log.at
            );
        }
        take(&mut stream, &first, &line);
    }
    for (log, _) in &mut logs {
        assert_eq!(
            log.next(),
            None,
            "{}:{}: longer than {}",
            log.path.display(),
            log.at,
            first.path.display()
        );
    }
    stream
}

fn take(stream: &mut Stream, log: &Log<'_>, line: &str) {
    let Some(message) = line.strip_prefix("m ") else {
        stream.views += u64::from(line.starts_with('v'));
        return;
    };
    let words: Vec<&str> = message.split_whitespace().collect();
    let &[node, pid, number, bytes, _] = words.as_slice() else { panic!("{}: {line:?}", log.path.display()) };
    let from = (node.parse().expect("node"), pid.parse().expect("pid"));
    let next = stream.senders.entry(from).or_default();
    if number != "-" {
        assert_eq!(number.parse().ok(), Some(*next), "{}:{}: of {from:?}", log.path.display(), log.at);
    }
    *next += 1;
    stream.messages += 1;
    stream.bytes += bytes.parse::<u64>().expect("length");
}
