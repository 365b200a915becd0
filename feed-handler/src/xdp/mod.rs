//! The receiver on AF_XDP, and the ladder down from it.
//!
//! ```text
//!  zero-copy      driver writes into our memory          needs a driver that can
//!  native copy    program in the driver, one copy        needs a driver on the trusted list
//!  generic        program in the stack, one copy         any interface
//!  kernel socket  no program                             anywhere
//! ```
//!
//! Every step down is told with the kernel's error, the driver and a hint; a floor refuses to start
//! below it; what was granted is read back from the kernel.
//!
//! All feeds of an interface share one program (`interfaces`), which knows whose each destination is; each feed
//! has a socket of its own on each of its queues, and a rung of its own.
//!
//! Path:        card -> steer.bpf.c -> socket -> source -> arbiter
//! Thread:      opening and watching: start-up and housekeeping; receiving: feed core, hot

#![allow(
    unsafe_code,
    reason = "AF_XDP rings, socket options, netlink and ethtool calls"
)]

mod fill;
mod interfaces;
pub mod nic;
mod open;
mod options;
mod program;
mod receiver;
mod refusal;
mod socket;
mod sockopt;
mod tap;
mod trial;

pub use interfaces::Interfaces;
pub use open::{OpenError, Opened, StepDown, TRUSTED_DRIVERS, open};
pub use options::{Mode, Options, Rung};
pub use program::{FEEDS_MAX, Program, QUEUES_MAX, Verdict, Wanted};
pub use receiver::{QueueWatch, Unserved, Watch, XdpCounters, XdpSource};
pub use refusal::{ProgramError, VERDICT_HINT};
pub use socket::SocketOptions;
pub(crate) use sockopt::write_option;
pub use sockopt::{Statistics, is_zero_copy};
pub use trial::Trial;
