//! The interfaces on which this process receives by AF_XDP: one program each, whatever the number of feeds.
//!
//! ```text
//!                         ┌ feed 0 ─ place 0 x 64 + queue ─> its socket there
//!  program ─ destination ─┤
//!                         └ feed 1 ─ place 1 x 64 + queue ─> its socket there, or: unserved, to the kernel
//! ```
//!
//! Feeds are opened one after the other. What one has is never changed for the next: a feed that finds no rung
//! beside the others goes down to kernel sockets alone. On a queue that several feeds serve each has a
//! socket of its own; the packet memory and the fill ring are the queue's, so they share those (`fill`).
//!
//! Thread:      start-up only
//! Invariants:  the program is on an interface while a feed receives there: it goes with the last `Watch`, once
//!              `Interfaces`, which fills its maps, has gone. A destination is wanted only while the
//!              feed's sockets are in the map.

use std::net::SocketAddrV4;
use std::sync::Arc;

use super::fill::{Memory, SharedMemory};
use super::nic::{self, Attached};
use super::options::{Options, Rung};
use super::program::{FEEDS_MAX, FeedQueue, Program, Steering, Wanted};
use super::receiver::{QueueWatch, Watch, XdpCounters};
use super::refusal::{ProgramError, VERDICT_HINT};
use super::socket::{Place, XskSocket};
use super::trial::{self, Refused, Trial};

/// The interfaces of all feeds of this process, while they are opened.
#[derive(Debug)]
pub struct Interfaces {
    planned: Vec<Planned>,
    open: Vec<Interface>,
}

/// Which queues a feed will serve, so that the first socket on one knows who else comes.
#[derive(Debug)]
struct Planned {
    interface: String,
    /// Empty: all.
    queues: Vec<u32>,
    frames: u32,
}

impl Planned {
    fn serves(&self, interface: &str, queue: u32) -> bool {
        self.interface == interface && (self.queues.is_empty() || self.queues.contains(&queue))
    }
}

/// A feed on an interface, about to be tried on a rung.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub(super) options: &'a Options,
    pub(super) index: u32,
    pub(super) rung: Rung,
    pub(super) queues: &'a [u32],
}

impl Attempt<'_> {
    fn is_native(&self) -> bool {
        self.rung != Rung::Generic
    }
}

/// A rung that holds.
pub(super) struct Held {
    pub(super) sockets: Vec<XskSocket>,
    pub(super) watch: Watch,
    pub(super) huge_pages: bool,
    pub(super) trial: Trial,
}

impl Interfaces {
    /// For these feeds, each of which is then opened.
    pub fn for_feeds<'a>(feeds: impl IntoIterator<Item = &'a Options>) -> Self {
        let planned = feeds.into_iter().map(|options| Planned {
            interface: options.interface.clone(),
            queues: options.queues.clone(),
            frames: options.socket.frames,
        });
        Self {
            planned: planned.collect(),
            open: Vec::new(),
        }
    }

    /// A feed that was opened receives in another way: its packets are the kernel's again. Its source and its watch
    /// are the caller's to drop.
    pub fn withdraw(&mut self, options: &Options) {
        self.open.retain_mut(|interface| {
            if interface.name == options.interface {
                interface.steering.unwant(&options.wanted);
                interface.feeds.retain(|wanted| *wanted != options.wanted);
            }
            !interface.feeds.is_empty()
        });
    }

    /// A destination of these that another feed of the interface has.
    pub(super) fn taken(&self, options: &Options) -> Option<SocketAddrV4> {
        let here = self.open.iter().filter(|i| i.name == options.interface);
        let theirs = here.flat_map(|i| i.feeds.iter().flatten().map(|wanted| wanted.address));
        let ours = |address: &SocketAddrV4| options.wanted.iter().any(|w| w.address == *address);
        theirs.into_iter().find(ours)
    }

    /// Tries a rung. One that does not hold leaves everything as it was.
    pub(super) fn attempt(&mut self, attempt: &Attempt<'_>) -> Result<Held, Refused> {
        let name = &attempt.options.interface;
        let mut interface = match self.open.iter().position(|open| open.name == *name) {
            Some(at) => self.open.swap_remove(at),
            None => Interface::attach(attempt)?,
        };
        let held = interface.add(attempt, &self.planned);
        if !interface.feeds.is_empty() {
            self.open.push(interface);
        }
        held
    }
}

/// An interface with the program on it.
#[derive(Debug)]
struct Interface {
    name: String,
    is_native: bool,
    program: Arc<Program>,
    steering: Steering,
    /// What each feed here wants.
    feeds: Vec<Vec<Wanted>>,
    /// Numbers given out: none is given twice, so a feed's counts in the program begin at zero.
    numbers: u32,
    /// Packet memory that feeds share.
    memories: Vec<QueueMemory>,
}

#[derive(Debug)]
struct QueueMemory {
    queue: u32,
    memory: SharedMemory,
}

