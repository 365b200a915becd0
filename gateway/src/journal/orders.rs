//! The orders of journals, each once, when it is over; and each request about one, when it is answered.
//!
//! Path:        records of all runs -> here -> export
//! Invariants:  a number makes one row in a session of the exchange. What is heard of a number again, once its row is given
//!              out, says nothing: neither a message that a ring had lost and a later run heard, nor one of a session that
//!              was left and joined again.
//! When full:   what is open is kept, and what has no answer; of what is over only ranges of numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ouch::Inbound;
use protocol::types::{Side, Symbol};

use super::days::{About, Days};
use super::event::Event;
use super::format::{BY_EXECUTION, BY_TIMER, Header, IMMEDIATE, IntentRecord, SELL};
use super::head::{Began, Names};
use super::order_life::{Live, Turn};
use super::ouch::packets;
use super::rows::{Account, Answer, Caused, Ended, OrderRow, Outcome, RequestRow, limit};
use crate::message::intent::{Action, TimeInForce};
use crate::order::risk::Refusal;

/// The machine.
#[derive(Debug, Default)]
pub struct Orders {
    days: Days<Live>,
    file: OfFile,
    /// What is over, for whoever takes it.
    pub ended: Ended,
}

/// What the head of the file at hand says.
#[derive(Debug, Default)]
struct OfFile {
    began: Began,
    host: Arc<str>,
    feeds: Vec<Arc<str>>,
    /// Refusals' codes, and their counters.
    refusals: Vec<(u8, Arc<str>)>,
    /// Symbols of the run, by feed and locate code, from the orders that were sent.
    symbols: BTreeMap<(u8, u16), Symbol>,
}

impl Orders {
    /// A file begins.
    pub fn begin_file(&mut self, began: Began, names: &Names) {
        self.days.begin_file(began, names);
        if self.file.began != began {
            self.file.symbols.clear();
        }
        self.file.began = began;
        self.file.host = Arc::from(names.host.as_str());
        let feeds = names.feeds.iter().map(|name| Arc::from(name.as_str()));
        self.file.feeds = feeds.collect();
        let refusals = names.refusals.iter();
        let refusals = refusals.map(|(code, name)| (*code, Arc::from(counter_of(name))));
        self.file.refusals = refusals.collect();
    }

    /// A record of the file at hand.
    pub fn on_record(&mut self, header: &Header, event: &Event<'_>) {
        let Some(about) = self.days.on_record(header, event) else {
            return;
        };
        let About {
            day,
            strategies,
            time_ns,
        } = about;
        if *day.kept.account.host != *self.file.host || day.kept.account.session.is_empty() {
            day.kept.account = Arc::new(Account {
                host: Arc::clone(&self.file.host),
                session: Arc::clone(&day.session),
                username: Arc::clone(&day.username),
                exchange_session: Arc::clone(&day.exchange_session),
            });
        }
        let Self { file, ended, .. } = self;
        let live = &mut day.kept;
        match *event {
            Event::Sent(intent, packet) => {
                let strategy = strategies.get(usize::from(intent.owner)).cloned();
                let asked = file.asked(live, &intent, strategy, time_ns);
                file.on_sent(live, asked, packet);
            }
            Event::Refused(intent) => {
                let strategy = strategies.get(usize::from(intent.owner)).cloned();
                let asked = file.asked(live, &intent, strategy, time_ns);
                file.on_refused(&intent, asked, ended);
            }
            Event::Heard(heard) => Turn {
                live,
                ended,
                time_ns,
                is_past: heard.is_past,
            }
            .on_heard(heard.message),
            _ => {}
        }
    }

    /// The journals end: what is left comes out as it stands.
    pub fn finish(&mut self) {
        for day in self.days.all() {
            day.kept.finish(&mut self.ended);
        }
    }
}

/// The counter of a refusal, by its name in a head; of a later version's the name itself.
fn counter_of(name: &str) -> &str {
    let mut all = Refusal::ALL.iter();
    let known = all.find(|(refusal, ..)| format!("{refusal:?}") == name);
    known.map_or(name, |(_, counter, _)| counter)
}

/// An intent, as both rows begin with it.
struct Asked {
    /// Feed and locate code.
    code: (u8, u16),
    order: OrderRow,
    request: RequestRow,
}

