//! `annulus status`: a summary of the node.

use std::collections::BTreeMap;

use serde_json::json;

use super::encryption::Encryption;
use super::paths::Paths;
use super::table::{Tint, columns, harmless, tinted};
use super::{Outcome, groups};
use crate::cli::failure::Failure;
use crate::cli::links::Links;
use crate::cli::quorum::gather::{self, Naming};
use crate::cli::quorum::json;
use crate::cli::quorum::report::{Report, flags};
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::confdb::Map;
use crate::cpg::{GroupName, Member};
use crate::ids::NodeId;

/// Prefix of the statistics of what the kernel does for several datagrams at a time.
const OFFLOAD: &str = "stats.annulus.offload.";

/// Everything that the command shows.
struct Status {
    cluster: Option<String>,
    /// Why this node is not in an operating ring, if so.
    outage: Option<String>,
    report: Report,
    /// The names of nodes in the node list.
    names: BTreeMap<NodeId, String>,
    links: Links,
    paths: Paths,
    encryption: Encryption,
    /// Whether several datagrams are sent and received as one message; `None` with Corosync's daemon.
    offload: Option<[bool; 2]>,
    groups: Vec<(GroupName, Vec<Member>)>,
}

pub(super) fn run(site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    let status = ask(site)?;
    if json {
        let value = json!({
            "cluster": status.cluster,
            "outage": status.outage,
            "quorum": json::report(&status.report),
            "links": links_json(&status.links, &status.paths),
            "encryption": status.encryption.json(),
            "offload": status.offload.map(|[sending, receiving]| json!({"sending": sending, "receiving": receiving})),
            "groups": groups::json(&status.groups),
        });
        streams.out(json::line(&value));
    } else {
        let text = text(&status, streams);
        streams.out(text);
    }
    Ok(())
}

fn ask(site: &Site) -> Result<Status, Failure> {
    let words = |key| -> Result<Option<String>, Failure> {
        let value = site.confdb(Map::Configuration).get_value(key)?;
        Ok(value.and_then(|value| value.as_text().map(|text| harmless(text.as_bytes()))))
    };
    let cluster = words("totem.cluster_name")?;
    let outage = words(crate::stack::OUTAGE)?;
    let (report, _) = gather::report(site, words("quorum.provider")?, Naming::default())?;
    let links = Links::ask(site)?;
    let paths = Paths::ask(site, &links);
    let encryption = Encryption::ask(site)?;
    let offload = offload(site)?;
    let groups = site.cpg().groups()?.into_iter().collect();
    Ok(Status {
        cluster,
        outage,
        report,
        names: gather::names(site),
        links,
        paths,
        encryption,
        offload,
        groups,
    })
}

/// Whether the kernel cuts and combines datagrams for the daemon.
fn offload(site: &Site) -> Result<Option<[bool; 2]>, Failure> {
    let does = |name: &str| -> Result<_, Failure> {
        let value = site.confdb(Map::Statistics).get_value(&format!("{OFFLOAD}{name}"))?;
        Ok(value.and_then(|value| value.number()).map(|does| does != 0))
    };
    Ok(does("sending")?.zip(does("receiving")?).map(<[bool; 2]>::from))
}

fn text(status: &Status, streams: &Streams<'_>) -> String {
    let Status { cluster, outage, report, links, groups, .. } = status;
    let head = |text: &str| tinted(text, Tint::Head, streams);
    let cluster = cluster.as_deref().unwrap_or("without a name");
    let mut text = format!("{} {} in cluster {cluster}\n", head("Node"), report.local);
    text += &format!(
        "{} {}, {} of {} nodes, transport {}\n",
        head("Ring"),
        report.ring,
        report.members.len(),
        links.reaches.len().max(report.members.len()),
        links.transport
    );
    if let Some(why) = outage {
        let none = tinted("NONE operates, the last is shown", Tint::Bad, streams);
        text += &format!("{} {none}: {why}\n", head("Ring"));
    }
    text += &format!("{} {}\n", head("Quorum"), quorum(report, streams));
    text += &format!("{} {}\n", head("Encryption"), status.encryption.text(streams));
    if let Some(does) = status.offload {
        let [sending, receiving] = does.map(|does| if does { "yes" } else { "no" });
        text += &format!(
            "{} several datagrams at a time: sending {sending}, receiving {receiving}\n",
            head("Offload")
        );
    }
    text.push('\n');
    text += &nodes(status, streams);
    text.push('\n');
    text += &status.paths.table(links, streams);
    if groups.is_empty() {
        return text + "No process groups\n";
    }
    let rows: Vec<_> =
        groups.iter().map(|(name, members)| [groups::shown(name), members.len().to_string()]).collect();
    text + &columns(["GROUP", "MEMBERS"], &rows, streams)
}

