//! The administration of whole nodes, from the view of its clients, of the ring, and of the program around a node.
//!
//! | file | what |
//! |---|---|
//! | `links.rs` | addresses, ids, the state of links |
//! | `kill.rs` | the end of another node, and messages for which there is no room |
//! | `shutdown.rs` | the vote on a shutdown |
//! | `reload.rs` | reloads, as their clients and the database see them |
//! | `keys.rs` | the keys in use, a new key, the change of the key after a reload |
//! | `logs.rs` | log files are reopened |
//! | `hostile.rs` | requests and messages that cannot be read |

mod hostile;
mod keys;
mod kill;
mod links;
mod logs;
mod reload;
mod shutdown;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use super::cluster::{Cluster, id, status};
use super::world::{Told, World};
use crate::admin::wire::reply::NoReply;
use crate::admin::wire::{Exec, Question, Reply, Request as Ask};
use crate::admin::{Desk, Facts};
use crate::config::Config;
use crate::config::os::OsHost;
use crate::error::Status;
use crate::ids::{ConnId, ServiceId};
use crate::service::{Order, Service};
use crate::stack::{Setup, Stack};
use crate::time::Instant;
use crate::value::Value;

const A: ConnId = ConnId(1);
const B: ConnId = ConnId(2);
const C: ConnId = ConnId(3);

/// A cluster in which A, B and C are clients of the administration of node 1. Nodes 1 to 3 are configured.
struct Admin {
    cluster: Cluster,
}

impl Admin {
    /// Nodes 1 and 2 on a ring; node 3 does not run.
    fn pair() -> Self {
        Self::with(true)
    }

    /// As `pair`; `managed`: whether programs carry out orders to reload and to reopen log files.
    fn with(managed: bool) -> Self {
        let addresses = || (1..=3).map(|node| (id(node), vec![[10, 0, 0, node as u8].into()]));
        let facts = move || Facts { addresses: addresses().collect(), mtu: 1410, managed };
        let mut cluster = Cluster::new(move |_| Setup { facts: facts(), ..Setup::default() });
        cluster.start(1);
        cluster.start(2);
        cluster.settle();
        for conn in [A, B, C] {
            cluster.connect(1, ServiceId::CFG, conn);
        }
        cluster.settle();
        let mut admin = Self { cluster };
        admin.forget();
        admin
    }

    /// Node 1 is alone on its ring, because node 2 has ended.
    fn alone() -> Self {
        let mut admin = Self::pair();
        admin.cluster.kill(2);
        admin.cluster.settle();
        admin.forget();
        admin
    }

    /// Forgets what has been told, ordered and delivered.
    fn forget(&mut self) {
        let nodes: Vec<u32> = self.cluster.nodes.keys().copied().collect();
        for node in nodes {
            self.cluster.take_told(node);
            self.cluster.take_orders(node);
            self.cluster.take_delivered(node);
        }
    }

    fn desk(&self) -> &Desk {
        &self.cluster.nodes[&1].stack.desks.admin
    }

    fn database(&self, name: &str) -> Option<&Value> {
        self.cluster.nodes[&1].stack.database().get(name)
    }

    /// Sets a key of the database at node 1.
    fn set(&mut self, name: &str, value: Value) {
        self.tell(1, |stack, _, world| stack.write(world, |database| database.set(name, value)));
    }

    /// Lets the program around a node tell it something.
    fn tell(&mut self, node: u32, what: impl FnOnce(&mut Stack, Instant, &mut World)) {
        let now = self.cluster.now;
        self.cluster.tell(node, |node| what(&mut node.stack, now, &mut node.world));
    }

    /// What the program around node 1 has been ordered by the administration and has not taken yet.
    fn orders(&self) -> Vec<Order> {
        self.cluster.nodes[&1].outcome.orders.iter().filter(|order| is_ours(order)).cloned().collect()
    }

    /// Takes what the program around a node has been ordered by the administration.
    fn take_orders(&mut self, node: u32) -> Vec<Order> {
        self.cluster.take_orders(node).into_iter().filter(is_ours).collect()
    }

    /// Runs until a deadline has passed.
    fn run_past(&mut self, deadline: Instant) {
        self.cluster.run((deadline - self.cluster.now) + Duration::from_millis(1));
    }

