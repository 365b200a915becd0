//! What each kind of thread may do once everything is open: system calls, paths, ports, capabilities. Data, made from options.
//!
//! Invariants:  no kernel is asked here. A hot core may call nothing that housekeeping may not. No call is both allowed and
//!              deadly.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::options::Options;
use crate::service::certificate;

/// Whose thread enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A pinned core: sockets and rings that are open, connections to the exchange, no file.
    Hot,
    /// Housekeeping and whatever it has begun since: journal, capture, recovery, control socket.
    House,
}

/// When a call is allowed: each condition of one of its rules must hold; a call without rules is always allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The argument is this value.
    Is(u8, u64),
    /// The argument is another value.
    IsNot(u8, u64),
    /// The argument, masked with the first value, is the second.
    Masked(u8, u64, u64),
}

/// Calls by number, each with the rules of which one must hold.
pub type Calls = BTreeMap<i64, Vec<Vec<Condition>>>;

/// A capability that may be needed after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Busy polling of a socket that a session opens anew; taking an XDP program off an interface.
    NetAdmin,
    /// Maps of BPF programs, where the kernel is older than 5.19 or its administrator strict.
    Bpf,
    /// New memory of a process whose memory is locked.
    IpcLock,
}

/// Everything that the sandbox is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Folders in which files are made, written, renamed and removed.
    pub folders: BTreeSet<PathBuf>,
    /// Files and folders that are only read.
    pub read: Vec<PathBuf>,
    /// TCP ports to which connections are opened, at any address: that is what the kernel can tell apart.
    pub ports: BTreeSet<u16>,
    /// Capabilities that stay.
    pub needs: BTreeSet<Need>,
    /// BPF programs of ours run: a feed by AF_XDP, or a delegated session.
    pub has_programs: bool,
    /// A connection has any free port before it connects: a delegated session's.
    pub binds: bool,
}

/// What is read late, beside the configuration: the time zone, interfaces, what the slow-order recorder asks of CPUs, the devices of the runtime.
const READ: [&str; 11] = [
    "/proc/cpuinfo",
    "/proc/interrupts",
    "/proc/stat",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/osrelease",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/sys/class/net",
    "/sys/devices",
    "/dev/null",
    "/dev/urandom",
];

