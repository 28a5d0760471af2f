//! Timers and limits of the ring, derived from `totem.token` and the number of nodes.

use std::time::Duration;

use super::map::Map;

/// Effective settings of the ring protocol.
///
/// [`Timeouts::derive`] computes them from the configuration. All nodes should have the same `token` and `consensus`,
/// but a ring forms without that too. Reload: yes, all of them; a running timer takes the new value when it is next
/// armed.
///
/// Source: `corosync.conf(5)`, section totem; corosync `exec/totemconfig.c`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Silence after which the token is considered lost and a new ring is gathered.
    ///
    /// Unit: ms in files. Default: 3000, plus `token_coefficient` (650) for each node past the second.
    /// At least 30. Source: Totem paper, token loss.
    pub token: Duration,
    /// The shortest token time-out that nodes of annulus may agree on, from how long they waited for the token at worst.
    /// They use it while all members are such nodes; `token` is then the longest. `None`: `token` is in force.
    ///
    /// Unit: ms in files; 0 is none. Default: 300, and none if one of `token`, `token_retransmit`, `hold`, `consensus`
    /// and `heartbeat_failures_allowed` is set. At least 100.
    pub token_floor: Option<Duration>,
    /// Share of `token` without a token after which a warning is logged. Unit: percent, 0 to 100, 0 is off. Default:
    /// 75.
    pub token_warning: u32,
    /// Silence after which the last token sent is sent again.
    ///
    /// Default: `token / (token_retransmits_before_loss_const + 0.2)`, truncated to ms. At least 30.
    pub token_retransmit: Duration,
    /// How long the representative keeps the token of an idle ring.
    ///
    /// Default: `token_retransmit * 0.8 - 10 ms`, truncated to ms. At least 14.
    pub hold: Duration,
    /// Number of retransmissions of the token before it is considered lost. Default: 4.
    pub token_retransmits_before_loss_const: u32,
    /// Interval of join messages while gathering. Default: 50 ms. At least 30.
    pub join: Duration,
    /// Upper bound of a random delay of join messages. Default: 0, off.
    pub send_join: Duration,
    /// Longest time for agreement on the new membership. Default: 1.2 × `token`. At least 30 ms and `join`.
    pub consensus: Duration,
    /// Idle time after which the representative looks for other rings. Default: 200 ms. At least 30.
    pub merge: Duration,
    /// Interval in which a lone node checks its interface. Default: 1000 ms. At least 30.
    pub downcheck: Duration,
    /// Token visits without progress of this node's aru after which it excludes itself. Default: 2500.
    pub fail_recv_const: u32,
    /// Idle token visits before the token is held. Default: 30.
    pub seqno_unchanged_const: u32,
    /// Missing heartbeats that are treated as token loss. Default: 0, off.
    pub heartbeat_failures_allowed: u32,
    /// Used for the heartbeat timeout only. Default: 50 ms. At least 30.
    pub max_network_delay: Duration,
    /// Most frames multicast on the whole ring in one rotation of the token. Default: 50.
    pub window_size: u32,
    /// Most frames multicast by one node in one visit of the token. Default: 17.
    pub max_messages: u32,
    /// Token visits at which a frame must be missing before it is requested; where rotations are long, as
    /// many as there are in 50 ms, and at least 2. Default: 5.
    pub miss_count_const: u32,
    /// Share of the frames on the way into one member, or out of it, that must be lost until its ring leaves it out. Unit:
    /// percent, 0 is off. Default: 20. Only where all members are nodes of annulus that agree on a token time-out.
    pub loss_limit: u32,
    /// For how long that must last. Unit: seconds in files. Default: 60 s.
    pub loss_patience: Duration,
    /// Whether a retransmission ends the idle hold of the token. Default: no.
    pub cancel_token_hold_on_retransmit: bool,
}

/// Defines the settings of a file, and how they are read.
macro_rules! given {
    ($($number:ident),*; $switch:ident) => {
        /// The settings of a file for [`Timeouts`]; `None` and, for most, 0 mean the default. Times in ms,
        /// `loss_patience` in seconds.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each is explained at the field of the same name in Timeouts")]
        pub struct Given {
            $(pub $number: Option<u32>,)*
            pub $switch: Option<bool>,
        }

        impl Given {
            /// Reads timers and limits from the map.
            pub(super) fn read(map: &Map) -> Self {
                Self {
                    $($number: map.u32(concat!("totem.", stringify!($number))),)*
                    $switch: map.switch(concat!("totem.", stringify!($switch))),
                }
            }
        }
    };
}

given! {
    token, token_floor, token_coefficient, token_warning, token_retransmits_before_loss_const, token_retransmit, hold, join,
    send_join, consensus, merge, downcheck, fail_recv_const, seqno_unchanged_const, heartbeat_failures_allowed,
    max_network_delay, window_size, max_messages, miss_count_const, loss_limit, loss_patience; cancel_token_hold_on_retransmit
}

/// The least number of join messages in a consensus time-out that is shortened, since some may be lost.
const JOINS: u32 = 5;

impl Given {
    /// Shortest token time-out of nodes that have nothing set which the token time-out is compared with.
    const FLOOR: u32 = 300;

    /// The token floor that is set, or the default one. `token`: the configured token time-out.
    fn floor(&self, token: u32) -> Option<u32> {
        let set = |value: Option<u32>| value.is_some_and(|value| value != 0);
        let tuned =
            [self.token, self.token_retransmit, self.hold, self.consensus, self.heartbeat_failures_allowed];
        match self.token_floor {
            Some(floor) => (floor != 0).then_some(floor),
            None => (!tuned.into_iter().any(set)).then_some(token.min(Self::FLOOR)),
        }
    }
}

