//! Turns a session's risk settings into limits, and files and lists into what its day begins with.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use protocol::types::{Qty, Symbol};
use tickgate_config as settings;

use crate::options::{Account, AccountLimit};
use crate::order::account::DayStart;
use crate::order::links::owner_of;
use crate::order::risk::{DAY_NS, DOLLAR, Hours, LimitKey, Limits, RowLimits, Symbols};

/// Shares of one line: more than any company has, and times the highest price no number overflows.
const SHARES_MAX: u64 = 1_000_000_000_000;
const MS: u64 = 1_000_000;

/// The limits; hours count from the clock as it is now.
///
/// # Errors
/// The key and what is wrong with it.
pub(super) fn limits(risk: &settings::Risk) -> Result<Limits, String> {
    Ok(Limits {
        order_qty_max: Qty(risk.order_qty_max),
        notional_max: risk.notional_max_dollars * DOLLAR,
        collar_bps: risk.collar_bps,
        position_max: risk.position_max,
        gross_exposure_max: risk.gross_exposure_max_dollars * DOLLAR,
        net_exposure_max: risk.net_exposure_max_dollars * DOLLAR,
        loss_max: risk.loss_max_dollars * DOLLAR,
        open_orders_max: risk.open_orders_max,
        orders_per_second_max: risk.orders_per_second_max,
        cancels_per_second_max: risk.cancels_per_second_max,
        rejects_max: risk.rejects_max,
        reject_window_ns: risk.reject_window_ms * MS,
        duplicate_window_ns: risk.duplicate_window_ms * MS,
        may_self_cross: risk.allow_self_cross,
        hours: hours(risk, rt::clock::monotonic_ns(), Timestamp::now())?,
        intent_age_max_ns: risk.intent_age_max_ms * MS,
    })
}

/// Limits of parts of the account; `strategies` are the session's, in order.
///
/// # Errors
/// The key and what is wrong with it.
pub(super) fn rows(risk: &settings::Risk, strategies: &[&str]) -> Result<Vec<RowLimits>, String> {
    let rows = risk.limit.iter().map(|row| {
        let owner = if row.strategy == "*" {
            None
        } else {
            let at = strategies.iter().position(|name| *name == row.strategy);
            let at = at.ok_or_else(|| format!("limit: no strategy \"{}\"", row.strategy))?;
            Some(owner_of(at))
        };
        Ok(RowLimits {
            owner,
            symbols: Symbols::parse(&row.symbol).map_err(|error| format!("limit: {error}"))?,
            order_qty_max: row.order_qty_max.map(Qty),
            notional_max: row.notional_max_dollars.map(|dollars| dollars * DOLLAR),
            position_max: row.position_max,
            open_orders_max: row.open_orders_max,
            orders_per_second_max: row.orders_per_second_max,
        })
    });
    rows.collect()
}

/// Trading accounts of several sessions, or with limits of their own.
pub(super) fn accounts(settings: &settings::Settings) -> Vec<Account> {
    let place = |name: &str| settings.session.keys().position(|it| it == name);
    let accounts = settings
        .accounts()
        .into_iter()
        .filter_map(|(name, members)| {
            let section = settings.account.get(name);
            if members.len() < 2 && section.is_none() {
                return None;
            }
            let limits = section.into_iter().flat_map(|it| it.risk.limits());
            let limits = limits.filter_map(|(name, max)| {
                let key = LimitKey::named(name)?;
                Some(AccountLimit { key, max })
            });
            Some(Account {
                name: name.to_owned(),
                sessions: members.iter().filter_map(|it| place(it.name)).collect(),
                // A rate of 0 is any number.
                limits: limits.filter(|it| it.max > 0).collect(),
            })
        });
    accounts.collect()
}

