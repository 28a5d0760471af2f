//! Clients of libcpg on the hosts of one telling of a story: the commands to them, and their outputs.

use crate::both::{PATIENCE, Side};
use crate::lab::Program;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The program of the client, compiled once.
fn client() -> &'static str {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| crate::clients::compiled("cpg-client", "groups/client.c", "-lcpg"));
    built.to_str().expect("a path of letters")
}

/// All clients that have ever been started, by name: the number of the host and a letter, for example `2b`.
#[derive(Default)]
pub(super) struct Cast {
    actors: BTreeMap<&'static str, Program>,
    /// Each client's `node/pid`, and the name that replaces it in outputs.
    names: Vec<(String, &'static str)>,
}

impl Cast {
    /// Starts a client with its connection number 0; `how` is empty or `initial`.
    pub(super) fn enter(&mut self, side: &Side, name: &'static str, how: &str) {
        let k = host_of(name);
        let program = side.lab.spawn(k, &[client()]);
        program.wait_for("process id", PATIENCE, |_| program.errors().contains('\n'));
        let pid = program.errors().trim().strip_prefix("pid ").expect("it says so").to_owned();
        self.names.push((format!("{k}/{pid}"), name));
        assert!(self.actors.insert(name, program).is_none(), "{name} twice");
        self.act(name, &format!("init 0 {how}"));
    }

    /// Starts a client that joins a group. It asks for the ring at once, so that any ring that it reports later is a
    /// new one.
    pub(super) fn join(&mut self, side: &Side, name: &'static str, group: &str) {
        self.enter(side, name, "initial");
        self.act(name, &format!("join 0 {group}"));
    }

    /// Sends a client a command.
    pub(super) fn tell(&mut self, name: &str, line: &str) {
        self.get_mut(name).tell(&format!("{line}\n"));
    }

    /// Sends a client a command and waits until it has answered.
    pub(super) fn act(&mut self, name: &str, line: &str) {
        let before = answers(&self.get(name).errors()).count();
        self.tell(name, line);
        let program = self.get(name);
        program.wait_for(line, PATIENCE, |_| answers(&program.errors()).count() > before);
    }

    /// The client with this name.
    pub(super) fn get(&self, name: &str) -> &Program {
        self.actors.get(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// The client with this name, mutable.
    pub(super) fn get_mut(&mut self, name: &str) -> &mut Program {
        self.actors.get_mut(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Whether there is such a client and its daemon still runs.
    pub(super) fn serves(&self, name: &str) -> bool {
        self.actors.get(name).is_some_and(|program| !program.output().contains("the daemon is gone"))
    }

    /// Waits until each of these clients sees `count` members in the group.
    pub(super) fn views(&self, names: &[&str], group: &str, count: usize) {
        let head = format!(" {group}: view of ");
        let wanted = format!("{head}{count};");
        for name in names {
            let program = self.get(name);
            program.wait_for(&wanted, PATIENCE, |_| {
                let text = program.output();
                let last = text.lines().rev().find(|line| line.contains(&head));
                text.ends_with('\n') && last.is_some_and(|line| line.contains(&wanted))
            });
        }
    }

    /// Waits until each of these clients has been delivered `count` messages in all.
    pub(super) fn heard(&self, names: &[&str], count: usize) {
        for name in names {
            let program = self.get(name);
            program.wait_for(&format!("{count} messages"), PATIENCE, |_| {
                messages(&program.output()).len() >= count
            });
        }
    }

    /// A client's output, with names in place of process ids.
    fn masked(&self, text: &str) -> String {
        let mut names = self.names.clone();
        names.sort_by_key(|(id, _)| std::cmp::Reverse(id.len()));
        let mut rings: BTreeMap<String, String> = BTreeMap::new();
        let mut lines: Vec<String> = Vec::new();
        for line in answers(text) {
            let mut line = line.to_owned();
            for (id, name) in &names {
                line = line.replace(id, name);
            }
            if let Some((connection, ring)) = line.split_once(": ring ") {
                let (number, nodes) = ring.split_once(';').expect("nodes");
                let representative = number.split('.').next().expect("node.number");
                // How often the same nodes form a ring is chance, so repetitions are dropped.
                if rings.insert(connection.to_owned(), nodes.to_owned()).as_deref() == Some(nodes) {
                    continue;
                }
                line = format!("{connection}: ring {representative}.(number);{nodes}");
            }
            lines.push(sorted_by_host(&line));
        }
        // Which connection of a process is served first is chance.
        lines.sort_by_key(|line| line.chars().next());
        lines.join("\n") + "\n"
    }

    /// The callbacks that a client got, masked.
    pub(super) fn told(&self, name: &str) -> String {
        self.masked(&self.get(name).output())
    }

    /// The answers that a client got, masked.
    pub(super) fn answered(&self, name: &str) -> String {
        self.masked(&self.get(name).errors())
    }

    /// Notes the outputs of all clients.
    pub(super) fn note(&self, side: &mut Side) {
        for (name, program) in &self.actors {
            let k = host_of(name);
            side.keep_of(k, &format!("{name} was told"), self.told(name));
            side.keep_of(k, &format!("{name} was answered"), self.masked(&program.errors()));
        }
    }
}

/// The lines that the client itself prints: libcpg also prints to standard error when it must wait within a long
/// message.
fn answers(text: &str) -> impl Iterator<Item = &str> {
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().filter(|line| !line.starts_with("pid ") && !line.starts_with("sleep. counter"))
}

/// The messages that a client was delivered, one line each.
pub(super) fn messages(text: &str) -> Vec<&str> {
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().filter(|line| line.contains(": message ")).collect()
}

/// A view's list of joined processes. Those that came with their hosts (reason 4) are sorted by host, as the order in
/// which the hosts' lists pass the ring is chance. Those of one host keep their order.
fn sorted_by_host(line: &str) -> String {
    let Some((head, joined)) = line.split_once("; joined ") else { return line.to_owned() };
    let mut joined: Vec<&str> = joined.split(' ').collect();
    if joined.iter().all(|who| who.ends_with(":4")) {
        joined.sort_by_key(|who| who.chars().next());
    }
    format!("{head}; joined {}", joined.join(" "))
}

/// The number of the host on which a client runs.
pub(super) fn host_of(name: &str) -> usize {
    name[..1].parse().expect("the host's number")
}
