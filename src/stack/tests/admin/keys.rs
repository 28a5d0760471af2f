//! The keys in use, a new key, the change of the key after a reload.

use super::*;
use crate::admin::wire::keys;
use crate::admin::{KeyUse, NodeKey};
use crate::config::key::Key;
use crate::ids::Guarantee;
use crate::totem::Group;
use crate::totem::wire::pack::Packet;
use crate::totem::wire::{Frame, parse};

const SUITE: &str = "aes256/sha256";

fn uses(print: u64) -> KeyUse {
    KeyUse::Uses { print, next: None, suite: SUITE.to_owned() }
}

/// Nodes 1, 2 and so on use these keys.
fn table(uses: impl IntoIterator<Item = KeyUse>) -> Vec<NodeKey> {
    uses.into_iter().zip(1..).map(|(uses, node)| NodeKey { node: id(node), uses }).collect()
}

/// A node of Corosync does not answer which key it uses, and cannot accept a key through the ring.
#[test]
fn a_key_is_sent_to_nobody_if_a_node_does_not_answer() {
    let mut admin = Admin::pair();
    admin.ask(A, Ask::NewKey);
    admin.ask(B, Ask::Keys);
    admin.cluster.settle();
    assert_eq!(admin.orders(), [Order::LookAtKey]);
    admin.tell(1, |stack, now, world| stack.key_seen(now, (5, None, "aes256/sha256"), world));
    admin.cluster.settle();
    assert!(!admin.is_answered());
    admin.cluster.take_delivered(1);
    admin.run_past(admin.desk().deadline().unwrap());
    assert!(admin.sent().is_empty());
    assert_eq!(admin.orders(), [Order::LookAtKey], "no key is made");
    assert_eq!(admin.take_orders(2), [Order::LookAtKey], "which the program there does not carry out");
    let told = admin.take_replies();
    let [(A, refused), (B, known)] = &told[..] else { panic!("{told:?}") };
    let (why, none) = keys::decode(refused).unwrap();
    assert!(why.starts_with("node 2 did not say which key is used there. Corosync's nodes cannot"), "{why}");
    assert!(none.is_empty());
    let all = table([uses(5), KeyUse::Silent, KeyUse::Away]);
    assert_eq!(keys::decode(known), Some((String::new(), all)));
}

/// The ring goes over to a new key when every node has stored it, and then every node replaces its key file.
#[test]
fn a_new_key_is_used_when_all_nodes_have_stored_it() {
    let mut admin = Admin::pair();
    let orders = |admin: &mut Admin| {
        admin.cluster.settle();
        [1, 2].map(|node| admin.take_orders(node))
    };
    admin.ask(A, Ask::NewKey);
    assert_eq!(orders(&mut admin), [[Order::LookAtKey], [Order::LookAtKey]]);
    for node in [1, 2] {
        admin.tell(node, |stack, now, world| stack.key_seen(now, (5, None, SUITE), world));
    }
    assert_eq!(orders(&mut admin), [vec![Order::MakeKey], vec![]]);
    let key = Key::new(&[7; 256]).unwrap();
    admin.tell(1, |stack, now, world| stack.key_made(now, Ok((key.clone(), 5)), world));
    let store = || [Order::StoreKey(key.clone(), 5)];
    assert_eq!(orders(&mut admin), [store(), store()]);
    admin.tell(1, |stack, now, world| stack.key_stored(now, Ok(()), world));
    assert_eq!(orders(&mut admin), [vec![], vec![]], "one node has not stored it");
    admin.tell(2, |stack, now, world| stack.key_stored(now, Ok(()), world));
    let over = || [Order::SwitchKey, Order::ForgetKey, Order::KeepKey];
    assert_eq!(orders(&mut admin), [over(), over()]);
    for node in [1, 2] {
        assert!(!admin.is_answered());
        admin.tell(node, |stack, now, world| stack.key_kept(now, Ok((6, SUITE.to_owned())), world));
        admin.cluster.settle();
    }
    let told = admin.take_replies();
    let [(A, done)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(status(done), Status::Ok);
    assert_eq!(keys::decode(done), Some((String::new(), table([uses(6), uses(6)]))));
}

/// Corosync's nodes deliver messages that they call safe as agreed, read their files while the reload message is
/// delivered, and forget the old key one rotation after they announced it.
#[test]
fn a_key_changes_at_once_beside_corosync_and_otherwise_when_all_are_ready() {
    for beside_corosync in [true, false] {
        let mut admin = Admin::pair();
        // In the name of a node of Corosync, node 2 says nothing but that the files are to be read.
        let nodes = if beside_corosync { &[1][..] } else { &[1, 2] };
        if beside_corosync {
            admin.node_2_says(&Exec::Reload { conn: 1 });
        } else {
            admin.ask(A, Ask::Reload { report: false });
            admin.cluster.settle();
        }
        let config = config("token = 4000");
        for node in nodes {
            let read = if beside_corosync { Order::ReloadBesideCorosync } else { Order::Reload };
            assert_eq!(admin.take_orders(*node), [read]);
            admin.tell(*node, |stack, now, world| stack.judged(now, Ok(&config), world));
        }
        admin.cluster.settle();
        admin.cluster.sent = Some(Vec::new());
        for node in nodes {
            assert_eq!(admin.take_orders(*node), [Order::Adopt]);
            admin.tell(*node, |stack, now, world| stack.adopted(now, Ok(&config), true, world));
        }
        admin.cluster.settle();
        let guarantee = if beside_corosync { Guarantee::Agreed } else { Guarantee::Safe };
        let sent = admin.cluster.sent.take().unwrap();
        for node in nodes {
            assert_eq!(guarantees(&sent, *node), [guarantee; 2], "{beside_corosync}");
            let ordered = admin.take_orders(*node);
            assert_eq!(ordered[0], Order::SwitchKey);
            // Beside Corosync it is kept as long as node 2 has not said that it has switched.
            let forgotten = if beside_corosync { &[][..] } else { &[Order::ForgetKey] };
            assert_eq!(ordered[1..], *forgotten);
        }
    }
}

/// The guarantees of the messages of the administration that a node has multicast, from the datagrams that were sent.
fn guarantees(sent: &[(u32, Bytes)], node: u32) -> Vec<Guarantee> {
    let mut found = Vec::new();
    for (_, frame) in sent.iter().filter(|(from, _)| *from == node) {
        let (Frame::Mcast(mcast), order) = parse(frame).unwrap() else { continue };
        let packet = Packet::parse(Bytes::copy_from_slice(mcast.payload), order).unwrap();
        for piece in packet.pieces() {
            let message = piece.strip_prefix(Group::App.header());
            if message.is_some_and(|message| service(message) == ServiceId::CFG) {
                found.push(mcast.guarantee);
            }
        }
    }
    found
}
