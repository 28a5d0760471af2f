//! What the kind of a datagram shows about its sender's source port. The transport knows ports, the ring knows
//! frames.

use crate::totem::wire::{self, Frame, Kind};
use crate::transport::Shows;

/// Corosync sends tokens and commit tokens from the ring's port and everything else from other ports; annulus sends
/// everything from the ring's port.
pub(super) fn shows(datagram: &[u8]) -> Shows {
    match wire::kind(datagram) {
        None | Some(Kind::Token | Kind::Commit) => Shows::Nothing,
        Some(Kind::Mcast | Kind::MergeDetect | Kind::HoldCancel) => Shows::OnePort,
        Some(Kind::Join) => match wire::parse(datagram) {
            Ok((Frame::Join(join), _)) if join.leave => Shows::Leaving,
            Ok(_) => Shows::OnePort,
            Err(_) => Shows::Nothing,
        },
    }
}
