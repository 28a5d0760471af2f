//! `--dev --nodes`: runs several daemons as processes, under the supervision of this one. It prints their lines
//! prefixed with the node's number, reports when they have formed one ring, and ends them all.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::dev;
use super::exit::{Exit, Fatal};
use super::options::{Instance, Options};
use super::place::Place;
use super::signals::{Call, Signals};
use crate::client::blocking;
use crate::service::channel::IpcDial;

/// Environment variable with the process at whose end a node ends.
const PARENT: &str = "ANNULUS_DEV_PARENT";
/// Interval of checking whether the nodes have formed one ring.
const LOOK: Duration = Duration::from_millis(200);
/// Longest line of a node that is printed in one piece, in bytes.
const LINE_LIMIT: u64 = 16_384;

/// Runs the nodes until they end. Returns the exit status.
///
/// # Errors
/// A node cannot be started.
pub(super) fn run(options: &Options, nodes: u32) -> Result<u8, Fatal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fatal::new(Exit::Totem, format!("Can't start the event loop: {error}")))?;
    // In this thread, as the nodes end with the thread that starts them.
    runtime.block_on(async {
        let mut signals = Signals::install()?;
        let (sender, events) = unbounded_channel();
        let mut group = Group { options, nodes, running: Vec::new(), ready: false, ending: false, status: 0 };
        for node in 1..=nodes {
            group.running.push(start(options, node, nodes, &sender)?);
        }
        watch(dev::instance(options.instance.as_ref(), 1)?, nodes, sender);
        group.look_after(&mut signals, events).await
    })
}

/// Makes this process, one of several nodes, end when the process that started it ends in any way.
pub(super) fn end_with_parent() {
    let Some(parent) = std::env::var(PARENT).ok().and_then(|pid| pid.parse::<i32>().ok()) else { return };
    // If it is refused, Ctrl-C still ends all of them.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    let is_there = rustix::process::getppid().is_some_and(|pid| pid.as_raw_nonzero().get() == parent);
    if !is_there {
        std::process::exit(Exit::Done.status().into());
    }
}

/// An event of the nodes.
enum Event {
    /// All nodes are in one ring, and quorate.
    Ready,
    Ended(u32, ExitStatus),
}

/// A running node.
struct Running {
    node: u32,
    process: OwnedFd,
}

struct Group<'a> {
    options: &'a Options,
    nodes: u32,
    running: Vec<Running>,
    ready: bool,
    ending: bool,
    status: u8,
}

fn start(
    options: &Options,
    node: u32,
    nodes: u32,
    events: &UnboundedSender<Event>,
) -> Result<Running, Fatal> {
    let failed = |error: std::io::Error| Fatal::new(Exit::Fork, format!("Can't start node {node}: {error}"));
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(words(options, node, nodes))
        .env(PARENT, std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).map_err(|error| {
        // It would run without supervision.
        let _ = child.kill();
        failed(error.into())
    })?;
    let events = events.clone();
    let copy = move || {
        copy_lines(node, &mut child);
        if let Ok(status) = child.wait() {
            // The receiver may be gone.
            let _ = events.send(Event::Ended(node, status));
        }
    };
    std::thread::Builder::new().name(format!("node {node}")).spawn(copy).map_err(failed)?;
    Ok(Running { node, process })
}

/// The command line of one node, which can also be used by hand.
fn words(options: &Options, node: u32, nodes: u32) -> Vec<OsString> {
    let mut words: Vec<OsString> =
        ["--dev", "--nodes", &nodes.to_string(), "--node", &node.to_string()].map(Into::into).into();
    if let Some(instance) = &options.instance {
        words.extend(["--instance".into(), instance.as_str().into()]);
    }
    if let Some(dir) = &options.state_dir {
        words.extend(["--state-dir".into(), dir.clone().into_os_string()]);
    }
    words
}

