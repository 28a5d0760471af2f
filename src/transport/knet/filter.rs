//! The destination node in the header of a totem message.
//!
//! Source: Corosync's `exec/totemknet.c`, `dst_host_filter_callback_fn`; the header is
//! `struct totem_message_header`.

use crate::ids::{Destination, NodeId};

/// Length of the totem header; no message is shorter.
pub(super) const HEADER: usize = 13;

/// Offset of the destination in the header: a node id in the sender's byte order, 0 for all nodes.
const TARGET: usize = 9;

/// Writes the destination into a message, which must have at least [`HEADER`] bytes.
pub(super) fn set_target(message: &mut [u8], to: Destination) {
    let target = match to {
        Destination::All => 0,
        Destination::Node(node) => node.get(),
    };
    message[TARGET..HEADER].copy_from_slice(&target.to_ne_bytes());
}

/// Whether a message is for this node, alone or as one of all; `None` if it is too short to tell.
pub(super) fn is_for(message: &[u8], me: NodeId) -> Option<bool> {
    let target = message.get(TARGET..HEADER)?.try_into().map(u32::from_ne_bytes).ok()?;
    // Host ids have only 16 bits.
    Some(target == 0 || target & 0xffff == me.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32) -> NodeId {
        NodeId::new(id).unwrap()
    }

    #[test]
    fn a_message_to_all_is_for_every_node() {
        let mut message = [0xff; 20];
        set_target(&mut message, Destination::All);
        assert_eq!(message[8..14], [0xff, 0, 0, 0, 0, 0xff]);
        assert_eq!(is_for(&message, node(1)), Some(true));
        assert_eq!(is_for(&message, node(65535)), Some(true));
    }

    #[test]
    fn a_message_to_one_node_is_for_no_other() {
        let mut message = [0; 13];
        set_target(&mut message, Destination::Node(node(2)));
        assert_eq!(message[9..], 2_u32.to_ne_bytes());
        assert_eq!(is_for(&message, node(2)), Some(true));
        assert_eq!(is_for(&message, node(1)), Some(false));
    }

    #[test]
    fn a_message_with_a_truncated_header_has_no_known_destination() {
        assert_eq!(is_for(&[0; 12], node(1)), None);
        assert_eq!(is_for(&[], node(1)), None);
    }
}
