//! Places for three nodes: loopback addresses, or network namespaces on one bridge.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use annulus::ids::NodeId;
use annulus::transport::{Cast, InterfaceChange, Kind, Options, Peer, Transport, TransportError};
use rustix::thread::{CpuSet, LinkNameSpaceType, move_into_link_name_space, sched_getcpu, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

use crate::loopback;

/// Number of nodes of a site; their ids are 1 to this number.
pub(crate) const NODES: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Udpu,
    Multicast,
    Broadcast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// 127.0.0.1 to 127.0.0.3.
    Loopback,
    /// 10.78.0.1 to 10.78.0.3, each in a namespace.
    Bridge,
    /// fd78::1 to fd78::3, each in a namespace.
    BridgeIpv6,
    /// fe80::1 to fe80::3, each in a namespace.
    BridgeLinkLocal,
}

/// Places for three nodes, with a port that no other test uses.
pub(crate) struct Site {
    wire: Wire,
    place: Place,
    port: u16,
    runtime: Runtime,
    /// The namespaces of the nodes; empty on loopback.
    spaces: Vec<Space>,
}

/// A network namespace without a name. It lives as long as a process that waits in it, and that lives as long as this
/// end of its pipe. So nothing is left behind, however the test ends.
struct Space {
    holder: Child,
}

impl Space {
    fn new() -> Self {
        let mut holder = Command::new("unshare")
            .args(["-n", "sh", "-c", "ip link set lo up && echo ready && read -r _"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) runs");
        let mut line = String::new();
        let stdout = holder.stdout.as_mut().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the holder answers");
        assert_eq!(line, "ready\n", "a network namespace with its lo up");
        Self { holder }
    }

    fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Runs `f` on a thread inside the namespace.
    fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let space =
            std::fs::File::open(format!("/proc/{}/ns/net", self.pid())).expect("the namespace is there");
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                use std::os::fd::AsFd;
                move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("may enter");
                f()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Whether IPv6 works inside; some systems disable it for new interfaces only.
    fn can_ipv6(&self) -> bool {
        self.run(|| {
            for which in ["all", "default", "lo"] {
                // If writing is not permitted, IPv6 may already be enabled.
                let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "0");
            }
            let is_off = std::fs::read_to_string("/proc/sys/net/ipv6/conf/default/disable_ipv6");
            std::path::Path::new("/proc/thread-self/net/if_inet6").exists()
                && is_off.is_ok_and(|text| text.trim() == "0")
        })
    }

    fn ip(&self, command: &str) {
        self.command("ip", command);
    }

    /// Runs a program of iproute2 inside the namespace.
    fn command(&self, program: &str, command: &str) {
        let words: Vec<_> = command.split_whitespace().collect();
        let done = self.run(|| Command::new(program).args(&words).output().expect("iproute2 is installed"));
        assert!(done.status.success(), "{program} {command}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        self.holder.wait().expect("the holder ends with its pipe");
    }
}

impl Site {
    /// The site, or `None` after printing why it is not possible here.
    pub(crate) fn build(wire: Wire, place: Place) -> Option<Self> {
        let mut spaces = Vec::new();
        if place != Place::Loopback {
            if !rustix::process::geteuid().is_root() {
                println!("skipped: network namespaces need root");
                return None;
            }
            if let Err(why) = can_have_spaces() {
                assert!(
                    std::env::var("CI").as_deref() != Ok("true"),
                    "root, but no network namespaces: {why}"
                );
                println!("skipped: no network namespaces: {why}");
                return None;
            }
            spaces = (0..=NODES).map(|_| Space::new()).collect();
            let is_ipv6 = matches!(place, Place::BridgeIpv6 | Place::BridgeLinkLocal);
            if is_ipv6 && !spaces.iter().all(Space::can_ipv6) {
                println!("skipped: this system has no IPv6");
                return None;
            }
        }
        let port = loopback::port();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let site = Self { wire, place, port, runtime, spaces };
        site.plug_in();
        Some(site)
    }

    /// Joins the namespaces by a bridge in the first one.
    fn plug_in(&self) {
        let Some((hub, nodes)) = self.spaces.split_first() else { return };
        hub.ip("link add br0 type bridge mcast_snooping 0");
        hub.ip("link set br0 up");
        for (id, node) in (1..).zip(nodes) {
            hub.ip(&format!("link add p{id} master br0 type veth peer name eth0 netns {}", node.pid()));
            hub.ip(&format!("link set p{id} up"));
            self.give_address(id);
            node.ip("link set eth0 up");
        }
    }

