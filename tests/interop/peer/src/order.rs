//! Mode `order`: multicasts checked messages and writes the delivered sequence into a file.
//!
//! Each line of the file is one event, in the order of delivery:
//! - `m NODE PID NUMBER LEN CRC`: a message (NUMBER is `-` if it is too short to contain it; CRC is of all its bytes)
//! - `v MEMBERS;LEFT;JOINED`: a group view
//! - `r NODE.SEQ MEMBERS`: a ring
//! - `x TEXT`: a fault of the message before
//! - `c TAG`: a cut
//!
//! Standard output reports progress: `joined NODE PID`, `sending`, `sent N`, `done N`, `failed WHY`, and `members N`
//! with each view. Lines of standard input are commands:
//! - `count` prints `count N`, the number of messages delivered.
//! - `mark` multicasts a mark; for each mark delivered, the program prints `marked NODE`.
//! - `cut TAG` multicasts a cut; a client to which one is delivered has everything up to it in its file, and prints
//!   `cut TAG`.
//! - `state` prints `state OWN;RING;MEMBERS`: the number of its own messages delivered, and the last ring and view as
//!   in the file.
//! - `leave` leaves the group; the program ends at the view without it.
//! - `last` makes its next message the last.
//! - `silence` prints `silence MICROSECONDS`: the longest time without a message since the last such command.

use crate::link::{Address, Callbacks, Link, NodeId, RingId};
use crate::message::{self, Maker};
use crate::options::Options;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufWriter, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Journal {
    file: Option<BufWriter<File>>,
    members: BTreeSet<(u32, u32)>,
    finished: BTreeSet<(u32, u32)>,
    wanted: usize,
    ends: bool,
    over: bool,
    me: (u32, u32),
    /// Number of own messages delivered.
    own: u64,
    ring: String,
    leaves: bool,
    /// When the last message was delivered; `None` before the first.
    heard: Option<Instant>,
    /// The longest time between two messages since it was last asked for.
    silence: Duration,
}

static JOURNAL: Mutex<Option<Journal>> = Mutex::new(None);
/// The most members that the group has had.
static MEMBERS: AtomicUsize = AtomicUsize::new(0);
static DELIVERED: AtomicU64 = AtomicU64::new(0);
static OVER: AtomicBool = AtomicBool::new(false);
/// Set when receiving is over or a stop was requested: no further message is sent.
static QUIET: AtomicBool = AtomicBool::new(false);
/// Set when the next message is to be the last.
static LAST: AtomicBool = AtomicBool::new(false);
/// Set when the client has sent all its messages.
static SILENT: AtomicBool = AtomicBool::new(false);

fn end() {
    OVER.store(true, Ordering::Relaxed);
    QUIET.store(true, Ordering::Relaxed);
}

impl Journal {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        if self.over {
            return;
        }
        if let Some(file) = &mut self.file {
            // A full disk must fail the test, not shorten the log.
            writeln!(file, "{line}").expect("write the log");
        }
    }

    fn flush(&mut self) {
        if let Some(file) = &mut self.file {
            file.flush().expect("write the log");
        }
    }

    /// Updates `silence` at the arrival of a message, or when somebody asks for it.
    fn hear(&mut self, now: Instant) {
        if let Some(heard) = self.heard {
            self.silence = self.silence.max(now.duration_since(heard));
        }
    }

    /// Ends the log at the event after which every member has sent its last message. This is the same place of the
    /// total order on every host.
    fn check_end(&mut self) {
        if self.ends && self.members.len() >= self.wanted.max(1) && self.members.is_subset(&self.finished) {
            self.over = true;
            end();
        }
    }
}

fn with(act: impl FnOnce(&mut Journal)) {
    if let Some(journal) = JOURNAL.lock().expect("no callback panics").as_mut() {
        act(journal);
    }
}

fn on_message(node: u32, pid: u32, bytes: &[u8]) {
    if bytes == message::MARK {
        say(&format!("marked {node}"));
        return;
    }
    if let Some(tag) = bytes.strip_prefix(message::CUT) {
        let tag = String::from_utf8_lossy(tag);
        with(|journal| {
            journal.line(format_args!("c {tag}"));
            journal.flush();
        });
        say(&format!("cut {tag}"));
        return;
    }
    let reading = message::read(node, bytes);
    let crc = crc32fast::hash(bytes);
    with(|journal| {
        journal.own += u64::from((node, pid) == journal.me);
        let now = Instant::now();
        journal.hear(now);
        journal.heard = Some(now);
        match reading {
            Ok(reading) => {
                match reading.number {
                    Some(number) => {
                        journal.line(format_args!("m {node} {pid} {number} {} {crc:08x}", bytes.len()))
                    }
                    None => journal.line(format_args!("m {node} {pid} - {} {crc:08x}", bytes.len())),
                }
                if reading.last {
                    journal.finished.insert((node, pid));
                    // From now on a view may have fewer members than sending waited for.
                    journal.wanted = 0;
                    journal.check_end();
                }
            }
            Err(why) => {
                journal.line(format_args!("m {node} {pid} ? {} {crc:08x}", bytes.len()));
                journal.line(format_args!("x {why}"));
            }
        }
    });
    DELIVERED.fetch_add(1, Ordering::Relaxed);
}

