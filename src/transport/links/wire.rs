//! This host's end of a link: one socket, and the addresses of the other hosts.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use socket2::{SockAddr, Socket};
use tokio::io::unix::AsyncFd;

use crate::ids::NodeId;
use crate::transport::addr::{self, Local};
use crate::transport::knet::Settings;
use crate::transport::peers::target;
use crate::transport::run::Offload;
use crate::transport::socket::{self, BufferSize, failed};
use crate::transport::{TransportError, sys};

/// The purpose of the socket, for errors.
const PURPOSE: &str = "link";

/// Type of service of libknet's packets if no code point is configured: low delay.
const LOW_DELAY: u32 = 0x10;

/// The settings with which a wire is opened, besides those of its link.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) address: IpAddr,
    pub(super) interface: Option<String>,
    pub(super) port: u16,
    pub(super) dscp: Option<u8>,
    pub(super) buffers: BufferSize,
    /// Whether smaller socket buffers are acceptable.
    pub(super) small_buffers: bool,
}

impl Plan {
    /// Whether a socket opened with this plan can be kept for the other plan.
    pub(super) fn is_at_place_of(&self, other: &Self) -> bool {
        (self.address, self.port, &self.interface) == (other.address, other.port, &other.interface)
    }
}

/// This host's end of a link.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) plan: Plan,
    /// The interface that has the address, if any. The socket is bound even without one, and works as soon as
    /// there is one.
    local: Option<Local>,
    /// `None` only if the address is valid on a single interface (link-local) and no interface has it.
    socket: Option<AsyncFd<Socket>>,
    /// The addresses of the other hosts, sorted by node id.
    targets: Vec<(NodeId, IpAddr, SockAddr)>,
    /// What the kernel does for several datagrams at a time.
    pub(super) offload: Offload,
    /// Sizes of the receive and send buffer that the kernel granted, in bytes as it accounts them.
    pub(super) given: (usize, usize),
    /// The code point that the kernel reports for sent packets.
    pub(super) dscp: Option<u8>,
}

/// Result of checking whether the address is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing has changed.
    None,
    /// No interface has the address any more, or its interface is down.
    Gone,
    /// The address is there again.
    Back,
}

impl Wire {
    /// Opens the socket, if an interface has the address or it can be bound in advance.
    pub(super) fn open(plan: Plan) -> Result<Self, TransportError> {
        let local = addr::find(plan.address, plan.interface.as_deref());
        if let Err(error) = &local {
            tracing::warn!(%error, "a link cannot be used yet; it comes up as soon as the address is there");
        }
        let mut wire = Self {
            plan,
            local: local.ok(),
            socket: None,
            targets: Vec::new(),
            offload: Offload { sending: true, receiving: false },
            given: (0, 0),
            dscp: None,
        };
        wire.bind()?;
        Ok(wire)
    }

    /// Whether the address could be bound now. No socket stays open.
    pub(super) fn probe(plan: &Plan) -> Result<(), TransportError> {
        let local = addr::find(plan.address, plan.interface.as_deref())?;
        let address = target(local.addr, plan.port, &local);
        socket::bind(&socket::open(address)?, address, PURPOSE)
    }

    fn bind(&mut self) -> Result<(), TransportError> {
        let address = match &self.local {
            Some(local) => target(self.plan.address, self.plan.port, local),
            None if is_local_to_a_link(self.plan.address) => return Ok(()),
            None => SocketAddr::new(self.plan.address, self.plan.port),
        };
        // The old socket must be closed first, because it has the port.
        self.socket = None;
        let ipv4 = address.is_ipv4();
        let socket = socket::open(address)?;
        if ipv4 && self.plan.dscp.is_none() {
            socket.set_tos_v4(LOW_DELAY).map_err(failed("set the type of service"))?;
        }
        self.dscp = socket::mark(&socket, ipv4, self.plan.dscp)?;
        let recv = socket::size_recv_buffer(&socket, self.plan.buffers)?;
        let send = socket::size_send_buffer(&socket, self.plan.buffers)?;
        if !self.plan.small_buffers {
            self.plan.buffers.demand(recv, "net.core.rmem_max")?;
            self.plan.buffers.demand(send, "net.core.wmem_max")?;
        }
        self.given = (recv, send);
        sys::probe_mtu(socket.as_fd(), ipv4).map_err(failed("keep IP from cutting datagrams"))?;
        sys::queue_errors(socket.as_fd(), ipv4).map_err(failed("have errors of the network queued"))?;
        sys::bind_freely(socket.as_fd()).map_err(failed("bind to an address that may come later"))?;
        self.offload = Offload { sending: true, receiving: socket::coalesce(&socket) };
        socket::bind(&socket, address, PURPOSE)?;
        self.socket = Some(socket::register(socket)?);
        Ok(())
    }

