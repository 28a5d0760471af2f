//! The quorum as people and programs ask for it.
//!
//! | file | what |
//! |---|---|
//! | `report.rs` | what there is to tell, plain |
//! | `gather.rs` | asking the daemon for it |
//! | `text.rs` `json.rs` | showing it |
//! | `tool.rs` | what `corosync-quorumtool` and `quorum-tool` do |
//! | `options.rs` | the command line of `quorum-tool` |

pub(super) mod gather;
pub(super) mod json;
pub(super) mod options;
pub(super) mod report;
#[cfg(test)]
mod tests;
pub(super) mod text;
pub(super) mod tool;
