//! Random histories on the bus: clients connect, join, send, leave and die; queues are full; rings form,
//! break, merge and are interrupted in the middle of a synchronisation; nodes crash and return. In all of
//! them:
//!
//! * members that move together from ring to ring see the same events of a group in the same order, from
//!   the end of one synchronisation to the next ring, and from there to the end of the next;
//! * each membership event is the previous one without those that left plus those that joined, and lies
//!   within the ring;
//! * whoever sends a message is a member when it is delivered; each message is delivered once, those of a
//!   sender in order, and a member receives its own messages;
//! * when no more messages are under way, all nodes agree on the members of each group, and are right.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::bus::{Bus, Node, Seen, join_request, leave_request, mcast_request, node_id, status};
use crate::cpg::groups::Process;
use crate::cpg::name::{GroupName, Member};
use crate::ids::{ConnId, NodeId, RingId};
use crate::service::Service;

const NODES: u32 = 5;
const GROUPS: [&str; 3] = ["a", "b", "b\0c"];

/// The state of a client as the client sees it.
#[derive(Debug)]
struct Client {
    node: u32,
    pid: u32,
    group: &'static str,
    joined: bool,
    leaving: bool,
    alive: bool,
    sent: Vec<u64>,
}

struct World {
    bus: Bus,
    random: Pcg64Mcg,
    clients: BTreeMap<ConnId, Client>,
    /// The events of all clients, those of crashed nodes included.
    told: BTreeMap<(NodeId, ConnId), Vec<Seen>>,
    /// For each incarnation of a node, the rings that it was in, in order.
    moves: BTreeMap<(NodeId, u64), Vec<RingId>>,
    /// For each incarnation of a node, the rings whose synchronisation its desk completed.
    settled: BTreeMap<(NodeId, u64), BTreeSet<RingId>>,
    incarnations: BTreeMap<u32, u64>,
    next: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            bus: Bus::default(),
            random: Pcg64Mcg::seed_from_u64(seed),
            clients: BTreeMap::new(),
            told: BTreeMap::new(),
            moves: BTreeMap::new(),
            settled: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            next: 1,
        };
        for id in 1..=NODES {
            world.boot(id);
        }
        world
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.random.random_range(0..limit)
    }

    fn boot(&mut self, id: u32) {
        let others: &[u16] = match self.below(3) {
            0 => &[],
            1 => &[0, 3, 5],
            _ => &[0, 3],
        };
        let room = if self.below(2) == 0 { 4 } else { 64 };
        *self.incarnations.entry(id).or_default() += 1;
        self.bus.add(Node::new(id, room, others));
        self.form(&[id]);
    }

    fn form(&mut self, members: &[u32]) {
        let random = &mut self.random;
        self.bus.form(members, |all| random.random_range(0..=all));
        for id in members {
            let incarnation = self.incarnations[id];
            let settled = self.bus.node(*id).cpg.exchange.settled().map(|(ring, _)| ring);
            self.settled.entry((node_id(*id), incarnation)).or_default().extend(settled);
            let ring = self.bus.node(*id).router.ring().unwrap();
            self.moves.entry((node_id(*id), incarnation)).or_default().push(ring);
        }
    }

    /// Splits all nodes into one to three rings, but leaves some in their ring.
    fn rearrange(&mut self) {
        let parts = 1 + self.below(3);
        let mut rings: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for id in 1..=NODES {
            let part = self.below(parts);
            rings.entry(part).or_default().push(id);
        }
        for members in rings.into_values() {
            self.form(&members);
        }
    }

    fn crash(&mut self, id: u32) {
        for (conn, client) in &mut self.clients {
            if client.alive && client.node == id {
                client.alive = false;
                let told = self.bus.nodes.get_mut(&id).unwrap().below.told.remove(conn).unwrap();
                self.told.insert((node_id(id), *conn), told);
            }
        }
        self.bus.nodes.remove(&id);
        self.boot(id);
    }

    fn connect(&mut self, node: u32) {
        if !self.bus.node(node).router.ready() {
            return;
        }
        let conn = ConnId(self.next);
        self.next += 1;
        let pid = 1 + self.below(6);
        self.bus.node(node).connect(conn);
        let client =
            Client { node, pid, group: "", joined: false, leaving: false, alive: true, sent: Vec::new() };
        self.clients.insert(conn, client);
    }

    /// Lets a random living client do something.
    fn act(&mut self) {
        let living: Vec<ConnId> =
            self.clients.iter().filter(|(_, client)| client.alive).map(|(conn, _)| *conn).collect();
        if living.len() < 12 {
            let node = 1 + self.below(NODES);
            self.connect(node);
        }
        if living.is_empty() {
            return;
        }
        let conn = living[self.below(living.len() as u32) as usize];
        let what = self.below(60);
        let group = GROUPS[self.below(3) as usize];
        let number = self.next;
        let client = self.clients.get_mut(&conn).unwrap();
        let node = self.bus.node(client.node);
        match what {
            0 => {
                client.alive = false;
                node.disconnect(conn);
                let told = node.below.told.remove(&conn).unwrap();
                self.told.insert((node.id, conn), told);
            }
            1..8 => {
                let reply = node.request(conn, &join_request(group.as_bytes(), client.pid, 0), &[]).unwrap();
                if status(&reply) == (0, 1) {
                    assert!(!client.joined || client.leaving);
                    (client.joined, client.leaving, client.group) = (true, false, group);
                }
            }
            8 => {
                let request = leave_request(client.group.as_bytes(), client.pid);
                let reply = node.request(conn, &request, &[]).unwrap();
                if status(&reply) == (1, 1) {
                    client.leaving = true;
                }
            }
            _ => {
                // As in the IPC server, a multicast stays with the client while the ring cannot accept it.
                let open = !node.router.syncing() && node.below.normal.len() < node.below.room;
                if client.joined && !client.leaving && open {
                    self.next += 1;
                    client.sent.push(number);
                    node.request(conn, &mcast_request(0, &number.to_le_bytes()), &[]);
                }
            }
        }
        assert_eq!(node.cpg.stats().dropped_requests, 0);
    }

    fn run(&mut self, steps: u32) {
        for _ in 0..steps {
            let id = 1 + self.below(NODES);
            match self.below(1000) {
                0 => self.crash(id),
                1..4 => self.bus.settle(),
                4..300 => self.act(),
                300..600 => {
                    let most = 1 + self.below(4) as usize;
                    self.bus.token(id, most);
                }
                600..992 => {
                    let most = 1 + self.below(12) as usize;
                    self.bus.advance(id, most);
                }
                _ => self.rearrange(),
            }
        }
        self.form(&(1..=NODES).collect::<Vec<_>>());
        self.bus.settle();
        for (conn, client) in &self.clients {
            if client.alive {
                let told = self.bus.node(client.node).below.told[conn].clone();
                self.told.insert((node_id(client.node), *conn), told);
            }
        }
    }

    /// Returns the number of messages received, and of pairs of clients compared.
    fn check(&mut self) -> (usize, usize) {
        self.check_tables();
        for ((node, conn), told) in &self.told {
            check_one(told);
            let client = &self.clients[conn];
            let me = Member { node: *node, pid: client.pid };
            let heard: Vec<u64> = told.iter().filter_map(|seen| number_from(seen, me)).collect();
            let own: BTreeSet<u64> = client.sent.iter().copied().collect();
            let heard: Vec<u64> = heard.into_iter().filter(|number| own.contains(number)).collect();
            if client.alive {
                assert_eq!(heard, client.sent, "{conn:?} hears all that it sent");
            }
        }
        let heard = self.check_spans();
        self.check_all_or_none();
        (heard, self.check_together())
    }

    /// While a process is a member, none of its messages is missed.
    fn check_spans(&self) -> usize {
        let mut places: BTreeMap<u64, (ConnId, usize)> = BTreeMap::new();
        for (conn, client) in &self.clients {
            places.extend(client.sent.iter().enumerate().map(|(at, number)| (*number, (*conn, at))));
        }
        let mut heard = 0;
        for ((node, conn), told) in &self.told {
            let mut last: BTreeMap<Member, (ConnId, usize)> = BTreeMap::new();
            for seen in told {
                match seen {
                    Seen::Confchg { .. } if is_own_leave(told, seen) => last.clear(),
                    Seen::Confchg { left, .. } => left.iter().for_each(|(member, _)| {
                        last.remove(member);
                    }),
                    Seen::Message { sender, payload, .. } => {
                        let number = u64::from_le_bytes(payload[..].try_into().unwrap());
                        let place = places[&number];
                        if let Some((from, at)) = last.insert(*sender, place) {
                            assert_eq!(place, (from, at + 1), "{node} {conn:?} misses something of {sender}");
                        }
                        heard += 1;
                    }
                    Seen::Settled(..) | Seen::Regular(_) => {}
                }
            }
        }
        heard
    }

    /// Of the nodes that move together, either all or none completed the old ring's synchronisation.
    fn check_all_or_none(&self) {
        let mut completed: BTreeMap<(RingId, RingId), BTreeMap<bool, NodeId>> = BTreeMap::new();
        for ((node, incarnation), rings) in &self.moves {
            let settled = &self.settled[&(*node, *incarnation)];
            for pair in rings.windows(2) {
                let entry = completed.entry((pair[0], pair[1])).or_default();
                entry.insert(settled.contains(&pair[0]), *node);
            }
        }
        for ((from, to), answers) in completed {
            assert_eq!(answers.len(), 1, "{from} to {to}: {answers:?}");
        }
    }

    fn check_tables(&mut self) {
        let mut expected: Vec<Process> = Vec::new();
        for client in self.clients.values().filter(|c| c.alive && c.joined && !c.leaving) {
            let member = Member { node: node_id(client.node), pid: client.pid };
            expected.push(Process { member, group: GroupName::new(client.group).unwrap() });
        }
        expected.sort();
        for id in 1..=NODES {
            let node = self.bus.node(id);
            let mut table = node.cpg.groups().processes().to_vec();
            table.sort();
            assert_eq!(table, expected, "table of node {id}");
            assert!(node.cpg.settled());
            assert!(!node.router.syncing());
            let stats = node.cpg.stats();
            assert_eq!((stats.malformed, stats.refused_joins, stats.capped_events), (0, 0, 0));
        }
    }

    /// Members that move together receive the same events.
    fn check_together(&self) -> usize {
        // For each pair of consecutive rings: the nodes that made this move in one incarnation.
        let mut together: BTreeMap<(RingId, RingId), BTreeSet<NodeId>> = BTreeMap::new();
        for ((node, _), rings) in &self.moves {
            for pair in rings.windows(2) {
                together.entry((pair[0], pair[1])).or_default().insert(*node);
            }
        }
        let mut compared = 0;
        for ((from, to), nodes) in &together {
            for group in GROUPS {
                let pieces: Vec<Piece<'_>> = self
                    .told
                    .iter()
                    .filter(|((node, _), _)| nodes.contains(node))
                    .filter_map(|((_, conn), told)| Piece::between(told, *from, *to, group, *conn))
                    .collect();
                // Clients that were members all the time received everything; the others received a part of
                // it.
                for whole in pieces.iter().filter(|piece| piece.whole) {
                    for other in &pieces {
                        let ok = if other.whole {
                            other.seen == whole.seen
                        } else {
                            other.seen.is_empty()
                                || whole.seen.windows(other.seen.len()).any(|part| part == other.seen)
                        };
                        assert!(ok, "{from} to {to}, group {group:?}:\n{whole:#?}\n{other:#?}");
                        compared += 1;
                    }
                }
            }
        }
        // From the new ring to the end of its synchronisation: the same events for all nodes that come from
        // the same completed synchronisation.
        for ((from, to), nodes) in &together {
            for group in GROUPS {
                let seen: Vec<Vec<&Seen>> = self
                    .told
                    .iter()
                    .filter(|((node, _), _)| nodes.contains(node))
                    .filter_map(|(_, told)| activation(told, *from, *to, group))
                    .collect();
                assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{from} to {to}: {seen:#?}");
                compared += seen.len().saturating_sub(1);
            }
        }
        compared
    }
}

