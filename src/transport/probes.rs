//! Asking the host of another node whether a process receives there.
//!
//! A datagram is sent to the node's address, from a port of its own, with random contents. If no process has the port
//! that it is sent to, the kernel of that host says so (ICMP: port unreachable) and quotes the datagram. Only answers that
//! quote the contents count, because the rest of such a message can be guessed by anybody.
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
/// The most answers that are awaited at a time, and for how long.
const AWAITED: usize = 64;
const PATIENCE: Duration = Duration::from_secs(1);
/// The most errors that are read of a socket at a time.
const AT_ONCE: usize = 64;

/// Whether a received datagram is a probe of another node, to which there is no answer.
pub(super) fn is_probe(datagram: &[u8]) -> bool {
    datagram.len() == LEN && datagram.starts_with(&MARK)
}

/// A way to another node: from an address of this host, with port 0, to the one at which the node receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
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

/// The probes that were sent, and the sockets that they were sent from.
#[derive(Debug, Default)]
pub(super) struct Probes {
    asked: VecDeque<Asked>,
    sockets: Vec<(SocketAddr, Socket)>,
}

impl Probes {
    /// Sends a probe on each of these ways. One that cannot be sent has no answer.
    pub(super) fn ask(&mut self, node: NodeId, ways: &[Way]) {
        let mut contents = [0; LEN];
        contents[..MARK.len()].copy_from_slice(&MARK);
        if let Err(error) = random(&mut contents[MARK.len()..]) {
            tracing::debug!(%error, "there is no random number for a probe");
            return;
        }
        for Way { from, to } in ways {
            let sent = self.socket(*from).and_then(|socket| {
                let to = (*to).into();
                // An error of an earlier probe is reported first.
                let sent = socket.send_to(&contents, &to).or_else(|_| socket.send_to(&contents, &to));
                sent.map_err(failed("send a probe"))
            });
            if let Err(error) = sent {
                tracing::debug!(%node, %from, %to, %error, "a probe was not sent");
            }
        }
        if self.asked.len() == AWAITED {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked { node, contents, at: Instant::now() });
    }

    /// The socket that sends from an address.
    fn socket(&mut self, from: SocketAddr) -> Result<&Socket, TransportError> {
        if let Some(at) = self.sockets.iter().position(|(bound, _)| *bound == from) {
            return Ok(&self.sockets[at].1);
        }
        let socket = socket::open(from)?;
        sys::queue_errors(socket.as_fd(), from.is_ipv4())
            .map_err(failed("have errors of the network queued"))?;
        socket::bind(&socket, from, "probe")?;
        self.sockets.push((from, socket));
        Ok(&self.sockets[self.sockets.len() - 1].1)
    }

    /// The nodes that have refused since the last call, once for each probe.
    pub(super) fn refused(&mut self) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        if self.asked.is_empty() {
            return nodes;
        }
        let Self { asked, sockets } = self;
        for (_, socket) in &*sockets {
            for _ in 0..AT_ONCE {
                // A queue that cannot be read has nothing useful in it.
                let Ok(Some(error)) = sys::queued_error(socket.as_fd()) else { break };
                nodes.extend(answered(asked, &error));
            }
        }
        while self.asked.front().is_some_and(|first| first.at.elapsed() > PATIENCE) {
            self.asked.pop_front();
        }
        if self.asked.is_empty() {
            self.sockets.clear();
        }
        nodes
    }
}

/// The node that an error is the answer of; its probe is no longer awaited.
fn answered(asked: &mut VecDeque<Asked>, error: &QueuedError) -> Option<NodeId> {
    if error.local || error.errno != libc::ECONNREFUSED {
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
        probes.ask(node(2), &[Way { from, to }]);
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
    fn an_answer_counts_only_if_it_quotes_the_probe() {
        let contents = *b"annprobe0123456789abcdef";
        let one = || Asked { node: node(2), contents, at: Instant::now() };
        let mut asked: VecDeque<Asked> = [one(), one()].into();
        let to = Some("192.0.2.1:5405".parse().unwrap());
        let mut error =
            QueuedError { errno: libc::ECONNREFUSED, to, local: false, info: 0, quoted: [0; sys::QUOTED] };
        assert_eq!(answered(&mut asked, &error), None);
        error.quoted[..LEN].copy_from_slice(b"annprobe0123456789abcdeX");
        assert_eq!(answered(&mut asked, &error), None);
        error.quoted[..LEN].copy_from_slice(&contents);
        assert_eq!(answered(&mut asked, &QueuedError { errno: libc::EHOSTUNREACH, ..error }), None);
        assert_eq!(answered(&mut asked, &error), Some(node(2)));
        assert_eq!(asked.len(), 1, "once for each probe");
    }

    #[test]
    fn sockets_are_closed_when_no_answer_is_awaited() {
        let mut probes = Probes::default();
        let address = "127.0.0.1:0".parse().unwrap();
        let taken = UdpSocket::bind(address).unwrap();
        probes.ask(node(2), &[Way { from: address, to: taken.local_addr().unwrap() }]);
        assert_eq!(probes.sockets.len(), 1);
        probes.asked[0].at = Instant::now().checked_sub(PATIENCE * 2).unwrap();
        assert_eq!(probes.refused(), []);
        assert!(probes.sockets.is_empty());
    }

    #[test]
    fn few_answers_are_awaited_at_a_time() {
        let mut probes = Probes::default();
        (0..1000).for_each(|_| probes.ask(node(2), &[]));
        assert_eq!(probes.asked.len(), AWAITED);
    }
}
