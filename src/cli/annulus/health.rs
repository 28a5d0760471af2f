//! `annulus health`: one line and an exit status, for programs that monitor the node.

use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::quorum::json::line;
use crate::cli::site::Site;
use crate::cli::streams::Streams;

/// The exit status if the node's part of the cluster is not quorate.
const NOT_QUORATE: u8 = 2;

pub(super) fn run(site: &Site, as_json: bool, streams: &mut Streams<'_>) -> Result<u8, Failure> {
    let info = site.quorum().info()?;
    let local = match &info.votes {
        Some(votes) => votes.node,
        None => site.local()?,
    }
    .get();
    let verdict = if info.quorate { "well" } else { "not quorate" };
    if as_json {
        let members: Vec<u32> = info.members.iter().map(|node| node.get()).collect();
        let votes = info.votes.as_ref().map(
            |votes| json!({ "total": votes.total_votes, "expected": votes.expected_votes, "quorum": votes.quorum }),
        );
        streams.out(line(&json!({
            "health": verdict,
            "node_id": local,
            "ring": info.ring.to_string(),
            "members": members,
            "quorate": info.quorate,
            "votes": votes,
        })));
    } else {
        let count = info.members.len();
        let nodes = if count == 1 { "node" } else { "nodes" };
        let votes = match &info.votes {
            Some(votes) => {
                format!("{} of {} votes, {} needed", votes.total_votes, votes.expected_votes, votes.quorum)
            }
            None => "nobody votes (no quorum.provider)".to_owned(),
        };
        streams.out(format!("{verdict}: node {local} in ring {} of {count} {nodes}, {votes}\n", info.ring));
    }
    Ok(if info.quorate { 0 } else { NOT_QUORATE })
}
