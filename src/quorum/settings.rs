//! The settings for votes: read from the database at the start and again when they change.
//!
//! Source: `votequorum(5)`, `corosync.conf(5)`. A difference that is safer than Corosync: the number kept by
//! `expected_votes_tracking` is a minimum, as `votequorum(5)` describes, and does not lower the configured
//! number.

use std::time::Duration;

use super::tie_breaker::TieBreaker;
use super::votes::Rules;
use crate::service::Database;
use crate::value::Value;

/// The only quorum provider that this program supports.
pub const PROVIDER: &str = "corosync_votequorum";

const LAST_MAN_STANDING_WINDOW_MS: u32 = 10_000;
const DEVICE_TIMEOUT_MS: u32 = 10_000;
const DEVICE_SYNC_TIMEOUT_MS: u32 = 30_000;

/// Whether a provider is configured, so that votes are counted.
///
/// # Errors
/// The configured provider is not supported.
pub fn provider(database: &Database) -> Result<bool, Wrong> {
    match text(database, "quorum.provider").as_deref() {
        None | Some("") => Ok(false),
        Some(PROVIDER) => Ok(true),
        Some(other) => {
            tracing::error!("Quorum provider: {other} failed to initialize.");
            Err(Wrong::Provider)
        }
    }
}

/// Settings that are read once at the start and do not change at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixed {
    /// `quorum.allow_downscale`.
    pub allow_downscale: bool,
    /// `quorum.wait_for_all`; `None`: not set, so that `two_node` decides.
    pub wait_for_all: Option<bool>,
    /// `quorum.last_man_standing`.
    pub last_man_standing: bool,
    /// `quorum.last_man_standing_window`.
    pub last_man_standing_window: Duration,
    /// `quorum.expected_votes_tracking`, or `allow_downscale`.
    pub expected_votes_tracking: bool,
    /// `quorum.auto_tie_breaker` and `quorum.auto_tie_breaker_node`.
    pub tie_breaker: Option<TieBreaker>,
    /// A tie breaker is configured, but `quorum.auto_tie_breaker_node` is invalid.
    pub unknown_tie_breaker: bool,
}

impl Fixed {
    /// Reads the settings from the database.
    pub fn read(database: &Database) -> Self {
        let flag = |key: &str| number(database, key).is_some_and(|n| n != 0);
        let allow_downscale = flag("quorum.allow_downscale");
        let window =
            number(database, "quorum.last_man_standing_window").unwrap_or(LAST_MAN_STANDING_WINDOW_MS);
        let wanted = flag("quorum.auto_tie_breaker");
        let tie_breaker = match text(database, "quorum.auto_tie_breaker_node") {
            _ if !wanted => None,
            None => Some(TieBreaker::Lowest),
            Some(node) => {
                let breaker = TieBreaker::parse(&node);
                if breaker.is_none() {
                    tracing::warn!(
                        "auto_tie_breaker_node: {node:?} is not valid. It must be 'lowest', 'highest' \
                         or a space-separated list of node IDs. auto_tie_breaker is disabled"
                    );
                }
                breaker
            }
        };
        Self {
            allow_downscale,
            wait_for_all: number(database, "quorum.wait_for_all").map(|n| n != 0),
            last_man_standing: flag("quorum.last_man_standing"),
            last_man_standing_window: Duration::from_millis(window.into()),
            expected_votes_tracking: flag("quorum.expected_votes_tracking") || allow_downscale,
            unknown_tie_breaker: wanted && tie_breaker.is_none(),
            tie_breaker,
        }
    }
}

/// The settings of the quorum device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Longest time without a poll.
    pub timeout: Duration,
    /// Longest time without a poll during a membership change.
    pub sync_timeout: Duration,
    /// Whether the device may be used, because nothing in the configuration contradicts it.
    pub can_operate: bool,
}

/// The votes of the node list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Nodelist {
    local: u32,
    /// Those of each node.
    each: Vec<u32>,
}

