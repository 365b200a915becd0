//! A market that publishes its feed: the real exchange with its flow, two lines through a network that loses,
//! doubles and delays, and the record of what was true after each message.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use feed_handler::best_prices::BestPrice;
use order_sim::exchange::Exchange;
use order_sim::file;
use order_sim::options::{self, Options};
use protocol::types::{Price4, Qty, Side};

use crate::servers::{Fate, Network, Servers};
use crate::{MS, SYMBOLS};
use rt::clock::SECOND_NS;

/// Lines of each feed.
pub(crate) const LINES: usize = 2;
/// Symbols of each feed, by locate code from 1 on.
pub(crate) const LISTED: usize = 2;

/// Whose formats each market's feed has.
pub(crate) const VENUES: [options::Venue; 2] = [options::Venue::Nasdaq, options::Venue::Iex];
/// Messages a second from which a market is busy.
const BUSY_RATE: u32 = 2_000;
const BUSIEST_RATE: u32 = 20_000;
const SPARSE_RATE: u32 = 20;
/// Results that are kept of the messages published: more than a feed is ever behind.
const TRUTHS_MAX: usize = 1 << 16;
/// One packet in 200 begins a burst of four on average.
const LOSES_TWO_PERCENT: Weather = Weather {
    lost: 5,
    doubled: 20,
    burst: 6,
    jitter_ns: MS,
};

/// Best prices of the venue's symbols, by locate code from 1 on.
pub(crate) type Prices = [BestPrice; LISTED];

/// A packet on its way to the gateway.
#[derive(Debug)]
pub(crate) struct Flying {
    pub(crate) line: u8,
    pub(crate) payload: Rc<[u8]>,
}

/// What one line does to packets.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    /// Packets lost, per 1,000.
    lost: u32,
    /// Packets that come twice, per 1,000.
    doubled: u32,
    /// So many packets in a row are lost at most where one is.
    burst: u32,
    /// How much later than its predecessor a packet may be sent and still overtake it, ns.
    jitter_ns: u64,
}

/// The market, and its lines.
#[derive(Debug)]
pub(crate) struct Venue {
    at: usize,
    options: Options,
    exchange: Exchange,
    random: fastrand::Rng,
    weather: [Weather; LINES],
    weather_until_ns: u64,
    /// Packets that each line loses next.
    losing: [u32; LINES],
    /// Losses in bursts, and many messages: for a feed alone. What was sent is kept.
    is_busy: bool,
    /// Packets sent, kept for whoever hears all of them.
    pub(crate) sent: VecDeque<Rc<[u8]>>,
    /// Line A loses nothing and keeps its order as long as this session goes on.
    is_line_a_good: bool,
    /// Nothing is lost, doubled or late from now on.
    pub(crate) is_calm: bool,
    /// The next packet is lost on every line, also in calm.
    pub(crate) loses_next: bool,
    flying: BTreeMap<(u64, u64), Flying>,
    flown: u64,
    /// When the next session begins, if this one is over.
    begins_ns: Option<u64>,
    /// When it falls silent after its end: nothing repeats IEX's last message, so whoever missed it finds out
    /// by the silence.
    silent_ns: u64,
    /// It has crashed: until it begins again it says nothing.
    is_dead: bool,
    /// Sessions begun so far; each is a new day with new books.
    pub(crate) session: usize,
    /// Best prices after a session's message of this number.
    truth: BTreeMap<(usize, u64), Prices>,
    /// Messages published in all sessions.
    pub(crate) published: u64,
    servers: Servers,
    /// How its servers fare, beside the weather.
    pub(crate) fate: Fate,
}

fn options(at: usize, rate: u32, random: &mut fastrand::Rng) -> Options {
    let mut text = format!(
        "address = \"127.0.0.1:1\"\n[engine]\norders_max = 4000\nlevels_max = 1000\ntrades_max = \
         4000\n[account.nobody]\npassword = \"secret\"\n[feed]\nkeep = {}\nlines = [{{ address = \
         \"239.0.0.1:1\" }}, {{ address = \"239.0.0.2:1\" }}]\n[flow]\nseed = {}\nrate = {}\ndepth = 6\n",
        if rate >= BUSY_RATE {
            65_536
        } else {
            [16, 4096][random.usize(0..2)]
        },
        random.u32(..),
        rate,
    );
    for name in SYMBOLS[at] {
        let price = random.u32(20..200);
        text += &format!("[[symbol]]\nname = \"{name}\"\nprice = \"{price}.00\"\n");
    }
    let mut options = file::parse(&text).expect("sane").exchange;
    options.feed.as_mut().expect("configured").venue = VENUES[at];
    options
}

