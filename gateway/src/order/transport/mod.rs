//! The byte stream to an exchange, as order entry sees it: io_uring on a socket, with or without a lane past the
//! kernel's TCP, plain system calls, or a test.
//!
//! Each is declared once, in the table of [`Way`]; configuration, start-up and the tests that judge every
//! transport follow from it.

pub mod delegated;
pub mod logged;
mod provided;
mod sockopt;
pub mod uring;
pub mod write;

use std::io;
use std::net::SocketAddrV4;

use feed_handler::capture::tap::Tap;
use rt::mem::prefetch_whole;

use super::session_orders::MESSAGE_LEN_MAX;
use delegated::{DelegatedOptions, DelegatedTransport, LaneWatch};
use uring::{Submit, UringOptions, UringTransport};
use write::WriteTransport;

/// Bytes of the exchange that one `poll` tells at most: about 780 cancel answers, so that a burst of them
/// does not make a turn long, and the rings behind have room for what one turn brings.
pub const HEARD_BYTES_MAX: usize = 16 * 1024;

/// What happened on the stream.
#[derive(Debug)]
pub enum TransportEvent<'a> {
    /// The connection stands.
    Connected,
    /// Bytes arrived.
    Bytes(&'a [u8]),
    /// The connection is gone, or never came about: the error number, 0 for an orderly end.
    Closed(i32),
}

/// Counters, read when asked: name, what it means, value.
pub type Counts = Box<dyn Fn() -> Vec<(&'static str, &'static str, u64)> + Send>;

/// A byte stream that never blocks.
pub trait Transport {
    /// Prepares on the thread that will use it.
    ///
    /// # Errors
    /// What the kernel refuses; the process cannot trade then.
    fn start(&mut self) -> io::Result<()>;

    /// Begins to connect to this address; `Connected` or `Closed` follows. A connection that stands is closed first.
    fn connect(&mut self, to: SocketAddrV4);

    /// Gives the connection up; nothing of it is heard any more.
    fn close(&mut self);

    /// Room for bytes to be sent.
    fn room(&mut self) -> &mut [u8];

    /// The first `len` bytes of the room have been written.
    fn commit(&mut self, len: usize);

    /// Hands everything committed to the kernel, in one piece.
    fn flush(&mut self);

    /// Tells what has happened, a bounded number of things with at most [`HEARD_BYTES_MAX`] bytes;
    /// returns how many.
    fn poll(&mut self, on: impl FnMut(TransportEvent<'_>)) -> usize;

    /// Brings near what the next `flush` touches outside of itself. It changes nothing, and asks nobody.
    #[inline]
    fn prefetch(&self) {}

    /// What it counts for an operator beside what order entry does; `None`: nothing.
    fn counts(&self) -> Option<Counts> {
        None
    }

    /// What housekeeping looks at, for the log; `None`: nothing.
    fn watch(&self) -> Option<LaneWatch> {
        None
    }

    /// The interface by which frames leave that the kernel does not show to anybody; `None`: it shows all of them.
    fn lane_interface(&self) -> Option<String> {
        None
    }

    /// From now on such frames are shown to this tap.
    fn keep_sent(&mut self, _tap: Tap) {}
}

/// Brings near where the next order's bytes go.
#[inline]
fn prefetch_room(room: Option<&[u8]>) {
    if let Some(room) = room.and_then(<[u8]>::first_chunk::<MESSAGE_LEN_MAX>) {
        prefetch_whole(room);
    }
}

/// What transports are told; each takes what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportOptions {
    /// `SO_BUSY_POLL` of the socket in µs; 0: off.
    pub busy_poll_us: u32,
    /// The CPU of io_uring's kernel thread; `None`: wherever the kernel likes.
    pub sqpoll_cpu: Option<u32>,
    /// How long that thread polls an idle ring before it sleeps, ms.
    pub sqpoll_idle_ms: u32,
    /// The lane past the kernel's TCP.
    pub delegated: DelegatedOptions,
}

impl TransportOptions {
    /// Everything left alone: for tests, so that a new option does not concern them.
    pub const PLAIN: Self = {
        Self {
            busy_poll_us: 0,
            sqpoll_cpu: None,
            sqpoll_idle_ms: 50,
            delegated: DelegatedOptions::NONE,
        }
    };
}

/// Somebody who goes on with a transport, whichever it is.
pub trait TransportUser {
    /// What comes of it.
    type Made;

    /// Goes on with it.
    fn with<T: Transport + Send + 'static>(self, transport: T) -> Self::Made;
}

macro_rules! ways {
    ($($(#[doc = $text:literal])+ $way:ident $name:literal $make:expr,)+) => {
        /// How a session's bytes go out and come in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Way {
            $($(#[doc = $text])+ $way,)+
        }

        impl Way {
            /// Every way.
            pub const ALL: &'static [Self] = &[$(Self::$way),+];

            /// Its name in the configuration.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$way => $name,)+
                }
            }

            /// Takes the transport's memory and hands it over.
            ///
            /// # Errors
            /// The host has not that much memory, or refuses what the options ask of a socket.
            pub fn open<U: TransportUser>(
                self,
                options: &TransportOptions,
                user: U,
            ) -> io::Result<U::Made> {
                match self {
                    $(Self::$way => {
                        let make: fn(&TransportOptions) -> _ = $make;
                        Ok(user.with(make(options)?))
                    })+
                }
            }
        }
    };
}

ways! {
    /// By io_uring: a system call on the order core for what is submitted in a turn.
    Enter "enter" |options| uring(options, Submit::Enter),
    /// By io_uring: a kernel thread polls for what is submitted.
    Sqpoll "sqpoll" |options| uring(options, Submit::Sqpoll {
        cpu: options.sqpoll_cpu,
        idle_ms: options.sqpoll_idle_ms,
    }),
    /// Past the kernel's TCP where it can be, and by io_uring as `enter`.
    Delegated "delegated" |options| {
        let stream = uring(options, Submit::Enter)?;
        DelegatedTransport::open(stream, &options.delegated)
    },
    /// By plain system calls.
    Write "write" |_| WriteTransport::new(),
}

impl Way {
    /// The way of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|way| way.name() == name)
    }
}

fn uring(options: &TransportOptions, submit: Submit) -> io::Result<UringTransport> {
    UringTransport::new(UringOptions {
        submit,
        busy_poll_us: options.busy_poll_us,
    })
}