impl Nodelist {
    fn count(&self) -> u32 {
        u32::try_from(self.each.len()).unwrap_or(u32::MAX)
    }

    fn sum(&self) -> u32 {
        self.each.iter().fold(0, |sum, votes| sum.saturating_add(*votes))
    }
}

/// The settings in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// `quorum.expected_votes`; 0 counts as not set.
    expected: Option<u32>,
    /// `quorum.votes`.
    votes: Option<u32>,
    two_node: bool,
    nodelist: Option<Nodelist>,
    device: Option<(Option<u32>, Device)>,
}

impl Found {
    /// Reads the settings from the database.
    pub fn read(database: &Database) -> Self {
        let ms =
            |key: &str, default: u32| Duration::from_millis(number(database, key).unwrap_or(default).into());
        let device = text(database, "quorum.device.model").filter(|model| !model.is_empty()).map(|_| {
            let device = Device {
                timeout: ms("quorum.device.timeout", DEVICE_TIMEOUT_MS),
                sync_timeout: ms("quorum.device.sync_timeout", DEVICE_SYNC_TIMEOUT_MS),
                can_operate: true,
            };
            (number(database, "quorum.device.votes"), device)
        });
        Self {
            expected: number(database, "quorum.expected_votes").filter(|votes| *votes != 0),
            votes: number(database, "quorum.votes"),
            two_node: number(database, "quorum.two_node").is_some_and(|n| n != 0),
            nodelist: nodelist(database),
            device,
        }
    }

    /// Number of nodes in the node list.
    pub fn nodes(&self) -> Option<u32> {
        self.nodelist.as_ref().map(Nodelist::count)
    }

    /// Whether `quorum.two_node` is set, in effect or not.
    pub const fn two_node(&self) -> bool {
        self.two_node
    }

    /// Sum of the votes of the node list.
    pub fn votes_of_nodes(&self) -> Option<u32> {
        self.nodelist.as_ref().map(Nodelist::sum)
    }

    /// The votes of each node of the node list.
    pub fn votes_of_each(&self) -> Option<&[u32]> {
        self.nodelist.as_ref().map(|list| &list.each[..])
    }

    /// The expected votes as configured.
    pub const fn expected(&self) -> Option<u32> {
        self.expected
    }
}

fn nodelist(database: &Database) -> Option<Nodelist> {
    let local = number(database, "nodelist.local_node_pos")?;
    let mut list = Nodelist { local: 1, each: Vec::new() };
    let mut last: Option<u32> = None;
    for (key, _) in database.range("nodelist.node.") {
        let Some(place) = key["nodelist.node.".len()..].split('.').next().and_then(|n| n.parse().ok()) else {
            continue;
        };
        if last.replace(place) == Some(place) {
            continue; // The keys of one node are adjacent.
        }
        let votes: u32 = number(database, &format!("nodelist.node.{place}.quorum_votes")).unwrap_or(1);
        list.each.push(votes);
        if place == local {
            list.local = votes;
        }
    }
    Some(list)
}

/// The rules and votes that result from the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The rules of the vote, without the votes of the device.
    pub rules: Rules,
    /// Votes of the device; `None`: unchanged.
    pub device_votes: Option<u32>,
    /// This node's votes.
    pub votes: u32,
    /// The number of votes that this node expects; `None`: unchanged.
    pub expected: Option<u32>,
    /// The quorum device, if one is configured.
    pub device: Option<Device>,
}

