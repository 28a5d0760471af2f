//! The replicated state: a map, and a checksum over the history that made it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Largest snapshot or message taken apart.
const DECODE_LIMIT: usize = 64 << 20;

/// A change of the map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    Put { key: String, value: String },
    Delete { key: String },
}

/// A replica's state. Two that applied the same commands in the same order are equal in all fields but
/// perhaps the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// How many primary views this history has gone through.
    pub(crate) epoch: u64,
    /// How many commands it has.
    pub(crate) applied: u64,
    /// CRC-32 over all of them, chained.
    pub(crate) history: u32,
    /// What they made.
    pub(crate) data: BTreeMap<String, String>,
}

/// How far a history has come, and which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) applied: u64,
    pub(crate) history: u32,
}

impl Position {
    /// Whether both are the same commands in the same order.
    pub(crate) fn is_same_history(&self, other: &Self) -> bool {
        self.applied == other.applied && self.history == other.history
    }
}

impl Machine {
    pub(crate) fn apply(&mut self, op: &Op) {
        self.applied += 1;
        let mut crc = crc32fast::Hasher::new_with_initial(self.history);
        crc.update(&encode(op));
        self.history = crc.finalize();
        match op {
            Op::Put { key, value } => drop(self.data.insert(key.clone(), value.clone())),
            Op::Delete { key } => drop(self.data.remove(key)),
        }
    }

    pub(crate) fn position(&self) -> Position {
        Position { epoch: self.epoch, applied: self.applied, history: self.history }
    }

    /// CRC-32 over the map itself.
    pub(crate) fn digest(&self) -> u32 {
        crc32fast::hash(&encode(&self.data))
    }
}

/// Names a round of comparison: who opened it, and which of its rounds it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) node: u32,
    pub(crate) pid: u32,
    pub(crate) number: u64,
}

/// What the replicas say to each other. Everything goes through the group, in the one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Change the map. `id` is the sender's own.
    Command { id: u64, op: Op },
    /// Tell each other where you are.
    Compare { round: Round },
    /// Where the sender was when it heard `round`.
    Here { round: Round, position: Position },
    /// The state after `round`, for those who need it.
    Snapshot { round: Round, crc: u32, machine: Vec<u8> },
}

pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).expect("plain data can be written")
}

/// `None` for what is not of this program: a group has members that one does not know.
pub(crate) fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<T> {
    let config = bincode::config::standard().with_limit::<DECODE_LIMIT>();
    let (value, used) = bincode::serde::decode_from_slice(bytes, config).ok()?;
    (used == bytes.len()).then_some(value)
}
