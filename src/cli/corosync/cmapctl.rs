//! `corosync-cmapctl`: reads, sets and watches the configuration database.
//!
//! Source: corosync-cmapctl(8). Exit status: 0; 1 for any error, and if nothing matched.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;

use rustix::event::{PollFd, PollFlags, poll};

use super::values::{self, Style};
use crate::cli::getopt::{Getopt, Grammar};
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::confdb::{Change, ChangeKind, Entry, Error, Map, blocking};
use crate::config::reason;
use crate::error::Status;
use crate::value::Value;

const GRAMMAR: Grammar = Grammar { short: "hgsdDtTbqm:p:C:", long: &[] };

/// Longest name of a key that libcmap sends to the daemon, in bytes.
const KEY_LIMIT: usize = 255;

/// Largest file of settings that is read, in bytes.
const FILE_LIMIT: u64 = 16 << 20;

/// The action of the tool.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    List,
    Get,
    Set,
    Load(OsString),
    Delete,
    DeletePrefix,
    Track { prefix: bool },
    Clear(&'static str),
}

/// A parsed command line.
#[derive(Debug)]
struct Request {
    action: Action,
    map: Map,
    style: Style,
    operands: Vec<Vec<u8>>,
}

/// Runs the tool; `args` begin with the program's name.
pub(super) fn run(args: Vec<OsString>, site: &Site, streams: &mut Streams<'_>) -> u8 {
    let request = match parse(args) {
        Ok(Some(request)) => request,
        Ok(None) => {
            streams.out(USAGE);
            return 0;
        }
        Err(complaint) => return streams.fail(1, complaint),
    };
    if let Err(error) = site.reach() {
        return streams.fail(1, format!("Failed to initialize the cmap API. Error {}", error.status()));
    }
    match act(&request, site.confdb(request.map), streams) {
        Ok(status) => status,
        Err(complaint) => streams.fail(1, complaint),
    }
}

/// Parses the command line. `None`: help is requested.
fn parse(args: Vec<OsString>) -> Result<Option<Request>, String> {
    let mut getopt = Getopt::new(args, GRAMMAR);
    let (action, map) = (Action::List, Map::Configuration);
    let mut request = Request { action, map, style: Style::default(), operands: Vec::new() };
    for given in getopt.by_ref() {
        let given = given?;
        match given.letter {
            'h' => return Ok(None),
            'g' => request.action = Action::Get,
            's' => request.action = Action::Set,
            'd' => request.action = Action::Delete,
            'D' => request.action = Action::DeletePrefix,
            't' => request.action = Action::Track { prefix: false },
            'T' => request.action = Action::Track { prefix: true },
            'b' => request.style.binary = true,
            'q' => request.style.quiet = true,
            'm' => {
                request.map = match given.value.as_slice() {
                    b"icmap" | b"default" => Map::Configuration,
                    b"stats" => Map::Statistics,
                    _ => return Err("invalid map name, must be 'default', 'icmap' or 'stats'".to_owned()),
                }
            }
            'p' => request.action = Action::Load(OsString::from_vec(given.value)),
            _ => {
                const WHAT: [&str; 5] = ["knet", "totem", "ipc", "schedmiss", "all"];
                let what = WHAT.into_iter().find(|what| what.as_bytes() == given.value);
                let wrong = "argument to -C should be 'knet', 'totem', 'ipc', 'schedmiss' or 'all'";
                request.map = Map::Statistics;
                request.action = Action::Clear(what.ok_or(wrong)?);
            }
        }
    }
    request.operands = getopt.operands();
    let alone = matches!(request.action, Action::List | Action::Load(_) | Action::Clear(_));
    if !alone && request.operands.is_empty() {
        return Err("Expected key after options".to_owned());
    }
    Ok(Some(request))
}

fn act(request: &Request, client: &blocking::Client, streams: &mut Streams<'_>) -> Result<u8, String> {
    let operands = request.operands.as_slice();
    match &request.action {
        Action::List => list(operands, request.style, client, streams),
        Action::Get => {
            for key in operands {
                let value = get(key, client)
                    .map_err(|status| format!("Can't get key {}. Error {status}", shown(key)))?;
                streams.out(values::line(&shown(key), &value, request.style));
            }
            Ok(0)
        }
        Action::Set => {
            let [key, kind, value, ..] = operands else {
                return Err("At least 3 parameters are expected for set".to_owned());
            };
            set(key, kind, value, client).map(|()| 0)
        }
        Action::Load(file) => load(file, client, streams),
        Action::Delete => operands.iter().try_for_each(|key| delete(key, client)).map(|()| 0),
        Action::DeletePrefix => {
            let mut all = operands.iter();
            all.try_for_each(|prefix| delete_prefix(prefix, client, streams)).map(|()| 0)
        }
        Action::Track { prefix } => track(operands, *prefix, request.style, client, streams),
        Action::Clear(what) => {
            // Debian's tool ignores the result too.
            let _ = client.set(&format!("stats.clear.{what}"), 1u32);
            Ok(0)
        }
    }
}

fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

/// The status that libcmap's caller would get. The daemon checks names, except for their length; an invalid name
/// counts as missing.
fn status(error: &Error, key: &[u8], bad_name: Status) -> Status {
    match error {
        Error::BadKey { .. } if key.len() <= KEY_LIMIT => bad_name,
        other => other.status(),
    }
}

fn get(key: &[u8], client: &blocking::Client) -> Result<Value, Status> {
    let asked = client.get_value(&shown(key));
    asked.map_err(|error| status(&error, key, Status::NotExist))?.ok_or(Status::NotExist)
}

fn set(key: &[u8], kind: &[u8], text: &[u8], client: &blocking::Client) -> Result<(), String> {
    let value = values::read(kind, text)?;
    let done = match &value {
        // libcmap refuses this without asking a daemon.
        Value::Bytes(bytes) if bytes.is_empty() => Err(Status::InvalidParam),
        _ => client.set(&shown(key), value).map_err(|error| status(&error, key, Status::NameTooLong)),
    };
    done.map_err(|status| format!("Failed to set key {}. Error {status}", shown(key)))
}

fn delete(key: &[u8], client: &blocking::Client) -> Result<(), String> {
    let deleted = match client.remove(&shown(key)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Status::NotExist),
        Err(error) => Err(status(&error, key, Status::NotExist)),
    };
    deleted.map_err(|status| format!("Can't delete key {}. Error {status}", shown(key)))
}

/// All keys that begin with `prefix`.
fn entries(prefix: &[u8], client: &blocking::Client) -> Result<Vec<Entry>, String> {
    let failed = |error: &Error, what: &str| {
        let status = status(error, prefix, Status::NotExist);
        format!("Failed to {what}. Error {status}")
    };
    match client.list(&shown(prefix)) {
        Ok(all) => all.collect::<Result<_, _>>().map_err(|error| failed(&error, "iterate over keys")),
        // No key begins with a prefix that is invalid in a name.
        Err(Error::BadKey { .. }) if prefix.len() <= KEY_LIMIT => Ok(Vec::new()),
        Err(error) => Err(failed(&error, "initialize iteration")),
    }
}

fn list(
    prefixes: &[Vec<u8>],
    style: Style,
    client: &blocking::Client,
    streams: &mut Streams<'_>,
) -> Result<u8, String> {
    let all = [Vec::new()];
    let mut found = prefixes.is_empty();
    for prefix in if prefixes.is_empty() { &all } else { prefixes } {
        for entry in entries(prefix, client)? {
            streams.out(values::line(&entry.key, &entry.value, style));
            found = true;
        }
    }
    Ok(u8::from(!found))
}

fn delete_prefix(prefix: &[u8], client: &blocking::Client, streams: &mut Streams<'_>) -> Result<(), String> {
    for entry in entries(prefix, client)? {
        if let Err(complaint) = delete(entry.key.as_bytes(), client) {
            streams.err(complaint + "\n");
        }
    }
    Ok(())
}

/// Executes a file with lines `key type value`, `^key` and `^^prefix`.
fn load(file: &OsString, client: &blocking::Client, streams: &mut Streams<'_>) -> Result<u8, String> {
    let file = match File::open(file) {
        Ok(file) => file,
        Err(error) => {
            streams.err(format!("Couldn't open file.: {}\n", reason(&error)));
            return Ok(0); // as Debian's tool
        }
    };
    for line in BufReader::new(file.take(FILE_LIMIT)).split(b'\n') {
        let Ok(line) = line else { break };
        match read_line(&line)? {
            None => {}
            Some(Order::Set { key, kind, value }) => set(key, kind, value, client)?,
            Some(Order::Delete(key)) => {
                if let Err(complaint) = delete(key, client) {
                    streams.err(complaint + "\n");
                }
            }
            Some(Order::DeletePrefix(prefix)) => delete_prefix(prefix, client, streams)?,
        }
    }
    Ok(0)
}

