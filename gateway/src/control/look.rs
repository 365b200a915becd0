//! What is seen of a running gateway, as rows of an answer.
//!
//! Thread:      the control socket's; views are read without a lock
//! Invariants:  rows are of different moments (`order::snapshot`): what stands still is shown as it is, what moves
//!              within its pass.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use feed_handler::feed::{STALE_ENDED, STALE_GAP, STALE_SILENT, STALE_WAITING};

use super::answer::{
    AccountPositionsRow, CoreRow, FeedRow, KillStatus, MESSAGES_MISSING, ORDERS_MAX, OrderRow,
    Orders, POSITIONS_MAX, Positions, PositionsRow, SessionRow, Status, StrategyRow,
};
use super::guard::Guards;
use super::moment::Moment;
use super::request::Filter;
use crate::message::intent::Owner;
use crate::options::Account;
use crate::order::entry::{LiveOrder, State};
use crate::order::risk::{DOLLAR, KillCause};
use crate::service::control::{Control, CoreControl, FeedControl, SessionControl};
use crate::telemetry::{PositionReport, state_word};

/// The scope of a kill of every session.
pub(super) const ALL: &str = "all";

/// What only who has looked before can say.
#[derive(Debug)]
pub(super) struct Memory {
    started_ns: u64,
    cores: Vec<CoreSeen>,
    /// When each session's kill was first seen, seconds of 1970.
    killed_since_s: Vec<Option<u64>>,
    /// Whether each session was open at any look.
    pub(super) was_open: Vec<bool>,
    /// Who watches.
    pub(super) guards: Guards,
    /// Strategies that this door has paused.
    pub(super) is_paused: Vec<bool>,
}

/// How far a core was, and when it got there.
#[derive(Clone, Copy, Debug)]
struct CoreSeen {
    turns: u64,
    moved_ns: u64,
}

impl Memory {
    pub(super) fn new(control: &Control, now: Moment) -> Self {
        let seen = CoreSeen {
            turns: 0,
            moved_ns: now.now_ns,
        };
        let mut memory = Self {
            started_ns: now.now_ns,
            cores: vec![seen; control.cores.len()],
            killed_since_s: vec![None; control.sessions.len()],
            was_open: vec![false; control.sessions.len()],
            guards: Guards::default(),
            is_paused: vec![false; control.strategies.len()],
        };
        memory.look(control, now);
        memory
    }

    /// Notes what has changed since the last look.
    pub(super) fn look(&mut self, control: &Control, now: Moment) {
        for (seen, core) in self.cores.iter_mut().zip(&control.cores) {
            let turns = turns_of(core);
            if turns != seen.turns {
                let moved_ns = now.now_ns;
                *seen = CoreSeen { turns, moved_ns };
            }
        }
        for (since_s, session) in self.killed_since_s.iter_mut().zip(&control.sessions) {
            if !session.kill.is_on() {
                *since_s = None;
            } else if since_s.is_none() {
                *since_s = Some(now.wall_s);
            }
        }
        for (was_open, session) in self.was_open.iter_mut().zip(&control.sessions) {
            let health = session.session.health();
            *was_open |= health.is_some_and(|it| it.state == State::Open);
        }
    }

    /// Sessions of the same account that nobody has seen open.
    pub(super) fn waits_for(&self, control: &Control, index: usize) -> Vec<String> {
        let mut accounts = control.accounts.iter();
        let Some(account) = accounts.find(|it| it.sessions.contains(&index)) else {
            return Vec::new();
        };
        let others = account.sessions.iter().filter(|&&at| at != index);
        let unseen = others.filter(|&&at| !self.was_open.get(at).is_none_or(|it| *it));
        let names = unseen.filter_map(|&at| Some(control.sessions.get(at)?.name.clone()));
        names.collect()
    }

