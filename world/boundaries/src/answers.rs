//! The gateway's end of order entry, told anything: each 16 bytes become an intent, an answer that is nearly
//! right, bytes as they are, a lost connection or time that passes. What was said arrives in pieces of any
//! size. Whatever comes, nothing panics, risk counts the orders that live and what they reserve, and a message
//! that is no OUCH stops trading.
use std::sync::{Arc, LazyLock};

use feed_handler::best_prices::{BestPrice, BestPrices};
use feed_handler::event::Origin;
use feed_handler::position::Position;
use gateway::message::intent::{Action, Cause, OrderId, OrderIntent, Owner, TimeInForce};
use gateway::message::terms::Terms;
use gateway::order::account::Account;
use gateway::order::addresses::Addresses;
use gateway::order::entry::{Asked, Credentials, DeskOptions, Entry, Lifecycle, Received, State};
use gateway::order::risk::{KillSwitch, Limits, Risk};
use gateway::order::telling::AnswerEvent;

use protocol::ascii;
use protocol::ouch::Outbound;
use protocol::soup::{LoginAccepted, LoginRequest, Packet, kind};
use protocol::types::{Price4, Qty, Seq, Side, Symbol};
use rt::mem::Want;

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

static PRICES: LazyLock<Arc<BestPrices>> = LazyLock::new(|| {
    let prices = BestPrices::new(Want::LAZY).expect("memory");
    prices.store_symbol(1, Symbol(*b"A       "), Position::default());
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
    /// Every message with a number.
    said: Vec<Vec<u8>>,
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
            server_timeout_ns: 15_000_000_000,
        });
        let kill = KillSwitch::default();
        let risk = Risk::new(LIMITS, kill.clone());
        let mut account = Account::new(risk, vec![Arc::clone(&PRICES)]);
        Self {
            entry: Entry::new(lifecycle, LIMITS.open_orders_max, &[DESK], &mut account),
            account,
            kill,
            to_gateway: Vec::new(),
            is_in_step: true,
            said: Vec::new(),
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
        let bytes: Vec<u8> = self.to_gateway.drain(..len).collect();
        let mut is_again = false;
        let received = Received {
            bytes: &bytes,
            now_ns: self.now_ns,
        };
        self.entry
            .on_bytes(&mut self.account, received, &mut [0; 256], |told| {
                is_again |= matches!(told, AnswerEvent::ConnectAgain);
            });
        is_again
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
        let sent = self
            .entry
            .on_intent(&mut self.account, &asked, &mut [0; 256]);
        self.next_id += u32::from(sent.is_ok_and(|sent| sent.is_new));
    }

    /// An answer that is nearly right. A whole one that is no OUCH must be counted.
    fn answer(&mut self, record: &[u8; 16]) {
        let bytes = answer(record, self.next_id);
        let malformed = self.entry.counters().malformed.get();
        let is_seen =
            self.is_in_step && self.to_gateway.is_empty() && self.entry.state() == State::Open;
        let is_sane = Outbound::decode(&bytes).is_ok();
        self.say_next(bytes);
        if is_seen && !is_sane {
            self.hear(usize::MAX);
            assert!(self.entry.counters().malformed.get() > malformed);
            assert!(self.kill.is_on(), "it may have been an execution");
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
    }
}

/// Lengths of the answers by kind, with the length of the appendage where that must be there.
const LENGTHS: [(u8, usize); 12] = [
    (b'A', 64),
    (b'U', 68),
    (b'C', 18),
    (b'D', 32),
    (b'E', 36),
    (b'B', 36),
    (b'J', 29),
    (b'P', 13),
    (b'I', 13),
    (b'M', 18),
    (b'X', 27),
    (b'Q', 13),
];

/// A message of a kind, about an order that there may be, with its numbers where they belong.
fn answer(record: &[u8; 16], next: u32) -> Vec<u8> {
    let [_, which, old, qty, price, side, longer, noise, at, ..] = *record;
    let (kind, len) = LENGTHS[usize::from(which) % LENGTHS.len()];
    let user_ref = next.saturating_sub(u32::from(old & 15)).to_be_bytes();
    let qty = u32::from(qty).to_be_bytes();
    let side = if side & 1 == 0 { b'B' } else { b'S' };
    let mut out = vec![kind];
    out.extend(7_u64.to_be_bytes());
    out.extend(user_ref);
    match kind {
        b'A' => out.extend([&[side][..], &qty, b"A       "].concat()),
        b'U' => {
            out.extend(next.saturating_sub(u32::from(old >> 4)).to_be_bytes());
            out.extend([&[side][..], &qty, b"A       "].concat());
        }
        b'M' => out.extend([&[side][..], &qty].concat()),
        b'Q' => {}
        _ => out.extend(qty),
    }
    if matches!(kind, b'A' | b'U' | b'E') {
        out.extend((1_000_000 + u64::from(price)).to_be_bytes());
    }
    out.resize(len, 0);
    if longer & 15 == 1 {
        out.resize(out.len() + usize::from(longer >> 4), noise);
    }
    if longer & 15 == 2 {
        out.truncate(out.len() - usize::from(longer >> 4).min(out.len()));
    }
    if longer & 15 == 3
        && let Some(byte) = out.get_mut(usize::from(at))
    {
        *byte = noise;
    }
    out
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    let mut world = World::new();
    world.log_in(0);
    assert_eq!(world.entry.state(), State::Open);
    for record in data.as_chunks::<16>().0 {
        let [choice, what, .., cut] = *record;
        world.now_ns += u64::from(what) << (choice >> 4);
        match choice & 15 {
            0..=4 => world.intend(record),
            5..=10 => world.answer(record),
            11 => {
                world.is_in_step = false;
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
                world.entry.cancel_some(8, world.now_ns, &mut [0; 512]);
            }
            _ => {
                world.entry.on_timeout(world.now_ns, &mut [0; 128]);
            }
        }
        if world.hear(usize::from(cut)) {
            world.connect_again();
        }
        world.judge();
    }
}
