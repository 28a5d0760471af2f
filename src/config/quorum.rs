//! Sections `quorum` and `quorum.device`: the raw settings. The quorum services decide how they combine.
//!
//! Source: `votequorum(5)`, `corosync.conf(5)`.

use std::time::Duration;

use super::map::Map;
use crate::value::Value;

/// Section `quorum`. `None` means that a setting is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quorum {
    /// `corosync_votequorum`, or not given. Reload: refused.
    pub provider: Option<String>,
    /// Number of votes of the whole cluster. Default: the sum of the node list. Reload: yes.
    pub expected_votes: Option<u32>,
    /// Number of votes of this node, without a node list. Default: 1. Reload: yes.
    pub votes: Option<u32>,
    /// Whether one of two nodes is enough. Default: no. Reload: yes.
    pub two_node: Option<bool>,
    /// Whether the first quorum needs all nodes. Default: as `two_node`. Reload: no.
    pub wait_for_all: Option<bool>,
    /// Whether one of two equal halves stays quorate. Default: no. Reload: no.
    pub auto_tie_breaker: Option<bool>,
    /// The nodes whose half stays quorate: `lowest`, `highest` or a list of node ids. Default: `lowest`. Reload: no.
    pub auto_tie_breaker_node: Option<String>,
    /// Whether expected votes decrease as nodes leave one by one. Default: no. Reload: no.
    pub last_man_standing: Option<bool>,
    /// Time before they decrease. Unit: ms in files. Default: 10000. Reload: no.
    pub last_man_standing_window: Option<Duration>,
    /// Whether expected votes decrease when a node leaves in good order. Default: no. Reload: no.
    pub allow_downscale: Option<bool>,
    /// Whether the highest expected votes ever seen are remembered. Default: no. Reload: no.
    pub expected_votes_tracking: Option<bool>,
    /// Section `device`, if there is one.
    pub device: Option<Device>,
}

/// Section `quorum.device`, as far as the daemon reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Model of the device, such as `net`. Reload: yes.
    pub model: Option<String>,
    /// Number of votes of the device. Reload: yes.
    pub votes: Option<u32>,
    /// Longest silence of the device. Unit: ms in files. Default: 10000. Reload: yes.
    pub timeout: Option<Duration>,
    /// Longest silence during a membership change. Unit: ms in files. Default: 30000. Reload: yes.
    pub sync_timeout: Option<Duration>,
    /// Whether the partition to which the device belongs wins. Default: no. Reload: yes.
    pub master_wins: Option<bool>,
}

impl Quorum {
    /// The given settings as keys, with Corosync's types.
    pub(crate) fn keys(&self) -> Vec<(&'static str, Value)> {
        let number = |key, value: Option<u32>| Some((key, Value::U32(value?)));
        let flag = |key, value: Option<bool>| Some((key, Value::U8(value?.into())));
        let text = |key, value: &Option<String>| Some((key, Value::text(value.as_ref()?)));
        let ms = |key, value: Option<Duration>| {
            Some((key, Value::U32(value?.as_millis().try_into().unwrap_or(u32::MAX))))
        };
        let none = Device::default();
        let device = self.device.as_ref().unwrap_or(&none);
        let keys = [
            text("quorum.provider", &self.provider),
            number("quorum.expected_votes", self.expected_votes),
            number("quorum.votes", self.votes),
            flag("quorum.two_node", self.two_node),
            flag("quorum.wait_for_all", self.wait_for_all),
            flag("quorum.auto_tie_breaker", self.auto_tie_breaker),
            text("quorum.auto_tie_breaker_node", &self.auto_tie_breaker_node),
            flag("quorum.last_man_standing", self.last_man_standing),
            ms("quorum.last_man_standing_window", self.last_man_standing_window),
            flag("quorum.allow_downscale", self.allow_downscale),
            flag("quorum.expected_votes_tracking", self.expected_votes_tracking),
            text("quorum.device.model", &device.model),
            number("quorum.device.votes", device.votes),
            ms("quorum.device.timeout", device.timeout),
            ms("quorum.device.sync_timeout", device.sync_timeout),
            flag("quorum.device.master_wins", device.master_wins),
        ];
        keys.into_iter().flatten().collect()
    }
}

/// Reads the section from the map.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::map::Origin;

    #[test]
    fn settings_written_as_keys_are_read_back() {
        let said = Quorum {
            provider: Some("corosync_votequorum".to_owned()),
            expected_votes: Some(5),
            votes: Some(2),
            two_node: Some(false),
            wait_for_all: Some(true),
            auto_tie_breaker: Some(true),
            auto_tie_breaker_node: Some("highest".to_owned()),
            last_man_standing: Some(true),
            last_man_standing_window: Some(Duration::from_millis(20_000)),
            allow_downscale: Some(false),
            expected_votes_tracking: Some(true),
            device: Some(Device {
                model: Some("net".to_owned()),
                votes: Some(1),
                timeout: Some(Duration::from_secs(1)),
                sync_timeout: Some(Duration::from_secs(2)),
                master_wins: Some(true),
            }),
        };
        let mut map = Map::default();
        assert_eq!(said.keys().len(), 16, "all of them");
        for (key, value) in said.keys() {
            map.set(key.as_bytes(), value, Origin::Derived).unwrap();
        }
        assert_eq!(read(&map), said);
        assert!(Quorum::default().keys().is_empty());
    }
}