    pub(super) fn status(&self, control: &Control, now: Moment) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_s: now.now_ns.saturating_sub(self.started_ns) / 1_000_000_000,
            is_ready: Some(control.manager.is_ready()),
            host_drifts: (control.host_drifts.as_ref()).map(|it| it.load(Ordering::Relaxed)),
            kill: self.kill(control),
            cores: self.cores(control, now),
            feeds: control.feeds.iter().map(feed).collect(),
            sessions: self.sessions(control),
            guards: self.guards.rows(now.now_ns),
        }
    }

    fn cores(&self, control: &Control, now: Moment) -> Vec<CoreRow> {
        let seen = self.cores.iter().zip(&control.cores);
        let rows = seen.map(|(seen, core)| {
            let turns = turns_of(core);
            let still_ns = now.now_ns.saturating_sub(seen.moved_ns);
            CoreRow {
                name: core.name.clone(),
                cpu: core.cpu,
                turns,
                still_ms: if turns == seen.turns {
                    still_ns / 1_000_000
                } else {
                    0
                },
            }
        });
        rows.collect()
    }

    pub(super) fn sessions(&self, control: &Control) -> Vec<SessionRow> {
        let sessions = control.sessions.iter().enumerate();
        let rows = sessions.map(|(index, session)| {
            let health = session.session.health();
            let strategies = control.strategies.iter().zip(&self.is_paused);
            let own = strategies.filter(|(strategy, _)| strategy.session == index);
            let strategy = |name: &String, is_paused| StrategyRow {
                name: name.clone(),
                is_paused,
            };
            SessionRow {
                name: session.name.clone(),
                state: state_of(session),
                address: address_of(session, health.map_or(0, |health| health.address)),
                open_orders: health.map_or(0, |health| health.open_orders),
                in_doubt: health.map_or(0, |health| health.in_doubt),
                next_seq: health.map_or(0, |health| health.next_seq.0),
                gross_dollars: health.map_or(0, |health| health.gross / DOLLAR),
                net_dollars: health.map_or(0, |health| health.net / DOLLAR),
                profit_dollars: health.map_or(0, |health| health.profit / DOLLAR.cast_signed()),
                killed: killed(control, session),
                waits_for: self.waits_for(control, index),
                strategies: own
                    .map(|(one, paused)| strategy(&one.name, *paused))
                    .collect(),
            }
        });
        rows.collect()
    }

    /// Whether trading is stopped: what the switches say, and the file, which a restart finds.
    pub(super) fn kill(&self, control: &Control) -> KillStatus {
        let (record, file_error) = match control.kill_file.as_ref().map(|file| file.record()) {
            None => (None, None),
            Some(Ok(record)) => (record, None),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        let on = |it: &&SessionControl| it.kill.is_on();
        let killed: Vec<&SessionControl> = control.sessions.iter().filter(on).collect();
        let is_whole = record.is_some() || killed.len() == control.sessions.len();
        let scope = if killed.is_empty() && record.is_none() {
            Vec::new()
        } else if is_whole {
            vec![ALL.to_owned()]
        } else {
            let scopes = killed.iter().map(|it| scope_of(control, it));
            let scopes: BTreeSet<String> = scopes.collect();
            scopes.into_iter().collect()
        };
        let outlives_restart = record.is_some();
        let words = control.sessions.iter().map(|it| {
            let cause = it.kill.cause().map_or(0, |cause| cause as u8);
            format!("{cause}.{} ", it.kill.began_code())
        });
        let sighting = format!("{}{record:?}", words.collect::<String>());
        let record = record.unwrap_or_default();
        let causes = killed.iter().filter_map(|session| session.kill.cause());
        let first = causes.map(|cause| cause.to_string()).next();
        let seen_s = self.killed_since_s.iter().flatten().min();
        let began = killed.iter().find_map(|session| began_of(control, session));
        KillStatus {
            scope,
            began: Some(record.session).filter(|it| !it.is_empty()).or(began),
            // A restart forgets the first cause; the file has it.
            cause: Some(record.cause).filter(|it| !it.is_empty()).or(first),
            since_s: record.since_s.or_else(|| seen_s.copied()),
            why: record.why,
            outlives_restart,
            file_error,
            sighting,
        }
    }
}

