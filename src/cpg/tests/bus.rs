//! A ring without a network: the messages of a ring are one list, from which every member takes them at its
//! own pace. Views change at any moment, with messages delivered before and after the transitional one; nodes
//! crash and come back without state. Everything that extended virtual synchrony allows can happen here.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use zerocopy::{FromBytes, IntoBytes, U32};

use crate::cpg::desk::Desk;
use crate::cpg::name::Member;
use crate::cpg::wire::{self, NE, request, response};
use crate::error::Status;
use crate::ids::{ConnId, Endian, Guarantee, NodeId, Piece, RingId, ServiceId};
use crate::service::router::{Ground, Router};
use crate::service::wire::{HeaderBytes, ReplyHeaderBytes};
use crate::service::{
    Database, Delivery, Effects, Full, Notice, Order, Progress, Request, Service, Statistics, SyncView,
    Synchronised,
};
use crate::time::Instant;
use crate::value::Value;
use crate::view::{View, ViewKind};

pub(crate) fn node_id(id: u32) -> NodeId {
    NodeId::new(id).unwrap()
}

/// An event that a client received, in comparable form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Confchg {
        group: Vec<u8>,
        members: Vec<Member>,
        left: Vec<(Member, u32)>,
        joined: Vec<(Member, u32)>,
    },
    Message {
        group: Vec<u8>,
        sender: Member,
        payload: Vec<u8>,
    },
    /// The totem configuration after a synchronisation.
    Settled(RingId, Vec<NodeId>),
    /// Not an event for the client: marks the node's regular view.
    Regular(RingId),
}

impl Seen {
    pub(crate) fn group(&self) -> Option<&[u8]> {
        match self {
            Self::Confchg { group, .. } | Self::Message { group, .. } => Some(group),
            Self::Settled(..) | Self::Regular(_) => None,
        }
    }
}

/// Reads an event as libcpg would.
pub(crate) fn read_event(head: &[u8], payload: &[u8]) -> Seen {
    let (header, _) = ReplyHeaderBytes::<NE>::ref_from_prefix(head).unwrap();
    assert_eq!(usize::try_from(header.size.get()).unwrap(), head.len() + payload.len());
    assert_eq!(header.error.get(), Status::Ok.code());
    match header.id.get() {
        response::CONFCHG => {
            let (event, lists) = wire::ConfchgBytes::ref_from_prefix(head).unwrap();
            let lists = <[wire::AddressBytes]>::ref_from_bytes(lists).unwrap();
            let read = |list: &[wire::AddressBytes]| -> Vec<(Member, u32)> {
                let member =
                    |a: &wire::AddressBytes| Member { node: node_id(a.node.get()), pid: a.pid.get() };
                list.iter().map(|address| (member(address), address.reason.get())).collect()
            };
            let (members, rest) = lists.split_at(event.members.get() as usize);
            let (left, joined) = rest.split_at(event.left.get() as usize);
            assert_eq!(joined.len(), event.joined.get() as usize);
            assert!(read(members).iter().all(|(_, reason)| *reason == 0));
            Seen::Confchg {
                group: event.name.name().unwrap().to_vec(),
                members: read(members).into_iter().map(|(member, _)| member).collect(),
                left: read(left),
                joined: read(joined),
            }
        }
        response::DELIVER => {
            let event = wire::DeliverBytes::ref_from_bytes(head).unwrap();
            assert_eq!(event.msglen.get() as usize, payload.len());
            Seen::Message {
                group: event.name.name().unwrap().to_vec(),
                sender: Member { node: node_id(event.node.get()), pid: event.pid.get() },
                payload: payload.to_vec(),
            }
        }
        response::PARTIAL_DELIVER => {
            let event = wire::PartialDeliverBytes::ref_from_bytes(head).unwrap();
            assert_eq!(event.fraglen.get() as usize, payload.len());
            Seen::Message {
                group: event.name.name().unwrap().to_vec(),
                sender: Member { node: node_id(event.node.get()), pid: event.pid.get() },
                payload: payload.to_vec(),
            }
        }
        response::TOTEM_CONFCHG => {
            let (event, members) = wire::TotemConfchgBytes::ref_from_prefix(head).unwrap();
            let count = event.count.get() as usize;
            assert_eq!(members.len(), 4 * count + 4);
            let members = members[..4 * count].chunks_exact(4);
            let ring = RingId { rep: node_id(event.rep.get()), seq: event.seq.get() };
            let node = |bytes: &[u8]| node_id(u32::from_ne_bytes(bytes.try_into().unwrap()));
            Seen::Settled(ring, members.map(node).collect())
        }
        other => panic!("libcpg fails on event {other}"),
    }
}

