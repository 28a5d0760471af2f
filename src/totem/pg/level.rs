//! How full the send queue is, with hysteresis, for those who let clients send.
//!
//! Source: corosync `exec/totempg.c`, `check_q_level`.

/// Level of the send queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// Below 30 %.
    Low,
    /// Around 45 %.
    #[default]
    Good,
    /// Around 65 %.
    High,
    /// 75 % or more: nobody may send.
    Critical,
}

impl Level {
    /// The level when `available` of `capacity` frames are free. Between the bands it stays as it is.
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
