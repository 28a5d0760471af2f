//! The replicated state: a map, and a checksum of the history that produced it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Limit, in bytes, of a snapshot or message to decode.
const DECODE_LIMIT: usize = 64 << 20;

/// A change of the map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Op {
    Put { key: String, value: String },
    Delete { key: String },
}

/// The state of a replica. Replicas that applied the same commands in the same order are equal in all fields,
/// except perhaps the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// Number of primary views in this history.
    pub(crate) epoch: u64,
    /// Number of commands in this history.
    pub(crate) applied: u64,
    /// CRC-32 of all commands, chained.
    pub(crate) history: u32,
    /// The map that results from the commands.
    pub(crate) data: BTreeMap<String, String>,
}

/// The position in a history, and which history it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    pub(crate) epoch: u64,
    pub(crate) applied: u64,
    pub(crate) history: u32,
}

impl Position {
    /// Whether both positions result from the same commands in the same order.
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

    /// CRC-32 of the map.
    pub(crate) fn digest(&self) -> u32 {
        crc32fast::hash(&encode(&self.data))
    }
}

/// Identifies a round of comparison: the member that opened it, and the number among its rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) node: u32,
    pub(crate) pid: u32,
    pub(crate) number: u64,
}

/// The messages between replicas. All are sent through the group, in the total order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// Change the map. `id` is chosen by the sender.
    Command { id: u64, op: Op },
    /// Announce your positions to each other.
    Compare { round: Round },
    /// The sender's position when it received `round`.
    Here { round: Round, position: Position },
    /// The state after `round`, for replicas that need it.
    Snapshot { round: Round, crc: u32, machine: Vec<u8> },
}

pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).expect("plain data can be written")
}

/// Returns `None` for messages that this program did not send: a group may have unknown members.
pub(crate) fn decode<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Option<T> {
    let config = bincode::config::standard().with_limit::<DECODE_LIMIT>();
    let (value, used) = bincode::serde::decode_from_slice(bytes, config).ok()?;
    (used == bytes.len()).then_some(value)
}