fn on_members(members: &[Address], left: &[Address], joined: &[Address]) {
    let list = |of: &[Address], reason: bool| {
        let mut text = String::new();
        for address in of {
            let _ = write!(text, " {}/{}", u32::from(address.nodeid), address.pid);
            if reason {
                let _ = write!(text, "={}", address.reason);
            }
        }
        text
    };
    with(|journal| {
        journal.line(format_args!("v{};{};{}", list(members, false), list(left, true), list(joined, true)));
        journal.members = members.iter().map(|a| (u32::from(a.nodeid), a.pid)).collect();
        journal.check_end();
        if journal.leaves && !journal.members.contains(&journal.me) {
            // Events that Corosync still delivers after the leave are ignored.
            journal.over = true;
            end();
        }
    });
    MEMBERS.fetch_max(members.len(), Ordering::Release);
    say(&format!("members {}", members.len()));
}

fn on_ring(ring: RingId, members: &[NodeId]) {
    with(|journal| {
        let nodes: Vec<String> = members.iter().map(|n| u32::from(*n).to_string()).collect();
        journal.ring = format!("{}.{} {}", u32::from(ring.nodeid), ring.seq, nodes.join(" "));
        let ring = journal.ring.clone();
        journal.line(format_args!("r {ring}"));
    });
}

/// Runs mode `order`.
pub fn run(options: &Options) -> Result<(), String> {
    let deadline = Instant::now() + options.deadline;
    let file = match &options.log {
        Some(path) => {
            let file =
                File::create(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            Some(BufWriter::with_capacity(1 << 20, file))
        }
        None => None,
    };
    *JOURNAL.lock().expect("unused yet") =
        Some(Journal { file, wanted: options.members, ends: options.finish, ..Journal::default() });
    let link = Arc::new(Link::join(
        &options.group,
        options.retry,
        Callbacks { message: on_message, members: on_members, ring: on_ring },
    )?);
    with(|journal| journal.me = (link.node, std::process::id()));
    say(&format!("joined {} {}", link.node, std::process::id()));
    listen(Arc::clone(&link), deadline);
    let result = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let outcome = send(&link, options, deadline);
            SILENT.store(true, Ordering::Release);
            if outcome.is_err() {
                end();
            }
            outcome
        });
        let mut outcome = Ok(());
        while !OVER.load(Ordering::Relaxed) {
            outcome = link.dispatch(Duration::from_millis(50));
            if outcome.is_ok() && Instant::now() > deadline {
                outcome = Err("deadline reached while receiving".to_owned());
            }
            if outcome.is_err() {
                break;
            }
        }
        end();
        let sent = sender.join().map_err(|_| "the sending thread panicked".to_owned()).and_then(|sent| sent);
        outcome.and(sent)
    });
    let journal = JOURNAL.lock().expect("no callback panics").take();
    if let Some(mut file) = journal.and_then(|journal| journal.file) {
        if let Err(why) = &result {
            writeln!(file, "e {why}").map_err(|error| format!("cannot write the log: {error}"))?;
        }
        file.flush().map_err(|error| format!("cannot write the log: {error}"))?;
    }
    say(&format!("done {}", DELIVERED.load(Ordering::Relaxed)));
    result
}

/// Sends the messages once the group is complete. Stops early when receiving is over.
fn send(link: &Link, options: &Options, deadline: Instant) -> Result<(), String> {
    while MEMBERS.load(Ordering::Acquire) < options.members {
        if QUIET.load(Ordering::Relaxed) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("the group did not reach {} members", options.members));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    say("sending");
    let mut maker = Maker::new(options.seed, link.node, options.min, options.max);
    let (mut refusals, mut sent) = (0, 0);
    let start = Instant::now();
    while sent < options.count {
        if QUIET.load(Ordering::Relaxed) {
            return Ok(());
        }
        let last = sent + 1 == options.count
            || options.span.is_some_and(|span| start.elapsed() >= span)
            || LAST.load(Ordering::Relaxed);
        refusals += link.send(maker.message(sent, last), deadline, &QUIET)?;
        sent += 1;
        if last {
            break;
        }
        if !options.pause.is_zero() {
            std::thread::sleep(options.pause);
        }
    }
    say(&format!("sent {sent} refusals {refusals}"));
    Ok(())
}

/// Carries out the commands on standard input; `stop`, or its end, ends the program in good order.
fn listen(link: Arc<Link>, deadline: Instant) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            match line.as_deref() {
                Ok("stop") | Err(_) => break,
                Ok("mark") => {
                    if let Err(why) = link.send(message::MARK, deadline, &OVER) {
                        say(&format!("failed {why}"));
                    }
                }
                Ok("count") => say(&format!("count {}", DELIVERED.load(Ordering::Relaxed))),
                Ok("state") => with(|journal| {
                    let members: Vec<String> =
                        journal.members.iter().map(|(n, p)| format!("{n}/{p}")).collect();
                    say(&format!("state {};{};{}", journal.own, journal.ring, members.join(" ")));
                }),
                Ok("last") => LAST.store(true, Ordering::Relaxed),
                Ok("silence") => with(|journal| {
                    let now = Instant::now();
                    journal.hear(now);
                    say(&format!("silence {}", std::mem::take(&mut journal.silence).as_micros()));
                    // The time that was reported does not count again.
                    journal.heard = journal.heard.map(|_| now);
                }),
                Ok("leave") => {
                    QUIET.store(true, Ordering::Relaxed);
                    while !SILENT.load(Ordering::Acquire) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    with(|journal| journal.leaves = true);
                    if let Err(why) = link.leave(deadline) {
                        say(&format!("failed {why}"));
                    }
                }
                Ok(line) => {
                    if let Some(tag) = line.strip_prefix("cut ")
                        && let Err(why) = link.send(&[message::CUT, tag.as_bytes()].concat(), deadline, &OVER)
                    {
                        say(&format!("failed {why}"));
                    }
                }
            }
        }
        end();
    });
}

fn say(line: &str) {
    // A closed standard output is no reason to stop, as only the log matters.
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
