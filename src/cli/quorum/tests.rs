//! Outputs of Debian 12's corosync-quorumtool, for three nodes and for a cluster with a quorum device.

use super::report::{Member, Order, Report};
use super::text::{Style, list, status};
use crate::ids::{NodeId, RingId};
use crate::quorum::{DeviceInfo, NodeState, VoteInfo};

const DATE: &str = "Sat Nov 21 00:52:49 2026";

fn device(registered: bool, alive: bool, casts_vote: bool, master_wins: bool) -> DeviceInfo {
    DeviceInfo { name: "QD".to_owned(), votes: 1, registered, alive, casts_vote, master_wins }
}

fn votes(node: u32, device: DeviceInfo) -> VoteInfo {
    VoteInfo {
        node: NodeId::new(node).unwrap(),
        state: NodeState::Member,
        votes: 1,
        expected_votes: 3,
        highest_expected: 3,
        total_votes: 3,
        quorum: 2,
        quorate: true,
        two_node: false,
        wait_for_all: false,
        last_man_standing: false,
        auto_tie_breaker: false,
        allow_downscale: false,
        device,
    }
}

fn report(nodes: &[(u32, &str, DeviceInfo)]) -> Report {
    let member = |(id, name, device): &(u32, &str, DeviceInfo)| Member {
        id: *id,
        names: vec![(*name).to_owned()],
        votes: Some(votes(*id, device.clone())),
    };
    Report {
        provider: Some("corosync_votequorum".to_owned()),
        local: 1,
        ring: RingId { rep: NodeId::new(1).unwrap(), seq: 13 },
        quorate: true,
        votes: Some(votes(1, nodes[0].2.clone())),
        members: nodes.iter().map(member).collect(),
    }
}

fn three() -> Report {
    let none = DeviceInfo::default;
    report(&[(1, "n1", none()), (2, "n2", none()), (3, "n3", none())])
}

#[test]
fn a_quorate_cluster() {
    let wanted = "Quorum information\n------------------\nDate:             Sat Nov 21 00:52:49 2026\n\
         Quorum provider:  corosync_votequorum\nNodes:            3\nNode ID:          1\n\
         Ring ID:          1.d\nQuorate:          Yes\n\nVotequorum information\n----------------------\n\
         Expected votes:   3\nHighest expected: 3\nTotal votes:      3\nQuorum:           2  \n\
         Flags:            Quorate \n\nMembership information\n----------------------\n    \
         Nodeid      Votes Name\n         1          1 n1 (local)\n         2          1 n2\n         \
         3          1 n3\n";
    assert_eq!(status(&three(), DATE, Style::default()), wanted);
}

#[test]
fn a_cluster_without_quorum() {
    let mut report = report(&[(1, "n1", DeviceInfo::default())]);
    report.quorate = false;
    let own = report.votes.as_mut().unwrap();
    own.quorate = false;
    own.total_votes = 1;
    let text = status(&report, DATE, Style::default());
    assert!(text.contains("\nQuorate:          No\n"), "{text}");
    assert!(text.contains("\nQuorum:           2 Activity blocked\nFlags:            \n"), "{text}");
}

#[test]
fn status_with_all_flags() {
    let mut report = three();
    let own = report.votes.as_mut().unwrap();
    (own.two_node, own.wait_for_all, own.last_man_standing) = (true, true, true);
    (own.auto_tie_breaker, own.allow_downscale, own.device.registered) = (true, true, true);
    let flags = "\nFlags:            2Node Quorate WaitForAll LastManStanding AutoTieBreaker AllowDownscale Qdevice \n";
    let text = status(&report, DATE, Style::default());
    assert!(text.contains(flags), "{text}");
}

#[test]
fn node_ids_in_hexadecimal() {
    let style = Style { hex: true, machine: false };
    let text = status(&three(), DATE, style);
    assert!(text.contains("\nNode ID:          0x00000001\n"), "{text}");
    assert!(text.ends_with(
        "\n0x00000001          1 n1 (local)\n0x00000002          1 n2\n0x00000003          1 n3\n"
    ));
}

#[test]
fn machine_readable_output() {
    let style = Style { hex: false, machine: true };
    let expected = "\nMembership information\n----------------------\n    Nodeid      Votes    Qdevice Name\n         \
         1          1         NR n1 (local)\n         2          1         NR n2\n         \
         3          1         NR n3\n";
    assert_eq!(list(&three(), style), expected);
}

#[test]
fn a_device_that_has_not_voted() {
    let report = report(&[
        (1, "n1", device(true, false, false, false)),
        (2, "n2", device(false, false, false, false)),
    ]);
    let expected = "\nMembership information\n----------------------\n    Nodeid      Votes    Qdevice Name\n         \
         1          1  NA,NV,NMW n1 (local)\n         2          1         NR n2\n         \
         0          0            QD (votes 1)\n";
    assert_eq!(list(&report, Style::default()), expected);
}

#[test]
fn a_device_that_votes() {
    let report = report(&[(1, "n1", device(true, true, true, true))]);
    let expected = "\nMembership information\n----------------------\n    Nodeid      Votes    Qdevice Name\n\
         0x00000001          1     A,V,MW n1 (local)\n0x00000000          1            QD\n";
    assert_eq!(list(&report, Style { hex: true, machine: false }), expected);
}

#[test]
fn status_without_votes() {
    let mut report = three();
    report.votes = None;
    report.members.clear();
    let heading = "\nMembership information\n----------------------\n    Nodeid Name\n";
    assert_eq!(list(&report, Style { hex: true, machine: true }), heading);
}

#[test]
fn orders() {
    let mut report = report(&[
        (2, "a", DeviceInfo::default()),
        (10, "c", DeviceInfo::default()),
        (1, "b", DeviceInfo::default()),
    ]);
    let ids = |report: &Report| report.members.iter().map(|member| member.id).collect::<Vec<_>>();
    report.sort(Order::Address);
    assert_eq!(ids(&report), [2, 10, 1]);
    report.sort(Order::Name);
    assert_eq!(ids(&report), [2, 1, 10]);
    report.sort(Order::Id);
    assert_eq!(ids(&report), [1, 2, 10]);
}