impl OfFile {
    fn asked(
        &self,
        live: &Live,
        intent: &IntentRecord,
        strategy: Option<Arc<str>>,
        time_ns: u64,
    ) -> Asked {
        let cause = match intent.flags & (BY_EXECUTION | BY_TIMER) {
            0 => Caused::Market,
            BY_EXECUTION => Caused::Execution,
            _ => Caused::Timer,
        };
        let is_market = cause == Caused::Market;
        let feed = self.feeds.get(usize::from(intent.feed)).cloned();
        let request = RequestRow {
            account: Arc::clone(&live.account),
            strategy,
            order_id: intent.id.get(),
            user_ref: None,
            action: intent.action().unwrap_or(Action::Enter),
            cause,
            feed: feed.clone().filter(|_| is_market),
            market_seq: is_market.then_some(intent.seq.get()),
            answer: None,
            reason: None,
            is_past: false,
            seen_ns: is_market.then(|| self.began.realtime_ns(intent.seen_ns.get())),
            decided_ns: self.began.realtime_ns(intent.decided_ns.get()),
            sent_ns: time_ns,
            answered_ns: None,
        };
        let is_immediate = intent.flags & IMMEDIATE != 0;
        let code = (intent.feed, intent.locate.get());
        let order = OrderRow {
            account: Arc::clone(&live.account),
            strategy: request.strategy.clone(),
            order_id: Some(request.order_id),
            symbol: self.symbols.get(&code).copied(),
            feed,
            locate: Some(intent.locate.get()),
            side: Some(if intent.flags & SELL == 0 {
                Side::Buy
            } else {
                Side::Sell
            }),
            shares: Some(intent.qty.get()),
            price: limit(u64::from(intent.price.get())),
            time_in_force: is_immediate.then_some(TimeInForce::ImmediateOrCancel as u8),
            seen_ns: request.seen_ns,
            decided_ns: Some(request.decided_ns),
            ..OrderRow::default()
        };
        Asked {
            code,
            order,
            request,
        }
    }

    fn on_sent(&mut self, live: &mut Live, asked: Asked, packet: &[u8]) {
        let packet = packets(packet).next();
        let decoded = packet.and_then(|packet| Inbound::decode(packet.payload).ok());
        let Some((message, appendage)) = decoded else {
            return;
        };
        let Asked {
            code,
            mut order,
            request,
        } = asked;
        order.sent_ns = Some(request.sent_ns);
        let shares = order.shares.unwrap_or_default();
        let number = match message {
            Inbound::EnterOrder(m) => {
                order.ask(m, appendage);
                self.symbols.insert(code, m.symbol);
                live.begin(m.user_ref.get().0, order);
                m.user_ref
            }
            Inbound::ReplaceOrder(m) => {
                let row = OrderRow {
                    strategy: order.strategy,
                    order_id: order.order_id,
                    shares: order.shares,
                    price: limit(m.price.raw()),
                    time_in_force: Some(m.time_in_force),
                    display: Some(m.display),
                    seen_ns: order.seen_ns,
                    decided_ns: order.decided_ns,
                    sent_ns: order.sent_ns,
                    ..live.row_behind(m.original_user_ref.get().0)
                };
                live.begin(m.user_ref.get().0, row);
                m.user_ref
            }
            Inbound::CancelOrder(m) => m.user_ref,
            _ => return,
        };
        live.ask(number.get().0, request, shares);
    }

    fn on_refused(&self, intent: &IntentRecord, asked: Asked, ended: &mut Ended) {
        let Asked { order, request, .. } = asked;
        let mut refusals = self.refusals.iter();
        let reason = refusals.find(|(code, _)| *code == intent.refusal);
        let reason = reason.map(|(_, counter)| Arc::clone(counter));
        let ended_ns = Some(request.sent_ns);
        if request.action == Action::Enter {
            ended.orders.push(OrderRow {
                outcome: Outcome::Refused,
                reason: reason.clone(),
                ended_ns,
                ..order
            });
        }
        ended.requests.push(RequestRow {
            answer: Some(Answer::Refused),
            reason,
            answered_ns: ended_ns,
            ..request
        });
    }
}
