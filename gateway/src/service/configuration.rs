//! A configuration that can be read again while the gateway runs, by whoever knows configurations.
//!
//! ```text
//!  reload ──read──> changes ──all can be done──> they are done ──keep──> what was read is in force
//!                      └──one cannot──> nothing is done, and the next read compares with what is in force
//! ```
//!
//! Thread:      the control socket's

use std::fmt::Debug;

/// The configuration with which the gateway was started.
pub trait Configuration: Debug + Send {
    /// Reads it again: what differs from what is in force.
    ///
    /// # Errors
    /// Everything that is wrong with it, a line each.
    fn read(&mut self) -> Result<Vec<Change>, Vec<String>>;

    /// What was read last is in force from now on.
    fn keep(&mut self);
}

/// A key that has another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// What is in force.
    pub before: String,
    /// What was read.
    pub now: String,
    /// What is to be done about it.
    pub wish: Wish,
}

/// What a changed key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A limit of a session is this, under the configuration's name and in its units; yes is 1.
    Limit {
        /// The session.
        session: String,
        /// The limit's name.
        limit: String,
        /// Its value.
        value: u64,
    },
    /// A limit of a row of a session is this; `None`: it is the session's.
    Row {
        /// The session.
        session: String,
        /// The strategy; `None`: every one.
        strategy: Option<String>,
        /// The symbols.
        symbol: String,
        /// The limit's name.
        limit: String,
        /// Its value.
        value: Option<u64>,
    },
    /// These users may ask, beside the gateway's own and root.
    Users(Vec<u32>),
    /// Nothing of the gateway's: [`Configuration::keep`] does it.
    Own,
    /// It cannot be done: why.
    Impossible(String),
}