/// The events that one connection received of a group between the end of a ring's synchronisation and the
/// next ring.
#[derive(Debug)]
struct Piece<'a> {
    #[allow(dead_code, reason = "shown when a check fails")]
    conn: ConnId,
    seen: Vec<&'a Seen>,
    /// Whether it was in the group from beginning to end.
    whole: bool,
}

impl<'a> Piece<'a> {
    fn between(told: &'a [Seen], from: RingId, to: RingId, group: &str, conn: ConnId) -> Option<Self> {
        let settled = |seen: &Seen| matches!(seen, Seen::Settled(ring, _) if *ring == from);
        let begin = told.iter().position(settled)?;
        let end = told.iter().position(|seen| *seen == Seen::Regular(to))?;
        let of_group = |seen: &&Seen| seen.group() == Some(group.as_bytes());
        let part = told[begin + 1..end].iter();
        let was_in = last_group(&told[..begin]) == Some(group.as_bytes());
        let is_in = last_group(&told[..end]) == Some(group.as_bytes());
        let others = part.clone().any(|seen| seen.group().is_some_and(|g| g != group.as_bytes()));
        let seen: Vec<&Seen> = part.filter(of_group).collect();
        // A client that leaves and joins again in between misses a part.
        let left = seen.iter().any(|seen| is_own_leave(told, seen));
        if left && is_in {
            return None;
        }
        Some(Self { conn, seen, whole: was_in && is_in && !others && !left })
    }
}