/// A line of such a file.
#[derive(Debug, PartialEq, Eq)]
enum Order<'a> {
    Set { key: &'a [u8], kind: &'a [u8], value: &'a [u8] },
    Delete(&'a [u8]),
    DeletePrefix(&'a [u8]),
}

fn read_line(line: &[u8]) -> Result<Option<Order<'_>>, String> {
    let begin = line.iter().take_while(|byte| **byte == b' ').count();
    let line = &line[begin..];
    if matches!(line.first(), None | Some(b'#')) {
        return Ok(None);
    }
    // A word ends with a space. Nothing was skipped before the key.
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let key = &line[..end];
    match key {
        [b'^', b'^', prefix @ ..] => return Ok(Some(Order::DeletePrefix(prefix))),
        [b'^', key @ ..] => return Ok(Some(Order::Delete(key))),
        _ => {}
    }
    let mut words = line[end..].split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    match (words.next(), words.next()) {
        (Some(kind), Some(value)) => Ok(Some(Order::Set { key, kind, value })),
        _ => Err(format!("Both type and value for key {} are required", shown(key))),
    }
}

type Changes = crate::service::client::blocking::Events<Change>;

/// Prints changes until a line that is empty or begins with `q` comes from standard input.
fn track(
    keys: &[Vec<u8>],
    prefix: bool,
    style: Style,
    client: &blocking::Client,
    streams: &mut Streams<'_>,
) -> Result<u8, String> {
    let mut all = VecDeque::new();
    for key in keys {
        let name = shown(key);
        match if prefix { client.watch(&name) } else { client.watch_key(&name) } {
            Ok(changes) => all.push_back(changes),
            // An invalid key never changes.
            Err(Error::BadKey { .. }) if key.len() <= KEY_LIMIT => {}
            Err(error) => {
                let status = error.status();
                return Err(format!("Failed to add tracking function. Error {status}"));
            }
        }
    }
    streams.out("Type \"q\" to finish\n");
    let input = io::stdin();
    while !streams.closed() {
        streams.flush();
        let mut waits: Vec<PollFd<'_>> = vec![PollFd::new(&input, PollFlags::IN)];
        waits.extend(all.iter().map(|changes: &Changes| PollFd::new(changes, PollFlags::IN)));
        match poll(&mut waits, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(format!("Can't wait: {error}")),
        }
        let typed = !waits[0].revents().is_empty();
        drop(waits);
        if typed {
            let mut line = Vec::new();
            let read = input.lock().take(4096).read_until(b'\n', &mut line);
            if read.is_err() || matches!(line.first(), None | Some(b'q' | b'Q')) {
                return Ok(0);
            }
        }
        for changes in &mut all {
            let told = changes.dispatch(|change| {
                streams.out(told(&change, style));
            });
            if let Err(error) = told {
                streams.err(format!("Dispatch error {}\n", error.status()));
                return Ok(0); // as Debian's tool
            }
        }
    }
    Ok(0)
}

/// The output for a change: the present value or, of a deleted key, the last one.
fn told(change: &Change, style: Style) -> Vec<u8> {
    let (head, value) = match change.kind {
        ChangeKind::Added => ("create> ", &change.new),
        ChangeKind::Modified => ("modify> ", &change.new),
        ChangeKind::Removed => ("delete> ", &change.old),
    };
    let mut line = head.as_bytes().to_vec();
    match value {
        Some(value) => line.extend_from_slice(&values::line(&change.key, value, style)),
        None => line.extend_from_slice(format!("{}\n", change.key).as_bytes()),
    }
    line
}

const USAGE: &str = "\
usage: corosync-cmapctl [-b] [-q] [-m icmap|stats] [PREFIX...]
       corosync-cmapctl [-b] [-q] [-m icmap|stats] -g KEY...
       corosync-cmapctl -s KEY TYPE VALUE
       corosync-cmapctl -d KEY... | -D PREFIX...
       corosync-cmapctl [-b] [-q] [-m icmap|stats] -t KEY... | -T PREFIX...
       corosync-cmapctl -p FILE
       corosync-cmapctl -C knet|ipc|totem|schedmiss|all

  (none)   all keys, or those that begin with one of the prefixes
  -g       the values of keys
  -s       set a key; types are i8 u8 i16 u16 i32 u32 i64 u64 flt dbl str bin, a bin value is a file's name or -
  -d, -D   delete keys, or all that begin with the prefixes
  -t, -T   show changes of keys, or of all that begin with the prefixes, until \"q\"
  -p FILE  obey lines `KEY TYPE VALUE` (set), `^KEY` (delete), `^^PREFIX` (delete), `# comment`
  -C WHAT  set statistics to zero
  -m MAP   icmap: configuration and state (default); stats: statistics
  -b       show binary values
  -q       values alone
  -h       this help
";

#[cfg(test)]
mod tests;