fn quorum(report: &Report, streams: &Streams<'_>) -> String {
    let Some(votes) = &report.votes else {
        return "nobody votes (no quorum.provider)".to_owned();
    };
    let verdict = match report.quorate {
        true => tinted("yes", Tint::Good, streams),
        false => tinted("NO, activity is blocked", Tint::Bad, streams),
    };
    let mut text = format!(
        "{verdict}: {} of {} votes, {} needed",
        votes.total_votes, votes.expected_votes, votes.quorum
    );
    let extra: Vec<_> = flags(votes).into_iter().filter(|flag| *flag != "Quorate").collect();
    if !extra.is_empty() {
        text += &format!(" ({})", extra.join(", "));
    }
    text
}

/// A table of all nodes of the node list and of the ring.
fn nodes(status: &Status, streams: &Streams<'_>) -> String {
    let Status { report, links, names, .. } = status;
    let mut ids: Vec<u32> = links.reaches.iter().map(|reach| reach.node).collect();
    ids.extend(report.members.iter().map(|member| member.id));
    ids.sort_unstable();
    ids.dedup();
    let rows: Vec<_> = ids
        .iter()
        .map(|id| {
            let member = report.members.iter().find(|member| member.id == *id);
            let reach = links.reaches.iter().find(|reach| reach.node == *id);
            let listed = NodeId::new(*id).and_then(|id| names.get(&id));
            let called = member.map(|member| member.names.join(", "));
            let name = listed.cloned().or(called).unwrap_or_default();
            let votes = member.and_then(|member| member.votes.as_ref());
            let state = match (member, *id == report.local) {
                (Some(_), true) => "here",
                (Some(_), false) => "member",
                (None, _) => "absent",
            };
            let ways = reach.map(|reach| ways(links, reach)).unwrap_or_default();
            [
                id.to_string(),
                harmless(name.as_bytes()),
                state.to_owned(),
                votes.map_or_else(|| "-".to_owned(), |votes| votes.votes.to_string()),
                ways,
            ]
        })
        .collect();
    columns(["NODE", "NAME", "STATE", "VOTES", "LINKS"], &rows, streams)
}

/// The links to a node, such as `0 10.0.0.2 up, 1 10.1.0.2 down`; empty for this node.
fn ways(links: &Links, reach: &crate::cli::links::Reach) -> String {
    if reach.node == links.local {
        return String::new();
    }
    let enabled = reach.status.links.iter().enumerate().filter(|(_, link)| link.enabled);
    let shown: Vec<String> = enabled
        .map(|(number, link)| {
            let to = if links.is_knet() { &link.to } else { &link.from };
            let state = if link.connected { "up" } else { "down" };
            format!("{number} {} {state}", harmless(to.as_bytes()))
        })
        .collect();
    shown.join(", ")
}

fn links_json(links: &Links, paths: &Paths) -> serde_json::Value {
    let nodes: Vec<_> = links
        .reaches
        .iter()
        .map(|reach| {
            let enabled = reach.status.links.iter().enumerate().filter(|(_, link)| link.enabled);
            let ways: Vec<_> = enabled
                .map(|(number, link)| {
                    json!({
                        "link": number,
                        "connected": link.connected,
                        "mtu": link.mtu,
                        "from": link.from,
                        "to": link.to,
                        "path": paths.json(reach.node, number),
                    })
                })
                .collect();
            json!({
                "node_id": reach.node,
                "local": reach.node == links.local,
                "reachable": reach.status.reachable,
                "links": ways,
            })
        })
        .collect();
    json!({ "transport": links.transport, "nodes": nodes })
}
