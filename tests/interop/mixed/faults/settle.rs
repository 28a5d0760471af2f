//! The state that is expected after a step, and the moment of rest in it.

use super::check::Log;
use super::field::{Client, Field};
use super::journal::process;
use crate::lab::{PATIENCE, wait_until};
use crate::sequence::Process;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What a client reports about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    /// Number of its own messages that it has been delivered.
    own: u64,
    ring: String,
    nodes: Vec<u32>,
    members: BTreeSet<Process>,
}

/// What corosync-quorumtool prints on a host.
#[derive(Debug, Default)]
struct Tool {
    ring: Option<String>,
    nodes: Option<usize>,
    quorate: Option<bool>,
}

impl Field {
    /// Waits until the hosts that hear each other form rings with all their clients in the group, all agree on that,
    /// and messages flow; then checks everything that was delivered until then. Returns the ring ids.
    pub(crate) fn rest(&mut self) -> Result<Vec<String>, String> {
        self.collect_ended()?;
        self.rests += 1;
        let deadline = Instant::now() + PATIENCE;
        let mut attempt = 0;
        let (rings, tag) = loop {
            let rings = self.formed(None)?;
            self.tools_agree(&rings)?;
            self.messages_flow()?;
            attempt += 1;
            let tag = format!("{}.{attempt}", self.rests);
            if self.cut(&tag) {
                break (rings, tag);
            }
            // The ring changed again, which happens when daemons do not get to run for a while.
            if Instant::now() > deadline {
                return Err("the rings do not last".to_owned());
            }
        };
        self.look(&tag, &rings)?;
        self.signs.look(&self.lab)?;
        Ok(rings.into_iter().map(|(ring, _)| ring).collect())
    }

    /// Waits until each set of hosts that hear each other is one ring and one group, leaving out host `but`. Returns
    /// id and hosts of each ring.
    pub(super) fn formed(&mut self, but: Option<usize>) -> Result<Vec<(String, Vec<usize>)>, String> {
        let components = self.cluster.components(but);
        let mut rings = Vec::new();
        let mut why = String::new();
        let mut failure = None;
        let outcome = wait_until(PATIENCE, || {
            for k in components.iter().flatten() {
                self.lab.assert_alive(*k);
            }
            if let Some(ended) =
                self.present().find_map(|client| (!client.peer.runs()).then_some(client.host))
            {
                failure = Some(format!("a client of host {ended} ended by itself"));
                return true;
            }
            rings.clear();
            for component in &components {
                match self.one_ring(component) {
                    Ok(ring) => rings.push((ring, component.clone())),
                    Err(not) => {
                        why = not;
                        std::thread::sleep(Duration::from_millis(30));
                        return false;
                    }
                }
            }
            true
        });
        match (failure, outcome) {
            (Some(failure), _) => Err(failure),
            (None, Err(_)) => Err(format!("not one ring and one group after {PATIENCE:?}: {why}")),
            (None, Ok(())) => Ok(rings),
        }
    }

    /// Checks that all clients of these hosts report one ring of exactly these hosts, and a group of exactly these
    /// clients. Returns the ring id.
    fn one_ring(&mut self, hosts: &[usize]) -> Result<String, String> {
        let mut expected = BTreeSet::new();
        for client in self.present().filter(|client| hosts.contains(&client.host)) {
            if !client.joined() {
                return Err(format!("a client of host {} has not joined", client.host));
            }
            expected.extend(client.process);
        }
        let mut ring: Option<String> = None;
        for client in self.present().filter(|client| hosts.contains(&client.host)) {
            let told = ask(client)?;
            // A client that joined during the ring has not been told the ring.
            let silent = told.ring.is_empty();
            if !silent && told.nodes.iter().map(|node| *node as usize).ne(hosts.iter().copied()) {
                return Err(format!(
                    "hosts {hosts:?}: {:?} has ring {} {:?}",
                    client.process, told.ring, told.nodes
                ));
            }
            if told.members != expected {
                return Err(format!("{:?} has group {:?}, not {expected:?}", client.process, told.members));
            }
            match &ring {
                _ if silent => {}
                Some(ring) if *ring != told.ring => {
                    return Err(format!(
                        "hosts {hosts:?}: {:?} has ring {}, not {ring}",
                        client.process, told.ring
                    ));
                }
                _ => ring = Some(told.ring),
            }
        }
        // If all clients joined during the ring, only the tool shows it.
        ring.or_else(|| self.tool(hosts[0]).ring).ok_or_else(|| format!("host {} has no ring", hosts[0]))
    }

