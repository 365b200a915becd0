//! One session of the gateway, its connection, and what the exchange makes of it.

use std::cell::RefCell;

use gateway::message::command::Command;
use gateway::message::execution::ExecutionEvent;
use gateway::message::intent::{OrderIntent, Owner};
use gateway::message::notice::Notice;
use gateway::message::past::PastNews;
use gateway::order::entry::{DeskOptions, State};
use gateway::order::links::Link;
use gateway::order::opening::{Opening, OpeningView};
use gateway::order::risk::Limits;
use gateway::order::stage::OrderStage;
use order_sim::exchange::Exchange;
use order_sim::session::{Received, Session as ServerSession, SessionEvent};
use protocol::types::{Side, Symbol};
use rt::clock::SECOND_NS;
use rt::ring::{Consumer, Producer};

use crate::connection::{Connection, Event};
use crate::counter::Counter;
use crate::journaled::{Facts, Journaled};
use crate::lives::{Remains, Used};
use crate::record::Record;
use crate::rehearsing;

/// How long a gateway that trades may be silent: a heartbeat is due after a second, and one step of the world holds it up for six.
const HEARD_WITHIN_NS: u64 = 8 * SECOND_NS;

/// One session.
pub(crate) struct Line {
    /// The gateway's order stage.
    pub(crate) stage: OrderStage<Connection>,
    /// The connection as the exchange sees it.
    server: Option<ServerSession>,
    to_gateway: Vec<u8>,
    /// Nothing comes through before then.
    parted_until_ns: u64,
    /// The exchange has given the connection up, and the gateway does not know it yet.
    is_forgotten: bool,
    /// When something of the gateway's was last on its way.
    heard_ns: u64,
    record: Record,
    notices: Consumer<Notice>,
    journaled: Journaled,
    /// The operator's commands.
    pub(crate) commands: Producer<Command>,
    /// What risk allows.
    open_orders_max: u32,
}

/// A session's strategies: their rings, and what they may do.
pub(crate) struct Wired {
    pub(crate) links: Vec<Link>,
    pub(crate) desks: Vec<DeskOptions>,
    pub(crate) opening: Opening,
}

impl Wired {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            links: Vec::new(),
            desks: Vec::new(),
            opening: Opening::new(limits.open_orders_max as usize),
        }
    }

    /// One more strategy, by the session's ends of its rings.
    pub(crate) fn join(
        &mut self,
        intents: Consumer<OrderIntent>,
        executions: Producer<ExecutionEvent>,
    ) {
        self.links.push(Link {
            intents,
            executions,
        });
    }

    /// What the next strategy begins with.
    pub(crate) fn next_view(&self) -> OpeningView {
        let owner = Owner(u8::try_from(self.links.len()).expect("few"));
        self.opening.view(owner, None)
    }
}

impl Line {
    pub(crate) fn new(
        stage: OrderStage<Connection>,
        notices: Consumer<Notice>,
        commands: Producer<Command>,
        journaled: Journaled,
        open_orders_max: u32,
    ) -> Self {
        Self {
            stage,
            server: None,
            to_gateway: Vec::new(),
            parted_until_ns: 0,
            is_forgotten: false,
            heard_ns: 0,
            record: Record::default(),
            notices,
            journaled,
            commands,
            open_orders_max,
        }
    }

    /// Orders that it has sent, and replacements.
    pub(crate) fn entered(&mut self) -> [u64; 2] {
        let counters = self.stage.entry().counters();
        [counters.orders.get(), counters.replaces.get()]
    }

    /// It has just sent an order, and then no more may be open than its limit.
    pub(crate) fn hold_open_orders(&mut self) {
        let open = self.stage.entry().open_orders();
        assert!(
            open <= self.open_orders_max,
            "{open} open orders, {} are allowed",
            self.open_orders_max
        );
    }

