//! Section `uidgid`: the users and groups that may connect besides root.
//!
//! Source: `corosync.conf(5)`; corosync `exec/coroparse.c`.

use super::error::Complaint;
use super::host::Host;

/// The kind of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    User,
    Group,
}

/// The number that no user and no group has: system calls take it as -1, "unchanged".
///
/// Source: chown(2), setuid(2). Corosync refuses it too, without an error text.
const NOBODY: u32 = u32::MAX;

impl Account {
    /// The kind that a key of the section denotes.
    pub(super) const fn of_key(key: &[u8]) -> Option<Self> {
        match key {
            b"uid" => Some(Self::User),
            b"gid" => Some(Self::Group),
            _ => None,
        }
    }

    /// The key of this kind in a section `uidgid`.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::User => "uid",
            Self::Group => "gid",
        }
    }

    /// The word for this kind in an error.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }

    const fn database(self) -> &'static str {
        match self {
            Self::User => "/etc/passwd",
            Self::Group => "/etc/group",
        }
    }

    /// The id of a name on this host.
    pub(super) fn named(self, name: &str, host: &dyn Host) -> Option<u32> {
        match self {
            Self::User => host.user(name),
            Self::Group => host.group(name),
        }
    }

    /// Returns a number if an account can have it.
    ///
    /// # Errors
    /// The number means no account.
    pub(super) fn numbered(self, id: u32) -> Result<u32, Complaint> {
        if id != NOBODY {
            return Ok(id);
        }
        let (key, name) = (self.key(), self.name());
        Err(Complaint::new(format!("uidgid: {key} {id} is no {name}"))
            .hint(format!("to the system it means \"no {name}\" (-1); a {name} has 0 to {}", NOBODY - 1)))
    }

    /// The error text for a name or number that this host does not know.
    pub(super) fn unknown(self, text: &str) -> String {
        format!(
            "The '{text}' {} is not found in {}, please read the documentation.",
            self.name(),
            self.database()
        )
    }
}
