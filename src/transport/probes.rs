//! Asking the host of another node whether a process receives there.
//!
//! A datagram is sent to the node's address, from a port of its own, with random contents. If no process has the port
//! that it is sent to, the kernel of that host says so (ICMP: port unreachable) and quotes the datagram. Only answers of
//! that host that quote the contents count, because the rest of such a message can be guessed by anybody.
//!
//! The answers are read when the caller asks for them; nothing wakes it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::socket::{self, failed};
use super::sys::{self, QueuedError};
use super::{TransportError, random};
use crate::ids::NodeId;

/// A probe begins with this and goes on with random bytes. No datagram of a ring begins so.
const MARK: [u8; 8] = *b"annprobe";
const LEN: usize = 24;
/// The most answers that are awaited and sockets that are open at a time, and for how long.
const AWAITED: usize = 64;
const PATIENCE: Duration = Duration::from_secs(1);
/// The most errors that are read of a socket at a time.
const AT_ONCE: usize = 64;

/// Whether a received datagram is a probe of another node, to which there is no answer.
pub(super) fn is_probe(datagram: &[u8]) -> bool {
    datagram.len() == LEN && datagram.starts_with(&MARK)
}

/// A route to another node: from an address of this host, with port 0, to the one at which the node receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
}

/// A probe that was sent.
#[derive(Debug)]
struct Asked {
    node: NodeId,
    contents: [u8; LEN],
    at: Instant,
}

/// A socket that is connected to the other end of a route, so that it receives from there alone.
#[derive(Debug)]
struct Open {
    route: Route,
    socket: Socket,
    used_at: Instant,
}

/// The probes that were sent, and the sockets that they were sent from.
#[derive(Debug, Default)]
pub(super) struct Probes {
    asked: VecDeque<Asked>,
    open: Vec<Open>,
}

impl Probes {
    /// Sends a probe on each of these routes. One that cannot be sent has no answer.
    pub(super) fn ask(&mut self, node: NodeId, routes: &[Route]) {
        let mut contents = [0; LEN];
        contents[..MARK.len()].copy_from_slice(&MARK);
        if let Err(error) = random(&mut contents[MARK.len()..]) {
            tracing::debug!(%error, "there is no random number for a probe");
            return;
        }
        for route in routes {
            let sent = self.socket(*route).and_then(|socket| {
                // An error of an earlier probe is reported first.
                let sent = socket.send(&contents).or_else(|_| socket.send(&contents));
                sent.map_err(failed("send a probe"))
            });
            if let Err(error) = sent {
                tracing::debug!(%node, to = %route.to, %error, "a probe was not sent");
            }
        }
        if self.asked.len() == AWAITED {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked { node, contents, at: Instant::now() });
    }

    /// The socket that sends on a route.
    fn socket(&mut self, route: Route) -> Result<&Socket, TransportError> {
        if let Some(at) = self.open.iter().position(|open| open.route == route) {
            self.open[at].used_at = Instant::now();
            return Ok(&self.open[at].socket);
        }
        let socket = socket::open(route.from)?;
        sys::queue_errors(socket.as_fd(), route.from.is_ipv4())
            .map_err(failed("have errors of the network queued"))?;
        socket::bind(&socket, route.from, "probe")?;
        socket.connect(&route.to.into()).map_err(failed("connect a socket for probes"))?;
        if self.open.len() == AWAITED {
            self.open.remove(0);
        }
        self.open.push(Open { route, socket, used_at: Instant::now() });
        Ok(&self.open[self.open.len() - 1].socket)
    }

    /// The nodes that have refused since the last call, once for each answer.
    pub(super) fn refused(&mut self) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        if self.open.is_empty() {
            return nodes;
        }
        let Self { asked, open } = self;
        for Open { route, socket, .. } in &*open {
            for _ in 0..AT_ONCE {
                // A queue that cannot be read has nothing useful in it.
                let Ok(Some(error)) = sys::queued_error(socket.as_fd()) else { break };
                nodes.extend(answered(asked, *route, &error));
            }
        }
        asked.retain(|asked| asked.at.elapsed() <= PATIENCE);
        open.retain(|open| open.used_at.elapsed() <= PATIENCE);
        nodes
    }
}

