//! The ring's counters under the names of Corosync's statistics map.
//!
//! Source: corosync `exec/stats.c`; `cmap_keys(7)`.

use crate::time::Instant;
use crate::totem::{Tally, Totem};
use crate::value::Value;

/// Number of gathers in a row that indicate a firewall or a broken network interface.
///
/// Source: corosync `exec/totemsrp.c`, `MAX_NO_CONT_GATHER`.
const MANY_GATHERS: u32 = 3;

/// Prefix of statistics that Corosync does not have. They are listed only for requests with this prefix, so that a list of
/// all is Corosync's.
pub(crate) const OWN: &str = "stats.annulus.";

/// What Corosync does not have.
pub(super) fn own(totem: &Totem, now: Instant) -> impl Iterator<Item = (String, Value)> {
    of_detection(totem, now).chain(of_members(totem))
}

/// The token time-out, and what it is compared with: times in ms and, where the name says so, in us.
fn of_detection(totem: &Totem, now: Instant) -> impl Iterator<Item = (String, Value)> + use<> {
    let whole = |number: u128| Value::U32(u32::try_from(number).unwrap_or(u32::MAX));
    let waited = totem.waited(now);
    [
        ("configured", whole(totem.configured().token.as_millis())),
        ("measured", Value::U8(totem.within().is_some().into())),
        ("timeout", whole(totem.timeouts().token.as_millis())),
        ("wait_99_us", whole(waited.most.as_micros())),
        ("wait_median_us", whole(waited.median.as_micros())),
        ("wait_worst_hour_us", whole(waited.worst.as_micros())),
    ]
    .into_iter()
    .map(|(name, value)| (format!("{OWN}token.{name}"), value))
}

/// For each member, how many frames it sent, how many of these were asked for again, and how many it asked for.
fn of_members(totem: &Totem) -> impl Iterator<Item = (String, Value)> {
    let of = |(node, Tally { sent, lost, lacked })| {
        [("frames", sent), ("frames_lacked", lacked), ("frames_lost", lost)]
            .map(|(name, value)| (format!("{OWN}member.{node}.{name}"), Value::U64(value)))
    };
    totem.tallies().flat_map(of)
}

/// The ring's counters, ascending by name.
///
/// Three of Corosync's counters are always 0 here: the duration of a token visit (`avg_token_workload`) is too
/// short to be measured in ms, datagrams that cannot be sent are counted by the transport, and no frames are reserved for
/// requests, which are handled at once.
pub(super) fn of_ring(totem: &Totem, now: Instant) -> Vec<(String, Value)> {
    let s = totem.stats();
    let ms = |time: std::time::Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    let silence = s.visits.last().map_or(0, |last| u64::from(ms(now.since(last))));
    let rotation = s.visits.mean_rotation().map_or(0, ms);
    let backlog = s.visits.mean_backlog().unwrap_or(0);
    let failing = u8::from(s.continuous_gather > MANY_GATHERS);
    let number = |n: usize| Value::U32(u32::try_from(n).unwrap_or(u32::MAX));
    [
        ("pg.msg_queue_avail", number(totem.queue_room())),
        ("pg.msg_reserved", Value::U32(0)),
        ("srp.avg_backlog_calc", Value::U32(backlog)),
        ("srp.avg_token_workload", Value::U32(0)),
        ("srp.commit_entered", Value::U64(s.commit_entered)),
        ("srp.commit_token_lost", Value::U64(s.commit_token_lost)),
        ("srp.consensus_timeouts", Value::U64(s.consensus_timeouts)),
        ("srp.continuous_gather", Value::U32(s.continuous_gather)),
        ("srp.continuous_sendmsg_failures", Value::U32(0)),
        ("srp.firewall_enabled_or_nic_failure", Value::U8(failing)),
        ("srp.gather_entered", Value::U64(s.gather_entered)),
        ("srp.gather_token_lost", Value::U64(s.gather_token_lost)),
        ("srp.mcast_retx", Value::U64(s.mcast_retx)),
        ("srp.mcast_rx", Value::U64(s.mcast_rx)),
        ("srp.mcast_tx", Value::U64(s.mcast_tx)),
        ("srp.memb_commit_token_rx", Value::U64(s.memb_commit_token_rx)),
        ("srp.memb_commit_token_tx", Value::U64(s.memb_commit_token_tx)),
        ("srp.memb_join_rx", Value::U64(s.memb_join_rx)),
        ("srp.memb_join_tx", Value::U64(s.memb_join_tx)),
        ("srp.memb_merge_detect_rx", Value::U64(s.memb_merge_detect_rx)),
        ("srp.memb_merge_detect_tx", Value::U64(s.memb_merge_detect_tx)),
        ("srp.mtt_rx_token", Value::U32(rotation)),
        ("srp.operational_entered", Value::U64(s.operational_entered)),
        ("srp.operational_token_lost", Value::U64(s.operational_token_lost)),
        ("srp.orf_token_rx", Value::U64(s.orf_token_rx)),
        ("srp.orf_token_tx", Value::U64(s.orf_token_tx)),
        ("srp.recovery_entered", Value::U64(s.recovery_entered)),
        ("srp.recovery_token_lost", Value::U64(s.recovery_token_lost)),
        ("srp.rx_msg_dropped", Value::U64(s.rx_msg_dropped)),
        ("srp.time_since_token_last_received", Value::U64(silence)),
        ("srp.token_hold_cancel_rx", Value::U64(s.token_hold_cancel_rx)),
        ("srp.token_hold_cancel_tx", Value::U64(s.token_hold_cancel_tx)),
    ]
    .into_iter()
    .map(|(name, value)| (format!("stats.{name}"), value))
    .collect()
}
