//! What is asked of an interface for a feed.

use std::time::Duration;

use super::program::Wanted;
use super::socket::SocketOptions;

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

/// How to open an interface for a feed.
#[derive(Clone, Debug)]
pub struct Options {
    /// The interface.
    pub interface: String,
    /// Destinations to take, each once, and by one feed of the interface.
    pub wanted: Vec<Wanted>,
    /// Where the program shall run.
    pub mode: Mode,
    /// The lowest rung that is good enough.
    pub require: Rung,
    /// Drivers to trust beside [`TRUSTED_DRIVERS`](super::TRUSTED_DRIVERS).
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
