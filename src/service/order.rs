//! What only the program around a node can carry out, because it needs files, sockets or the end of the process.

use crate::config::key::Key;
use crate::config::logging::Logging;
use crate::config::timeouts::Timeouts;
use crate::config::totem::Watching;
use crate::ids::NodeId;

/// An order that only the program around a node can carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// Read the configuration again and report whether this node can use it.
    Reload,
    /// As [`Order::Reload`], but this node's ring waits for the read, within a bound, because a node of Corosync is
    /// on the ring. Such nodes read their files when the message is delivered to them and change their key a few
    /// rotations of the token later, whether or not this node understands the new key.
    ReloadBesideCorosync,
    /// Apply the configuration that was read last.
    Adopt,
    /// Discard the configuration that was read last, if there is one.
    Discard,
    /// Encrypt with the prepared key, cipher and hash from now on. What was sent before this order still uses the old
    /// ones.
    SwitchKey,
    /// Refuse packets that are sealed with the key, cipher and hash from before [`Order::SwitchKey`].
    ForgetKey,
    /// Generate a new key for all nodes of the cluster.
    MakeKey,
    /// Store this key beside the current one, which must have this fingerprint, and accept packets that are sealed
    /// with it.
    StoreKey(Key, u64),
    /// Replace the key file on disk with the stored key, which is used for sending already.
    KeepKey,
    /// Remove the stored key, if there is one, and refuse packets that are sealed with it.
    DropKey,
    /// Report the key, cipher and hash in use.
    LookAtKey,
    /// Close and reopen the log files.
    ReopenLogs,
    /// Leave the ring cleanly and end the program.
    Shutdown,
    /// End the program at once, without leaving the ring: another node asks for it.
    Die {
        /// The node that asks for it.
        by: NodeId,
        /// Its reason, as text.
        reason: String,
    },
    /// Store the highest number of expected votes, so that it survives restarts.
    KeepVotes(u32),
    /// Form the membership again (enter the phase gather).
    Gather,
    /// Write the state of the node to the log.
    DumpState,
    /// Use these timers and limits of the ring from now on.
    Reconfigure(Box<Timeouts>),
    /// Use these settings for watching knet's links from now on.
    Watch(Box<Watching>),
    /// Use these log settings from now on.
    Logging(Box<Logging>),
}
