//! The exec messages of votequorum.
//!
//! Source: corosync `exec/votequorum.c`.

use zerocopy::{ByteOrder, TryFromBytes, U32};

use super::{LE, NAME_LEN, name, name_bytes};
use crate::ids::{Endian, NodeId, ServiceId};
use crate::service::wire::HeaderBytes;
use crate::service::wire::layout::{head, in_order, layout, to_bytes};

/// Exec function numbers.
pub(crate) mod function {
    pub(crate) const NODE_INFO: u16 = 0;
    pub(crate) const RECONFIGURE: u16 = 1;
    pub(crate) const DEVICE_REGISTER: u16 = 2;
    pub(crate) const DEVICE_RECONFIGURE: u16 = 3;
    pub(crate) const COUNT: u16 = 4;
}

/// Flags that a node sends about itself.
pub(crate) mod flag {
    pub(crate) const QUORATE: u32 = 1;
    pub(crate) const LEAVING: u32 = 2;
    pub(crate) const WFA_STATUS: u32 = 4;
    pub(crate) const FIRST: u32 = 8;
    pub(crate) const QDEVICE_REGISTERED: u32 = 16;
    pub(crate) const QDEVICE_ALIVE: u32 = 32;
    pub(crate) const QDEVICE_CAST_VOTE: u32 = 64;
    pub(crate) const QDEVICE_MASTER_WINS: u32 = 128;
}

const OPERATION_UNREGISTER: u32 = 0;
const OPERATION_REGISTER: u32 = 1;

layout! {
    /// NODEINFO: `struct req_exec_quorum_nodeinfo`.
    struct NodeInfoBytes<O>: 32 {
        header: HeaderBytes<O>,
        node: U32<O>,
        votes: U32<O>,
        expected_votes: U32<O>,
        flags: U32<O>,
    }

    /// RECONFIGURE: `struct req_exec_quorum_reconfigure`.
    struct ReconfigureBytes<O>: 32 {
        header: HeaderBytes<O>,
        node: U32<O>,
        value: U32<O>,
        param: u8,
        pad: [u8; 7],
    }

    /// QDEVICE_REG: `struct req_exec_quorum_qdevice_reg`.
    struct DeviceRegisterBytes<O>: 280 {
        header: HeaderBytes<O>,
        operation: U32<O>,
        name: [u8; NAME_LEN],
        pad: [u8; 5],
    }

    /// QDEVICE_RECONFIGURE: `struct req_exec_quorum_qdevice_reconfigure`.
    struct DeviceReconfigureBytes<O>: 528 {
        header: HeaderBytes<O>,
        old_name: [u8; NAME_LEN],
        new_name: [u8; NAME_LEN],
        pad: [u8; 2],
    }
}

/// The subject of a NODEINFO or RECONFIGURE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The quorum device; node id 0 in messages.
    Device,
    Node(NodeId),
}

impl Subject {
    pub(crate) const fn new(id: u32) -> Self {
        match NodeId::new(id) {
            Some(node) => Self::Node(node),
            None => Self::Device,
        }
    }

    /// The number in messages.
    pub(crate) const fn get(self) -> u32 {
        match self {
            Self::Device => 0,
            Self::Node(node) => node.get(),
        }
    }
}

/// The change that a RECONFIGURE makes, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, TryFromBytes)]
#[repr(u8)]
pub(crate) enum Param {
    /// The expected votes of all members.
    ExpectedVotes = 1,
    /// The votes of one node, or of the device.
    NodeVotes = 2,
    /// All nodes stop waiting for all nodes.
    CancelWaitForAll = 3,
}

/// An exec message in host byte order with checked lengths. Nothing is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exec<'a> {
    NodeInfo { subject: Subject, votes: u32, expected_votes: u32, flags: u32 },
    Reconfigure { subject: Subject, param: Param, value: u32 },
    DeviceRegister { register: bool, name: &'a [u8] },
    DeviceReconfigure { old_name: &'a [u8], new_name: &'a [u8] },
}

impl<'a> Exec<'a> {
    /// Its function number.
    pub(crate) const fn function(&self) -> u16 {
        match self {
            Self::NodeInfo { .. } => function::NODE_INFO,
            Self::Reconfigure { .. } => function::RECONFIGURE,
            Self::DeviceRegister { .. } => function::DEVICE_REGISTER,
            Self::DeviceReconfigure { .. } => function::DEVICE_RECONFIGURE,
        }
    }

    /// Decodes a message with this function number. `None` if it is too short or contains an unknown number.
    pub(crate) fn decode(function: u16, message: &'a [u8], order: Endian) -> Option<Self> {
        in_order!(order, O => Self::decode_in::<O>(function, message))
    }

