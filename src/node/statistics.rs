//! Statistics of what surrounds the stack, under the names of Corosync's statistics map: clients, and times at which
//! this process was late.
//!
//! Source: corosync `exec/stats.c`, `exec/ipc_glue.c`; `cmap_keys(7)`.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use super::stalls::Stalls;
use crate::ids::{ConnId, ServiceId};
use crate::ipc::{About, Counters, Server};
use crate::service::OWN;
use crate::value::Value;

/// Most entries about lateness kept, newest first. Source: corosync `stats.h`.
const LATE_LIMIT: usize = 10;

const CLIENTS: &str = "stats.ipcs.";
const LATE: &str = "stats.schedmiss.";

/// Facts about clients and lateness that the server does not count.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The program names of the clients.
    programs: HashMap<ConnId, Box<str>>,
    /// Time since the epoch, and by how much the process was late.
    late: VecDeque<(Duration, Duration)>,
    /// How long the ring's sockets were not looked at.
    pub(super) stalls: Stalls,
    /// How often this process did not run, and for how long at most.
    pauses: (u64, Duration),
}

impl Log {
    /// Notes a new client.
    pub(super) fn came(&mut self, conn: ConnId, pid: u32) {
        self.programs.insert(conn, program(pid).into());
    }

    /// Notes that a client is gone.
    pub(super) fn went(&mut self, conn: ConnId) {
        self.programs.remove(&conn);
    }

    /// Notes that this process did not run for so long. Corosync counts what is longer than 0.8 of the token time-out.
    pub(super) fn was_away(&mut self, time: Duration, token: Duration) {
        self.pauses = (self.pauses.0 + 1, self.pauses.1.max(time));
        if time > token.mul_f64(0.8) {
            self.was_late(time);
        }
    }

    fn was_late(&mut self, by: Duration) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.late.truncate(LATE_LIMIT - 1);
        self.late.push_front((now, by));
    }

    /// Clears the entries about lateness, the pauses and the stalls.
    pub(super) fn clear_late(&mut self) {
        self.late.clear();
        self.pauses = (0, Duration::ZERO);
        self.stalls.clear();
    }

    /// The statistics whose names begin with `prefix`, ascending. `local` are connections from code in this process.
    pub(super) fn statistics(
        &self,
        prefix: &str,
        server: Option<&Server>,
        local: impl Iterator<Item = (ConnId, ServiceId)>,
    ) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        if overlap(CLIENTS, prefix) {
            self.clients(prefix, server, local, &mut all);
        }
        if overlap(LATE, prefix) {
            for (n, (at, by)) in self.late.iter().enumerate() {
                all.push((format!("{LATE}{n}.delay"), Value::F32(by.as_secs_f32() * 1e3)));
                let ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
                all.push((format!("{LATE}{n}.timestamp"), Value::U64(ms)));
            }
        }
        if prefix.starts_with(OWN) {
            let ms = self.stalls.longest().as_secs_f32() * 1e3;
            all.push((format!("{OWN}longest_pause"), Value::F32(self.pauses.1.as_secs_f32() * 1e3)));
            all.push((format!("{OWN}longest_stall"), Value::F32(ms)));
            all.push((format!("{OWN}pauses"), Value::U64(self.pauses.0)));
            all.push((format!("{OWN}stalls"), Value::U64(self.stalls.count())));
        }
        all.retain(|(name, _)| name.starts_with(prefix));
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    fn clients(
        &self,
        prefix: &str,
        server: Option<&Server>,
        local: impl Iterator<Item = (ConnId, ServiceId)>,
        all: &mut Vec<(String, Value)>,
    ) {
        let mut active = 0;
        let mut client = |about: Option<About>, conn: ConnId, service: ServiceId, pid: u32| {
            active += 1;
            let start = format!("{CLIENTS}service{}.{pid}.{:#x}.", service.0, conn.0);
            if !overlap(&start, prefix) {
                return;
            }
            let program = match about {
                Some(_) => self.programs.get(&conn).map_or("", |name| name),
                None => own_program(),
            };
            let Counters { requests, responses, dispatched, send_retries, sent, flow_control, .. } =
                about.map(|about| about.counters).unwrap_or_default();
            let Counters { invalid_request, overload, .. } =
                about.map(|about| about.counters).unwrap_or_default();
            let queued = about.map_or(0, |about| u32::try_from(about.queued).unwrap_or(u32::MAX));
            let values = [
                ("dispatched", Value::U64(dispatched)),
                ("flow_control", Value::U32(about.map_or(0, |about| about.flow))),
                ("flow_control_count", Value::U64(flow_control)),
                ("invalid_request", Value::U64(invalid_request)),
                ("overload", Value::U64(overload)),
                ("procname", Value::text(program)),
                ("queued", Value::U32(queued)),
                ("queueing", Value::I32(i32::from(queued > 0))),
                ("recv_retries", Value::U64(0)),
                ("requests", Value::U64(requests)),
                ("responses", Value::U64(responses)),
                ("send_retries", Value::U64(send_retries)),
                ("sent", Value::U32(sent)),
            ];
            all.extend(values.into_iter().map(|(name, value)| (format!("{start}{name}"), value)));
        };
        // For a request about one client, the names of all others need not be made.
        if let Some(conn) = named(prefix) {
            if let Some(about) = server.and_then(|server| server.about(conn)) {
                client(Some(about), about.conn, about.service, about.peer.pid);
            }
            for (conn, service) in local.filter(|(local, _)| *local == conn) {
                client(None, conn, service, std::process::id());
            }
            return;
        }
        for about in server.into_iter().flat_map(Server::clients) {
            client(Some(about), about.conn, about.service, about.peer.pid);
        }
        for (conn, service) in local {
            client(None, conn, service, std::process::id());
        }
        let closed = server.map_or(0, |server| server.stats().closed);
        all.push((format!("{CLIENTS}global.active"), Value::U64(active)));
        all.push((format!("{CLIENTS}global.closed"), Value::U64(closed)));
    }
}