impl Policy {
    /// What these options need after the start.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        let mut folders = BTreeSet::new();
        folders.extend(options.state_dir.clone());
        folders.extend(options.output.hgrm_dir.clone());
        if let Some(journal) = &options.journal {
            folders.insert(journal.folder.clone());
            folders.extend(journal.drop_copy.as_deref().map(folder_of));
        }
        for file in [
            &options.kill_page,
            &options.output.json,
            &options.output.slow_orders,
        ] {
            folders.extend(file.as_deref().map(folder_of));
        }
        let captures = options
            .feeds
            .iter()
            .filter_map(|feed| feed.capture.as_ref());
        folders.extend(captures.map(|capture| capture.folder.clone()));
        let mut ports = BTreeSet::new();
        for session in &options.sessions {
            let addresses = session.credentials.addresses.all();
            ports.extend(addresses.iter().map(|address| address.port()));
        }
        let recoveries = options
            .feeds
            .iter()
            .filter_map(|feed| feed.recovery.as_ref());
        ports.extend(recoveries.flat_map(|it| it.snapshot_servers.iter().map(|at| at.port())));
        let has_xdp = options.feeds.iter().any(|feed| !feed.xdp.is_empty());
        let has_lane = (options.sessions.iter()).any(|it| it.way.name() == "delegated");
        let polls = (options.sessions.iter()).any(|it| it.transport.busy_poll_us > 0);
        let has_programs = has_xdp || has_lane;
        let needs = [
            (has_programs || polls, Need::NetAdmin),
            (has_programs, Need::Bpf),
            (options.lock_memory, Need::IpcLock),
        ];
        // A file that an editor has written anew is another one: what can be named is its folder.
        let configuration = options.configuration.as_deref().map(folder_of);
        let of_host = options.certificate.as_ref().map(|_| certificate::READ);
        let read = READ.iter().map(PathBuf::from).chain(configuration);
        let read = read.chain(of_host.into_iter().flatten().map(PathBuf::from));
        Self {
            folders,
            read: read.collect(),
            ports,
            needs: (needs.into_iter().filter(|(is_needed, _)| *is_needed))
                .map(|(_, need)| need)
                .collect(),
            has_programs,
            binds: has_lane,
        }
    }

    /// What a thread of this kind of the process `pid` may call.
    #[must_use]
    pub fn allowed(&self, kind: Kind, pid: u32) -> Calls {
        let mut calls: Calls = HOT.iter().map(|call| (*call, Vec::new())).collect();
        let both = [libc::AF_INET, libc::AF_NETLINK];
        let house = [libc::AF_INET, libc::AF_NETLINK, libc::AF_UNIX];
        let families: &[i32] = match kind {
            Kind::Hot => &both,
            Kind::House => &house,
        };
        let is_family = |family: &i32| vec![Condition::Is(0, u64::from(family.unsigned_abs()))];
        calls.insert(libc::SYS_socket, families.iter().map(is_family).collect());
        // Nothing becomes executable any more, and an abort is a signal to oneself.
        let not_code = vec![vec![Condition::Masked(2, PROT_EXEC, 0)]];
        calls.insert(libc::SYS_mmap, not_code.clone());
        calls.insert(libc::SYS_mprotect, not_code);
        calls.insert(
            libc::SYS_tgkill,
            vec![vec![Condition::Is(0, u64::from(pid))]],
        );
        // Nobody types into the operator's terminal.
        let no_typing = [TIOCSTI, TIOCLINUX].map(|it| Condition::IsNot(1, it));
        calls.insert(libc::SYS_ioctl, vec![no_typing.to_vec()]);
        if self.has_programs {
            let commands = BPF_COMMANDS.iter().map(|it| vec![Condition::Is(0, *it)]);
            calls.insert(libc::SYS_bpf, commands.collect());
        }
        if kind == Kind::House {
            calls.extend(HOUSE.iter().map(|call| (*call, Vec::new())));
            calls.extend(HOUSE_OLD.iter().map(|call| (*call, Vec::new())));
            // Its flags lie in memory, where no filter sees them: `ABSENT` has the C library use clone instead.
            calls.insert(libc::SYS_clone3, Vec::new());
            let thread = Condition::Masked(0, CLONE_THREAD, CLONE_THREAD);
            calls.insert(libc::SYS_clone, vec![vec![thread]]);
            let names = [PR_SET_NAME, PR_SET_VMA].map(|it| vec![Condition::Is(0, it)]);
            calls.insert(libc::SYS_prctl, names.to_vec());
            calls.insert(libc::SYS_prlimit64, vec![vec![Condition::Is(2, 0)]]);
        }
        calls
    }

    /// What ends the process: nothing of it has an honest reason in a gateway that trades.
    #[must_use]
    pub fn deadly(&self) -> Vec<i64> {
        let programs = (!self.has_programs).then_some(libc::SYS_bpf);
        DEADLY.iter().copied().chain(programs).collect()
    }

    /// What it will do, a line each, for `tickgate check`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let folders: Vec<String> = (self.folders.iter())
            .map(|it| it.display().to_string())
            .collect();
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let needs: Vec<String> = self.needs.iter().map(|it| format!("{it:?}")).collect();
        let or_none = |all: Vec<String>| match all.is_empty() {
            true => "none".to_owned(),
            false => all.join(", "),
        };
        vec![
            format!("writes below {}", or_none(folders)),
            format!("connects by TCP to ports {}", or_none(ports)),
            format!("keeps capabilities {}", or_none(needs)),
            format!(
                "hot cores may call {} system calls, others {}; {} end the process",
                self.allowed(Kind::Hot, 0).len(),
                self.allowed(Kind::House, 0).len(),
                self.deadly().len()
            ),
        ]
    }
}

