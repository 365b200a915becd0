//! The operator's door to a running service: commands in, what cores, feeds and order stages show out.
//!
//! Thread:      any; nothing here waits for a hot core

use std::net::SocketAddrV4;
use std::sync::Arc;

use feed_handler::best_prices::BestPrices;
use feed_handler::feed::Counters as FeedCounters;
use rt::counters;
use rt::ring::Producer;

use super::certificate::Standing;
use super::configuration::Configuration;
use super::kill_file::KillFile;
use super::manager::ServiceManager;
use super::reload_bell::ReloadBell;
use super::reports::Reports;
use crate::core_loop::CoreState;
use crate::journal::inlet::Inlet;
use crate::journal::limits::PastLimits;
use crate::message::command::Command;
use crate::message::intent::Owner;
use crate::options::Account;
use crate::order::risk::{KillSwitch, Limits, ROWS_MAX, RowLimits};
#[cfg(test)]
use crate::order::snapshot::Snapshot;
use crate::order::snapshot::{PositionsView, SessionView};

/// Commands that one session may have waiting: its stage takes them every 10 ms.
pub(super) const COMMANDS: usize = 128;

// A reload may change every row and the session's own limits, and all of it has to fit.
const _: () = assert!(COMMANDS > ROWS_MAX + 1);

counters! {
    /// What came to the operator's socket.
    pub struct ControlCounters {
        /// Connections to the operator's socket.
        control_connections,
        /// Connections that found as many as there may be.
        control_turned_away,
        /// Connections of users who may not ask.
        control_refused_peers,
        /// Requests that were understood and answered, those included that could not be done.
        control_requests,
        /// Requests that change something: kill, resume, cancel, pause, unpause, limits, reload.
        control_steered,
        /// Requests that were refused: there is no such session or strategy, or the wrong scope.
        control_refused,
        /// Lines that are no request.
        control_malformed,
        /// Lines longer than a request may be.
        control_too_long,
        /// Connections that ended in the middle of a line.
        control_cut_off,
        /// Guards that fell silent: each stopped trading.
        control_guards_lost,
        /// Connections that said or took nothing for too long.
        control_timed_out,
    }
}

/// One session's door.
#[derive(Debug)]
pub struct SessionControl {
    /// Its name in the configuration.
    pub name: String,
    /// Where its exchange may be.
    pub addresses: Vec<SocketAddrV4>,
    /// How it is, and its orders.
    pub session: Arc<SessionView>,
    /// Positions of the account that it trades for.
    pub positions: Arc<PositionsView>,
    /// The limits of its configuration.
    pub limits: Limits,
    /// What is in force from the start, where an earlier run had tighter ones, and the number of that run's table.
    pub past_limits: PastLimits,
    /// Limits of parts of its account.
    pub rows: Vec<RowLimits>,
    /// Its kill switch.
    pub kill: KillSwitch,
    pub(crate) commands: Producer<Command>,
}

impl SessionControl {
    /// Asks its stage for something; `false`: as many commands as fit wait already, as the core does not turn.
    #[must_use]
    pub fn ask(&mut self, command: Command) -> bool {
        self.commands.push(command).is_ok()
    }

    /// Whether it takes one more command.
    #[must_use]
    pub fn takes_commands(&self) -> bool {
        self.commands.len() < self.commands.capacity()
    }
}

/// A strategy, and as whom its session knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrategyControl {
    /// Its name in the configuration.
    pub name: String,
    /// Its session's place in [`Control::sessions`].
    pub session: usize,
    /// Its number there.
    pub owner: Owner,
}

/// What is seen of a feed.
#[derive(Clone, Debug)]
pub struct FeedControl {
    /// Its name in the configuration.
    pub name: String,
    /// How it is, and what it has counted.
    pub counters: Arc<FeedCounters>,
    /// Its best prices.
    pub best_prices: Arc<BestPrices>,
}

/// What is seen of a hot core.
#[derive(Clone, Debug)]
pub struct CoreControl {
    /// Its name.
    pub name: String,
    /// The CPU that it is pinned to.
    pub cpu: Option<usize>,
    /// Its turns.
    pub state: Arc<CoreState>,
}

/// The whole door.
#[derive(Debug, Default)]
pub struct Control {
    /// Every session, in the order of the configuration.
    pub sessions: Vec<SessionControl>,
    /// Trading accounts that several sessions trade for, or that have limits of their own.
    pub accounts: Vec<Account>,
    /// Every strategy, likewise.
    pub strategies: Vec<StrategyControl>,
    /// Every feed, likewise.
    pub feeds: Vec<FeedControl>,
    /// Every hot core.
    pub cores: Vec<CoreControl>,
    /// Where what is asked for is written down, if there is a journal.
    pub(crate) journal: Inlet,
    /// There is a journal: limits that are tightened now are so after a restart.
    pub has_journal: bool,
    /// The kill that outlives the process, where a folder for it is configured.
    pub kill_file: Option<KillFile>,
    /// Where a report of everything is asked for; `None`: nobody keeps house.
    pub reports: Option<Reports>,
    /// Where what was configured can be read again; `None`: nowhere.
    pub configuration: Option<Box<dyn Configuration>>,
    /// How many things of the host are other than its certificate says; `None`: there is no certificate.
    pub(crate) host_drifts: Option<Standing>,
    pub(crate) reload: ReloadBell,
    pub(crate) manager: ServiceManager,
    /// What whoever serves the door counts; it is in the report. One thread may write it.
    pub counters: Arc<ControlCounters>,
}

#[cfg(test)]
mod tests {
    use super::*;

    impl SessionControl {
        /// One that was never built: for tests, which give it what they look at.
        pub(crate) fn bare(commands: Producer<Command>, snapshot: &Snapshot) -> Self {
            Self {
                name: String::new(),
                addresses: Vec::new(),
                session: snapshot.session(),
                positions: snapshot.positions(),
                limits: Limits::WIDEST,
                past_limits: PastLimits::default(),
                rows: Vec::new(),
                kill: KillSwitch::default(),
                commands,
            }
        }
    }
}
