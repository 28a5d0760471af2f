//! What runs on a node: the ring alone under a model of the services, or the whole node.

use annulus::totem::Totem;

use crate::whole::node::Whole;

/// The code under test at one node.
pub(crate) enum Core {
    /// The ring alone; `application.rs` stands in for everything above it.
    Ring(Box<Totem>),
    /// Ring, router, barrier and services; `whole/` stands in for clients and for the program around the node.
    Whole(Box<Whole>),
}

impl Core {
    /// The ring, for its counters and state.
    pub(crate) fn totem(&self) -> &Totem {
        match self {
            Self::Ring(totem) => totem,
            Self::Whole(whole) => whole.stack.totem(),
        }
    }

    /// The ring alone.
    ///
    /// # Panics
    /// If the whole node runs here: then nothing goes around its services.
    pub(crate) fn ring(&mut self) -> &mut Totem {
        match self {
            Self::Ring(totem) => totem,
            Self::Whole(_) => panic!("the ring of a whole node belongs to its stack"),
        }
    }

    /// The whole node, if one runs here.
    pub(crate) fn whole(&mut self) -> Option<&mut Whole> {
        match self {
            Self::Ring(_) => None,
            Self::Whole(whole) => Some(whole),
        }
    }
}
