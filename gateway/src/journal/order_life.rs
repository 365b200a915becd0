//! Orders on their way from the first message of the exchange to the last.
//!
//! Path:        orders -> here -> rows that are over
//! Invariants:  a number makes one row. Whatever is heard of it once its row is given out says nothing.
//! When full:   what is open is kept, and what has no answer; of what is over only ranges of numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::ouch::{Modified, OrderAccepted, OrderReplaced, Outbound, RejectReason, Rejected};

use super::ranges::Ranges;
use super::rows::{Account, Answer, Ended, OrderRow, Outcome, RequestRow, limit};
use crate::message::intent::Action;

/// What is kept of a session.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) account: Arc<Account>,
    /// Orders that are not over, by number.
    open: BTreeMap<u32, OrderRow>,
    /// Numbers of those that are.
    over: Ranges,
    /// Requests without an answer, by the number that an answer names.
    asked: BTreeMap<u32, Vec<Waiting>>,
}

/// A request without an answer.
#[derive(Debug)]
struct Waiting {
    request: RequestRow,
    /// What a partial cancel asks for: shares of the order that are to be left, executed ones included.
    reducing_to: u32,
}

impl Live {
    /// An order is on its way.
    pub(super) fn begin(&mut self, number: u32, mut row: OrderRow) {
        // Runs were read in another order than they were in: the exchange's word of it came first.
        if self.over.contains(number.into()) {
            return;
        }
        row.user_ref = Some(number);
        if let Some(heard) = self.open.get(&number)
            && heard.outcome == Outcome::Open
        {
            row = row.with_heard(heard);
        }
        if let Some(before) = row.replaces.and_then(|before| self.open.get_mut(&before)) {
            before.replaced_by = Some(number);
        }
        self.open.insert(number, row);
    }

    /// A request is on its way, for this number of open shares; the answer will name this number.
    pub(super) fn ask(&mut self, number: u32, mut request: RequestRow, shares: u32) {
        request.user_ref = Some(number);
        let filled = self.open.get(&number).map_or(0, |row| row.filled);
        let waiting = Waiting {
            request,
            reducing_to: filled.saturating_add(shares),
        };
        self.asked.entry(number).or_default().push(waiting);
    }

    /// What an order has from the one whose place it takes.
    pub(super) fn row_behind(&self, before: u32) -> OrderRow {
        let of_before = self.open.get(&before).cloned().unwrap_or_default();
        OrderRow {
            account: Arc::clone(&self.account),
            user_ref: None,
            replaces: Some(before),
            replaced_by: None,
            outcome: Outcome::Unanswered,
            reason: None,
            filled: 0,
            canceled: 0,
            seen_ns: None,
            decided_ns: None,
            sent_ns: None,
            accepted_ns: None,
            first_fill_ns: None,
            ended_ns: None,
            ..of_before
        }
    }

    /// The journals end: what is left comes out as it stands.
    pub(super) fn finish(&mut self, ended: &mut Ended) {
        let open = std::mem::take(&mut self.open).into_values();
        // What was to take a place has not taken it.
        ended.orders.extend(open.map(|row| OrderRow {
            replaced_by: None,
            ..row
        }));
        let asked = std::mem::take(&mut self.asked);
        let asked = asked.into_values().flatten();
        ended.requests.extend(asked.map(|waiting| waiting.request));
    }
}

/// One message of the exchange, and what it changes.
pub(super) struct Turn<'a> {
    pub(super) live: &'a mut Live,
    pub(super) ended: &'a mut Ended,
    /// When the message was here, ns since 1970.
    pub(super) time_ns: u64,
    /// It was said before the connection was begun.
    pub(super) is_past: bool,
}

