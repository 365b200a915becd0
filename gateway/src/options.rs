//! What the service is made of, as plain values: the service knows no configuration file.

use std::net::SocketAddrV4;
use std::path::PathBuf;

use feed_handler::arbiter::{Patience, Recovery};
use feed_handler::book::Limits as BookLimits;
use feed_handler::capture::CaptureOptions;
use feed_handler::publish::{Subscription, Way as Hears};
use feed_handler::recovery::stage::RecoveryOptions;
use feed_handler::udp::UdpOptions;
use feed_handler::xdp;

use crate::journal::writer::JournalOptions;
use crate::order::account::DayStart;
use crate::order::entry::{Credentials, FoundOrders};
use crate::order::risk::{LimitKey, Limits, RowLimits};
use crate::order::transport::{TransportOptions, Way};
use crate::service::certificate::CertificateOptions;
use crate::service::sandbox::SandboxOptions;
use crate::strategy::Strategy;

/// Everything.
#[derive(Debug)]
pub struct Options {
    /// Lock all memory.
    pub lock_memory: bool,
    /// Books on huge pages.
    pub huge_pages: bool,
    /// `SCHED_FIFO` priority of hot cores, 0: none.
    pub realtime_priority: i32,
    /// One core runs every stage, or each its own.
    pub is_inline: bool,
    /// Where what outlives the process is kept; `None`: nowhere.
    pub state_dir: Option<PathBuf>,
    /// The longest that READY waits for feeds that are not up, from the start, ns.
    pub feeds_wait_ns: u64,
    /// The file in which `tickgate ctl kill --hard` finds the kill switches; `None`: they are this process's alone.
    pub kill_page: Option<PathBuf>,
    /// The configuration's file, which a reload reads again; `None`: there is none.
    pub configuration: Option<PathBuf>,
    /// CPUs for hot cores; empty: the last one for `inline`, unpinned for the rest.
    pub cpus: Vec<usize>,
    /// Which stages share a core, each stage once; empty: as `is_inline` says.
    pub cores: Vec<Core>,
    /// So long after the last work an idle core's stages rehearse, and so long after each round, ns; 0: never.
    pub rehearse_ns: u64,
    /// Ring sizes, powers of two.
    pub rings: Rings,
    /// Feeds, in the order in which others name them.
    pub feeds: Vec<Feed>,
    /// Sessions.
    pub sessions: Vec<Session>,
    /// Trading accounts that several sessions trade for, or that have limits of their own.
    pub accounts: Vec<Account>,
    /// Strategies.
    pub strategies: Vec<StrategyOptions>,
    /// What is journaled; `None`: nothing.
    pub journal: Option<JournalOptions>,
    /// What the host is held against; `None`: nothing.
    pub certificate: Option<CertificateOptions>,
    /// What is given up before anything trades.
    pub sandbox: SandboxOptions,
    /// What to write at the end and on SIGUSR1.
    pub output: Output,
}

/// One hot core.
#[derive(Clone, Debug)]
pub struct Core {
    /// What its thread is called.
    pub name: String,
    /// Where it is pinned, if anywhere.
    pub cpu: Option<usize>,
    /// The names of its stages.
    pub runs: Vec<String>,
}

/// Messages that each ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rings {
    /// Feed to strategy.
    pub events: usize,
    /// Strategy to order stage.
    pub intents: usize,
    /// Order stage to strategy.
    pub executions: usize,
}

/// Whose feed it is: what reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Venue {
    /// ITCH in MoldUDP64.
    Nasdaq,
    /// DEEP+ in IEX-TP.
    Iex,
}

/// One feed.
#[derive(Debug)]
pub struct Feed {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub venue: Venue,
    /// AF_XDP, an interface each; empty: kernel sockets.
    pub xdp: Vec<xdp::Options>,
    /// Kernel sockets: what is asked for, or the last rung.
    pub udp: UdpOptions,
    /// How long it waits for what may still come.
    pub patience: Patience,
    /// Memory of the books.
    pub books: BookLimits,
    /// What is done about messages that no line brought; `None`: nothing.
    pub recovery: Option<FeedRecovery>,
    /// Which of its frames are kept; `None`: none.
    pub capture: Option<CaptureOptions>,
    /// What surrounds a packet is captured, too, if its order took longer than this until the kernel had it; `None`: no
    /// order is that slow.
    pub slow_order_ns: Option<u64>,
}

/// What a feed does about messages that no line brought.
#[derive(Clone, Debug)]
pub struct FeedRecovery {
    /// How long holes are kept open that servers are asked for.
    pub holes: Recovery,
    /// How servers are asked.
    pub stage: RecoveryOptions,
    /// Re-request servers; empty: holes are not asked for.
    pub request_servers: Vec<SocketAddrV4>,
    /// Snapshot servers; empty: no snapshots.
    pub snapshot_servers: Vec<SocketAddrV4>,
    /// Live messages that may wait for a snapshot, a power of two.
    pub live_messages_max: usize,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    /// Its name.
    pub name: String,
    /// How its bytes go out and come in.
    pub way: Way,
    /// Where to, and how that is set.
    pub transport: TransportOptions,
    /// Login.
    pub credentials: Credentials,
    /// Limits.
    pub risk: Limits,
    /// Limits of parts of the account, at most [`ROWS_MAX`](crate::order::risk::ROWS_MAX).
    pub rows: Vec<RowLimits>,
    /// What it begins the day with.
    pub day: DayStart,
    /// Begin with the kill switch on.
    pub start_killed: bool,
    /// What has no answer for this long is in doubt, ns.
    pub answer_timeout_ns: u64,
    /// What becomes of orders that an earlier run left open.
    pub found_orders: FoundOrders,
}

/// A trading account. Its sessions' limits are its budgets: they add up to no more than its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its sessions, by their places in [`Options::sessions`].
    pub sessions: Vec<usize>,
    /// What they may have together, in the configuration's units.
    pub limits: Vec<AccountLimit>,
}

/// A limit of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLimit {
    /// The limit, which is the one of a session's budget, too.
    pub key: LimitKey,
    /// What all its sessions may have together.
    pub max: u64,
}

/// One strategy.
pub struct StrategyOptions {
    /// Its name.
    pub name: String,
    /// The strategy itself.
    pub strategy: Box<dyn Strategy>,
    /// Index of its feed.
    pub feed: usize,
    /// Index of its session.
    pub session: usize,
    /// What it hears.
    pub subscription: Subscription,
    /// On which way.
    pub hears: Hears,
    /// Levels of a side that it looks at; 0: the best only.
    pub depth: usize,
    /// Orders that its own books hold; `None`: it has none.
    pub own_book_orders: Option<u32>,
    /// Sends orders although the feed has a gap.
    pub trade_on_stale: bool,
}

impl std::fmt::Debug for StrategyOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StrategyOptions")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// JSON file.
    pub json: Option<PathBuf>,
    /// Folder of `.hgrm` files.
    pub hgrm_dir: Option<PathBuf>,
    /// Table on standard output.
    pub table: bool,
    /// Where the slow-order recorder writes; `None`: nowhere.
    pub slow_orders: Option<PathBuf>,
    /// Histograms leave out what is measured in this time from the first order on, ms.
    pub warm_up_ms: u64,
}
