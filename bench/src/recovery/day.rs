//! A day of orders, traded with order entry and the journal's writer as the gateway has them, in several runs, each of which
//! begins from what those before it left.
//!
//! ```text
//!  asks ──> order entry ──TCP──> exchange
//!               │  └<────────────answers
//!               └─ ring ──> writer ──> journal, drop copy
//! ```
//!
//! Every other run is killed: its journal has no end.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::Origin;
use feed_handler::position::Position;
use gateway::journal::batch::BATCH_BYTES;
use gateway::journal::copy_format::CopyFormat;
use gateway::journal::disk::Disk;
use gateway::journal::drop_copy::DropCopy;
use gateway::journal::head::{Began, Names, SessionNames};
use gateway::journal::inlet::{inlet, orders_in};
use gateway::journal::look_back::look_back;
use gateway::journal::writer::{JournalOptions, Sync, Writer};
use gateway::message::intent::{Action, Cause, OrderId, OrderIntent, Owner, TimeInForce};
use gateway::message::terms::Terms;
use gateway::order::account::Account;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{
    Asked, Credentials, DeskOptions, Entry, FoundOrders, Lifecycle, Received,
};
use gateway::order::risk::{KillSwitch, Limits, Risk};
use gateway::order::telling::AnswerEvent;
use protocol::types::{Price4, Qty, Side, Symbol, UserRefNum};
use rt::clock::{monotonic_ns, realtime_ns};
use rt::mem::Want;

use super::{ACCOUNT, SESSION, STRATEGIES};

/// The gateway's default.
const RING_BYTES: usize = 4 << 20;
/// Orders that rest while others come and go.
const RESTING: usize = 300;
/// Intents that are on their way at one time.
const TOGETHER: usize = 256;
const SYMBOLS: u16 = 50;
const FAIR: u32 = 1_000_000;
const CENT: u32 = 100;
/// More than [`TOGETHER`] messages have, and what is read at once.
const OUTBOX_BYTES: usize = 256 << 10;
/// Against a hang only.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a day is traded and kept.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// Where the exchange takes orders.
    pub(super) address: SocketAddr,
    /// The journal's folder.
    pub(super) journal: &'a Path,
    /// The drop copy's folder.
    pub(super) copy: &'a Path,
}

/// One run, logged in.
pub(super) struct Run {
    entry: Entry,
    account: Account,
    stream: TcpStream,
    writer: Writer,
    now_ns: u64,
    out: Outbox,
    inbox: Vec<u8>,
    random: fastrand::Rng,
    next_ids: Vec<u32>,
    /// Orders that no change is on its way for, as far as has been heard.
    standing: Vec<(Owner, OrderId)>,
    /// Intents that are still to be answered.
    unanswered: usize,
    /// The number that the next order or replace gets.
    next_number: u32,
    /// The number that the last new order had.
    entered: UserRefNum,
    is_again: bool,
    is_open: bool,
}

fn credentials() -> Credentials {
    Credentials {
        addresses: Addresses::default(),
        username: ACCOUNT.into(),
        password: ACCOUNT.into(),
        session: String::new(),
        server_timeout_ns: u64::MAX,
    }
}

impl Run {
    /// Begins from what earlier runs left, and waits until orders may go out.
    pub(super) fn begin(place: &Place<'_>, seed: u64) -> Result<Self> {
        let names = Names::new(vec![session()], vec!["itch".to_owned()]);
        let mut copy = DropCopy::open(place.copy, CopyFormat::Json, &names.sessions)?;
        let past = if place.journal.is_dir() {
            let back = look_back(
                place.journal,
                &names.sessions,
                unwritten(),
                Some(&mut copy),
                |_, _| (),
            )?;
            ensure!(back.found.is_empty(), "{:?}", back.found);
            back.pasts.into_iter().next().unwrap_or_default()
        } else {
            std::fs::create_dir(place.journal)?;
            Default::default()
        };
        let next_number = past.next_number().0;
        let owners = 0..u8::try_from(STRATEGIES.len())?;
        let next_ids = owners.map(|owner| past.next_id(Owner(owner))).collect();
        let (mut account, kill) = account()?;
        let (inlet, outlet) = inlet(0, RING_BYTES, kill).map_err(|error| anyhow!("{error:?}"))?;
        let desk = DeskOptions {
            feed: 0,
            symbols: None,
            trade_on_stale: false,
        };
        let desks = STRATEGIES.map(|_| desk.clone());
        let lifecycle = Lifecycle::new(credentials());
        let entry = Entry::new(lifecycle, limits().open_orders_max, &desks, &mut account)
            .with_past(past, FoundOrders::Adopt)
            .with_journal(inlet);
        let began = Began {
            realtime_ns: realtime_ns(),
            monotonic_ns: monotonic_ns(),
        };
        let options = JournalOptions {
            folder: place.journal.to_owned(),
            sync: Sync::None,
            ring_bytes: RING_BYTES,
            file_bytes: 1 << 30,
            drop_copy: None,
            drop_copy_format: CopyFormat::Json,
            keep_days: None,
            is_replayable: false,
        };
        let (disk, _) = Disk::open();
        let writer = Writer::begin(&options, disk, began, names, vec![outlet])?;
        let mut run = Self {
            entry,
            account,
            stream: connect(place.address)?,
            writer: writer.with_drop_copy(copy, began),
            now_ns: monotonic_ns(),
            out: Outbox::default(),
            inbox: vec![0; OUTBOX_BYTES],
            random: fastrand::Rng::with_seed(seed),
            next_ids,
            standing: Vec::new(),
            unanswered: 0,
            next_number,
            entered: UserRefNum(0),
            is_again: true,
            is_open: false,
        };
        run.log_in(place.address)?;
        Ok(run)
    }