/// A join request as libcpg writes it.
pub(crate) fn join_request(group: &[u8], pid: u32, flags: u32) -> Vec<u8> {
    wire::JoinRequestBytes {
        header: HeaderBytes::new(i32::from(request::JOIN), 168),
        name: wire::NameBytes::new(group),
        pid: U32::new(pid),
        pad_pid: [0; 4],
        flags: U32::new(flags),
        pad_flags: [0; 4],
    }
    .as_bytes()
    .to_vec()
}

pub(crate) fn leave_request(group: &[u8], pid: u32) -> Vec<u8> {
    wire::LeaveRequestBytes {
        header: HeaderBytes::new(i32::from(request::LEAVE), 160),
        name: wire::NameBytes::new(group),
        pid: U32::new(pid),
        pad_pid: [0; 4],
    }
    .as_bytes()
    .to_vec()
}

pub(crate) fn mcast_request(guarantee: u32, payload: &[u8]) -> Vec<u8> {
    let head = wire::McastRequestBytes {
        header: HeaderBytes::new(i32::from(request::MCAST), 40 + payload.len()),
        unused: [0; 8],
        guarantee: U32::new(guarantee),
        pad_guarantee: [0; 4],
        msglen: U32::new(payload.len() as u32),
        pad_msglen: [0; 4],
    };
    [head.as_bytes(), payload].concat()
}

/// Id and status of a reply.
pub(crate) fn status(reply: &[u8]) -> (i32, i32) {
    let (header, _) = ReplyHeaderBytes::<NE>::ref_from_prefix(reply).unwrap();
    assert_eq!(usize::try_from(header.size.get()).unwrap(), reply.len());
    (header.id.get(), header.error.get())
}

/// One message in the order of a ring.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) from: NodeId,
    pub(crate) sync: bool,
    pub(crate) guarantee: Guarantee,
    pub(crate) body: Bytes,
}

/// A node's send queues and the events of its clients.
#[derive(Debug)]
pub(crate) struct Below {
    pub(crate) me: NodeId,
    pub(crate) normal: VecDeque<Sent>,
    pub(crate) sync: VecDeque<Sent>,
    /// True from the transitional view to the end of the synchronisation.
    pub(crate) in_sync: bool,
    pub(crate) wants_token: bool,
    /// Capacity of the queue in messages.
    pub(crate) room: usize,
    pub(crate) told: BTreeMap<ConnId, Vec<Seen>>,
    pub(crate) raw: Vec<(ConnId, Vec<u8>)>,
    /// Those events in `raw` that are echoes of the client's own messages.
    pub(crate) echoed: Vec<(ConnId, Piece)>,
    pub(crate) replies: Vec<(ConnId, Vec<u8>)>,
    pub(crate) buffers: BTreeMap<u64, Bytes>,
    pub(crate) synced: Vec<RingId>,
}

impl Below {
    pub(crate) fn new(me: NodeId, room: usize) -> Self {
        Self {
            me,
            normal: VecDeque::new(),
            sync: VecDeque::new(),
            in_sync: true,
            wants_token: false,
            room,
            told: BTreeMap::new(),
            raw: Vec::new(),
            echoed: Vec::new(),
            replies: Vec::new(),
            buffers: BTreeMap::new(),
            synced: Vec::new(),
        }
    }

    fn queue(&mut self) -> &mut VecDeque<Sent> {
        if self.in_sync { &mut self.sync } else { &mut self.normal }
    }

