//! The gateway's end of order entry, told anything: each 16 bytes become an intent, an answer that is nearly
//! right, bytes as they are, a lost connection or time that passes. What was said arrives in pieces of any
//! size. Whatever comes, nothing panics, risk counts the orders that live and what they reserve, the position is
//! what the strategy was told of trades, each once, and a message that is no OUCH stops trading. Who says nothing, or
//! leaves an order without an answer, is not waited for.

mod messages;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::Origin;
use feed_handler::position::Position;
use gateway::message::execution::{ExecutionEvent, Outcome};
use gateway::message::intent::{Action, Cause, OrderId, OrderIntent, Owner, TimeInForce};
use gateway::message::terms::Terms;
use gateway::order::account::Account;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{
    Asked, Credentials, DeskOptions, Due, Entry, Lifecycle, PROGRESS_TIMEOUT_NS, Received, State,
};
use gateway::order::risk::{KillSwitch, Limits, Risk};
use gateway::order::telling::AnswerEvent;

use protocol::ascii;
use protocol::ouch::Outbound;
use protocol::soup::{LoginAccepted, LoginRequest, Packet, kind};
use protocol::types::{Price4, Qty, Seq, Side, Symbol, UserRefNum};
use rt::mem::Want;

pub(crate) use messages::{answer, seeds};

const LIMITS: Limits = Limits {
    order_qty_max: Qty(1000),
    notional_max: 1 << 40,
    collar_bps: 1000,
    position_max: 1_000_000,
    open_orders_max: 16,
    orders_per_second_max: 1_000_000,
    intent_age_max_ns: u64::MAX,
    ..Limits::WIDEST
};

const DESK: DeskOptions = DeskOptions {
    feed: 0,
    symbols: None,
    trade_on_stale: false,
};

/// What is traded.
const NAME: Symbol = Symbol(*b"A       ");
const SERVER_TIMEOUT_NS: u64 = 15_000_000_000;
/// What has no answer for this long is in doubt.
const ANSWER_TIMEOUT_NS: u64 = 1_500_000_000;
/// SoupBinTCP section 2: a client that has nothing to say says so after a second.
const HEARTBEAT_NS: u64 = 1_000_000_000;
const HEARTBEAT: &[u8] = &[0, 1, b'R'];

static PRICES: LazyLock<Arc<BestPrices>> = LazyLock::new(|| {
    let prices = BestPrices::new(Want::LAZY).expect("memory");
    prices.store_symbol(1, NAME, Position::default());
    let (bid_price, ask_price) = (Price4(1_000_000), Price4(1_000_100));
    let (bid_qty, ask_qty) = (Qty(1), Qty(1));
    let best = BestPrice {
        bid_price,
        bid_qty,
        ask_price,
        ask_qty,
    };
    prices.store(1, &best, Position::default());
    Arc::new(prices)
});

/// A gateway's order entry, and what is on its way to it.
struct World {
    account: Account,
    entry: Entry,
    kill: KillSwitch,
    to_gateway: Vec<u8>,
    /// Whether all that was said since the connection stood were whole packets.
    is_in_step: bool,
    /// Bytes that are no packets have come on some connection: messages may be others than `said`.
    was_out_of_step: bool,
    /// Every message with a number.
    said: Vec<Vec<u8>>,
    /// The most shares that one execution was said to have, by trade and order.
    executions: BTreeMap<(u64, u32), u32>,
    /// Trades that the strategy was told of and that stand: order, price, shares, side.
    fills: Vec<(OrderId, Price4, Qty, Side)>,
    /// Shares that it was told of.
    filled: u64,
    /// When the gateway had something of the exchange, or a connection, and when it wrote something.
    heard_ns: u64,
    wrote_ns: u64,
    /// When each order of this connection was sent.
    sent: BTreeMap<UserRefNum, u64>,
    /// The exchange was asked in doubt: orders without an answer that had been sent before.
    asked: Option<Vec<UserRefNum>>,
    next_id: u32,
    now_ns: u64,
}

