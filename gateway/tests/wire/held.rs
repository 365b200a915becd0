//! Holds a thread at its system calls until somebody else says what becomes of each: it goes on, it fails, it is left out.
//! (seccomp's user notification. The filter is the thread's own, for as long as it lives.)

#![allow(unsafe_code, reason = "seccomp(2), pidfd_getfd(2)")]
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests; each file uses its part"
)]

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// A system call, and what an argument of it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) number: libc::c_long,
    argument: Option<(u32, u32)>,
}

impl Held {
    /// All of that number.
    pub(crate) const fn all(number: libc::c_long) -> Self {
        Self {
            number,
            argument: None,
        }
    }
}

/// What tells the kernel of a frame: no bytes are given.
pub(crate) const KICK: Held = Held {
    number: libc::SYS_sendto,
    argument: Some((2, 0)),
};
/// What hands the same bytes to the kernel.
pub(crate) const ENTER: Held = Held::all(libc::SYS_io_uring_enter);

/// A call that waits.
#[derive(Debug)]
pub(crate) struct Call {
    id: u64,
    pub(crate) number: libc::c_long,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    /// The descriptor that it is about.
    pub(crate) fn fd(&self) -> i32 {
        i32::try_from(self.arguments[0]).expect("small")
    }
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Goes,
    /// Is not made, and fails with this.
    Fails(i32),
    /// Is not made, and seems to succeed.
    LeftOut,
}

/// Where the calls arrive.
#[derive(Debug)]
pub(crate) struct Watch {
    listener: OwnedFd,
}

/// From here on this thread waits at these calls.
pub(crate) fn hold(calls: &[Held]) -> Watch {
    let load = u16::try_from(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS).expect("small");
    let jump = u16::try_from(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K).expect("small");
    let end = u16::try_from(libc::BPF_RET | libc::BPF_K).expect("small");
    let line = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let mut lines = Vec::new();
    for call in calls {
        lines.push(line(load, 0, 0));
        let number = u32::try_from(call.number).expect("small");
        lines.push(line(
            jump,
            if call.argument.is_some() { 4 } else { 1 },
            number,
        ));
        if let Some((at, value)) = call.argument {
            lines.push(line(load, 0, 16 + 8 * at));
            lines.push(line(jump, 1, value));
        }
        lines.push(line(end, 0, libc::SECCOMP_RET_USER_NOTIF));
        if call.argument.is_some() {
            lines.push(line(end, 0, libc::SECCOMP_RET_ALLOW));
        }
    }
    lines.push(line(end, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog {
        len: u16::try_from(lines.len()).expect("short"),
        filter: lines.as_mut_ptr(),
    };
    // SAFETY: takes plain numbers.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(result, 0);
    // SAFETY: the filter lives across the call, and is as long as it says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    Watch {
        listener: descriptor(result),
    }
}

fn descriptor(result: libc::c_long) -> OwnedFd {
    assert!(result >= 0, "{}", io::Error::last_os_error());
    // SAFETY: a fresh descriptor that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(i32::try_from(result).expect("small")) }
}

/// Without any call for so long, something hangs.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// Where a process of our own keeps its watch for [`Watch::of`].
const PLACE: i32 = 200;

impl Watch {
    /// For the process that has started this one.
    pub(crate) fn give(&self) {
        // SAFETY: takes plain numbers; nothing else is in that place.
        let result = unsafe { libc::dup2(self.listener.as_raw_fd(), PLACE) };
        assert_eq!(result, PLACE);
    }

    /// What a child gives.
    pub(crate) fn of(child: &mut Child) -> Self {
        let number = child.id();
        // SAFETY: takes plain numbers.
        let child_fd = descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) });
        let get = libc::SYS_pidfd_getfd;
        loop {
            // SAFETY: takes plain numbers.
            let result = unsafe { libc::syscall(get, child_fd.as_raw_fd(), PLACE, 0) };
            if result >= 0 {
                return Self {
                    listener: descriptor(result),
                };
            }
            assert_eq!(child.try_wait().expect("ours"), None, "it has ended");
            std::thread::yield_now();
        }
    }

    /// The next call; `None`: whoever was held has gone.
    pub(crate) fn next(&self) -> Option<Call> {
        let until = Instant::now() + SILENCE_MAX;
        while self.is_called(until) {
            // SAFETY: all zero is valid, and what the kernel wants.
            let mut told: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            let fd = self.listener.as_raw_fd();
            // SAFETY: the structure lives across the call, and is the one that the command writes.
            let result = unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut told) };
            if result == 0 {
                return Some(Call {
                    id: told.id,
                    number: told.data.nr.into(),
                    arguments: told.data.args,
                });
            }
            // ENOENT: a signal has ended the wait of whoever called. EINTR: one has come here.
            let error = io::Error::last_os_error();
            let is_known = matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR));
            assert!(is_known, "a call that cannot be taken: {error}");
        }
        None
    }

    /// Waits for a call until then; `false`: whoever was held has gone.
    fn is_called(&self, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing is called for {SILENCE_MAX:?}");
            let left_ms = i32::try_from(left.as_millis()).expect("seconds");
            let mut ready = libc::pollfd {
                fd: self.listener.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one entry, which lives across the call.
            let result = unsafe { libc::poll(&raw mut ready, 1, left_ms + 1) };
            if result == 1 {
                return ready.revents & libc::POLLIN != 0;
            }
            // EINTR: a signal has come here. 0: the time is over, which is said above.
            let error = io::Error::last_os_error();
            let is_known = result == 0 || error.raw_os_error() == Some(libc::EINTR);
            assert!(is_known, "the calls cannot be waited for: {error}");
        }
    }

    pub(crate) fn answer(&self, call: &Call, fate: Fate) {
        let (error, flags) = match fate {
            Fate::Goes => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE),
            Fate::Fails(errno) => (-errno, 0),
            Fate::LeftOut => (0, 0),
        };
        let response = libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error,
            flags: u32::try_from(flags).expect("small"),
        };
        let fd = self.listener.as_raw_fd();
        // SAFETY: the structure lives across the call, and is the one that the command reads. ENOENT: it has gone.
        unsafe { libc::ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response) };
    }
}

