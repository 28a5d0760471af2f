//! `annulus confdb`: the configuration database and the statistics.

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value as Json, json};

use super::Outcome;
use super::options::{Confdb, Which};
use super::table::{Tint, harmless, tinted};
use crate::cli::corosync::values::{self, type_name};
use crate::cli::failure::Failure;
use crate::cli::quorum::json::line;
use crate::cli::site::Site;
use crate::cli::streams::Streams;
use crate::confdb::{Change, ChangeKind, Map};
use crate::value::Value;

pub(super) fn run(action: &Confdb, site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    match action {
        Confdb::Get { map, quiet, keys } => {
            for key in keys {
                let value = site.confdb(which(*map)).get_value(key)?.ok_or_else(|| missing(key))?;
                let text = match (json, quiet) {
                    (true, _) => line(&entry(key, &value)),
                    (false, true) => plain(&value) + "\n",
                    (false, false) => shown(key, &value),
                };
                streams.out(text);
            }
            Ok(())
        }
        Confdb::Set { key, kind, value } => {
            let value = values::read(kind.as_bytes(), value.as_bytes()).map_err(Failure::new)?;
            Ok(site.confdb(Map::Configuration).set(key, value)?)
        }
        Confdb::Delete { prefix, keys } => delete(*prefix, keys, site),
        Confdb::List { map, prefixes } => list(prefixes, which(*map), site, json, streams),
        Confdb::Watch { map, prefixes } => watch(prefixes, which(*map), site, json, streams),
    }
}

const fn which(map: Which) -> Map {
    if map.statistics { Map::Statistics } else { Map::Configuration }
}

fn missing(key: &str) -> Failure {
    Failure::new(format!("there is no key {key}; `annulus confdb list` shows all (statistics: with -s)"))
}

fn delete(prefix: bool, keys: &[String], site: &Site) -> Outcome {
    let confdb = site.confdb(Map::Configuration);
    for key in keys {
        if prefix {
            if key.is_empty() {
                return Err(Failure::new("an empty prefix would delete all there is; name one"));
            }
            let all: Vec<_> = confdb.list(key)?.collect::<Result<_, _>>()?;
            for entry in all {
                confdb.remove(&entry.key)?;
            }
        } else if !confdb.remove(key)? {
            return Err(missing(key));
        }
    }
    Ok(())
}

fn list(prefixes: &[String], map: Map, site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    let all = [String::new()];
    let mut found = Vec::new();
    for prefix in if prefixes.is_empty() { all.as_slice() } else { prefixes } {
        for each in site.confdb(map).list(prefix)? {
            let each = each?;
            if json {
                found.push(entry(&each.key, &each.value));
            } else {
                streams.out(shown(&each.key, &each.value));
            }
        }
    }
    if json {
        streams.out(line(&found.into()));
    }
    Ok(())
}

