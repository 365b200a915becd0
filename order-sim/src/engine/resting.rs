//! Orders that rest: into their queue, fewer shares, out of it.
//!
//! Invariants:  an order is in exactly the queue that its place names; in hand it is in none.

use super::event::{Event, OnFeed};
use super::levels::Place;
use super::matcher::Matcher;

impl Matcher<'_> {
    /// Takes shares from a resting order; what is left of nothing leaves its queue. [`Matcher::tidy`]
    /// follows when the event is told.
    #[inline]
    pub(super) fn lessen(&mut self, slot: u32, qty: u32) -> Option<OnFeed> {
        let order = self.orders.at_mut(slot);
        order.open -= qty;
        if order.place != Place::Shown {
            if order.open == 0 {
                self.unlink(slot);
            }
            return None;
        }
        let off = qty.min(order.shown);
        order.shown -= off;
        let shown = OnFeed {
            reference: order.reference,
            off,
            left: order.shown,
        };
        if shown.left == 0 {
            self.unlink(slot);
        }
        Some(shown)
    }

    /// Frees an order that is done, or shows a reserve's next shares.
    #[inline]
    pub(super) fn tidy(&mut self, slot: u32, sink: &mut impl FnMut(Event)) {
        let order = self.orders.at(slot);
        if order.open == 0 {
            self.orders.remove(slot);
        } else if order.place == Place::Shown && order.shown == 0 {
            self.refresh(slot, sink);
        }
    }

    /// Shows a reserve's next shares, behind all that is shown.
    fn refresh(&mut self, slot: u32, sink: &mut impl FnMut(Event)) {
        let reference = self.numbers.next_order();
        let order = self.orders.at_mut(slot);
        order.reference = reference;
        order.shown = order.display_qty.min(order.open);
        let owner = order.owner();
        self.stock
            .ladders
            .of_mut(order.side)
            .push(self.orders, slot);
        sink(Event::Refreshed {
            owner,
            rested: self.orders.rested(slot),
        });
    }

    #[inline]
    pub(super) fn unlink(&mut self, slot: u32) {
        let order = self.orders.at(slot);
        let (side, place) = (order.side, order.place);
        match place {
            Place::Hand => {}
            Place::Shown | Place::Hidden => {
                self.stock.ladders.of_mut(side).remove(self.orders, slot)
            }
            Place::Peg => self.stock.pegs.of_mut(side).remove(self.orders, slot),
            Place::Cross => self.stock.crosses.of_mut(side).remove(self.orders, slot),
        }
    }

    /// Takes an order out of its queue and into the hand; its shown reference, if it had one.
    pub(super) fn pick_up(&mut self, slot: u32) -> Option<u64> {
        self.unlink(slot);
        let order = self.orders.at_mut(slot);
        (order.place == Place::Shown).then_some(order.reference)
    }

    pub(super) fn rest(&mut self, slot: u32, old: Option<u64>, sink: &mut impl FnMut(Event)) {
        let order = self.orders.at_mut(slot);
        let side = order.side;
        if order.cross.is_some() {
            order.place = Place::Cross;
            self.stock.crosses.of_mut(side).push(self.orders, slot);
        } else if order.place == Place::Peg {
            self.stock.pegs.of_mut(side).push(self.orders, slot);
        } else if order.shown == 0 {
            order.place = Place::Hidden;
            self.stock.ladders.of_mut(side).push(self.orders, slot);
        } else {
            order.place = Place::Shown;
            let most = if order.display_qty > 0 {
                order.display_qty
            } else {
                order.open
            };
            order.shown = most.min(order.open);
            self.stock.ladders.of_mut(side).push(self.orders, slot);
            let rested = self.orders.rested(slot);
            return sink(match old {
                Some(old_reference) => Event::RestedAs {
                    old_reference,
                    rested,
                },
                None => Event::Rested(rested),
            });
        }
        if let Some(reference) = old {
            sink(Event::Withdrawn {
                locate: self.stock.locate,
                reference,
            });
        }
    }

    /// Ends an order that is in hand.
    pub(super) fn drop_rest(&mut self, slot: u32, reason: u8, sink: &mut impl FnMut(Event)) {
        let order = *self.orders.at(slot);
        self.orders.remove(slot);
        sink(Event::Canceled(order.canceled(order.open, reason, None)));
    }

    /// Takes a resting order out of the book and forgets it; what the feed no longer shows.
    #[inline]
    pub(super) fn end(&mut self, slot: u32) -> Option<OnFeed> {
        self.unlink(slot);
        let order = self.orders.at(slot);
        let shown = (order.place == Place::Shown).then_some(OnFeed {
            reference: order.reference,
            off: order.shown,
            left: 0,
        });
        self.orders.remove(slot);
        shown
    }

    /// Takes a resting order down to `keep` open shares; the reserve goes first.
    #[inline]
    pub(super) fn reduce(&mut self, slot: u32, keep: u32) -> (u32, Option<OnFeed>) {
        let order = self.orders.at(slot);
        let off = order.open.saturating_sub(keep);
        let shown_off = order.shown.saturating_sub(keep);
        if order.place != Place::Shown {
            let shown = self.lessen(slot, off);
            return (off, shown);
        }
        let unseen_off = off - shown_off;
        self.orders.at_mut(slot).open -= unseen_off;
        if shown_off == 0 {
            return (off, None);
        }
        (off, self.lessen(slot, shown_off))
    }
}
