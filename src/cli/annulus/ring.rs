//! `annulus ring`: the ring's id, members, timers and counters.

use serde_json::{Map as Object, Value, json};

use super::Outcome;
use super::table::{Tint, columns, tinted};
use crate::cli::quorum::json::line;
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::confdb::{Error, Map};

/// Prefixes of the effective timers and of the ring's counters.
const TIMERS: &str = "runtime.config.totem.";
const COUNTERS: &str = "stats.srp.";

pub(super) fn run(site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    let info = site.quorum().info()?;
    let timers = entries(site, Map::Configuration, TIMERS)?;
    let counters = entries(site, Map::Statistics, COUNTERS)?;
    if json {
        let members: Vec<u32> = info.members.iter().map(|node| node.get()).collect();
        let object =
            |entries: &[(String, Value)]| Value::Object(entries.iter().cloned().collect::<Object<_, _>>());
        streams.out(line(&json!({
            "ring": info.ring.to_string(),
            "representative": info.ring.rep.get(),
            "sequence": info.ring.seq,
            "members": members,
            "settings": object(&timers),
            "counters": object(&counters),
        })));
        return Ok(());
    }
    let members: Vec<String> = info.members.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "{} {}: representative {}, sequence number {}, members {}\n",
        tinted("Ring", Tint::Head, streams),
        info.ring,
        info.ring.rep,
        info.ring.seq,
        members.join(" ")
    );
    let rows = |entries: &[(String, Value)]| -> Vec<[String; 2]> {
        entries.iter().map(|(key, value)| [key.clone(), plain(value)]).collect()
    };
    text += &format!("\n{}", columns(["SETTING", "VALUE"], &rows(&timers), streams));
    text += &format!("\n{}", columns(["COUNTER", "VALUE"], &rows(&counters), streams));
    streams.out(text);
    Ok(())
}

fn entries(site: &Site, map: Map, prefix: &str) -> Result<Vec<(String, Value)>, Error> {
    let all = site.confdb(map).list(prefix)?;
    all.map(|entry| {
        let entry = entry?;
        let key = entry.key.strip_prefix(prefix).unwrap_or(&entry.key).to_owned();
        Ok((key, super::confdb::bare(&entry.value)))
    })
    .collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| super::table::harmless(text.as_bytes()))
}
