//! The actions of `corosync-quorumtool` and `quorum-tool`.

use super::gather::{self, Naming, VOTEQUORUM};
use super::json;
use super::report::{Order, Report};
use super::text::{self, Style};
use crate::cli::date;
use crate::cli::failure::{Failure, Form, Kind};
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::confdb::Map;
use crate::error::Status;
use crate::ids::NodeId;
use crate::service::client::Error;

/// The action of the tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) enum Action {
    /// Print the whole state.
    #[default]
    Status,
    /// Print the members.
    List,
    /// Print the whole state at each change.
    Monitor,
    /// Set the expected votes.
    Expect(u32),
    /// Set a node's votes.
    Vote(u32),
    /// Unregister the quorum device.
    Unregister,
}

/// A request to the tool.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Request {
    pub(in crate::cli) action: Action,
    /// The node of [`Action::Vote`]; `None` is this node.
    pub(in crate::cli) node: Option<u32>,
    pub(in crate::cli) order: Order,
    pub(in crate::cli) style: Style,
    /// Whether to print addresses instead of names.
    pub(in crate::cli) addresses: bool,
    /// Whether to print all addresses of a node.
    pub(in crate::cli) all_addresses: bool,
    /// Whether to write JSON instead of text.
    pub(in crate::cli) json: bool,
    /// Whether errors name a remedy, unlike those of Corosync's tool.
    pub(in crate::cli) helpful: bool,
}

/// Carries out the request. Returns the exit status.
pub(in crate::cli) fn run(request: &Request, site: &Site, streams: &mut Streams<'_>) -> u8 {
    let outcome = act(request, site, streams);
    site.deadline.pause();
    match outcome {
        Ok(status) => status,
        // As in Corosync's tool, the message has no program name before it.
        Err(failure) => Form { prefix: "", ..site.form }.say(&failure, streams),
    }
}

fn act(request: &Request, site: &Site, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let provider = match site.confdb(Map::Configuration).get_value("quorum.provider") {
        Ok(value) => value.and_then(|value| value.as_text().map(std::borrow::Cow::into_owned)),
        Err(error) if request.helpful => return Err(error.into()),
        Err(_) => return Err(Failure::new("Cannot initialize CMAP service")),
    };
    let votes = provider.as_deref() == Some(VOTEQUORUM);
    let without =
        |what: &str| Err(Failure::new(format!("You cannot {what}, corosync is not using votequorum")));
    match request.action {
        Action::Status | Action::Monitor if provider.is_none() => {
            if request.action == Action::Monitor && !request.json {
                streams.out("\nQuorum is not configured - cannot monitor\n");
            }
            let what = format!("Unable to start votequorum status tracking: {}", Status::BadHandle);
            Err(match request.helpful {
                true => Failure::new(format!("{what}: the daemon has no quorum.provider, so nobody votes")),
                false => Failure::new(what),
            })
        }
        Action::Status => {
            let report = report(request, site, provider, streams)?;
            show(&report, request, streams);
            Ok(if report.quorate { 0 } else { 2 })
        }
        Action::List => {
            let provided = provider.is_some();
            let mut report = report(request, site, provider, streams)?;
            if !provided {
                // As in Corosync's tool, which then has no members.
                report.members.clear();
                report.votes = None;
            }
            report.sort(request.order);
            if request.json {
                streams.out(json::line(&json::members(&report)));
            } else {
                streams.out(text::list(&report, request.style));
            }
            Ok(0)
        }
        Action::Monitor => monitor(request, site, &provider, streams),
        Action::Expect(_) if !votes => without("change expected votes"),
        Action::Vote(_) if !votes => without("change node votes"),
        Action::Unregister if !votes => without("unregister quorum device"),
        Action::Expect(votes) => {
            let set = site.quorum().set_expected_votes(votes);
            set.map_err(refused("Unable to set expected votes"))?;
            Ok(0)
        }
        Action::Vote(votes) => {
            let node = match request.node {
                Some(node) => node,
                None => site.local().map_err(|_| Failure::new("Unable to retrieve this_node_id"))?.get(),
            };
            let set = match NodeId::new(node) {
                Some(id) => site.quorum().set_votes(id, votes).map_err(|error| error.status()),
                None => Err(Status::InvalidParam),
            };
            let what = |status| format!("Unable to set votes {votes} for nodeid: {node}: {status}");
            set.map(|()| 0).map_err(|status| Failure::of(Kind::Refused, what(status)))
        }
        Action::Unregister => unregister(site).map(|()| 0),
    }
}

/// An error in Corosync's words: the failed action and the status.
fn refused(what: &'static str) -> impl Fn(Error) -> Failure {
    move |error| {
        let kind = Failure::from(error.clone()).kind;
        Failure::of(kind, format!("{what}: {}", error.status()))
    }
}

/// Unregisters the quorum device. Without a device there is nothing to do.
fn unregister(site: &Site) -> Result<(), Failure> {
    let failed = refused("Unable to unregister quorum device");
    let own = site.quorum().info().map_err(&failed)?.votes;
    let Some(device) = own.map(|votes| votes.device).filter(|device| device.registered) else {
        return Ok(());
    };
    // Registering under the device's own name takes the device over.
    site.quorum().register_device(&device.name).and_then(|device| device.unregister()).map_err(failed)
}

fn report(
    request: &Request,
    site: &Site,
    provider: Option<String>,
    streams: &mut Streams<'_>,
) -> Result<Report, Failure> {
    let naming = Naming { addresses: request.addresses, all: request.all_addresses };
    let asked = gather::report(site, provider, naming);
    let (mut report, missing) = asked.map_err(|error| match request.helpful {
        true => error.into(),
        false => refused("Unable to start votequorum status tracking")(error),
    })?;
    // JSON shows the missing parts by itself.
    for what in missing.into_iter().filter(|_| !request.json) {
        streams.err(what + "\n");
    }
    report.sort(request.order);
    Ok(report)
}

fn show(report: &Report, request: &Request, streams: &mut Streams<'_>) {
    if request.json {
        streams.out(json::line(&json::report(report)));
    } else {
        streams.out(text::status(report, &date::now(), request.style));
    }
}

/// Prints the present state, and then the new state at each change.
fn monitor(
    request: &Request,
    site: &Site,
    provider: &Option<String>,
    streams: &mut Streams<'_>,
) -> Result<u8, Failure> {
    let failed = refused("Unable to dispatch quorum status");
    let mut changes = site.quorum().changes().map_err(&failed)?;
    while !streams.closed() {
        site.deadline.pause();
        if changes.next(None).map_err(&failed)?.is_some() {
            site.deadline.restart();
            let report = report(request, site, provider.clone(), streams)?;
            show(&report, request, streams);
            if !request.json {
                streams.out("\n");
            }
            site.deadline.pause();
            streams.flush();
        }
    }
    Ok(0)
}