/// Why settings cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Neither a node list nor expected votes are configured.
    #[error("configuration error: nodelist or quorum.expected_votes must be configured!")]
    NoVotes,
    /// The device would have to break ties that both nodes win with `two_node`.
    #[error("configuration error: two_node and quorum device cannot be configured at the same time!")]
    TwoNodeDevice,
    /// `last_man_standing` with `auto_tie_breaker` and an odd number of votes without `wait_for_all`.
    #[error("configuration error: auto_tie_breaker & last_man_standing not available in odd sized cluster")]
    OddLastMan,
    /// A setting that cannot be combined with a quorum device.
    #[error("configuration error: quorum.device is not compatible with {0}")]
    Device(&'static str),
    /// The device's votes must be configured, because expected votes are.
    #[error("configuration error: quorum.device.votes must be specified when quorum.expected_votes is set")]
    DeviceVotesExpected,
    /// The device's votes must be configured, because not all nodes have one vote.
    #[error("configuration error: quorum.device.votes must be specified when not all nodes votes 1")]
    DeviceVotesNodes,
    /// The nodes without the device would have fewer than two votes.
    #[error("configuration error: quorum.device.votes is too high or expected_votes is too low")]
    DeviceVotesHigh,
    /// The provider is not supported.
    #[error("Invalid quorum provider")]
    Provider,
    /// The number for `expected_votes_tracking` cannot be stored.
    #[error("Unable to load ev_tracking file!")]
    NowhereToKeep,
}

impl Wrong {
    /// The settings concerned, named as in the table of settings; `*` stands for every node of the list.
    pub fn keys(self) -> Vec<String> {
        let keys: &[&str] = match self {
            Self::NoVotes => &["quorum.expected_votes"],
            Self::TwoNodeDevice => &["quorum.two_node", "quorum.device.model"],
            Self::OddLastMan => &["quorum.auto_tie_breaker", "quorum.last_man_standing"],
            Self::Device(other) => return vec![format!("quorum.{other}"), "quorum.device.model".to_owned()],
            Self::DeviceVotesExpected => &["quorum.device.model", "quorum.expected_votes"],
            Self::DeviceVotesNodes => &["quorum.device.model", "nodelist.node.*.quorum_votes"],
            Self::DeviceVotesHigh => &["quorum.device.votes", "quorum.expected_votes"],
            Self::Provider => &["quorum.provider"],
            Self::NowhereToKeep => &["quorum.expected_votes_tracking", "quorum.allow_downscale"],
        };
        keys.iter().map(|key| (*key).to_owned()).collect()
    }
}

/// The settings at the start, and their result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The rules that do not change at run time.
    pub fixed: Fixed,
    /// The settings in the database.
    pub found: Found,
    /// The result.
    pub plan: Plan,
}

impl Reading {
    /// Reads the settings at the start. `kept`: the highest number of expected votes that was stored; `None`
    /// if it cannot be stored.
    ///
    /// # Errors
    /// The settings cannot be used.
    pub fn at_start(database: &Database, kept: Option<u32>) -> Result<Self, Wrong> {
        let fixed = Fixed::read(database);
        let found = Found::read(database);
        if fixed.expected_votes_tracking && kept.is_none() {
            return Err(Wrong::NowhereToKeep);
        }
        let plan = plan(&found, &fixed, kept.unwrap_or(0), Moment::Start)?;
        Ok(Self { fixed, found, plan })
    }
}

/// When settings are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At the start: unusable settings prevent it.
    Start,
    /// At run time: unusable settings are switched off.
    Running {
        /// Whether a quorum device is registered at this node.
        device_registered: bool,
    },
}

