//! Accounts and orders: every OUCH message gets the answer that an exchange would give.
//!
//! The rule by which orders trade is simple, stated, and the same for the same input: each accepted
//! order is numbered within its account; every `fill_every`-th one is filled in full at its limit at
//! once. Of the others, an immediate-or-cancel order is cancelled, any other rests until its owner
//! cancels or replaces it (a replaced order trades by the number of its replacement).
//!
//! Invariants:  answers are appended to the account's store and never change: a client that comes
//!              back reads the same bytes. A reference number is used once.
//! Time:        comes in as `now_ns`, ns since midnight.
//! When full:   an account whose store is full answers nothing more, and says so by rejecting logins.
//! Spec:        OUCH 5.0 revision 1.04.

use std::collections::BTreeMap;
use std::collections::HashMap;

use protocol::ouch::{
    AccountQueryResponse, CancelOrder, Canceled, DisableResponse, Element, EnableResponse,
    EnterOrder, Executed, Inbound, MassCancel, MassCancelResponse, Modified, ModifyOrder,
    OrderAccepted, OrderReplaced, PRICE_MAX, QTY_MAX, RejectReason, Rejected, ReplaceOrder,
    TIF_IOC,
};
use protocol::types::{MatchNumber, Nanos, OrderRef, Price4, Qty, Symbol, UserRefNum};
use zerocopy::byteorder::big_endian::U16;

use crate::options::Options;

/// Cancel reasons that this exchange gives.
const REASON_USER: u8 = b'U';
const REASON_IOC: u8 = b'I';
const REASON_SYSTEM: u8 = b'Z';
const REASON_SUPERVISORY: u8 = b'S';

/// Every account, and the numbers that all share.
#[derive(Debug)]
pub struct Exchange {
    accounts: BTreeMap<String, Account>,
    fill_every: u64,
    store_max: usize,
    next_order: u64,
    next_match: u64,
}

/// One account's orders and everything that it was told.
#[derive(Debug, Default)]
struct Account {
    store: Store,
    orders: HashMap<u32, Order>,
    last_user_ref: u32,
    accepted: u64,
    is_disabled: bool,
}

/// Sequenced messages, one behind the other.
#[derive(Debug, Default)]
struct Store {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    message: EnterOrder,
    executed: u32,
    open: u32,
}