impl Venue {
    pub(crate) fn new(at: usize, seed: u64, now_ns: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let rate = random.u32(250..500);
        Self::with_rate(at, rate, random, now_ns)
    }

    /// A market of many messages, whose lines lose packets in bursts; calm at first.
    pub(crate) fn busy(seed: u64, now_ns: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let rate = random.u32(BUSY_RATE..BUSIEST_RATE);
        Self::with_rate(0, rate, random, now_ns)
    }

    /// A market of few messages, for 24 hours.
    pub(crate) fn sparse(seed: u64, now_ns: u64) -> Self {
        Self::with_rate(0, SPARSE_RATE, fastrand::Rng::with_seed(seed), now_ns)
    }

    /// A market as busy as they get, for a long day: each line loses 2 % of its packets.
    pub(crate) fn busiest(seed: u64, now_ns: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let mut venue = Self::with_rate(0, BUSIEST_RATE, random, now_ns);
        venue.change_weather(now_ns);
        for weather in &mut venue.weather {
            *weather = LOSES_TWO_PERCENT;
        }
        venue
    }

    fn with_rate(at: usize, rate: u32, mut random: fastrand::Rng, now_ns: u64) -> Self {
        let options = options(at, rate, &mut random);
        let servers = Servers::new(random.fork());
        let mut venue = Self {
            at,
            exchange: Exchange::new(&options, now_ns),
            options,
            random,
            weather: [Weather::default(); LINES],
            weather_until_ns: 0,
            losing: [0; LINES],
            is_busy: rate >= BUSY_RATE,
            sent: VecDeque::new(),
            is_line_a_good: false,
            is_calm: rate >= BUSY_RATE,
            loses_next: false,
            flying: BTreeMap::new(),
            flown: 0,
            begins_ns: None,
            silent_ns: u64::MAX,
            is_dead: false,
            session: 0,
            truth: BTreeMap::new(),
            published: 0,
            servers,
            fate: Fate::default(),
        };
        venue.begin_session(now_ns);
        venue
    }

    /// Whether the session is over and the next has not begun.
    pub(crate) fn is_over(&self) -> bool {
        self.begins_ns.is_some()
    }

    /// The session ends as it should, and another begins some seconds later.
    pub(crate) fn end_session(&mut self, now_ns: u64) {
        if self.begins_ns.is_none() {
            self.exchange.end_day();
            let pause_ns = self.random.u64(3 * SECOND_NS..6 * SECOND_NS);
            self.begins_ns = Some(now_ns + pause_ns);
            if VENUES[self.at] == options::Venue::Iex {
                self.silent_ns = now_ns;
            }
        }
    }

    /// The exchange dies without a word; when it is back, it begins another session.
    pub(crate) fn crash(&mut self, now_ns: u64) {
        if self.begins_ns.is_none() {
            self.is_dead = true;
            self.begins_ns = Some(now_ns + self.random.u64(0..4 * SECOND_NS));
        }
    }

    /// Another session: empty books, numbers from 1 on.
    fn begin_session(&mut self, now_ns: u64) {
        (self.begins_ns, self.is_dead) = (None, false);
        self.silent_ns = u64::MAX;
        self.session += 1;
        let name = format!("V{}S{:06}", self.at, self.session);
        let mut flow = self.options.flow.expect("configured");
        flow.seed = self.random.u64(..);
        self.options.flow = Some(flow);
        self.exchange = Exchange::open(&self.options, now_ns, &name, None);
        self.is_line_a_good = self.random.u8(0..4) > 0;
        self.weather_until_ns = 0;
        self.flying.clear();
        self.losing = [0; LINES];
        self.note();
        self.send(now_ns);
    }

    /// The number of the last message of this session.
    pub(crate) fn last_seq(&self) -> u64 {
        self.exchange
            .feed_counters()
            .expect("it has a feed")
            .messages
            .get()
    }

    /// What was true after a message; `None`: it was not the last of its packet.
    pub(crate) fn prices_after(&self, session: usize, seq: u64) -> Option<&Prices> {
        self.truth.get(&(session, seq))
    }

    /// Everything until now happens, and what arrives until then is handed to `hear`.
    pub(crate) fn advance(&mut self, now_ns: u64, mut hear: impl FnMut(Flying)) {
        if let Some(begins_ns) = self.begins_ns.filter(|at| *at <= now_ns) {
            self.publish(begins_ns);
            self.begin_session(begins_ns);
        }
        self.publish(now_ns);
        while let Some(first) = self.flying.first_entry()
            && first.key().0 <= now_ns
        {
            hear(first.remove());
        }
    }

