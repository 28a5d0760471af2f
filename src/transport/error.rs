//! Why a transport could not be opened or changed.

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::ids::NodeId;

/// Why a transport could not be opened or changed. Nothing stays bound after any of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// A setting, or two that do not fit together; the configuration must be changed.
    #[error("{setting} refused: {why}")]
    Setting {
        /// The setting's name in `corosync.conf(5)`.
        setting: &'static str,
        /// The node whose setting it is, where it is one of the node list.
        node: Option<NodeId>,
        /// What is wrong and what to give instead.
        why: String,
    },
    /// No interface of this host has the address (now).
    #[error(
        "address {address}{interface} is not on this host ({present}); give it to an interface or correct \
         ring0_addr or bindnetaddr"
    )]
    NotLocal {
        /// The address looked for.
        address: IpAddr,
        /// `%` and the name of the interface on which it was looked for; empty: on all.
        interface: String,
        /// Which addresses of that IP version the host has.
        present: String,
    },
    /// The interface that has the address is down.
    #[error("interface {interface} with address {address} is down; bring it up (ip link set {interface} up)")]
    InterfaceDown {
        /// Its name.
        interface: String,
        /// The address looked for.
        address: IpAddr,
    },
    /// Another socket of this host has the port.
    #[error(
        "UDP port {} of {} is in use ({purpose} socket); is another annulusd or corosync running on this host? \
         Stop it (ss -lunp shows it), or choose another mcastport for this cluster",
        .address.port(), .address.ip()
    )]
    InUse {
        /// Address and port that were to be bound.
        address: SocketAddr,
        /// Which of the sockets it was for.
        purpose: &'static str,
    },
    /// The address and port could not be bound for another reason.
    #[error("cannot bind {address} for the {purpose} socket: {source}")]
    Bind {
        /// Address and port that were to be bound.
        address: SocketAddr,
        /// Which of the sockets it was for.
        purpose: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The multicast group could not be joined.
    #[error("cannot join multicast group {group} on interface {interface}: {source}")]
    Join {
        /// The group.
        group: IpAddr,
        /// The interface.
        interface: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel gives a smaller socket buffer than a link has with libknet.
    #[error(
        "the kernel gives a socket buffer of {given} bytes, a link of knet needs {needed}; set sysctl {sysctl}={needed} \
         or more, or go on with less by system.allow_knet_handle_fallback: yes"
    )]
    Buffer {
        /// Bytes that it gave.
        given: usize,
        /// Bytes that are needed.
        needed: usize,
        /// The setting of the kernel that limits it.
        sysctl: &'static str,
    },
    /// The random bytes or the cipher that a link needs.
    #[error("encryption: {0}")]
    Envelope(#[from] super::knet::envelope::EnvelopeError),
    /// The kernel refused a socket or an option of it.
    #[error("cannot {action}: {source}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl TransportError {
    /// Whether waiting may cure it: an address or interface not there yet, a port not yet given back.
    ///
    /// [`Transport::open`](super::Transport::open) tries once. Corosync tries to bind up to 10 times, sleeping
    /// 100 ms × attempt; the caller should do the same before it gives up (totem.md 4.2).
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
