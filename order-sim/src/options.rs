//! What the exchange is made of, and its configuration file. `config/sim.toml` is its manual.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use protocol::soup::padded;
use serde::Deserialize;

use crate::engine::{self, Prevention};
use crate::fault::Fault;
use crate::flow::recorded::Pace;
use crate::script::Rule;
use crate::values::{price, symbol, time_of_day, time_of_day_or_none};

/// Everything, as the configuration file says it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where order entry listens.
    pub address: SocketAddr,
    /// Name of the order entry session, at most 10 characters.
    #[serde(default = "session")]
    pub session: String,
    /// Every n-th accepted order of an account is filled at its limit by the house, as far as the book did
    /// not; 0: none.
    #[serde(default)]
    pub fill_every: u64,
    /// Messages kept for each account for clients that come back; beyond it the account is closed.
    #[serde(default = "store_max")]
    pub store_max: usize,
    /// Folder for the accounts' messages; none: memory only.
    #[serde(default)]
    pub store: Option<PathBuf>,
    /// When the folder's files are synced to the disk.
    #[serde(default)]
    pub sync: Sync,
    /// Connections at one time.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// Bytes that may wait for a client that does not read; then it is cut off.
    #[serde(default = "unread_bytes_max")]
    pub unread_bytes_max: usize,
    /// Price times shares of one order at most, in dollars; 0: any.
    #[serde(default)]
    pub notional_max: u64,
    /// File of wire stamps to write arrivals into (`rt::wire_stamps`).
    #[serde(default)]
    pub wire_stamps: Option<PathBuf>,
    /// Unix socket for commands and status; none: none.
    #[serde(default)]
    pub control: Option<PathBuf>,
    /// Where to write what was counted, as JSON, at the end.
    #[serde(default)]
    pub report: Option<PathBuf>,
    /// CPU to pin to.
    #[serde(default)]
    pub cpu: Option<usize>,
    /// Whether to wait busily: microseconds faster, and a whole CPU.
    #[serde(default)]
    pub is_busy: bool,
    /// What time it is.
    #[serde(default)]
    pub clock: Clock,
    /// Hours; none: it always trades.
    #[serde(default)]
    pub day: Option<Day>,
    /// How much room the engine has.
    #[serde(default)]
    pub engine: Engine,
    /// What is listed; none: a symbol is listed when it is first named.
    #[serde(default)]
    pub symbol: Vec<Symbol>,
    /// The market's own orders; none: clients are alone.
    #[serde(default)]
    pub flow: Option<Flow>,
    /// A recorded day as the market, instead of a flow.
    #[serde(default)]
    pub record: Option<Record>,
    /// The feed; none: nothing is published.
    #[serde(default)]
    pub feed: Option<Feed>,
    /// Accounts by user name.
    pub account: BTreeMap<String, Account>,
    /// Orders that get what they ask for.
    #[serde(default)]
    pub behaviour: Vec<Rule>,
    /// What goes wrong.
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// The same seed, the same chances of faults.
    #[serde(default = "seed")]
    pub fault_seed: u64,
}

/// When files are synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// The kernel writes when it likes: what was sent survives a crash of the program, not of the host.
    #[default]
    Never,
    /// Before each answer is sent.
    Always,
}

/// What time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clock {
    /// What moves it.
    pub mode: ClockMode,
    /// Time of day at the start; none: the host's (UTC).
    #[serde(deserialize_with = "time_of_day_or_none")]
    pub start: Option<u64>,
    /// Microseconds that each client message moves it, in mode `steps`.
    pub step_us: u64,
    /// Time stands still, and nothing is published, until the first client has logged in and this has
    /// passed since, ms; none: the day begins at once.
    pub wait_for_login_ms: Option<u64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            mode: ClockMode::Wall,
            start: None,
            step_us: 1000,
            wait_for_login_ms: None,
        }
    }
}

/// What moves the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockMode {
    /// The host's clock.
    Wall,
    /// Clients' messages, a step each: the same messages give the same bytes on every socket.
    Steps,
}

/// Hours of the day, ns since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Day {
    /// Opening cross.
    #[serde(deserialize_with = "time_of_day")]
    pub open: u64,
    /// Closing cross.
    #[serde(deserialize_with = "time_of_day")]
    pub close: u64,
    /// End of system hours.
    #[serde(deserialize_with = "time_of_day")]
    pub end: u64,
    /// Seconds before the close from which orders for its cross cannot be changed.
    pub late_s: u64,
    /// Seconds between two imbalance messages before a cross; 0: none.
    pub imbalance_s: u64,
}

