//! What an order stage is put together from.

use rt::ring::Consumer;

use super::account::Account;
use super::entry::Entry;
use super::links::Link;
use super::opening::Opening;
use crate::message::command::Command;
use crate::message::notice::Notices;
use crate::trace::recorder::Slowest;

/// All of it.
#[derive(Debug)]
pub struct Parts<T> {
    /// Whom the session trades for.
    pub account: Account,
    /// Order entry.
    pub entry: Entry,
    /// The connection's byte stream.
    pub transport: T,
    /// Each strategy's rings.
    pub links: Vec<Link>,
    /// What the operator asks for.
    pub commands: Consumer<Command>,
    /// What strategies begin with.
    pub opening: Opening,
    /// News for the operator.
    pub notices: Notices,
    /// The recorder of slow orders.
    pub slowest: Slowest,
}