impl Exchange {
    /// Opens with the accounts of the options.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let accounts = options
            .account
            .keys()
            .map(|name| (name.clone(), Account::default()));
        Self {
            accounts: accounts.collect(),
            fill_every: options.fill_every,
            store_max: options.store_max,
            next_order: 1,
            next_match: 1,
        }
    }

    /// Orders that an account has open, with their open shares, by reference number.
    #[must_use]
    pub fn open_orders(&self, account: &str) -> Vec<(UserRefNum, Qty)> {
        let Some(account) = self.accounts.get(account) else {
            return Vec::new();
        };
        let mut open: Vec<_> = account
            .orders
            .iter()
            .map(|(number, order)| (UserRefNum(*number), Qty(order.open)))
            .collect();
        open.sort_unstable();
        open
    }

    /// Sequenced messages of an account so far.
    #[must_use]
    pub fn stored(&self, account: &str) -> usize {
        self.accounts
            .get(account)
            .map_or(0, |account| account.store.ends.len())
    }

    /// The account's message of this index (sequence number less one).
    #[must_use]
    pub fn message(&self, account: &str, index: usize) -> Option<&[u8]> {
        let store = &self.accounts.get(account)?.store;
        let end = *store.ends.get(index)?;
        let start = index
            .checked_sub(1)
            .and_then(|before| store.ends.get(before))
            .copied();
        store.bytes.get(start.unwrap_or(0)..end)
    }

    /// Takes one message of a logged-in client. Nonsense that is no OUCH message is ignored, as the
    /// specification has no answer to it.
    pub fn on_message(&mut self, account: &str, bytes: &[u8], now_ns: u64) {
        let Ok((message, appendage)) = Inbound::decode(bytes) else {
            return;
        };
        let Some(mut desk) = self.desk(account, now_ns) else {
            return;
        };
        match message {
            Inbound::EnterOrder(m) => {
                let min_qty = appendage.elements().find_map(|element| match element {
                    Element::MinQty(qty) => Some(qty),
                    _ => None,
                });
                desk.enter(m, min_qty.unwrap_or(Qty(0)));
            }
            Inbound::ReplaceOrder(m) => desk.replace(m),
            Inbound::CancelOrder(m) => desk.cancel(m),
            Inbound::ModifyOrder(m) => desk.modify(m),
            Inbound::MassCancel(m) => desk.mass_cancel(m),
            Inbound::DisableOrderEntry(m) => desk.set_disabled(m.user_ref.get(), m.firm, true),
            Inbound::EnableOrderEntry(m) => desk.set_disabled(m.user_ref.get(), m.firm, false),
            Inbound::AccountQuery(_) => desk.query(),
        }
    }

    /// Cancels everything that an account has open.
    pub fn cancel_all(&mut self, account: &str, now_ns: u64) {
        if let Some(mut desk) = self.desk(account, now_ns) {
            desk.cancel_where(REASON_SUPERVISORY, |_| true);
        }
    }

    fn desk(&mut self, account: &str, now_ns: u64) -> Option<Desk<'_>> {
        let account = self.accounts.get_mut(account)?;
        if account.store.ends.len() >= self.store_max {
            return None;
        }
        Some(Desk {
            account,
            fill_every: self.fill_every,
            next_order: &mut self.next_order,
            next_match: &mut self.next_match,
            now: Nanos(now_ns),
        })
    }
}

/// One account while it is served.
struct Desk<'a> {
    account: &'a mut Account,
    fill_every: u64,
    next_order: &'a mut u64,
    next_match: &'a mut u64,
    now: Nanos,
}

/// Appends a message to the account's store.
macro_rules! answer {
    ($desk:expr, $message:expr) => {{
        let mut out = [0; 128];
        if let Some(bytes) = $message
            .encode(&[], &mut out)
            .and_then(|len| out.get(..len))
        {
            let store = &mut $desk.account.store;
            store.bytes.extend_from_slice(bytes);
            store.ends.push(store.bytes.len());
        }
    }};
}

