//! Decides whose requests are read, and when.

use super::connection::Take;
use super::options::Flow;
use super::{BUDGET, Server};
use crate::ids::{ConnId, ServiceId};

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
            if let Some(found) = self.serve(conn, buf) {
                return found;
            }
        }
        None
    }

    /// Takes a request of the client at the front of the queue. `Some(None)`: a notice has to be reported first.
    pub(super) fn serve(&mut self, conn: ConnId, buf: &mut Vec<u8>) -> Option<Option<ConnId>> {
        let Some(client) = self.table.open(conn) else {
            self.ready.pop_front();
            return None;
        };
        if client.budget == 0 {
            client.budget = BUDGET;
            self.ready.rotate_left(1);
            return None;
        }
        let (service, owes) = (client.service, client.owes_replies());
        let blocked = owes || client.lingers.is_some() || !self.reads_from(service);
        let client = self.table.open(conn)?;
        let taken = if blocked { Ok(Take::Nothing) } else { client.take(buf) };
        match taken {
            Ok(Take::Request) => {
                client.budget -= 1;
                return Some(Some(conn));
            }
            Ok(Take::Nothing) => {
                client.ready = false;
                client.budget = BUDGET;
                let gone = client.hung_up && !blocked;
                self.ready.pop_front();
                if !gone {
                    return None;
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
        Some(None)
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
