//! The properties of extended virtual synchrony, checked on a finished run.
//!
//! Source: Moser, Amir, Melliar-Smith, Agarwal, "Extended Virtual Synchrony", section 2.1, whose numbers
//! the names carry; and what this ring adds: ring ids rise over restarts and are unique,
//! `members = previous - left + joined`, a transitional view and then a regular one.
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

/// How much may be asked of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The run was stopped anywhere: what is still due cannot be missed.
    Anywhere,
    /// The network had been stable for long: everything due has happened.
    Quiet,
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Which, with the number of the paper where it has one.
    pub(crate) property: &'static str,
    /// Who and what.
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

/// Checks what holds even while an outsider forges frames of members, which nothing tells from theirs.
///
/// A forged data frame takes the place of a real one at whom it reaches first; a forged token gives a number
/// out twice; a forged commit token says what its members never had. So contents and order, and which messages
/// members share, prove nothing before the outsider stops. What each node can see for itself it must keep:
/// views come in pairs and follow one another, a node is in its own rings, ring ids rise, and no node hands up
/// one message twice.
pub(crate) fn check_besieged(trace: &Trace) -> Result<(), Violation> {
    let history = History::read(trace)?;
    views::check_besieged(&history)?;
    delivery::once(&history)
}

fn broken<T>(property: &'static str, detail: String) -> Result<T, Violation> {
    Err(Violation { property, detail })
}