    fn push(&mut self, sync: bool, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full> {
        let (from, room) = (self.me, self.room);
        let queue = self.queue();
        if queue.len() >= room {
            return Err(Full);
        }
        queue.push_back(Sent { from, sync, guarantee, body: pieces.concat().into() });
        Ok(())
    }
}

impl Effects for Below {
    fn me(&self) -> NodeId {
        self.me
    }

    fn now(&self) -> Instant {
        Instant::ZERO
    }

    fn database(&mut self) -> &mut dyn Database {
        unreachable!("process groups keep nothing in the database")
    }

    fn statistics(&self, _prefix: &str) -> Vec<(String, Value)> {
        Vec::new()
    }

    fn clear_statistics(&mut self, _which: Statistics) {}

    fn announce(&mut self, notice: Notice) {
        unreachable!("process groups have nothing to announce: {notice:?}")
    }

    fn order(&mut self, order: Order) {
        unreachable!("process groups order nothing: {order:?}")
    }

    fn multicast(&mut self, guarantee: Guarantee, pieces: &[&[u8]]) -> Result<(), Full> {
        self.push(false, guarantee, pieces)
    }

    fn reply(&mut self, conn: ConnId, reply: &[u8]) {
        self.replies.push((conn, reply.to_vec()));
    }

    fn event(&mut self, conn: ConnId, head: &[u8], payload: &Bytes) {
        self.told.entry(conn).or_default().push(read_event(head, payload));
        self.raw.push((conn, [head, payload].concat()));
    }

    fn echo(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, piece: Piece) {
        self.echoed.push((conn, piece));
        self.event(conn, head, payload);
    }

    fn buffer_open(&mut self, _conn: ConnId, path: &[u8], _size: u64) -> Result<u64, Status> {
        if path == b"/dev/shm/corosync_zerocopy-abcdef" { Ok(7) } else { Err(Status::InvalidParam) }
    }

    fn buffer_read(&mut self, _conn: ConnId, token: u64) -> Result<Bytes, Status> {
        self.buffers.get(&token).cloned().ok_or(Status::BadHandle)
    }

    fn buffer_close(&mut self, _conn: ConnId, token: u64) {
        self.buffers.remove(&token);
    }
}

impl Ground for Below {
    fn multicast_sync(&mut self, message: &[u8]) -> Result<(), Full> {
        assert!(self.in_sync, "a synchronisation message outside of a synchronisation");
        self.push(true, Guarantee::Agreed, &[message])
    }

    fn want_token(&mut self) {
        self.wants_token = true;
    }

    fn synced(&mut self, ring: RingId) {
        assert!(self.in_sync, "synced twice");
        self.in_sync = false;
        self.synced.push(ring);
    }

    fn synced_in_transit(&mut self) {}

    fn take_notice(&mut self) -> Option<Notice> {
        None
    }

    fn fits(&self, _bytes: usize) -> bool {
        (if self.in_sync { &self.sync } else { &self.normal }).len() < self.room
    }
}

/// A service that only this node has, as Corosync's nodes have services that annulus does not have.
#[derive(Debug)]
pub(crate) struct Other(ServiceId);

impl Service for Other {
    fn id(&self) -> ServiceId {
        self.0
    }
    fn functions(&self) -> u16 {
        1
    }
    fn requests(&self) -> u16 {
        0
    }
    fn needs_flow_control(&self, _request: u16) -> bool {
        false
    }
    fn deliver(&mut self, _delivery: Delivery, _effects: &mut dyn Effects) {}
    fn connected(&mut self, _conn: ConnId, _effects: &mut dyn Effects) {}
    fn request(&mut self, _: ConnId, _: u16, _: Request<'_>, _: &mut dyn Effects) {}
    fn disconnected(&mut self, _conn: ConnId, _effects: &mut dyn Effects) {}
    fn retry(&mut self, _effects: &mut dyn Effects) {}
    fn view(&mut self, _view: &View, _effects: &mut dyn Effects) {}
    fn sync(&mut self) -> Option<&mut dyn Synchronised> {
        Some(self)
    }
}

impl Synchronised for Other {
    fn begin(&mut self, _view: &SyncView, _effects: &mut dyn Effects) {}
    fn process(&mut self, _effects: &mut dyn Effects) -> Progress {
        Progress::Done
    }
    fn activate(&mut self, _effects: &mut dyn Effects) {}
    fn abort(&mut self) {}
}

/// One node: router, desks, queues, and its position in its ring's order.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) router: Router,
    pub(crate) cpg: Desk,
    others: Vec<Other>,
    pub(crate) below: Below,
    ring: Option<usize>,
    received: usize,
    delivered: usize,
}

impl Node {
    /// A node with the services `others` in addition to CPG.
    pub(crate) fn new(id: u32, room: usize, others: &[u16]) -> Self {
        let id = node_id(id);
        let mut cpg = Desk::new(id);
        let mut others: Vec<Other> = others.iter().map(|id| Other(ServiceId(*id))).collect();
        let router = Router::new(&mut desks(&mut cpg, &mut others));
        Self { id, router, cpg, others, below: Below::new(id, room), ring: None, received: 0, delivered: 0 }
    }

