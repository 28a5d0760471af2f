//! Sections `quorum` and `quorum.device`: raw settings; what they make of each other is decided by
//! the quorum services.
//!
//! Source: `votequorum(5)`, `corosync.conf(5)`.

use std::time::Duration;

use super::map::Map;

/// Section `quorum`. `None` means that nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quorum {
    /// `corosync_votequorum` or nothing. Reload: refused.
    pub provider: Option<String>,
    /// Votes of the whole cluster. Default: the sum of the node list. Reload: yes.
    pub expected_votes: Option<u32>,
    /// Votes of this node, without a node list. Default: 1. Reload: yes.
    pub votes: Option<u32>,
    /// One of two nodes is enough. Default: no. Reload: yes.
    pub two_node: Option<bool>,
    /// The first quorum needs all nodes. Default: as `two_node`. Reload: no.
    pub wait_for_all: Option<bool>,
    /// Of two equal halves one stays quorate. Default: no. Reload: no.
    pub auto_tie_breaker: Option<bool>,
    /// Which half: `lowest`, `highest` or a list of node ids. Default: `lowest`. Reload: no.
    pub auto_tie_breaker_node: Option<String>,
    /// Expected votes shrink as nodes go one by one. Default: no. Reload: no.
    pub last_man_standing: Option<bool>,
    /// Time before they shrink. Unit: ms in files. Default: 10000. Reload: no.
    pub last_man_standing_window: Option<Duration>,
    /// Expected votes shrink when a node leaves in order. Default: no. Reload: no.
    pub allow_downscale: Option<bool>,
    /// The highest expected votes ever seen are remembered. Default: no. Reload: no.
    pub expected_votes_tracking: Option<bool>,
    /// Section `device`, if there is one.
    pub device: Option<Device>,
}

/// Section `quorum.device`, as far as the daemon reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Kind of device, such as `net`. Reload: yes.
    pub model: Option<String>,
    /// Votes of the device. Reload: yes.
    pub votes: Option<u32>,
    /// Silence that it may keep. Unit: ms in files. Default: 10000. Reload: yes.
    pub timeout: Option<Duration>,
    /// The same during a membership change. Unit: ms in files. Default: 30000. Reload: yes.
    pub sync_timeout: Option<Duration>,
    /// The partition that the device is with wins. Default: no. Reload: yes.
    pub master_wins: Option<bool>,
}

/// The section as the map has it.
pub(super) fn read(map: &Map) -> Quorum {
    let text = |key: &str| map.text(&format!("quorum.{key}")).map(|text| text.into_owned());
    let u32 = |key: &str| map.u32(&format!("quorum.{key}"));
    let flag = |key: &str| u32(key).map(|n| n != 0);
    let ms = |key: &str| u32(key).map(|n| Duration::from_millis(n.into()));
    let device = map.with_prefix("quorum.device.").next().map(|_| Device {
        model: text("device.model"),
        votes: u32("device.votes"),
        timeout: ms("device.timeout"),
        sync_timeout: ms("device.sync_timeout"),
        master_wins: flag("device.master_wins"),
    });
    Quorum {
        provider: text("provider"),
        expected_votes: u32("expected_votes"),
        votes: u32("votes"),
        two_node: flag("two_node"),
        wait_for_all: flag("wait_for_all"),
        auto_tie_breaker: flag("auto_tie_breaker"),
        auto_tie_breaker_node: text("auto_tie_breaker_node"),
        last_man_standing: flag("last_man_standing"),
        last_man_standing_window: ms("last_man_standing_window"),
        allow_downscale: flag("allow_downscale"),
        expected_votes_tracking: flag("expected_votes_tracking"),
        device,
    }
}