impl Desk<'_> {
    fn enter(&mut self, m: &EnterOrder, min_qty: Qty) {
        let user_ref = m.user_ref.get();
        // A number that is not larger than the last is a retransmission: silence.
        if user_ref.0 <= self.account.last_user_ref {
            return;
        }
        self.account.last_user_ref = user_ref.0;
        if let Some(reason) = self.objection(m, min_qty) {
            return self.reject(user_ref, reason, m.client_order_id);
        }
        let order = self.number();
        answer!(
            self,
            OrderAccepted {
                kind: OrderAccepted::KIND,
                timestamp: self.now.into(),
                user_ref: m.user_ref,
                side: m.side,
                qty: m.qty,
                symbol: m.symbol,
                price: m.price,
                time_in_force: m.time_in_force,
                display: m.display,
                order: order.into(),
                capacity: m.capacity,
                iso: m.iso,
                cross: m.cross,
                state: b'L',
                client_order_id: m.client_order_id,
            }
        );
        let order = Order {
            message: *m,
            executed: 0,
            open: m.qty.get().0,
        };
        self.account.orders.insert(user_ref.0, order);
        self.trade_by_rule(user_ref);
    }

    /// What makes an order nonsense, in the order in which it is looked at.
    fn objection(&self, m: &EnterOrder, min_qty: Qty) -> Option<RejectReason> {
        let qty = m.qty.get();
        let price = m
            .price
            .get()
            .filter(|price| price.0 > 0 && *price <= PRICE_MAX);
        if self.account.is_disabled {
            Some(RejectReason::FirmNotAuthorized)
        } else if !b"BSTE".contains(&m.side) {
            Some(RejectReason::InvalidSide)
        } else if qty.0 == 0 || qty > QTY_MAX {
            Some(RejectReason::InvalidQuantity)
        } else if !is_symbol(m.symbol) {
            Some(RejectReason::InvalidSymbol)
        } else if price.is_none() {
            Some(RejectReason::InvalidPrice)
        } else if !b"YNA".contains(&m.display) {
            Some(RejectReason::InvalidDisplay)
        } else if !b"NOCHSREA".contains(&m.cross) {
            Some(RejectReason::InvalidCrossOrder)
        } else if min_qty > qty {
            Some(RejectReason::InvalidMinQuantity)
        } else if !b"0356E".contains(&m.time_in_force)
            || !b"APRO".contains(&m.capacity)
            || !b"YN".contains(&m.iso)
        {
            Some(RejectReason::Other)
        } else {
            None
        }
    }

    fn replace(&mut self, m: &ReplaceOrder) {
        let (original, user_ref) = (m.original_user_ref.get(), m.user_ref.get());
        // Of a dead order, or with a used number: silence, and the number stays free.
        let Some(order) = self.account.orders.get(&original.0).copied() else {
            return;
        };
        if user_ref.0 <= self.account.last_user_ref {
            return;
        }
        let (qty, price) = (m.qty.get(), m.price.get());
        let is_sane = qty.0 > 0
            && qty <= QTY_MAX
            && price.is_some_and(|price| price.0 > 0 && price <= PRICE_MAX)
            && b"YNA".contains(&m.display)
            && b"0356".contains(&m.time_in_force);
        // Bad details end the existing order, and so does a size that is executed already.
        if !is_sane || qty.0 <= order.executed {
            let reason = if is_sane { REASON_USER } else { REASON_SYSTEM };
            return self.take_off(original, order.open, reason);
        }
        self.account.last_user_ref = user_ref.0;
        self.account.orders.remove(&original.0);
        let open = qty.0 - order.executed;
        let reference = self.number();
        let mut message = order.message;
        message.user_ref = user_ref.into();
        message.qty = m.qty;
        message.price = m.price;
        message.time_in_force = m.time_in_force;
        message.display = m.display;
        message.client_order_id = m.client_order_id;
        answer!(
            self,
            OrderReplaced {
                kind: OrderReplaced::KIND,
                timestamp: self.now.into(),
                original_user_ref: m.original_user_ref,
                user_ref: m.user_ref,
                side: message.side,
                qty: Qty(open).into(),
                symbol: message.symbol,
                price: m.price,
                time_in_force: m.time_in_force,
                display: m.display,
                order: reference.into(),
                capacity: message.capacity,
                iso: m.iso,
                cross: message.cross,
                state: b'L',
                client_order_id: m.client_order_id,
            }
        );
        let order = Order {
            message,
            executed: order.executed,
            open,
        };
        self.account.orders.insert(user_ref.0, order);
        self.trade_by_rule(user_ref);
    }

    fn cancel(&mut self, m: &CancelOrder) {
        let user_ref = m.user_ref.get();
        // There is no "too late": a superfluous cancel is met with silence.
        let Some(order) = self.account.orders.get(&user_ref.0) else {
            return;
        };
        let keep = m.qty.get().0.saturating_sub(order.executed).min(order.open);
        let off = order.open - keep;
        if off > 0 {
            self.take_off(user_ref, off, REASON_USER);
        }
    }

    fn modify(&mut self, m: &ModifyOrder) {
        let user_ref = m.user_ref.get();
        let Some(order) = self.account.orders.get_mut(&user_ref.0) else {
            return;
        };
        let is_side_sane = m.side == order.message.side
            || matches!(
                (order.message.side, m.side),
                (b'S', b'E' | b'T') | (b'E', b'T' | b'S') | (b'T', b'S' | b'E')
            );
        let wanted = m.qty.get().0.saturating_sub(order.executed);
        // An increase is ignored since revision 1.04.
        if !is_side_sane || wanted > order.open {
            return;
        }
        order.message.side = m.side;
        order.open = wanted;
        let is_over = wanted == 0;
        answer!(
            self,
            Modified {
                kind: Modified::KIND,
                timestamp: self.now.into(),
                user_ref: m.user_ref,
                side: m.side,
                qty: Qty(wanted).into(),
            }
        );
        if is_over {
            self.account.orders.remove(&user_ref.0);
        }
    }

    fn mass_cancel(&mut self, m: &MassCancel) {
        if m.user_ref.get().0 <= self.account.last_user_ref {
            return;
        }
        self.account.last_user_ref = m.user_ref.get().0;
        answer!(
            self,
            MassCancelResponse {
                kind: MassCancelResponse::KIND,
                timestamp: self.now.into(),
                user_ref: m.user_ref,
                firm: m.firm,
                symbol: m.symbol,
            }
        );
        self.cancel_where(REASON_USER, |order| {
            m.symbol == Symbol::BLANK || order.message.symbol == m.symbol
        });
    }

    fn cancel_where(&mut self, reason: u8, is_meant: impl Fn(&Order) -> bool) {
        let meant = self
            .account
            .orders
            .iter()
            .filter(|(_, order)| is_meant(order));
        let mut numbers: Vec<(u32, u32)> = meant.map(|(at, order)| (*at, order.open)).collect();
        numbers.sort_unstable();
        for (number, open) in numbers {
            self.take_off(UserRefNum(number), open, reason);
        }
    }

    fn set_disabled(&mut self, user_ref: UserRefNum, firm: [u8; 4], is_disabled: bool) {
        if user_ref.0 <= self.account.last_user_ref {
            return;
        }
        self.account.last_user_ref = user_ref.0;
        self.account.is_disabled = is_disabled;
        let (timestamp, user_ref) = (self.now.into(), user_ref.into());
        if is_disabled {
            let kind = DisableResponse::KIND;
            answer!(
                self,
                DisableResponse {
                    kind,
                    timestamp,
                    user_ref,
                    firm
                }
            );
        } else {
            let kind = EnableResponse::KIND;
            answer!(
                self,
                EnableResponse {
                    kind,
                    timestamp,
                    user_ref,
                    firm
                }
            );
        }
    }

    fn query(&mut self) {
        answer!(
            self,
            AccountQueryResponse {
                kind: AccountQueryResponse::KIND,
                timestamp: self.now.into(),
                next_user_ref: UserRefNum(self.account.last_user_ref.saturating_add(1)).into(),
            }
        );
    }

    /// Fills, cancels or lets rest, by the rule in this file's header.
    fn trade_by_rule(&mut self, user_ref: UserRefNum) {
        self.account.accepted += 1;
        let Some(order) = self.account.orders.get(&user_ref.0).copied() else {
            return;
        };
        if self.fill_every > 0 && self.account.accepted.is_multiple_of(self.fill_every) {
            self.fill(
                user_ref,
                order.open,
                order.message.price.get().unwrap_or(Price4(0)),
            );
        } else if order.message.time_in_force == TIF_IOC {
            self.take_off(user_ref, order.open, REASON_IOC);
        }
    }

    fn fill(&mut self, user_ref: UserRefNum, qty: u32, price: Price4) {
        let match_number = MatchNumber(*self.next_match);
        *self.next_match += 1;
        answer!(
            self,
            Executed {
                kind: Executed::KIND,
                timestamp: self.now.into(),
                user_ref: user_ref.into(),
                qty: Qty(qty).into(),
                price: price.into(),
                liquidity: b'R',
                match_number: match_number.into(),
            }
        );
        if let Some(order) = self.account.orders.get_mut(&user_ref.0) {
            order.executed += qty;
            order.open -= qty;
            if order.open == 0 {
                self.account.orders.remove(&user_ref.0);
            }
        }
    }

    fn take_off(&mut self, user_ref: UserRefNum, qty: u32, reason: u8) {
        answer!(
            self,
            Canceled {
                kind: Canceled::KIND,
                timestamp: self.now.into(),
                user_ref: user_ref.into(),
                qty: Qty(qty).into(),
                reason,
            }
        );
        if let Some(order) = self.account.orders.get_mut(&user_ref.0) {
            order.open -= qty;
            if order.open == 0 {
                self.account.orders.remove(&user_ref.0);
            }
        }
    }

    fn reject(&mut self, user_ref: UserRefNum, reason: RejectReason, client_order_id: [u8; 14]) {
        answer!(
            self,
            Rejected {
                kind: Rejected::KIND,
                timestamp: self.now.into(),
                user_ref: user_ref.into(),
                reason: U16::new(reason as u16),
                client_order_id,
            }
        );
    }

    fn number(&mut self) -> OrderRef {
        let number = OrderRef(*self.next_order);
        *self.next_order += 1;
        number
    }
}

