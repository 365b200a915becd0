//! Counts refused system calls where they happen: the handler of SIGSYS, which has the call return `EPERM`.
//!
//! ```text
//!  call that no rule allows ──SECCOMP_RET_TRAP──> SIGSYS ──> one count a call's number, EPERM ──> the caller goes on
//!                                                              │
//!                                                 housekeeping looks once a second, and tells
//! ```
//!
//! Thread:      whichever called; a signal's handler, so it does nothing but add to atomics
//! When wrong:  where SIGSYS is blocked the kernel ends the process instead: in the C library's fork, and while it makes a thread

#![allow(
    unsafe_code,
    reason = "a signal's handler, and the registers of what it interrupted"
)]

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers with a count of their own; what lies beyond shares the last one. The largest of Linux 6.18 is below 480.
const NUMBERS: usize = 512;

/// The kernel's filter sent the signal (asm-generic/siginfo.h).
const SYS_SECCOMP: libc::c_int = 1;

static REFUSED: [AtomicU64; NUMBERS] = [const { AtomicU64::new(0) }; NUMBERS];

/// Calls refused since the start, by number: only those that were.
pub(super) fn refused() -> impl Iterator<Item = (usize, u64)> {
    let counts = REFUSED.iter().map(|count| count.load(Ordering::Relaxed));
    counts.enumerate().filter(|(_, count)| *count > 0)
}

/// Has refused calls counted, in the whole process.
///
/// # Errors
/// `EINVAL` alone is documented, for a signal that nobody may handle.
pub(super) fn install() -> io::Result<()> {
    // SAFETY: an all-zero action is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_refused;
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER | libc::SA_ONSTACK;
    // SAFETY: `action` is whole, and its handler calls nothing that a handler may not.
    let failed = unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn on_refused(_: libc::c_int, told: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel says who sent the signal, in memory that lives as long as this call.
    if unsafe { told.as_ref() }.is_none_or(|told| told.si_code != SYS_SECCOMP) {
        // Somebody's `kill -SYS`: what it interrupted made no call, and its registers are its own.
        return;
    }
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: with SA_SIGINFO the kernel gives the interrupted thread's context, which is nobody else's until we return.
    let Some(context) = (unsafe { context.as_mut() }) else {
        return;
    };
    let (number, result) = registers(context);
    *result = -i64::from(libc::EPERM) as _;
    let at = usize::try_from(number).unwrap_or(NUMBERS).min(NUMBERS - 1);
    if let Some(count) = REFUSED.get(at) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of the call, which the kernel has put back where the caller had it, and where its result goes.
#[cfg(target_arch = "x86_64")]
#[expect(
    clippy::indexing_slicing,
    reason = "an array of the kernel's, and a place of it"
)]
fn registers(context: &mut libc::ucontext_t) -> (i32, &mut i64) {
    let register = &mut context.uc_mcontext.gregs[libc::REG_RAX as usize];
    (i32::try_from(*register).unwrap_or(i32::MAX), register)
}

/// The number of the call, and where its result goes.
#[cfg(target_arch = "aarch64")]
fn registers(context: &mut libc::ucontext_t) -> (i32, &mut u64) {
    let number = i32::try_from(context.uc_mcontext.regs[8]).unwrap_or(i32::MAX);
    (number, &mut context.uc_mcontext.regs[0])
}
