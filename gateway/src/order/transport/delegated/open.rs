//! Opens the lane of a delegated session, or says why there is none.
//!
//! ```text
//!  delegated   an order's segment leaves by AF_XDP, the kernel's copy is kept back
//!  enter       the kernel's TCP alone, by io_uring
//! ```
//!
//! Thread:      start-up only
//! When wrong:  the step down is told with its reason; where the lane is required, the start is refused.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use feed_handler::xdp::{ProgramError, TRUSTED_DRIVERS, VERDICT_HINT, nic};

use super::fast::Fast;
use super::lane::DelegatedCounters;
use super::program::{Place, Programs};
use super::row::Safeguards;
use super::sender::Sender;
use crate::order::transport::sockopt;

/// What the program for what arrives can sum, and a frame of the lane holds.
const MTU_MAX: u32 = 1536;

/// What a delegated session is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegatedOptions {
    /// The session's name, for what is told of it.
    pub session: String,
    /// The exchange's address: the route to it says which interface it is, where none is named.
    pub exchange: Option<Ipv4Addr>,
    /// The interface; `None`: as the route says.
    pub interface: Option<String>,
    /// The queue of it by which fast segments leave.
    pub queue: u32,
    /// They leave without a copy where the driver can.
    pub zero_copy: bool,
    /// Nothing but the lane will do.
    pub is_required: bool,
    /// Interfaces on which feeds receive by AF_XDP.
    pub feeds_on: Vec<String>,
    /// What keeps the kernel from what it has not sent: both, but for tests.
    pub safeguards: Safeguards,
}

impl DelegatedOptions {
    /// No exchange, and so no lane: for tests and other transports.
    pub const NONE: Self = Self {
        session: String::new(),
        exchange: None,
        interface: None,
        queue: 0,
        zero_copy: true,
        is_required: false,
        feeds_on: Vec::new(),
        safeguards: Safeguards::Both,
    };
}

/// Why there is no lane.
#[derive(Debug)]
struct NoLane {
    why: String,
    hint: &'static str,
}

impl NoLane {
    fn new(why: impl Into<String>, hint: &'static str) -> Self {
        let why = why.into();
        Self { why, hint }
    }
}

/// The lane; `None`: the session goes on a rung lower.
///
/// # Errors
/// There is none, and it is required.
pub(super) fn open(options: &DelegatedOptions) -> io::Result<Option<Fast>> {
    let session = &options.session;
    match lane(options) {
        Ok(Opened {
            fast,
            interface,
            place,
            copying,
        }) => {
            log::info!(
                "session {session}: delegated by queue {} of {interface} ({}), acknowledgements are looked at in the {}",
                options.queue,
                copying,
                match place {
                    Place::Driver => "driver",
                    Place::Stack => "stack",
                }
            );
            Ok(Some(fast))
        }
        Err(NoLane { why, hint }) if options.is_required => Err(io::Error::other(format!(
            "required delegated, but {why} ({hint})"
        ))),
        Err(NoLane { why, hint }) => {
            log::warn!("session {session}: delegated did not hold, enter is used: {why} ({hint})");
            Ok(None)
        }
    }
}

/// A lane, and where.
struct Opened {
    fast: Fast,
    interface: String,
    place: Place,
    /// As the kernel granted it.
    copying: &'static str,
}

