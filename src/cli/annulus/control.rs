//! `annulus reload`, `reopen-logs`, `shutdown`, `kill`.

use serde_json::json;

use super::{Failure, Outcome};
use crate::admin::Shutdown;
use crate::cli::quorum::json::line;
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::confdb::Map;
use crate::error::Status;
use crate::ids::NodeId;

pub(super) fn reload(site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    site.admin().reload()?;
    // Where the daemon says more, what it says counts.
    let told = site.confdb(Map::Configuration).get_value("config.reload_error_message").ok().flatten();
    if let Some(message) =
        told.as_ref().and_then(|value| value.as_text()).filter(|message| !message.is_empty())
    {
        return Err(Failure::new(format!("not reloaded: {message}")));
    }
    done("all nodes were told to read their configuration again", json, streams);
    Ok(())
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

fn done(what: &str, json: bool, streams: &mut Streams<'_>) {
    streams.out(if json { line(&json!({ "done": what })) } else { format!("{what}\n") });
}
