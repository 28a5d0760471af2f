//! The command line: `cpg-peer MODE [--name value]...`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What the program does; each mode's own file explains it.
pub enum Mode {
    /// Sends numbered, checked messages and writes the delivered sequence to a file.
    Order,
    /// Sends at full speed for a fixed time and counts deliveries.
    Throughput,
    /// Sends one message at a time and measures percentiles of the time until its delivery to the sender itself.
    Latency,
    /// Writes many keys with many trackers, and counts sets and notifications.
    Database,
    /// Makes every call of every library once and prints the results.
    Calls,
}

/// All options of all modes.
pub struct Options {
    /// The mode that the program runs in.
    pub mode: Mode,
    /// The group to join. Default `interop`.
    pub group: String,
    /// Number of members that the group must have before anything is sent. Default 1.
    pub members: usize,
    /// Number of messages to send (order, latency). Default 0; with `span`, no limit.
    pub count: u64,
    /// How long to send (order); the first message after that time is the last. Default: until `count` are sent.
    pub span: Option<Duration>,
    /// Size of the smallest message, in bytes. Default 1.
    pub min: usize,
    /// Size of the largest message, in bytes. Default 1,000,000.
    pub max: usize,
    /// Seed of the random sizes. Default 1.
    pub seed: u64,
    /// File for the delivered sequence (order).
    pub log: Option<PathBuf>,
    /// Whether this client ends by itself (order) once every member of the group has sent its last message. Otherwise
    /// it ends only on the line `stop` on standard input.
    pub finish: bool,
    /// Whether the client sends at all (throughput). Default yes.
    pub send: bool,
    /// Pause between two messages. Default none.
    pub pause: Duration,
    /// Length of the measurement, after `warmup`.
    pub seconds: f64,
    /// Time before the measurement counts.
    pub warmup: f64,
    /// After this time the program gives up with exit code 4.
    pub deadline: Duration,
    /// Pause before a request that was refused with TRY_AGAIN is repeated. Default 100 µs; 0 only yields the
    /// processor.
    pub retry: Duration,
    /// Number of keys to write (database). Default 100,000.
    pub keys: usize,
    /// Number of trackers (database). Default 1000.
    pub trackers: usize,
    /// Sets per second (database). Default 10,000.
    pub rate: u64,
}

impl Options {
    /// Parses the command line; the error says what is wrong with it.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mode = match words.next().as_deref() {
            Some("order") => Mode::Order,
            Some("throughput") => Mode::Throughput,
            Some("latency") => Mode::Latency,
            Some("database") => Mode::Database,
            Some("calls") => Mode::Calls,
            other => {
                return Err(format!(
                    "the first word must be order, throughput, latency, database or calls, not {other:?}\n\
                     usage: cpg-peer MODE [--group NAME] [--members N] [--count N] [--min BYTES] [--max BYTES] [--seed N]\n\
                     \x20 [--span S] [--log FILE] [--finish yes|no] [--send yes|no] [--pause-us N] [--seconds S] [--warmup S]\n\
                     \x20 [--deadline S] [--retry-us N] [--keys N] [--trackers N] [--rate N]"
                ));
            }
        };
        let mut given = BTreeMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("{word:?} is no option"))?;
            let value = words.next().ok_or_else(|| format!("--{name} needs a value"))?;
            given.insert(name.to_owned(), value);
        }
        let span = match take(&mut given, "span", 0.0)? {
            0.0 => None,
            seconds => Some(
                Duration::try_from_secs_f64(seconds).map_err(|error| format!("--span {seconds}: {error}"))?,
            ),
        };
        let options = Self {
            mode,
            group: take(&mut given, "group", "interop".to_owned())?,
            members: take(&mut given, "members", 1)?,
            count: take(&mut given, "count", if span.is_some() { u64::MAX } else { 0 })?,
            span,
            min: take(&mut given, "min", 1)?,
            max: take(&mut given, "max", 1_000_000)?,
            seed: take(&mut given, "seed", 1)?,
            log: given.remove("log").map(PathBuf::from),
            finish: take_yes(&mut given, "finish", true)?,
            send: take_yes(&mut given, "send", true)?,
            pause: Duration::from_micros(take(&mut given, "pause-us", 0)?),
            seconds: take(&mut given, "seconds", 5.0)?,
            warmup: take(&mut given, "warmup", 1.0)?,
            deadline: Duration::from_secs(take(&mut given, "deadline", 600)?),
            retry: Duration::from_micros(take(&mut given, "retry-us", 100)?),
            keys: take(&mut given, "keys", 100_000)?,
            trackers: take(&mut given, "trackers", 1000)?,
            rate: take(&mut given, "rate", 10_000)?,
        };
        if let Some(name) = given.keys().next() {
            return Err(format!("there is no option --{name}"));
        }
        if options.min == 0 || options.min > options.max {
            return Err(format!("--min {} --max {}: 1 <= min <= max must hold", options.min, options.max));
        }
        if options.keys == 0 || options.keys > 10_000_000 {
            return Err(format!("--keys {}: 1 to 10,000,000", options.keys));
        }
        Ok(options)
    }
}

fn take<T: std::str::FromStr>(
    given: &mut BTreeMap<String, String>,
    name: &str,
    default: T,
) -> Result<T, String> {
    match given.remove(name) {
        None => Ok(default),
        Some(value) => value.parse().map_err(|_| format!("--{name} {value:?} is not of the right kind")),
    }
}

fn take_yes(given: &mut BTreeMap<String, String>, name: &str, default: bool) -> Result<bool, String> {
    match given.remove(name).as_deref() {
        None => Ok(default),
        Some("yes") => Ok(true),
        Some("no") => Ok(false),
        Some(value) => Err(format!("--{name} must be yes or no, not {value:?}")),
    }
}
