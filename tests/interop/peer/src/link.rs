//! The connection to the daemon: libcpg's calls, repeated while the daemon says TRY_AGAIN.
//!
//! libcpg's callbacks carry no user data, so each mode keeps what its callbacks need in a static.

use rust_corosync::cpg::{self, Guarantee, Handle, Model1Data, Model1Flags, ModelData};
use rust_corosync::{CsError, DispatchFlags};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use rust_corosync::NodeId;
pub use rust_corosync::cpg::{Address, RingId};

/// The callbacks of a mode.
pub struct Callbacks {
    /// Called with each message: sender's node id, process id, and bytes.
    pub message: fn(u32, u32, &[u8]),
    /// Called with each view of the group: members, processes that left, processes that joined.
    pub members: fn(&[Address], &[Address], &[Address]),
    /// Called with each new ring: its id and nodes.
    pub ring: fn(RingId, &[NodeId]),
}

static CALLBACKS: std::sync::OnceLock<Callbacks> = std::sync::OnceLock::new();

fn on_message(_: &Handle, _group: String, node: NodeId, pid: u32, bytes: &[u8], _: usize) {
    (CALLBACKS.get().expect("set before the connection").message)(u32::from(node), pid, bytes);
}

fn on_members(_: &Handle, _: &str, members: Vec<Address>, left: Vec<Address>, joined: Vec<Address>) {
    (CALLBACKS.get().expect("set before the connection").members)(&members, &left, &joined);
}

fn on_ring(_: &Handle, ring: RingId, members: Vec<NodeId>) {
    (CALLBACKS.get().expect("set before the connection").ring)(ring, &members);
}

/// A connection that has joined the group.
pub struct Link {
    handle: Handle,
    group: String,
    /// libqb's request ring buffer permits one writer at a time.
    writing: Mutex<()>,
    retry: Duration,
    /// This host's node id.
    pub node: u32,
}

impl Link {
    /// Connects, waiting up to 60 s until the daemon accepts clients, and joins `group`.
    pub fn join(group: &str, retry: Duration, callbacks: Callbacks) -> Result<Self, String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        CALLBACKS.set(callbacks).map_err(|_| "only one connection a process".to_owned())?;
        let model = ModelData::ModelV1(Model1Data {
            flags: Model1Flags::None,
            deliver_fn: Some(on_message),
            confchg_fn: Some(on_members),
            totem_confchg_fn: Some(on_ring),
        });
        let handle = patiently("cpg_model_initialize", deadline, || cpg::initialize(&model, 0))?;
        let node = patiently("cpg_local_get", deadline, || cpg::local_get(&handle))?;
        patiently("cpg_join", deadline, || cpg::join(&handle, group))?;
        Ok(Self { handle, group: group.to_owned(), writing: Mutex::new(()), retry, node: u32::from(node) })
    }

    /// Asks to leave the group. The leave is complete with the view without this process.
    pub fn leave(&self, deadline: Instant) -> Result<(), String> {
        patiently("cpg_leave", deadline, || cpg::leave(&self.handle, &self.group))
    }

    /// Sends a message, and repeats that while the daemon says TRY_AGAIN, until `deadline` or until `over` is set.
    /// Returns the number of refusals.
    pub fn send(&self, bytes: &[u8], deadline: Instant, over: &AtomicBool) -> Result<u64, String> {
        let mut refusals = 0;
        loop {
            let sent = {
                let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
                cpg::mcast_joined(&self.handle, Guarantee::TypeAgreed, bytes)
            };
            match sent {
                Ok(()) => return Ok(refusals),
                Err(CsError::CsErrTryAgain) if over.load(Ordering::Relaxed) => return Ok(refusals),
                Err(CsError::CsErrTryAgain) if Instant::now() < deadline => {
                    refusals += 1;
                    if self.retry.is_zero() {
                        std::thread::yield_now();
                    } else {
                        std::thread::sleep(self.retry);
                    }
                }
                Err(error) => return Err(format!("cpg_mcast_joined: {error} (CS_ERR {})", error as u32)),
            }
        }
    }

    /// Waits up to `patience` for events and passes them to the callbacks.
    pub fn dispatch(&self, patience: Duration) -> Result<(), String> {
        self.dispatch_as(DispatchFlags::All, patience)
    }

    /// Waits for an event and handles one, so that it returns also while events keep coming.
    pub fn dispatch_next(&self, patience: Duration) -> Result<(), String> {
        self.dispatch_as(DispatchFlags::One, patience)
    }

    fn dispatch_as(&self, flags: DispatchFlags, patience: Duration) -> Result<(), String> {
        let fd = cpg::fd_get(&self.handle).map_err(|error| format!("cpg_fd_get: {error}"))?;
        // SAFETY: the descriptor belongs to libcpg and is open as long as the handle, which `self` owns.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let mut wait = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
        match rustix::event::poll(&mut wait, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(()),
            Ok(_) => match cpg::dispatch(&self.handle, flags) {
                Ok(()) | Err(CsError::CsErrTryAgain) => Ok(()),
                Err(error) => Err(format!("cpg_dispatch: {error} (CS_ERR {})", error as u32)),
            },
            Err(error) => Err(format!("poll on libcpg's descriptor: {error}")),
        }
    }

    /// Waits for one event, without a limit, and passes it to its callback.
    pub fn dispatch_one(&self) -> Result<(), String> {
        match cpg::dispatch(&self.handle, DispatchFlags::One) {
            Ok(()) | Err(CsError::CsErrTryAgain) => Ok(()),
            Err(error) => Err(format!("cpg_dispatch: {error} (CS_ERR {})", error as u32)),
        }
    }
}

/// Repeats a call while the daemon does not run yet or is busy.
fn patiently<T>(
    what: &str,
    deadline: Instant,
    call: impl Fn() -> rust_corosync::Result<T>,
) -> Result<T, String> {
    loop {
        match call() {
            Ok(value) => return Ok(value),
            Err(
                CsError::CsErrTryAgain | CsError::CsErrLibrary | CsError::CsErrBusy | CsError::CsErrNotExist,
            ) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(format!("{what}: {error} (CS_ERR {})", error as u32)),
        }
    }
}
