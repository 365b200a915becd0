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
//! Path:        card -> steer.bpf.c -> socket -> source -> arbiter
//! Thread:      opening and watching: start-up and housekeeping; receiving: feed core, hot

#![allow(
    unsafe_code,
    reason = "AF_XDP rings, socket options, netlink and ethtool calls"
)]

pub mod nic;
mod open;
mod program;
mod receiver;
mod socket;
mod tap;
mod trial;

pub use open::{Mode, OpenError, Opened, Options, Rung, StepDown, TRUSTED_DRIVERS, Wanted, open};
pub use program::{Program, ProgramError, QUEUES_MAX, Verdict};
pub use receiver::{QueueWatch, Unserved, Watch, XdpCounters, XdpSource};
pub(crate) use socket::write_option;
pub use socket::{SocketOptions, Statistics};
pub use trial::Trial;
