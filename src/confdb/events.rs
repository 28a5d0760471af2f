//! What can happen to a key, and what of it the owner of a tracker wants to be notified of.

/// What has happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It did not exist before.
    Add,
    /// It does not exist any more.
    Delete,
    /// It has another value.
    Modify,
}

impl Event {
    pub(crate) const ALL: [Self; 3] = [Self::Add, Self::Delete, Self::Modify];
}

/// A set of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events(u8);

impl Events {
    /// Whether the event is in the set.
    pub(crate) const fn contain(self, event: Event) -> bool {
        self.0 & Self::bit(event) != 0
    }

    const fn bit(event: Event) -> u8 {
        1 << event as u8
    }
}

impl FromIterator<Event> for Events {
    fn from_iter<I: IntoIterator<Item = Event>>(events: I) -> Self {
        Self(events.into_iter().fold(0, |set, event| set | Self::bit(event)))
    }
}

/// The keys that a tracker is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The key of this name.
    Key,
    /// All keys whose names begin with the tracker's prefix.
    Prefix,
}

/// What the owner of a tracker wants to be notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) events: Events,
    pub(crate) scope: Scope,
}
