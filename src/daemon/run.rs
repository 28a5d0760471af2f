//! Runs the daemon: from options and configuration to a node with clients, and to its end.
//!
//! Source: corosync `exec/main.c`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sd_notify::NotifyState;

use super::dev;
use super::exit::{Exit, Fatal};
use super::fork::{Background, Side, fork};
use super::key_file;
use super::lock::Lock;
use super::log::Log;
use super::nodes;
use super::options::Options;
use super::os::{self, LeaveCgroup, Wishes};
use super::place::Place;
use super::reload::{Loader, Scope, check};
use super::signals::{Call, Signals};
use crate::config::system::{STATE_DIR, SchedPriority, Ternary};
use crate::config::{Config, ConfigError};
use crate::error::Status as Service;
use crate::ipc::{self, Endpoint};
use crate::node::admission::Policy;
use crate::node::blame::placed;
use crate::node::clients::SERVICES;
use crate::node::command::{End, Handle, Status};
use crate::node::errands::{self, KeyErrand};
use crate::node::inspect::{Inspection, inspect};
use crate::node::store::Store;
use crate::node::thread;
use crate::node::{Builder, NodeError};

/// Longest wait for log files to be opened again, before the client is told that it takes too long.
const LOG_PATIENCE: Duration = Duration::from_secs(10);

/// Runs the daemon until it ends. Returns its exit status; errors have been printed or logged.
pub fn run(options: &Options) -> u8 {
    match start(options) {
        Ok(status) => status,
        Err(fatal) => {
            // Before the log exists or in place of it, the error is for the caller.
            eprintln!("annulusd: {fatal}");
            fatal.exit.status()
        }
    }
}

fn start(options: &Options) -> Result<u8, Fatal> {
    let part = dev::Part::of(options)?;
    if part.nodes > 1 && options.node.is_none() {
        return nodes::run(options, part.nodes);
    }
    nodes::end_with_parent();
    let place = Place::of_process(dev::instance(options.instance.as_ref(), part.node)?);
    let config = if options.dev { dev::config(options, part) } else { Config::load(&options.config()) };
    let config = config.map_err(|error| refuse(&error))?;
    // A check and a start use the same code, so that a check predicts what the start does.
    let mut inspection = inspect(&config).map_err(|error| refuse(&error))?;
    if options.check {
        let state_dir = required_state_dir(options, &place, &config);
        inspection.look_at_host(&config, state_dir.as_deref()).map_err(|error| refuse(&error))?;
    }
    if options.strict {
        inspection.strictly().map_err(|error| refuse(&error))?;
    }
    if options.check {
        print!("{}", listing(&config, &inspection));
        return Ok(Exit::Done.status());
    }
    let state_dir = state_dir(options, &place, &config, part)?;
    place.prepare()?;

    let foreground = options.foreground || options.dev;
    let background = if foreground {
        None
    } else {
        match fork()? {
            Side::Parent(status) => return Ok(status),
            Side::Child(background) => Some(background),
        }
    };
    let log = match Log::install(&config.logging, foreground) {
        Ok(log) => log,
        Err(fatal) => return Err(give_up(background, fatal)),
    };
    let Inspection { builder, warnings, notes, .. } = inspection;
    // The remarks on loopback addresses do not apply to `--dev`.
    let remarks = if options.dev { Vec::new() } else { [warnings, notes].concat() };
    let mut daemon = Daemon { options, place, config, builder, remarks, log: log.clone(), background };
    let outcome = daemon.live(&state_dir);
    let status = match outcome {
        Ok(()) => {
            tracing::info!(target: "annulus::daemon", "annulusd exiting normally");
            Exit::Done.status()
        }
        Err(fatal) => {
            tracing::error!(target: "annulus::daemon", "{fatal}");
            let status = fatal.exit.status();
            tracing::error!(target: "annulus::daemon", "annulusd exiting with status {status}");
            // With a log on standard error, the error has been printed already.
            if foreground && daemon.config.logging.main.to_stderr {
                log.flush();
                return Ok(status);
            }
            log.flush();
            return Err(give_up(daemon.background.take(), fatal));
        }
    };
    log.flush();
    Ok(status)
}

