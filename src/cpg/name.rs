//! Names of groups, members of groups, and reasons of membership changes.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::ids::NodeId;

/// The name of a group: 0 to 128 bytes, any bytes.
///
/// Two names denote the same group if they have the same length and bytes. C programs often count a trailing
/// NUL into the length (Pacemaker does), and `"a\0"` differs from `"a"`: to meet such a program, give the
/// name with its NUL. Nothing is added, cut or converted here.
///
/// Cloning is cheap. Bytes outside of printable ASCII are displayed as `\xHH`, as by Corosync's tools.
///
/// Source: corosync `cpg.h`, `struct cpg_name`, `CPG_MAX_NAME_LENGTH`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(Arc<[u8]>);

impl GroupName {
    /// The longest name, in bytes.
    pub const LIMIT: usize = 128;

    /// Makes a name of exactly these bytes.
    ///
    /// # Errors
    /// [`NameTooLong`]: there are more than [`GroupName::LIMIT`].
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, NameTooLong> {
        let bytes = bytes.as_ref();
        if bytes.len() > Self::LIMIT {
            return Err(NameTooLong { got: bytes.len() });
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes of the name, exactly as given.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A group name of more than 128 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a group name has at most 128 bytes, this one has {got}")]
pub struct NameTooLong {
    /// The length of the name in bytes.
    pub got: usize,
}

impl AsRef<[u8]> for GroupName {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for GroupName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter() {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                0x20..=0x7e => fmt::Write::write_char(f, char::from(*byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A process in a group.
///
/// Ordered as in membership lists: by node, then by process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The node it runs on.
    pub node: NodeId,
    /// Its process id on that node, or the number that it gave when it joined.
    pub pid: u32,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.pid)
    }
}

/// Why a process joined or left a group.
///
/// Source: corosync `cpg.h`, `cpg_reason_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It joined the group.
    Join,
    /// It left the group by request.
    Leave,
    /// Its node is no longer in the ring: it failed, or the network was cut.
    NodeDown,
    /// Its node joined the ring, and the process was in the group there already.
    NodeUp,
    /// It closed its connection or died, or its daemon was stopped cleanly.
    ProcDown,
    /// A number without a name in this version; 0 is "undefined".
    Other(u32),
}

impl Reason {
    /// The number in messages.
    pub const fn code(self) -> u32 {
        match self {
            Self::Join => 1,
            Self::Leave => 2,
            Self::NodeDown => 3,
            Self::NodeUp => 4,
            Self::ProcDown => 5,
            Self::Other(code) => code,
        }
    }

    /// The reason with this number.
    pub const fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Join,
            2 => Self::Leave,
            3 => Self::NodeDown,
            4 => Self::NodeUp,
            5 => Self::ProcDown,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join => f.write_str("joined"),
            Self::Leave => f.write_str("left"),
            Self::NodeDown => f.write_str("node down"),
            Self::NodeUp => f.write_str("node up"),
            Self::ProcDown => f.write_str("process down"),
            Self::Other(code) => write!(f, "reason {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_used_exactly_as_given() {
        let with_nul = GroupName::new(b"crmd\0").unwrap();
        assert_ne!(with_nul, GroupName::new("crmd").unwrap());
        assert_eq!(with_nul.to_string(), "crmd\\x00");
        assert_eq!(GroupName::new(b"a\\\xff").unwrap().to_string(), "a\\\\\\xff");
        assert_eq!(GroupName::new([7; 128]).unwrap().as_bytes(), [7; 128]);
        assert_eq!(GroupName::new([7; 129]), Err(NameTooLong { got: 129 }));
        assert_eq!(GroupName::new(b"").unwrap().as_bytes(), b"");
    }

    #[test]
    fn unknown_reasons_keep_their_number() {
        for code in 0..9 {
            assert_eq!(Reason::from_code(code).code(), code);
        }
    }
}