/// The node whose host has refused, according to an error that came on this route; its probe is no longer awaited.
fn answered(asked: &mut VecDeque<Asked>, route: Route, error: &QueuedError) -> Option<NodeId> {
    // Neither this host nor a router speaks for it.
    if error.local || error.errno != libc::ECONNREFUSED || error.by != Some(route.to.ip()) {
        return None;
    }
    let at = asked.iter().position(|asked| error.quoted.starts_with(&asked.contents))?;
    asked.remove(at).map(|asked| asked.node)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;
    use crate::ids::node;

    /// Asks node 2 at this address until it refuses or the time is over.
    fn asks(to: SocketAddr) -> Vec<NodeId> {
        let mut probes = Probes::default();
        let from = SocketAddr::new(to.ip(), 0);
        probes.ask(node(2), &[Route { from, to }]);
        for _ in 0..50 {
            let refused = probes.refused();
            if !refused.is_empty() {
                return refused;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Vec::new()
    }

    #[test]
    fn a_host_refuses_where_no_process_receives_and_only_there() {
        for ip in ["127.0.0.1", "::1"] {
            let socket = match UdpSocket::bind((ip, 0)) {
                Ok(socket) => socket,
                Err(error) => {
                    assert!(std::env::var_os("CI").is_none() || ip == "::1", "{ip}: {error}");
                    println!("skipped: no address {ip}");
                    continue;
                }
            };
            let to = socket.local_addr().unwrap();
            assert_eq!(asks(to), [], "{ip}");
            let mut datagram = [0; 64];
            let (len, _) = socket.recv_from(&mut datagram).unwrap();
            assert!(is_probe(&datagram[..len]), "{ip}");
            drop(socket);
            assert_eq!(asks(to), [node(2)], "{ip}");
        }
    }

    #[test]
    fn an_answer_counts_only_if_it_quotes_the_probe_and_comes_from_where_it_was_sent() {
        let contents = *b"annprobe0123456789abcdef";
        let one = || Asked { node: node(2), contents, at: Instant::now() };
        let mut asked: VecDeque<Asked> = [one(), one()].into();
        let route = Route { from: "192.0.2.2:0".parse().unwrap(), to: "192.0.2.1:5405".parse().unwrap() };
        let mut error = QueuedError {
            errno: libc::ECONNREFUSED,
            to: Some(route.to),
            by: Some(route.to.ip()),
            local: false,
            info: 0,
            quoted: [0; sys::QUOTED],
        };
        assert_eq!(answered(&mut asked, route, &error), None);
        error.quoted[..LEN].copy_from_slice(b"annprobe0123456789abcdeX");
        assert_eq!(answered(&mut asked, route, &error), None);
        error.quoted[..LEN].copy_from_slice(&contents);
        assert_eq!(answered(&mut asked, route, &QueuedError { errno: libc::EHOSTUNREACH, ..error }), None);
        for by in [None, Some(route.from.ip())] {
            assert_eq!(answered(&mut asked, route, &QueuedError { by, ..error }), None, "a router");
        }
        assert_eq!(answered(&mut asked, route, &error), Some(node(2)));
        assert_eq!(asked.len(), 1, "once for each probe");
    }

    #[test]
    fn sockets_are_closed_when_they_are_not_used_any_more() {
        let mut probes = Probes::default();
        let address = "127.0.0.1:0".parse().unwrap();
        let taken = UdpSocket::bind(address).unwrap();
        probes.ask(node(2), &[Route { from: address, to: taken.local_addr().unwrap() }]);
        assert_eq!(probes.open.len(), 1);
        let before = Instant::now().checked_sub(PATIENCE * 2).unwrap();
        (probes.asked[0].at, probes.open[0].used_at) = (before, before);
        assert_eq!(probes.refused(), []);
        assert!(probes.open.is_empty() && probes.asked.is_empty());
    }

    #[test]
    fn few_answers_are_awaited_at_a_time() {
        let mut probes = Probes::default();
        (0..1000).for_each(|_| probes.ask(node(2), &[]));
        assert_eq!(probes.asked.len(), AWAITED);
    }
}
