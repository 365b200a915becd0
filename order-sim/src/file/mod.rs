//! The configuration file: TOML in the operator's units, made into plain options. `config/sim.toml` is its manual.
//!
//! When wrong:  an unknown key, a value of another kind, or one that cannot work is refused with one line: where it
//!              is, and what was expected.

mod sections;
pub(crate) mod staged;
mod values;

use crate::engine::{Limits, Listing, Prevention};
use crate::flow::recorded::Pace;
use crate::options;
use crate::server;
use rt::clock::SECOND_NS;
use sections::{
    Account, Clock, ClockMode, Day, Engine, Feed, File, Flow, Record, Right, Symbol, Sync, Venue,
};

const MS_NS: u64 = 1_000_000;
const US_NS: u64 = 1_000;
/// Prices have four decimals; the file says dollars.
const DOLLAR: u64 = 10_000;

/// Reads a configuration file's text.
///
/// # Errors
/// Line, key, and what would be right.
pub fn parse(text: &str) -> Result<server::Options, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| {
            text.get(..span.start)
                .unwrap_or_default()
                .matches('\n')
                .count()
                + 1
        });
        format!("line {line}: {}", error.message())
    })?;
    file.options()
}

impl File {
    fn options(self) -> Result<server::Options, String> {
        self.validate()?;
        let limits = self.limits();
        let faults = self.fault.into_iter().map(staged::Fault::options);
        let faults = faults.collect::<Result<_, String>>()?;
        let rules = self.behaviour.into_iter().map(staged::Rule::options);
        let rules = rules.collect::<Result<_, String>>()?;
        let accounts = self.account.into_iter();
        let accounts = accounts.map(|(name, account)| {
            let account = account.options(&name)?;
            Ok((name, account))
        });
        let accounts = accounts.collect::<Result<_, String>>()?;
        let mut lines = Vec::new();
        let (mut rerequest, mut glimpse) = (None, None);
        if let Some(feed) = &self.feed {
            let line = |line: &sections::Line| server::Line {
                address: line.address,
                interface: line.interface,
            };
            lines.extend(feed.lines.iter().map(line));
            (rerequest, glimpse) = (feed.rerequest, feed.glimpse);
        }
        let exchange = options::Options {
            session: self.session,
            fill_every: self.fill_every,
            store_max: self.store_max,
            notional_max: self.notional_max.saturating_mul(DOLLAR),
            day: self.day.map(Day::options).transpose()?,
            limits,
            symbols: self.symbol.iter().map(Symbol::options).collect(),
            flow: self.flow.map(Flow::options).transpose()?,
            feed: self.feed.map(Feed::options).transpose()?,
            accounts,
            rules,
            faults,
            fault_seed: self.fault_seed,
        };
        Ok(server::Options {
            exchange,
            address: self.address,
            store: self.store,
            is_synced: self.sync == Sync::Always,
            connections_max: self.connections_max,
            unread_bytes_max: self.unread_bytes_max,
            wire_stamps: self.wire_stamps,
            control: self.control,
            metrics: self.metrics,
            report: self.report,
            cpu: self.cpu,
            is_busy: self.is_busy,
            clock: self.clock.options(),
            record: self.record.map(Record::options).transpose()?,
            lines,
            rerequest,
            glimpse,
        })
    }

    /// What sections must be beside one another.
    fn validate(&self) -> Result<(), String> {
        if self.account.is_empty() {
            return Err("no account, expected at least one [account.NAME]".to_owned());
        }
        name_of_session("session", &self.session)?;
        if self.engine.orders_max == 0 || self.engine.levels_max == 0 {
            return Err("engine: orders_max and levels_max: expected at least 1".to_owned());
        }
        let has_glimpse = self
            .feed
            .as_ref()
            .is_some_and(|feed| feed.glimpse.is_some());
        let has_market = self.flow.is_some() || self.day.is_some() || !self.symbol.is_empty();
        if self.record.is_some() && (has_market || has_glimpse) {
            return Err(
                "record: has its own market, hours, symbols and feed: expected no flow, \
                        day, symbol or feed.glimpse beside it"
                    .to_owned(),
            );
        }
        let is_iex = |feed: &Feed| feed.venue == Venue::Iex;
        if self.record.is_some() && self.feed.as_ref().is_some_and(is_iex) {
            return Err("feed.venue: a record is ITCH, expected \"nasdaq\"".to_owned());
        }
        if self.flow.as_ref().is_some_and(|flow| flow.symbols == 0) && self.symbol.is_empty() {
            return Err("flow: no symbols: expected flow.symbols or [[symbol]]".to_owned());
        }
        Ok(())
    }