    /// Checks that corosync-quorumtool shows the same on each host: ring, members, and whether they are the majority.
    fn tools_agree(&mut self, rings: &[(String, Vec<usize>)]) -> Result<(), String> {
        for (ring, hosts) in rings {
            let quorate = hosts.len() > self.cluster.len() / 2;
            for k in hosts {
                let mut last = Tool::default();
                let mut changed = false;
                let outcome = wait_until(PATIENCE, || {
                    last = self.tool(*k);
                    let agrees = last.ring.as_ref() == Some(ring)
                        && last.nodes == Some(hosts.len())
                        && last.quorate == Some(quorate);
                    if !agrees {
                        std::thread::sleep(Duration::from_millis(100));
                        // Another ring may have formed meanwhile; that is noticed when the cut does not reach all
                        // clients.
                        changed = self.one_ring(hosts).as_ref() != Ok(ring);
                    }
                    agrees || changed
                });
                if outcome.is_err() {
                    return Err(format!(
                        "host {k}: not ring {ring} of {hosts:?}, quorate {quorate}, in quorumtool, but {last:?}"
                    ));
                }
                if changed {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The output of corosync-quorumtool on host `k`.
    fn tool(&self, k: usize) -> Tool {
        let (_, text) = self.lab.run(k, &["corosync-quorumtool", "-s"]);
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        // The tool prints the ring sequence number in hexadecimal.
        let ring = value("Ring ID")
            .and_then(|id| id.split_once('.'))
            .and_then(|(node, sequence)| Some(format!("{node}.{}", u64::from_str_radix(sequence, 16).ok()?)));
        Tool {
            ring,
            nodes: value("Nodes").and_then(|count| count.parse().ok()),
            quorate: value("Quorate").map(|word| word == "Yes"),
        }
    }

    /// Waits until each client has been delivered more of its own messages.
    fn messages_flow(&mut self) -> Result<(), String> {
        for client in self.present() {
            let before = ask(client)?.own;
            let mut after = before;
            let outcome = wait_until(PATIENCE, || {
                after = ask(client).map_or(after, |told| told.own);
                after >= before + 2
            });
            if outcome.is_err() {
                return Err(format!("{:?} sends nothing: {before}, {after}", client.process));
            }
        }
        Ok(())
    }

    /// One client of each component multicasts a cut. Returns whether all clients were delivered it.
    fn cut(&mut self, tag: &str) -> bool {
        let components = self.cluster.components(None);
        for component in &components {
            if let Some(client) = self.present().find(|client| component.contains(&client.host)) {
                client.peer.tell(&format!("cut {tag}"));
            }
        }
        let deadline = Instant::now() + Duration::from_secs(15);
        let line = format!("cut {tag}");
        self.present()
            .all(|client| client.peer.hear(&line, deadline.saturating_duration_since(Instant::now())).is_ok())
    }

    /// Checks everything that was delivered since the last moment of rest.
    fn look(&mut self, tag: &str, rings: &[(String, Vec<usize>)]) -> Result<(), String> {
        self.window = std::mem::take(&mut self.ended);
        let mut logs = Vec::new();
        let mix = self.mix.clone();
        for client in self.present() {
            let corosync = mix.kind(client.host).is_corosync();
            let who = client.process.ok_or("a client without a process id")?;
            let events = client.journal.up_to(tag)?;
            let fresh = std::mem::take(&mut client.fresh);
            let ring = rings.iter().find(|(_, hosts)| hosts.contains(&client.host));
            let ring = ring.map(|(ring, _)| ring.clone());
            logs.push(Log { cut: Some(tag.to_owned()), ring, ..Log::new(who, corosync, fresh, events) });
        }
        self.window.extend(logs);
        self.checker.window(&self.window)
    }
}

fn ask(client: &mut Client) -> Result<Told, String> {
    client.peer.tell("state");
    let line = client
        .peer
        .hear("state ", Duration::from_secs(20))
        .map_err(|error| format!("{:?} of host {}: no state: {error}", client.process, client.host))?;
    parse(&line).ok_or_else(|| format!("cannot read {line:?}"))
}

fn parse(line: &str) -> Option<Told> {
    let mut parts = line.strip_prefix("state ")?.split(';');
    let own = parts.next()?.parse().ok()?;
    let mut words = parts.next()?.split_whitespace();
    let ring = words.next().unwrap_or_default().to_owned();
    let nodes = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let members = parts.next()?.split_whitespace().map(process).collect::<Option<_>>()?;
    Some(Told { own, ring, nodes, members })
}
