//! The report as JSON.

use serde_json::{Value, json};

use super::report::{Report, flags};

/// A value as JSON on one line.
pub(in crate::cli) fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// The whole report.
pub(in crate::cli) fn report(report: &Report) -> Value {
    let votes = report.votes.as_ref().map(|votes| {
        json!({
            "expected": votes.expected_votes,
            "highest_expected": votes.highest_expected,
            "total": votes.total_votes,
            "quorum": votes.quorum,
            "flags": flags(votes),
            "device": device(report),
        })
    });
    json!({
        "provider": report.provider,
        "node_id": report.local,
        "ring": report.ring.to_string(),
        "quorate": report.quorate,
        "votes": votes,
        "members": members(report),
    })
}

/// The members only.
pub(in crate::cli) fn members(report: &Report) -> Value {
    let member = |member: &super::report::Member| {
        let device = member.votes.as_ref().map(|votes| {
            json!({
                "registered": votes.device.registered,
                "alive": votes.device.alive,
                "casts_vote": votes.device.casts_vote,
                "master_wins": votes.device.master_wins,
            })
        });
        json!({
            "node_id": member.id,
            "names": member.names,
            "local": member.id == report.local,
            "votes": member.votes.as_ref().map(|votes| votes.votes),
            "device": device,
        })
    };
    report.members.iter().map(member).collect()
}

fn device(report: &Report) -> Value {
    let Some(votes) = report.votes.as_ref().filter(|_| report.has_device()) else { return Value::Null };
    json!({ "name": votes.device.name, "votes": votes.device.votes, "casts_vote": votes.device.casts_vote })
}