const HOUR_NS: u64 = 3_600_000_000_000;

impl Default for Day {
    fn default() -> Self {
        Self {
            open: 9 * HOUR_NS + HOUR_NS / 2,
            close: 16 * HOUR_NS,
            end: 20 * HOUR_NS,
            late_s: 120,
            imbalance_s: 10,
        }
    }
}

/// How much room the engine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Live orders.
    pub orders_max: u32,
    /// Prices on one side of one symbol.
    pub levels_max: usize,
    /// Trades that can still be broken.
    pub trades_max: usize,
    /// How long a symbol pauses that left its bands, ms.
    pub pause_ms: u64,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            orders_max: 1_000_000,
            levels_max: 2048,
            trades_max: 100_000,
            pause_ms: 5000,
        }
    }
}

impl Engine {
    fn limits(&self, stocks_max: u16) -> engine::Limits {
        engine::Limits {
            stocks_max,
            orders_max: self.orders_max,
            levels_max: self.levels_max,
            trades_max: self.trades_max,
            pause_ns: self.pause_ms * 1_000_000,
        }
    }
}

/// One listing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Symbol {
    /// Its name.
    #[serde(deserialize_with = "symbol")]
    pub name: protocol::types::Symbol,
    /// The price that bands and crosses are measured from, four decimals.
    #[serde(deserialize_with = "price")]
    pub price: u32,
    /// How far from it the symbol may trade, in hundredths of a percent; 0: anywhere.
    #[serde(default)]
    pub band_bps: u32,
    /// Short sales must not hit bids.
    #[serde(default)]
    pub short_restricted: bool,
}

/// The market's own orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// The same seed gives the same market.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Symbols that it makes up beside those that are listed.
    #[serde(default)]
    pub symbols: u16,
    /// Orders, cancels and replacements a second, on average.
    pub rate: u32,
    /// How much faster bursts are than the average.
    #[serde(default = "burst")]
    pub burst: u32,
    /// Orders that each side of a symbol has in the long run.
    #[serde(default = "depth")]
    pub depth: u32,
    /// Steps after which nothing more comes; 0: no end.
    #[serde(default)]
    pub limit: u64,
}

/// A recorded day as the market.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// BinaryFILE, plain or `.gz`.
    pub file: PathBuf,
    /// Messages a second; none: at their own times.
    #[serde(default)]
    pub rate: Option<u32>,
    /// How many times as fast as their own times.
    #[serde(default = "speed")]
    pub speed: f64,
}

fn speed() -> f64 {
    1.0
}

/// The feed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// MoldUDP64 session, at most 10 characters.
    #[serde(default = "session")]
    pub session: String,
    /// Line A, then line B.
    pub lines: Vec<Line>,
    /// Bytes of UDP payload at most.
    #[serde(default = "packet_bytes")]
    pub packet_bytes: usize,
    /// How long a message waits for others to fill the packet, µs.
    #[serde(default)]
    pub window_us: u64,
    /// Silence after which a heartbeat is sent, ms.
    #[serde(default = "heartbeat_ms")]
    pub heartbeat_ms: u64,
    /// Messages kept for re-requests.
    #[serde(default = "keep")]
    pub keep: usize,
    /// Where re-requests are answered.
    #[serde(default)]
    pub rerequest: Option<SocketAddrV4>,
    /// Where snapshots are served.
    #[serde(default)]
    pub glimpse: Option<SocketAddrV4>,
}

/// One line of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Where it goes.
    pub address: SocketAddrV4,
    /// Address of the interface that it leaves by; none: the kernel's choice.
    #[serde(default)]
    pub interface: Option<std::net::Ipv4Addr>,
    /// How much later than the other, µs.
    #[serde(default)]
    pub delay_us: u64,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// At most 10 characters; compared without regard to case (SoupBinTCP 2.2.2).
    pub password: String,
    /// Cancel what is open when the connection goes.
    #[serde(default)]
    pub cancel_on_disconnect: bool,
    /// Firms that it may name, four characters each; none: any. The first is its own.
    #[serde(default)]
    pub firms: Vec<String>,
    /// What it may do.
    #[serde(default = "rights")]
    pub rights: Vec<Right>,
    /// Post-only orders that would take stand one step away instead of being cancelled.
    #[serde(default)]
    pub post_only_slides: bool,
    /// What happens when its own orders meet (`W`, `O`, `D`); none: they trade.
    #[serde(default)]
    pub self_match: Option<char>,
    /// Live orders.
    #[serde(default = "orders_max")]
    pub orders_max: usize,
    /// Shares of one order; 0: what the protocol allows.
    #[serde(default)]
    pub qty_max: u32,
    /// Price times shares of one order, dollars; 0: any.
    #[serde(default)]
    pub notional_max: u64,
    /// Price times shares of all that is open, dollars; 0: any.
    #[serde(default)]
    pub exposure_max: u64,
    /// How far through the best price a limit may go, in hundredths of a percent; 0: anywhere.
    #[serde(default)]
    pub fat_finger_bps: u32,
    /// Orders a second; 0: any number.
    #[serde(default)]
    pub messages_per_second: u32,
    /// Symbols that it must not trade.
    #[serde(default)]
    pub restricted: Vec<String>,
}

