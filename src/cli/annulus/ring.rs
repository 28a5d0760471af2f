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
/// Prefix of the token time-out and of the waits for the token, which Corosync does not tell.
const TOKEN: &str = "stats.annulus.token.";

pub(super) fn run(site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    let info = site.quorum().info()?;
    let timers = entries(site, Map::Configuration, TIMERS)?;
    let counters = entries(site, Map::Statistics, COUNTERS)?;
    let token = entries(site, Map::Statistics, TOKEN)?;
    if json {
        let members: Vec<u32> = info.members.iter().map(|node| node.get()).collect();
        let object =
            |entries: &[(String, Value)]| Value::Object(entries.iter().cloned().collect::<Object<_, _>>());
        streams.out(line(&json!({
            "ring": info.ring.to_string(),
            "representative": info.ring.rep.get(),
            "sequence": info.ring.seq,
            "members": members,
            "token": object(&token),
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
    text += &detection(&token)
        .map_or_else(String::new, |said| format!("{} {said}\n", tinted("Token", Tint::Head, streams)));
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

/// The token time-out in force and how much of it was needed; `None` with Corosync, which does not tell.
fn detection(token: &[(String, Value)]) -> Option<String> {
    let number = |name: &str| token.iter().find(|(key, _)| key == name)?.1.as_f64();
    let (timeout, configured) = (number("timeout")?, number("configured")?);
    let why = match number("measured")? != 0.0 {
        true => format!("measured by all members, {configured} ms is configured"),
        false => "as configured".to_owned(),
    };
    let ms = |name: &str| number(name).map(|us| us / 1000.0);
    let (median, most, worst) = (ms("wait_median_us")?, ms("wait_99_us")?, ms("wait_worst_hour_us")?);
    let share = 100.0 * worst / timeout.max(1.0);
    Some(format!(
        "time-out {timeout} ms ({why}); waited for the token: median {median:.1} ms, 99 % {most:.1} ms; worst of the last \
         hour {worst:.1} ms, which is {share:.0} % of the time-out"
    ))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| super::table::harmless(text.as_bytes()))
}