    fn log_in(&mut self, address: SocketAddr) -> Result<()> {
        while !self.is_open {
            if std::mem::take(&mut self.is_again) {
                self.stream = connect(address)?;
                self.out.len += self.entry.on_connected(self.now_ns, self.out.room());
            }
            self.send()?;
            self.hear()?;
        }
        let live = self.entry.live_orders(&self.account);
        self.standing = live.iter().filter_map(|order| order.desk).collect();
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let bytes = self.out.take();
        self.stream.write_all(bytes).context("the exchange")
    }

    /// Takes what the exchange says next, and lets the journal be written.
    fn hear(&mut self) -> Result<()> {
        let len = loop {
            match self.stream.read(&mut self.inbox) {
                // The journal's write is done: io_uring says so in the middle of whatever the thread waits for.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.context("the exchange")?,
            }
        };
        ensure!(len > 0, "the exchange closed the connection");
        self.now_ns = monotonic_ns();
        let received = Received {
            bytes: self.inbox.get(..len).unwrap_or_default(),
            now_ns: self.now_ns,
        };
        let mut bad = None;
        self.out.len +=
            self.entry.on_bytes(
                &mut self.account,
                received,
                self.out.room(),
                |said| match said {
                    AnswerEvent::Execution(owner, event) => {
                        let Some(action) = event.answers else { return };
                        self.unanswered = self.unanswered.saturating_sub(1);
                        let stands = event.leaves.0 > 0 && action != Action::Cancel;
                        if stands {
                            self.standing.push((owner, event.id));
                        }
                    }
                    AnswerEvent::ConnectAgain => self.is_again = true,
                    AnswerEvent::Opened => self.is_open = true,
                    AnswerEvent::Acked { .. } | AnswerEvent::Past(_) => {}
                    other => bad = Some(format!("{other:?}")),
                },
            );
        if let Some(bad) = bad {
            bail!("order entry heard what it should not: {bad}");
        }
        self.write_journal();
        Ok(())
    }

    fn write_journal(&mut self) {
        while self.writer.poll(self.now_ns) > 0 {}
    }

    /// This many new orders, and what becomes of them.
    pub(super) fn trade(&mut self, orders: u64, mut progress: impl FnMut(u64)) -> Result<()> {
        let mut entered = 0;
        while entered < orders {
            let before = entered;
            for _ in 0..TOGETHER {
                let is_change = self.standing.len() > RESTING || self.random.u8(0..10) == 0;
                if is_change && !self.standing.is_empty() {
                    self.change();
                } else if entered < orders && self.enter()? {
                    entered += 1;
                }
            }
            self.send()?;
            while self.unanswered > 0 {
                self.hear()?;
            }
            progress(entered - before);
        }
        Ok(())
    }

    /// A new order: nine of ten away from the market, the others through it.
    fn enter(&mut self) -> Result<bool> {
        let owner = self.random.usize(0..self.next_ids.len());
        let next = self.next_ids.get_mut(owner).context("a strategy")?;
        let id = OrderId(*next);
        *next += 1;
        let is_buy = self.random.bool();
        let away = self.random.u32(1..50) * CENT;
        let is_taking = self.random.u8(0..10) == 0;
        let price = if is_buy == is_taking {
            FAIR + away
        } else {
            FAIR - away
        };
        let intent = OrderIntent {
            price: Price4(price),
            qty: Qty(100 * self.random.u32(1..6)),
            locate: self.random.u16(1..=SYMBOLS),
            side: if is_buy { Side::Buy } else { Side::Sell },
            ..self.intent(Action::Enter, id)
        };
        let sent = self.ask(Owner(u8::try_from(owner)?), &intent);
        ensure!(sent, "a new order was refused");
        Ok(sent)
    }

