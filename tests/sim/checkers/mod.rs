//! The properties of extended virtual synchrony, checked on a finished run.
//!
//! Source: Moser, Amir, Melliar-Smith, Agarwal, "Extended Virtual Synchrony", section 2.1; the property names carry
//! its numbers. Three properties of this ring come in addition: ring ids rise over restarts and are unique, `members
//! = previous - left + joined`, and a transitional view precedes each regular one.
//!
//! | file | properties |
//! |---|---|
//! | `history.rs` | a process's events cut into configurations |
//! | `views.rs` | 2: configurations, ring ids, who came and went |
//! | `delivery.rs` | 1.3, 1.4, 3, 5, 7: thin air, once, self-delivery, causality, safe delivery |
//! | `order.rs` | 1.1, 2.3, 2.4, 4, 6: one order, the same between the same views, no holes |
//! | `broken.rs` | traces that each break one property: the checkers' own tests |

mod broken;
mod delivery;
mod history;
mod order;
mod views;

use std::fmt;

use crate::trace::Trace;
use history::History;

/// How much a run can be expected to have completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The run was stopped at an arbitrary moment: events that are still due do not count as missing.
    Anywhere,
    /// The network had been stable for long: every event that is due must have happened.
    Quiet,
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The property, with its number in the paper where it has one.
    pub(crate) property: &'static str,
    /// The processes and messages that break it.
    pub(crate) detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.property, self.detail)
    }
}

/// Checks every property.
pub(crate) fn check(trace: &Trace, end: End) -> Result<(), Violation> {
    let history = History::read(trace)?;
    views::check(&history)?;
    delivery::check(&history, end)?;
    order::check(&history)
}

/// Checks what holds even while an outsider forges frames of members, which the members cannot tell from real ones.
///
/// A forged data frame takes the place of the real one at every node that it reaches first; a forged token assigns a
/// number twice; a forged commit token claims what its members never had. Therefore contents, order and the messages
/// that members share prove nothing before the outsider stops. What each node can see for itself must still hold:
/// views come in pairs and follow one another, a node is a member of its own rings, ring ids rise, and no node
/// delivers a message twice.
pub(crate) fn check_besieged(trace: &Trace) -> Result<(), Violation> {
    let history = History::read(trace)?;
    views::check_besieged(&history)?;
    delivery::once(&history)
}

fn broken<T>(property: &'static str, detail: String) -> Result<T, Violation> {
    Err(Violation { property, detail })
}
