//! Messages of members: when they are sent, their lengths, and fragments.

use bytes::Bytes;
use zerocopy::FromBytes;

use super::answers::{ALL, At, PID, ask, node_at};
use super::bench::{A, delivered, echoes, join, payloads};
use super::speech::{mcast_request, partial, with_handle};
use crate::cpg::wire::{self, exec, request, response};
use crate::ids::{ConnId, Guarantee, Piece};
use crate::totem::wire::Frame;

/// A multicast is never answered; whether it is sent depends on the state.
#[test]
fn multicast_in_every_state() {
    for (at, goes) in ALL.into_iter().zip([false, true, true, false, false, false, false]) {
        let mut cluster = node_at(at);
        assert_eq!(cluster.request(1, A, &mcast_request(0, b"x")), None);
        let stack = &cluster.nodes[&1].stack;
        let lost = stack.desks.cpg.stats().dropped_requests + stack.router().stats().overload;
        assert_eq!(lost, u64::from(!goes), "what is lost is counted, {at:?}");
        cluster.settle();
        let sent = payloads(&mut cluster, 1).into_iter().filter(|payload| payload == "x");
        assert_eq!(sent.count(), usize::from(goes), "{at:?}");
    }
}

/// cpg.h: `CPG_TYPE_SAFE` is 3. Corosync treats all types as agreed, annulus does not.
#[test]
fn the_guarantee_is_honoured() {
    let mut cluster = node_at(At::In);
    cluster.sent = Some(Vec::new());
    for guarantee in 0..5 {
        // One at a time, because messages that share a frame share its guarantee.
        cluster.request(1, A, &mcast_request(guarantee, b"x"));
        cluster.settle();
    }
    let frames = cluster.sent.take().expect("it was set above");
    let sent = frames.iter().filter_map(|(_, frame)| match crate::totem::wire::parse(frame) {
        Ok((Frame::Mcast(frame), _)) => Some(frame.guarantee),
        _ => None,
    });
    use Guarantee::{Agreed, Safe};
    assert_eq!(sent.collect::<Vec<_>>(), [Agreed, Agreed, Agreed, Safe, Agreed]);
}

/// Lengths in multicast requests, over IPC (one part) and inside the process (two parts).
#[test]
fn multicast_lengths_are_checked() {
    let mut cluster = node_at(At::In);
    let mut longer = mcast_request(0, b"hello");
    longer[32] = 6;
    let mut shorter = mcast_request(0, b"hello");
    shorter[32] = 2;
    let mut huge = mcast_request(0, b"hello");
    huge[32..36].fill(0xff);
    for (request, sent) in [(longer, None), (huge, None), (shorter, Some("he"))] {
        for at in [40, request.len()] {
            assert_eq!(cluster.request_in_two(1, A, &request[..at], &request[at..]), None);
            cluster.settle();
            assert_eq!(payloads(&mut cluster, 1), Vec::from_iter(sent));
        }
    }
    assert_eq!(cluster.nodes[&1].stack.desks.cpg.stats().dropped_requests, 4);
}

/// As above, in zero-copy buffers.
#[test]
fn lengths_in_buffers_are_checked() {
    let mut cluster = node_at(At::In);
    let buffers = &mut cluster.node(1).world.buffers;
    buffers.insert(3, mcast_request(0, b"zero-copy").into());
    buffers.insert(4, Bytes::from_static(b"short"));
    assert_eq!(ask(&mut cluster, A, &with_handle(request::ZC_EXECUTE, 3)), (response::MCAST, 1));
    assert_eq!(ask(&mut cluster, A, &with_handle(request::ZC_EXECUTE, 4)), (response::MCAST, 7));
    cluster.settle();
    assert_eq!(payloads(&mut cluster, 1), ["zero-copy"]);
}

/// docs/protocol/services.md, "Answers of CPG": after a membership change the rest of a fragmented message is
/// refused with `CS_ERR_INTERRUPT`, until the next first fragment.
#[test]
fn a_membership_change_interrupts_fragments() {
    let mut cluster = node_at(At::In);
    let first = partial(1, 12, b"first ");
    let last = partial(3, 12, b"second");
    assert_eq!(ask(&mut cluster, A, &first), (18, 1));
    assert_eq!(ask(&mut cluster, A, &last), (18, 1));
    assert_eq!(ask(&mut cluster, A, &first), (18, 1));
    join(&mut cluster, 1, ConnId(2), 200);
    assert_eq!(ask(&mut cluster, A, &last), (18, 16));
    assert_eq!(ask(&mut cluster, A, &first), (18, 1));
    assert_eq!(ask(&mut cluster, A, &last), (18, 1));
    cluster.settle();
    // The fragments are multicast with their kind and the length of the whole message.
    let all = delivered(&mut cluster, 1);
    let sent = all.last().expect("fragments were sent");
    let (head, payload) = exec::PartialMcastBytes::<wire::LE>::ref_from_prefix(sent).unwrap();
    assert_eq!((head.msglen.get(), head.fraglen.get(), head.kind.get()), (12, 6, 3));
    assert_eq!((head.pid.get(), payload), (PID, &b"second"[..]));
}

/// The echo of a message in pieces tells the sender which piece is the last: only after it the sender can be held
/// back.
#[test]
fn the_pieces_of_a_long_message_are_echoed_as_such() {
    let mut cluster = node_at(At::In);
    for kind in [1, 2, 2, 3] {
        assert_eq!(ask(&mut cluster, A, &partial(kind, 24, b"piece ")), (18, 1));
    }
    cluster.settle();
    let expected = [Piece::Part, Piece::Part, Piece::Part, Piece::Last].map(|piece| (A, piece));
    assert_eq!(echoes(&cluster, 1), expected);
}
