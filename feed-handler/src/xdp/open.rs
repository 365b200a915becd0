//! Opens AF_XDP on an interface: down the ladder until a rung holds, and a trial on each that does.
//!
//! Thread:      start-up only

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use super::nic::{self, Attached};
use super::program::{Program, QUEUES_MAX};
use super::receiver::{QueueWatch, Watch, XdpCounters, XdpSource};
use super::socket::{SocketOptions, XskSocket};
use super::trial::{self, Refused, Trial};

pub use super::program::Wanted;

/// Drivers whose native mode is used without being asked for, each with the reason. Others have
/// frozen or crashed hosts, so they get generic mode until an operator adds them.
pub const TRUSTED_DRIVERS: [(&str, &str); 6] = [
    ("veth", "virtual pair; this project's own tests run on it"),
    (
        "virtio_net",
        "native in the kernel since 4.10, zero-copy since 6.11",
    ),
    (
        "i40e",
        "the first driver with AF_XDP zero-copy, in the kernel since 4.20",
    ),
    ("ice", "zero-copy in the kernel since 5.5"),
    ("mlx5_core", "zero-copy in the kernel since 5.3"),
    ("ixgbe", "zero-copy in the kernel since 4.20"),
];

/// Steps of the ladder, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// The driver writes into our memory.
    ZeroCopy,
    /// The program runs in the driver; one copy.
    NativeCopy,
    /// The program runs in the network stack; one copy.
    Generic,
    /// No program: plain sockets.
    KernelSocket,
}

impl std::fmt::Display for Rung {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ZeroCopy => "zero-copy",
            Self::NativeCopy => "native-copy",
            Self::Generic => "generic",
            Self::KernelSocket => "kernel-socket",
        })
    }
}

/// Where the operator wants the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Native for trusted drivers, generic for others.
    Auto,
    /// Native, whatever the driver.
    Native,
    /// Generic, whatever the driver.
    Generic,
}

/// How to open an interface.
#[derive(Clone, Debug)]
pub struct Options {
    /// The interface.
    pub interface: String,
    /// Destinations to take, each once.
    pub wanted: Vec<Wanted>,
    /// Where the program shall run.
    pub mode: Mode,
    /// The lowest rung that is good enough.
    pub require: Rung,
    /// Drivers to trust beside [`TRUSTED_DRIVERS`].
    pub trusted_drivers: Vec<String>,
    /// Receive queues to serve; empty: all of them.
    pub queues: Vec<u32>,
    /// Attach even to the interface that carries the default route.
    pub allow_default_route: bool,
    /// How long a trial waits to see wanted frames; 0: no trial.
    pub trial: Duration,
    /// Sizes of each socket.
    pub socket: SocketOptions,
}

/// One step down the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepDown {
    /// The rung that did not hold.
    pub from: Rung,
    /// The interface's driver.
    pub driver: String,
    /// What was said, with the kernel's error.
    pub why: String,
    /// What an operator can do about it.
    pub hint: &'static str,
}

/// An interface that is open.
#[derive(Debug)]
pub struct Opened {
    /// The rung that the kernel granted, read back from it. [`Rung::KernelSocket`]: the caller opens
    /// plain sockets, `source` is `None`.
    pub rung: Rung,
    /// Steps down to it.
    pub steps: Vec<StepDown>,
    /// The interface's driver.
    pub driver: String,
    /// Whether UMEM lies on huge pages.
    pub huge_pages: bool,
    /// What the trial saw.
    pub trial: Trial,
    /// Receiving end and watching end.
    pub source: Option<(XdpSource, Watch)>,
}

