//! `annulus reload`, `reopen-logs`, `shutdown`, `kill`.

use serde_json::json;

use super::Outcome;
use crate::admin::{NodeOutcome, Reload, Shutdown};
use crate::cli::failure::Failure;
use crate::cli::quorum::json::line;
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::confdb::Map;
use crate::error::Status;
use crate::ids::NodeId;

pub(super) fn reload(site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    others_must_agree(site)?;
    let report = site.admin().reload()?;
    // Corosync's daemon may give a reason in the database, which is then used.
    let told = site.confdb(Map::Configuration).get_value("config.reload_error_message").ok().flatten();
    if let Some(message) =
        told.as_ref().and_then(|value| value.as_text()).filter(|message| !message.is_empty())
    {
        return Err(Failure::new(format!("not reloaded: {message}")));
    }
    streams.out(if json { line(&as_json(&report)) } else { as_text(&report) });
    Ok(())
}

fn as_json(report: &Reload) -> serde_json::Value {
    let nodes = report.nodes.iter().map(|node| {
        json!({
            "node": node.node.get(),
            "outcome": match node.outcome {
                NodeOutcome::Applied => "applied",
                NodeOutcome::NoFile => "no_file",
                NodeOutcome::Told => "told",
            },
            "waits_for_restart": node.kept,
        })
    });
    let nodes: Vec<serde_json::Value> = nodes.collect();
    json!({ "done": "reloaded", "changed": report.changed, "nodes": nodes })
}

/// One line for the outcome on the nodes, and one for each kind of change.
fn as_text(report: &Reload) -> String {
    let ids = |outcome: NodeOutcome| -> Vec<String> {
        let nodes = report.nodes.iter().filter(|node| node.outcome == outcome);
        nodes.map(|node| node.node.to_string()).collect()
    };
    let mut text = match ids(NodeOutcome::Applied) {
        none if none.is_empty() => "all nodes were told to read their configuration again\n".to_owned(),
        some => format!("applied by: {}\n", some.join(" ")),
    };
    for (outcome, what) in [
        (NodeOutcome::NoFile, "without a file, nothing to do for: "),
        (NodeOutcome::Told, "told to read their files, but not able to say what they make of them: "),
    ] {
        let nodes = ids(outcome);
        if !nodes.is_empty() {
            text.push_str(&format!("{what}{}\n", nodes.join(" ")));
        }
    }
    if !report.nodes.is_empty() {
        let changed = if report.changed.is_empty() { "nothing".to_owned() } else { report.changed.join(" ") };
        text.push_str(&format!("changed here: {changed}\n"));
    }
    for node in &report.nodes {
        for key in &node.kept {
            text.push_str(&format!("node {}: waits for a restart: {key}\n", node.node));
        }
    }
    text
}

pub(super) fn reopen_logs(site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    site.admin().reopen_logs()?;
    done("the log files are open again", json, streams);
    Ok(())
}

pub(super) fn shutdown(
    force: bool,
    now: bool,
    site: &Site,
    json: bool,
    streams: &mut Streams<'_>,
) -> Outcome {
    let how = match (force, now) {
        (_, true) => Shutdown::Immediate,
        (true, false) => Shutdown::Regardless,
        (false, false) => Shutdown::IfAllAgree,
    };
    others_must_agree(site)?;
    site.admin().shutdown(how).map_err(|error| match error.status() {
        Status::Busy => Failure::new(
            "a program that uses the daemon objects (Pacemaker does while it runs). Stop it first, or use --force",
        ),
        _ => error.into(),
    })?;
    done("the daemon is ending", json, streams);
    Ok(())
}

pub(super) fn kill(node: u32, reason: &str, site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    let Some(id) = NodeId::new(node) else { return Err(Failure::new("no node has the id 0")) };
    site.admin().kill(id, reason)?;
    done(&format!("node {node} was told to end"), json, streams);
    Ok(())
}

/// The command needs the consent of other nodes or programs, which takes time. Whether the daemon answers is checked
/// before, within the normal limit.
pub(super) fn others_must_agree(site: &Site) -> Outcome {
    site.local()?;
    site.deadline.expect_order();
    Ok(())
}

fn done(what: &str, json: bool, streams: &mut Streams<'_>) {
    streams.out(if json { line(&json!({ "done": what })) } else { format!("{what}\n") });
}