/// What the day begins with.
///
/// # Errors
/// The key and what is wrong with it.
pub(super) fn day_start(risk: &settings::Risk) -> Result<DayStart, String> {
    let symbols = |key: &str, list: &[String]| {
        let read = |text: &String| {
            Symbol::new(text)
                .ok_or_else(|| format!("{key}: \"{text}\": expected 1 to 8 printable characters"))
        };
        list.iter().map(read).collect::<Result<Vec<_>, _>>()
    };
    let positions = if risk.positions_file.is_empty() {
        None
    } else {
        let path = Path::new(&risk.positions_file);
        let shown = path.display();
        let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let read = read.map_err(|error| format!("positions_file: {shown}: {error}"))?;
        Some(positions(&read).map_err(|error| format!("positions_file: {shown}:{error}"))?)
    };
    Ok(DayStart {
        began_ns: midnight_ns(zone(risk)?, Timestamp::now()),
        positions,
        restricted: symbols("restricted", &risk.restricted)?,
        no_short: symbols("no_short", &risk.no_short)?,
    })
}

/// When the day began of a moment that is ns since 1970, on the same scale.
///
/// # Errors
/// The key and what is wrong with it.
pub(super) fn day_began_ns(risk: &settings::Risk, realtime_ns: u64) -> Result<u64, String> {
    let moment = Timestamp::from_nanosecond(i128::from(realtime_ns));
    let moment = moment.map_err(|error| error.to_string())?;
    Ok(midnight_ns(zone(risk)?, moment))
}

/// Lines `SYMBOL,SHARES`.
///
/// # Errors
/// The line's number, what it has, what was expected.
fn positions(text: &str) -> Result<Vec<(Symbol, i64)>, String> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let wrong = |expected: &str| format!("{number}: \"{line}\": {expected}");
        let (name, shares) = line
            .split_once(',')
            .ok_or_else(|| wrong("expected SYMBOL,SHARES"))?;
        let symbol = Symbol::new(name.trim())
            .ok_or_else(|| wrong("expected a symbol of 1 to 8 printable characters"))?;
        let shares: i64 = shares
            .trim()
            .parse()
            .ok()
            .filter(|shares: &i64| shares.unsigned_abs() <= SHARES_MAX)
            .ok_or_else(|| {
                wrong("expected shares, a whole number up to 1000000000000 either way")
            })?;
        if !seen.insert(symbol.0) {
            return Err(wrong(
                "the symbol stands on an earlier line, expected it once",
            ));
        }
        found.push((symbol, shares));
    }
    Ok(found)
}

/// The trading hours; `None`: orders may go at any time.
fn hours(
    risk: &settings::Risk,
    monotonic_ns: u64,
    now: Timestamp,
) -> Result<Option<Hours>, String> {
    let text = &risk.trading_hours;
    if text.is_empty() {
        return Ok(None);
    }
    let wrong =
        || format!("trading_hours: \"{text}\": expected a time and a later one, \"09:30-16:00\"");
    let (from, until) = text.split_once('-').ok_or_else(wrong)?;
    let read = |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| wrong());
    let (from_ns, until_ns) = (since_midnight(read(from)?), since_midnight(read(until)?));
    if from_ns >= until_ns {
        return Err(wrong());
    }
    let zone = zone(risk)?;
    let clock_ns = since_midnight(now.to_zoned(zone).time());
    Ok(Some(Hours {
        clock_offset_ns: (clock_ns + DAY_NS - monotonic_ns % DAY_NS) % DAY_NS,
        from_ns,
        until_ns,
    }))
}

fn zone(risk: &settings::Risk) -> Result<TimeZone, String> {
    TimeZone::get(&risk.time_zone).map_err(|_| {
        format!(
            "time_zone: \"{}\": not in the host's zoneinfo, expected a name such as \"America/New_York\"",
            risk.time_zone
        )
    })
}

/// When the date of `now` began there, ns since 1970. The first day of all times has no beginning; nobody trades on it.
fn midnight_ns(zone: TimeZone, now: Timestamp) -> u64 {
    let began = now.to_zoned(zone).start_of_day();
    began.map_or(0, |it| {
        u64::try_from(it.timestamp().as_nanosecond()).unwrap_or(0)
    })
}

