//! Opens AF_XDP on an interface: down the ladder until a rung holds, and a trial on each that does.
//!
//! Thread:      start-up only

use std::net::SocketAddrV4;

use super::interfaces::{Attempt, Held, Interfaces};
use super::nic;
use super::options::{Mode, Options, Rung};
use super::program::QUEUES_MAX;
use super::receiver::{QueueWatch, Watch, XdpSource};
use super::trial::Trial;

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
    /// Another feed of this process takes the packets of this destination there.
    Taken(SocketAddrV4),
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
            Self::Taken(address) => write!(
                f,
                "another feed has {address} on this interface; expected a destination of its own"
            ),
            Self::Join(group, error) => write!(f, "joining {group} failed: {error}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Opens an interface for the only feed of this process there, on the best rung that holds.
///
/// # Errors
/// See [`OpenError`].
pub fn open(options: &Options) -> Result<Opened, OpenError> {
    Interfaces::for_feeds([options]).open(options)
}

impl Interfaces {
    /// Opens an interface for one of the feeds there, on the best rung that holds beside those that are open.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&mut self, options: &Options) -> Result<Opened, OpenError> {
        let index = nic::interface_index(&options.interface)
            .map_err(|_| OpenError::NoInterface(options.interface.clone()))?;
        if nic::carries_default_route(&options.interface) && !options.allow_default_route {
            return Err(OpenError::DefaultRoute(options.interface.clone()));
        }
        if let Some(address) = self.taken(options) {
            return Err(OpenError::Taken(address));
        }
        let queues = queues(options)?;
        let driver = nic::driver(&options.interface);
        let memberships = join_groups(options)?;
        let mut steps = Vec::new();
        for rung in rungs(options, &driver, &mut steps) {
            if rung > options.require {
                break;
            }
            // Kernel sockets are the caller's to open.
            let held = if rung == Rung::KernelSocket {
                Ok(None)
            } else {
                let attempt = Attempt {
                    options,
                    index,
                    rung,
                    queues: &queues,
                };
                self.attempt(&attempt).map(Some)
            };
            match held {
                Ok(held) => {
                    let huge_pages = held.as_ref().is_some_and(|held| held.huge_pages);
                    let trial = held.as_ref().map_or(Trial::Skipped, |held| held.trial);
                    let source = held.map(|Held { sockets, watch, .. }| {
                        let queues = watch.queues.iter();
                        let counters = queues.map(QueueWatch::shared_counters).collect();
                        let source =
                            XdpSource::new(sockets, counters, &options.wanted, memberships);
                        (source, watch)
                    });
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