impl Timeouts {
    /// The effective settings for a node list of `nodes` entries. Nothing is refused here: the rules across settings
    /// are in `config::check`.
    pub fn derive(given: &Given, nodes: usize) -> Self {
        let or = |value: Option<u32>, default: u32| value.filter(|v| *v != 0).unwrap_or(default);
        let ms = |value: u32| Duration::from_millis(value.into());

        let coefficient = given.token_coefficient.unwrap_or(650);
        let beyond_two = u32::try_from(nodes.saturating_sub(2)).unwrap_or(u32::MAX);
        let token = or(given.token, 3000).saturating_add(beyond_two.saturating_mul(coefficient));
        let retransmits = or(given.token_retransmits_before_loss_const, 4);
        let token_retransmit =
            or(given.token_retransmit, (f64::from(token) / (f64::from(retransmits) + 0.2)) as u32);
        let hold = or(given.hold, (f64::from(token_retransmit) * 0.8 - 10.0) as u32);
        let consensus = u64::from(token) * 6 / 5;
        Self {
            token: ms(token),
            token_floor: given.floor(token).map(ms),
            token_warning: given.token_warning.unwrap_or(75),
            token_retransmit: ms(token_retransmit),
            hold: ms(hold),
            token_retransmits_before_loss_const: retransmits,
            join: ms(or(given.join, 50)),
            send_join: ms(given.send_join.unwrap_or(0)),
            consensus: ms(or(given.consensus, consensus.try_into().unwrap_or(u32::MAX))),
            merge: ms(or(given.merge, 200)),
            downcheck: ms(or(given.downcheck, 1000)),
            fail_recv_const: or(given.fail_recv_const, 2500),
            seqno_unchanged_const: or(given.seqno_unchanged_const, 30),
            heartbeat_failures_allowed: given.heartbeat_failures_allowed.unwrap_or(0),
            max_network_delay: ms(or(given.max_network_delay, 50)),
            window_size: or(given.window_size, 50),
            max_messages: or(given.max_messages, 17),
            miss_count_const: or(given.miss_count_const, 5),
            loss_limit: given.loss_limit.unwrap_or(20),
            loss_patience: Duration::from_secs(or(given.loss_patience, 60).into()),
            cancel_token_hold_on_retransmit: given.cancel_token_hold_on_retransmit.unwrap_or(false),
        }
    }

    /// These timers with another token time-out, and what is derived from it in proportion.
    pub fn within(&self, token: Duration) -> Self {
        let whole = self.token.max(Duration::from_millis(1));
        let share = |time: Duration, least: u64| {
            time.mul_f64(token.as_secs_f64() / whole.as_secs_f64()).max(Duration::from_millis(least))
        };
        Self {
            token,
            token_retransmit: share(self.token_retransmit, 30),
            hold: share(self.hold, 14),
            consensus: share(self.consensus, 30).max((self.join + self.send_join) * JOINS),
            ..self.clone()
        }
    }

    /// How long the token may rotate in a recovery without progress: `token + consensus`, and the time for the visits
    /// at which a frame must be missing before it is requested, on a ring whose idle token is held.
    pub fn recovery(&self) -> Duration {
        self.token + self.consensus + self.hold * self.miss_count_const
    }

    /// Silence of heartbeats that is treated as token loss; `None` while the heartbeat is off.
    pub fn heartbeat(&self) -> Option<Duration> {
        let timeout = self.token_retransmit * self.heartbeat_failures_allowed + self.max_network_delay;
        (self.heartbeat_failures_allowed > 0 && timeout < self.token).then_some(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of corosync 3.1.7's own values for its default configuration.
    #[test]
    fn defaults_follow_the_node_count() {
        for (nodes, token, retransmit, hold, consensus) in [
            (1, 3000, 714, 561, 3600),
            (2, 3000, 714, 561, 3600),
            (3, 3650, 869, 685, 4380),
            (4, 4300, 1023, 808, 5160),
            (5, 4950, 1178, 932, 5940),
        ] {
            let t = Timeouts::derive(&Given::default(), nodes);
            let ms = [t.token, t.token_retransmit, t.hold, t.consensus].map(|d| d.as_millis());
            assert_eq!(ms, [token, retransmit, hold, consensus], "{nodes} nodes");
        }
    }

    #[test]
    fn a_shorter_token_time_out_shortens_what_follows_from_it() {
        let t = Timeouts::derive(&Given::default(), 3).within(Duration::from_millis(365));
        let ms = [t.token, t.token_retransmit, t.hold, t.consensus, t.join].map(|d| d.as_millis());
        assert_eq!(ms, [365, 86, 68, 438, 50]);
        let t = t.within(Duration::from_millis(30));
        let ms = [t.token, t.token_retransmit, t.hold, t.consensus].map(|d| d.as_millis());
        assert_eq!(ms, [30, 30, 14, 250], "not below the least values");
    }

    #[test]
    fn the_retransmit_time_is_truncated_in_double_precision() {
        let given =
            Given { token: Some(33), token_retransmits_before_loss_const: Some(2), ..Given::default() };
        assert_eq!(Timeouts::derive(&given, 1).token_retransmit.as_millis(), 14);
    }
}