fn lane(options: &DelegatedOptions) -> Result<Opened, NoLane> {
    let interface = interface(options)?;
    let index = nic::interface_index(&interface)
        .map_err(|error| NoLane::new(format!("{interface}: {error}"), "name another interface"))?;
    if !nic::is_ethernet(&interface) {
        let why = format!("{interface} is no Ethernet interface");
        return Err(NoLane::new(why, "an exchange on this host needs no lane"));
    }
    if options.feeds_on.contains(&interface) {
        let why = format!("a feed receives by AF_XDP on {interface}");
        let hint = "give orders an interface of their own, or the feed receive = \"udp\"";
        return Err(NoLane::new(why, hint));
    }
    let mtu = sockopt::mtu(&interface)
        .map_err(|error| NoLane::new(format!("{interface}: {error}"), "see dmesg"))?;
    if mtu > MTU_MAX {
        let why = format!("{interface} has an MTU of {mtu}, more than {MTU_MAX}");
        let hint = "what is longer cannot be summed on its way in: ip link set dev IF mtu 1500";
        return Err(NoLane::new(why, hint));
    }
    let driver = nic::driver(&interface);
    let is_trusted = TRUSTED_DRIVERS.iter().any(|(name, _)| *name == driver);
    let place = if is_trusted {
        Place::Driver
    } else {
        Place::Stack
    };
    let (programs, row) = Programs::attach(index, place).map_err(refused)?;
    let sender = sender(&interface, options, place)?;
    let copying = match sender.is_zero_copy() {
        Ok(true) => "zero-copy",
        Ok(false) => "copy",
        Err(error) => return Err(NoLane::new(error.to_string(), "see dmesg")),
    };
    let fast = Fast {
        session: options.session.clone(),
        interface: interface.clone(),
        index,
        row: Arc::new(row),
        sender,
        counters: Arc::new(DelegatedCounters::default()),
        connection: None,
        ports: [0; 4],
        queued: [0; 4],
        sent_upto: 0,
        safeguards: options.safeguards,
        tap: None,
        programs,
    };
    Ok(Opened {
        fast,
        interface,
        place,
        copying,
    })
}

/// A socket on the lane's queue: zero-copy where that is asked for, the driver is trusted and grants it.
fn sender(interface: &str, options: &DelegatedOptions, place: Place) -> Result<Sender, NoLane> {
    let (session, queue) = (&options.session, options.queue);
    if options.zero_copy && place == Place::Driver {
        match Sender::open(interface, queue, true) {
            Ok(sender) => return Ok(sender),
            Err(error) => log::info!(
                "session {session}: zero-copy did not hold on queue {queue} of {interface}, the kernel copies: {error}"
            ),
        }
    }
    Sender::open(interface, queue, false).map_err(|error| {
        let why = format!("{interface}, queue {queue}: {error}");
        NoLane::new(why, socket_hint(error.raw_os_error().unwrap_or(0)))
    })
}

fn interface(options: &DelegatedOptions) -> Result<String, NoLane> {
    if let Some(interface) = &options.interface {
        return Ok(interface.clone());
    }
    let hint = "name the interface by which orders leave";
    let Some(exchange) = options.exchange else {
        return Err(NoLane::new("no exchange and no interface are named", hint));
    };
    let route = nic::route_to(exchange);
    let name = route.and_then(|route| nic::interface_name(route.interface));
    name.map_err(|error| NoLane::new(format!("no route to {exchange}: {error}"), hint))
}

fn refused(failed: ProgramError) -> NoLane {
    let hint = match failed.errno.unwrap_or(0) {
        _ if failed.is_verdict => VERDICT_HINT,
        libc::EPERM | libc::EACCES => "run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW",
        libc::EBUSY => {
            "another XDP program is attached, a feed's or another session's: one interface, one delegated session"
        }
        libc::EOPNOTSUPP => "the driver has no native XDP",
        libc::EINVAL => "kernel 6.6 or newer is needed",
        libc::ENOMEM => "raise RLIMIT_MEMLOCK (LimitMEMLOCK=infinity)",
        _ => "see dmesg",
    };
    NoLane::new(format!("{}: {}", failed.doing, failed.said), hint)
}

fn socket_hint(errno: i32) -> &'static str {
    match errno {
        libc::EINVAL => "the interface has no such queue",
        libc::EBUSY => "another process has the queue: ss --xdp",
        libc::EPERM | libc::EACCES => "run as root or with CAP_NET_RAW",
        libc::ENETDOWN => "the interface is down: ip link set dev IF up",
        libc::ENOBUFS | libc::ENOMEM => "raise RLIMIT_MEMLOCK (LimitMEMLOCK=infinity)",
        libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT => {
            "the kernel was built without AF_XDP (CONFIG_XDP_SOCKETS)"
        }
        _ => "see dmesg",
    }
}