/// The one client whose statistics can begin with `prefix`, if the prefix contains its whole number.
fn named(prefix: &str) -> Option<ConnId> {
    let mut parts = prefix.strip_prefix(CLIENTS)?.split('.');
    let (_service, _pid, conn) = (parts.next()?, parts.next()?, parts.next()?);
    // Without a dot after it, the number may be incomplete.
    parts.next()?;
    u64::from_str_radix(conn.strip_prefix("0x")?, 16).ok().map(ConnId)
}

/// Whether a name can begin with both `start` and `prefix`.
pub(super) fn overlap(start: &str, prefix: &str) -> bool {
    start.starts_with(prefix) || prefix.starts_with(start)
}

/// The program name of a process as in `/proc/PID/comm`, at most 15 bytes; empty if the process is gone.
fn program(pid: u32) -> String {
    // The kernel generates this file: reading it never waits for a disk and, unlike `stat`, not for the process's
    // threads.
    let Ok(name) = std::fs::read(format!("/proc/{pid}/comm")) else { return String::new() };
    String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).replace('\0', "")
}

fn own_program() -> &'static str {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| program(std::process::id()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ten_late_times_are_kept_newest_first() {
        let mut log = Log::default();
        for ms in 0..15 {
            log.was_late(Duration::from_millis(ms));
        }
        let found = log.statistics("stats.schedmiss.", None, std::iter::empty());
        assert_eq!(found.len(), 20);
        assert_eq!(found[0], ("stats.schedmiss.0.delay".to_owned(), Value::F32(14.0)));
        assert_eq!(found[18], ("stats.schedmiss.9.delay".to_owned(), Value::F32(5.0)));
        log.clear_late();
        assert!(log.statistics("stats.schedmiss.", None, std::iter::empty()).is_empty());
    }

    #[test]
    fn pauses_are_counted_and_long_ones_listed_as_corosync_does() {
        let mut log = Log::default();
        let token = Duration::from_secs(1);
        for ms in [600, 7000, 800] {
            log.was_away(Duration::from_millis(ms), token);
        }
        let found = log.statistics("stats.annulus.", None, std::iter::empty());
        assert!(found.contains(&("stats.annulus.pauses".to_owned(), Value::U64(3))));
        assert!(found.contains(&("stats.annulus.longest_pause".to_owned(), Value::F32(7000.0))));
        assert_eq!(log.statistics("stats.schedmiss.", None, std::iter::empty()).len(), 2, "one entry");
        log.clear_late();
        let found = log.statistics("stats.annulus.pauses", None, std::iter::empty());
        assert_eq!(found, [("stats.annulus.pauses".to_owned(), Value::U64(0))]);
    }

    #[test]
    fn connections_from_this_process_are_listed_under_its_pid() {
        let log = Log::default();
        let local = || [(ConnId(7), ServiceId::CPG)].into_iter();
        let all = log.statistics("", None, local());
        assert!(all.is_sorted_by(|(a, _), (b, _)| a < b));
        let pid = std::process::id();
        let name = format!("stats.ipcs.service2.{pid}.0x7.procname");
        let found = log.statistics(&name, None, local());
        assert_eq!(found, [(name.clone(), Value::text(own_program()))]);
        assert!(!own_program().is_empty());
        assert!(log.statistics(&name.replace("0x7", "0x70"), None, local()).is_empty());
        assert!(log.statistics(&name.replace("service2", "service3"), None, local()).is_empty());
        let start = &name[..name.len() - ".procname".len()];
        assert_eq!(log.statistics(start, None, local()).len(), 13);
        assert_eq!(all.iter().find(|(name, _)| name == "stats.ipcs.global.active").unwrap().1, Value::U64(1));
    }
}
