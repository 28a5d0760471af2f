//! The calls of libquorum.

use super::{hear, listen, tell};
use rust_corosync::quorum::{self, Handle, Model1Data, Model1Flags, ModelData, QuorumType, RingId};
use rust_corosync::{NodeId, TrackFlags};

pub struct Calls {
    handle: Handle,
}

fn on_quorum(_: &Handle, quorate: bool, ring: RingId, members: Vec<NodeId>) {
    hear(format!("quorum {quorate} ring of {} {members:?}", ring.nodeid));
}

fn on_nodes(_: &Handle, ring: RingId, members: Vec<NodeId>, joined: Vec<NodeId>, left: Vec<NodeId>) {
    hear(format!("nodes ring of {} {members:?} joined {joined:?} left {left:?}", ring.nodeid));
}

impl Calls {
    pub fn new() -> Option<Self> {
        let model = ModelData::ModelV1(Model1Data {
            flags: Model1Flags::None,
            quorum_notification_fn: Some(on_quorum),
            nodelist_notification_fn: Some(on_nodes),
        });
        let (handle, kind) = quorum::initialize(&model, 11).ok()?;
        println!("quorum initialize: {}", if matches!(kind, QuorumType::Set) { "set" } else { "free" });
        // The older model reports no member list.
        match quorum::initialize(&ModelData::ModelNone, 12) {
            Ok((none, _)) => {
                tell("quorum getquorate, no model", quorum::getquorate(&none));
            }
            Err(error) => println!("quorum initialize, no model: {error}"),
        }
        Some(Self { handle })
    }

    pub fn all(&self) {
        let h = &self.handle;
        tell("quorum getquorate", quorum::getquorate(h));
        tell("quorum context_set", quorum::context_set(h, 13));
        tell("quorum context_get", quorum::context_get(h));
        tell("quorum trackstop, not started", quorum::trackstop(h));
        tell("quorum trackstart, current", quorum::trackstart(h, TrackFlags::Current));
        listen("quorum current", quorum::fd_get(h), "quorum ", |flags| quorum::dispatch(h, flags));
        tell("quorum trackstart, changes", quorum::trackstart(h, TrackFlags::Changes));
        tell("quorum trackstart, again", quorum::trackstart(h, TrackFlags::ChangesOnly));
        tell("quorum trackstop", quorum::trackstop(h));
        tell("quorum trackstop, again", quorum::trackstop(h));
    }

    pub fn after(&self) {
        tell("quorum getquorate, alone", quorum::getquorate(&self.handle));
        tell("quorum trackstart, alone", quorum::trackstart(&self.handle, TrackFlags::Current));
        tell("quorum finalize", quorum::finalize(&self.handle));
    }
}
