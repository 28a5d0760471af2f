//! The calls of libcfg.

use super::{hear, listen, tell};
use rust_corosync::NodeId;
use rust_corosync::cfg::{
    self, Callbacks, Handle, NodeStatusVersion, ShutdownFlags, ShutdownReply, TrackFlags,
};

pub struct Calls {
    handle: Handle,
    other: Handle,
}

fn on_shutdown(handle: &Handle, flags: u32) {
    let said = cfg::reply_to_shutdown(handle, ShutdownReply::No);
    hear(format!("shutdown asked, flags {flags}, no said: {}", said.is_ok()));
}

impl Calls {
    pub fn new() -> Option<Self> {
        let callbacks = Callbacks { corosync_cfg_shutdown_callback_fn: Some(on_shutdown) };
        let handle = cfg::initialize(&callbacks).ok()?;
        let other = cfg::initialize(&callbacks).ok()?;
        Some(Self { handle, other })
    }

    pub fn all(&self) {
        let h = &self.handle;
        tell("cfg local_get", cfg::local_get(h));
        for node in [1, 2, 3, 9] {
            tell(
                &format!("cfg node_status_get {node}"),
                cfg::node_status_get(h, NodeId::from(node), NodeStatusVersion::V1),
            );
        }
        tell("cfg reload", cfg::reload_cnfig(h));
        tell("cfg reopen_log_files", cfg::reopen_log_files(h));
        tell("cfg kill_node, nobody", cfg::kill_node(h, NodeId::from(9), "no reason"));
        tell("cfg reply_to_shutdown, not asked", cfg::reply_to_shutdown(h, ShutdownReply::Yes));
        tell("cfg track_start", cfg::track_start(h, TrackFlags::None));
        tell("cfg track_start, again", cfg::track_start(h, TrackFlags::None));
        // The call waits for the answer of the client that is asked, so it runs in a thread.
        let asks = self.other.clone();
        let asked = std::thread::spawn(move || cfg::try_shutdown(&asks, ShutdownFlags::Request));
        listen("cfg asked", cfg::fd_get(h), "shutdown asked", |flags| cfg::dispatch(h, flags));
        tell("cfg try_shutdown", asked.join().expect("it does not panic"));
        tell("cfg track_stop", cfg::track_stop(h));
        tell("cfg track_stop, again", cfg::track_stop(h));
    }

    pub fn after(&self) {
        tell("cfg local_get, alone", cfg::local_get(&self.handle));
        tell("cfg try_shutdown, alone", cfg::try_shutdown(&self.handle, ShutdownFlags::Regardless));
        tell("cfg finalize", cfg::finalize(&self.handle));
        tell("cfg finalize, the other", cfg::finalize(&self.other));
    }
}