    pub(crate) fn connect(&mut self, conn: ConnId) {
        let mut desks = desks(&mut self.cpg, &mut self.others);
        self.router.connected(&mut desks, ServiceId::CPG, conn, &mut self.below).unwrap();
        self.below.told.insert(conn, Vec::new());
    }

    /// Sends a request; returns the reply, if there is one.
    pub(crate) fn request(&mut self, conn: ConnId, bytes: &[u8], tail: &[u8]) -> Option<Vec<u8>> {
        let mut desks = desks(&mut self.cpg, &mut self.others);
        self.router.request(&mut desks, conn, Request { bytes, tail }, &mut self.below);
        let reply = self.below.replies.pop();
        assert!(self.below.replies.is_empty(), "more than one answer");
        reply.map(|(to, reply)| {
            assert_eq!(to, conn);
            reply
        })
    }

    pub(crate) fn disconnect(&mut self, conn: ConnId) {
        let mut desks = desks(&mut self.cpg, &mut self.others);
        self.router.disconnected(&mut desks, conn, &mut self.below);
    }

    pub(crate) fn deliver(&mut self, from: NodeId, sync: bool, body: Bytes, order: Endian) {
        let mut desks = desks(&mut self.cpg, &mut self.others);
        if sync {
            self.router.deliver_sync(&mut desks, from, &body, order, &mut self.below);
        } else {
            self.router.deliver(&mut desks, from, body, order, &mut self.below);
        }
    }

    fn view(&mut self, view: &View) {
        match view.kind {
            ViewKind::Transitional => self.below.in_sync = true,
            ViewKind::Regular => {
                for told in self.below.told.values_mut() {
                    told.push(Seen::Regular(view.ring));
                }
            }
        }
        let mut desks = desks(&mut self.cpg, &mut self.others);
        self.router.view(&mut desks, view, &mut self.below);
    }

    fn token_sent(&mut self) {
        let mut desks = desks(&mut self.cpg, &mut self.others);
        self.router.token_sent(&mut desks, &mut self.below);
    }
}

fn desks<'a>(cpg: &'a mut Desk, others: &'a mut [Other]) -> Vec<&'a mut dyn Service> {
    let mut desks: Vec<&mut dyn Service> = vec![cpg];
    desks.extend(others.iter_mut().map(|other| other as &mut dyn Service));
    desks.sort_by_key(|desk| desk.id());
    desks
}

#[derive(Debug)]
struct Ring {
    id: RingId,
    members: Vec<NodeId>,
    order: Vec<Sent>,
}

/// All nodes and all rings.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    pub(crate) nodes: BTreeMap<u32, Node>,
    rings: Vec<Ring>,
}

impl Bus {
    pub(crate) fn add(&mut self, node: Node) {
        self.nodes.insert(node.id.get(), node);
    }

    pub(crate) fn node(&mut self, id: u32) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    /// The token visits a node, which sends up to `most` messages.
    pub(crate) fn token(&mut self, id: u32, most: usize) {
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(ring) = node.ring else { return };
        let ring = &mut self.rings[ring];
        let queue = node.below.queue();
        let sent = queue.len().min(most);
        if sent > 0 {
            ring.order.extend(queue.drain(..sent));
            node.received = ring.order.len();
        }
        if std::mem::take(&mut node.below.wants_token) {
            node.token_sent();
        }
    }

