//! Survives clients that truncate mapped ring buffer files.
//!
//! A file in `/dev/shm` that a client owns cannot be sealed, so accessing its mapping may raise SIGBUS at any time
//! (truncated file, or a hole punched into a full tmpfs). The handler replaces a registered mapping by zero pages,
//! marks it as torn, and lets the access go on. Zeros contain no valid chunk mark, so the ring buffer stops by
//! itself; its owner sees the mark and disconnects. Faults elsewhere go to the previous handler of the signal.
#![allow(unsafe_code, reason = "signal handling; a handler that maps pages")]

use std::ffi::c_void;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Most mappings registered at a time, six for each connection. Beyond it, connections are refused.
pub(super) const SLOTS: usize = 32_768;

struct Slot {
    /// Address of the mapping; 0 while the slot is free. Written last, so that `len` is valid before it.
    start: AtomicUsize,
    len: AtomicUsize,
    torn: AtomicBool,
}

static TABLE: [Slot; SLOTS] =
    [const { Slot { start: AtomicUsize::new(0), len: AtomicUsize::new(0), torn: AtomicBool::new(false) } };
        SLOTS];
/// Slots from here on were never used; this bounds the handler's search.
static USED: AtomicUsize = AtomicUsize::new(0);
static FREE: Mutex<Vec<usize>> = Mutex::new(Vec::new());
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// A registered mapping. Dropping it ends the registration, and must come before unmapping.
#[derive(Debug)]
pub(super) struct Guard(usize);

impl Guard {
    /// Registers `len` bytes from address `start` on. The first call installs the handler.
    pub(super) fn register(start: usize, len: usize) -> io::Result<Self> {
        install()?;
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let index = match free.pop() {
            Some(index) => index,
            None => {
                let next = USED.load(Ordering::Relaxed);
                if next == SLOTS {
                    return Err(io::Error::from_raw_os_error(libc::EMFILE));
                }
                USED.store(next + 1, Ordering::Release);
                next
            }
        };
        let slot = &TABLE[index];
        slot.torn.store(false, Ordering::Relaxed);
        // Mappings cover whole pages, whatever the requested length.
        slot.len.store(len.next_multiple_of(rustix::param::page_size()), Ordering::Relaxed);
        slot.start.store(start, Ordering::Release);
        Ok(Self(index))
    }

    /// Whether an access to the mapping has failed; data read there since then is zeros.
    pub(super) fn torn(&self) -> bool {
        TABLE[self.0].torn.load(Ordering::Relaxed)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        TABLE[self.0].start.store(0, Ordering::Release);
        FREE.lock().unwrap_or_else(PoisonError::into_inner).push(self.0);
    }
}

fn install() -> io::Result<()> {
    if PREVIOUS.get().is_some() {
        return Ok(());
    }
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if PREVIOUS.get().is_some() {
        return Ok(());
    }
    // SAFETY: both structs are plain data for which zeros are valid; the handler has the signature that
    // SA_SIGINFO asks for, and does only what a signal handler may (see there). The previous action is
    // read before ours is installed, so the handler finds it.
    unsafe {
        let mut previous: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut previous) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut ours: libc::sigaction = std::mem::zeroed();
        ours.sa_sigaction = handler as *const () as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let _ = PREVIOUS.set(previous);
        if libc::sigaction(libc::SIGBUS, &raw const ours, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn handler(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo. Only atomics, mmap and sigaction are used, none of which
    // takes a lock; errno is put back. The pages replaced belong to a mapping of ours: a slot is emptied
    // before its mapping goes away, and the thread that faults is inside an access to that mapping.
    unsafe {
        if (*info).si_code > 0 && cover((*info).si_addr() as usize) {
            return;
        }
        forward(signal, info, context);
    }
}

/// Puts zero pages over the registered mapping that contains `address`. Returns whether there is one.
fn cover(address: usize) -> bool {
    let used = USED.load(Ordering::Acquire);
    for slot in &TABLE[..used] {
        let start = slot.start.load(Ordering::Acquire);
        let len = slot.len.load(Ordering::Relaxed);
        if start == 0 || address < start || address - start >= len {
            continue;
        }
        // SAFETY: see `handler`.
        unsafe {
            let errno = libc::__errno_location();
            let saved = *errno;
            let covered = libc::mmap(
                start as *mut c_void,
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            );
            *errno = saved;
            if covered == libc::MAP_FAILED {
                return false;
            }
        }
        slot.torn.store(true, Ordering::Release);
        return true;
    }
    false
}

/// Does what would be done without this handler.
///
/// # Safety
/// To be called from the signal handler with its own arguments.
unsafe fn forward(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the stored action is what the kernel had; its handler is called with the signature that its
    // flags promise. With the default action put back, the faulting access runs again and ends the
    // process with the right signal; one sent by kill(2) is sent again.
    unsafe {
        let previous = PREVIOUS.get();
        match previous.map(|action| (action.sa_sigaction, action.sa_flags)) {
            Some((action, flags)) if action != libc::SIG_DFL && action != libc::SIG_IGN => {
                if flags & libc::SA_SIGINFO != 0 {
                    let next: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut c_void) =
                        std::mem::transmute(action);
                    next(signal, info, context);
                } else {
                    let next: extern "C" fn(libc::c_int) = std::mem::transmute(action);
                    next(signal);
                }
            }
            Some((libc::SIG_IGN, _)) if (*info).si_code <= 0 => {}
            _ => {
                let mut default: libc::sigaction = std::mem::zeroed();
                default.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const default, std::ptr::null_mut());
                if (*info).si_code <= 0 {
                    libc::raise(signal);
                }
            }
        }
    }
}