    /// Sets the addresses of the other hosts on this link, which has number `link`.
    pub(super) fn set_targets(&mut self, settings: &Settings, link: usize) {
        let here = Local { addr: self.plan.address, interface: String::new(), index: 0 };
        let local = self.local.as_ref().unwrap_or(&here);
        let others = settings.hosts.iter().filter(|host| host.id != settings.me);
        self.targets = others
            .filter_map(|host| {
                let ip = host.addresses[link]?;
                Some((host.id, ip, SockAddr::from(target(ip, self.plan.port, local))))
            })
            .collect();
        self.targets.sort_unstable_by_key(|(id, ..)| *id);
    }

    /// The socket, as the runtime watches it.
    pub(super) fn watched(&self) -> Option<&AsyncFd<Socket>> {
        self.socket.as_ref()
    }

    /// The socket itself.
    pub(super) fn socket(&self) -> Option<&Socket> {
        self.socket.as_ref().map(AsyncFd::get_ref)
    }

    /// The address of a host on this link.
    pub(super) fn target(&self, host: NodeId) -> Option<&SockAddr> {
        let at = self.targets.binary_search_by_key(&host, |(id, ..)| *id).ok()?;
        Some(&self.targets[at].2)
    }

    /// The host that has an address on this link.
    pub(super) fn host_at(&self, address: IpAddr) -> Option<NodeId> {
        self.targets.iter().find(|(_, ip, _)| *ip == address).map(|(id, ..)| *id)
    }

    /// Whether the address is on an interface that is up.
    pub(super) const fn is_up(&self) -> bool {
        self.local.is_some()
    }

    /// The address and port to which the socket is bound, or is to be bound.
    pub(super) fn address(&self) -> SocketAddr {
        match &self.local {
            Some(local) => target(self.plan.address, self.plan.port, local),
            None => SocketAddr::new(self.plan.address, self.plan.port),
        }
    }

    /// Checks whether the address is still there. A socket that is bound to the address works again when it
    /// returns; one that is bound to an interface number does not, and is reopened.
    pub(super) fn look(&mut self) -> Result<Change, TransportError> {
        let found = match addr::find(self.plan.address, self.plan.interface.as_deref()) {
            Ok(local) => Some(local),
            Err(TransportError::NotLocal { .. } | TransportError::InterfaceDown { .. }) => None,
            Err(error) => return Err(error),
        };
        let was_up = self.local.is_some();
        let Some(found) = found else {
            self.local = None;
            return Ok(if was_up { Change::Gone } else { Change::None });
        };
        let moved = self.local.as_ref().is_some_and(|local| local.index != found.index);
        let numbered = is_local_to_a_link(self.plan.address);
        self.local = Some(found);
        if self.socket.is_none() || numbered && (moved || !was_up) {
            self.bind()?;
        }
        Ok(if was_up && !moved { Change::None } else { Change::Back })
    }

    /// Changes the code point of sent packets.
    pub(super) fn set_dscp(&mut self, dscp: Option<u8>) -> Result<(), TransportError> {
        self.plan.dscp = dscp;
        let Some(socket) = self.socket() else { return Ok(()) };
        let applied = socket::mark(socket, self.plan.address.is_ipv4(), Some(dscp.unwrap_or(0)))?;
        self.dscp = dscp.and(applied);
        Ok(())
    }
}

/// Whether an address is valid on a single interface only.
fn is_local_to_a_link(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
