//! The acts that may happen to a cluster. They are drawn from a seed and the acts before, never from their outcome.
//!
//! Therefore the same seed gives the same steps to every mix of the same size.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::fmt;
use std::time::Duration;

/// The most guests of one host: clients in addition to the one that is always there.
const GUESTS: usize = 2;

/// One act that happens to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A daemon is killed.
    Kill(usize),
    /// A daemon is told to end, and announces that it leaves the ring.
    Leave(usize),
    /// Daemons are started at the same time.
    Start(Vec<usize>),
    /// A daemon is stopped for `ms` milliseconds or, with `until_formed`, also until the others have formed a ring.
    Pause { host: usize, ms: u64, until_formed: bool },
    /// A host's link is narrow for `ms` milliseconds, so that some of many packets at once are lost.
    Narrow { host: usize, ms: u64 },
    /// The hosts are separated: the first number is the bridge of host 1, and so on.
    Split(Vec<usize>),
    /// A host loses all its links.
    Unplug(usize),
    /// A host loses one link, while the hosts' other links stay as they are.
    CutLink { host: usize, link: usize, how: Cut },
    /// All links are whole again.
    HealLinks,
    /// All hosts are on one bridge again, with all their links.
    Heal,
    /// All daemons end one after the other (`kill`: by SIGKILL), and are started at the same time.
    Restart { kill: bool },
    /// A client starts on a host and joins the group.
    Come(usize),
    /// The oldest guest of a host leaves the group and ends.
    Go(usize),
    /// The oldest guest of a host is killed.
    Die(usize),
}

/// How one link of a host is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Nothing passes, but the host's interface does not notice.
    Behind,
    /// The interface has no carrier.
    Unplugged,
    /// The host hears nothing, but is heard.
    Deaf,
    /// The host hears the others, but is not heard.
    Mute,
}

impl Cut {
    const ALL: [Self; 4] = [Self::Behind, Self::Unplugged, Self::Deaf, Self::Mute];
}

impl Act {
    /// The name of its kind, under which acts are counted.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "killed",
            Self::Leave(_) => "ended",
            Self::Start(_) => "started",
            Self::Pause { .. } => "paused",
            Self::Narrow { .. } => "narrow",
            Self::Split(_) => "split",
            Self::Unplug(_) => "unplugged",
            Self::CutLink { .. } => "link cut",
            Self::HealLinks => "links healed",
            Self::Heal => "healed",
            Self::Restart { .. } => "all restarted",
            Self::Come(_) => "client came",
            Self::Go(_) => "client left",
            Self::Die(_) => "client died",
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(k) => write!(f, "kill {k}"),
            Self::Leave(k) => write!(f, "leave {k}"),
            Self::Start(hosts) => write!(f, "start {hosts:?}"),
            Self::Pause { host, ms, until_formed: false } => write!(f, "pause {host} for {ms} ms"),
            Self::Pause { host, ms, until_formed: true } => {
                write!(f, "pause {host} for {ms} ms and until the others are a ring")
            }
            Self::Narrow { host, ms } => write!(f, "narrow {host} for {ms} ms"),
            Self::Split(bridges) => write!(f, "split {bridges:?}"),
            Self::Unplug(k) => write!(f, "unplug {k}"),
            Self::CutLink { host, link, how } => write!(f, "cut link {link} of {host}: {how:?}"),
            Self::HealLinks => f.write_str("heal links"),
            Self::Heal => f.write_str("heal"),
            Self::Restart { kill: true } => f.write_str("kill all, start all"),
            Self::Restart { kill: false } => f.write_str("end all, start all"),
            Self::Come(k) => write!(f, "a client comes on {k}"),
            Self::Go(k) => write!(f, "a client of {k} leaves"),
            Self::Die(k) => write!(f, "a client of {k} dies"),
        }
    }
}

/// The state of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Whether its daemon runs.
    pub(crate) up: bool,
    /// The bridge it is on.
    pub(crate) bridge: usize,
    /// Whether it is connected to the network at all.
    pub(crate) plugged: bool,
    /// The link that is cut, and how it is cut.
    pub(crate) cut: Option<(usize, Cut)>,
    /// Number of its clients in addition to the one that is always there.
    pub(crate) guests: usize,
}

/// The state of all hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    hosts: Vec<State>,
    /// Number of links between each pair of hosts.
    links: usize,
}

impl Cluster {
    /// `count` hosts with `links` links, all up and on one bridge.
    pub(crate) fn new(count: usize, links: usize) -> Self {
        Self { hosts: vec![State { up: true, bridge: 0, plugged: true, cut: None, guests: 0 }; count], links }
    }