    fn publish(&mut self, until_ns: u64) {
        if self.is_dead {
            return;
        }
        let until_ns = until_ns.min(self.silent_ns);
        while let Some(due_ns) = self.exchange.next_due_ns()
            && due_ns <= until_ns
        {
            self.exchange.advance(due_ns);
            self.note();
            self.send(due_ns);
        }
        self.exchange.advance(until_ns);
    }

    /// Answers what recovery has asked until now.
    pub(crate) fn serve(&mut self, network: &mut Network, now_ns: u64) {
        let fate = if self.is_calm {
            Fate {
                lost: 0,
                cut: 0,
                ..self.fate
            }
        } else {
            self.fate
        };
        let exchange = (!self.is_dead).then_some(&mut self.exchange);
        self.servers.serve(network, exchange, fate, now_ns);
    }

    /// The exchange's engine.
    pub(crate) fn engine(&self) -> &order_sim::engine::Engine {
        self.exchange.engine()
    }

    /// Whether anything is still on its way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.flying.is_empty()
    }

    fn note(&mut self) {
        let engine = self.exchange.engine();
        let best = |locate: u16, side| {
            let mut shown = engine.shown(locate, side).peekable();
            let price = shown.peek().map_or(0, |first| first.price);
            let qty = shown.take_while(|it| it.price == price).map(|it| it.qty);
            (Price4(price), Qty(qty.sum()))
        };
        let mut prices = Prices::default();
        for (locate, price) in (1..).zip(&mut prices) {
            (price.bid_price, price.bid_qty) = best(locate, Side::Buy);
            (price.ask_price, price.ask_qty) = best(locate, Side::Sell);
        }
        let last = self.last_seq();
        if self.truth.insert((self.session, last), prices).is_none() {
            self.published += 1;
        }
        if self.truth.len() > TRUTHS_MAX {
            self.truth.pop_first();
        }
    }

    fn send(&mut self, now_ns: u64) {
        if now_ns >= self.weather_until_ns {
            self.change_weather(now_ns);
        }
        let mut is_lost_everywhere = false;
        for line in 0..LINES {
            while let Some(payload) = self.exchange.take_packet(line) {
                let weather = if self.is_calm {
                    Weather::default()
                } else {
                    self.weather[line]
                };
                if self.loses_next {
                    is_lost_everywhere = true;
                    continue;
                }
                if self.is_busy && line == 0 {
                    self.sent.push_back(Rc::clone(&payload));
                }
                if !self.is_calm && self.losing[line] > 0 {
                    self.losing[line] -= 1;
                    continue;
                }
                if self.random.u32(0..1000) < weather.lost {
                    self.losing[line] = self.random.u32(0..=weather.burst);
                    continue;
                }
                for _ in 0..=u8::from(self.random.u32(0..1000) < weather.doubled) {
                    let late_ns = self.random.u64(0..=weather.jitter_ns);
                    self.flown += 1;
                    let flying = Flying {
                        line: u8::try_from(line).expect("few"),
                        payload: Rc::clone(&payload),
                    };
                    self.flying.insert((now_ns + late_ns, self.flown), flying);
                }
            }
        }
        self.loses_next &= !is_lost_everywhere;
    }

    /// The lines fare as they will for a while: mostly well, now and then one is dead, or both.
    fn change_weather(&mut self, now_ns: u64) {
        let random = &mut self.random;
        if self.is_busy {
            self.weather_until_ns = u64::MAX;
            for weather in &mut self.weather {
                // Bursts of four on average, so 2 % in all where one in 200 begins one.
                *weather = Weather {
                    lost: random.u32(2..20),
                    doubled: random.u32(0..50),
                    burst: 6,
                    jitter_ns: [0, MS / 10, MS][random.usize(0..3)],
                };
            }
            return;
        }
        self.weather_until_ns = now_ns + random.u64(0..8 * SECOND_NS);
        let is_dead = random.u8(0..12) == 0;
        for (line, weather) in self.weather.iter_mut().enumerate() {
            let is_good = line == 0 && self.is_line_a_good;
            *weather = match random.u8(0..8) {
                _ if is_good => Weather::default(),
                _ if is_dead => Weather {
                    lost: 1000,
                    ..Weather::default()
                },
                0..3 => Weather::default(),
                3 => Weather {
                    lost: 1000,
                    ..Weather::default()
                },
                _ => Weather {
                    lost: random.u32(0..200),
                    doubled: random.u32(0..100),
                    burst: 0,
                    jitter_ns: random.u64(0..4 * MS),
                },
            };
        }
    }
}
