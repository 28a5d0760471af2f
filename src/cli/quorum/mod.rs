//! The state of quorum, for people and programs.
//!
//! | file | what |
//! |---|---|
//! | `report.rs` | the state as plain data |
//! | `gather.rs` | collecting it from the daemon |
//! | `text.rs` `json.rs` | printing it |
//! | `tool.rs` | the actions of `corosync-quorumtool` and `quorum-tool` |
//! | `options.rs` | the command line of `quorum-tool` |

pub(super) mod gather;
pub(super) mod json;
pub(super) mod options;
pub(super) mod report;
#[cfg(test)]
mod tests;
pub(super) mod text;
pub(super) mod tool;
