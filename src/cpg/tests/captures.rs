//! The bytes that Debian 12's Corosync 3.1.7 sends and reads, captured from its nodes. Group "grp", node 1,
//! process 17336.

use crate::cpg::groups::Process;
use crate::cpg::name::{GroupName, Member, Reason};
use crate::cpg::wire::{Event, Exec, ServiceExec, exec};
use crate::ids::{Endian, NodeId, RingId};

pub(crate) const PID: u32 = 17336;

fn node_id(id: u32) -> NodeId {
    NodeId::new(id).unwrap()
}

/// Bytes from a dump, given as offset and bytes; all others up to `size` are zero.
pub(crate) fn dump(size: usize, lines: &[(usize, &str)]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (offset, line) in lines {
        for (i, byte) in line.split_whitespace().enumerate() {
            bytes[offset + i] = u8::from_str_radix(byte, 16).unwrap();
        }
    }
    bytes
}

/// The join of the process.
pub(crate) fn proc_join() -> Vec<u8> {
    dump(
        168,
        &[
            (0x00, "00 00 02 00 00 00 00 00 a8 00 00 00 00 00 00 00"),
            (0x10, "03 00 00 00 00 00 00 00 67 72 70 00 00 00 00 00"),
            (0x90, "00 00 00 00 00 00 00 00 b8 43 00 00 00 00 00 00"),
            (0xa0, "01 00 00 00 00 00 00 00"),
        ],
    )
}

/// A multicast of "hello"; the connection id in the source has a meaning to the sender only (1 here).
pub(crate) fn mcast() -> Vec<u8> {
    dump(
        189,
        &[
            (0x00, "03 00 02 00 00 00 00 00 bd 00 00 00 00 00 00 00"),
            (0x10, "03 00 00 00 00 00 00 00 67 72 70 00 00 00 00 00"),
            (0x90, "00 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00"),
            (0xa0, "b8 43 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0xb0, "01 00 00 00 00 00 00 00 68 65 6c 6c 6f"),
        ],
    )
}

#[test]
fn lists_of_the_synchronisation() {
    let process =
        Process { member: Member { node: node_id(1), pid: PID }, group: GroupName::new("grp").unwrap() };
    let join_list = dump(
        168,
        &[
            (0x00, "02 00 02 00 00 00 00 00 a8 00 00 00 00 00 00 00"),
            (0x10, "00 00 00 00 00 00 00 00 b8 43 00 00 00 00 00 00"),
            (0x20, "03 00 00 00 00 00 00 00 67 72 70 00 00 00 00 00"),
        ],
    );
    assert_eq!(ServiceExec::JoinList(&[process]).encode(), join_list);
    let decoded = Exec::decode(exec::JOIN_LIST, &join_list, Endian::Little);
    assert_eq!(decoded, Some(Exec::JoinList(vec![(PID, b"grp")])));

    let down_list = dump(
        1568,
        &[
            (0x00, "05 00 02 00 00 00 00 00 20 06 00 00 00 00 00 00"),
            (0x10, "03 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0x20, "03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"),
        ],
    );
    assert_eq!(ServiceExec::DownList { old_members: 3, left: &[node_id(3)] }.encode(), down_list);
}

#[test]
fn membership_event() {
    let members = [(1, PID), (2, 900)].map(|(node, pid)| Member { node: node_id(node), pid });
    let group = GroupName::new("grp").unwrap();
    let (joined, reason) = (&members[1..], Reason::Join);
    let event = Event::Confchg { group: &group, members: &members, left: &[], joined, reason };
    let expected = dump(
        256,
        &[
            (0x00, "04 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00"),
            (0x10, "01 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00"),
            (0x20, "67 72 70 00 00 00 00 00 00 00 00 00 00 00 00 00"),
            (0xa0, "02 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0xb0, "00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0xc0, "b8 43 00 00 00 00 00 00 00 00 00 00 00 00 00 00"),
            (0xd0, "02 00 00 00 00 00 00 00 84 03 00 00 00 00 00 00"),
            (0xe0, "00 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00"),
            (0xf0, "84 03 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
        ],
    );
    assert_eq!(event.encode()[..], expected);
}

#[test]
fn totem_configuration_event() {
    let ring = RingId { rep: node_id(1), seq: 0x1f };
    let expected = dump(
        60,
        &[
            (0x00, "0d 00 00 00 00 00 00 00 3c 00 00 00 00 00 00 00"),
            (0x10, "01 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00"),
            (0x20, "1f 00 00 00 00 00 00 00 03 00 00 00 01 00 00 00"),
            (0x30, "02 00 00 00 03 00 00 00 00 00 00 00"),
        ],
    );
    let event = Event::TotemConfchg { ring, members: &[1, 2, 3].map(node_id) };
    assert_eq!(event.encode()[..], expected);
}