/// What has to be said to resume a session: its account where others trade for that, else its name.
fn scope_of(control: &Control, session: &SessionControl) -> String {
    let mut accounts = control.accounts.iter().filter(|it| it.sessions.len() > 1);
    let is_of = |at: &usize| (control.sessions.get(*at)).is_some_and(|it| it.name == session.name);
    match accounts.find(|it| it.sessions.iter().any(is_of)) {
        Some(account) => format!("account {}", account.name),
        None => session.name.clone(),
    }
}

/// The sessions of a scope.
pub(super) fn members<'a>(
    control: &'a Control,
    scope: &'a str,
) -> impl Iterator<Item = &'a SessionControl> {
    let sessions = control.sessions.iter();
    sessions.filter(move |session| is_member(control, scope, session))
}

/// Whether a session is of a scope.
pub(super) fn is_member(control: &Control, scope: &str, session: &SessionControl) -> bool {
    scope == ALL || scope_of(control, session) == scope
}

/// The session that has stopped trading, where one has: of a session's account, or by way of housekeeping any other.
fn began_of(control: &Control, session: &SessionControl) -> Option<String> {
    let own = || {
        session
            .kill
            .cause()
            .is_some_and(KillCause::stops_the_account)
    };
    match session.kill.began() {
        Some(at) => control.sessions.get(at).map(|it| it.name.clone()),
        None => own().then(|| session.name.clone()),
    }
}

/// Why a session is stopped, and which one of its account began it, where that was another.
fn killed(control: &Control, session: &SessionControl) -> Option<String> {
    let cause = session.kill.cause()?;
    let began = session.kill.began().and_then(|at| control.sessions.get(at));
    Some(match began {
        Some(began) => format!("{cause}, in session {}", began.name),
        None => cause.to_string(),
    })
}

fn turns_of(core: &CoreControl) -> u64 {
    core.state.turns.load(Ordering::Relaxed)
}

/// How far a session is, in the report's words.
pub(super) fn state_of(session: &SessionControl) -> String {
    let health = session.session.health();
    health.map_or_else(|| "unknown".to_owned(), |health| state_word(health.state))
}

fn address_of(session: &SessionControl, index: u8) -> String {
    let address = session.addresses.get(usize::from(index));
    address.map_or_else(String::new, ToString::to_string)
}

