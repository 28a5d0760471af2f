//! The program around a whole node: carries out what the stack has decided, and hands clients what is theirs.

use std::time::Duration;

use annulus::ids::{ConnId, RingId};
use annulus::service::{Order, Output};
use annulus::view::{View, ViewKind};
use bytes::Bytes;

use super::clients::{BUSY, OK, TRY_AGAIN};
use super::node::Whole;
use super::record::{Record, Role, Seen, Standing, Verdict};
use super::speech;
use crate::cluster::Cluster;
use crate::trace::{Event, Process};

/// Events that may wait for a client that does not read; then it is thrown out.
const UNREAD: usize = 400;

/// How long a node that leaves waits until the ends of its clients have been told.
const SETTLES_WITHIN: Duration = Duration::from_millis(300);

/// Number of the requests, and of their replies, that change where a client stands.
const JOIN: i32 = 0;
const LEAVE: i32 = 1;

impl Cluster {
    pub(crate) fn drain_whole(&mut self, node: u32) {
        loop {
            let now = self.now;
            let Some(process) = self.nodes.get_mut(&node).and_then(|node| node.process.as_mut()) else {
                return;
            };
            let who = process.app.who;
            let whole = process.core.whole().expect("a whole node");
            let Some(output) = whole.stack.poll_output(&mut ()) else {
                let wake = whole.stack.deadline();
                return self.wake_at(node, wake);
            };
            match output {
                Output::Send(to, bytes) => self.sent(node, to, &bytes),
                Output::Store(up_to) => self.store(node, up_to),
                Output::Probe(other) => self.asked(node, other.get()),
                Output::View(view) => self.view_of_whole(who, view),
                Output::Synced(ring) => self.synced_whole(who, ring),
                Output::Reply { conn, bytes } => self.replied(who, conn, &bytes),
                Output::Event { to, head, payload } => {
                    let (to, head) = (to.to_vec(), head.to_vec());
                    for recipient in &to {
                        self.told_client(who, recipient.conn, &head, &payload);
                    }
                    // Only when all have been told, because the node says more when a client goes.
                    for recipient in to {
                        if self.does_not_read(who, recipient.conn) {
                            self.close(who, recipient.conn);
                        }
                    }
                }
                Output::Refused(conn, why) => {
                    panic!(
                        "seed {}: {conn:?} of {who:?} was refused: {why:?}\n{}",
                        self.setup.seed,
                        self.report()
                    );
                }
                Output::Order(order) => match order {
                    Order::Gather => whole.stack.gather(),
                    Order::Reconfigure(timeouts) => whole.stack.reconfigure(*timeouts, &mut ()),
                    Order::Reload | Order::ReloadBesideCorosync | Order::Adopt => self.reread(who, &order),
                    Order::LookAtKey => whole.stack.key_seen(now, (0, None, "none/none"), &mut ()),
                    Order::Discard | Order::KeepVotes(_) | Order::Logging(_) | Order::Watch(_) => {}
                    other => panic!("nobody asked for {other:?}"),
                },
            }
        }
    }

    /// The whole node that runs there.
    pub(crate) fn whole(&mut self, node: u32) -> &mut Whole {
        self.running(node).core.whole().expect("a whole node")
    }

    /// The configuration is read again, or taken over; it is the same as before.
    fn reread(&mut self, who: Process, order: &Order) {
        let services = self.setup.services.clone().expect("whole nodes");
        let config = services.config(who.node, &self.setup.nodes, &self.setup.given);
        assert_eq!(config.totem.timeouts, self.setup.timeouts(), "a reload changes nothing");
        let now = self.now;
        let whole = self.whole(who.node);
        match order {
            Order::Adopt => whole.stack.adopted(now, Ok(&config), false, &mut ()),
            _ => whole.stack.judged(now, Ok(&config), &mut ()),
        }
    }

    fn view_of_whole(&mut self, who: Process, view: View) {
        let app = &mut self.running(who.node).app;
        app.synced = false;
        app.in_transit = view.kind == ViewKind::Transitional;
        if view.kind == ViewKind::Regular {
            app.view = Some(view.clone());
            let completed = self.whole(who.node).stack.router_stats().syncs_completed;
            self.record.installed.entry(who).or_default().push((view.ring, completed));
            self.record.mark(who, &Seen::Regular(view.ring));
        }
        self.trace.add(self.now, who, Event::View(view));
    }