/// The group that a connection is in after these events: the group of its last membership event, unless that
/// was its own leave, after which nothing follows before the next join.
fn last_group(told: &[Seen]) -> Option<&[u8]> {
    let last = told.iter().rev().find(|seen| seen.group().is_some())?;
    if is_own_leave(told, last) { None } else { last.group() }
}

/// The first join that a connection sees is its own, which reveals its process.
fn is_own_leave(told: &[Seen], seen: &Seen) -> bool {
    let own = told.iter().find_map(|seen| match seen {
        Seen::Confchg { joined, .. } => joined.first().map(|(member, _)| *member),
        Seen::Message { .. } | Seen::Settled(..) | Seen::Regular(_) => None,
    });
    matches!(seen, Seen::Confchg { left, .. } if left.iter().any(|(member, _)| Some(*member) == own))
}

/// The events of a group that a connection in it received in the synchronisation of ring `to`, if it
/// completed that of ring `from`.
fn activation<'a>(told: &'a [Seen], from: RingId, to: RingId, group: &str) -> Option<Vec<&'a Seen>> {
    let settled = |id: RingId| move |seen: &Seen| matches!(seen, Seen::Settled(ring, _) if *ring == id);
    told.iter().position(settled(from))?;
    let begin = told.iter().position(|seen| *seen == Seen::Regular(to))?;
    let end = told.iter().position(settled(to))?;
    (last_group(&told[..begin]) == Some(group.as_bytes())).then(|| {
        let part = told[begin..end].iter();
        part.filter(|seen| seen.group() == Some(group.as_bytes())).collect()
    })
}

