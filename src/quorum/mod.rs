//! Quorum: whether this node's part of a cluster may act, and who votes on that.
//!
//! Corosync's counterpart: `exec/vsf_quorum.c`, `exec/votequorum.c`; `votequorum(5)`.
//!
//! | file | what |
//! |---|---|
//! | `wire/` | all messages of both services |

#[allow(dead_code, reason = "desks and libraries follow")]
pub(crate) mod wire;