    /// A node receives up to `most` further messages of its ring, and delivers up to `most`.
    pub(crate) fn advance(&mut self, id: u32, most: usize) {
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(ring) = node.ring else { return };
        let ring = &self.rings[ring];
        node.received = ring.order.len().min(node.received + most);
        let end = node.received.min(node.delivered + most);
        self.deliver_to(id, end);
    }

    fn deliver_to(&mut self, id: u32, end: usize) {
        let node = self.nodes.get_mut(&id).unwrap();
        let Some(ring) = node.ring else { return };
        while node.delivered < end {
            let sent = self.rings[ring].order[node.delivered].clone();
            node.delivered += 1;
            node.deliver(sent.from, sent.sync, sent.body, Endian::Little);
        }
    }

    /// Forms a ring of exactly these nodes. Of the messages that a node and those that move with it have
    /// received and it has not delivered, `early` returns how many it delivers before its transitional view;
    /// the others follow after it.
    pub(crate) fn form(&mut self, members: &[u32], mut early: impl FnMut(usize) -> usize) {
        let seq = 4 * (self.rings.len() as u64 + 1);
        let members: Vec<NodeId> = members.iter().map(|id| node_id(*id)).collect();
        let id = RingId { rep: members[0], seq };
        let old: BTreeMap<NodeId, Option<usize>> =
            members.iter().map(|node| (*node, self.nodes[&node.get()].ring)).collect();
        // Every message that one of the nodes that move together has received is delivered by all of them.
        let mut recovered: BTreeMap<usize, usize> = BTreeMap::new();
        for node in &members {
            let node = &self.nodes[&node.get()];
            if let Some(ring) = node.ring {
                let most = recovered.entry(ring).or_default();
                *most = node.received.max(*most);
            }
        }
        for node in &members {
            let ring = old[node];
            let came: Vec<NodeId> = match ring {
                Some(_) => members.iter().copied().filter(|other| old[other] == ring).collect(),
                None => Vec::new(),
            };
            let before = ring.map_or(Vec::new(), |ring| self.rings[ring].members.clone());
            let left = before.into_iter().filter(|other| !came.contains(other)).collect();
            if let Some(ring) = ring {
                let all = recovered[&ring];
                let delivered = self.nodes[&node.get()].delivered;
                self.deliver_to(node.get(), delivered + early(all - delivered));
            }
            self.node(node.get()).view(&View {
                kind: ViewKind::Transitional,
                ring: id,
                members: came.clone(),
                joined: Vec::new(),
                left,
            });
            if let Some(ring) = ring {
                self.deliver_to(node.get(), recovered[&ring]);
            }
            let joined = members.iter().copied().filter(|other| !came.contains(other)).collect();
            self.node(node.get()).view(&View {
                kind: ViewKind::Regular,
                ring: id,
                members: members.clone(),
                joined,
                left: Vec::new(),
            });
            let here = self.nodes.get_mut(&node.get()).unwrap();
            (here.ring, here.received, here.delivered) = (Some(self.rings.len()), 0, 0);
        }
        self.rings.push(Ring { id, members, order: Vec::new() });
        assert_eq!(self.rings.last().map(|ring| ring.id), Some(id));
    }

    /// Runs until nothing is left to send, deliver or retry.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let ids: Vec<u32> = self.nodes.keys().copied().collect();
            for id in ids {
                self.token(id, usize::MAX);
                self.advance(id, 1 << 20);
            }
            let busy = |node: &Node| {
                let below = &node.below;
                let queue = if below.in_sync { &below.sync } else { &below.normal };
                let order = node.ring.map_or(0, |ring| self.rings[ring].order.len());
                node.ring.is_some() && (!queue.is_empty() || below.wants_token || node.delivered < order)
            };
            if !self.nodes.values().any(busy) {
                return;
            }
        }
        panic!("it does not come to rest");
    }
}