/// Derives rules and votes from the settings. `kept`: the highest number of expected votes ever seen.
///
/// # Errors
/// The settings cannot be used. At run time only if nothing changes because of it.
pub fn plan(found: &Found, fixed: &Fixed, kept: u32, moment: Moment) -> Result<Plan, Wrong> {
    if found.nodelist.is_none() && found.expected.is_none() {
        return Err(Wrong::NoVotes);
    }
    let mut two_node = found.two_node;
    let mut device = found.device.map(|(_, device)| device);
    let mut device_votes = found.device.and_then(|(votes, _)| votes);
    // At the start this is an error; later the device (or `two_node`) is switched off, and the rest applies.
    let refuse = |wrong: Wrong, device: &mut Option<Device>| -> Result<(), Wrong> {
        if moment == Moment::Start {
            return Err(wrong);
        }
        if let Some(device) = device.as_mut().filter(|device| device.can_operate) {
            tracing::error!("{wrong}; disabling quorum device operations");
            device.can_operate = false;
        }
        Ok(())
    };
    if two_node && device.is_some() {
        if moment == (Moment::Running { device_registered: true }) {
            tracing::error!("{}; two_node is disabled", Wrong::TwoNodeDevice);
            two_node = false;
        } else {
            refuse(Wrong::TwoNodeDevice, &mut device)?;
        }
    }
    let wait_for_all = fixed.wait_for_all.unwrap_or(two_node);
    let mut tie_breaker = fixed.tie_breaker.clone();
    if two_node && tie_breaker.is_some() {
        tracing::error!(
            "two_node and auto_tie_breaker are both set, but not compatible; two_node is disabled"
        );
        two_node = false;
    }
    let (nodes, mut sum) = (found.nodes().unwrap_or(0), found.votes_of_nodes().unwrap_or(0));
    // Without a node list the expected votes count; Corosync does not check this case.
    let votes_of_all = found.votes_of_nodes().or(found.expected).unwrap_or(0);
    if tie_breaker.is_some() && votes_of_all % 2 == 1 && !wait_for_all {
        if fixed.last_man_standing {
            return Err(Wrong::OddLastMan);
        }
        tracing::error!(
            "auto_tie_breaker needs wait_for_all where the number of votes is odd; auto_tie_breaker is disabled"
        );
        tie_breaker = None;
    }
    if device.is_some() {
        if fixed.last_man_standing {
            refuse(Wrong::Device("last_man_standing"), &mut device)?;
        }
        if tie_breaker.is_some() {
            refuse(Wrong::Device("auto_tie_breaker"), &mut device)?;
        }
        if fixed.allow_downscale {
            refuse(Wrong::Device("allow_downscale"), &mut device)?;
        }
        if device_votes.is_none() && found.expected.is_some() {
            refuse(Wrong::DeviceVotesExpected, &mut device)?;
        }
        if device_votes.is_none() && nodes != sum {
            refuse(Wrong::DeviceVotesNodes, &mut device)?;
        }
        if let (Some(votes), Some(expected)) = (device_votes, found.expected)
            && votes > 0
            && expected.saturating_sub(votes) < 2
        {
            refuse(Wrong::DeviceVotesHigh, &mut device)?;
        }
    }
    if device.is_some() && device_votes.is_none() && found.expected.is_none() && nodes == sum {
        let votes = sum.saturating_sub(1);
        device_votes = Some(votes);
        sum = sum.saturating_add(votes);
    }
    let mut expected = found.expected.or(found.nodelist.is_some().then_some(sum));
    if fixed.expected_votes_tracking {
        // As in Corosync, tracking ignores quorum.expected_votes if there is a node list.
        expected = found.nodelist.is_some().then_some(sum).or(found.expected).max(Some(kept));
    }
    Ok(Plan {
        rules: Rules {
            two_node,
            wait_for_all,
            tie_breaker,
            last_man_standing: fixed.last_man_standing,
            allow_downscale: fixed.allow_downscale,
            expected_votes_tracking: fixed.expected_votes_tracking,
            master_wins: false,
            device_votes: 0,
        },
        device_votes: if device.is_some() { device_votes } else { Some(0) },
        votes: found.nodelist.as_ref().map_or_else(|| found.votes.unwrap_or(1), |list| list.local),
        expected,
        device,
    })
}

fn number(database: &Database, key: &str) -> Option<u32> {
    database.get(key).and_then(Value::number).and_then(|n| n.try_into().ok())
}

fn text(database: &Database, key: &str) -> Option<String> {
    database.get(key).and_then(Value::as_text).map(std::borrow::Cow::into_owned)
}