fn number_from(seen: &Seen, from: Member) -> Option<u64> {
    match seen {
        Seen::Message { sender, payload, .. } if *sender == from => {
            Some(u64::from_le_bytes(payload[..].try_into().unwrap()))
        }
        Seen::Message { .. } | Seen::Confchg { .. } | Seen::Settled(..) | Seen::Regular(_) => None,
    }
}

/// Checks the rules for the events of a single client.
fn check_one(told: &[Seen]) {
    let mut members: BTreeMap<&[u8], BTreeSet<Member>> = BTreeMap::new();
    let mut ring: Option<&[NodeId]> = None;
    let mut heard: BTreeMap<Member, u64> = BTreeMap::new();
    let own = |member: &Member| {
        is_own_leave(
            told,
            &Seen::Confchg {
                group: Vec::new(),
                members: Vec::new(),
                left: vec![(*member, 0)],
                joined: Vec::new(),
            },
        )
    };
    for seen in told {
        match seen {
            Seen::Confchg { group, members: now, left, joined } => {
                let now: BTreeSet<Member> = now.iter().copied().collect();
                let before = members.remove(&group[..]);
                assert!(left.iter().all(|(member, _)| !now.contains(member)));
                assert!(joined.iter().all(|(member, _)| now.contains(member)));
                if let Some(mut expected) = before {
                    for (member, _) in left {
                        assert!(expected.remove(member), "{member} left, but was no member");
                    }
                    for (member, _) in joined {
                        assert!(expected.insert(*member), "{member} joined twice");
                    }
                    assert_eq!(now, expected);
                } else {
                    assert!(
                        joined.iter().any(|(member, _)| own(member)),
                        "the first event is one's own join"
                    );
                }
                if let Some(ring) = ring {
                    // Before the end of a synchronisation the nodes of the last ring still count; nodes that
                    // join are reported just before the new ring is.
                    let coming =
                        |m: &Member| joined.iter().any(|(member, reason)| member == m && *reason == 4);
                    assert!(
                        now.iter().all(|m| ring.contains(&m.node) || coming(m) || !settled_yet(told, seen))
                    );
                }
                if !left.iter().any(|(member, _)| own(member)) {
                    members.insert(group, now);
                }
            }
            Seen::Message { group, sender, payload } => {
                let number = u64::from_le_bytes(payload[..].try_into().unwrap());
                assert!(members[&group[..]].contains(sender), "{sender} sends, but is no member");
                let last = heard.insert(*sender, number);
                assert!(last.is_none_or(|last| last < number), "once, and in order");
            }
            Seen::Settled(_, nodes) => {
                ring = Some(nodes);
                for (group, members) in &members {
                    assert!(
                        members.iter().all(|m| nodes.contains(&m.node)),
                        "{group:?} reaches out of the ring"
                    );
                }
            }
            Seen::Regular(_) => {}
        }
    }
}

/// Whether an event comes after the end of its ring's synchronisation.
fn settled_yet(told: &[Seen], seen: &Seen) -> bool {
    let at = told.iter().position(|other| std::ptr::eq(other, seen)).unwrap_or_default();
    let marks = told[..at].iter().rev();
    !matches!(
        marks.into_iter().find(|seen| matches!(seen, Seen::Regular(_) | Seen::Settled(..))),
        Some(Seen::Regular(_))
    )
}

#[test]
fn random_histories_keep_the_promises_of_groups() {
    let mut seeds = 0..150;
    let (mut one, mut heard, mut compared) = (false, 0, 0);
    if let Some(seed) = std::env::var("CPG_SEED").ok().and_then(|seed| seed.parse().ok()) {
        (one, seeds) = (true, seed..seed + 1);
    }
    for seed in seeds {
        println!("one history alone: CPG_SEED={seed} cargo test --lib cpg::tests::random");
        let mut world = World::new(seed);
        world.run(3000);
        let (messages, pairs) = world.check();
        heard += messages;
        compared += pairs;
    }
    assert!(one || heard > 10_000 && compared > 1_000, "{heard} messages heard, {compared} pairs compared");
}
