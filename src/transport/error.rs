//! Errors of opening or changing a transport.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::ids::NodeId;

/// Why a transport could not be opened or changed. No socket stays bound after any of these errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// A setting, or the combination of two, is invalid; the configuration must be changed.
    #[error("{setting} refused: {why}")]
    Setting {
        /// The setting's name in `corosync.conf(5)`.
        setting: &'static str,
        /// The node to which the setting belongs, if it is one of the node list.
        node: Option<NodeId>,
        /// What is wrong, and what to configure instead.
        why: String,
    },
    /// No interface of this host currently has the address.
    #[error(
        "address {address}{interface} is not on this host ({present}); give it to an interface or correct \
         ring0_addr or bindnetaddr"
    )]
    NotLocal {
        /// The address that was looked for.
        address: IpAddr,
        /// `%` and the name of the interface on which the address was looked for; empty if that was all
        /// interfaces.
        interface: String,
        /// The addresses of that IP version that the host has.
        present: String,
    },
    /// The interface that has the address is down.
    #[error("interface {interface} with address {address} is down; bring it up (ip link set {interface} up)")]
    InterfaceDown {
        /// The interface's name.
        interface: String,
        /// The address that was looked for.
        address: IpAddr,
    },
    /// Another socket of this host uses the port.
    #[error(
        "UDP port {} of {} is in use ({purpose} socket); is another annulusd or corosync running on this host? \
         Stop it (ss -lunp shows it), or choose another mcastport for this cluster",
        .address.port(), .address.ip()
    )]
    InUse {
        /// The address and port to be bound.
        address: SocketAddr,
        /// The purpose of the socket.
        purpose: &'static str,
    },
    /// The address and port could not be bound for another reason.
    #[error("cannot bind {address} for the {purpose} socket: {source}")]
    Bind {
        /// The address and port to be bound.
        address: SocketAddr,
        /// The purpose of the socket.
        purpose: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// The multicast group could not be joined.
    #[error("cannot join multicast group {group} on interface {interface}: {source}")]
    Join {
        /// The multicast group.
        group: IpAddr,
        /// The interface on which it was to be joined.
        interface: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// The kernel grants a smaller socket buffer than libknet uses for a link.
    #[error(
        "the kernel gives a socket buffer of {given} bytes, a link of knet needs {needed}; set sysctl {sysctl}={needed} \
         or more, or go on with less by system.allow_knet_handle_fallback: yes"
    )]
    Buffer {
        /// Bytes that the kernel grants.
        given: usize,
        /// Bytes that are needed.
        needed: usize,
        /// The sysctl that limits the size.
        sysctl: &'static str,
    },
    /// A link could not get random bytes or its cipher.
    #[error("encryption: {0}")]
    Envelope(#[from] super::knet::envelope::EnvelopeError),
    /// The kernel refused a socket or a socket option.
    #[error("cannot {action}: {source}")]
    Socket {
        /// The action that failed.
        action: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
}

impl TransportError {
    /// Whether the error may disappear by waiting: the address or interface is not there yet, or the port not
    /// yet free.
    ///
    /// [`Transport::open`](super::Transport::open) tries once. Corosync tries to bind up to 10 times and
    /// sleeps 100 ms × attempt; the caller should do the same before it gives up. Source:
    /// docs/protocol/ring.md, "Starting and watching the interface".
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NotLocal { .. }
            | Self::InterfaceDown { .. }
            | Self::InUse { .. }
            | Self::Bind { .. }
            | Self::Join { .. } => true,
            Self::Setting { .. } | Self::Buffer { .. } | Self::Envelope(_) | Self::Socket { .. } => false,
        }
    }
}