/// Reports the failure to the waiting parent, if there is one.
fn give_up(background: Option<Background>, fatal: Fatal) -> Fatal {
    if let Some(background) = background {
        background.failed(fatal.exit);
    }
    fatal
}

struct Daemon<'a> {
    options: &'a Options,
    place: Place,
    config: Config,
    /// The node that the configuration describes.
    builder: Builder,
    /// The remarks on the configuration.
    remarks: Vec<String>,
    log: Log,
    background: Option<Background>,
}

impl Daemon<'_> {
    /// From taking the lock to the end of the daemon.
    fn live(&mut self, state_dir: &Path) -> Result<(), Fatal> {
        tracing::info!(
            target: "annulus::daemon",
            "annulusd {} starting up, node {} in {}", env!("CARGO_PKG_VERSION"), self.config.me(),
            self.config.totem.cluster_name.as_deref().unwrap_or("a cluster without a name")
        );
        for remark in &self.remarks {
            tracing::warn!(target: "annulus::daemon", "{remark}");
        }
        let _lock = Lock::take(&self.place.lock_file())?;
        let store = Store::open(state_dir, self.config.me()).map_err(Fatal::with(Exit::RingId))?;
        self.log.start_writer()?;
        if !self.options.dev {
            for refused in os::prepare(self.wishes()?) {
                tracing::warn!(target: "annulus::daemon", "{refused}");
            }
        }
        let runtime = thread::runtime()
            .map_err(|error| Fatal::new(Exit::Totem, format!("Can't start the event loop: {error}")))?;
        let outcome = runtime.block_on(self.serve(store));
        // Reading a file for a reload may never end, and is not waited for.
        runtime.shutdown_background();
        outcome
    }

    /// Runs the node and its clients until a signal or an order.
    async fn serve(&mut self, store: Store) -> Result<(), Fatal> {
        let mut signals = Signals::install()?;
        let policy = Policy { own_uid: self.place.uid() };
        let endpoints =
            SERVICES.map(|(service, name)| Endpoint { service, name: self.place.socket(name) }).into();
        let server =
            ipc::Server::bind(ipc::Options::default(), endpoints).map_err(Fatal::with(Exit::Services))?;
        let fatal = |error: NodeError| refuse(&placed(&self.config, error));
        let next_key = if self.config.totem.crypto.key.is_some() {
            key_file::of(&self.config).ok().and_then(|file| key_file::stored(&file))
        } else {
            None
        };
        let builder = self.builder.clone().next_key(next_key);
        let (errand, mut errands) = errands::channel();
        // Without a file there is nothing to read again.
        let errand = Some(errand).filter(|_| !self.options.dev);
        let (handle, driver) =
            builder.assemble(store, Some((server, policy)), errand).await.map_err(fatal)?;
        let mut node = tokio::spawn(driver.run());
        if let Some(background) = self.background.take() {
            background.started()?;
        }
        let ready = handle.ready();
        tokio::pin!(ready);
        let mut told = false;
        let mut loader = Loader::new(self.options.config(), self.config.logging.clone());
        loop {
            tokio::select! {
                biased;
                ended = &mut node => return match (ended, handle.end()) {
                    (Ok(()), Some(End::Killed { by, reason })) => {
                        Err(Fatal::new(Exit::Killed, format!("Killed by node {by} : {reason}")))
                    }
                    (Ok(()), Some(End::Left) | None) => Ok(()),
                    (Err(error), _) => Err(Fatal::new(Exit::Totem, format!("The node stopped: {error}"))),
                },
                _ = &mut ready, if !told => {
                    told = true;
                    notify(&[NotifyState::Ready]);
                }
                signal = signals.next() => match signal {
                    Call::End(name) => {
                        tracing::info!(target: "annulus::daemon", "Node was shut down by a signal ({name})");
                        notify(&[NotifyState::Stopping]);
                        // The end of the node is handled above.
                        let leaving = handle.clone();
                        tokio::spawn(async move { leaving.leave().await });
                    }
                    Call::Reload => {
                        self.reopen_logs(None);
                        if !self.options.dev {
                            announce_reload(told);
                            loader.want(Scope::Host);
                        }
                    }
                    Call::Dump => dump(&handle).await,
                },
                wanted = errands.next() => {
                    if wanted.reopen_logs {
                        self.reopen_logs(Some(&handle));
                    }
                    if let Some(logging) = wanted.logging {
                        // Failures are logged.
                        drop(self.log.configure(&logging));
                        self.config.logging = *logging;
                        loader.logs_like(&self.config.logging);
                    }
                    for errand in wanted.keys {
                        self.key_errand(errand, &handle).await;
                    }
                    if wanted.dump_state {
                        dump(&handle).await;
                    }
                    if let Some(config) = wanted.adopt {
                        self.adopt(*config, &handle).await;
                        loader.logs_like(&self.config.logging);
                    }
                    if wanted.reload_over && told {
                        notify(&[NotifyState::Ready]);
                    }
                    if wanted.reload {
                        announce_reload(told);
                        loader.want(Scope::Cluster);
                    }
                }
                (scope, outcome) = loader.next() => match scope {
                    Scope::Cluster => {
                        let outcome = outcome.and_then(|config| check(&self.config, &config).map(|()| config));
                        // Fails if the node has stopped, which is handled above.
                        let _ = handle.reloaded(outcome.map(Box::new)).await;
                    }
                    Scope::Host => {
                        self.reloaded_host(outcome, &handle).await;
                        loader.logs_like(&self.config.logging);
                        if told {
                            notify(&[NotifyState::Ready]);
                        }
                    }
                }
            }
        }
    }

    /// Carries out a step of a key change. It writes a few hundred bytes, and only this task waits for the disk.
    async fn key_errand(&self, errand: KeyErrand, handle: &Handle) {
        let file = key_file::of(&self.config);
        let what = errand.clone();
        let task = tokio::task::spawn_blocking(move || match what {
            KeyErrand::Store(key) => key_file::store(&file?, &key),
            KeyErrand::Keep => key_file::keep(&file?),
            KeyErrand::Discard => key_file::discard(&file?),
        });
        let outcome = task.await.unwrap_or_else(|error| Err(error.to_string()));
        if let Err(why) = &outcome {
            tracing::error!(target: "annulus::daemon", "{why}");
        }
        // Fails if the node has stopped, which then uses no key.
        let _ = match errand {
            KeyErrand::Store(key) => handle.key_stored(key, outcome).await,
            KeyErrand::Keep => handle.key_kept(outcome).await,
            KeyErrand::Discard => Ok(()),
        };
    }

    /// Opens the log files again in the log's own thread, and reports the result to the node that asked.
    fn reopen_logs(&self, asked: Option<&Handle>) {
        let outcome = self.log.reopen();
        let asked = asked.cloned();
        tokio::spawn(async move {
            let status = match tokio::time::timeout(LOG_PATIENCE, outcome).await {
                Ok(Ok(Ok(()))) => {
                    tracing::info!(target: "annulus::daemon", "Log files reopened");
                    Service::Ok
                }
                Ok(Ok(Err(error))) => error.status(), // the log names the file
                Ok(Err(_)) | Err(_) => {
                    tracing::error!(target: "annulus::daemon", "Log files not reopened yet: the disk is too slow");
                    Service::Timeout
                }
            };
            if let Some(node) = asked {
                // Fails if the node has stopped, which then owes no reply.
                let _ = node.logs_reopened(status).await;
            }
        });
    }

    /// Applies a configuration that all nodes have adopted to the daemon itself.
    async fn adopt(&mut self, config: Config, handle: &Handle) {
        for warning in &config.warnings {
            tracing::warn!(target: "annulus::daemon", "{warning}");
        }
        self.adapt(&config, handle).await;
        self.config = config;
    }

    /// Applies the settings of this host after SIGHUP.
    async fn reloaded_host(&mut self, outcome: Result<Config, String>, handle: &Handle) {
        match outcome {
            Ok(config) => {
                self.adapt(&config, handle).await;
                tracing::info!(
                    target: "annulus::daemon",
                    "Sections logging and uidgid are in effect as read now; other changes need \
                     corosync-cfgtool -R, or a restart"
                );
                self.config.logging = config.logging;
                self.config.access = config.access;
            }
            Err(error) => tracing::error!(target: "annulus::daemon", "Not reloaded: {error}"),
        }
    }

    /// Applies the settings of a new configuration that concern the daemon itself.
    async fn adapt(&self, config: &Config, handle: &Handle) {
        if config.logging != self.config.logging {
            drop(self.log.configure(&config.logging));
        }
        if config.access != self.config.access {
            let _ = handle.set_access(config.access.clone()).await;
        }
    }

    fn wishes(&self) -> Result<Wishes, Fatal> {
        let system = &self.config.system;
        let nice = match system.priority().map_err(|error| refuse(&error))? {
            None => None,
            Some(SchedPriority::Max) => Some(-20),
            Some(SchedPriority::Min) => Some(19),
            Some(SchedPriority::Nice(nice)) => Some(nice),
        };
        Ok(Wishes {
            real_time: system.sched_rr,
            nice,
            leave_cgroup: match system.move_to_root_cgroup {
                Ternary::Yes => LeaveCgroup::Always,
                Ternary::No => LeaveCgroup::Never,
                Ternary::Auto => LeaveCgroup::IfRefused,
            },
        })
    }
}

