//! The replies to clients.

use zerocopy::{FromZeros, U32};

use super::super::{NAME_LEN, NE, name_bytes};
use super::{State, info, response};
use crate::error::Status;
use crate::ids::NodeId;
use crate::service::wire::layout::{layout, to_bytes};
use crate::service::wire::{ReplyHeaderBytes, plain_reply};

layout! {
    /// The reply to GETINFO as bytes.
    pub(crate) struct InfoReplyBytes: 320, ReplyHeaderBytes {
        pub(crate) node: U32<NE>,
        pub(crate) state: U32<NE>,
        pub(crate) votes: U32<NE>,
        pub(crate) expected_votes: U32<NE>,
        pub(crate) highest_expected: U32<NE>,
        pub(crate) total_votes: U32<NE>,
        pub(crate) quorum: U32<NE>,
        /// Bits of [`info`].
        pub(crate) flags: U32<NE>,
        pub(crate) device_votes: U32<NE>,
        /// Always NUL-terminated, because libvotequorum copies it as a string.
        pub(crate) device_name: [u8; NAME_LEN],
        pub(crate) pad: [u8; 5],
    }
}

impl InfoReplyBytes {
    /// A reply that contains only a status.
    fn empty(status: Status) -> Self {
        let mut reply = Self::new_zeroed();
        reply.header = ReplyHeaderBytes::new(response::GET_INFO, size_of::<Self>(), status);
        reply
    }
}

/// The votes of one node, and those of the whole cluster as this node sees them.
///
/// Source: `votequorum_getinfo(3)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// The node that it is about.
    pub(crate) node: NodeId,
    /// The state of the node.
    pub(crate) state: State,
    /// The votes of the node.
    pub(crate) votes: u32,
    /// The number of votes that the node expects.
    pub(crate) expected_votes: u32,
    /// The largest number that any member expects.
    pub(crate) highest_expected: u32,
    /// The votes of all members, including those of the quorum device if it casts them for the node.
    pub(crate) total_votes: u32,
    /// The votes needed.
    pub(crate) quorum: u32,
    /// Whether this node is quorate.
    pub(crate) quorate: bool,
    /// Whether one of two nodes is sufficient.
    pub(crate) two_node: bool,
    /// Whether all nodes must have been present once.
    pub(crate) wait_for_all: bool,
    /// Whether expected votes are lowered some time after nodes have gone.
    pub(crate) last_man_standing: bool,
    /// Whether one half of the cluster may be sufficient.
    pub(crate) auto_tie_breaker: bool,
    /// Whether expected votes are lowered when nodes leave cleanly.
    pub(crate) allow_downscale: bool,
    /// The quorum device.
    pub(crate) device: DeviceInfo,
}

/// The quorum device: name and votes as this node knows them, the rest as the node in question says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceInfo {
    /// The name; empty: none. At most 254 bytes are sent.
    pub(crate) name: Vec<u8>,
    pub(crate) votes: u32,
    /// Whether it is registered at the node.
    pub(crate) registered: bool,
    /// Whether it has polled in time.
    pub(crate) alive: bool,
    /// Whether it votes for the node's partition.
    pub(crate) casts_vote: bool,
    /// Whether the partition with its vote is quorate, whatever the other votes are.
    pub(crate) master_wins: bool,
}

impl Info {
    /// The bits of [`info`].
    fn flags(&self) -> u32 {
        let flags = [
            (self.two_node, info::TWO_NODE),
            (self.quorate, info::QUORATE),
            (self.wait_for_all, info::WAIT_FOR_ALL),
            (self.last_man_standing, info::LAST_MAN_STANDING),
            (self.auto_tie_breaker, info::AUTO_TIE_BREAKER),
            (self.allow_downscale, info::ALLOW_DOWNSCALE),
            (self.device.registered, info::QDEVICE_REGISTERED),
            (self.device.alive, info::QDEVICE_ALIVE),
            (self.device.casts_vote, info::QDEVICE_CAST_VOTE),
            (self.device.master_wins, info::QDEVICE_MASTER_WINS),
        ];
        flags.into_iter().filter(|(on, _)| *on).fold(0, |all, (_, bit)| all | bit)
    }