/// What is done at a call, and at which.
type Act = (Held, Box<dyn FnOnce(&Call) -> Fate + Send>);

/// A thread that says what becomes of this one's calls.
pub(crate) struct Hand {
    acts: Sender<Act>,
}

impl Hand {
    /// Holds this thread at these calls; each goes on, unless something else was said.
    pub(crate) fn on(calls: &[Held]) -> Self {
        let (give, given): (Sender<Watch>, Receiver<Watch>) = channel();
        let (acts, theirs): (Sender<Act>, Receiver<Act>) = channel();
        // Before the filter, which it would have, too.
        std::thread::spawn(move || {
            let watch = given.recv().expect("there is one");
            let mut waiting = VecDeque::new();
            while let Some(call) = watch.next() {
                waiting.extend(theirs.try_iter());
                let is_it = |(held, _): &Act| held.number == call.number;
                let act = waiting.iter().position(is_it);
                let fate = match act.and_then(|at| waiting.remove(at)) {
                    Some((_, act)) => act(&call),
                    None => Fate::Goes,
                };
                watch.answer(&call, fate);
            }
        });
        give.send(hold(calls)).expect("it lives");
        Self { acts }
    }

    /// What is done at the next such call of which nothing was said yet, by the other thread, while this one waits.
    pub(crate) fn at_next(&self, held: Held, act: impl FnOnce(&Call) -> Fate + Send + 'static) {
        self.acts.send((held, Box::new(act))).expect("it lives");
    }
}

/// Against a hang only.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// Until none of its threads runs: SIGCONT takes back a stop that has not come about.
pub(crate) fn until_stopped(process: &Child) {
    let tasks = || std::fs::read_dir(format!("/proc/{}/task", process.id())).expect("it lives");
    let is_stopped = |status: String| status.contains("State:\tT");
    let from = Instant::now();
    while !tasks().flatten().all(|task| {
        let status = std::fs::read_to_string(task.path().join("status"));
        status.is_ok_and(is_stopped)
    }) {
        assert!(from.elapsed() < LONG, "it runs on");
        std::thread::yield_now();
    }
}