impl World {
    fn new() -> Self {
        let lifecycle = Lifecycle::new(Credentials {
            addresses: Addresses::default(),
            username: "demo".into(),
            password: "demo".into(),
            session: String::new(),
            server_timeout_ns: SERVER_TIMEOUT_NS,
        });
        let kill = KillSwitch::default();
        let risk = Risk::new(LIMITS, kill.clone());
        let mut account = Account::new(risk, vec![Arc::clone(&PRICES)]);
        Self {
            entry: Entry::new(lifecycle, LIMITS.open_orders_max, &[DESK], &mut account)
                .with_answer_timeout(ANSWER_TIMEOUT_NS),
            account,
            kill,
            to_gateway: Vec::new(),
            is_in_step: true,
            was_out_of_step: false,
            said: Vec::new(),
            executions: BTreeMap::new(),
            fills: Vec::new(),
            filled: 0,
            heard_ns: 1,
            wrote_ns: 1,
            sent: BTreeMap::new(),
            asked: None,
            next_id: 1,
            now_ns: 1,
        }
    }

    /// A new connection, all bytes of the old one lost; the number that the gateway asks for.
    fn connect(&mut self) -> usize {
        self.entry.on_closed(0, self.now_ns);
        self.connect_again()
    }

    /// The second connection of a login.
    fn connect_again(&mut self) -> usize {
        self.to_gateway.clear();
        self.is_in_step = true;
        self.sent.clear();
        self.asked = None;
        (self.heard_ns, self.wrote_ns) = (self.now_ns, self.now_ns);
        let mut out = [0; 128];
        let len = self.entry.on_connected(self.now_ns, &mut out);
        let (packet, _) = Packet::decode(&out[..len])
            .expect("in step")
            .expect("a login");
        let (request, _) = LoginRequest::decode(packet.payload).expect("a login");
        usize::try_from(ascii::number(&request.seq).expect("a number")).expect("sane")
    }

    fn say(&mut self, kind: u8, payload: &[u8]) {
        let packet = Packet { kind, payload };
        let start = self.to_gateway.len();
        self.to_gateway.resize(start + packet.len(), 0);
        packet.encode(&mut self.to_gateway[start..]).expect("room");
    }

    /// A message with the next number.
    fn say_next(&mut self, message: Vec<u8>) {
        self.say(kind::SEQUENCED, &message);
        if let Ok((Outbound::Executed(m), _)) = Outbound::decode(&message) {
            let execution = (m.match_number.get().0, m.user_ref.get().0);
            let shares = self.executions.entry(execution).or_default();
            *shares = (*shares).max(m.qty.get().0);
        }
        self.said.push(message);
    }

    /// Both logins and the past, as an exchange answers them, the second with a number that may be wrong.
    fn log_in(&mut self, skew: u64) {
        let mut wanted = self.connect();
        for skew in [0, skew] {
            let next = if wanted == 0 {
                self.said.len() + 1
            } else {
                wanted
            };
            let accepted = LoginAccepted::new("S", Seq(next as u64 + skew));
            self.say(
                kind::LOGIN_ACCEPTED,
                &[&accepted.session[..], &accepted.seq[..]].concat(),
            );
            for at in next - 1..self.said.len() {
                let message = self.said[at].clone();
                self.say(kind::SEQUENCED, &message);
            }
            if self.hear(usize::MAX) {
                wanted = self.connect_again();
            }
        }
        let mut answer = vec![b'Q'];
        answer.extend(0_u64.to_be_bytes());
        answer.extend(self.next_id.to_be_bytes());
        self.say_next(answer);
        self.hear(usize::MAX);
    }

    /// At most this many bytes arrive; whether the gateway wants to connect again.
    fn hear(&mut self, len: usize) -> bool {
        let len = len.min(self.to_gateway.len());
        if len == 0 {
            return false;
        }
        let bytes: Vec<u8> = self.to_gateway.drain(..len).collect();
        let (mut is_again, mut told) = (false, Vec::new());
        let received = Received {
            bytes: &bytes,
            now_ns: self.now_ns,
        };
        let mut out = [0; 256];
        let wrote =
            (self.entry).on_bytes(&mut self.account, received, &mut out, |event| match event {
                AnswerEvent::ConnectAgain => is_again = true,
                AnswerEvent::Execution(_, event) => told.push(event),
                _ => {}
            });
        self.heard_ns = self.now_ns;
        self.on_wrote(wrote);
        told.iter().for_each(|event| self.on_told(event));
        is_again
    }

    fn on_wrote(&mut self, len: usize) {
        if len > 0 {
            self.wrote_ns = self.now_ns;
        }
    }

