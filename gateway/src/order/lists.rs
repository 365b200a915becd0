//! Two lists through the places of live orders: those that stand, and those that a cancel is on its way for.
//!
//! Thread:      order core, hot
//! Invariants:  every live order is in exactly one of them.

use super::live::{Links, NOWHERE, Order};

/// From the order that has been in it longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub(super) first: u32,
    last: u32,
    pub(super) len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            first: NOWHERE,
            last: NOWHERE,
            len: 0,
        }
    }
}

/// Both.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// No cancel is on its way.
    pub(super) standing: List,
    /// One is.
    pub(super) canceling: List,
}

impl Lists {
    /// Puts an order at the end of a list.
    #[inline]
    pub(super) fn link(&mut self, places: &mut [Order], place: u32, is_canceling: bool) {
        let list = self.list_mut(is_canceling);
        let before = std::mem::replace(&mut list.last, place);
        list.len += 1;
        if before == NOWHERE {
            list.first = place;
        } else if let Some(order) = places.get_mut(before as usize) {
            order.links.after = place;
        }
        if let Some(order) = places.get_mut(place as usize) {
            order.links = Links {
                before,
                after: NOWHERE,
                is_canceling,
                ..order.links
            };
        }
    }

    /// Takes an order out of its list.
    #[inline]
    pub(super) fn unlink(&mut self, places: &mut [Order], place: u32) {
        let Some(Links {
            before,
            after,
            is_canceling,
            ..
        }) = places.get(place as usize).map(|order| order.links)
        else {
            return;
        };
        if let Some(order) = places.get_mut(before as usize) {
            order.links.after = after;
        }
        if let Some(order) = places.get_mut(after as usize) {
            order.links.before = before;
        }
        let list = self.list_mut(is_canceling);
        debug_assert!(list.len > 0, "an order that is linked is counted");
        list.len -= 1;
        if before == NOWHERE {
            list.first = after;
        }
        if after == NOWHERE {
            list.last = before;
        }
    }

    #[inline]
    fn list_mut(&mut self, is_canceling: bool) -> &mut List {
        if is_canceling {
            &mut self.canceling
        } else {
            &mut self.standing
        }
    }
}
