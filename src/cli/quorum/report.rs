//! The state of quorum as plain data, to be printed as text or JSON.

use crate::ids::RingId;
use crate::quorum::{DeviceInfo, VoteInfo};

/// The state of quorum as one node sees it.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Report {
    /// The value of `quorum.provider`; `None`: there is no quorum provider.
    pub(in crate::cli) provider: Option<String>,
    pub(in crate::cli) local: u32,
    pub(in crate::cli) ring: RingId,
    pub(in crate::cli) quorate: bool,
    /// Votes of this node; `None` without votequorum.
    pub(in crate::cli) votes: Option<VoteInfo>,
    /// The members of the ring.
    pub(in crate::cli) members: Vec<Member>,
}

/// A member of the ring.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Member {
    pub(in crate::cli) id: u32,
    /// Its name or else its address; of several addresses, the first one is first.
    pub(in crate::cli) names: Vec<String>,
    /// Votes of the member; `None` without votequorum, or if unknown.
    pub(in crate::cli) votes: Option<VoteInfo>,
}

/// The order in which members are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum Order {
    /// As in the ring.
    #[default]
    #[value(name = "a", alias = "address")]
    Address,
    /// By name.
    #[value(name = "n", alias = "name")]
    Name,
    /// By node id.
    #[value(name = "i", alias = "id")]
    Id,
}

impl Report {
    /// Sorts the members.
    pub(in crate::cli) fn sort(&mut self, order: Order) {
        match order {
            Order::Address => {}
            Order::Name => self.members.sort_by(|a, b| a.names.cmp(&b.names)),
            Order::Id => self.members.sort_by_key(|member| member.id),
        }
    }

    /// Whether any node has registered a quorum device.
    pub(in crate::cli) fn has_device(&self) -> bool {
        self.members.iter().filter_map(|member| member.votes.as_ref()).any(|votes| votes.device.registered)
    }
}

/// The words for the flags of the votes, in Corosync's order.
pub(in crate::cli) fn flags(votes: &VoteInfo) -> Vec<&'static str> {
    [
        (votes.two_node, "2Node"),
        (votes.quorate, "Quorate"),
        (votes.wait_for_all, "WaitForAll"),
        (votes.last_man_standing, "LastManStanding"),
        (votes.auto_tie_breaker, "AutoTieBreaker"),
        (votes.allow_downscale, "AllowDownscale"),
        (votes.device.registered, "Qdevice"),
    ]
    .into_iter()
    .filter_map(|(set, word)| set.then_some(word))
    .collect()
}

/// The state of a device, such as `A,V,NMW`; `NR` if none is registered.
pub(in crate::cli) fn device_word(device: &DeviceInfo) -> String {
    if !device.registered {
        return "NR".to_owned();
    }
    let alive = if device.alive { "A" } else { "NA" };
    let vote = if device.casts_vote { "V" } else { "NV" };
    let wins = if device.master_wins { "MW" } else { "NMW" };
    format!("{alive},{vote},{wins}")
}
