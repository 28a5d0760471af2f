//! What nodes of annulusd tell each other in messages of RINGREENABLE, told apart by their marks.

use super::talk::Malformed;
use super::{Complaint, KeyTalk, Need, Talk};
use crate::ids::Endian;

/// A message that a node of Corosync does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ours {
    /// About a reload.
    Reload(Talk),
    /// About a new key.
    Key(KeyTalk),
    /// The token time-out that the sender needs.
    Need(Need),
    /// About a member that burdens the ring.
    Complaint(Complaint),
}

impl Ours {
    /// Decodes a RINGREENABLE message in its sender's byte order. `Ok(None)`: it is a plain one, or has an unknown
    /// format.
    ///
    /// # Errors
    /// It is truncated, or contains an invalid value.
    pub(crate) fn decode(message: &[u8], order: Endian) -> Result<Option<Self>, Malformed> {
        if let Some(talk) = Talk::decode(message, order)? {
            return Ok(Some(Self::Reload(talk)));
        }
        if let Some(talk) = KeyTalk::decode(message, order)? {
            return Ok(Some(Self::Key(talk)));
        }
        if let Some(need) = Need::decode(message, order)? {
            return Ok(Some(Self::Need(need)));
        }
        Ok(Complaint::decode(message, order)?.map(Self::Complaint))
    }
}