    fn ask(&mut self, conn: ConnId, ask: Ask<'_>) {
        self.cluster.request(1, conn, &ask.encode());
    }

    /// Sends a request; returns the one answer that comes at once.
    fn call(&mut self, conn: ConnId, ask: Ask<'_>) -> Result<Reply, NoReply> {
        assert!(!self.is_answered());
        self.ask(conn, ask);
        match &self.take_replies()[..] {
            [(to, bytes)] if *to == conn => Reply::decode(ask.number(), bytes),
            other => panic!("not one answer at once: {other:?}"),
        }
    }

    fn refused(&mut self, conn: ConnId, ask: Ask<'_>) -> Status {
        match self.call(conn, ask) {
            Err(NoReply::Refused(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    /// The status of the only reply, which must be to `conn`.
    fn verdict(&mut self, conn: ConnId, number: u16) -> Status {
        match &self.take_replies()[..] {
            [(to, bytes)] if *to == conn => status_of(number, bytes),
            other => panic!("not one answer: {other:?}"),
        }
    }

    /// Whether there are replies that have not been taken.
    fn is_answered(&self) -> bool {
        self.cluster.nodes[&1].outcome.told.iter().any(|told| matches!(told, Told::Reply(..)))
    }

    /// Takes the replies to all clients of node 1, in order. The questions to them stay.
    fn take_replies(&mut self) -> Vec<(ConnId, Bytes)> {
        let told = &mut self.cluster.node(1).outcome.told;
        let taken = told.extract_if(.., |told| matches!(told, Told::Reply(..)));
        taken
            .map(|told| match told {
                Told::Reply(conn, bytes) | Told::Event(conn, bytes, _) => (conn, bytes),
            })
            .collect()
    }

    /// The clients of node 1 that were asked before a shutdown, in order, with the flags of the questions.
    fn questions(&self) -> Vec<(ConnId, u32)> {
        let told = self.cluster.nodes[&1].outcome.told.iter();
        told.filter_map(|told| match told {
            Told::Reply(..) => None,
            Told::Event(conn, bytes, own) => {
                assert_eq!((bytes.len(), *own), (32, None));
                Some((*conn, Question::decode(bytes).unwrap().flags))
            }
        })
        .collect()
    }

    /// Waits until nothing new comes. Takes the messages of the administration of node 1 that the ring has delivered.
    fn sent(&mut self) -> Vec<Vec<u8>> {
        self.cluster.settle();
        let delivered = self.cluster.take_delivered(1).into_iter();
        delivered
            .filter(|(from, message)| *from == id(1) && service(message) == ServiceId::CFG)
            .map(|(_, message)| message.to_vec())
            .collect()
    }

    /// Multicasts a message in the name of node 2 and waits until nothing new comes.
    fn node_2_says(&mut self, message: &Exec<'_>) {
        assert!(self.cluster.say(2, &message.encode(id(2))));
        self.cluster.settle();
    }
}

/// Whether an order is one of the administration. At the end of a reload, the desk of the database orders to use the
/// settings that it then holds.
const fn is_ours(order: &Order) -> bool {
    !matches!(order, Order::Reconfigure(_) | Order::Watch(_) | Order::Logging(_))
}

/// The service of an exec message of an annulus node.
fn service(message: &[u8]) -> ServiceId {
    ServiceId(u16::from_le_bytes([message[2], message[3]]))
}

/// The status of the reply to request `number`.
fn status_of(number: u16, reply: &[u8]) -> Status {
    match Reply::decode(number, reply) {
        Ok(_) => Status::Ok,
        Err(NoReply::Refused(status)) => status,
        Err(NoReply::Malformed) => panic!("{reply:?}"),
    }
}

/// A configuration file with this line in its section totem.
fn config(totem: &str) -> Config {
    let text = format!(
        "[totem]\ntransport = \"udpu\"\n{totem}\n[[nodelist.node]]\nnodeid = 1\nring0_addr = \"127.0.0.1\"\n"
    );
    Config::from_toml(text.as_bytes(), Path::new("test.toml"), &OsHost).unwrap()
}
