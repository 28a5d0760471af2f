//! The quorum device: registration, its vote, and its silence.

use std::time::Duration;

use zerocopy::IntoBytes;

use super::voters::{CLIENT, OTHER, events, info, key, quorate, running, status, votes};
use crate::error::Status;
use crate::ids::{ConnId, RingId, ServiceId};
use crate::quorum::wire::TRACK_CHANGES;
use crate::quorum::wire::exec::flag;
use crate::quorum::wire::votequorum::{self as v, request};
use crate::stack::tests::cluster::{self, Cluster, id};
use crate::totem::StateName;
use crate::value::Value;

const DEVICE: &[(&str, &str)] = &[("device.model", "net")];

/// The statuses of a client's answers since they were last taken.
fn answers(cluster: &Cluster, node: u32, conn: ConnId) -> Vec<Status> {
    cluster.replies(node, conn).iter().map(|reply| cluster::status(reply)).collect()
}

fn register(cluster: &mut Cluster, node: u32, conn: ConnId) {
    cluster.connect(node, ServiceId::VOTEQUORUM, conn);
    let request = v::DeviceRequestBytes::new(request::QDEVICE_REGISTER, b"Qdevice");
    let answer = cluster.request(node, conn, request.as_bytes());
    assert!(answer.is_none(), "answered when it has been around the ring");
    cluster.settle();
    assert_eq!(answers(cluster, node, conn), [Status::Ok]);
}

fn poll(cluster: &mut Cluster, cast: bool, ring: RingId) -> Status {
    let poll = v::DevicePollRequestBytes::new(b"Qdevice", cast, Some(ring));
    status(cluster, 1, CLIENT, poll.as_bytes())
}

/// Runs until a node is on a ring with these members, whose services are perhaps not synchronised.
fn run_until_on_ring(cluster: &mut Cluster, node: u32, members: &[u32]) {
    cluster.run_until("the node is on a ring with these members", |cluster| {
        let totem = cluster.nodes[&node].stack.totem();
        let members = members.iter().map(|node| id(*node));
        totem.state() == StateName::Operational && totem.members().iter().copied().eq(members)
    });
}

/// A device keeps one of two halves quorate; the synchronisation waits for its vote.
#[test]
fn a_device_decides_between_two_halves() {
    let mut cluster = running(&[1, 1], DEVICE);
    // The token turns without a pause while the device is awaited.
    cluster.hop = Duration::from_millis(5);
    register(&mut cluster, 1, CLIENT);
    let ring = cluster.ring(1);
    let stale = RingId { seq: ring.seq - 4, ..ring };
    assert_eq!(poll(&mut cluster, true, stale), Status::MessageError);
    assert_eq!(poll(&mut cluster, true, ring), Status::Ok);
    cluster.settle();
    assert_eq!((votes(&cluster, 1).quorum(), votes(&cluster, 1).quorate()), (2, true));
    assert!(votes(&cluster, 2).nodes.get(id(1)).unwrap().has(flag::QDEVICE_CAST_VOTE));
    let track = v::TrackStartRequestBytes::new(1, TRACK_CHANGES);
    assert_eq!(status(&mut cluster, 1, CLIENT, track.as_bytes()), Status::Ok);
    cluster.take_told(1);

    cluster.part(&[0, 1]);
    run_until_on_ring(&mut cluster, 1, &[1]);
    run_until_on_ring(&mut cluster, 2, &[2]);
    cluster.run(Duration::from_secs(2));
    assert_eq!(quorate(&cluster, 1), None, "node 1 waits for its device");
    assert_eq!(quorate(&cluster, 2), Some(false), "node 2 has none, and goes on without quorum");
    let seen = events(&mut cluster, 1, CLIENT);
    assert_eq!(seen, [v::response::NODELIST], "the device is told of the new ring");
    let ring = cluster.ring(1);
    assert_eq!(poll(&mut cluster, true, ring), Status::Ok);
    cluster.settle();
    assert_eq!(quorate(&cluster, 1), Some(true));

    // The device withdraws its vote, then stops polling: node 1 is no longer quorate.
    assert_eq!(poll(&mut cluster, false, ring), Status::Ok);
    cluster.settle();
    assert_eq!(quorate(&cluster, 1), Some(false));
    assert_eq!(poll(&mut cluster, true, ring), Status::Ok);
    cluster.run(Duration::from_secs(9));
    assert_eq!(quorate(&cluster, 1), Some(true), "10 s are allowed");
    cluster.run(Duration::from_secs(2));
    assert_eq!(quorate(&cluster, 1), Some(false));
}

