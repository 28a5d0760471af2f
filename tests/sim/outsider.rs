//! An outsider who knows the protocol, hears what is sent, and knows the members and their rings. The outsider forges
//! frames that differ from real ones in what they claim, not in how they are written.

use annulus::ids::{Guarantee, NodeId, RingId, Seq};
use annulus::totem::Group;
use annulus::totem::wire::{
    self, CommitEntry, CommitToken, Encapsulated, Frame, HoldCancel, Join, LittleEndian, Mcast, MergeDetect,
    Missing, Token, pack,
};
use bytes::Bytes;

use crate::application::Step;
use crate::cluster::Cluster;
use crate::network::id;
use crate::random::Random;

/// The outsider, with a random generator of its own.
pub(crate) struct Outsider {
    random: Random,
}

impl Outsider {
    pub(crate) fn new(random: Random) -> Self {
        Self { random }
    }

    /// Sends one forged frame, to one node or to all.
    pub(crate) fn forge(&mut self, c: &mut Cluster) {
        let all = c.setup.nodes.clone();
        let targets = if self.random.chance(0.4) { all } else { vec![self.random.pick(&all)] };
        let bytes = match self.random.index(12) {
            0 | 1 => self.join(c),
            2 | 3 => self.commit(c),
            4..7 => self.token(c, targets[0]),
            7..10 => {
                let depth = 1;
                self.mcast(c, depth)
            }
            10 => self.merge_detect(c),
            _ => HoldCancel { from: self.node(c), ring: self.ring(c) }.encode::<LittleEndian>(),
        };
        for node in targets {
            c.inject(node, &bytes);
        }
    }

    /// A member, or now and then a node from outside.
    fn node(&mut self, c: &Cluster) -> NodeId {
        let stranger = self.random.chance(0.03);
        id(if stranger { 77 } else { self.random.pick(&c.setup.nodes) })
    }

    fn nodes(&mut self, c: &Cluster, share: f64) -> Vec<NodeId> {
        let all = c.setup.nodes.clone();
        all.into_iter().filter(|_| self.random.chance(share)).map(id).collect()
    }

    /// A present, earlier or possible next ring.
    fn ring(&mut self, c: &Cluster) -> RingId {
        let rings: Vec<RingId> = c.alive().map(|(_, process)| process.totem().ring()).collect();
        let Some(highest) = rings.iter().copied().max_by_key(|ring| ring.seq) else {
            return RingId { rep: id(1), seq: 4 };
        };
        let near = self.random.pick(&[0, 0, 4, 4, 8, 1, 1000]);
        match self.random.index(8) {
            0 => self.random.pick(&rings),
            1 => RingId { rep: self.node(c), seq: self.ring_seq(highest.seq) },
            2 | 3 => RingId { seq: highest.seq + near, ..highest },
            4 => match self.heard(c, "commit") {
                Some(Frame::Commit(token)) => token.ring,
                _ => highest,
            },
            _ => highest,
        }
    }

    fn ring_seq(&mut self, highest: u64) -> u64 {
        match self.random.index(6) {
            0..3 => highest.saturating_add(self.random.pick(&[0, 1, 4, 8])),
            3 => highest.saturating_sub(self.random.number(0..20)),
            4 => highest.saturating_add(1 << self.random.number(0..63)),
            _ => self.random.pick(&[0, 1, u64::MAX, 1 << 62, (1 << 62) - 1, 1 << 61, (1 << 48) - 1]),
        }
    }

