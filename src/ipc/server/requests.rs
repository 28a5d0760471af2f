//! Decides whose requests are read, and when.

use super::connection::Take;
use super::options::Flow;
use super::{BUDGET, Server};
use crate::ids::{ConnId, ServiceId};

/// What came of the turn of one client.
enum Served {
    /// It has no request now, or others have their turn first.
    Nothing,
    /// A request of it was taken.
    Request,
    /// It is gone, which has to be reported before further requests.
    Notice,
}

impl Server {
    /// Tells the clients of a service whether they may send, and stops or resumes reading their requests. A client
    /// that connects later is told before it can send.
    pub fn set_flow(&mut self, service: ServiceId, flow: Flow) {
        for endpoint in &mut self.endpoints {
            if endpoint.service == service {
                if endpoint.flow == flow {
                    return;
                }
                endpoint.flow = flow;
            }
        }
        let mut served = Vec::new();
        for client in self.table.connections_mut().filter(|client| client.service == service) {
            client.set_flow(flow);
            served.push(client.id);
        }
        if flow == Flow::Open {
            for conn in served {
                self.make_ready(conn);
            }
        }
    }

    /// Stops or resumes reading requests of a service's clients, without telling them. For short pauses.
    pub fn set_paused(&mut self, service: ServiceId, paused: bool) {
        let mut changed = false;
        for endpoint in self.endpoints.iter_mut().filter(|endpoint| endpoint.service == service) {
            changed |= std::mem::replace(&mut endpoint.paused, paused) != paused;
        }
        if changed && !paused {
            let served: Vec<ConnId> =
                self.table.connections().filter(|client| client.service == service).map(|c| c.id).collect();
            for conn in served {
                self.make_ready(conn);
            }
        }
    }

    /// Takes the next request, of the client whose turn it is.
    pub(super) fn take_request(&mut self, buf: &mut Vec<u8>) -> Option<ConnId> {
        while let Some(&conn) = self.ready.front()
            && self.turn.step()
        {
            match self.serve(conn, buf) {
                Served::Nothing => {}
                Served::Request => return Some(conn),
                Served::Notice => return None,
            }
        }
        None
    }

    /// Takes a request of the client at the front of the queue.
    fn serve(&mut self, conn: ConnId, buf: &mut Vec<u8>) -> Served {
        let Some(client) = self.table.open(conn) else {
            self.ready.pop_front();
            return Served::Nothing;
        };
        if client.budget == 0 {
            client.budget = BUDGET;
            self.ready.rotate_left(1);
            return Served::Nothing;
        }
        let (service, owes) = (client.service, client.owes_replies());
        let blocked = owes || client.lingers.is_some() || !self.reads_from(service);
        let Some(client) = self.table.open(conn) else { return Served::Nothing };
        let taken = if blocked { Ok(Take::Nothing) } else { client.take(buf) };
        match taken {
            Ok(Take::Request) => {
                client.budget -= 1;
                return Served::Request;
            }
            Ok(Take::Nothing) => {
                client.ready = false;
                client.budget = BUDGET;
                let gone = client.hung_up && !blocked;
                self.ready.pop_front();
                if !gone {
                    return Served::Nothing;
                }
                self.remove(conn);
            }
            Ok(Take::Goodbye) => {
                self.ready.pop_front();
                self.remove(conn);
            }
            Err(reason) => {
                self.ready.pop_front();
                self.throw_out(conn, &reason);
            }
        }
        Served::Notice
    }

    /// Whether requests of this service's clients are read now.
    pub(super) fn reads_from(&self, service: ServiceId) -> bool {
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.service == service);
        endpoint.is_none_or(|endpoint| endpoint.flow == Flow::Open && !endpoint.paused)
    }

    pub(super) fn make_ready(&mut self, conn: ConnId) {
        if let Some(client) = self.table.open(conn)
            && !client.ready
            && client.lingers.is_none()
        {
            client.ready = true;
            client.budget = BUDGET;
            self.ready.push_back(conn);
        }
    }
}