    /// A trade counts, and one that is undone is one that counted.
    fn on_told(&mut self, event: &ExecutionEvent) {
        let fill = (event.id, event.price, event.qty, event.side);
        match event.outcome {
            Outcome::Filled => {
                self.fills.push(fill);
                self.filled += u64::from(event.qty.0);
            }
            Outcome::Broken => {
                let at = self.fills.iter().position(|it| *it == fill);
                self.fills.swap_remove(at.expect("a trade that stood"));
            }
            _ => {}
        }
    }

    /// Time passes at the gateway. `is_answered`: where it connects, an exchange takes its login.
    fn pass(&mut self, is_answered: bool) {
        let before = self.entry.state();
        let mut out = [0; 256];
        let due = self.entry.on_timeout(self.now_ns, &mut out);
        self.judge_due(before, due, &out);
        match due {
            Due::Nothing => {}
            Due::Send(len) => {
                self.on_wrote(len);
                if !out.starts_with(HEARTBEAT) {
                    let live = self.entry.live_orders(&self.account).into_iter();
                    let live = live.filter(|it| !it.is_accepted).map(|it| it.user_ref);
                    let is_before = |it: &UserRefNum| {
                        let sent_ns = self.sent.get(it);
                        sent_ns.is_some_and(|sent_ns| *sent_ns < self.now_ns)
                    };
                    self.asked = Some(live.filter(is_before).collect());
                }
            }
            Due::Connect(_) if is_answered => self.log_in(0),
            Due::Connect(_) => {
                self.connect_again();
            }
            Due::GiveUp | Due::End(_) => {
                self.entry.on_closed(0, self.now_ns);
            }
        }
    }

    /// Whether that was due, by what was heard and written.
    fn judge_due(&self, before: State, due: Due, out: &[u8]) {
        let silence_ns = self.now_ns - self.heard_ns;
        let is_over = match before {
            State::Waiting | State::Connecting | State::Ending | State::Stopped => false,
            State::Open | State::Stopping => silence_ns > SERVER_TIMEOUT_NS,
            // Nothing came, so nothing came of it.
            _ => silence_ns > PROGRESS_TIMEOUT_NS,
        };
        if is_over {
            return assert!(matches!(due, Due::End(_)), "{before:?}: {due:?}");
        }
        if before != State::Open {
            return;
        }
        if self.now_ns - self.wrote_ns >= HEARTBEAT_NS {
            assert!(matches!(due, Due::Send(3)) && out.starts_with(HEARTBEAT));
        } else if due == Due::Nothing {
            let live = self.entry.live_orders(&self.account);
            let is_late = |it: &UserRefNum| {
                let sent_ns = self.sent.get(it);
                sent_ns.is_some_and(|sent_ns| self.now_ns - sent_ns > ANSWER_TIMEOUT_NS)
            };
            let mut unanswered = live.iter().filter(|it| !it.is_accepted);
            let has_late = unanswered.any(|it| is_late(&it.user_ref));
            assert!(!has_late || self.entry.in_doubt() > 0, "{live:?}");
        }
    }

    fn intend(&mut self, record: &[u8; 16]) {
        let [_, what, who, qty, price, side, ..] = *record;
        let action = [
            Action::Enter,
            Action::Enter,
            Action::Replace,
            if what & 4 == 0 {
                Action::Cancel
            } else {
                Action::Reduce
            },
        ][usize::from(what & 3)];
        let id = match action {
            Action::Enter => self.next_id,
            _ => self.next_id.saturating_sub(u32::from(who)),
        };
        let intent = OrderIntent {
            origin: Origin {
                seq: 5,
                ..Origin::default()
            },
            decided_ns: self.now_ns,
            id: OrderId(id),
            price: Price4(1_000_000 + u32::from(price)),
            qty: Qty(u32::from(qty)),
            published_delta_ns: 0,
            picked_delta_ns: 0,
            terms: Terms::PLAIN,
            locate: 1,
            queue: 0,
            ring_was_full: false,
            action,
            side: if side & 1 == 0 { Side::Buy } else { Side::Sell },
            time_in_force: TimeInForce::Day,
            cause: Cause::Market,
        };
        let asked = Asked {
            owner: Owner(0),
            intent: &intent,
            now_ns: self.now_ns,
        };
        let mut out = [0; 256];
        let Ok(sent) = self.entry.on_intent(&mut self.account, &asked, &mut out) else {
            return;
        };
        self.on_wrote(sent.len);
        if sent.is_new {
            self.next_id += 1;
            self.sent.insert(sent.user_ref, self.now_ns);
        }
    }