impl Account {
    pub(crate) fn prevention(&self) -> Option<Prevention> {
        Prevention::of_code(u8::try_from(self.self_match?).ok()?)
    }

    /// Whose name the feed shows for its attributed orders.
    pub(crate) fn firm_code(&self) -> [u8; 4] {
        padded(self.firms.first().map_or("TSTX", String::as_str))
    }
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
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

fn rights() -> Vec<Right> {
    use Right::{Iso, Market, PostMarket, PreMarket, Short, ShortExempt};
    vec![Short, ShortExempt, Iso, Market, PreMarket, PostMarket]
}

fn session() -> String {
    "SIM0000001".to_owned()
}

fn store_max() -> usize {
    10_000_000
}

fn connections_max() -> usize {
    256
}

fn unread_bytes_max() -> usize {
    16 << 20
}

fn orders_max() -> usize {
    100_000
}

fn packet_bytes() -> usize {
    1400
}

fn heartbeat_ms() -> u64 {
    1000
}

fn keep() -> usize {
    1 << 20
}

fn seed() -> u64 {
    1
}

fn burst() -> u32 {
    20
}

fn depth() -> u32 {
    60
}

impl Options {
    /// How much room the engine takes. Stocks are known beforehand unless a record or clients name them.
    pub(crate) fn limits(&self) -> engine::Limits {
        let of_flow = self.flow.map_or(0, |flow| usize::from(flow.symbols));
        let named = u16::try_from(self.symbol.len() + of_flow);
        let stocks_max = named
            .ok()
            .filter(|named| *named > 0 && self.record.is_none());
        self.engine.limits(stocks_max.unwrap_or(u16::MAX))
    }

    /// Reads a configuration file's text.
    ///
    /// # Errors
    /// Line, key, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let options: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text.get(..span.start)
                    .unwrap_or_default()
                    .matches('\n')
                    .count()
                    + 1
            });
            format!("line {line}: {}", error.message())
        })?;
        options.validate()?;
        Ok(options)
    }

    fn validate(&self) -> Result<(), String> {
        if self.account.is_empty() {
            return Err("no account, expected at least one [account.NAME]".to_owned());
        }
        name_of_session("session", &self.session)?;
        for (name, account) in &self.account {
            account.validate(name)?;
        }
        if let Some(feed) = &self.feed {
            feed.validate()?;
        }
        if let Some(day) = &self.day
            && !(day.open < day.close && day.close <= day.end)
        {
            return Err("day: expected open before close, and close not after end".to_owned());
        }
        if self.engine.orders_max == 0 || self.engine.levels_max == 0 {
            return Err("engine: orders_max and levels_max: expected at least 1".to_owned());
        }
        if let Some(record) = &self.record {
            record.validate()?;
            let has_glimpse = self
                .feed
                .as_ref()
                .is_some_and(|feed| feed.glimpse.is_some());
            if self.flow.is_some() || self.day.is_some() || !self.symbol.is_empty() || has_glimpse {
                return Err(
                    "record: has its own market, hours, symbols and feed: expected no flow, \
                            day, symbol or feed.glimpse beside it"
                        .to_owned(),
                );
            }
        }
        if let Some(flow) = &self.flow {
            if flow.rate == 0 || flow.burst == 0 || flow.depth == 0 {
                return Err("flow: rate, burst and depth: expected at least 1".to_owned());
            }
            if flow.symbols == 0 && self.symbol.is_empty() {
                return Err("flow: no symbols: expected flow.symbols or [[symbol]]".to_owned());
            }
        }
        self.fault.iter().try_for_each(Fault::validate)?;
        self.behaviour.iter().try_for_each(Rule::validate)
    }
}