/// Why an interface is not open.
#[derive(Debug)]
pub enum OpenError {
    /// There is no interface of that name.
    NoInterface(String),
    /// The interface carries the default route, and the operator has not insisted.
    DefaultRoute(String),
    /// A queue that the interface has not.
    NoQueue {
        /// The queue asked for.
        queue: u32,
        /// Queues that the interface has.
        queues: u32,
    },
    /// No rung at or above the required one held.
    BelowRequired {
        /// The floor.
        require: Rung,
        /// What was tried, and why it did not hold.
        steps: Vec<StepDown>,
    },
    /// The group could not be joined.
    Join(SocketAddrV4, std::io::Error),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoInterface(name) => write!(f, "interface {name} does not exist"),
            Self::DefaultRoute(name) => write!(
                f,
                "interface {name} carries the default route; attaching XDP there can cut the host \
                 off. Set allow_default_route = true if it must be"
            ),
            Self::NoQueue { queue, queues } => {
                write!(
                    f,
                    "receive queue {queue} does not exist: the interface has {queues}"
                )
            }
            Self::BelowRequired { require, steps } => {
                write!(f, "required {require}, but")?;
                for step in steps {
                    write!(
                        f,
                        " {} failed on driver {}: {} ({})",
                        step.from, step.driver, step.why, step.hint
                    )?;
                }
                Ok(())
            }
            Self::Join(group, error) => write!(f, "joining {group} failed: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Opens an interface on the best rung that holds.
///
/// # Errors
/// See [`OpenError`].
pub fn open(options: &Options) -> Result<Opened, OpenError> {
    let index = nic::interface_index(&options.interface)
        .map_err(|_| OpenError::NoInterface(options.interface.clone()))?;
    if nic::carries_default_route(&options.interface) && !options.allow_default_route {
        return Err(OpenError::DefaultRoute(options.interface.clone()));
    }
    let queues = queues(options)?;
    let driver = nic::driver(&options.interface);
    let memberships = join_groups(options)?;
    let mut steps = Vec::new();
    for rung in rungs(options, &driver, &mut steps) {
        if rung > options.require {
            break;
        }
        if rung == Rung::KernelSocket {
            let (huge_pages, trial) = (false, Trial::Skipped);
            return Ok(Opened {
                rung,
                steps,
                driver,
                huge_pages,
                trial,
                source: None,
            });
        }
        match open_rung(options, index, rung, &queues) {
            Ok(Held {
                sockets,
                watch,
                huge_pages,
                trial,
            }) => {
                let counters = watch
                    .queues
                    .iter()
                    .map(QueueWatch::shared_counters)
                    .collect();
                let source = XdpSource::new(sockets, counters, &options.wanted, memberships);
                let source = Some((source, watch));
                return Ok(Opened {
                    rung,
                    steps,
                    driver,
                    huge_pages,
                    trial,
                    source,
                });
            }
            Err((why, hint)) => {
                steps.push(StepDown {
                    from: rung,
                    driver: driver.clone(),
                    why,
                    hint,
                });
            }
        }
    }
    Err(OpenError::BelowRequired {
        require: options.require,
        steps,
    })
}

/// The rungs to try, the best first; what is left out says why.
fn rungs(options: &Options, driver: &str, steps: &mut Vec<StepDown>) -> Vec<Rung> {
    let is_trusted = TRUSTED_DRIVERS.iter().any(|(name, _)| *name == driver)
        || options.trusted_drivers.iter().any(|name| name == driver);
    let native = match options.mode {
        Mode::Native => true,
        Mode::Generic => false,
        Mode::Auto => is_trusted,
    };
    if native {
        return vec![
            Rung::ZeroCopy,
            Rung::NativeCopy,
            Rung::Generic,
            Rung::KernelSocket,
        ];
    }
    let why = match options.mode {
        Mode::Generic => "mode = \"generic\" was asked for",
        Mode::Auto | Mode::Native => "the driver is not on the list of trusted drivers",
    };
    let hint = "add it to trusted_drivers, or set mode = \"native\", after a trial on a spare host";
    steps.push(StepDown {
        from: Rung::NativeCopy,
        driver: driver.to_owned(),
        why: why.to_owned(),
        hint,
    });
    vec![Rung::Generic, Rung::KernelSocket]
}

fn queues(options: &Options) -> Result<Vec<u32>, OpenError> {
    let count = nic::receive_queues(&options.interface).min(QUEUES_MAX);
    if let Some(queue) = options.queues.iter().find(|queue| **queue >= count) {
        return Err(OpenError::NoQueue {
            queue: *queue,
            queues: count,
        });
    }
    Ok(if options.queues.is_empty() {
        (0..count).collect()
    } else {
        options.queues.clone()
    })
}

/// Kernel sockets that only join, so that switches forward the groups.
fn join_groups(options: &Options) -> Result<Vec<socket2::Socket>, OpenError> {
    let groups = options
        .wanted
        .iter()
        .map(|wanted| wanted.address)
        .filter(|address| address.ip().is_multicast());
    groups
        .map(|group| {
            crate::udp::join_group(*group.ip(), &options.interface)
                .map_err(|error| OpenError::Join(group, error))
        })
        .collect()
}

/// A rung that holds.
struct Held {
    sockets: Vec<XskSocket>,
    watch: Watch,
    huge_pages: bool,
    trial: Trial,
}

fn open_rung(options: &Options, index: u32, rung: Rung, queues: &[u32]) -> Result<Held, Refused> {
    let told = |e: super::ProgramError| {
        (
            format!("{}: {}", e.doing, e.said),
            program_hint(e.errno.unwrap_or(0)),
        )
    };
    let mut program = Program::load(&options.wanted).map_err(told)?;
    let native = rung != Rung::Generic;
    program.attach(index, native).map_err(told)?;
    let granted = nic::attached(index).map_err(|e| (e.to_string(), "rtnetlink did not answer"))?;
    let expected = if native {
        Attached::Driver
    } else {
        Attached::Generic
    };
    if granted != expected {
        let why = format!("the kernel granted {granted:?}, not {expected:?}");
        return Err((
            why,
            "another program may sit on the interface: ip link show",
        ));
    }
    let mut sockets = Vec::new();
    let mut watches = Vec::new();
    for queue in queues {
        let zero_copy = rung == Rung::ZeroCopy;
        let socket = XskSocket::open(&options.interface, *queue, zero_copy, &options.socket)
            .map_err(|e| {
                (
                    format!("queue {queue}: {e}"),
                    socket_hint(e.raw_os_error().unwrap_or(0)),
                )
            })?;
        let plain = |e: std::io::Error| (e.to_string(), "the kernel did not say what it granted");
        if socket.is_zero_copy().map_err(plain)? != zero_copy {
            return Err((
                "the kernel did not grant the copy mode".to_owned(),
                "a driver's fault",
            ));
        }
        program.serve(*queue, socket.raw_fd()).map_err(told)?;
        let watcher = socket.watcher().map_err(plain)?;
        watches.push(QueueWatch::new(
            *queue,
            watcher,
            Arc::new(XdpCounters::default()),
        ));
        sockets.push(socket);
    }
    let huge_pages = sockets.iter().all(XskSocket::has_huge_pages);
    let trial = trial::run(&options.interface, options.trial, &program, &mut sockets)?;
    let interface = options.interface.clone();
    let watch = Watch::new(interface, program, watches);
    Ok(Held {
        sockets,
        watch,
        huge_pages,
        trial,
    })
}

fn program_hint(errno: i32) -> &'static str {
    match errno {
        libc::EPERM | libc::EACCES => "run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW",
        libc::EBUSY => "another XDP program is attached: ip link set dev IF xdp off",
        libc::EOPNOTSUPP => "the driver has no native XDP; generic mode works everywhere",
        libc::ENOMEM => "raise RLIMIT_MEMLOCK (LimitMEMLOCK=infinity)",
        libc::EINVAL => {
            "kernel 5.9 or newer is needed; receive offloads (LRO, large MTU) may forbid XDP"
        }
        libc::ENOSYS => "the kernel was built without BPF",
        _ => "see dmesg",
    }
}

fn socket_hint(errno: i32) -> &'static str {
    match errno {
        libc::EOPNOTSUPP | libc::EINVAL => "the driver has no zero-copy for this queue",
        libc::EBUSY => "another process has the queue: ss --xdp",
        libc::EPERM | libc::EACCES => "run as root or with CAP_NET_RAW",
        libc::ENOBUFS | libc::ENOMEM => "raise RLIMIT_MEMLOCK (LimitMEMLOCK=infinity)",
        libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT => {
            "the kernel was built without AF_XDP (CONFIG_XDP_SOCKETS)"
        }
        _ => "see dmesg",
    }
}
