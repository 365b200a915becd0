//! What the exchange is made of: plain values in the exchange's own units. Where a configuration file says so,
//! `file` has made them; what they are in it, and what they may be, stands there and in `config/sim.toml`.

use std::collections::BTreeMap;

use protocol::soup::padded;

use crate::engine::{Limits, Listing, Prevention};
use crate::fault::Fault;
use crate::script::Rule;

/// Everything that is not a socket or a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Name of the order entry session, at most 10 characters.
    pub session: String,
    /// Every n-th accepted order of an account is filled at its limit by the house, as far as the book did
    /// not; 0: none.
    pub fill_every: u64,
    /// Messages kept for each account for clients that come back; beyond it the account is closed.
    pub store_max: usize,
    /// Price times shares of one order at most, four decimals; 0: any.
    pub notional_max: u64,
    /// Hours; none: it always trades.
    pub day: Option<Day>,
    /// How much room the engine has.
    pub limits: Limits,
    /// What is listed; none: a symbol is listed when it is first named.
    pub symbols: Vec<Symbol>,
    /// The market's own orders; none: clients are alone.
    pub flow: Option<Flow>,
    /// The feed; none: nothing is published.
    pub feed: Option<Feed>,
    /// Accounts by user name.
    pub accounts: BTreeMap<String, AccountOptions>,
    /// Orders that get what they ask for.
    pub rules: Vec<Rule>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// The same seed, the same chances of faults.
    pub fault_seed: u64,
}

/// Hours of the day, ns since midnight: open < close <= end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// Opening cross.
    pub open_ns: u64,
    /// Closing cross.
    pub close_ns: u64,
    /// End of system hours.
    pub end_ns: u64,
    /// How long before the close orders for its cross can no longer be changed.
    pub late_ns: u64,
    /// Between two imbalance messages before a cross; 0: none.
    pub imbalance_ns: u64,
}

/// One listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// As the engine lists it.
    pub listing: Listing,
    /// Short sales must not hit bids.
    pub is_short_restricted: bool,
}

/// The market's own orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The same seed gives the same market.
    pub seed: u64,
    /// Symbols that it makes up beside those that are listed.
    pub symbols: u16,
    /// Orders, cancels and replacements a second, on average; at least 1.
    pub rate: u32,
    /// How much faster bursts are than the average; at least 1.
    pub burst: u32,
    /// Orders that each side of a symbol has in the long run; at least 1.
    pub depth: u32,
    /// Steps after which nothing more comes; 0: no end.
    pub limit: u64,
}

/// Whose formats the feed has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Venue {
    /// ITCH in MoldUDP64.
    Nasdaq,
    /// DEEP+ in IEX-TP. It has neither re-requests nor snapshots here.
    Iex,
}

/// The feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Whose formats it has.
    pub venue: Venue,
    /// The beginning of its day, ns since 1970 UTC: what DEEP+ counts from.
    pub midnight_ns: u64,
    /// Session, at most 10 characters; IEX-TP makes a number of it.
    pub session: String,
    /// How much later each line is, ns: one or two lines, A first.
    pub line_delays_ns: Vec<u64>,
    /// Bytes of UDP payload at most: the longest message fits.
    pub packet_bytes: usize,
    /// How long a message waits for others to fill the packet.
    pub window_ns: u64,
    /// Silence after which a heartbeat is sent.
    pub heartbeat_ns: u64,
    /// Messages kept for re-requests, at least 1.
    pub keep: usize,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountOptions {
    /// At most 10 characters; compared without regard to case (SoupBinTCP 2.2.2).
    pub password: String,
    /// Cancel what is open when the connection goes.
    pub cancel_on_disconnect: bool,
    /// Firms that it may name, four characters each; none: any. The first is its own.
    pub firms: Vec<String>,
    /// What it may do.
    pub rights: Vec<Right>,
    /// Post-only orders that would take stand one step away instead of being cancelled.
    pub post_only_slides: bool,
    /// What happens when its own orders meet; none: they trade.
    pub self_match: Option<Prevention>,
    /// Live orders.
    pub orders_max: usize,
    /// Shares of one order; 0: what the protocol allows.
    pub qty_max: u32,
    /// Price times shares of one order, four decimals; 0: any.
    pub notional_max: u64,
    /// Price times shares of all that is open, four decimals; 0: any.
    pub exposure_max: u64,
    /// How far through the best price a limit may go, in hundredths of a percent; 0: anywhere.
    pub fat_finger_bps: u32,
    /// Orders a second; 0: any number.
    pub messages_per_second: u32,
    /// Symbols that it must not trade.
    pub restricted: Vec<String>,
}

impl AccountOptions {
    /// Whose name the feed shows for its attributed orders.
    pub(crate) fn firm_code(&self) -> [u8; 4] {
        padded(self.firms.first().map_or("TSTX", String::as_str))
    }
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Sell short.
    Short,
    /// Sell short, exempt.
    ShortExempt,
    /// Intermarket sweeps.
    Iso,
    /// Orders at any price.
    Market,
    /// Trade before market hours.
    PreMarket,
    /// Trade after market hours.
    PostMarket,
}
