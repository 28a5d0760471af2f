//! The thread with a fake daemon in memory that can be slow, refuse and die.

use std::os::unix::net::UnixStream;

use super::*;
use crate::error::Status;

const PATIENCE: Duration = Duration::from_secs(60);

/// A fake daemon: records what was written; refuses while it is down.
#[derive(Clone, Default)]
struct Daemon(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    down: bool,
    told: Vec<String>,
    refused: Vec<String>,
    quorate: bool,
    /// The daemon's ends of the quorum watches.
    watches: Vec<UnixStream>,
    /// The daemon's ends of the database connections.
    connections: Vec<UnixStream>,
}

impl Daemon {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn tell(&self, line: String) -> Result<(), DeskError> {
        let mut state = self.state();
        if state.down {
            state.refused.push(line);
            return Err(DeskError::new(Status::Library, "down"));
        }
        state.told.push(line);
        Ok(())
    }

    fn set_quorate(&self, quorate: bool) {
        let mut state = self.state();
        state.quorate = quorate;
        for watch in &state.watches {
            rustix::io::write(watch, b".").unwrap();
        }
    }

    fn wait_for(&self, what: &str) {
        self.wait_in(what, |state| &state.told);
    }

    fn wait_in(&self, what: &str, lines: fn(&State) -> &Vec<String>) {
        let end = Instant::now() + PATIENCE;
        while !lines(&self.state()).iter().any(|line| line == what) {
            assert!(Instant::now() < end, "no {what:?} in {:?}", lines(&self.state()));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The descriptor hangs up when the daemon drops its end.
struct Keys(Daemon, UnixStream);

impl Registry for Keys {
    fn set_str(&mut self, key: &str, value: &str) -> Result<(), DeskError> {
        self.0.tell(format!("{key} = {value:?}"))
    }

    fn set_u64(&mut self, key: &str, value: u64) -> Result<(), DeskError> {
        self.0.tell(format!("{key} = {value}"))
    }

    fn remove(&mut self, prefix: &str) -> Result<(), DeskError> {
        self.0.tell(format!("remove {prefix}"))
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.1.as_fd())
    }
}

struct Watch(Daemon, UnixStream);

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.1.as_fd()
    }
}

impl QuorumWatch for Watch {
    fn quorate(&mut self) -> Result<bool, DeskError> {
        while matches!(rustix::io::read(&self.1, &mut [0_u8; 64]), Ok(1..)) {}
        let state = self.0.state();
        if state.down { Err(DeskError::new(Status::Library, "down")) } else { Ok(state.quorate) }
    }
}

impl Desks for Daemon {
    fn registry(&self) -> Result<Box<dyn Registry>, DeskError> {
        self.tell("connected".into())?;
        let (ours, theirs) = UnixStream::pair().unwrap();
        self.state().connections.push(theirs);
        Ok(Box::new(Keys(self.clone(), ours)))
    }

    fn quorum(&self) -> Result<Box<dyn QuorumWatch>, DeskError> {
        self.tell("watched".into())?;
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        self.state().watches.push(theirs);
        Ok(Box::new(Watch(self.clone(), ours)))
    }
}

fn policy() -> Policy {
    Policy::restart()
        .interval(Duration::from_millis(1500))
        .needs_quorum()
        .in_registry_as(Name::new("17").unwrap())
}

fn open(daemon: &Daemon) -> (Desk, Arc<Bell>) {
    let (desks, news) = (Arc::new(daemon.clone()), Arc::new(Bell::new().unwrap()));
    let desk = Desk::open(desks, Picture::of(&policy()), true, Arc::clone(&news)).unwrap();
    (desk, news)
}

fn wait_quorate(desk: &Desk, news: &Bell, quorate: bool) {
    let end = Instant::now() + PATIENCE;
    while desk.quorate() != quorate {
        assert!(Instant::now() < end, "never quorate = {quorate}");
        let limit = Timespec { tv_sec: 1, tv_nsec: 0 };
        poll(&mut [PollFd::new(news, PollFlags::IN)], Some(&limit)).unwrap();
        news.quiet();
    }
}