fn since_midnight(time: Time) -> u64 {
    let of = |value: i8| u64::try_from(value).unwrap_or(0);
    let seconds = (of(time.hour()) * 60 + of(time.minute())) * 60 + of(time.second());
    seconds * 1_000_000_000 + u64::try_from(time.subsec_nanosecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_and_a_bad_line_is_named() {
        let symbol = |name| Symbol::new(name).unwrap();
        let text = "# of yesterday\nAAPL,100\n\n MSFT , -20 # short\n";
        let read = positions(text);
        assert_eq!(read, Ok(vec![(symbol("AAPL"), 100), (symbol("MSFT"), -20)]));
        assert_eq!(positions(""), Ok(Vec::new()));
        for (text, expected) in [
            ("AAPL", "1: \"AAPL\": expected SYMBOL,SHARES"),
            (
                "A,1\nB,x",
                "2: \"B,x\": expected shares, a whole number up to 1000000000000 either way",
            ),
            (
                "A,1000000000001",
                "1: \"A,1000000000001\": expected shares, a whole number up to 1000000000000 either way",
            ),
            (
                "A,1.5",
                "1: \"A,1.5\": expected shares, a whole number up to 1000000000000 either way",
            ),
            (
                ",1",
                "1: \",1\": expected a symbol of 1 to 8 printable characters",
            ),
            (
                "A,1\nA,2",
                "2: \"A,2\": the symbol stands on an earlier line, expected it once",
            ),
        ] {
            assert_eq!(positions(text), Err(expected.to_owned()));
        }
    }

    fn risk() -> settings::Risk {
        let layers = settings::Layers {
            file: Some(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/first.toml").into()),
            ..settings::Layers::default()
        };
        let mut loaded = layers.load().unwrap().settings;
        loaded.session.remove("ouch").unwrap().risk
    }

    #[test]
    fn hours_are_those_of_the_zone_on_the_gateways_clock() {
        let mut risk = risk();
        risk.trading_hours = "09:30-16:00".to_owned();
        // 14:29:59 UTC is 09:29:59 in New York in winter.
        let now: Timestamp = "2026-01-15T14:29:59Z".parse().unwrap();
        let second = 1_000_000_000;
        let clock_ns = 7 * DAY_NS + 12_345;
        let hours = hours(&risk, clock_ns, now).unwrap().unwrap();
        let open = [0, 1, 6 * 3_600 + 30 * 60, 6 * 3_600 + 30 * 60 + 1]
            .map(|after| hours.contain(clock_ns + after * second));
        assert_eq!(open, [false, true, true, false]);
    }

    #[test]
    fn day_begins_at_the_zones_midnight_also_when_clocks_are_put_forward() {
        let began = |zone: &str, now: &str| {
            let zone = TimeZone::get(zone).unwrap();
            let began_ns = midnight_ns(zone, now.parse().unwrap());
            Timestamp::from_nanosecond(i128::from(began_ns))
                .unwrap()
                .to_string()
        };
        // 01:30 UTC is the evening before in New York.
        let evening = began("America/New_York", "2026-01-15T01:30:00Z");
        assert_eq!(evening, "2026-01-14T05:00:00Z");
        let summer = began("America/New_York", "2026-03-08T20:00:00Z");
        assert_eq!(summer, "2026-03-08T05:00:00Z");
        assert_eq!(began("UTC", "2026-01-15T00:00:00Z"), "2026-01-15T00:00:00Z");
    }

    #[test]
    fn hours_and_zones_that_are_none_are_refused() {
        for (hours_text, zone, expected) in [
            (
                "9 to 5",
                "UTC",
                "trading_hours: \"9 to 5\": expected a time",
            ),
            (
                "16:00-09:30",
                "UTC",
                "trading_hours: \"16:00-09:30\": expected a time and a later",
            ),
            (
                "09:30-16:00",
                "Mars/Base",
                "time_zone: \"Mars/Base\": not in the host's zoneinfo",
            ),
        ] {
            let mut risk = risk();
            (risk.trading_hours, risk.time_zone) = (hours_text.into(), zone.into());
            let found = hours(&risk, 0, Timestamp::now()).unwrap_err();
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
