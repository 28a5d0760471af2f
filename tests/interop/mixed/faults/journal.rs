//! A client's log, read in parts: up to a cut that the client was delivered, or to its end.

use crate::sequence::Process;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// One delivered event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A message was delivered.
    Message(Message),
    /// The group changed.
    View(View),
    /// A new ring: its id and nodes.
    Ring(String, Vec<u32>),
}

/// A message: its sender, its number at that sender, and the length and checksum of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) from: Process,
    pub(crate) number: u64,
    pub(crate) len: usize,
    pub(crate) crc: u32,
}

/// The group after a change, and the processes that left and joined, each with the reason given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) members: Vec<Process>,
    pub(crate) left: Vec<(Process, String)>,
    pub(crate) joined: Vec<(Process, String)>,
}

/// The log file of one client, and how far it was read.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    read: u64,
    /// Text that was read from the file but not returned yet.
    rest: String,
}

impl Journal {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), read: 0, rest: String::new() }
    }

    /// The events up to the cut with this tag, which the client has reported as delivered.
    pub(crate) fn up_to(&mut self, tag: &str) -> Result<Vec<Event>, String> {
        self.load()?;
        let line = format!("c {tag}\n");
        // A cut is searched for at the start of a line.
        let at = self.rest.find(&line).ok_or_else(|| format!("{}: no cut {tag}", self.path.display()))?;
        let later = self.rest.split_off(at + line.len());
        let text = std::mem::replace(&mut self.rest, later);
        self.events(&text)
    }

    /// The remaining events of a client that has ended; if it was killed, half a line at the end is ignored.
    pub(crate) fn all(&mut self) -> Result<Vec<Event>, String> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        self.load()?;
        let mut text = std::mem::take(&mut self.rest);
        text.truncate(text.rfind('\n').map_or(0, |at| at + 1));
        self.events(&text)
    }

    fn load(&mut self) -> Result<(), String> {
        let told = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let mut file = File::options().read(true).write(true).open(&self.path).map_err(told)?;
        file.seek(SeekFrom::Start(self.read)).map_err(told)?;
        let count = file.read_to_string(&mut self.rest).map_err(told)?;
        self.read += count as u64;
        // The part that was read is freed on the disk; a file system that cannot do that keeps it.
        let _ = rustix::fs::fallocate(
            &file,
            rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE,
            0,
            self.read & !4095,
        );
        Ok(())
    }

    fn events(&self, text: &str) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        for line in text.lines() {
            match line.split_at(1) {
                ("c" | "e", _) => {}
                ("x", why) => return Err(format!("{}:{why}", self.path.display())),
                _ => events.push(
                    parse(line).ok_or_else(|| format!("{}: cannot read {line:?}", self.path.display()))?,
                ),
            }
        }
        Ok(events)
    }
}

fn parse(line: &str) -> Option<Event> {
    match line.split_at(1) {
        ("m", rest) => {
            let mut words = rest.split_whitespace();
            let from = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let number = words.next()?.parse().ok()?;
            let len = words.next()?.parse().ok()?;
            let crc = u32::from_str_radix(words.next()?, 16).ok()?;
            Some(Event::Message(Message { from, number, len, crc }))
        }
        ("v", rest) => {
            let mut lists = rest.split(';');
            let members = lists.next()?.split_whitespace().map(process).collect::<Option<_>>()?;
            let left = lists.next()?.split_whitespace().map(change).collect::<Option<_>>()?;
            let joined = lists.next()?.split_whitespace().map(change).collect::<Option<_>>()?;
            Some(Event::View(View { members, left, joined }))
        }
        ("r", rest) => {
            let mut words = rest.split_whitespace();
            let id = words.next()?.to_owned();
            let nodes = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
            Some(Event::Ring(id, nodes))
        }
        _ => None,
    }
}

/// Parses `NODE/PID`.
pub(super) fn process(word: &str) -> Option<Process> {
    let (node, pid) = word.split_once('/')?;
    Some((node.parse().ok()?, pid.parse().ok()?))
}

/// Parses `NODE/PID=REASON`.
fn change(word: &str) -> Option<(Process, String)> {
    let (who, reason) = word.split_once('=')?;
    Some((process(who)?, reason.to_owned()))
}
