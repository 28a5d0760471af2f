//! Clients of libcpg on the hosts of one telling: what they are told to do, and what they say of it.

use crate::both::{PATIENCE, Side};
use crate::lab::Program;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The client, built once.
fn client() -> &'static str {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| crate::clients::compiled("cpg-client", "groups/client.c", "-lcpg"));
    built.to_str().expect("a path of letters")
}

/// All clients that there ever were, by name: the number of the host and a letter, `2b`.
#[derive(Default)]
pub(super) struct Cast {
    actors: BTreeMap<&'static str, Program>,
    /// `node/pid` and the name in its place.
    names: Vec<(String, &'static str)>,
}

impl Cast {
    /// A client begins, connected as its number 0; `how` is empty or `initial`.
    pub(super) fn enter(&mut self, side: &Side, name: &'static str, how: &str) {
        let k = host_of(name);
        let program = side.lab.spawn(k, &[client()]);
        program.wait_for("process id", PATIENCE, |_| program.errors().contains('\n'));
        let pid = program.errors().trim().strip_prefix("pid ").expect("it says so").to_owned();
        self.names.push((format!("{k}/{pid}"), name));
        assert!(self.actors.insert(name, program).is_none(), "{name} twice");
        self.act(name, &format!("init 0 {how}"));
    }

    /// The same, and it joins a group. It is told the ring at once, so that what it is told of rings later is known
    /// to be new.
    pub(super) fn join(&mut self, side: &Side, name: &'static str, group: &str) {
        self.enter(side, name, "initial");
        self.act(name, &format!("join 0 {group}"));
    }

    /// Tells one something.
    pub(super) fn tell(&mut self, name: &str, line: &str) {
        self.get_mut(name).tell(&format!("{line}\n"));
    }

    /// Tells one something and waits until it has answered.
    pub(super) fn act(&mut self, name: &str, line: &str) {
        let before = answers(&self.get(name).errors()).count();
        self.tell(name, line);
        let program = self.get(name);
        program.wait_for(line, PATIENCE, |_| answers(&program.errors()).count() > before);
    }

    /// One client.
    pub(super) fn get(&self, name: &str) -> &Program {
        self.actors.get(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// One client, to do something to.
    pub(super) fn get_mut(&mut self, name: &str) -> &mut Program {
        self.actors.get_mut(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Whether there is such a client and its daemon is not gone.
    pub(super) fn serves(&self, name: &str) -> bool {
        self.actors.get(name).is_some_and(|program| !program.output().contains("the daemon is gone"))
    }

    /// Waits until each of these has so many members in the group.
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

    /// Waits until each of these has been delivered so many messages in all.
    pub(super) fn heard(&self, names: &[&str], count: usize) {
        for name in names {
            let program = self.get(name);
            program.wait_for(&format!("{count} messages"), PATIENCE, |_| {
                messages(&program.output()).len() >= count
            });
        }
    }

    /// What one said, on standard output or error, with names in the place of process ids.
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
                // How often the same nodes form a ring is chance.
                if rings.insert(connection.to_owned(), nodes.to_owned()).as_deref() == Some(nodes) {
                    continue;
                }
                line = format!("{connection}: ring {representative}.(number);{nodes}");
            }
            lines.push(sorted_by_host(&line));
        }
        // Which connection of a process is asked first is chance.
        lines.sort_by_key(|line| line.chars().next());
        lines.join("\n") + "\n"
    }

    /// What one was told by callbacks, masked.
    pub(super) fn told(&self, name: &str) -> String {
        self.masked(&self.get(name).output())
    }

    /// What one was answered, masked.
    pub(super) fn answered(&self, name: &str) -> String {
        self.masked(&self.get(name).errors())
    }

    /// Notes all that was said by all.
    pub(super) fn note(&self, side: &mut Side) {
        for (name, program) in &self.actors {
            let k = host_of(name);
            side.keep_of(k, &format!("{name} was told"), self.told(name));
            side.keep_of(k, &format!("{name} was answered"), self.masked(&program.errors()));
        }
    }
}

/// The lines of a client's own: libcpg, when it has to wait amid a long message, says so on standard error.
fn answers(text: &str) -> impl Iterator<Item = &str> {
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().filter(|line| !line.starts_with("pid ") && !line.starts_with("sleep. counter"))
}

/// The messages that a client was delivered, a line each.
pub(super) fn messages(text: &str) -> Vec<&str> {
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().filter(|line| line.contains(": message ")).collect()
}

/// Those whose hosts came along (reason 4) in the order of their hosts: whose list comes first through the ring is
/// chance. Those of one host stay in the order in which they are.
fn sorted_by_host(line: &str) -> String {
    let Some((head, joined)) = line.split_once("; joined ") else { return line.to_owned() };
    let mut joined: Vec<&str> = joined.split(' ').collect();
    if joined.iter().all(|who| who.ends_with(":4")) {
        joined.sort_by_key(|who| who.chars().next());
    }
    format!("{head}; joined {}", joined.join(" "))
}

/// The host of a client.
pub(super) fn host_of(name: &str) -> usize {
    name[..1].parse().expect("the host's number")
}