/// The folder that a file lies in, by its whole name: a name alone lies in the current one, wherever that is.
fn folder_of(file: &Path) -> PathBuf {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

// <linux/mman.h>, <linux/sched.h>, <linux/prctl.h>, <asm-generic/ioctls.h>: as the kernel sees an argument.
const PROT_EXEC: u64 = 4;
const CLONE_THREAD: u64 = 0x1_0000;
const PR_SET_NAME: u64 = 15;
const PR_SET_VMA: u64 = 0x5356_4d41;
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// <linux/bpf.h>: look up, update, delete, next key, detach a program, what is known of an object, detach a link. Nothing
/// that makes a map or loads a program.
const BPF_COMMANDS: [u64; 7] = [1, 2, 3, 4, 9, 15, 34];

/// A hot core: its ring and its sockets, a connection anew, memory given back, its own end.
const HOT: [i64; 46] = [
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_ppoll,
    libc::SYS_fcntl,
    libc::SYS_getrusage,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_munlock,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Beside what a hot core may: files in the folders that Landlock leaves, threads, clients of the control socket.
const HOUSE: [i64; 47] = [
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_lseek,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_linkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_getcwd,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_fadvise64,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_flock,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_io_uring_setup,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_socketpair,
    libc::SYS_mlock,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_uname,
    libc::SYS_sysinfo,
];

/// Calls that the C library still makes on x86-64, and newer machines never had.
#[cfg(target_arch = "x86_64")]
const HOUSE_OLD: [i64; 13] = [
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_link,
    libc::SYS_rename,
    libc::SYS_readlink,
    libc::SYS_access,
    libc::SYS_chmod,
    libc::SYS_poll,
    libc::SYS_epoll_wait,
];
#[cfg(not(target_arch = "x86_64"))]
const HOUSE_OLD: [i64; 0] = [];

/// Calls that are said to be unknown to this kernel (ENOSYS), whatever else is said of them.
pub const ABSENT: [i64; 1] = [libc::SYS_clone3];

/// Another program, another process's memory, another kernel, other mounts, other rights: only somebody who has taken the
/// gateway over asks for these.
const DEADLY: [i64; 33] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_setuid,
    libc::SYS_setresuid,
    libc::SYS_acct,
    libc::SYS_settimeofday,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn policies() -> [Policy; 2] {
        [false, true].map(|has_programs| Policy {
            has_programs,
            ..Policy::default()
        })
    }

    #[test]
    fn hot_core_may_call_nothing_that_housekeeping_may_not() {
        for policy in policies() {
            let [hot, house] = [Kind::Hot, Kind::House].map(|kind| policy.allowed(kind, 7));
            for (call, rules) in &hot {
                let of_house = house.get(call).expect("housekeeping may call it");
                assert!(rules.iter().all(|rule| of_house.contains(rule)), "{call}");
            }
            for call in [
                libc::SYS_openat,
                libc::SYS_clone,
                libc::SYS_unlinkat,
                libc::SYS_listen,
            ] {
                assert!(
                    !hot.contains_key(&call) && house.contains_key(&call),
                    "{call}"
                );
            }
        }
    }

    #[test]
    fn no_call_is_both_allowed_and_deadly_and_bpf_is_one_of_them() {
        for policy in policies() {
            let house = policy.allowed(Kind::House, 7);
            let deadly = policy.deadly();
            assert!(deadly.iter().all(|call| !house.contains_key(call)));
            assert_eq!(deadly.contains(&libc::SYS_bpf), !policy.has_programs);
            assert_eq!(house.contains_key(&libc::SYS_bpf), policy.has_programs);
        }
    }

    #[test]
    fn processes_executable_memory_and_signals_to_others_are_never_allowed() {
        let house = Policy::default().allowed(Kind::House, 7);
        for call in [
            libc::SYS_ptrace,
            libc::SYS_kill,
            libc::SYS_seccomp,
            libc::SYS_capset,
        ] {
            assert!(!house.contains_key(&call), "{call}");
        }
        let thread = Condition::Masked(0, CLONE_THREAD, CLONE_THREAD);
        assert_eq!(house[&libc::SYS_clone], [[thread]]);
        let not_code = Condition::Masked(2, PROT_EXEC, 0);
        assert_eq!(house[&libc::SYS_mmap], [[not_code]]);
        assert_eq!(house[&libc::SYS_mprotect], [[not_code]]);
        assert_eq!(house[&libc::SYS_tgkill], [[Condition::Is(0, 7)]]);
    }

    #[test]
    fn file_without_a_folder_lies_in_the_current_one_which_is_named() {
        let current = std::env::current_dir().unwrap();
        for (file, folder) in [("a", current.clone()), ("b/a", current.join("b"))] {
            assert_eq!(folder_of(Path::new(file)), folder);
        }
        for (file, folder) in [("/a", "/"), ("/b/c/a", "/b/c")] {
            assert_eq!(folder_of(Path::new(file)), Path::new(folder));
        }
    }
}