impl Turn<'_> {
    /// Takes what it says.
    pub(super) fn on_heard(&mut self, message: &[u8]) {
        let Ok((message, _)) = Outbound::decode(message) else {
            return;
        };
        match message {
            Outbound::OrderAccepted(m) => self.on_accepted(m),
            Outbound::OrderReplaced(m) => self.on_replaced(m),
            Outbound::Rejected(m) => self.on_rejected(m),
            Outbound::Canceled(m) => {
                let number = m.user_ref.get().0;
                // A partial cancel that waits is answered first, and by nothing that nobody asked for.
                let is_asked = |waiting: &Waiting| waiting.request.action == Action::Reduce;
                let asked = self.live.asked.get(&number);
                let is_part = m.reason == REASON_USER
                    && asked.is_some_and(|asked| asked.iter().any(is_asked));
                self.on_canceled(number, m.qty.get().0, m.reason, is_part);
            }
            Outbound::AiqCanceled(m) => {
                self.on_canceled(m.user_ref.get().0, m.qty.get().0, m.reason, false);
            }
            Outbound::CancelReject(m) => {
                let number = m.user_ref.get().0;
                self.answer(number, |action| {
                    is_cancel(action).then_some(Answer::CancelRejected)
                });
            }
            Outbound::Modified(m) => self.on_modified(m),
            Outbound::PriorityUpdate(m) => {
                if let Some(row) = self.stands(m.user_ref.get().0) {
                    row.price = limit(m.price.raw());
                    row.display = Some(m.display);
                }
            }
            Outbound::Executed(m) => {
                let (number, time_ns) = (m.user_ref.get().0, self.time_ns);
                let Some(row) = self.stands(number) else {
                    return;
                };
                row.filled = row.filled.saturating_add(m.qty.get().0);
                row.first_fill_ns.get_or_insert(time_ns);
                self.settle(number);
            }
            _ => {}
        }
    }

    fn on_accepted(&mut self, m: &OrderAccepted) {
        let (number, time_ns) = (m.user_ref.get().0, self.time_ns);
        let Some(row) = self.stands(number) else {
            return;
        };
        row.symbol = Some(m.symbol);
        row.set_side(m.side);
        row.shares = Some(m.qty.get().0);
        row.price = limit(m.price.raw());
        row.time_in_force = Some(m.time_in_force);
        row.display = Some(m.display);
        row.accepted_ns = Some(time_ns);
        self.answer(number, |action| {
            (action == Action::Enter).then_some(Answer::Accepted)
        });
        self.stands_or_is_dead(number, m.state);
    }

    fn on_replaced(&mut self, m: &OrderReplaced) {
        let (before, now) = (m.original_user_ref.get().0, m.user_ref.get().0);
        if !self.live.open.contains_key(&now) && !self.live.over.contains(now.into()) {
            let row = self.live.row_behind(before);
            self.live.begin(now, row);
        }
        if let Some(row) = self.stands(before) {
            row.replaced_by = Some(now);
            self.end(before, Outcome::Replaced);
        }
        let time_ns = self.time_ns;
        let Some(row) = self.stands(now) else {
            return;
        };
        row.symbol = Some(m.symbol);
        row.set_side(m.side);
        row.shares = Some(m.qty.get().0);
        row.price = limit(m.price.raw());
        row.time_in_force = Some(m.time_in_force);
        row.display = Some(m.display);
        row.accepted_ns = Some(time_ns);
        self.answer(now, |action| {
            (action == Action::Replace).then_some(Answer::Replaced)
        });
        self.stands_or_is_dead(now, m.state);
    }

    fn on_rejected(&mut self, m: &Rejected) {
        let (number, code) = (m.user_ref.get().0, m.reason.get());
        let reason = RejectReason::of(code).map_or_else(
            || Arc::from(format!("{code:#04x}")),
            |known| Arc::from(known.text()),
        );
        let Some(row) = self.stands(number) else {
            return;
        };
        row.reason = Some(reason);
        let before = row.replaces;
        // Another replace of the same order may be on its way behind this one.
        if let Some(before) = before.and_then(|before| self.live.open.get_mut(&before))
            && before.replaced_by == Some(number)
        {
            before.replaced_by = None;
        }
        self.answer(number, |action| {
            (!is_cancel(action)).then_some(Answer::Rejected)
        });
        self.end(number, Outcome::Rejected);
    }

    /// `is_part`: it answers a partial cancel; else all of the order that goes answers a cancel.
    fn on_canceled(&mut self, number: u32, shares: u32, reason: u8, is_part: bool) {
        let Some(row) = self.stands(number) else {
            return;
        };
        row.canceled = row.canceled.saturating_add(shares);
        row.reason = Some(Arc::from(char::from(reason).to_string()));
        let is_over = row.is_over();
        self.answer(number, |action| {
            let is_it = match action {
                Action::Reduce => is_part,
                Action::Cancel => is_over && !is_part,
                _ => false,
            };
            is_it.then_some(Answer::Canceled)
        });
        if !is_part {
            self.outrun_reductions(number);
        }
        self.settle(number);
    }

    /// The exchange has made an order smaller by itself. To a partial cancel that asks for no less it says nothing.
    fn outrun_reductions(&mut self, number: u32) {
        let row = self.live.open.get(&number);
        let Some(left) = row.and_then(|row| Some(row.shares?.saturating_sub(row.canceled))) else {
            return;
        };
        self.answer_waiting(number, |waiting| {
            let is_outrun = waiting.request.action == Action::Reduce && left <= waiting.reducing_to;
            is_outrun.then_some(Answer::TooLate)
        });
    }

    fn on_modified(&mut self, m: &Modified) {
        let (number, open) = (m.user_ref.get().0, m.qty.get().0);
        let Some(row) = self.stands(number) else {
            return;
        };
        let left = row
            .shares
            .map_or(0, |shares| shares.saturating_sub(row.filled));
        row.shares = Some(row.filled.saturating_add(left.max(open)));
        row.canceled = left.saturating_sub(open);
        self.outrun_reductions(number);
        self.settle(number);
    }

    /// The order of a number that the exchange speaks of as its own; `None`: it is over.
    fn stands(&mut self, number: u32) -> Option<&mut OrderRow> {
        if self.live.over.contains(number.into()) {
            return None;
        }
        let account = &self.live.account;
        let row = self.live.open.entry(number).or_insert_with(|| OrderRow {
            account: Arc::clone(account),
            user_ref: Some(number),
            ..OrderRow::default()
        });
        row.outcome = Outcome::Open;
        Some(row)
    }

    fn stands_or_is_dead(&mut self, number: u32, state: u8) {
        if state == DEAD
            && let Some(row) = self.live.open.get_mut(&number)
        {
            let shares = row.shares.unwrap_or_default();
            row.canceled = shares.saturating_sub(row.filled);
        }
        // Its executions may have been heard before: a ring had lost the acceptance, and a later run heard it.
        self.settle(number);
    }

    /// Ends an order, if nothing of it is open.
    fn settle(&mut self, number: u32) {
        let row = self.live.open.get(&number).filter(|row| row.is_over());
        match row.map(|row| row.canceled) {
            Some(0) => self.end(number, Outcome::Filled),
            Some(_) => self.end(number, Outcome::Canceled),
            None => {}
        }
    }

    /// Gives an order out, with every request about it that is too late now, and with every order that was to take its place.
    fn end(&mut self, number: u32, outcome: Outcome) {
        let mut next = self.end_one(number, outcome);
        while let Some(number) = next {
            next = self.end_one(number, Outcome::TooLate);
        }
    }

    /// Gives an order out; which was to take its place.
    fn end_one(&mut self, number: u32, outcome: Outcome) -> Option<u32> {
        let mut row = self.live.open.remove(&number)?;
        self.live.over.insert(number.into());
        row.outcome = outcome;
        row.ended_ns = Some(self.time_ns);
        let next = row.replaced_by.filter(|_| outcome != Outcome::Replaced);
        if next.is_some() {
            row.replaced_by = None;
        }
        self.ended.orders.push(row);
        self.answer(number, |_| Some(Answer::TooLate));
        if let Some(next) = next {
            // A cancel behind the replace meant this order, too.
            self.answer(next, |action| {
                let is_done = outcome == Outcome::Canceled && action == Action::Cancel;
                is_done.then_some(Answer::Canceled)
            });
        }
        next
    }

    /// Answers those requests about a number for whose action there is an answer.
    fn answer(&mut self, number: u32, answer: impl Fn(Action) -> Option<Answer>) {
        self.answer_waiting(number, |waiting| answer(waiting.request.action));
    }

    fn answer_waiting(&mut self, number: u32, answer: impl Fn(&Waiting) -> Option<Answer>) {
        let Some(asked) = self.live.asked.get_mut(&number) else {
            return;
        };
        let answered = asked.extract_if(.., |waiting| {
            waiting.request.answer = answer(waiting);
            waiting.request.answer.is_some()
        });
        for Waiting { mut request, .. } in answered {
            request.is_past = self.is_past;
            request.answered_ns = Some(self.time_ns);
            self.ended.requests.push(request);
        }
        if asked.is_empty() {
            self.live.asked.remove(&number);
        }
    }
}

/// OUCH's state of an order that was over when it was accepted or replaced.
const DEAD: u8 = b'D';
/// OUCH's reason of a cancel that was asked for.
const REASON_USER: u8 = b'U';

fn is_cancel(action: Action) -> bool {
    matches!(action, Action::Cancel | Action::Reduce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_of_replaces_ends_with_its_first_order_however_long_it_is() {
        const ORDERS: u32 = 300_000;
        let (mut live, mut ended) = (Live::default(), Ended::default());
        live.begin(1, OrderRow::default());
        for number in 2..=ORDERS {
            let row = live.row_behind(number - 1);
            live.begin(number, row);
        }
        let mut turn = Turn {
            live: &mut live,
            ended: &mut ended,
            time_ns: 5,
            is_past: false,
        };
        turn.end(1, Outcome::Filled);
        assert_eq!(ended.orders.len(), 300_000);
        let late = ended.orders.iter().skip(1);
        assert!(late.clone().all(|row| row.outcome == Outcome::TooLate));
        assert!(live.open.is_empty());
    }
}
