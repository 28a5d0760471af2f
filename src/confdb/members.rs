//! `runtime.members.*`: the present and former members of the ring.
//!
//! Source: corosync `exec/main.c`, `member_object_joined`, `member_object_left`; `cmap_keys(7)`.

use super::desk::Addresses;
use crate::ids::NodeId;
use crate::service::Context;
use crate::value::Value;
use crate::view::View;

fn key(node: NodeId, what: &str) -> String {
    format!("runtime.members.{node}.{what}")
}

/// Records the nodes that left and joined.
pub(super) fn follow(view: &View, addresses: &Addresses, context: &mut Context<'_>) {
    let database = context.database();
    for node in &view.left {
        database.set(&key(*node, "status"), Value::text("left"));
    }
    for node in &view.joined {
        let before = match database.get(&key(*node, "join_count")) {
            Some(Value::U32(count)) => *count,
            _ => 0,
        };
        database.set(&key(*node, "ip"), Value::text(shown(*node, addresses)));
        database.set(&key(*node, "join_count"), Value::U32(before.wrapping_add(1)));
        database.set(&key(*node, "status"), Value::text("joined"));
    }
}

/// Records the version of its configuration that a node has sent.
pub(super) fn set_version(node: NodeId, version: u64, context: &mut Context<'_>) {
    context.database().set(&key(node, "config_version"), Value::U64(version));
}

/// A node's addresses in Corosync's form, which other programs parse.
fn shown(node: NodeId, addresses: &Addresses) -> String {
    let all = addresses.get(&node).map_or(&[][..], Vec::as_slice);
    all.iter().enumerate().map(|(n, address)| format!("r({n}) ip({address}) ")).collect()
}