    /// Moves at most `limit` bytes each way.
    pub(crate) fn pump(&mut self, counter: &mut Counter, now_ns: u64, limit: usize) {
        if now_ns < self.parted_until_ns {
            return self.pass_apart(now_ns);
        }
        if !self.stage.transport().is_open {
            self.see_it_closed(counter, now_ns, limit);
        }
        let connection = self.stage.transport();
        if std::mem::take(&mut connection.is_wanted) {
            self.is_forgotten = false;
            self.to_gateway.clear();
            self.heard_ns = now_ns;
            if counter.is_gone() {
                return connection.happen(Event::Closed(libc::ECONNREFUSED));
            }
            self.server = Some(ServerSession::new(now_ns));
            return connection.happen(Event::Connected);
        }
        if std::mem::take(&mut self.is_forgotten) {
            return self.reset();
        }
        if self.server.is_some() {
            self.hear_of_it(now_ns);
        }
        let mut out = self.receive(counter, now_ns, limit);
        let Some(server) = &mut self.server else {
            return;
        };
        // Nobody hears of what is not kept.
        counter.save();
        let exchange = &counter.exchange;
        let message = |account, index| exchange.message(account, index);
        let written = server.write_stored(message, 1 << 20, None, &mut out);
        assert_eq!(written, Ok(()));
        if !out.is_empty() {
            server.on_sent(now_ns);
        }
        let kept = server.on_timeout(now_ns, &mut out);
        self.to_gateway.extend_from_slice(&out);
        if kept.is_err() {
            // It has not heard us for so long that it closes.
            self.server = None;
            return self.stage.transport().happen(Event::Closed(0));
        }
        self.deliver(limit);
    }

    /// The gateway has closed the connection: what its kernel had of it still comes, as far as it comes.
    fn see_it_closed(&mut self, counter: &mut Counter, now_ns: u64, limit: usize) {
        let late = std::mem::take(&mut self.stage.transport().left);
        self.act_on(counter, now_ns, &late[..limit.min(late.len())]);
        self.server = None;
    }

    /// The exchange acts on what has come of it, at most `limit` bytes; what it says at once.
    fn receive(&mut self, counter: &mut Counter, now_ns: u64, limit: usize) -> Vec<u8> {
        if self.server.is_none() {
            return Vec::new();
        }
        let bytes = self.stage.transport().take_sent(limit);
        self.act_on(counter, now_ns, &bytes)
    }

    /// The exchange acts on these bytes; what it says at once.
    fn act_on(&mut self, counter: &mut Counter, now_ns: u64, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(server) = &mut self.server else {
            return out;
        };
        let Counter {
            options, exchange, ..
        } = counter;
        let shared = RefCell::new(exchange);
        shared.borrow_mut().advance(now_ns);
        let received = Received { bytes, now_ns };
        let result = server.on_bytes(received, options, &mut out, |said| match said {
            SessionEvent::LoggedIn(account) => shared.borrow().stored(account),
            SessionEvent::Message(account, message) => {
                shared.borrow_mut().on_message(account, message);
                0
            }
        });
        assert_eq!(result, Ok(()), "the exchange closed");
        out
    }

    /// At most this many bytes of what the exchange has sent arrive.
    fn deliver(&mut self, limit: usize) {
        let take = limit.min(self.to_gateway.len());
        if take > 0 {
            let bytes = self.to_gateway.drain(..take).collect();
            self.stage.transport().happen(Event::Bytes(bytes));
        }
    }

    /// Until then nothing comes through, and neither end is told.
    pub(crate) fn part(&mut self, until_ns: u64) {
        self.parted_until_ns = until_ns;
    }

    /// The exchange finds out by itself that it hears nothing; what it says meanwhile waits.
    fn pass_apart(&mut self, now_ns: u64) {
        self.heard_ns = now_ns;
        if let Some(server) = &mut self.server
            && server.on_timeout(now_ns, &mut self.to_gateway).is_err()
        {
            self.server = None;
            self.is_forgotten = true;
        }
    }

    /// The exchange is killed: at most `limit` bytes are still acted on, and as many of what it has sent arrive.
    pub(crate) fn lose_exchange(&mut self, counter: &mut Counter, now_ns: u64, limit: usize) {
        if self.server.is_none() {
            return;
        }
        if now_ns < self.parted_until_ns {
            self.server = None;
            self.is_forgotten = true;
            return;
        }
        if self.stage.transport().is_open {
            self.receive(counter, now_ns, limit);
            self.deliver(limit);
        } else {
            self.see_it_closed(counter, now_ns, limit);
        }
        self.server = None;
        self.reset();
    }

    /// The gateway is gone: at most `limit` bytes that it had sent are still acted on, and nobody hears the answers.
    pub(crate) fn outlive(&mut self, counter: &mut Counter, now_ns: u64, limit: usize) {
        if now_ns >= self.parted_until_ns {
            self.receive(counter, now_ns, limit);
        }
    }

