//! The daemon that a tool queries.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use super::deadline::Deadline;
use super::failure::{Failure, Form, Kind};
use crate::admin;
use crate::client::blocking::Client;
use crate::confdb::{self, Map};
use crate::cpg;
use crate::ids::{NodeId, ServiceId};
use crate::quorum;
use crate::service::channel::IpcDial;
use crate::service::client::Error;

/// Attempts to reach a daemon that is not ready, one second apart.
const TRIES: u32 = 10;

/// Environment variable with the ids, separated by commas, of users whose daemons are trusted besides those of root
/// and the user.
const TRUSTED: &str = "ANNULUS_TRUST_UID";
/// Environment variable with the instance that tools query unless the command line names one.
pub(super) const INSTANCE: &str = "ANNULUS_INSTANCE";

/// Access to one daemon of this host. Connections are opened when they are needed.
pub(super) struct Site {
    client: Client,
    /// The limit of waiting for the daemon.
    pub(super) deadline: Deadline,
    /// The form of error reports.
    pub(super) form: Form,
}

impl Site {
    /// Access to the instance `instance`, or else to that of the environment, or else to the daemon. If it has not
    /// answered within `timeout`, the process reports that in the given form and ends.
    pub(super) fn new(instance: Option<&str>, timeout: Option<Duration>, form: Form) -> Self {
        let dial = dial(instance);
        let silent = dial.clone();
        let deadline = Deadline::start(timeout, move |limit| {
            let failure = Failure::of(Kind::Unreachable, silence(&silent, limit));
            let (out, err) = form.words(&failure);
            // A reader that is gone can still see the exit status.
            let _ = io::stdout().write_all(out.as_bytes()).and_then(|()| io::stdout().flush());
            let _ = io::stderr().write_all(err.as_bytes());
            failure.status
        });
        Self { client: Client::new(Arc::new(dial)), deadline, form }
    }

    /// Access to the daemon that the environment names. Waits without limit, as Corosync's tools do.
    pub(super) fn patient() -> Self {
        let form = Form { json: false, prefix: "", is_answer: false };
        Self { client: Client::new(Arc::new(dial(None))), deadline: Deadline::none(), form }
    }

    pub(super) fn confdb(&self, map: Map) -> &confdb::blocking::Client {
        match map {
            Map::Configuration => self.client.confdb(),
            Map::Statistics => self.client.statistics(),
        }
    }

    pub(super) fn cpg(&self) -> &cpg::blocking::Client {
        self.client.cpg()
    }

    pub(super) fn quorum(&self) -> &quorum::blocking::Client {
        self.client.quorum()
    }

    pub(super) fn admin(&self) -> &admin::blocking::Client {
        self.client.cfg()
    }

    /// Returns the id of the node.
    ///
    /// # Errors
    /// The daemon cannot be reached, or refuses this user.
    pub(super) fn local(&self) -> Result<NodeId, Error> {
        self.admin().local_id()
    }

    /// Checks that there is a daemon; waits a while for one that is not ready yet.
    ///
    /// # Errors
    /// The daemon cannot be reached, or refuses this user.
    pub(super) fn reach(&self) -> Result<(), confdb::Error> {
        let mut tries = 0;
        loop {
            match self.client.confdb().get_value("totem.version") {
                Ok(_) => return Ok(()),
                Err(error) if error.status() == crate::error::Status::TryAgain && tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(Duration::from_secs(1));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn dial(instance: Option<&str>) -> IpcDial {
    let named = || std::env::var(INSTANCE).ok().filter(|name| !name.is_empty());
    let dial = instance.map(str::to_owned).or_else(named).map_or_else(IpcDial::default, IpcDial::instance);
    let trusted = std::env::var(TRUSTED).unwrap_or_default();
    trusted.split(',').filter_map(|uid| uid.trim().parse().ok()).fold(dial, IpcDial::trusting)
}

/// Possible reasons for a daemon's silence, and remedies.
fn silence(dial: &IpcDial, limit: Duration) -> String {
    let waited = format!("did not answer within {} s", limit.as_secs_f64());
    let Some(pid) = dial.listener(ServiceId::CMAP) else {
        return format!("the daemon {waited}, and nobody can be seen to listen for it. See its log");
    };
    let read = |what| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let name = read("comm");
    let name = if name.trim().is_empty() { "the daemon" } else { name.trim() };
    let status = read("status");
    let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or_default().trim();
    let why = match state.chars().next() {
        Some('T') => format!("it is stopped. Let it go on with `kill -CONT {pid}`"),
        Some('t') => "it is stopped by a debugger".to_owned(),
        Some('D') => "it waits for a disk or another device".to_owned(),
        _ => "it is too busy, or waits for its ring. Its log says more; --timeout waits longer".to_owned(),
    };
    format!("{name} (process {pid}) {waited}: {why}")
}