fn watch(prefixes: &[String], map: Map, site: &Site, json: bool, streams: &mut Streams<'_>) -> Outcome {
    let all = [String::new()];
    let prefixes = if prefixes.is_empty() { all.as_slice() } else { prefixes };
    let mut changes: Vec<_> =
        prefixes.iter().map(|prefix| site.confdb(map).watch(prefix)).collect::<Result<_, _>>()?;
    site.deadline.pause();
    while !streams.closed() {
        streams.flush();
        let mut waits: Vec<_> = changes.iter().map(|changes| PollFd::new(changes, PollFlags::IN)).collect();
        match poll(&mut waits, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(waits);
        for changes in &mut changes {
            while let Some(change) = changes.try_next()? {
                let text = if json { line(&change_json(&change)) } else { change_text(&change, streams) };
                streams.out(text);
            }
        }
    }
    Ok(())
}

fn change_text(change: &Change, streams: &Streams<'_>) -> String {
    let (sign, tint) = match change.kind {
        ChangeKind::Added => ("+", Tint::Good),
        ChangeKind::Modified => ("~", Tint::Head),
        ChangeKind::Removed => ("-", Tint::Bad),
    };
    let text = |value: &Option<Value>| {
        value.as_ref().map(|value| format!("({}) {}", type_name(value), plain(value)))
    };
    let sides = match (text(&change.old), text(&change.new)) {
        (Some(old), Some(new)) => format!("{old} -> {new}"),
        (old, new) => new.or(old).unwrap_or_default(),
    };
    format!("{} {} {sides}\n", tinted(sign, tint, streams), change.key)
}

fn change_json(change: &Change) -> Json {
    let kind = match change.kind {
        ChangeKind::Added => "added",
        ChangeKind::Modified => "modified",
        ChangeKind::Removed => "removed",
    };
    let side = |value: &Option<Value>| value.as_ref().map(typed);
    json!({ "key": change.key, "change": kind, "old": side(&change.old), "new": side(&change.new) })
}

fn shown(key: &str, value: &Value) -> String {
    format!("{key} ({}) = {}\n", type_name(value), plain(value))
}

fn plain(value: &Value) -> String {
    match value {
        Value::Text(text) => harmless(text),
        other => other.to_string(),
    }
}

fn entry(key: &str, value: &Value) -> Json {
    let mut entry = typed(value);
    entry["key"] = key.into();
    entry
}

/// A value with its type, as `{"type": …, "value": …}`: numbers as numbers (NaN and infinity as null), texts as
/// strings, bytes as a list. A text that is not UTF-8 also has its bytes.
fn typed(value: &Value) -> Json {
    let mut typed = json!({ "type": type_name(value), "value": bare(value) });
    if let Value::Text(text) = value
        && str::from_utf8(text).is_err()
    {
        typed["bytes"] = json!(text);
    }
    typed
}

/// A value without its type.
pub(super) fn bare(value: &Value) -> Json {
    match value {
        Value::I8(n) => json!(n),
        Value::U8(n) => json!(n),
        Value::I16(n) => json!(n),
        Value::U16(n) => json!(n),
        Value::I32(n) => json!(n),
        Value::U32(n) => json!(n),
        Value::I64(n) => json!(n),
        Value::U64(n) => json!(n),
        Value::F32(n) => json!(n),
        Value::F64(n) => json!(n),
        Value::Text(text) => json!(String::from_utf8_lossy(text)),
        Value::Bytes(bytes) => json!(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_types() {
        let expected = r#"{"key":"a.b","type":"u64","value":18446744073709551615}"#;
        assert_eq!(entry("a.b", &Value::U64(u64::MAX)).to_string(), expected);
        assert_eq!(typed(&Value::F64(f64::NAN)).to_string(), r#"{"type":"dbl","value":null}"#);
        let expected = "{\"bytes\":[97,255],\"type\":\"str\",\"value\":\"a\u{fffd}\"}";
        assert_eq!(typed(&Value::Text(vec![b'a', 0xff])).to_string(), expected);
        assert_eq!(typed(&Value::Bytes(vec![0, 1])).to_string(), r#"{"type":"bin","value":[0,1]}"#);
        assert_eq!(shown("a.b", &Value::text("x\x1b")), "a.b (str) = x\\u{1b}\n");
    }

    #[test]
    fn changes_show_the_old_and_the_new_value() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams = Streams::new(&mut out, &mut err);
        let change = Change {
            key: "a.b".to_owned(),
            kind: ChangeKind::Modified,
            old: Some(Value::U8(1)),
            new: Some(Value::text("x")),
        };
        assert_eq!(change_text(&change, &streams), "~ a.b (u8) 1 -> (str) x\n");
        let expected = r#"{"change":"modified","key":"a.b","new":{"type":"str","value":"x"},"old":{"type":"u8","value":1}}"#;
        assert_eq!(change_json(&change).to_string(), expected);
    }
}