/// Sends a notification to the service manager, if there is one.
fn notify(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// Tells the service manager that the configuration is being read again, if it has been told that the daemon is
/// `ready`.
fn announce_reload(ready: bool) {
    // Without the time it would treat the message as invalid.
    if ready && let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
}

/// The state directory given by the configuration or by the service manager.
fn configured_state_dir(config: &Config) -> Option<PathBuf> {
    let configured =
        Some(config.system.state_dir.clone()).filter(|dir| dir.as_path() != Path::new(STATE_DIR));
    // The directory that the service manager made for this daemon (StateDirectory=); the first of several.
    let managed = || {
        std::env::var_os("STATE_DIRECTORY")
            .and_then(|dirs| std::env::split_paths(&dirs).next().filter(|dir| dir.is_absolute()))
    };
    configured.or_else(managed)
}

/// The directory of the ring id.
fn state_dir(options: &Options, place: &Place, config: &Config, part: dev::Part) -> Result<PathBuf, Fatal> {
    if options.dev {
        let given = options.state_dir.as_ref();
        // Several nodes have a directory each.
        let given = given
            .map(|dir| if part.nodes > 1 { dir.join(format!("node{}", part.node)) } else { dir.clone() });
        return place.dev_state_dir(given.as_deref());
    }
    if let Some(dir) = &options.state_dir {
        return place.state_dir(Some(dir));
    }
    place.state_dir(configured_state_dir(config).as_deref())
}

/// The state directory that must exist already.
fn required_state_dir(options: &Options, place: &Place, config: &Config) -> Option<PathBuf> {
    options.state_dir.clone().or_else(|| configured_state_dir(config)).or_else(|| place.systems_state_dir())
}

/// The output of `--check`: the remarks, and every setting in effect with its origin.
fn listing(config: &Config, inspection: &Inspection) -> String {
    let mut text = String::new();
    for remark in inspection.remarks() {
        text.push_str(&format!("{remark}\n"));
    }
    for setting in config.effective() {
        text.push_str(&format!("{setting}\n"));
    }
    text
}

fn refuse(error: &ConfigError) -> Fatal {
    let exit = Exit::from_status(error.exit_status()).unwrap_or(Exit::Config);
    Fatal::new(exit, error)
}

/// Logs the state of the node, in a few lines.
async fn dump(handle: &Handle) {
    let Ok(status) = handle.status().await else { return };
    let Status { me, ring, members, state, synced, clients, totem, transport, ipc, .. } = status;
    let members: Vec<String> = members.iter().map(ToString::to_string).collect();
    tracing::info!(
        target: "annulus::daemon",
        "State of node {me}: ring {ring}, members {}, phase {state}, services {}, {clients} clients",
        members.join(" "),
        if synced { "synchronised" } else { "not synchronised" }
    );
    tracing::info!(target: "annulus::daemon", "Ring counters: {totem:?}");
    tracing::info!(target: "annulus::daemon", "Network counters: {transport:?}");
    tracing::info!(target: "annulus::daemon", "Client counters: {ipc:?}");
}
