//! What clients do: join, leave, die, stall, multicast, set keys, ask for a reload.

use annulus::ids::{ConnId, ServiceId};
use annulus::service::{Flow, Request};

use super::record::{Client, Participant, Record, Role, Standing};
use super::speech;
use crate::cluster::Cluster;
use crate::trace::Process;

/// The groups that clients join.
pub(crate) const GROUPS: [&str; 3] = ["a", "b", "cluster"];

/// Clients of the groups that one node has at most.
const PARTICIPANTS: usize = 4;

/// Status of a reply: done.
pub(crate) const OK: i32 = 1;
/// Status of a reply: the node cannot do that now.
pub(crate) const TRY_AGAIN: i32 = 6;
/// Status of a reply: what the client asked before is under way.
pub(crate) const BUSY: i32 = 10;

impl Cluster {
    /// One of the clients of a node, which runs, does something.
    pub(crate) fn clients_work(&mut self, node: u32) {
        let who = self.running(node).app.who;
        if !self.whole(node).leaving && self.connect_standing_clients(who) {
            self.act(who);
        }
    }

    /// Connects those clients that each node has from the start to its end. Whether they are.
    fn connect_standing_clients(&mut self, who: Process) -> bool {
        if self.record.alive(who).any(|(_, client)| matches!(client.role, Role::Voter)) {
            return true;
        }
        let keeper = Role::Keeper { set: Vec::new(), told: Vec::new() };
        for role in [Role::Voter, keeper, Role::Operator { unanswered: 0 }] {
            let first = match role {
                Role::Voter => Some(speech::track_quorum()),
                Role::Keeper { .. } => Some(speech::track_keys("sim.")),
                Role::Operator { .. } | Role::Participant(_) => None,
            };
            let Some(conn) = self.connect(who, role) else { return false };
            if let Some(first) = first {
                self.ask(who, conn, &first);
            }
        }
        true
    }

    fn act(&mut self, who: Process) {
        let participants: Vec<ConnId> = self
            .record
            .alive(who)
            .filter(|(_, client)| matches!(client.role, Role::Participant(_)))
            .map(|(conn, _)| conn)
            .collect();
        let chosen = (!participants.is_empty()).then(|| self.random.pick(&participants));
        match (self.random.index(40), chosen) {
            (0..=2, _) if participants.len() < PARTICIPANTS => self.enter(who),
            (3, Some(conn)) => self.leave_group(who, conn),
            (4, Some(conn)) => self.close(who, conn),
            (5, Some(conn)) => {
                let time = self.setup.timeouts().token * 4;
                let time = self.random.duration(&(std::time::Duration::ZERO..time));
                let until = self.now + time;
                self.participant(who, conn).stalled_until = until;
            }
            (6..=8, _) => self.set_a_key(who),
            (9, _) if self.random.chance(0.2) => self.reload(who),
            (_, Some(conn)) => match self.participant(who, conn).standing {
                Standing::Out => self.join_group(who, conn),
                Standing::In => self.multicast(who, conn),
                Standing::Leaving => {}
            },
            (_, None) => self.enter(who),
        }
    }

    /// Connects a client. `None`: the node refuses it for now.
    fn connect(&mut self, who: Process, role: Role) -> Option<ConnId> {
        let client = Client { role, alive: true };
        let (service, now) = (client.service(), self.now);
        let conn = self.record.next_conn();
        let whole = self.whole(who.node);
        let connected = whole.stack.connected(now, service, conn, &mut ());
        if connected.is_ok() {
            self.record.clients.insert((who, conn), client);
        }
        self.drain(who.node);
        connected.is_ok().then_some(conn)
    }

    fn enter(&mut self, who: Process) {
        let participant = Participant {
            pid: self.record.next_pid(),
            group: self.random.pick(&GROUPS),
            standing: Standing::Out,
            sent: Vec::new(),
            told: Vec::new(),
            stalled_until: self.now,
            unread: 0,
        };
        if let Some(conn) = self.connect(who, Role::Participant(Box::new(participant))) {
            self.join_group(who, conn);
        }
    }

    fn join_group(&mut self, who: Process, conn: ConnId) {
        let participant = self.participant(who, conn);
        let request = speech::join(participant.group, participant.pid);
        if self.may_ask(who, ServiceId::CPG) {
            self.ask(who, conn, &request);
        }
    }

    fn leave_group(&mut self, who: Process, conn: ConnId) {
        let participant = self.participant(who, conn);
        let request = speech::leave(participant.group, participant.pid);
        if participant.standing == Standing::In && self.may_ask(who, ServiceId::CPG) {
            self.ask(who, conn, &request);
        }
    }

    fn multicast(&mut self, who: Process, conn: ConnId) {
        if !self.may_ask(who, ServiceId::CPG) {
            return;
        }
        let longest = self.random.pick(&[50, 300, 2000, 2000, 40_000]);
        let size = self.random.number(8..longest) as usize;
        let number = self.record.next_number();
        let request = speech::multicast(&Record::payload(number, size), self.random.chance(0.2));
        let ring = self.ring(who.node).expect("a node that takes messages is in a ring");
        self.record.sent_on.insert(number, (who, ring));
        self.participant(who, conn).sent.push(number);
        self.ask(who, conn, &request);
    }

    fn set_a_key(&mut self, who: Process) {
        let Some(conn) = self.the(who, ServiceId::CMAP) else { return };
        let key = format!("sim.{}", self.random.number(0..4));
        let value = self.record.next_number().to_string();
        let request = speech::set_key(&key, &value);
        if let Role::Keeper { set, .. } = &mut self.record.get(who, conn).role {
            set.push((key, value));
        }
        self.ask(who, conn, &request);
    }

    fn reload(&mut self, who: Process) {
        let Some(conn) = self.the(who, ServiceId::CFG) else { return };
        if !self.may_ask(who, ServiceId::CFG) {
            return;
        }
        if let Role::Operator { unanswered } = &mut self.record.get(who, conn).role {
            if *unanswered > 0 {
                return;
            }
            *unanswered += 1;
        }
        self.ask(who, conn, &speech::reload());
    }

    /// The connection of a process to a service that it has one of.
    fn the(&self, who: Process, service: ServiceId) -> Option<ConnId> {
        self.record.alive(who).find(|(_, client)| client.service() == service).map(|(conn, _)| conn)
    }

    /// Whether the program around the node would read a request now that the ring must have room for.
    fn may_ask(&mut self, who: Process, service: ServiceId) -> bool {
        let whole = self.whole(who.node);
        whole.stack.flow(service) == Flow::Open && whole.stack.fits_request()
    }

    fn ask(&mut self, who: Process, conn: ConnId, bytes: &[u8]) {
        let now = self.now;
        let whole = self.whole(who.node);
        whole.stack.request(now, conn, Request { bytes, tail: &[] }, &mut ());
        self.drain(who.node);
    }

    /// A client's process ends, or the node throws it out.
    pub(crate) fn close(&mut self, who: Process, conn: ConnId) {
        self.record.get(who, conn).alive = false;
        let now = self.now;
        let whole = self.whole(who.node);
        whole.stack.disconnected(now, conn, &mut ());
        self.drain(who.node);
    }

    fn participant(&mut self, who: Process, conn: ConnId) -> &mut Participant {
        match &mut self.record.get(who, conn).role {
            Role::Participant(participant) => participant,
            other => panic!("{conn:?} is no client of the groups: {other:?}"),
        }
    }
}
