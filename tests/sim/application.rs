//! What stands above the ring on each node: numbered messages that can be told apart and checked, and the
//! synchronisation that must follow each view before the ring leaves its synchronisation phase.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use annulus::ids::{Guarantee, NodeId, RingId};
use annulus::view::View;

use crate::trace::{Msg, Process};

/// Bytes that precede the filling of a message: mark, node, life, number, size, checksum.
pub(crate) const HEAD: usize = 24;

const MARK: [u8; 4] = *b"SIM1";

/// A message that waits until the ring takes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) size: usize,
    pub(crate) guarantee: Guarantee,
}

/// One synchronisation: every node says "here" (with the data that it has to tell), then "done".
///
/// These two steps stand for those of the services: the list of what each node knows, and the barrier.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) ring: RingId,
    pub(crate) members: BTreeSet<NodeId>,
    pub(crate) here: BTreeSet<NodeId>,
    pub(crate) done: BTreeSet<NodeId>,
    pub(crate) said_done: bool,
}

/// The application of one node during one life of its process.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub(crate) who: Process,
    pub(crate) next_number: u32,
    /// The last regular view.
    pub(crate) view: Option<View>,
    /// Whether a transitional view has come whose regular view has not come yet.
    pub(crate) in_transit: bool,
    /// The synchronisation under way. It may still end after a transitional view, as that of the services may.
    pub(crate) round: Option<Round>,
    /// Whether the synchronisation of `view` is complete.
    pub(crate) synced: bool,
    pub(crate) wishes: VecDeque<Wish>,
    /// Messages of this node that the ring has accepted but not delivered to it yet.
    pub(crate) due: BTreeSet<Msg>,
    pub(crate) delivered: u64,
}

impl Application {
    pub(crate) fn new(who: Process) -> Self {
        Self {
            who,
            next_number: 0,
            view: None,
            in_transit: false,
            round: None,
            synced: false,
            wishes: VecDeque::new(),
            due: BTreeSet::new(),
            delivered: 0,
        }
    }
}

/// A step of the synchronisation, as it is multicast in group `sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) done: bool,
    pub(crate) ring: RingId,
}

impl Step {
    pub(crate) fn encode(self) -> [u8; 13] {
        let mut out = [0; 13];
        out[0] = self.done.into();
        out[1..5].copy_from_slice(&self.ring.rep.get().to_le_bytes());
        out[5..].copy_from_slice(&self.ring.seq.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 13] = bytes.try_into().ok()?;
        let rep = u32::from_le_bytes(bytes[1..5].try_into().ok()?);
        let seq = u64::from_le_bytes(bytes[5..].try_into().ok()?);
        Some(Self { done: bytes[0] != 0, ring: RingId { rep: NodeId::new(rep)?, seq } })
    }
}

/// All messages ever submitted, indexed so that their bytes identify them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Register {
    numbered: BTreeMap<Process, Vec<Msg>>,
    /// Messages of one byte, by node and that byte: at most 256 for each node.
    tiny: HashMap<(u32, u8), Msg>,
    tiny_used: BTreeMap<u32, u8>,
}

impl Register {
    /// The bytes of the next message of `who`, `size` bytes if such a message can be told apart: one byte
    /// (while there are values left), or at least [`HEAD`].
    pub(crate) fn write(&self, who: Process, number: u32, size: usize) -> Vec<u8> {
        if size == 1
            && let Some(byte) = self.next_tiny(who.node)
        {
            return vec![byte];
        }
        let size = size.max(HEAD);
        let mut out = Vec::with_capacity(size + 8);
        out.extend_from_slice(&MARK);
        for word in [who.node, who.life, number, size as u32, 0] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let mut state = u64::from(number) << 32 | u64::from(who.node) << 8 | u64::from(who.life) | 1;
        while out.len() < size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            out.extend_from_slice(&state.to_le_bytes());
        }
        out.truncate(size);
        let sum = crc32fast::hash(&out);
        out[20..HEAD].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Remembers a message that the ring has accepted.
    pub(crate) fn accept(&mut self, who: Process, body: &[u8], msg: Msg) {
        if let [byte] = body {
            self.tiny.insert((who.node, *byte), msg);
            self.tiny_used.insert(who.node, byte.wrapping_add(1));
        }
        self.numbered.entry(who).or_default().push(msg);
    }

    /// Identifies the message that these bytes are; fails if they differ from what was submitted.
    pub(crate) fn identify(&self, from: u32, body: &[u8]) -> Result<Msg, String> {
        if let [byte] = body {
            return self
                .tiny
                .get(&(from, *byte))
                .copied()
                .ok_or_else(|| format!("node {from} never sent the one byte {byte}"));
        }
        if body.len() < HEAD || body[..4] != MARK {
            return Err(format!("{} bytes from node {from} that nobody submitted", body.len()));
        }
        let word = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().expect("four bytes"));
        let (who, number) = (Process { node: word(4), life: word(8) }, word(12));
        let mut sum = crc32fast::Hasher::new();
        sum.update(&body[..20]);
        sum.update(&[0; 4]);
        sum.update(&body[HEAD..]);
        if word(16) as usize != body.len() || sum.finalize() != word(20) || who.node != from {
            return Err(format!("{who:?}#{number} from node {from} came changed: {} bytes", body.len()));
        }
        self.numbered
            .get(&who)
            .and_then(|list| list.get(number as usize))
            .copied()
            .ok_or_else(|| format!("{who:?}#{number} was never submitted"))
    }

    fn next_tiny(&self, node: u32) -> Option<u8> {
        let next = self.tiny_used.get(&node).copied().unwrap_or(0);
        (!self.tiny.contains_key(&(node, next))).then_some(next)
    }
}
