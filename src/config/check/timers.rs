//! Limits of the ring's timers. Source: corosync `exec/totemconfig.c`, `totem_volatile_config_validate`.

use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::hint::{explain, explain_made};
use crate::config::map::Map;
use crate::config::timeouts::{Given, Timeouts};

/// Most frames in one rotation. Corosync's queues hold no more, and it ends at its first token with a larger
/// number.
const WINDOW_MOST: u32 = 16_384;

/// The settings from which the token timeout is derived.
const TOKEN: [&str; 2] = ["totem.token", "totem.token_coefficient"];

/// The settings derived from the token timeout, directly or indirectly.
const RETRANSMIT: [&str; 4] = [
    "totem.token_retransmit",
    "totem.token_retransmits_before_loss_const",
    "totem.token",
    "totem.token_coefficient",
];

/// Refuses timers that are too short or inconsistent.
pub(in crate::config) fn check(map: &Map, given: &Given, timeouts: &Timeouts) -> Result<(), ConfigError> {
    const LEAST: u128 = 30;
    const LEAST_HOLD: u128 = 14;
    const LEAST_FLOOR: u128 = 100;
    let at_least = |what: &str, key: &str, value: Duration, least: u128, sources: &[&str]| {
        let value = value.as_millis();
        if value >= least {
            return Ok(());
        }
        let message = format!("The {what} parameter ({value} ms) may not be less than ({least} ms).");
        Err(ConfigError::in_config(message).hint(explain_made(map, key, sources)))
    };
    at_least("max_network_delay", "totem.max_network_delay", timeouts.max_network_delay, LEAST, &[])?;
    at_least("token timeout", "totem.token", timeouts.token, LEAST, &TOKEN)?;
    if let Some(floor) = timeouts.token_floor {
        at_least("token floor", "totem.token_floor", floor, LEAST_FLOOR, &[])?;
        if floor > timeouts.token {
            let message = format!(
                "The token floor parameter ({} ms) may not be more than the token timeout ({} ms).",
                floor.as_millis(),
                timeouts.token.as_millis()
            );
            let hint = format!(
                "{}\n{}",
                explain(map, "totem.token_floor"),
                explain_made(map, "totem.token", &TOKEN)
            );
            return Err(ConfigError::in_config(message).hint(hint));
        }
    }
    if timeouts.loss_limit > 100 {
        let message =
            format!("The loss limit parameter ({} percent) may not be more than 100.", timeouts.loss_limit);
        return Err(ConfigError::in_config(message).hint(explain(map, "totem.loss_limit")));
    }
    if timeouts.token_retransmit.as_millis() < LEAST && given.token_retransmit.is_none_or(|ms| ms == 0) {
        let message = "Not appropriate token or token_retransmits_before_loss_const value set";
        let hint = format!(
            "token_retransmit would be {} ms, at least {LEAST} are needed\n{}",
            timeouts.token_retransmit.as_millis(),
            explain_made(map, "totem.token_retransmit", &RETRANSMIT)
        );
        return Err(ConfigError::in_config(message).hint(hint));
    }
    at_least(
        "token retransmit timeout",
        "totem.token_retransmit",
        timeouts.token_retransmit,
        LEAST,
        &RETRANSMIT,
    )?;
    at_least("token hold timeout", "totem.hold", timeouts.hold, LEAST_HOLD, &RETRANSMIT)?;
    at_least("join timeout", "totem.join", timeouts.join, LEAST, &[])?;
    at_least("consensus timeout", "totem.consensus", timeouts.consensus, LEAST, &TOKEN)?;
    if timeouts.consensus < timeouts.join {
        let message = format!(
            "The consensus timeout parameter ({} ms) may not be less than join timeout ({} ms).",
            timeouts.consensus.as_millis(),
            timeouts.join.as_millis()
        );
        let hint =
            format!("{}\n{}", explain_made(map, "totem.consensus", &TOKEN), explain(map, "totem.join"));
        return Err(ConfigError::in_config(message).hint(hint));
    }
    at_least("merge timeout", "totem.merge", timeouts.merge, LEAST, &[])?;
    at_least("downcheck timeout", "totem.downcheck", timeouts.downcheck, LEAST, &[])?;
    if timeouts.token_warning > 100 {
        let message = format!(
            "The token warning parameter ({}%) must be between 0 (disabled) and 100.",
            timeouts.token_warning as i32 // as Corosync prints it
        );
        return Err(ConfigError::in_config(message).hint(explain(map, "totem.token_warning")));
    }
    Ok(())
}

/// Refuses limits that no ring can run with. Corosync's parser accepts them, and it ends at its first token.
pub(in crate::config) fn check_limits(map: &Map, timeouts: &Timeouts) -> Result<(), ConfigError> {
    if timeouts.window_size > WINDOW_MOST {
        let message = format!(
            "The window_size parameter ({}) may not be more than {WINDOW_MOST}.",
            timeouts.window_size
        );
        return Err(ConfigError::in_config(message).hint(explain(map, "totem.window_size")));
    }
    Ok(())
}