    /// Adds the address of a node to its interface.
    pub(crate) fn give_address(&self, id: u32) {
        match self.addr(id) {
            IpAddr::V4(addr) => self.ip(id, &format!("addr add {addr}/24 dev eth0")),
            IpAddr::V6(addr) => self.ip(id, &format!("addr add {addr}/64 dev eth0 nodad")),
        }
    }

    /// Runs `ip` at a node.
    pub(crate) fn ip(&self, id: u32, command: &str) {
        self.spaces[id as usize].ip(command);
    }

    /// Runs `tc` at a node.
    pub(crate) fn tc(&self, id: u32, command: &str) {
        self.spaces[id as usize].command("tc", command);
    }

    /// Removes a node's network card and gives it a new one with another index.
    pub(crate) fn replace_card(&self, id: u32) {
        let node = &self.spaces[id as usize];
        node.ip("link del eth0");
        self.spaces[0]
            .ip(&format!("link add p{id} master br0 type veth peer name eth0 netns {}", node.pid()));
        self.spaces[0].ip(&format!("link set p{id} up"));
        self.give_address(id);
        node.ip("link set eth0 up");
    }

    pub(crate) fn addr(&self, id: u32) -> IpAddr {
        let host = id as u16;
        match self.place {
            Place::Loopback => [127, 0, 0, id as u8].into(),
            Place::Bridge => [10, 78, 0, id as u8].into(),
            Place::BridgeIpv6 => Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, host).into(),
            Place::BridgeLinkLocal => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host).into(),
        }
    }

    pub(crate) fn is_multicast(&self) -> bool {
        self.wire == Wire::Multicast
    }

    pub(crate) fn is_udpu(&self) -> bool {
        self.wire == Wire::Udpu
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.place == Place::Loopback
    }

    /// Largest UDP payload here: 65535 less the headers that count towards it.
    pub(crate) fn largest(&self) -> usize {
        if self.addr(1).is_ipv4() { 65_535 - 28 } else { 65_535 - 8 }
    }

    pub(crate) fn peers(&self) -> Vec<Peer> {
        (1..=NODES).map(|id| Peer { id: node(id), addr: self.addr(id) }).collect()
    }

    /// The options with which node `id` opens its transport.
    pub(crate) fn options(&self, id: u32) -> Options {
        let group = match self.addr(id) {
            IpAddr::V4(_) => [239, 192, 78, 1].into(),
            IpAddr::V6(_) => Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x78).into(),
        };
        let kind = match self.wire {
            Wire::Udpu => Kind::Udpu,
            Wire::Multicast => Kind::Udp(Cast::Multicast { group, ttl: 1 }),
            Wire::Broadcast => Kind::Udp(Cast::Broadcast),
        };
        Options { port: self.port, ..Options::new(kind, node(id), self.addr(id), self.peers()) }
    }

    /// Opens a transport at node `id`'s place.
    pub(crate) fn open(&self, id: u32, options: &Options) -> Result<Transport, TransportError> {
        self.at(id, || Transport::open(options))
    }

    /// Binds a socket of another program at node `id`'s place.
    pub(crate) fn bind(&self, id: u32, address: SocketAddr) -> UdpSocket {
        self.at(id, || UdpSocket::bind(address).expect("any port"))
    }

    /// Lets node `id`'s transport check its interface, from its place.
    pub(crate) fn check_interface(&self, id: u32, transport: &mut Transport) -> InterfaceChange {
        self.at(id, || transport.check_interface())
    }

    fn at<T: Send>(&self, id: u32, f: impl FnOnce() -> T + Send) -> T {
        let handle = self.runtime.handle();
        let inside = || {
            let _guard = handle.enter();
            f()
        };
        match self.spaces.get(id as usize) {
            Some(space) => space.run(inside),
            None => inside(),
        }
    }

    /// Plays one story on a single processor: if the sender moved to another one between two datagrams, the local
    /// network might deliver the second one first.
    pub(crate) fn play(&self, story: impl AsyncFnOnce(&Self)) {
        let mut here = CpuSet::new();
        here.set(sched_getcpu());
        // Where pinning is refused, the sender rarely moves.
        let _ = sched_setaffinity(None, &here);
        self.runtime.block_on(story(self));
    }
}

/// The id of node number `id`.
pub(crate) fn node(id: u32) -> NodeId {
    NodeId::new(id).expect("not 0")
}

fn can_have_spaces() -> Result<(), String> {
    let made = Command::new("unshare")
        .args(["-n", "ip", "link", "add", "name", "br0", "type", "bridge"])
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    if made.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&made.stderr).trim().to_owned()) }
}
