//! Which records of a journal are wanted: of a kind, a session, an order, a strategy.
//!
//! **Every record of a run goes through `wants`, in order: an order's strategy is known from the order's first one.**
//!
//! Invariants:  memory grows with the orders of the run, and only where a strategy or an order is asked for.

use std::collections::{BTreeMap, BTreeSet};

use protocol::ouch::Outbound;

use super::event::Event;
use super::format::{Kind, Record};
use super::head::Head;
use super::ouch::{orders_heard, orders_sent};
use super::show::{session_name, strategy_name};

/// What is wanted; an empty list, or nothing, wants everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of these kinds.
    pub kinds: Vec<Kind>,
    /// Of the session of this name.
    pub session: Option<String>,
    /// Of the order of this reference number, and of those that replaced it.
    pub order: Option<u32>,
    /// Of the strategy of this name, or this number: what it asked for, what became of it, and commands about it.
    pub strategy: Option<String>,
}

/// What is wanted, and what has been learnt of the orders that it is about.
#[derive(Debug)]
pub struct Filter {
    wanted: Wanted,
    /// Whose order each is, by session and reference number.
    owners: BTreeMap<(u8, u32), u8>,
    /// Numbers that the wanted order has had, by session.
    numbers: BTreeSet<(u8, u32)>,
}

impl Filter {
    /// Nothing has been seen yet.
    #[must_use]
    pub fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            owners: BTreeMap::new(),
            numbers: BTreeSet::new(),
        }
    }

    /// Whether a record is wanted.
    pub fn wants(&mut self, head: &Head, record: &Record<'_>, event: &Event<'_>) -> bool {
        let session = record.header.session;
        let orders = self.learn(session, event);
        let is_kind = self.wanted.kinds.is_empty() || self.wanted.kinds.contains(&record.kind);
        let is_session = self
            .wanted
            .session
            .as_ref()
            .is_none_or(|name| session_name(head, session) == *name);
        let is_order = self.wanted.order.is_none()
            || orders
                .iter()
                .any(|order| self.numbers.contains(&(session, *order)));
        is_kind && is_session && is_order && self.is_of_strategy(head, session, event, &orders)
    }

    /// The orders that a record is about; what it says of numbers and strategies is remembered.
    fn learn(&mut self, session: u8, event: &Event<'_>) -> Vec<u32> {
        if self.wanted.order.is_none() && self.wanted.strategy.is_none() {
            return Vec::new();
        }
        // The last of several is the number that a replace gives.
        let (orders, owner) = match event {
            Event::Sent(intent, packet) => {
                let mut orders = orders_sent(packet);
                orders.insert(0, intent.user_ref.get());
                (orders, Some(intent.owner))
            }
            Event::Cancels(packets) => return orders_sent(packets),
            Event::Heard(heard) => match Outbound::decode(heard.message) {
                Ok((message, _)) => (orders_heard(&message), None),
                Err(_) => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        let first = orders.first().copied();
        let owner = owner.or_else(|| self.owners.get(&(session, first?)).copied());
        let is_wanted = orders.iter().any(|order| {
            self.wanted.order == Some(*order) || self.numbers.contains(&(session, *order))
        });
        for order in &orders {
            if let Some(owner) = owner {
                self.owners.insert((session, *order), owner);
            }
            if is_wanted {
                self.numbers.insert((session, *order));
            }
        }
        orders
    }

    fn is_of_strategy(&self, head: &Head, session: u8, event: &Event<'_>, orders: &[u32]) -> bool {
        let Some(name) = &self.wanted.strategy else {
            return true;
        };
        let is_it =
            |owner: u8| strategy_name(head, session, owner) == *name || owner.to_string() == *name;
        match event {
            Event::Sent(intent, _) | Event::Refused(intent) => is_it(intent.owner),
            Event::Command(command) => is_it(command.owner),
            _ => {
                let mut owners = orders
                    .iter()
                    .filter_map(|order| self.owners.get(&(session, *order)));
                owners.any(|owner| is_it(*owner))
            }
        }
    }
}