    /// The gateway hears that its connection is none.
    fn reset(&mut self) {
        self.to_gateway.clear();
        let connection = self.stage.transport();
        connection.sent.clear();
        if connection.is_open {
            connection.happen(Event::Closed(libc::ECONNRESET));
        }
    }

    /// A gateway that trades is heard, if by heartbeats alone; what is still on its way counts.
    fn hear_of_it(&mut self, now_ns: u64) {
        let is_open = self.stage.entry().state() == State::Open;
        if !is_open || self.stage.transport().is_sending() {
            self.heard_ns = now_ns;
        }
        let quiet_ns = now_ns - self.heard_ns;
        assert!(
            quiet_ns <= HEARD_WITHIN_NS,
            "no heartbeat for {quiet_ns} ns"
        );
    }

    /// The connection goes: at most `limit` bytes each way still arrive, the rest never does.
    pub(crate) fn cut(&mut self, counter: &mut Counter, now_ns: u64, limit: usize) {
        if self.server.is_none() || now_ns < self.parted_until_ns {
            return;
        }
        self.pump(counter, now_ns, limit);
        self.server = None;
        self.reset();
    }

    /// What the session believes is what the exchange had told up to the message that it has read: live
    /// orders, positions, and an exposure that is the sum of what is open.
    pub(crate) fn compare(&mut self, exchange: &Exchange, account: u16, symbols: &[Symbol]) {
        let entry = self.stage.entry();
        let heard = entry.next_seq().0 - 1;
        while self.record.read < heard {
            let index = usize::try_from(self.record.read).expect("few");
            self.record
                .read(exchange.message(account, index).expect("stored"));
        }
        let open_orders = entry.open_orders();
        self.journaled.drain();
        let live = self.stage.live_orders();
        let believed = live.iter().filter(|order| order.is_accepted);
        let believed =
            believed.map(|order| (order.user_ref, order.symbol, order.side, order.open.0));
        let told = self.record.live.iter().map(|(number, told)| {
            let side = if told.is_buy { Side::Buy } else { Side::Sell };
            (*number, told.symbol, side, told.open)
        });
        let (believed, told): (Vec<_>, Vec<_>) = (believed.collect(), told.collect());
        assert_eq!(believed, told, "live orders of account {account}");
        assert_eq!(open_orders as usize, live.len());
        for name in symbols {
            let exposure = self.stage.account().exposure(*name);
            let position = self.record.positions.get(name).copied().unwrap_or(0);
            assert_eq!(exposure.position, position, "{name:?}");
            let reserved = |side| -> u64 {
                let of_it = live
                    .iter()
                    .filter(|it| it.symbol == *name && it.side == side);
                of_it
                    .map(|it| u64::from(it.reserved.0.max(it.open.0)))
                    .sum()
            };
            let open = (exposure.open_buy, exposure.open_sell);
            let expected = (reserved(Side::Buy), reserved(Side::Sell));
            assert_eq!(open, expected, "exposure in {name:?}");
        }
        while let Some(notice) = self.notices.pop() {
            assert!(
                matches!(
                    notice,
                    Notice::SessionOpen
                        | Notice::Disconnected(..)
                        | Notice::SessionEnded(_)
                        | Notice::Commanded(..)
                        | Notice::Past(PastNews::NeverArrived(..) | PastNews::Known(_))
                ),
                "{notice}"
            );
        }
    }

    /// The journal of this life says what was sent and what was heard. What the life has used.
    pub(crate) fn compare_journal(&mut self, exchange: &Exchange, account: u16) -> Used {
        rehearsing::fold_session(&mut self.stage);
        let live = self.stage.live_orders();
        let entry = self.stage.entry();
        let (next_seq, counters) = (entry.next_seq().0, entry.counters());
        let sent = std::mem::take(&mut self.stage.transport().told);
        let used = self.journaled.compare(&Facts {
            sent: &sent,
            next_seq,
            counters: &counters,
            exchange,
            account,
            live: &live,
        });
        self.stage.transport().told = sent;
        used
    }

    /// The process is killed: what is left of its journal.
    pub(crate) fn kill(self) -> Remains {
        self.journaled.kill()
    }
}