    /// A cancel, or one of three times a replace, for a standing order.
    fn change(&mut self) {
        let at = self.random.usize(0..self.standing.len());
        let (owner, id) = self.standing.swap_remove(at);
        let mut intent = self.intent(Action::Cancel, id);
        if self.random.u8(0..3) == 0 {
            intent.action = Action::Replace;
            intent.price = Price4(FAIR - CENT * self.random.u32(0..20));
            intent.qty = Qty(100 * self.random.u32(1..6));
        }
        // One that has traded meanwhile is refused here.
        self.ask(owner, &intent);
    }

    fn intent(&self, action: Action, id: OrderId) -> OrderIntent {
        OrderIntent {
            origin: Origin::default(),
            decided_ns: self.now_ns,
            id,
            price: Price4(0),
            qty: Qty(0),
            published_delta_ns: 0,
            picked_delta_ns: 0,
            terms: Terms::PLAIN,
            locate: 0,
            queue: 0,
            ring_was_full: false,
            action,
            side: Side::Buy,
            time_in_force: TimeInForce::Day,
            cause: Cause::Timer,
        }
    }

    fn ask(&mut self, owner: Owner, intent: &OrderIntent) -> bool {
        let asked = Asked {
            owner,
            intent,
            now_ns: self.now_ns,
        };
        let sent = self
            .entry
            .on_intent(&mut self.account, &asked, self.out.room());
        let Ok(sent) = sent else { return false };
        self.out.len += sent.len;
        self.unanswered += 1;
        if sent.is_new {
            self.entered = sent.user_ref;
        }
        let takes_a_number = matches!(intent.action, Action::Enter | Action::Replace);
        self.next_number += u32::from(takes_a_number);
        true
    }

    /// The last number that this run gave to an order or a replace.
    pub(super) fn number_last(&self) -> u32 {
        self.next_number - 1
    }

    /// Enters an order; its number.
    pub(super) fn number_of_another(&mut self) -> Result<u32> {
        self.enter()?;
        Ok(self.entered.0)
    }

    /// The process is killed: what it had told the kernel is written, and no end.
    pub(super) fn kill(mut self) -> Result<()> {
        let finished = self.writer.finish(false, monotonic_ns);
        finished.map_err(|error| anyhow!(error))
    }

    /// It ends as it should: nothing stands.
    pub(super) fn stop(mut self) -> Result<()> {
        while self.entry.open_orders() > 0 {
            let room = self.out.room();
            self.out.len += self.entry.cancel_some(TOGETHER, self.now_ns, room);
            self.send()?;
            self.hear()?;
        }
        self.out.len += self.entry.log_out(self.now_ns, self.out.room());
        self.send()?;
        let finished = self.writer.finish(true, monotonic_ns);
        finished.map_err(|error| anyhow!(error))
    }
}

/// Bytes that are to be sent.
struct Outbox {
    bytes: Vec<u8>,
    len: usize,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            bytes: vec![0; OUTBOX_BYTES],
            len: 0,
        }
    }
}

impl Outbox {
    fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.len..).unwrap_or_default()
    }

    fn take(&mut self) -> &[u8] {
        let len = std::mem::take(&mut self.len);
        self.bytes.get(..len).unwrap_or_default()
    }
}

/// Orders that the memory of a run may have held when it was killed, as the gateway counts them: its ring, and two batches.
pub(super) fn unwritten() -> u32 {
    orders_in(RING_BYTES + 2 * BATCH_BYTES)
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).context("the exchange")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// As the gateway's configuration names it.
fn session() -> SessionNames {
    SessionNames {
        name: SESSION.to_owned(),
        username: ACCOUNT.to_owned(),
        strategies: STRATEGIES.map(str::to_owned).to_vec(),
        next: 1,
        joined: String::new(),
        clock_offset_ns: None,
    }
}

fn limits() -> Limits {
    Limits {
        open_orders_max: 10_000,
        ..Limits::WIDEST
    }
}

/// An account, with a market for each symbol.
fn account() -> Result<(Account, KillSwitch)> {
    let prices = BestPrices::new(Want::LAZY)?;
    for locate in 1..=SYMBOLS {
        let symbol = Symbol::new(&format!("S{locate}")).context("a symbol")?;
        prices.store_symbol(locate, symbol, Position::default());
        let best = BestPrice {
            bid_price: Price4(FAIR - CENT),
            bid_qty: Qty(100),
            ask_price: Price4(FAIR + CENT),
            ask_qty: Qty(100),
        };
        prices.store(locate, &best, Position::default());
    }
    let kill = KillSwitch::default();
    let risk = Risk::new(limits(), kill.clone());
    Ok((Account::new(risk, vec![Arc::new(prices)]), kill))
}
