//! Logging: writes `tracing` events to standard error, log files and syslog, in Corosync's line formats and under the
//! settings of its section `logging`.
//!
//! Corosync's counterpart: `exec/logsys.c` and libqb's log.
//!
//! | file | what |
//! |---|---|
//! | `record.rs` | one event as text, and its subsystem |
//! | `format.rs` | the line formats |
//! | `output.rs` | the outputs: standard error, files, the syslog socket |
//! | `files.rs` | the log files, and what happens if one cannot be opened or written |
//!
//! Nothing is written in the thread that runs the ring, as a slow disk must not cost the token. Records go through a
//! bounded queue to a writer thread; those that do not fit are counted, and their number is logged.

mod files;
mod format;
mod output;
mod record;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

pub(super) use self::files::{OpenError, try_out};
use self::output::Outputs;
use self::record::{Record, Subsystem};
use super::exit::{Exit, Fatal};
use crate::config::logging::{Debug, Logging};

/// Records in the writer's queue; further ones are dropped and counted.
const QUEUE_LIMIT: usize = 4096;
/// Longest wait for the writer at the end of the daemon.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Stack size of the writer thread. It formats short lines, and with locked memory all of its stack is resident.
const WRITER_STACK: usize = 128 << 10;

/// The daemon's log. Cheap to clone.
#[derive(Clone)]
pub(super) struct Log(Arc<Shared>);

struct Shared {
    /// The most detailed level that any output takes, by subsystem; see [`rank`].
    levels: [AtomicU8; Subsystem::ALL.len()],
    /// The outputs until the writer thread runs; each logging thread writes to them itself.
    direct: Mutex<Option<Outputs>>,
    writer: OnceLock<SyncSender<Item>>,
    dropped: AtomicU64,
}

enum Item {
    Record(Record),
    Reopen(Answer),
    Configure(Box<Logging>, Answer),
    Flush(SyncSender<()>),
}

/// Receives the result of opening files; dropped if the queue is full.
type Answer = oneshot::Sender<Result<(), OpenError>>;

impl Log {
    /// Opens the log files and installs the log for this process. `stderr`: whether standard error is used.
    ///
    /// # Errors
    /// [`Exit::LoggingConfig`]: a log file cannot be opened. [`Exit::LogSetup`]: a log is installed already.
    pub(super) fn install(settings: &Logging, stderr: bool) -> Result<Self, Fatal> {
        let outputs = Outputs::open(settings, stderr).map_err(Fatal::with(Exit::LoggingConfig))?;
        let log = Self(Arc::new(Shared {
            levels: std::array::from_fn(|_| AtomicU8::new(0)),
            direct: Mutex::new(Some(outputs)),
            writer: OnceLock::new(),
            dropped: AtomicU64::new(0),
        }));
        log.set_levels(settings);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Front(log.clone())))
            .map_err(Fatal::with(Exit::LogSetup))?;
        let earlier = std::panic::take_hook();
        let at_panic = log.clone();
        std::panic::set_hook(Box::new(move |what| {
            tracing::error!(target: "annulus::daemon", "{what}");
            at_panic.flush();
            earlier(what);
        }));
        Ok(log)
    }

    /// Starts the writer thread. Call it after the last fork.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn start_writer(&self) -> Result<(), Fatal> {
        let Some(outputs) = self.0.direct.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let (sender, receiver) = sync_channel(QUEUE_LIMIT);
        let shared = Arc::clone(&self.0);
        thread::Builder::new()
            .name("annulus-log".into())
            .stack_size(WRITER_STACK)
            .spawn(move || write(outputs, &receiver, &shared.dropped))
            .map_err(|error| Fatal::new(Exit::LogSetup, format!("Can't start the log's thread: {error}")))?;
        // The queue has been empty until here, so the order of lines is kept.
        let _ = self.0.writer.set(sender);
        Ok(())
    }

    /// Opens the log files again, after they were moved away. Returns the result: failures are logged, and the old
    /// file is used on.
    pub(super) fn reopen(&self) -> oneshot::Receiver<Result<(), OpenError>> {
        let (answer, outcome) = oneshot::channel();
        self.send(Item::Reopen(answer));
        outcome
    }

    /// Applies other settings. Returns the result, as [`Log::reopen`].
    pub(super) fn configure(&self, settings: &Logging) -> oneshot::Receiver<Result<(), OpenError>> {
        self.set_levels(settings);
        let (answer, outcome) = oneshot::channel();
        self.send(Item::Configure(Box::new(settings.clone()), answer));
        outcome
    }

    /// Waits until everything logged so far is written, at most for two seconds.
    pub(super) fn flush(&self) {
        let Some(writer) = self.0.writer.get() else { return };
        let (done, wait) = sync_channel(1);
        let mut item = Item::Flush(done);
        // A writer that is stuck must not keep the daemon from ending.
        let end = Instant::now() + FLUSH_TIMEOUT;
        while let Err(TrySendError::Full(back)) = writer.try_send(item) {
            if Instant::now() >= end {
                return;
            }
            item = back;
            thread::sleep(Duration::from_millis(10));
        }
        let _ = wait.recv_timeout(FLUSH_TIMEOUT);
    }

    fn set_levels(&self, settings: &Logging) {
        for subsystem in Subsystem::ALL {
            let target = settings.target(subsystem.name());
            let level = match target.debug {
                Debug::Off => &Level::INFO,
                Debug::On => &Level::DEBUG,
                Debug::Trace => &Level::TRACE,
            };
            self.0.levels[subsystem as usize].store(rank(level), Ordering::Relaxed);
        }
        // Makes call sites forget whether their events were wanted.
        tracing::callsite::rebuild_interest_cache();
    }

    fn send(&self, item: Item) {
        match self.0.writer.get() {
            Some(writer) => {
                if let Err(TrySendError::Full(_)) = writer.try_send(item) {
                    self.0.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            None => {
                let mut direct = self.0.direct.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(outputs) = direct.as_mut() {
                    act(outputs, item);
                }
            }
        }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let subsystem = Subsystem::of(metadata.target());
        rank(metadata.level()) <= self.0.levels[subsystem as usize].load(Ordering::Relaxed)
    }
}

/// The level as a number, from 1 for errors to 5 for traces.
fn rank(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// The log as a layer of `tracing`.
struct Front(Log);

impl<S: Subscriber> Layer<S> for Front {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.0.wants(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        self.0.send(Item::Record(Record::of(event)));
    }
}

/// The writer thread; runs as long as the log exists.
fn write(mut outputs: Outputs, items: &Receiver<Item>, dropped: &AtomicU64) {
    loop {
        match items.recv_timeout(Duration::from_secs(1)) {
            Ok(item) => act(&mut outputs, item),
            Err(RecvTimeoutError::Timeout) if dropped.load(Ordering::Relaxed) == 0 => {
                // Nothing to report: sleep until there is something.
                match items.recv() {
                    Ok(item) => act(&mut outputs, item),
                    Err(_) => return,
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let lost = dropped.swap(0, Ordering::Relaxed);
                outputs.write(&Record::own(
                    Level::WARN,
                    format!("{lost} log lines were lost: they came faster than they could be written"),
                ));
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn act(outputs: &mut Outputs, item: Item) {
    match item {
        Item::Record(record) => outputs.write(&record),
        // The receiver may be gone; failures were logged by the outputs.
        Item::Reopen(answer) => drop(answer.send(outputs.reopen())),
        Item::Configure(settings, answer) => drop(answer.send(outputs.configure(&settings))),
        Item::Flush(done) => drop(done.send(())),
    }
}