/// A device that is silent during a synchronisation delays it until its time-out, and no longer.
#[test]
fn a_silent_device_delays_a_synchronisation_only_until_its_timeout() {
    let mut cluster = running(&[1, 1, 1], DEVICE);
    // The token turns without a pause while the device is awaited.
    cluster.hop = Duration::from_millis(5);
    register(&mut cluster, 1, CLIENT);
    let ring = cluster.ring(1);
    assert_eq!(poll(&mut cluster, true, ring), Status::Ok);
    cluster.settle();
    cluster.kill(3);
    run_until_on_ring(&mut cluster, 1, &[1, 2]);
    cluster.run(Duration::from_secs(1));
    assert_eq!((quorate(&cluster, 1), quorate(&cluster, 2)), (None, None), "all wait");
    cluster.run(Duration::from_secs(28));
    assert_eq!(quorate(&cluster, 2), None);
    cluster.run(Duration::from_secs(2));
    let flags = votes(&cluster, 1).nodes.us().flags;
    assert_eq!(flags & (flag::QDEVICE_ALIVE | flag::QDEVICE_CAST_VOTE), 0);
    assert_eq!((quorate(&cluster, 1), quorate(&cluster, 2)), (Some(false), Some(false)));
}

/// Registration: one device at a time, one name for the cluster, and no registration remains of a client that
/// disconnects early.
#[test]
fn devices_register_under_one_name() {
    let mut cluster = running(&[1, 1], DEVICE);
    let by_name = |request, name: &[u8]| v::DeviceRequestBytes::new(request, name).as_bytes().to_vec();
    let other = by_name(request::QDEVICE_REGISTER, b"Other");
    cluster.connect(2, ServiceId::VOTEQUORUM, OTHER);
    assert!(cluster.request(2, OTHER, &other).is_none());
    cluster.disconnect(2, OTHER);
    cluster.settle();
    assert_eq!(answers(&cluster, 2, OTHER), [], "nobody is there to be answered");
    assert!(!votes(&cluster, 2).nodes.us().has(flag::QDEVICE_REGISTERED));

    cluster.connect(1, ServiceId::VOTEQUORUM, CLIENT);
    let unregister = by_name(request::QDEVICE_UNREGISTER, b"Other");
    assert_eq!(status(&mut cluster, 1, CLIENT, &unregister), Status::NotExist);
    assert!(cluster.request(1, CLIENT, &other).is_none());
    assert_eq!(status(&mut cluster, 1, CLIENT, &other), Status::TryAgain, "one is on its way");
    cluster.take_told(1);
    cluster.settle();
    assert_eq!(answers(&cluster, 1, CLIENT), [Status::Ok]);
    assert_eq!(status(&mut cluster, 1, CLIENT, &other), Status::Ok);
    let register = by_name(request::QDEVICE_REGISTER, b"Qdevice");
    assert_eq!(status(&mut cluster, 1, CLIENT, &register), Status::Exist);
    let wins = v::DeviceMasterWinsRequestBytes::new(b"Qdevice", true);
    assert_eq!(status(&mut cluster, 1, CLIENT, wins.as_bytes()), Status::InvalidParam);
    let wins = v::DeviceMasterWinsRequestBytes::new(b"Other", true);
    assert_eq!(status(&mut cluster, 1, CLIENT, wins.as_bytes()), Status::Ok);
    assert_eq!(key(&cluster, 1, "runtime.votequorum.qdevice_master_wins"), Some(Value::U8(1)));
    assert_eq!(status(&mut cluster, 1, CLIENT, &unregister), Status::Ok);
    cluster.settle();
    assert_eq!(info(&mut cluster, 1, 0).device_name[..6], [0; 6]);
}