fn feed(feed: &FeedControl) -> FeedRow {
    let stale = feed.counters.status.stale();
    let reasons = [
        (STALE_GAP, MESSAGES_MISSING),
        (STALE_ENDED, "its session is over"),
        (STALE_SILENT, "it is silent, or has not begun"),
        (STALE_WAITING, "messages are missing that may still come"),
    ];
    let reasons = reasons.into_iter().filter(|(bit, _)| stale & bit != 0);
    let silent = feed.counters.status.silent_lines();
    let is_silent = |line: &u32| silent >> line & 1 != 0;
    let used = u16::try_from(feed.best_prices.rows_used()).unwrap_or(u16::MAX);
    let named = (0..used).filter(|locate| feed.best_prices.symbol(*locate).is_some());
    let incomplete = |locate: &u16| stale == 0 && feed.best_prices.is_stale(*locate);
    FeedRow {
        name: feed.name.clone(),
        is_fresh: stale == 0,
        stale_because: reasons.map(|(_, text)| text.to_owned()).collect(),
        silent_lines: (0..u64::BITS)
            .filter(is_silent)
            .map(|line| line + 1)
            .collect(),
        stale_symbols: count(named.clone().filter(incomplete).count()),
        symbols: count(named.count()),
        messages: feed.counters.arbiter.messages.get(),
        messages_lost: feed.counters.arbiter.messages_lost.get(),
    }
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Live orders that fit, by session and number.
pub(super) fn orders(control: &Control, filter: &Filter) -> Orders {
    let mut found = Orders::default();
    let fits = |wanted: &Option<String>, it: &str| wanted.as_deref().is_none_or(|want| want == it);
    for (index, session) in control.sessions.iter().enumerate() {
        if !fits(&filter.session, &session.name) {
            continue;
        }
        let health = session.session.health();
        found.open_orders += health.map_or(0, |health| u64::from(health.open_orders));
        let strategy_of = |order: &LiveOrder| {
            let (owner, _) = order.desk?;
            name_of(control, index, owner)
        };
        let live = session.session.orders().filter(|order| {
            let has_strategy = match &filter.strategy {
                None => true,
                Some(wanted) => strategy_of(order).is_some_and(|name| name == wanted),
            };
            has_strategy && fits(&filter.symbol, order.symbol.as_str())
        });
        let mut live: Vec<LiveOrder> = live.collect();
        live.sort_unstable_by_key(|order| order.user_ref);
        let room = ORDERS_MAX - found.orders.len();
        found.left_off += live.len().saturating_sub(room);
        let rows = live.iter().take(room);
        found.orders.extend(rows.map(|order| OrderRow {
            session: session.name.clone(),
            strategy: strategy_of(order).map(str::to_owned),
            ..order_row(order)
        }));
    }
    found
}

fn name_of(control: &Control, session: usize, owner: Owner) -> Option<&str> {
    let mut strategies = control.strategies.iter();
    let found = strategies.find(|one| one.session == session && one.owner == owner);
    found.map(|strategy| strategy.name.as_str())
}

fn order_row(order: &LiveOrder) -> OrderRow {
    let state = if order.is_changing {
        "changing"
    } else if order.is_accepted {
        "open"
    } else {
        "sent"
    };
    OrderRow {
        user_ref: order.user_ref.0,
        id: order.desk.map(|(_, id)| id.0),
        symbol: order.symbol.to_string(),
        side: format!("{:?}", order.side).to_lowercase(),
        price: order.price.to_string(),
        open: order.open.0,
        executed: order.executed.0,
        reserved: order.reserved.0,
        state: state.to_owned(),
        ..OrderRow::default()
    }
}

/// What accounts hold, or that of one session.
pub(super) fn positions(control: &Control, session: Option<&str>) -> Positions {
    let mut found = Positions::default();
    let mut room = POSITIONS_MAX;
    let meant = |it: &&SessionControl| session.is_none_or(|name| name == it.name);
    for session in control.sessions.iter().filter(meant) {
        let held = session.positions.iter().filter(|held| !held.is_flat());
        let mut positions: Vec<PositionReport> = held.map(PositionReport::of).collect();
        found.left_off += positions.len().saturating_sub(room);
        positions.truncate(room);
        room -= positions.len();
        found.sessions.push(PositionsRow {
            session: session.name.clone(),
            positions,
        });
    }
    if session.is_none() {
        let shared = control.accounts.iter().filter(|it| it.sessions.len() > 1);
        let rows = shared.map(|account| account_positions(control, account));
        found.accounts = rows.collect();
    }
    found
}

/// What an account's sessions hold together, symbol by symbol.
fn account_positions(control: &Control, account: &Account) -> AccountPositionsRow {
    let mut sums = BTreeMap::<String, PositionReport>::new();
    let sessions = account.sessions.iter();
    for session in sessions.filter_map(|at| control.sessions.get(*at)) {
        for held in session.positions.iter().map(PositionReport::of) {
            let sum = sums
                .entry(held.symbol.clone())
                .or_insert_with(|| PositionReport {
                    symbol: held.symbol.clone(),
                    ..PositionReport::default()
                });
            sum.position += held.position;
            sum.open_buy += held.open_buy;
            sum.open_sell += held.open_sell;
        }
    }
    let is_flat = |it: &PositionReport| (it.position, it.open_buy, it.open_sell) == (0, 0, 0);
    let positions = sums.into_values().filter(|it| !is_flat(it));
    AccountPositionsRow {
        account: account.name.clone(),
        positions: positions.take(POSITIONS_MAX).collect(),
    }
}
