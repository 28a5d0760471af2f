//! The calls of libcpg.

use super::{hear, listen, patiently, tell};
use rust_corosync::NodeId;
use rust_corosync::cpg::{
    self, Address, CpgIterStart, CpgIterType, Guarantee, Handle, Model1Data, Model1Flags, ModelData, RingId,
};

pub struct Calls {
    handle: Handle,
    other: Handle,
}

fn who(list: &[Address]) -> Vec<String> {
    let me = std::process::id();
    list.iter()
        .map(|one| {
            let pid = if one.pid == me { "me" } else { "somebody" };
            format!("{}/{pid}/{}", one.nodeid, one.reason)
        })
        .collect()
}

fn on_message(_: &Handle, group: String, node: NodeId, pid: u32, bytes: &[u8], length: usize) {
    let mine = pid == std::process::id();
    let sum: u64 = bytes.iter().map(|byte| u64::from(*byte)).sum();
    hear(format!("message {group:?} {node} mine {mine} {length} bytes, sum {sum}"));
}

fn on_members(_: &Handle, group: &str, members: Vec<Address>, left: Vec<Address>, joined: Vec<Address>) {
    hear(format!("members {group:?} {:?} left {:?} joined {:?}", who(&members), who(&left), who(&joined)));
}

fn on_ring(_: &Handle, ring: RingId, members: Vec<NodeId>) {
    hear(format!("ring of {} {members:?}", ring.nodeid));
}

impl Calls {
    pub fn new() -> Option<Self> {
        let model = ModelData::ModelV1(Model1Data {
            flags: Model1Flags::None,
            deliver_fn: Some(on_message),
            confchg_fn: Some(on_members),
            totem_confchg_fn: Some(on_ring),
        });
        let handle = patiently(|| cpg::initialize(&model, 5)).ok()?;
        let other = patiently(|| cpg::initialize(&model, 6)).ok()?;
        Some(Self { handle, other })
    }

    pub fn all(&self) {
        let h = &self.handle;
        tell("cpg local_get", cpg::local_get(h));
        // Until a context is set, the crate stores an address of its own in it.
        tell("cpg context_set", cpg::context_set(h, 9));
        tell("cpg context_get", cpg::context_get(h));
        tell("cpg max_atomic_msgsize_get", cpg::max_atomic_msgsize_get(h));
        tell("cpg flow_control_state_get", cpg::flow_control_state_get(h));
        tell("cpg leave, not joined", cpg::leave(h, "calls"));
        tell("cpg membership_get, nobody", cpg::membership_get(h, "calls").map(|list| who(&list)));
        tell("cpg join", patiently(|| cpg::join(h, "calls")));
        listen("cpg joined", cpg::fd_get(h), "Join", |flags| cpg::dispatch(h, flags));
        tell("cpg join, again", cpg::join(h, "calls"));
        tell("cpg join, another", cpg::join(h, "another"));
        tell("cpg join, the same process", cpg::join(&self.other, "calls"));
        tell("cpg join, on another handle", patiently(|| cpg::join(&self.other, "another")));
        listen("cpg joined too", cpg::fd_get(&self.other), "ring of", |flags| {
            cpg::dispatch(&self.other, flags)
        });
        tell("cpg join, a long name", cpg::join(&self.other, &"n".repeat(129)));
        for (name, guarantee) in [
            ("unordered", Guarantee::TypeUnordered),
            ("fifo", Guarantee::TypeFifo),
            ("agreed", Guarantee::TypeAgreed),
            ("safe", Guarantee::TypeSafe),
        ] {
            tell(
                &format!("cpg mcast_joined {name}"),
                patiently(|| cpg::mcast_joined(h, guarantee, name.as_bytes())),
            );
        }
        tell("cpg mcast_joined, nothing", patiently(|| cpg::mcast_joined(h, Guarantee::TypeAgreed, &[])));
        let large = vec![3_u8; 1_500_000];
        tell("cpg mcast_joined, large", patiently(|| cpg::mcast_joined(h, Guarantee::TypeAgreed, &large)));
        tell("cpg mcast_joined, last", patiently(|| cpg::mcast_joined(h, Guarantee::TypeAgreed, &[1; 4321])));
        listen("cpg delivered", cpg::fd_get(h), "4321 bytes", |flags| cpg::dispatch(h, flags));
        tell("cpg membership_get", cpg::membership_get(h, "calls").map(|list| who(&list)));
        for (name, kind) in [("one", CpgIterType::OneGroup), ("all", CpgIterType::All)] {
            match CpgIterStart::new(h, "calls", kind) {
                Ok(start) => start.into_iter().for_each(|item| {
                    let mine = item.pid == std::process::id();
                    println!("cpg iter {name}: {:?} {} mine {mine}", item.group, item.nodeid);
                }),
                Err(error) => println!("cpg iter {name}: {error}"),
            }
        }
        tell("cpg leave", patiently(|| cpg::leave(h, "calls")));
        listen("cpg left", cpg::fd_get(h), "Leave", |flags| cpg::dispatch(h, flags));
        tell("cpg leave, the other", patiently(|| cpg::leave(&self.other, "another")));
        listen("cpg left too", cpg::fd_get(&self.other), "Leave", |flags| cpg::dispatch(&self.other, flags));
        tell("cpg finalize", cpg::finalize(&self.other));
        tell("cpg local_get, finalized", cpg::local_get(&self.other));
    }

    pub fn after(&self) {
        tell("cpg local_get, alone", cpg::local_get(&self.handle));
        tell("cpg mcast_joined, alone", cpg::mcast_joined(&self.handle, Guarantee::TypeAgreed, b"alone"));
        tell("cpg finalize", cpg::finalize(&self.handle));
    }
}
