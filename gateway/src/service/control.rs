//! The operator's door to a running service: commands in, what the order stages show out.
//!
//! Thread:      any; nothing here waits for a hot core

use std::sync::Arc;

use rt::ring::{Full, Producer};

use crate::message::command::Command;
use crate::order::snapshot::{PositionsView, SessionView};

/// Commands that one session may have waiting: its stage takes them every 10 ms.
pub(super) const COMMANDS: usize = 16;

/// One session's door.
#[derive(Debug)]
pub struct SessionControl {
    /// Its name in the configuration.
    pub name: String,
    /// How it is, and its orders.
    pub session: Arc<SessionView>,
    /// Positions of the account that it trades for.
    pub positions: Arc<PositionsView>,
    pub(super) commands: Producer<Command>,
}

impl SessionControl {
    /// Asks its stage for something.
    ///
    /// # Errors
    /// As many commands as fit wait already: the core does not turn.
    pub fn ask(&mut self, command: Command) -> Result<(), Full<Command>> {
        self.commands.push(command)
    }
}

/// Every session's door, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Control {
    /// The sessions.
    pub sessions: Vec<SessionControl>,
}