    /// Number of hosts.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len()
    }

    /// The state of host `k`.
    pub(crate) fn host(&self, k: usize) -> &State {
        &self.hosts[k - 1]
    }

    fn host_mut(&mut self, k: usize) -> &mut State {
        &mut self.hosts[k - 1]
    }

    fn hosts(&self, which: impl Fn(&State) -> bool) -> Vec<usize> {
        (1..=self.len()).filter(|k| which(self.host(*k))).collect()
    }

    /// The link that one or more hosts have lost. No host may lose another link meanwhile: two hosts that have lost
    /// different links would not hear each other, while other hosts heard both.
    fn weak_link(&self) -> Option<usize> {
        self.hosts.iter().find_map(|host| host.cut.map(|(link, _)| link))
    }

    /// The sets of running hosts that hear each other, without host `but`. A single cut link separates nobody, as
    /// there is another one.
    pub(crate) fn components(&self, but: Option<usize>) -> Vec<Vec<usize>> {
        let mut sets: Vec<Vec<usize>> = Vec::new();
        for k in self.hosts(|host| host.up) {
            let fellow = |set: &&mut Vec<usize>| {
                let other = self.host(set[0]);
                other.plugged && self.host(k).plugged && other.bridge == self.host(k).bridge
            };
            match sets.iter_mut().find(fellow) {
                _ if but == Some(k) => {}
                Some(set) => set.push(k),
                None => sets.push(vec![k]),
            }
        }
        sets
    }

    /// Changes the state as `act` does.
    pub(crate) fn apply(&mut self, act: &Act) {
        match act {
            Act::Kill(k) | Act::Leave(k) => {
                let host = self.host_mut(*k);
                (host.up, host.guests) = (false, 0);
            }
            Act::Start(hosts) => hosts.iter().for_each(|k| self.host_mut(*k).up = true),
            Act::Pause { .. } | Act::Narrow { .. } => {}
            Act::Split(bridges) => {
                for (host, bridge) in self.hosts.iter_mut().zip(bridges) {
                    host.bridge = *bridge;
                }
            }
            Act::Unplug(k) => self.host_mut(*k).plugged = false,
            Act::CutLink { host, link, how } => self.host_mut(*host).cut = Some((*link, *how)),
            Act::HealLinks => self.hosts.iter_mut().for_each(|host| host.cut = None),
            Act::Heal => {
                self.hosts
                    .iter_mut()
                    .for_each(|host| (host.bridge, host.plugged, host.cut) = (0, true, None));
            }
            Act::Restart { .. } => self.hosts.iter_mut().for_each(|host| (host.up, host.guests) = (true, 0)),
            Act::Come(k) => self.host_mut(*k).guests += 1,
            Act::Go(k) | Act::Die(k) => self.host_mut(*k).guests -= 1,
        }
    }
}

/// Draws acts from a seed.
pub(crate) struct Draw {
    random: Pcg64Mcg,
    token_ms: u64,
    /// Hosts whose daemons are not ended.
    spared: Vec<usize>,
}

impl Draw {
    /// For daemons with a token time-out of `token_ms`.
    pub(crate) fn seeded(seed: u64, token_ms: u64) -> Self {
        Self { random: Pcg64Mcg::seed_from_u64(seed), token_ms, spared: Vec::new() }
    }

    /// Excludes the daemons of these hosts from being ended.
    pub(crate) fn sparing(mut self, hosts: &[usize]) -> Self {
        self.spared = hosts.to_vec();
        self
    }

    /// Draws a step: one to three acts, each after a pause that does not wait for the effect of the act before.
    pub(crate) fn step(&mut self, cluster: &Cluster) -> Vec<(Duration, Act)> {
        let mut cluster = cluster.clone();
        let count = match self.random.random_range(0..10) {
            0..6 => 1,
            6..9 => 2,
            _ => 3,
        };
        let mut step = Vec::new();
        for index in 0..count {
            let act = self.act(&cluster);
            cluster.apply(&act);
            // The interesting moments lie around the token time-out; some acts happen at the same moment.
            let ms = match self.random.random_range(0..4) {
                _ if index == 0 => 0,
                0 => 0,
                1 => self.random.random_range(0..self.token_ms / 10),
                _ => self.random.random_range(0..2 * self.token_ms),
            };
            step.push((Duration::from_millis(ms), act));
        }
        step
    }

