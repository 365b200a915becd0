//! What the sockets and files around the exchange are made of.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use crate::flow::recorded::Pace;
use crate::options;

/// The exchange, and where it is heard and kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What is served.
    pub exchange: options::Options,
    /// Where order entry listens.
    pub address: SocketAddr,
    /// Folder for the accounts' messages; none: memory only.
    pub store: Option<PathBuf>,
    /// Whether the folder's files are synced to the disk before each answer is sent. If not, what was sent
    /// survives a crash of the program, not of the host.
    pub is_synced: bool,
    /// Connections at one time.
    pub connections_max: usize,
    /// Bytes that may wait for a client that does not read; then it is cut off.
    pub unread_bytes_max: usize,
    /// File of wire stamps to write arrivals into (`rt::wire_stamps`).
    pub wire_stamps: Option<PathBuf>,
    /// Unix socket for commands and status; none: none.
    pub control: Option<PathBuf>,
    /// Where Prometheus is told what was counted; none: nowhere.
    pub metrics: Option<SocketAddr>,
    /// Where to write what was counted, as JSON, at the end.
    pub report: Option<PathBuf>,
    /// CPU to pin to.
    pub cpu: Option<usize>,
    /// Whether to wait busily: microseconds faster, and a whole CPU.
    pub is_busy: bool,
    /// What time it is.
    pub clock: ClockOptions,
    /// A recorded day as the market, instead of a flow.
    pub record: Option<Record>,
    /// The feed's lines, A first: as many as the exchange's feed has.
    pub lines: Vec<Line>,
    /// Where re-requests are answered.
    pub rerequest: Option<SocketAddrV4>,
    /// Where snapshots are served.
    pub glimpse: Option<SocketAddrV4>,
}

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOptions {
    /// What moves it.
    pub mode: ClockMode,
    /// Time of day at the start, ns; none: the host's (UTC).
    pub start_ns: Option<u64>,
    /// How far each client message moves it, in mode `Steps`.
    pub step_ns: u64,
    /// Time stands still, and nothing is published, until the first client has logged in and this has
    /// passed since; none: the day begins at once.
    pub wait_for_login_ns: Option<u64>,
}

/// What moves the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMode {
    /// The host's clock.
    Wall,
    /// Clients' messages, a step each: the same messages give the same bytes on every socket.
    Steps,
}

/// A recorded day as the market.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// BinaryFILE, plain or `.gz`.
    pub file: PathBuf,
    /// When its messages come.
    pub pace: Pace,
}

/// One line of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it goes.
    pub address: SocketAddrV4,
    /// Address of the interface that it leaves by; none: the kernel's choice.
    pub interface: Option<Ipv4Addr>,
}
