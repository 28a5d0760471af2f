//! The clients of a server by id.

use std::os::fd::OwnedFd;

use super::census::Kind;
use super::closer::Remains;
use super::connection::Connection;
use crate::ids::ConnId;
use crate::ipc::credentials::Credentials;
use crate::ipc::wire::ConnectRequest;

/// Number of low bits of an id that hold its place in the table.
const PLACE_BITS: u32 = 16;
/// Size of the table, for accepted clients and newcomers.
pub(super) const PLACES: usize = 1 << PLACE_BITS;

/// A client that has not been accepted yet.
pub(super) struct Newcomer {
    pub(super) id: ConnId,
    pub(super) endpoint: usize,
    pub(super) socket: OwnedFd,
    /// The process that called `connect`; only used to limit the number of clients per user.
    pub(super) caller: Credentials,
    pub(super) request: [u8; ConnectRequest::LEN],
    pub(super) got: usize,
    pub(super) sender: Option<Credentials>,
}

/// A client, accepted or not.
pub(super) enum Client {
    New(Newcomer),
    Open(Box<Connection>),
}

impl Client {
    fn id(&self) -> ConnId {
        match self {
            Self::New(newcomer) => newcomer.id,
            Self::Open(connection) => connection.id,
        }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        match self {
            Self::New(newcomer) => &newcomer.socket,
            Self::Open(connection) => connection.socket(),
        }
    }

    /// The parts that another thread has to close.
    pub(super) fn into_remains(self) -> Remains {
        match self {
            Self::New(newcomer) => Remains::Socket(newcomer.socket),
            Self::Open(connection) => connection.into_remains(),
        }
    }

    /// The user and the kind for which it is counted.
    pub(super) fn owner(&self) -> (u32, Kind) {
        match self {
            Self::New(newcomer) => (newcomer.caller.uid, Kind::Newcomer),
            Self::Open(connection) => (connection.peer.uid, Kind::Connection),
        }
    }
}

/// All clients. An id consists of a running number and the place, so it is never reused and is found at once.
#[derive(Default)]
pub(super) struct Table {
    places: Vec<Option<Client>>,
    free: Vec<usize>,
    issued: u64,
}

impl Table {
    /// Adds a client made with its new id; `None` if the table is full.
    pub(super) fn insert(&mut self, make: impl FnOnce(ConnId) -> Client) -> Option<ConnId> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.places.len() < PLACES => {
                self.places.push(None);
                self.places.len() - 1
            }
            None => return None,
        };
        self.issued += 1;
        let id = ConnId((self.issued << PLACE_BITS) | place as u64);
        self.places[place] = Some(make(id));
        Some(id)
    }

    fn place(id: ConnId) -> usize {
        (id.0 & (PLACES as u64 - 1)) as usize
    }

    pub(super) fn client(&mut self, id: ConnId) -> Option<&mut Client> {
        self.places.get_mut(Self::place(id))?.as_mut().filter(|client| client.id() == id)
    }

    /// An accepted client, including one that lingers.
    pub(super) fn open(&mut self, id: ConnId) -> Option<&mut Connection> {
        match self.client(id)? {
            Client::Open(connection) => Some(connection),
            Client::New(_) => None,
        }
    }

    /// As [`Self::open`], without mutable access.
    pub(super) fn find(&self, id: ConnId) -> Option<&Connection> {
        match self.places.get(Self::place(id))?.as_ref()? {
            Client::Open(connection) if connection.id == id => Some(connection),
            Client::Open(_) | Client::New(_) => None,
        }
    }

    pub(super) fn newcomer(&mut self, id: ConnId) -> Option<&mut Newcomer> {
        match self.client(id)? {
            Client::New(newcomer) => Some(newcomer),
            Client::Open(_) => None,
        }
    }

    pub(super) fn remove(&mut self, id: ConnId) -> Option<Client> {
        self.client(id)?;
        let place = Self::place(id);
        self.free.push(place);
        self.places[place].take()
    }

    /// Removes a newcomer but keeps its place for [`Self::promote`] or [`Self::release`].
    pub(super) fn take_newcomer(&mut self, id: ConnId) -> Option<Newcomer> {
        self.newcomer(id)?;
        match self.places[Self::place(id)].take() {
            Some(Client::New(newcomer)) => Some(newcomer),
            _ => None,
        }
    }

    /// Frees the place kept for a newcomer.
    pub(super) fn release(&mut self, id: ConnId) {
        self.free.push(Self::place(id));
    }

    /// Puts an accepted client into the place kept for it.
    pub(super) fn promote(&mut self, connection: Connection) {
        let place = Self::place(connection.id);
        self.places[place] = Some(Client::Open(Box::new(connection)));
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.places.iter().filter_map(|client| match client {
            Some(Client::Open(connection)) => Some(&**connection),
            _ => None,
        })
    }

    pub(super) fn connections_mut(&mut self) -> impl Iterator<Item = &mut Connection> {
        self.places.iter_mut().filter_map(|client| match client {
            Some(Client::Open(connection)) => Some(&mut **connection),
            _ => None,
        })
    }

    /// The ids of clients that are not accepted yet.
    pub(super) fn newcomers(&self) -> Vec<ConnId> {
        let ids = self.places.iter().filter_map(|client| match client {
            Some(Client::New(newcomer)) => Some(newcomer.id),
            _ => None,
        });
        ids.collect()
    }

    /// Removes all clients.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Client> {
        self.free.clear();
        std::mem::take(&mut self.places).into_iter().flatten()
    }
}