/// The keys, their types and their order are those of libsam.
#[test]
fn the_check_writes_what_libsam_writes_first() {
    let daemon = Daemon::default();
    check(&policy(), &daemon).unwrap();
    let expected = [
        "watched",
        "connected",
        r#"resources.process.17.recovery = "restart""#,
        "resources.process.17.poll_period = 1500",
        r#"resources.process.17.state = "stopped""#,
    ];
    assert_eq!(daemon.state().told, expected);
    daemon.state().down = true;
    assert_eq!(check(&policy(), &daemon).unwrap_err().status, Status::Library);
    check(&Policy::quit(), &daemon).unwrap();
}

#[test]
fn changes_are_written_in_order_and_before_the_end() {
    let daemon = Daemon::default();
    let (desk, _news) = open(&daemon);
    daemon.wait_for(r#"resources.process.17.state = "stopped""#);
    daemon.state().told.clear();
    desk.write(Change::Updated(7));
    desk.write(Change::State(WorkerState::Running));
    desk.write(Change::Gone);
    desk.join();
    let expected = [
        "resources.process.17.last_updated = 7",
        r#"resources.process.17.state = "running""#,
        "remove resources.process.17.",
    ];
    assert_eq!(daemon.state().told, expected);
}

#[test]
fn changes_of_quorum_reach_the_supervisor() {
    let daemon = Daemon::default();
    let (desk, news) = open(&daemon);
    daemon.wait_for("watched");
    daemon.set_quorate(true);
    wait_quorate(&desk, &news, true);
    daemon.set_quorate(false);
    wait_quorate(&desk, &news, false);
    desk.join();
}

/// A daemon that comes back gets the state as it is by then.
#[test]
fn keys_and_quorum_are_restored_when_the_daemon_comes_back() {
    let daemon = Daemon::default();
    daemon.state().quorate = true;
    let (desk, news) = open(&daemon);
    wait_quorate(&desk, &news, true);
    daemon.wait_for(r#"resources.process.17.state = "stopped""#);
    daemon.state().down = true;
    daemon.set_quorate(true); // wakes the watch, which fails
    wait_quorate(&desk, &news, false);
    desk.write(Change::Updated(8));
    desk.write(Change::State(WorkerState::Running));
    daemon.wait_in("resources.process.17.last_updated = 8", |state| &state.refused);
    {
        let mut state = daemon.state();
        state.told.clear();
        state.down = false;
    }
    wait_quorate(&desk, &news, true);
    daemon.wait_for(r#"resources.process.17.state = "running""#);
    daemon.wait_for("resources.process.17.poll_period = 1500");
    daemon.wait_for("resources.process.17.last_updated = 8");
    desk.join();
}

/// A restarted daemon has no keys. They are written again even if no value changes.
#[test]
fn keys_are_written_again_when_the_connection_hangs_up() {
    let daemon = Daemon::default();
    let (desk, _news) = open(&daemon);
    daemon.wait_for(r#"resources.process.17.state = "stopped""#);
    {
        let mut state = daemon.state();
        state.told.clear();
        state.connections.clear();
    }
    daemon.wait_for(r#"resources.process.17.state = "stopped""#);
    desk.join();
}

/// A daemon that is down does not delay the end of supervision.
#[test]
fn the_end_does_not_wait_for_a_daemon_that_is_down() {
    let daemon = Daemon::default();
    daemon.state().down = true;
    let (desk, _news) = open(&daemon);
    for at in 0..10 * u64::try_from(CHANGES).unwrap() {
        desk.write(Change::Updated(at));
        desk.write(Change::State(WorkerState::Running));
        assert!(desk.shared.changes().len() <= CHANGES);
    }
    desk.join();
    assert!(daemon.state().told.is_empty());
}