    fn synced_whole(&mut self, who: Process, ring: RingId) {
        let app = &mut self.running(who.node).app;
        let view = app.view.as_ref().filter(|view| view.ring == ring);
        let members = view.expect("a ring is synchronised after its view").members.clone();
        app.synced = true;
        self.record.mark(who, &Seen::Settled(ring, members));
    }

    fn replied(&mut self, who: Process, conn: ConnId, reply: &[u8]) {
        let (number, status) = (speech::number(reply), speech::status(reply));
        let client = self.record.get(who, conn);
        assert!(client.alive, "{conn:?} has no process that waits for a reply");
        match &mut client.role {
            Role::Participant(participant) => match (number, status) {
                (JOIN, OK) => participant.standing = Standing::In,
                (LEAVE, OK) => participant.standing = Standing::Leaving,
                (JOIN | LEAVE, TRY_AGAIN) | (LEAVE, BUSY) => {}
                other => panic!("{conn:?} of {who:?}: {participant:?} was answered {other:?}"),
            },
            Role::Voter | Role::Keeper { .. } => assert_eq!(status, OK, "{conn:?} of {who:?}"),
            Role::Operator { unanswered } => {
                *unanswered -= 1;
                self.record.reloads += 1;
            }
        }
    }

    fn told_client(&mut self, who: Process, conn: ConnId, head: &[u8], payload: &Bytes) {
        let now = self.now;
        let client = self.record.get(who, conn);
        if !client.alive {
            return;
        }
        let event = speech::event(client.service().0, head, payload);
        match (&mut client.role, event) {
            (Role::Participant(participant), event) => {
                participant.unread = if participant.stalled_until > now { participant.unread + 1 } else { 0 };
                let me = speech::Member { node: who.node, pid: participant.pid };
                match event {
                    speech::Event::Membership { group, members, left, joined } => {
                        if left.iter().any(|(member, _)| *member == me) {
                            participant.standing = Standing::Out;
                        }
                        participant.told.push(Seen::Membership { group, members, left, joined });
                    }
                    speech::Event::Message { group, from, payload } => {
                        participant.told.push(Seen::Message {
                            group,
                            from,
                            number: Record::number(&payload),
                        });
                    }
                    speech::Event::Ring => {}
                    other => panic!("{conn:?} of {who:?} asked for no {other:?}"),
                }
            }
            (Role::Voter, speech::Event::Quorum { quorate, members }) => {
                let members = members.into_iter().collect();
                self.record.verdicts.push(Verdict { at: now, by: who, quorate, members });
            }
            (Role::Keeper { told, .. }, speech::Event::Key { name, value }) => {
                let mut value = value.expect("nobody removes a key");
                assert_eq!(value.pop(), Some(0), "a text ends with a NUL");
                told.push((name, String::from_utf8(value).expect("texts here are of letters")));
            }
            (role, other) => panic!("{conn:?} of {who:?}, {role:?}, asked for no {other:?}"),
        }
    }

    /// Whether a client has left so much unread that it is disconnected.
    fn does_not_read(&mut self, who: Process, conn: ConnId) -> bool {
        let client = self.record.get(who, conn);
        client.alive && matches!(&client.role, Role::Participant(participant) if participant.unread > UNREAD)
    }

    /// A node says that it leaves: its services end first, then it goes.
    pub(crate) fn leave_whole(&mut self, node: u32) {
        let who = self.running(node).app.who;
        self.record.crashed(who);
        let whole = self.whole(node);
        whole.leaving = true;
        whole.stack.disconnect_all(&mut ());
        self.drain(node);
        let end = self.now + SETTLES_WITHIN;
        while self.now < end && !self.whole(node).stack.settled() {
            self.run(Duration::from_millis(5));
        }
        let whole = self.whole(node);
        whole.stack.leave();
        self.drain(node);
        self.end(node);
    }
}
