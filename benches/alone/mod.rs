//! A whole node on a ring of its own, for benchmarks. Nothing is sent.

use annulus::config::timeouts::{Given, Timeouts};
use annulus::ids::{ConnId, NodeId, Seq, ServiceId};
use annulus::service::{Output, Request};
use annulus::stack::{Setup, Stack};
use annulus::time::Instant;
use annulus::totem::{Input, Params, RESERVE};

/// A node that is alone on its ring.
pub(crate) struct Alone {
    stack: Stack,
    now: Instant,
}

impl Alone {
    /// A node that accepts clients.
    pub(crate) fn new() -> Self {
        let params = Params {
            me: NodeId::new(1).expect("not 0"),
            timeouts: Timeouts::derive(&Given::default(), 1),
            netmtu: 1500,
            ring_seq: 1,
            stored: RESERVE,
            life: 1,
            origin: Seq(0),
        };
        let now = Instant::ZERO;
        let stack = Stack::new(params, Setup::default(), now).expect("the configuration is empty");
        let mut node = Self { stack, now };
        while !node.stack.accepts_clients() {
            node.turn(&mut |_| {});
        }
        node
    }

    /// Connects a client to a service.
    pub(crate) fn connect(&mut self, service: ServiceId, conn: ConnId) {
        self.stack.connected(self.now, service, conn, &mut ()).expect("it has the service");
        self.carry_out(&mut |_| {});
    }

    /// Lets time pass until the node has something to do, and lets it do that. `told` gets what it puts out.
    pub(crate) fn turn(&mut self, told: &mut dyn FnMut(Output<'_>)) {
        self.now = self.now.max(self.stack.deadline().expect("a ring has timers"));
        self.stack.handle_input(self.now, Input::Timeout);
        self.carry_out(told);
    }

    /// Hands a client's request to the node. `told` gets what the node puts out.
    pub(crate) fn request(&mut self, conn: ConnId, bytes: &[u8], told: &mut dyn FnMut(Output<'_>)) {
        self.stack.request(self.now, conn, Request { bytes, tail: &[] }, &mut ());
        self.carry_out(told);
    }

    fn carry_out(&mut self, told: &mut dyn FnMut(Output<'_>)) {
        let mut stored = None;
        while let Some(output) = self.stack.poll_output(&mut ()) {
            match output {
                Output::Store(up_to) => stored = Some(up_to),
                other => told(other),
            }
        }
        if let Some(up_to) = stored {
            self.stack.handle_input(self.now, Input::Stored(up_to));
            self.carry_out(told);
        }
    }
}