/// Prints the lines of a node until the node closes its output.
fn copy_lines(node: u32, child: &mut Child) {
    let Some(stderr) = child.stderr.take() else { return };
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    loop {
        line.clear();
        match std::io::Read::take(&mut lines, LINE_LIMIT).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line);
                eprintln!("[{node}] {}", text.trim_end_matches('\n'));
            }
        }
    }
}

/// Reports when all nodes are in one ring, as the first node sees it.
fn watch(instance: Option<Instance>, nodes: u32, events: UnboundedSender<Event>) {
    let look = move || {
        let dial = instance.map_or_else(IpcDial::default, |name| IpcDial::instance(name.as_str()));
        let client = blocking::Client::new(std::sync::Arc::new(dial));
        while !events.is_closed() {
            let info = client.quorum().info();
            if info.is_ok_and(|info| info.quorate && info.members.len() == nodes as usize) {
                let _ = events.send(Event::Ready);
                return;
            }
            std::thread::sleep(LOOK);
        }
    };
    // If the thread cannot be started, the nodes run but this is not reported.
    let _ = std::thread::Builder::new().name("look".to_owned()).spawn(look);
}

impl Group<'_> {
    async fn look_after(
        &mut self,
        signals: &mut Signals,
        mut events: UnboundedReceiver<Event>,
    ) -> Result<u8, Fatal> {
        while !self.running.is_empty() {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Ready) => {
                        self.ready = true;
                        println!("{}", self.greeting()?);
                    }
                    Some(Event::Ended(node, status)) => self.ended(node, status),
                    None => return Ok(self.status),
                },
                call = signals.next() => match call {
                    // On a second signal, nodes that have not ended are killed.
                    Call::End(_) if self.ending => self.signal(Signal::KILL),
                    Call::End(_) => self.end(),
                    Call::Reload => self.signal(Signal::HUP),
                    Call::Dump => self.signal(Signal::USR2),
                },
            }
        }
        Ok(self.status)
    }

    fn ended(&mut self, node: u32, status: ExitStatus) {
        self.running.retain(|running| running.node != node);
        if self.ending {
            return;
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("with status {code}"),
            (None, Some(signal)) => format!("by signal {signal}"),
            (None, None) => "for an unknown reason".to_owned(),
        };
        let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Killed.status());
        if self.ready && self.running.is_empty() {
            // Happens if nodes of another group with this name were taken for these.
            eprintln!("annulusd: node {node} ended {how}, the last one; its lines above say why");
            self.status = code;
        } else if self.ready {
            let words: Vec<_> = words(self.options, node, self.nodes)
                .into_iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            eprintln!(
                "annulusd: node {node} ended {how}; the others go on. To start it again: annulusd {}",
                words.join(" ")
            );
        } else {
            eprintln!(
                "annulusd: node {node} ended {how} before all were in one ring; its lines above say why"
            );
            self.status = code;
            self.end();
        }
    }

    fn end(&mut self) {
        self.ending = true;
        self.signal(Signal::TERM);
        // Nodes that were stopped by SIGSTOP must be continued to end.
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        for running in &self.running {
            // Fails for a node that has just ended, whose event follows.
            let _ = pidfd_send_signal(&running.process, signal);
        }
    }

    /// A text that tells how to use the nodes.
    fn greeting(&self) -> Result<String, Fatal> {
        let nodes = self.nodes;
        let port = Place::of_process(self.options.instance.clone()).dev_port();
        let mut text = format!(
            "{nodes} nodes are in one ring, {} to {}, UDP port {port}. Ctrl-C ends them.\n",
            dev::address(1),
            dev::address(nodes)
        );
        for node in 1..=nodes {
            let option = dev::instance(self.options.instance.as_ref(), node)?
                .map(|name| format!(" --instance {name}"))
                .unwrap_or_default();
            text += &format!("  node {node}: annulus{option} status\n");
        }
        text += "ANNULUS_INSTANCE=NAME does the same for all tools, those with Corosync's names included.";
        Ok(text)
    }
}