    fn decode_in<O: ByteOrder + 'a>(function: u16, message: &'a [u8]) -> Option<Self> {
        Some(match function {
            function::NODE_INFO => {
                let bytes = head::<NodeInfoBytes<O>>(message)?;
                Self::NodeInfo {
                    subject: Subject::new(bytes.node.get()),
                    votes: bytes.votes.get(),
                    expected_votes: bytes.expected_votes.get(),
                    flags: bytes.flags.get(),
                }
            }
            function::RECONFIGURE => {
                let bytes = head::<ReconfigureBytes<O>>(message)?;
                let subject = Subject::new(bytes.node.get());
                let param = Param::try_read_from_bytes(&[bytes.param]).ok()?;
                Self::Reconfigure { subject, param, value: bytes.value.get() }
            }
            function::DEVICE_REGISTER => {
                let bytes = head::<DeviceRegisterBytes<O>>(message)?;
                let register = match bytes.operation.get() {
                    OPERATION_UNREGISTER => false,
                    OPERATION_REGISTER => true,
                    _ => return None,
                };
                Self::DeviceRegister { register, name: name(&bytes.name) }
            }
            function::DEVICE_RECONFIGURE => {
                let bytes = head::<DeviceReconfigureBytes<O>>(message)?;
                Self::DeviceReconfigure { old_name: name(&bytes.old_name), new_name: name(&bytes.new_name) }
            }
            _ => return None,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let header = |size| HeaderBytes::exec(ServiceId::VOTEQUORUM, self.function(), size);
        match *self {
            Self::NodeInfo { subject, votes, expected_votes, flags } => to_bytes(&NodeInfoBytes::<LE> {
                header: header(size_of::<NodeInfoBytes<LE>>()),
                node: U32::new(subject.get()),
                votes: U32::new(votes),
                expected_votes: U32::new(expected_votes),
                flags: U32::new(flags),
            }),
            Self::Reconfigure { subject, param, value } => to_bytes(&ReconfigureBytes::<LE> {
                header: header(size_of::<ReconfigureBytes<LE>>()),
                node: U32::new(subject.get()),
                value: U32::new(value),
                param: param as u8,
                pad: [0; 7],
            }),
            Self::DeviceRegister { register, name } => to_bytes(&DeviceRegisterBytes::<LE> {
                header: header(size_of::<DeviceRegisterBytes<LE>>()),
                operation: U32::new(if register { OPERATION_REGISTER } else { OPERATION_UNREGISTER }),
                name: name_bytes(name),
                pad: [0; 5],
            }),
            Self::DeviceReconfigure { old_name, new_name } => to_bytes(&DeviceReconfigureBytes::<LE> {
                header: header(size_of::<DeviceReconfigureBytes<LE>>()),
                old_name: name_bytes(old_name),
                new_name: name_bytes(new_name),
                pad: [0; 2],
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/protocol/services.md, "Captured messages": "node info: node 1, votes 1, expected 3, quorate
    /// (32)".
    #[test]
    fn node_info_is_byte_exact() {
        #[rustfmt::skip]
        let wire = [
            0, 0, 5, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0,
        ];
        let info =
            Exec::NodeInfo { subject: Subject::new(1), votes: 1, expected_votes: 3, flags: flag::QUORATE };
        assert_eq!(info.encode(), wire);
        assert_eq!(Exec::decode(function::NODE_INFO, &wire, Endian::Little), Some(info));
    }

    /// docs/protocol/services.md, "Captured messages": "reconfigure: expected votes 5 (32)".
    #[test]
    fn reconfigure_is_byte_exact() {
        #[rustfmt::skip]
        let wire = [
            1, 0, 5, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0,
            1, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
        ];
        let reconfigure =
            Exec::Reconfigure { subject: Subject::new(1), param: Param::ExpectedVotes, value: 5 };
        assert_eq!(reconfigure.encode(), wire);
        assert_eq!(Exec::decode(function::RECONFIGURE, &wire, Endian::Little), Some(reconfigure));
    }

    /// docs/protocol/services.md, "Byte order of exec messages": a message of a big-endian peer.
    #[test]
    fn a_big_endian_peer_is_understood() {
        #[rustfmt::skip]
        let wire = [
            0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0,
            0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 8,
        ];
        let info = Exec::NodeInfo { subject: Subject::new(2), votes: 3, expected_votes: 4, flags: 8 };
        assert_eq!(Exec::decode(function::NODE_INFO, &wire, Endian::Big), Some(info));
    }

    #[test]
    fn devices_round_trip() {
        let messages = [
            (function::DEVICE_REGISTER, Exec::DeviceRegister { register: true, name: b"Qdevice" }),
            (function::DEVICE_REGISTER, Exec::DeviceRegister { register: false, name: b"" }),
            (function::DEVICE_RECONFIGURE, Exec::DeviceReconfigure { old_name: b"a", new_name: b"bc" }),
        ];
        for (function, message) in messages {
            assert_eq!(Exec::decode(function, &message.encode(), Endian::Little), Some(message));
        }
        assert_eq!(Exec::DeviceRegister { register: true, name: b"" }.encode().len(), 280);
        assert_eq!(Exec::DeviceReconfigure { old_name: b"", new_name: b"" }.encode().len(), 528);
    }

    #[test]
    fn hostile_messages_are_refused() {
        for (function, size) in [(0, 32), (1, 32), (2, 280), (3, 528), (4, 600), (u16::MAX, 600)] {
            for length in 0..size {
                assert_eq!(Exec::decode(function, &vec![0xff; length], Endian::Little), None);
            }
        }
        assert_eq!(Exec::decode(function::RECONFIGURE, &[0xff; 32], Endian::Little), None);
        assert_eq!(Exec::decode(function::DEVICE_REGISTER, &[0xff; 280], Endian::Little), None);
        // A name without a NUL ends at the end of its field.
        let Some(Exec::DeviceReconfigure { old_name, new_name }) =
            Exec::decode(function::DEVICE_RECONFIGURE, &[0x41; 528], Endian::Big)
        else {
            panic!("long enough");
        };
        assert_eq!((old_name.len(), new_name.len()), (255, 255));
    }
}