/// The number of the market message that caused an order, if its own id carries one: Tickgate writes it
/// in hexadecimal behind two digits of its own.
#[must_use]
pub fn origin_seq(message: &[u8]) -> Option<u64> {
    let Ok((Inbound::EnterOrder(m), _)) = Inbound::decode(message) else {
        return None;
    };
    let digits = m
        .client_order_id
        .get(2..)
        .and_then(|hex| std::str::from_utf8(hex).ok())?;
    u64::from_str_radix(digits, 16).ok()
}

fn is_symbol(symbol: Symbol) -> bool {
    let text = symbol.0.trim_ascii_end();
    !text.is_empty() && text.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use protocol::ouch::Outbound;

    use super::*;

    fn exchange(fill_every: u64) -> Exchange {
        let text = format!(
            "address = \"127.0.0.1:1\"\nfill_every = {fill_every}\n[account.a]\npassword = \"p\""
        );
        Exchange::new(&Options::parse(&text).unwrap())
    }

    fn enter(user_ref: u32, change: impl FnOnce(&mut EnterOrder)) -> Vec<u8> {
        let mut message = EnterOrder {
            kind: b'O',
            user_ref: UserRefNum(user_ref).into(),
            side: b'B',
            qty: Qty(100).into(),
            symbol: Symbol::new("ALC").unwrap(),
            price: Price4(10_000).into(),
            time_in_force: b'0',
            display: b'Y',
            capacity: b'P',
            iso: b'N',
            cross: b'N',
            client_order_id: [b'x'; 14],
        };
        change(&mut message);
        let mut out = vec![0; 64];
        let len = message.encode(&[], &mut out).unwrap();
        out.truncate(len);
        out
    }

    fn replace(original: u32, user_ref: u32, qty: u32, price: u32) -> Vec<u8> {
        let message = ReplaceOrder {
            kind: b'U',
            original_user_ref: UserRefNum(original).into(),
            user_ref: UserRefNum(user_ref).into(),
            qty: Qty(qty).into(),
            price: Price4(price).into(),
            time_in_force: b'0',
            display: b'Y',
            iso: b'N',
            client_order_id: [b'y'; 14],
        };
        let mut out = vec![0; 64];
        let len = message.encode(&[], &mut out).unwrap();
        out.truncate(len);
        out
    }

    fn cancel(user_ref: u32, qty: u32) -> Vec<u8> {
        let (user_ref, qty) = (UserRefNum(user_ref).into(), Qty(qty).into());
        let mut out = vec![0; 16];
        let len = CancelOrder {
            kind: b'X',
            user_ref,
            qty,
        }
        .encode(&[], &mut out)
        .unwrap();
        out.truncate(len);
        out
    }

    /// What the exchange answered to each message, in short.
    fn dialogue(exchange: &mut Exchange, messages: &[Vec<u8>]) -> String {
        let mut said = Vec::new();
        for message in messages {
            let from = exchange.stored("a");
            exchange.on_message("a", message, 7);
            let mut line = Vec::new();
            for index in from..exchange.stored("a") {
                let bytes = exchange.message("a", index).unwrap();
                line.push(match Outbound::decode(bytes).unwrap().0 {
                    Outbound::OrderAccepted(m) => format!("A{}", m.user_ref.get().0),
                    Outbound::OrderReplaced(m) => {
                        format!("U{}:{}", m.user_ref.get().0, m.qty.get().0)
                    }
                    Outbound::Canceled(m) => {
                        format!(
                            "C{}:{}{}",
                            m.user_ref.get().0,
                            m.qty.get().0,
                            m.reason as char
                        )
                    }
                    Outbound::Executed(m) => format!("E{}:{}", m.user_ref.get().0, m.qty.get().0),
                    Outbound::Rejected(m) => {
                        format!("J{}:{:02X}", m.user_ref.get().0, m.reason.get())
                    }
                    Outbound::AccountQueryResponse(m) => format!("Q{}", m.next_user_ref.get().0),
                    other => format!("{other:?}"),
                });
            }
            said.push(line.join(" "));
        }
        said.join(" | ")
    }

    #[test]
    fn orders_trade_by_the_stated_rule() {
        let ioc = |n| enter(n, |m| m.time_in_force = TIF_IOC);
        let mut exchange = exchange(2);
        let said = dialogue(
            &mut exchange,
            &[ioc(1), ioc(2), enter(3, |_| ()), enter(4, |_| ())],
        );
        assert_eq!(said, "A1 C1:100I | A2 E2:100 | A3 | A4 E4:100");
    }

    #[test]
    fn retransmission_and_superfluous_messages_meet_silence() {
        let mut exchange = exchange(0);
        let messages = [
            enter(5, |_| ()),
            enter(5, |_| ()),
            enter(4, |_| ()),
            cancel(9, 0),
            replace(9, 10, 100, 10_000),
            replace(5, 5, 100, 10_000),
            cancel(5, 0),
            cancel(5, 0),
            vec![b'?'; 20],
            vec![],
            vec![b'Q'],
        ];
        assert_eq!(
            dialogue(&mut exchange, &messages),
            "A5 |  |  |  |  |  | C5:100U |  |  |  | Q6"
        );
    }

    #[test]
    fn replace_keeps_the_chain_and_bad_details_end_it() {
        let mut exchange = exchange(0);
        let messages = [
            enter(1, |_| ()),
            replace(1, 2, 300, 10_100),
            cancel(2, 50),
            replace(2, 3, 0, 10_000),
            replace(2, 3, 10, 10_000),
            enter(3, |_| ()),
        ];
        assert_eq!(
            dialogue(&mut exchange, &messages),
            "A1 | U2:300 | C2:250U | C2:50Z |  | A3"
        );
    }

    #[test]
    fn nonsense_is_rejected_with_its_reason_and_uses_its_number() {
        let mut exchange = exchange(0);
        let messages = [
            enter(1, |m| m.side = b'X'),
            enter(2, |m| m.qty = Qty(0).into()),
            enter(3, |m| m.qty = Qty(1_000_000).into()),
            enter(4, |m| m.symbol = Symbol::BLANK),
            enter(5, |m| m.price = Price4(0).into()),
            enter(6, |m| m.price = Price4(PRICE_MAX.0 + 1).into()),
            enter(7, |m| m.display = b'Q'),
            enter(8, |m| m.cross = b'Z'),
            enter(9, |m| m.capacity = b'Z'),
            enter(9, |_| ()),
            enter(10, |_| ()),
        ];
        assert_eq!(
            dialogue(&mut exchange, &messages),
            "J1:09 | J2:13 | J3:13 | J4:17 | J5:1D | J6:1D | J7:03 | J8:14 | J9:0F |  | A10"
        );
    }
}
