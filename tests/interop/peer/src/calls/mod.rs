//! Every call that the crate binds of the five libraries, one after the other, and its result in words.
//!
//! The lines are the same on every run in the same state: the program's own process id is printed as `me`, and ring
//! numbers are left out. Between `before` and the line `go` on standard input, the test may end the daemon; the lines
//! that follow are what the libraries report without one.

mod cfg;
mod cmap;
mod cpg;
mod quorum;
mod votequorum;

use rust_corosync::{CsError, DispatchFlags, Result as CsResult};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt::Debug;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Texts of callbacks that have not been printed yet.
static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the text of a callback. It is static, as the libraries' callbacks carry no user data.
fn hear(words: String) {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner).push(words);
}

/// Prints the result of a call.
fn tell<T: Debug>(call: &str, result: CsResult<T>) -> Option<T> {
    match result {
        Ok(value) => {
            println!("{call}: {value:?}");
            Some(value)
        }
        Err(error) => {
            println!("{call}: error {} {error}", error as u32);
            None
        }
    }
}

/// Repeats a call while the daemon says TRY_AGAIN.
fn patiently<T>(call: impl Fn() -> CsResult<T>) -> CsResult<T> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match call() {
            Err(CsError::CsErrTryAgain) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

/// Dispatches until a callback has reported `word` and no more events are waiting; prints all of them.
fn listen(name: &str, fd: CsResult<i32>, word: &str, dispatch: impl Fn(DispatchFlags) -> CsResult<()>) {
    let Ok(fd) = fd else {
        println!("{name}: no descriptor");
        return;
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut quiet = false;
    while Instant::now() < deadline && !quiet {
        // SAFETY: the descriptor belongs to the library and is open as long as its handle, which the caller holds.
        let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
        let mut wait = [PollFd::new(&borrowed, PollFlags::IN)];
        let said =
            HEARD.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|line| line.contains(word));
        let timeout = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
        match poll(&mut wait, Some(&timeout)) {
            Ok(0) => quiet = said,
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) => match dispatch(DispatchFlags::All) {
                Ok(()) | Err(CsError::CsErrTryAgain) => {}
                Err(error) => {
                    println!("{name}: error {} {error}", error as u32);
                    break;
                }
            },
            Err(error) => {
                println!("{name}: {error}");
                break;
            }
        }
    }
    for line in HEARD.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        println!("{name}: {line}");
    }
}

/// Makes all calls of all libraries.
pub fn run() -> Result<(), String> {
    let fail = |what: &str| format!("{what} could not be reached");
    let cmap = cmap::Calls::new().ok_or_else(|| fail("cmap"))?;
    let cpg = cpg::Calls::new().ok_or_else(|| fail("cpg"))?;
    let quorum = quorum::Calls::new().ok_or_else(|| fail("quorum"))?;
    let votequorum = votequorum::Calls::new().ok_or_else(|| fail("votequorum"))?;
    let cfg = cfg::Calls::new().ok_or_else(|| fail("cfg"))?;
    cmap.all();
    cpg.all();
    quorum.all();
    votequorum.all();
    cfg.all();
    println!("before");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| error.to_string())?;
    cmap.after();
    cpg.after();
    quorum.after();
    votequorum.after();
    cfg.after();
    println!("after");
    Ok(())
}