impl Record {
    fn validate(&self) -> Result<(), String> {
        if self.rate == Some(0) || !self.speed.is_finite() || self.speed <= 0.0 {
            return Err("record: rate and speed: expected more than 0".to_owned());
        }
        Ok(())
    }

    /// When its messages come.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.rate.map_or(Pace::Speed(self.speed), Pace::Rate)
    }
}

impl Account {
    fn validate(&self, name: &str) -> Result<(), String> {
        if name.len() > 6 || self.password.len() > 10 {
            return Err(format!(
                "account.{name}: expected a name of at most 6 and a password of at most 10 \
                 characters"
            ));
        }
        if self
            .firms
            .iter()
            .any(|firm| firm.is_empty() || firm.len() > 4)
        {
            return Err(format!(
                "account.{name}.firms: expected 1 to 4 characters each"
            ));
        }
        if self.self_match.is_some() && self.prevention().is_none() {
            return Err(format!(
                "account.{name}.self_match: expected \"W\", \"O\" or \"D\""
            ));
        }
        Ok(())
    }
}

impl Feed {
    fn validate(&self) -> Result<(), String> {
        name_of_session("feed.session", &self.session)?;
        if self.lines.is_empty() || self.lines.len() > 2 {
            return Err("feed.lines: expected one or two".to_owned());
        }
        // A header, a block's length and the longest message must fit.
        let least = protocol::mold::Header::LEN + 2 + protocol::itch::LEN_MAX;
        if self.packet_bytes < least || self.packet_bytes > 65_507 {
            return Err(format!("feed.packet_bytes: expected {least} to 65507"));
        }
        if self.keep == 0 || self.heartbeat_ms == 0 {
            return Err("feed: keep and heartbeat_ms: expected at least 1".to_owned());
        }
        Ok(())
    }
}

fn name_of_session(key: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 10 || !name.is_ascii() {
        return Err(format!("{key}: \"{name}\": expected 1 to 10 characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "address = \"127.0.0.1:1\"\n[account.user]\npassword = \"p\"\n";

    #[test]
    fn file_is_read_and_faults_are_told() {
        assert_eq!(Options::parse(GOOD).unwrap().fill_every, 0);
        let unknown = Options::parse(&GOOD.replace("password", "pasword")).unwrap_err();
        assert!(
            unknown.contains("line 3") && unknown.contains("unknown field"),
            "{unknown}"
        );
        assert!(Options::parse("address = \"127.0.0.1:1\"\naccount = {}").is_err());
    }

    /// `sim.toml` with the comment marks taken from its keys and sections.
    fn manual() -> (String, String) {
        let text = include_str!("../../config/sim.toml");
        let is_key = |line: &str| {
            let word = line.split([' ', '=']).next().unwrap_or_default();
            line.starts_with('[')
                || line.starts_with("    {")
                || line == "]"
                || (line.contains(" = ")
                    && word.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        };
        let all = text.lines().map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_key(rest) => rest.to_owned(),
            _ => line.to_owned(),
        });
        (text.to_owned(), all.collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn the_manual_states_the_defaults_and_names_every_key() {
        let (text, all) = manual();
        let stated = Options::parse(&text).unwrap();
        let least = "address = \"127.0.0.1:12000\"\n[account.demo]\npassword = \"demo\"\n";
        assert_eq!(stated, Options::parse(least).unwrap());
        // A record and a flow exclude one another, and lines that explain choices are no keys.
        let all: String = all
            .lines()
            .filter(|line| !line.starts_with("on = ") || line.contains("= \""))
            .map(|line| format!("{line}\n"))
            .collect();
        let (before, after) = all.split_once("[record]").unwrap();
        let (_, after) = after.split_once("[feed]").unwrap();
        let full = Options::parse(&format!("{before}[feed]{after}")).unwrap();
        assert!(full.feed.is_some() && full.flow.is_some() && full.day == Some(Day::default()));
        assert_eq!(
            (full.symbol.len(), full.behaviour.len(), full.fault.len()),
            (1, 1, 1)
        );
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        for (more, key) in [
            ("[flow]\nrate = 1\n", "flow"),
            ("[feed]\nlines = []\n", "feed.lines"),
            (
                "[feed]\nlines = [{ address = \"1.2.3.4:5\" }]\npacket_bytes = 10\n",
                "packet_bytes",
            ),
            ("[day]\nopen = \"10:00:00\"\nclose = \"09:00:00\"\n", "day"),
            (
                "[account.other]\npassword = \"p\"\nself_match = \"X\"\n",
                "self_match",
            ),
        ] {
            let error = Options::parse(&format!("{GOOD}{more}")).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }
}
