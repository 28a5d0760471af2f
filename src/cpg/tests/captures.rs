//! The bytes that Debian 12's Corosync 3.1.7 sends and reads, captured from its nodes. Group "grp", node 1,
//! process 17336.

use crate::cpg::groups::Process;
use crate::cpg::name::{GroupName, Member, Reason};
use crate::cpg::wire::{Event, Exec, ServiceExec, exec};
use crate::ids::{Endian, RingId, node};

pub(crate) const PID: u32 = 17336;

/// Bytes from a dump, whose lines are an offset, a colon and bytes, all of them in hexadecimal; all other bytes up to
/// `size` are zero.
pub(crate) fn dump(size: usize, lines: &str) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (offset, line) in lines.lines().filter_map(|line| line.trim().split_once(':')) {
        let offset = usize::from_str_radix(offset, 16).unwrap();
        for (i, byte) in line.split_whitespace().enumerate() {
            bytes[offset + i] = u8::from_str_radix(byte, 16).unwrap();
        }
    }
    bytes
}

/// The join of the process.
pub(crate) fn proc_join() -> Vec<u8> {
    let lines = "
        00: 00 00 02 00 00 00 00 00 a8 00 00 00 00 00 00 00
        10: 03 00 00 00 00 00 00 00 67 72 70 00 00 00 00 00
        90: 00 00 00 00 00 00 00 00 b8 43 00 00 00 00 00 00
        a0: 01 00 00 00 00 00 00 00";
    dump(168, lines)
}

/// A multicast of "hello"; the connection id in the source has a meaning to the sender only (1 here).
pub(crate) fn mcast() -> Vec<u8> {
    let lines = "
        00: 03 00 02 00 00 00 00 00 bd 00 00 00 00 00 00 00
        10: 03 00 00 00 00 00 00 00 67 72 70 00 00 00 00 00
        90: 00 00 00 00 00 00 00 00 05 00 00 00 00 00 00 00
        a0: b8 43 00 00 00 00 00 00 01 00 00 00 00 00 00 00
        b0: 01 00 00 00 00 00 00 00 68 65 6c 6c 6f";
    dump(189, lines)
}

#[test]
fn lists_of_the_synchronisation() {
    let process =
        Process { member: Member { node: node(1), pid: PID }, group: GroupName::new("grp").unwrap() };
    let lines = "
        00: 02 00 02 00 00 00 00 00 a8 00 00 00 00 00 00 00
        10: 00 00 00 00 00 00 00 00 b8 43 00 00 00 00 00 00
        20: 03 00 00 00 00 00 00 00 67 72 70 00 00 00 00 00";
    let join_list = dump(168, lines);
    assert_eq!(ServiceExec::JoinList(&[process]).encode(), join_list);
    let decoded = Exec::decode(exec::JOIN_LIST, &join_list, Endian::Little);
    assert_eq!(decoded, Some(Exec::JoinList(vec![(PID, b"grp")])));

    let lines = "
        00: 05 00 02 00 00 00 00 00 20 06 00 00 00 00 00 00
        10: 03 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00
        20: 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
    let down_list = dump(1568, lines);
    assert_eq!(ServiceExec::DownList { old_members: 3, left: &[node(3)] }.encode(), down_list);
}

#[test]
fn membership_event() {
    let members = [(1, PID), (2, 900)].map(|(id, pid)| Member { node: node(id), pid });
    let group = GroupName::new("grp").unwrap();
    let (joined, reason) = (&members[1..], Reason::Join);
    let event = Event::Confchg { group: &group, members: &members, left: &[], joined, reason };
    let lines = "
        00: 04 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00
        10: 01 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00
        20: 67 72 70 00 00 00 00 00 00 00 00 00 00 00 00 00
        a0: 02 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00
        b0: 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00
        c0: b8 43 00 00 00 00 00 00 00 00 00 00 00 00 00 00
        d0: 02 00 00 00 00 00 00 00 84 03 00 00 00 00 00 00
        e0: 00 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00
        f0: 84 03 00 00 00 00 00 00 01 00 00 00 00 00 00 00";
    let expected = dump(256, lines);
    assert_eq!(event.encode()[..], expected);
}

#[test]
fn totem_configuration_event() {
    let ring = RingId { rep: node(1), seq: 0x1f };
    let lines = "
        00: 0d 00 00 00 00 00 00 00 3c 00 00 00 00 00 00 00
        10: 01 00 00 00 00 00 00 00 01 00 00 00 00 00 00 00
        20: 1f 00 00 00 00 00 00 00 03 00 00 00 01 00 00 00
        30: 02 00 00 00 03 00 00 00 00 00 00 00";
    let expected = dump(60, lines);
    let event = Event::TotemConfchg { ring, members: &[1, 2, 3].map(node) };
    assert_eq!(event.encode()[..], expected);
}