    fn heard<'c>(&self, c: &'c Cluster, kind: &str) -> Option<Frame<'c>> {
        let bytes = c.network.heard.get(kind)?;
        wire::parse(bytes).ok().map(|(frame, _)| frame)
    }

    fn join(&mut self, c: &Cluster) -> Bytes {
        let ring = self.ring(c);
        let mut join = match self.heard(c, "join") {
            Some(Frame::Join(join)) if self.random.chance(0.5) => join,
            _ => Join {
                from: self.node(c),
                leave: false,
                ring_seq: ring.seq,
                proc: c.setup.nodes.iter().copied().map(id).collect(),
                failed: Vec::new(),
            },
        };
        match self.random.index(6) {
            0 => join.from = self.node(c),
            1 => join.ring_seq = self.ring_seq(ring.seq),
            2 => join.proc = self.nodes(c, 0.6),
            3 => join.failed = self.nodes(c, 0.3),
            4 => {
                join.leave = true;
                join.failed.push(join.from);
            }
            _ => {}
        }
        join.encode::<LittleEndian>()
    }

    fn commit(&mut self, c: &Cluster) -> Bytes {
        let ring = self.ring(c);
        let mut token = match self.heard(c, "commit") {
            Some(Frame::Commit(token)) if self.random.chance(0.6) => token,
            _ => {
                let share = self.random.pick(&[1.0, 1.0, 0.6]);
                let mut members = self.nodes(c, share);
                if members.is_empty() {
                    members.push(id(1));
                }
                let rep = members[0];
                CommitToken {
                    from: self.node(c),
                    token_seq: 0,
                    ring: RingId { rep, seq: self.ring_seq(ring.seq) },
                    filled: 0,
                    members: members.into_iter().map(|member| (member, None)).collect(),
                }
            }
        };
        let count = token.members.len() as u64;
        for _ in 0..self.random.number(1..4) {
            match self.random.index(6) {
                0 => token.ring.seq = self.ring_seq(ring.seq),
                1 => token.filled = self.random.number(0..count + 1) as usize,
                2 => token.token_seq = self.random.number(0..3 * count + 2) as u32,
                3 => token.from = self.node(c),
                4 => {
                    let entry = self.entry(c);
                    let at = self.random.index(token.members.len());
                    token.members[at].1 = entry;
                }
                _ => {
                    for at in 0..token.members.len() {
                        token.members[at].1 = self.entry(c);
                    }
                    token.filled = token.members.len();
                }
            }
        }
        token.encode::<LittleEndian>()
    }

    fn entry(&mut self, c: &Cluster) -> Option<CommitEntry> {
        if self.random.chance(0.1) {
            return None;
        }
        Some(CommitEntry {
            ring: self.ring(c),
            aru: self.seq(c),
            high_delivered: self.seq(c),
            received_all: self.random.chance(0.5),
        })
    }

    /// A number near the highest of the ring, or far off.
    fn seq(&mut self, c: &Cluster) -> Seq {
        let highest = match self.heard(c, "token") {
            Some(Frame::Token(token)) => token.seq,
            _ => c.setup.origin,
        };
        match self.random.index(8) {
            0..3 => highest.plus(self.random.number(0..6) as u32),
            3 | 4 => highest.minus(self.random.number(0..6) as u32),
            5 => highest.plus(self.random.pick(&[50, 300, 9000, 16_000, 16_383, 16_384])),
            6 => highest.minus(self.random.pick(&[50, 300, 9000, 16_000])),
            _ => highest.plus(self.random.pick(&[1 << 30, 0x7fff_ffff, 0x8000_0000, 0x8000_0001])),
        }
    }

    /// A token for `target`, in most cases in the name of the member that it gets its token from.
    fn token(&mut self, c: &Cluster, target: u32) -> Bytes {
        let window = c.setup.timeouts().window_size;
        let mut token = match self.heard(c, "token") {
            Some(Frame::Token(token)) => token,
            _ => Token {
                from: self.node(c),
                seq: c.setup.origin,
                token_seq: c.setup.origin,
                aru: c.setup.origin,
                aru_by: None,
                ring: self.ring(c),
                backlog: 0,
                fcc: 0,
                retransmitting: false,
                missing: Vec::new(),
            },
        };
        if c.nodes[&target].process.is_some() && self.random.chance(0.8) {
            token.from = id(c.before(target));
        }
        let next = self.random.pick(&[0, 1, 1, 2, 3, 3, 5, 5, 10, 1000, 1 << 30, 0x7fff_ffff]);
        token.token_seq = token.token_seq.plus(next);
        for _ in 0..self.random.number(0..3) {
            match self.random.index(9) {
                0 => token.from = self.node(c),
                1 => token.seq = self.seq(c),
                2 => token.aru = self.seq(c),
                3 => token.aru_by = self.random.chance(0.7).then(|| self.node(c)),
                4 => token.ring = self.ring(c),
                5 => token.backlog = self.random.pick(&[0, 1, 100, 5000, u32::MAX]),
                6 => token.fcc = self.random.pick(&[0, 1, window, window + 1, 5000, u32::MAX]),
                7 => token.retransmitting ^= true,
                _ => {
                    let count = self.random.pick(&[1, 5, 30]);
                    let missing = (0..count).map(|_| {
                        let ring = if self.random.chance(0.8) { token.ring } else { self.ring(c) };
                        Missing { ring, seq: self.seq(c) }
                    });
                    token.missing = missing.collect();
                }
            }
        }
        token.encode::<LittleEndian>()
    }

    fn mcast(&mut self, c: &Cluster, depth: u32) -> Bytes {
        let from = self.node(c);
        let system_from = if self.random.chance(0.9) { from } else { self.node(c) };
        let recovery = depth > 0 && self.random.chance(0.4);
        let payload =
            if recovery && self.random.chance(0.8) { self.mcast(c, depth - 1) } else { self.payload(c) };
        let mcast = Mcast {
            encapsulated: if recovery { Encapsulated::Recovery } else { Encapsulated::Plain },
            from,
            system_from,
            seq: self.seq(c),
            counter: self.random.number(0..100) as u32,
            ring: self.ring(c),
            guarantee: if self.random.chance(0.5) { Guarantee::Safe } else { Guarantee::Agreed },
            payload: &payload,
        };
        mcast.encode::<LittleEndian>().freeze()
    }

    /// The contents of a data frame: useless bytes, a message, a part of one, or a step of the synchronisation.
    fn payload(&mut self, c: &Cluster) -> Bytes {
        // Never a single byte, as real messages of that size are identified by it.
        let size = self.random.pick(&[0, 2, 8, 60, 1300, 60_000]);
        let garbage: Vec<u8> = (0..size).map(|_| self.random.number(0..256) as u8).collect();
        if self.random.chance(0.2) {
            return garbage.into();
        }
        let message = match self.random.index(3) {
            0 => [Group::App.header(), &garbage].concat(),
            1 => {
                let step = Step { done: self.random.chance(0.5), ring: self.ring(c) };
                [Group::Sync.header(), &step.encode()].concat()
            }
            _ => garbage,
        };
        let lengths = if self.random.chance(0.8) {
            vec![message.len() as u16]
        } else {
            vec![0, message.len() as u16, self.random.number(0..40) as u16]
        };
        let mut part = || if self.random.chance(0.7) { 0 } else { self.random.number(0..4) as u8 };
        let (fragmented, continuation) = (part(), part());
        let mut out = Vec::new();
        pack::write_head(&mut out, fragmented, continuation, &lengths);
        out.extend_from_slice(&message);
        out.into()
    }

    fn merge_detect(&mut self, c: &Cluster) -> Bytes {
        MergeDetect { from: self.node(c), ring: self.ring(c) }.encode::<LittleEndian>()
    }
}