    /// Draws an act of a client: starting, leaving or dying. `None` if no running daemon has room for another one.
    pub(crate) fn client(&mut self, cluster: &Cluster) -> Option<Act> {
        let room = cluster.hosts(|host| host.up && host.guests < GUESTS);
        let hosting = cluster.hosts(|host| host.guests > 0);
        match self.random.random_range(0..4) {
            0..2 => (!room.is_empty()).then(|| Act::Come(self.pick(&room))),
            2 => (!hosting.is_empty()).then(|| Act::Go(self.pick(&hosting))),
            _ => (!hosting.is_empty()).then(|| Act::Die(self.pick(&hosting))),
        }
    }

    fn act(&mut self, cluster: &Cluster) -> Act {
        loop {
            if let Some(act) = self.try_act(cluster) {
                return act;
            }
        }
    }

    /// Draws a kind of act, and returns one if that kind is possible now.
    fn try_act(&mut self, cluster: &Cluster) -> Option<Act> {
        // Drawn first, and only with more than one link, so that with one link a seed gives the acts that it gave
        // before link faults were added.
        if cluster.links > 1 && self.random.random_bool(0.25) {
            return self.link_act(cluster);
        }
        let count = cluster.len();
        let up = cluster.hosts(|host| host.up);
        let mut mortal = up.clone();
        mortal.retain(|k| !self.spared.contains(k));
        let down = cluster.hosts(|host| !host.up);
        let hosting = cluster.hosts(|host| host.guests > 0);
        let parted = cluster.hosts.iter().any(|host| host.bridge != 0 || !host.plugged);
        match self.random.random_range(0..100) {
            0..12 => (up.len() > 1 && !mortal.is_empty()).then(|| Act::Kill(self.pick(&mortal))),
            12..20 => (up.len() > 1 && !mortal.is_empty()).then(|| Act::Leave(self.pick(&mortal))),
            20..38 if !down.is_empty() => {
                // Starts all daemons that are down, or one of them.
                Some(Act::Start(if self.random.random_bool(0.5) { down } else { vec![self.pick(&down)] }))
            }
            20..38 => None,
            38..44 => {
                let ms = self.random.random_range(self.token_ms / 10..self.token_ms * 7 / 10);
                Some(Act::Pause { host: self.pick(&up), ms, until_formed: false })
            }
            44..53 => {
                let ms = self.random.random_range(self.token_ms * 3 / 2..self.token_ms * 4);
                let until_formed = self.random.random_bool(0.5);
                Some(Act::Pause { host: self.pick(&up), ms, until_formed })
            }
            53..60 => {
                let ms = self.random.random_range(self.token_ms / 5..self.token_ms * 5 / 2);
                Some(Act::Narrow { host: self.pick(&up), ms })
            }
            60..70 => {
                // Two or three parts of equal or different size; host 1 may be alone, as any other.
                let parts = if count > 3 && self.random.random_bool(0.2) { 3 } else { 2 };
                let bridges: Vec<usize> = (0..count).map(|_| self.random.random_range(0..parts)).collect();
                let news = bridges.iter().zip(&cluster.hosts).any(|(bridge, host)| *bridge != host.bridge);
                news.then_some(Act::Split(bridges))
            }
            70..74 => {
                let plugged = cluster.hosts(|host| host.plugged);
                (!plugged.is_empty()).then(|| Act::Unplug(self.pick(&plugged)))
            }
            74..86 => parted.then_some(Act::Heal),
            86..90 if !self.spared.is_empty() => None,
            86..90 => Some(Act::Restart { kill: self.random.random_bool(0.5) }),
            90..94 => {
                let room = cluster.hosts(|host| host.up && host.guests < GUESTS);
                (!room.is_empty()).then(|| Act::Come(self.pick(&room)))
            }
            94..97 => (!hosting.is_empty()).then(|| Act::Go(self.pick(&hosting))),
            _ => (!hosting.is_empty()).then(|| Act::Die(self.pick(&hosting))),
        }
    }

    /// Draws a fault of one link of a host, or the end of all such faults.
    fn link_act(&mut self, cluster: &Cluster) -> Option<Act> {
        let weak = cluster.weak_link();
        if weak.is_some() && self.random.random_bool(0.5) {
            return Some(Act::HealLinks);
        }
        let whole = cluster.hosts(|host| host.cut.is_none() && host.plugged);
        if whole.is_empty() {
            return None;
        }
        let link = weak.unwrap_or_else(|| self.random.random_range(0..cluster.links));
        let how = Cut::ALL[self.random.random_range(0..Cut::ALL.len())];
        Some(Act::CutLink { host: self.pick(&whole), link, how })
    }

    fn pick(&mut self, choices: &[usize]) -> usize {
        choices[self.random.random_range(0..choices.len())]
    }
}