    /// An answer that is nearly right. A whole one that is no OUCH must be counted; and after the answer to a question that
    /// was asked in doubt, what was sent before it and has none never will: the connection is of no use.
    fn answer(&mut self, record: &[u8; 16]) {
        let bytes = answer(record, self.next_id);
        let malformed = self.entry.counters().malformed.get();
        let is_seen =
            self.is_in_step && self.to_gateway.is_empty() && self.entry.state() == State::Open;
        let message = Outbound::decode(&bytes).map(|(message, _)| message);
        let is_sane = message.is_ok();
        let asked = match message {
            Ok(Outbound::AccountQueryResponse(_)) => self.asked.take(),
            _ => None,
        };
        self.say_next(bytes);
        if is_seen && !is_sane {
            self.hear(usize::MAX);
            assert!(self.entry.counters().malformed.get() > malformed);
            assert!(self.kill.is_on(), "it may have been an execution");
        }
        if is_seen && let Some(asked) = asked {
            let live = self.entry.live_orders(&self.account);
            let is_swallowed = |it: &&UserRefNum| {
                let mut live = live.iter();
                live.any(|order| order.user_ref == **it && !order.is_accepted)
            };
            let swallowed = asked.iter().find(is_swallowed).copied();
            self.hear(usize::MAX);
            assert!(
                swallowed.is_none() || self.entry.state() != State::Open,
                "{swallowed:?} has no answer"
            );
        }
    }

    fn judge(&mut self) {
        let live = self.entry.live_orders(&self.account);
        assert_eq!(self.entry.open_orders() as usize, live.len(), "{live:?}");
        for name in live.iter().map(|order| order.symbol) {
            let exposure = self.account.exposure(name);
            let reserved = |side| -> u64 {
                let of_it = live
                    .iter()
                    .filter(|it| it.symbol == name && it.side == side);
                of_it.map(|it| u64::from(it.reserved.0)).sum()
            };
            assert_eq!(exposure.open_buy, reserved(Side::Buy), "{live:?}");
            assert_eq!(exposure.open_sell, reserved(Side::Sell), "{live:?}");
            assert!(live.iter().all(|it| it.reserved >= it.open), "{live:?}");
        }
        assert!(self.entry.take_breach().is_none() || self.kill.is_on());
        self.judge_trades();
    }

    /// Each execution that was said counts once at most, in the position as in what was told. Trades of orders that are
    /// nobody's are told to nobody.
    fn judge_trades(&mut self) {
        let counted = self.entry.counters().filled_shares.get();
        let said: u64 = self.executions.values().map(|it| u64::from(*it)).sum();
        assert!(self.was_out_of_step || counted <= said, "{counted}: {said}");
        let untold = counted - self.filled;
        let shares = self.fills.iter().map(|(_, _, qty, side)| match side {
            Side::Buy => i64::from(qty.0),
            Side::Sell => -i64::from(qty.0),
        });
        let told: i64 = shares.sum();
        let position = self.account.exposure(NAME).position;
        assert!(
            position.abs_diff(told) <= untold,
            "{position}, told {told}, {untold} of nobody"
        );
    }
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    let mut world = World::new();
    world.log_in(0);
    assert_eq!(world.entry.state(), State::Open);
    for record in data.as_chunks::<16>().0 {
        let [choice, what, .., cut] = *record;
        // Of all lengths, so that whatever waits for something waits too long: with its last steps for half a minute.
        let more = if choice & 15 == 15 { 12 } else { 8 };
        world.now_ns += u64::from(what) << ((choice >> 4) + more);
        match choice & 15 {
            0..=4 => world.intend(record),
            5..=10 => world.answer(record),
            11 => {
                (world.is_in_step, world.was_out_of_step) = (false, true);
                world.to_gateway.extend_from_slice(&record[1..]);
            }
            12 => world.log_in(u64::from(what >> 6)),
            13 => {
                world.connect();
            }
            14 if what == 0 => {
                world.entry.stop(world.now_ns);
            }
            14 => {
                let now_ns = world.now_ns;
                let wrote = world.entry.cancel_some(8, now_ns, &mut [0; 512]);
                world.on_wrote(wrote);
            }
            _ => world.pass(record[2] & 3 != 0),
        }
        if world.hear(usize::from(cut)) {
            world.connect_again();
        }
        world.judge();
    }
}