    /// How much room the engine takes. Stocks are known beforehand unless a record or clients name them.
    fn limits(&self) -> Limits {
        let of_flow = self
            .flow
            .as_ref()
            .map_or(0, |flow| usize::from(flow.symbols));
        let named = u16::try_from(self.symbol.len() + of_flow);
        let stocks_max = named
            .ok()
            .filter(|named| *named > 0 && self.record.is_none());
        let Engine {
            orders_max,
            levels_max,
            trades_max,
            pause_ms,
        } = self.engine;
        Limits {
            stocks_max: stocks_max.unwrap_or(u16::MAX),
            orders_max,
            levels_max,
            trades_max,
            pause_ns: pause_ms.saturating_mul(MS_NS),
        }
    }
}

impl Clock {
    fn options(self) -> server::ClockOptions {
        server::ClockOptions {
            mode: match self.mode {
                ClockMode::Wall => server::ClockMode::Wall,
                ClockMode::Steps => server::ClockMode::Steps,
            },
            start_ns: self.start,
            step_ns: self.step_us.saturating_mul(US_NS),
            wait_for_login_ns: self.wait_for_login_ms.map(|ms| ms.saturating_mul(MS_NS)),
        }
    }
}

impl Day {
    fn options(self) -> Result<options::Day, String> {
        if !(self.open < self.close && self.close <= self.end) {
            return Err("day: expected open before close, and close not after end".to_owned());
        }
        Ok(options::Day {
            open_ns: self.open,
            close_ns: self.close,
            end_ns: self.end,
            late_ns: self.late_s.saturating_mul(SECOND_NS),
            imbalance_ns: self.imbalance_s.saturating_mul(SECOND_NS),
        })
    }
}

impl Symbol {
    fn options(&self) -> options::Symbol {
        options::Symbol {
            listing: Listing {
                symbol: self.name,
                reference_price: self.price,
                band_bps: self.band_bps,
            },
            is_short_restricted: self.short_restricted,
        }
    }
}

impl Flow {
    fn options(self) -> Result<options::Flow, String> {
        if self.rate == 0 || self.burst == 0 || self.depth == 0 {
            return Err("flow: rate, burst and depth: expected at least 1".to_owned());
        }
        Ok(options::Flow {
            seed: self.seed,
            symbols: self.symbols,
            rate: self.rate,
            burst: self.burst,
            depth: self.depth,
            limit: self.limit,
        })
    }
}

impl Record {
    fn options(self) -> Result<server::Record, String> {
        if self.rate == Some(0) || !self.speed.is_finite() || self.speed <= 0.0 {
            return Err("record: rate and speed: expected more than 0".to_owned());
        }
        Ok(server::Record {
            file: self.file,
            pace: self.rate.map_or(Pace::Speed(self.speed), Pace::Rate),
        })
    }
}

impl Account {
    fn options(self, name: &str) -> Result<options::AccountOptions, String> {
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
        let rule = |code| Prevention::of_code(u8::try_from(code).ok()?);
        let self_match = self.self_match.and_then(rule);
        if self.self_match.is_some() && self_match.is_none() {
            return Err(format!(
                "account.{name}.self_match: expected \"W\", \"O\" or \"D\""
            ));
        }
        Ok(options::AccountOptions {
            password: self.password,
            cancel_on_disconnect: self.cancel_on_disconnect,
            firms: self.firms,
            rights: self.rights.into_iter().map(Right::options).collect(),
            post_only_slides: self.post_only_slides,
            self_match,
            orders_max: self.orders_max,
            qty_max: self.qty_max,
            notional_max: self.notional_max.saturating_mul(DOLLAR),
            exposure_max: self.exposure_max.saturating_mul(DOLLAR),
            fat_finger_bps: self.fat_finger_bps,
            messages_per_second: self.messages_per_second,
            restricted: self.restricted,
        })
    }
}

