//! `annulus groups`: process groups and their members.

use serde_json::{Value, json};

use super::Outcome;
use super::table::{columns, harmless};
use crate::cli::failure::Failure;
use crate::cli::quorum::json::line;
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::cpg::{GroupName, Member};

pub(super) fn run(names: &[String], site: &Site, as_json: bool, streams: &mut Streams<'_>) -> Outcome {
    let mut groups: Vec<_> = site.cpg().groups()?.into_iter().collect();
    if !names.is_empty() {
        // Pacemaker and other programs end their group names with a NUL.
        let is = |group: &GroupName, name: &str| {
            let bytes = group.as_bytes();
            bytes == name.as_bytes() || bytes.strip_suffix(b"\0") == Some(name.as_bytes())
        };
        if let Some(missing) = names.iter().find(|name| !groups.iter().any(|(group, _)| is(group, name))) {
            return Err(Failure::new(format!("there is no group {missing:?}; `annulus groups` lists all")));
        }
        groups.retain(|(group, _)| names.iter().any(|name| is(group, name)));
    }
    if as_json {
        streams.out(line(&json(&groups)));
        return Ok(());
    }
    let mut rows = Vec::new();
    for (name, members) in &groups {
        for member in members {
            let addresses = site.admin().addresses(member.node).unwrap_or_default();
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            rows.push([shown(name), member.node.to_string(), member.pid.to_string(), addresses.join(" ")]);
        }
    }
    let text = columns(["GROUP", "NODE", "PID", "ADDRESS"], &rows, streams);
    streams.out(text);
    Ok(())
}

/// A name without the NUL that some names end with.
pub(super) fn shown(name: &GroupName) -> String {
    let bytes = name.as_bytes();
    harmless(bytes.strip_suffix(b"\0").unwrap_or(bytes))
}

/// Groups as JSON. A name that is not UTF-8 also has its bytes.
pub(super) fn json(groups: &[(GroupName, Vec<Member>)]) -> Value {
    let group = |(name, members): &(GroupName, Vec<Member>)| {
        let members: Vec<_> =
            members.iter().map(|member| json!({ "node_id": member.node.get(), "pid": member.pid })).collect();
        let mut value = json!({ "name": String::from_utf8_lossy(name.as_bytes()), "members": members });
        if str::from_utf8(name.as_bytes()).is_err() {
            value["name_bytes"] = json!(name.as_bytes());
        }
        value
    };
    groups.iter().map(group).collect()
}
