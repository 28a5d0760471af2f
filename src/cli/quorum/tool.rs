//! What `corosync-quorumtool` and `quorum-tool` do.

use super::gather::{self, Naming, VOTEQUORUM};
use super::json;
use super::report::{Order, Report};
use super::text::{self, Style};
use crate::cli::date;
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::confdb::Map;
use crate::error::Status;
use crate::ids::NodeId;
use crate::service::client::Error;

/// What is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) enum Action {
    /// All that is known.
    #[default]
    Status,
    /// The members.
    List,
    /// All that is known, again and again.
    Monitor,
    /// Set the expected votes.
    Expect(u32),
    /// Set a node's votes.
    Vote(u32),
    /// Unregister the quorum device.
    Unregister,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Request {
    pub(in crate::cli) action: Action,
    /// Of [`Action::Vote`]; this node without it.
    pub(in crate::cli) node: Option<u32>,
    pub(in crate::cli) order: Order,
    pub(in crate::cli) style: Style,
    /// Addresses instead of names.
    pub(in crate::cli) addresses: bool,
    /// All addresses.
    pub(in crate::cli) all_addresses: bool,
    /// JSON instead of text.
    pub(in crate::cli) json: bool,
    /// Whether to say what to do where Corosync's tool says nothing but what is wrong.
    pub(in crate::cli) helpful: bool,
}

/// Does it. Returns the exit status.
pub(in crate::cli) fn run(request: &Request, site: &Site, streams: &mut Streams<'_>) -> u8 {
    match act(request, site, streams) {
        Ok(status) => status,
        Err(complaint) => {
            streams.err(complaint + "\n");
            1
        }
    }
}

fn act(request: &Request, site: &Site, streams: &mut Streams<'_>) -> Result<u8, String> {
    let provider = match site.confdb(Map::Configuration).get_value("quorum.provider") {
        Ok(value) => value.and_then(|value| value.as_text().map(std::borrow::Cow::into_owned)),
        Err(error) if request.helpful => return Err(error.to_string()),
        Err(_) => return Err("Cannot initialize CMAP service".to_owned()),
    };
    let votes = provider.as_deref() == Some(VOTEQUORUM);
    let without = |what: &str| Err(format!("You cannot {what}, corosync is not using votequorum"));
    match request.action {
        Action::Status | Action::Monitor if provider.is_none() => {
            if request.action == Action::Monitor {
                streams.out("\nQuorum is not configured - cannot monitor\n");
            }
            Err(format!("Unable to start votequorum status tracking: {}", Status::BadHandle))
        }
        Action::Status => {
            let report = report(request, site, provider, streams)?;
            show(&report, request, streams);
            Ok(if report.quorate { 0 } else { 2 })
        }
        Action::List => {
            let mut report = match provider {
                Some(_) => report(request, site, provider, streams)?,
                // As Corosync's tool, which then knows of no members.
                None => {
                    let mut report = report(request, site, None, streams)?;
                    report.members.clear();
                    report.votes = None;
                    report
                }
            };
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
            set.map_err(|error| format!("Unable to set expected votes: {}", error.status()))?;
            Ok(0)
        }
        Action::Vote(votes) => {
            let node = match request.node {
                Some(node) => node,
                None => site.local().map_err(|_| "Unable to retrieve this_node_id")?.get(),
            };
            let set = match NodeId::new(node) {
                Some(id) => site.quorum().set_votes(id, votes).map_err(|error| error.status()),
                None => Err(Status::InvalidParam),
            };
            set.map_err(|status| format!("Unable to set votes {votes} for nodeid: {node}: {status}"))?;
            Ok(0)
        }
        Action::Unregister => unregister(site).map(|()| 0),
    }
}

/// Without a device there is nothing to do.
fn unregister(site: &Site) -> Result<(), String> {
    let failed = |error: Error| format!("Unable to unregister quorum device: {}", error.status());
    let own = site.quorum().info().map_err(failed)?.votes;
    let Some(device) = own.map(|votes| votes.device).filter(|device| device.registered) else {
        return Ok(());
    };
    // Registering under the device's own name takes it over.
    site.quorum().register_device(&device.name).and_then(|device| device.unregister()).map_err(failed)
}

fn report(
    request: &Request,
    site: &Site,
    provider: Option<String>,
    streams: &mut Streams<'_>,
) -> Result<Report, String> {
    let naming = Naming { addresses: request.addresses, all: request.all_addresses };
    let asked = gather::report(site, provider, naming);
    let (mut report, missing) = asked.map_err(|error| match request.helpful {
        true => error.to_string(),
        false => format!("Unable to start votequorum status tracking: {}", error.status()),
    })?;
    for what in missing {
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

/// Shows how it is at each change, the present state first.
fn monitor(
    request: &Request,
    site: &Site,
    provider: &Option<String>,
    streams: &mut Streams<'_>,
) -> Result<u8, String> {
    let failed = |error: Error| format!("Unable to dispatch quorum status: {}", error.status());
    let mut changes = site.quorum().changes().map_err(failed)?;
    while !streams.closed() {
        if changes.next(None).map_err(failed)?.is_some() {
            let report = report(request, site, provider.clone(), streams)?;
            show(&report, request, streams);
            if !request.json {
                streams.out("\n");
            }
            streams.flush();
        }
    }
    Ok(0)
}
