//! Fill level of the send queue, with hysteresis. Clients are allowed to send depending on it.
//!
//! Source: corosync `exec/totempg.c`, `check_q_level`.

/// Fill level of the send queue. A level is entered in its range; between the ranges the last level stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// Less than 30 % used.
    Low,
    /// 41 to 49 % used.
    #[default]
    Good,
    /// 61 to 69 % used.
    High,
    /// 75 % or more used: no client may send.
    Critical,
}

impl Level {
    /// The new level when `available` of `capacity` frames are free. Between the ranges the level stays as it
    /// is.
    #[must_use]
    pub fn update(self, available: usize, capacity: usize) -> Self {
        let used = 100 - (available.min(capacity) * 100).checked_div(capacity).unwrap_or(0);
        match used {
            0..30 => Self::Low,
            41..=49 => Self::Good,
            61..=69 => Self::High,
            75.. => Self::Critical,
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_change_only_inside_their_bands() {
        let walk = [100, 71, 65, 55, 45, 35, 28, 24, 26, 35, 60, 80].map(|free| (free, 100));
        let mut level = Level::default();
        let seen = walk.map(|(free, all)| {
            level = level.update(free, all);
            level
        });
        use Level::{Critical, Good, High, Low};
        assert_eq!(seen, [Low, Low, Low, Good, Good, High, High, Critical, Critical, High, High, Low]);
    }
}