impl Right {
    fn options(self) -> options::Right {
        match self {
            Self::Short => options::Right::Short,
            Self::ShortExempt => options::Right::ShortExempt,
            Self::Iso => options::Right::Iso,
            Self::Market => options::Right::Market,
            Self::PreMarket => options::Right::PreMarket,
            Self::PostMarket => options::Right::PostMarket,
        }
    }
}

impl Feed {
    fn options(self) -> Result<options::Feed, String> {
        name_of_session("feed.session", &self.session)?;
        if self.lines.is_empty() || self.lines.len() > 2 {
            return Err("feed.lines: expected one or two".to_owned());
        }
        // A header, a block's length and the longest message must fit.
        let is_iex = self.venue == Venue::Iex;
        let least = if is_iex {
            protocol::iex_tp::Header::LEN + 2 + protocol::deep_plus::LEN_MAX
        } else {
            protocol::mold::Header::LEN + 2 + protocol::itch::LEN_MAX
        };
        if self.packet_bytes < least || self.packet_bytes > 65_507 {
            return Err(format!("feed.packet_bytes: expected {least} to 65507"));
        }
        if self.keep == 0 || self.heartbeat_ms == 0 {
            return Err("feed: keep and heartbeat_ms: expected at least 1".to_owned());
        }
        let delays = self
            .lines
            .iter()
            .map(|line| line.delay_us.saturating_mul(US_NS));
        if is_iex && self.glimpse.is_some() {
            return Err("feed.venue: \"iex\" has no glimpse".to_owned());
        }
        Ok(options::Feed {
            venue: if is_iex {
                options::Venue::Iex
            } else {
                options::Venue::Nasdaq
            },
            midnight_ns: 0,
            session: self.session,
            line_delays_ns: delays.collect(),
            packet_bytes: self.packet_bytes,
            window_ns: self.window_us.saturating_mul(US_NS),
            heartbeat_ns: self.heartbeat_ms.saturating_mul(MS_NS),
            keep: self.keep,
        })
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
        assert_eq!(parse(GOOD).unwrap().exchange.fill_every, 0);
        let unknown = parse(&GOOD.replace("password", "pasword")).unwrap_err();
        assert!(
            unknown.contains("line 3") && unknown.contains("unknown field"),
            "{unknown}"
        );
        assert!(parse("address = \"127.0.0.1:1\"\naccount = {}").is_err());
    }

    /// `sim.toml` with the comment marks taken from its keys and sections.
    fn manual() -> (String, String) {
        let text = include_str!("../../../config/sim.toml");
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
        let stated = parse(&text).unwrap();
        let least = "address = \"127.0.0.1:12000\"\n[account.demo]\npassword = \"demo\"\n";
        assert_eq!(stated, parse(least).unwrap());
        // A record and a flow exclude one another, and lines that explain choices are no keys.
        let all: String = all
            .lines()
            .filter(|line| !line.starts_with("on = ") || line.contains("= \""))
            .map(|line| format!("{line}\n"))
            .collect();
        let (before, after) = all.split_once("[record]").unwrap();
        let (_, after) = after.split_once("[feed]").unwrap();
        let full = parse(&format!("{before}[feed]{after}")).unwrap();
        let full = full.exchange;
        assert!(full.feed.is_some() && full.flow.is_some());
        assert_eq!(full.day, Some(Day::default().options().unwrap()));
        assert_eq!(
            (full.symbols.len(), full.rules.len(), full.faults.len()),
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
            (
                "[feed]\nlines = [{ address = \"1.2.3.4:5\" }]\nvenue = \"iex\"\nglimpse = \
                 \"1.2.3.4:6\"\n",
                "feed.venue",
            ),
            (
                "[feed]\nlines = [{ address = \"1.2.3.4:5\" }]\nvenue = \"iex\"\n\
                 [record]\nfile = \"day\"\n",
                "feed.venue",
            ),
            ("[day]\nopen = \"10:00:00\"\nclose = \"09:00:00\"\n", "day"),
            (
                "[account.other]\npassword = \"p\"\nself_match = \"X\"\n",
                "self_match",
            ),
        ] {
            let error = parse(&format!("{GOOD}{more}")).unwrap_err();
            assert!(error.contains(key), "{error}");
        }
    }
}
