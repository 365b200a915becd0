//! Where a thread runs and with what rights: pinning, real-time class, locked memory.
//!
//! When wrong:  each call says what the kernel refused; the caller tells the operator what is lost
//!              and goes on.

#![allow(unsafe_code, reason = "scheduler and memory-locking system calls")]

use std::io;

/// CPUs that the calling thread may run on, in order.
#[must_use]
pub fn allowed() -> Vec<usize> {
    // SAFETY: an all-zero set is a valid, empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is as large as the size given.
    let failed =
        unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0;
    if failed {
        return Vec::new();
    }
    (0..usize::try_from(libc::CPU_SETSIZE).unwrap_or(0))
        // SAFETY: the index is below `CPU_SETSIZE`.
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect()
}

/// Pins the calling thread to one CPU.
///
/// # Errors
/// `EINVAL`: the CPU does not exist or is outside the process's set.
pub fn pin(cpu: usize) -> io::Result<()> {
    pin_to(&[cpu])
}

/// Keeps the calling thread on these CPUs.
///
/// # Errors
/// `EINVAL`: none of them exists inside the process's set, or one lies beyond the largest number.
pub fn pin_to(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: an all-zero set is a valid, empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in cpus {
        if *cpu >= usize::try_from(libc::CPU_SETSIZE).unwrap_or(0) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: `cpu` was checked against `CPU_SETSIZE`.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    // SAFETY: `set` is as large as the size given; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })
}

/// Puts the calling thread into the `SCHED_FIFO` class.
///
/// # Errors
/// `EPERM`: neither `CAP_SYS_NICE` nor an `RLIMIT_RTPRIO` that high.
pub fn realtime(priority: i32) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `parameters` is valid; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameters) })
}

/// Locks all memory of the process, present and future, so that no access can fault to disk.
///
/// # Errors
/// `EPERM` or `ENOMEM`: `RLIMIT_MEMLOCK` is too low and `CAP_IPC_LOCK` is missing.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: takes flags only.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) })
}

/// What the kernel did to a thread, counted from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Time that the thread had a CPU, ns.
    pub cpu_ns: u64,
    /// The CPU was given to another thread.
    pub switches_involuntary: u32,
    /// The thread slept.
    pub switches_voluntary: u32,
    /// Pages mapped on first touch, or again.
    pub faults_minor: u32,
    /// Pages read from a disk.
    pub faults_major: u32,
}

/// What the kernel did to the calling thread. Two system calls of about 300 ns: not between two packets.
#[must_use]
pub fn thread_usage() -> Usage {
    // SAFETY: an all-zero `rusage` is valid and about to be overwritten.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid place to write.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place to write; every thread has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    let count = |value| u32::try_from(value).unwrap_or(u32::MAX);
    let part = |value| u64::try_from(value).unwrap_or(0);
    Usage {
        cpu_ns: part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec),
        switches_involuntary: count(usage.ru_nivcsw),
        switches_voluntary: count(usage.ru_nvcsw),
        faults_minor: count(usage.ru_minflt),
        faults_major: count(usage.ru_majflt),
    }
}

/// The most memory that the process ever had resident, in bytes; 0: the kernel does not say. (What
/// `getrusage` says begins with what the parent had.)
#[must_use]
pub fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_to_an_allowed_cpu_works_and_to_none_does_not() {
        let cpus = allowed();
        let last = *cpus.last().unwrap();
        std::thread::spawn(move || {
            pin(last).unwrap();
            assert_eq!(allowed(), [last]);
        })
        .join()
        .unwrap();
        assert_eq!(pin(100_000).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(pin(1023).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