impl Interface {
    /// Puts the program on an interface that has none of ours.
    fn attach(attempt: &Attempt<'_>) -> Result<Self, Refused> {
        let (mut program, steering) = Program::load().map_err(told)?;
        let is_native = attempt.is_native();
        program.attach(attempt.index, is_native).map_err(told)?;
        let granted = nic::attached(attempt.index)
            .map_err(|e| (e.to_string(), "rtnetlink did not answer"))?;
        let expected = if is_native {
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
        Ok(Self {
            name: attempt.options.interface.clone(),
            is_native,
            program: Arc::new(program),
            steering,
            feeds: Vec::new(),
            numbers: 0,
            memories: Vec::new(),
        })
    }

    /// One more feed.
    fn add(&mut self, attempt: &Attempt<'_>, planned: &[Planned]) -> Result<Held, Refused> {
        let wanted = &attempt.options.wanted;
        if self.is_native != attempt.is_native() {
            let runs = if self.is_native { "driver" } else { "stack" };
            return Err((
                format!("the interface's program runs in the {runs} for another feed"),
                "give all feeds of an interface the same af_xdp.mode",
            ));
        }
        if self.numbers == FEEDS_MAX {
            let why = format!("{FEEDS_MAX} feeds were opened on the interface");
            return Err((why, "give some of them another interface"));
        }
        let feed = self.numbers;
        let mut sockets = Vec::new();
        let mut queues = Vec::new();
        for queue in attempt.queues {
            let of = FeedQueue {
                feed,
                queue: *queue,
            };
            let (socket, watch) = self.open_queue(attempt, of, planned)?;
            sockets.push(socket);
            queues.push(watch);
        }
        // All sockets are there, so nothing that is wanted from here on finds none; and from here on it counts.
        self.numbers += 1;
        let trial = self
            .steering
            .want(wanted, feed)
            .map_err(told)
            .and_then(|()| {
                let watched = trial::Watched {
                    program: &self.program,
                    queues: &queues,
                };
                let patience = attempt.options.trial;
                trial::run(&self.name, patience, &watched, &mut sockets)
            });
        let trial = match trial {
            Ok(trial) => trial,
            Err(refused) => {
                self.steering.unwant(wanted);
                return Err(refused);
            }
        };
        self.feeds.push(wanted.clone());
        for (queue, socket) in attempt.queues.iter().zip(&sockets) {
            if self.memory(*queue).is_none()
                && let Some(memory) = socket.shared_memory()
            {
                let queue = *queue;
                self.memories.push(QueueMemory { queue, memory });
            }
        }
        Ok(Held {
            huge_pages: sockets.iter().all(XskSocket::has_huge_pages),
            sockets,
            watch: Watch::new(self.name.clone(), Arc::clone(&self.program), feed, queues),
            trial,
        })
    }

    /// A feed's socket on a queue, in the program's map.
    fn open_queue(
        &mut self,
        attempt: &Attempt<'_>,
        of: FeedQueue,
        planned: &[Planned],
    ) -> Result<(XskSocket, QueueWatch), Refused> {
        let queue = of.queue;
        let plain = |e: std::io::Error| (e.to_string(), "the kernel did not say what it granted");
        let place = Place {
            interface: &self.name,
            queue,
            is_zero_copy: attempt.rung == Rung::ZeroCopy,
        };
        let sharing = planned.iter().filter(|p| p.serves(&self.name, queue));
        let memory = match self.memory(queue) {
            Some(memory) => Memory::Of(memory),
            None if sharing.clone().count() > 1 => Memory::ToShare {
                frames: sharing.fold(0, |sum, planned| sum.saturating_add(planned.frames)),
            },
            None => Memory::Own,
        };
        let socket = XskSocket::open(place, &attempt.options.socket, memory).map_err(|e| {
            let hint = socket_hint(e.raw_os_error().unwrap_or(0));
            (format!("queue {queue}: {e}"), hint)
        })?;
        let is_beside = matches!(memory, Memory::Of(_));
        match (socket.is_zero_copy().map_err(plain)?, place.is_zero_copy) {
            (false, true) if is_beside => {
                return Err((
                    format!("queue {queue} is in copy mode for another feed"),
                    "give each feed queues of its own: af_xdp.queues",
                ));
            }
            // A queue that another feed has in zero-copy is better than what is tried.
            (true, false) if is_beside => {}
            (granted, asked) if granted != asked => {
                return Err((
                    "the kernel did not grant the copy mode".to_owned(),
                    "a driver's fault",
                ));
            }
            _ => {}
        }
        self.steering.serve(of, socket.raw_fd()).map_err(told)?;
        let watcher = socket.watcher().map_err(plain)?;
        let counters = Arc::new(XdpCounters::default());
        let watch = QueueWatch::new(of, watcher, counters, is_beside);
        Ok((socket, watch))
    }

    /// Packet memory of a queue that others may share.
    fn memory(&self, queue: u32) -> Option<&SharedMemory> {
        let found = self.memories.iter().find(|memory| memory.queue == queue)?;
        Some(&found.memory)
    }
}

fn told(error: ProgramError) -> Refused {
    let hint = if error.is_verdict {
        VERDICT_HINT
    } else {
        program_hint(error.errno.unwrap_or(0))
    };
    (format!("{}: {}", error.doing, error.said), hint)
}

fn program_hint(errno: i32) -> &'static str {
    match errno {
        libc::EPERM | libc::EACCES => "run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW",
        libc::EBUSY => "another XDP program is attached: ip link set dev IF xdp off",
        libc::EOPNOTSUPP => "the driver has no native XDP; generic mode works everywhere",
        libc::ENOMEM => "raise RLIMIT_MEMLOCK (LimitMEMLOCK=infinity)",
        libc::E2BIG => "an interface has room for 1024 destinations",
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
