//! Three senders at full speed while something else happens: no message may be lost and no ring may change. The test
//! prints for how long no message was delivered.

use super::same::{Stream, same_streams};
use crate::counts::Counts;
use crate::lab::{Lab, PATIENCE, Peer};
use std::path::Path;
use std::time::Duration;

/// Time limit until everything that was sent has been delivered.
const LONG: Duration = Duration::from_secs(300);

/// Clients that multicast on a lab's hosts until they are told to end.
pub(crate) struct Flow {
    peers: Vec<Peer>,
    before: Vec<(usize, Counts)>,
}

impl Flow {
    /// Starts one client on each of these hosts, all of which are on one ring. The messages have up to 20,000 bytes.
    pub(crate) fn start(lab: &Lab, hosts: &[usize]) -> Self {
        Self::paced(lab, hosts, Duration::ZERO)
    }

    /// Starts the clients with a pause after each message.
    pub(crate) fn paced(lab: &Lab, hosts: &[usize], pause: Duration) -> Self {
        let before = hosts.iter().map(|k| (*k, Counts::of(lab, *k))).collect();
        // With two hosts, the first one has two of the three clients.
        let senders: Vec<usize> =
            if hosts.len() == 2 { vec![hosts[0], hosts[1], hosts[0]] } else { hosts.to_vec() };
        let (members, pause) = (senders.len().to_string(), pause.as_micros().to_string());
        let options = [
            "--group",
            "flow",
            "--members",
            &members,
            "--count",
            "1000000000",
            "--min",
            "64",
            "--max",
            "20000",
            "--pause-us",
            &pause,
            "--deadline",
            "1200",
        ];
        let mut peers: Vec<Peer> = senders
            .iter()
            .enumerate()
            .map(|(at, k)| lab.peer(*k, &format!("flow-{at}"), "order", &options))
            .collect();
        for peer in &mut peers {
            peer.wait_for_members(senders.len(), PATIENCE);
            peer.wait_for("sending", PATIENCE);
        }
        let mut flow = Self { peers, before };
        // Silence at the start does not count.
        std::thread::sleep(Duration::from_secs(1));
        flow.silence();
        flow
    }

    /// The longest time since the last call during which a client was delivered nothing.
    pub(crate) fn silence(&mut self) -> Duration {
        for peer in &mut self.peers {
            peer.tell("silence");
        }
        let told = self.peers.iter_mut().map(|peer| {
            let line = peer.wait_for("silence ", PATIENCE);
            Duration::from_micros(line["silence ".len()..].parse().expect("microseconds"))
        });
        told.max().unwrap_or_default()
    }

    /// Waits for `time` and returns the longest silence of it.
    pub(crate) fn for_a_while(&mut self, time: Duration) -> Duration {
        std::thread::sleep(time);
        self.silence()
    }

    /// Ends the clients and checks that all were delivered the same, including everything that each sender sent, and
    /// that no ring has changed.
    pub(crate) fn end(mut self, lab: &Lab, what: &str) -> Stream {
        for peer in &mut self.peers {
            peer.tell("last");
        }
        for peer in &mut self.peers {
            peer.succeed(LONG);
        }
        let logs: Vec<&Path> = self.peers.iter().map(|peer| peer.log.as_path()).collect();
        let stream = same_streams(&logs);
        assert_eq!(stream.views, 1, "{what}: the group changed without a cause");
        assert_eq!(
            stream.senders.len(),
            self.peers.len(),
            "{what}: each client has sent: {:?}",
            stream.senders
        );
        for (k, was) in &self.before {
            let is = Counts::of(lab, *k);
            assert_eq!(
                (was.gathers, was.rings),
                (is.gathers, is.rings),
                "{what}: host {k}: the ring changed without a cause\n{}",
                lab.log_tail(*k)
            );
            let log =
                std::fs::read_to_string(lab.dir(*k).join("log/daemon.log")).expect("the daemon has a log");
            assert!(!log.contains("FAILED TO RECEIVE"), "{what}: host {k}: {}", lab.log_tail(*k));
        }
        for log in logs {
            // The logs are long, so they are removed.
            let _ = std::fs::remove_file(log);
        }
        stream
    }
}