    fn bytes(&self) -> InfoReplyBytes {
        InfoReplyBytes {
            node: U32::new(self.node.get()),
            state: U32::new(self.state as u32),
            votes: U32::new(self.votes),
            expected_votes: U32::new(self.expected_votes),
            highest_expected: U32::new(self.highest_expected),
            total_votes: U32::new(self.total_votes),
            quorum: U32::new(self.quorum),
            flags: U32::new(self.flags()),
            device_votes: U32::new(self.device.votes),
            device_name: name_bytes(&self.device.name),
            ..InfoReplyBytes::empty(Status::Ok)
        }
    }
}

/// A reply to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// To every request but GETINFO.
    Status(Status),
    /// To GETINFO; an error: the request is too short, or the node is unknown.
    Info(Result<Info, Status>),
}

impl Reply {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Status(status) => plain_reply(response::STATUS, *status).to_vec(),
            Self::Info(Ok(info)) => to_bytes(&info.bytes()),
            Self::Info(Err(status)) => to_bytes(&InfoReplyBytes::empty(*status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node_2() -> Info {
        Info {
            node: NodeId::new(2).unwrap(),
            state: State::Dead,
            votes: 3,
            expected_votes: 4,
            highest_expected: 5,
            total_votes: 6,
            quorum: 7,
            quorate: false,
            two_node: false,
            wait_for_all: false,
            last_man_standing: false,
            auto_tie_breaker: false,
            allow_downscale: false,
            device: DeviceInfo { name: b"Qdevice".to_vec(), votes: 3, ..DeviceInfo::default() },
        }
    }

    /// docs/protocol/services.md, "Requests and events of votequorum": the offsets of fields that clients
    /// read.
    #[test]
    fn fields_are_where_clients_look() {
        let reply = Reply::Info(Ok(node_2())).encode();
        assert_eq!(reply.len(), 320);
        assert_eq!((&reply[..4], &reply[8..12]), (&1i32.to_ne_bytes()[..], &320i32.to_ne_bytes()[..]));
        for (at, number) in [2u32, 2, 3, 4, 5, 6, 7, 0, 3].into_iter().enumerate() {
            assert_eq!(reply[24 + 4 * at..28 + 4 * at], number.to_ne_bytes(), "{at}");
        }
        assert_eq!(reply[56..60], 3u32.to_ne_bytes());
        assert_eq!(&reply[60..68], b"Qdevice\0");

        for status in [Status::InvalidParam, Status::NotExist] {
            let refusal = Reply::Info(Err(status)).encode();
            assert_eq!(refusal.len(), 320);
            assert_eq!((&refusal[..4], &refusal[16..20]), (&reply[..4], &status.code().to_ne_bytes()[..]));
            assert!(refusal[20..].iter().all(|byte| *byte == 0));
            let refusal = Reply::Status(status).encode();
            assert_eq!((refusal.len(), &refusal[..4]), (24, &[0; 4][..]));
            assert_eq!(refusal[16..20], status.code().to_ne_bytes());
        }
    }

    /// The name is a string for the client, so it ends with a NUL.
    #[test]
    fn long_names_are_cut() {
        let mut info = node_2();
        info.device.name = vec![b'x'; 300];
        let reply = Reply::Info(Ok(info)).encode();
        assert_eq!((reply[60 + 253], reply[60 + 254]), (b'x', 0));
    }

    /// `votequorum_getinfo(3)`: the values of the flags.
    #[test]
    fn every_flag_has_its_bit() {
        let set: [fn(&mut Info); 10] = [
            |info| info.two_node = true,
            |info| info.quorate = true,
            |info| info.wait_for_all = true,
            |info| info.last_man_standing = true,
            |info| info.auto_tie_breaker = true,
            |info| info.allow_downscale = true,
            |info| info.device.registered = true,
            |info| info.device.alive = true,
            |info| info.device.casts_vote = true,
            |info| info.device.master_wins = true,
        ];
        for (bit, set) in set.into_iter().enumerate() {
            let mut info = node_2();
            set(&mut info);
            assert_eq!(Reply::Info(Ok(info)).encode()[52..56], (1u32 << bit).to_ne_bytes(), "{bit}");
        }
    }
}
