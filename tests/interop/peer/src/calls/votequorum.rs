//! The calls of libvotequorum, with a quorum device for which this program acts.

use super::{hear, listen, tell};
use rust_corosync::votequorum::{self, Callbacks, Handle, Node, NodeInfo, RingId};
use rust_corosync::{CsError, NodeId, TrackFlags};
use std::sync::Mutex;

pub struct Calls {
    handle: Handle,
}

/// The ring of the last node list, which a device must name in its poll.
static RING: Mutex<Option<(u32, u64)>> = Mutex::new(None);

fn on_quorum(_: &Handle, context: u64, quorate: bool, mut nodes: Vec<Node>) {
    // The order does not matter, so it is sorted.
    nodes.sort_by_key(|node| format!("{node:?}"));
    hear(format!("quorum {quorate} {nodes:?} for {context}"));
}

fn on_nodes(_: &Handle, context: u64, ring: RingId, nodes: Vec<NodeId>) {
    *RING.lock().expect("nobody panics with it") = Some((u32::from(ring.nodeid), ring.seq));
    hear(format!("nodes ring of {} {nodes:?} for {context}", ring.nodeid));
}

fn on_expected(_: &Handle, context: u64, votes: u32) {
    hear(format!("expected {votes} for {context}"));
}

fn ring(off: u64) -> RingId {
    let (node, number) = RING.lock().expect("nobody panics with it").unwrap_or((0, 0));
    RingId { nodeid: NodeId::from(node), seq: number + off }
}

fn info(info: NodeInfo) -> String {
    format!(
        "node {} {:?} votes {} expected {} highest {} quorum {} flags {} device {:?} votes {}",
        info.node_id,
        info.node_state,
        info.node_votes,
        info.node_expected_votes,
        info.highest_expected,
        info.quorum,
        info.flags.bits(),
        info.qdevice_name,
        info.qdevice_votes
    )
}

impl Calls {
    pub fn new() -> Option<Self> {
        let callbacks = Callbacks {
            quorum_notification_fn: Some(on_quorum),
            nodelist_notification_fn: Some(on_nodes),
            expectedvotes_notification_fn: Some(on_expected),
        };
        Some(Self { handle: votequorum::initialize(&callbacks).ok()? })
    }

    fn infos(&self) {
        for node in [0, 1, 2, 3] {
            tell(
                &format!("votequorum get_info {node}"),
                votequorum::get_info(&self.handle, NodeId::from(node)).map(info),
            );
        }
    }

    fn listen(&self, word: &str) {
        let h = &self.handle;
        listen("votequorum said", votequorum::fd_get(h), word, |flags| votequorum::dispatch(h, flags));
    }

    pub fn all(&self) {
        let h = &self.handle;
        tell("votequorum context_set", votequorum::context_set(h, 21));
        tell("votequorum context_get", votequorum::context_get(h));
        self.infos();
        tell("votequorum trackstop, not started", votequorum::trackstop(h));
        tell("votequorum trackstart", votequorum::trackstart(h, 22, TrackFlags::Changes));
        tell("votequorum trackstart, again", votequorum::trackstart(h, 23, TrackFlags::Changes));
        tell("votequorum set_expected", votequorum::set_expected(h, 2));
        self.listen("expected 2");
        self.infos();
        tell("votequorum set_expected, none", votequorum::set_expected(h, 0));
        tell("votequorum set_expected, many", votequorum::set_expected(h, 70_000));
        tell("votequorum set_votes", votequorum::set_votes(h, NodeId::from(2), 2));
        tell("votequorum set_votes, nobody's", votequorum::set_votes(h, NodeId::from(9), 1));
        self.listen("expected 4");
        self.infos();
        tell("votequorum set_votes, back", votequorum::set_votes(h, NodeId::from(2), 1));
        tell("votequorum trackstop", votequorum::trackstop(h));
        tell("votequorum trackstart, current", votequorum::trackstart(h, 24, TrackFlags::Current));
        self.listen("nodes ");
        tell("votequorum trackstart", votequorum::trackstart(h, 25, TrackFlags::Changes));
        self.device();
    }

    fn device(&self) {
        let h = &self.handle;
        tell("votequorum qdevice_poll, none", votequorum::qdevice_poll(h, "calls", true, &ring(0)));
        tell("votequorum qdevice_unregister, none", votequorum::qdevice_unregister(h, "calls"));
        tell("votequorum qdevice_update, none", votequorum::qdevice_update(h, "calls", "other"));
        tell("votequorum qdevice_master_wins, none", votequorum::qdevice_master_wins(h, "calls", true));
        tell("votequorum qdevice_register", votequorum::qdevice_register(h, "calls"));
        tell("votequorum qdevice_register, again", votequorum::qdevice_register(h, "calls"));
        tell("votequorum qdevice_register, another", votequorum::qdevice_register(h, "other"));
        tell("votequorum qdevice_register, a long name", votequorum::qdevice_register(h, &"n".repeat(300)));
        self.infos();
        tell("votequorum qdevice_poll, another", votequorum::qdevice_poll(h, "other", true, &ring(0)));
        tell("votequorum qdevice_poll, another ring", votequorum::qdevice_poll(h, "calls", true, &ring(4)));
        // The next poll of the device must come within its time-out.
        tell("votequorum qdevice_poll", again(|| votequorum::qdevice_poll(h, "calls", true, &ring(0))));
        tell("votequorum qdevice_master_wins", votequorum::qdevice_master_wins(h, "calls", true));
        std::thread::sleep(std::time::Duration::from_secs(1));
        self.infos();
        tell("votequorum qdevice_update", votequorum::qdevice_update(h, "calls", "renamed"));
        // The name changes only when the message about it has gone around the ring.
        std::thread::sleep(std::time::Duration::from_secs(1));
        tell("votequorum qdevice_update, the old name", votequorum::qdevice_update(h, "calls", "other"));
        self.infos();
        tell("votequorum qdevice_poll, no vote", votequorum::qdevice_poll(h, "renamed", false, &ring(0)));
        tell("votequorum qdevice_unregister, the old name", votequorum::qdevice_unregister(h, "calls"));
        tell("votequorum qdevice_unregister", votequorum::qdevice_unregister(h, "renamed"));
        std::thread::sleep(std::time::Duration::from_secs(1));
        self.infos();
        tell("votequorum trackstop", votequorum::trackstop(h));
    }

    pub fn after(&self) {
        tell("votequorum get_info, alone", votequorum::get_info(&self.handle, NodeId::from(1)).map(info));
        tell("votequorum set_expected, alone", votequorum::set_expected(&self.handle, 3));
        tell("votequorum finalize", votequorum::finalize(&self.handle));
    }
}

/// Repeats a call, as a registration takes effect only when its message has gone around the ring.
fn again(call: impl Fn() -> rust_corosync::Result<()>) -> rust_corosync::Result<()> {
    for _ in 0..100 {
        match call() {
            Err(CsError::CsErrTryAgain | CsError::CsErrInvalidParam | CsError::CsErrMessageError) => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            result => return result,
        }
    }
    call()
}
