//! Orders by reference: a table of pages, each with the handles of 1,024 references in a row.
//!
//! ```text
//!  reference >> 10 -> page_of -> slots[page][reference & 1023] -> handle -> order
//! ```
//!
//! Exchanges count references up, so the references in play stand close together: a look-up touches
//! memory that the last ones touched, where a hash would touch a line at random.
//!
//! Thread:      feed core, hot
//! Invariants:  handle 0 and page 0 mean "none", so zeroed memory is an empty table. A page is in use
//!              exactly while one of its references is live; it is all zero when it is handed out.
//! When full:   `acquire` gives `None`.

use std::io;
use std::ops::{Index, IndexMut};

use rt::mem::{Pages, Want};
use zerocopy::FromZeros;

use super::Limits;

/// No order, no level.
pub(super) const NONE: u32 = 0;

const PAGE_BITS: u32 = 10;
const PAGE_SLOTS: usize = 1 << PAGE_BITS;

/// A displayed order in its level's queue.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub struct Order {
    pub(super) reference: u64,
    /// The order before it in the queue, or `NONE`. While free: the next free order.
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) shares: u32,
    pub(super) level: u32,
}

/// The table.
#[derive(Debug)]
pub struct Orders {
    page_of: Pages<u32>,
    slots: Pages<[u32; PAGE_SLOTS]>,
    live_in_page: Pages<u32>,
    free_pages: Pages<u32>,
    free_pages_len: usize,
    pages_used: u32,
    orders: Pages<Order>,
    free_order: u32,
    orders_used: u32,
    live: u32,
}

impl Orders {
    /// Maps all memory.
    ///
    /// # Errors
    /// The host has not that much.
    pub fn new(limits: &Limits, want: Want) -> io::Result<Self> {
        let groups = usize::try_from(limits.order_refs_max.div_ceil(1 << PAGE_BITS))
            .map_err(|_| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let pages = limits.order_pages_max as usize + 1;
        Ok(Self {
            page_of: Pages::zeroed(groups, want)?,
            slots: Pages::zeroed(pages, want)?,
            live_in_page: Pages::zeroed(pages, want)?,
            free_pages: Pages::zeroed(pages, want)?,
            free_pages_len: 0,
            pages_used: 1,
            orders: Pages::zeroed(limits.orders_max as usize + 1, want)?,
            free_order: NONE,
            orders_used: 1,
            live: 0,
        })
    }

    pub(super) fn live(&self) -> u32 {
        self.live
    }

    /// The handle of a live reference.
    #[inline]
    #[must_use]
    pub fn find(&self, reference: u64) -> Option<u32> {
        let page = *self.page_of.get(group(reference))?;
        // Page 0 is never filled, so an absent page reads as an absent order.
        let handle = self.slots[page as usize][slot(reference)];
        (handle != NONE).then_some(handle)
    }

    /// Makes a reference live; the caller knows that it is not, and that it is below the limit.
    #[inline]
    pub fn acquire(&mut self, reference: u64) -> Option<u32> {
        let mut page = *self.page_of.get(group(reference))?;
        let is_new_page = page == 0;
        if is_new_page {
            page = self.acquire_page()?;
        }
        let Some(handle) = self.acquire_order() else {
            if is_new_page {
                self.release_page(page);
            }
            return None;
        };
        self.page_of[group(reference)] = page;
        self.slots[page as usize][slot(reference)] = handle;
        self.live_in_page[page as usize] += 1;
        self.orders[handle as usize].reference = reference;
        self.live += 1;
        Some(handle)
    }

    /// Forgets a live reference.
    #[inline]
    pub fn release(&mut self, reference: u64, handle: u32) {
        let page = self.page_of[group(reference)];
        debug_assert_eq!(self.slots[page as usize][slot(reference)], handle);
        self.slots[page as usize][slot(reference)] = NONE;
        self.orders[handle as usize].prev = self.free_order;
        self.free_order = handle;
        self.live -= 1;
        self.live_in_page[page as usize] -= 1;
        if self.live_in_page[page as usize] == 0 {
            self.page_of[group(reference)] = 0;
            self.release_page(page);
        }
    }

    fn acquire_order(&mut self) -> Option<u32> {
        if self.free_order != NONE {
            let handle = self.free_order;
            self.free_order = self.orders[handle as usize].prev;
            return Some(handle);
        }
        let handle = self.orders_used;
        if handle as usize >= self.orders.len() {
            return None;
        }
        self.orders_used += 1;
        Some(handle)
    }

    fn acquire_page(&mut self) -> Option<u32> {
        if self.free_pages_len > 0 {
            self.free_pages_len -= 1;
            return Some(self.free_pages[self.free_pages_len]);
        }
        let page = self.pages_used;
        if page as usize >= self.slots.len() {
            return None;
        }
        self.pages_used += 1;
        Some(page)
    }

    /// Every slot of the page is zero again: each live one was cleared when it was released.
    fn release_page(&mut self, page: u32) {
        self.free_pages[self.free_pages_len] = page;
        self.free_pages_len += 1;
    }
}

impl Index<u32> for Orders {
    type Output = Order;

    #[inline]
    fn index(&self, handle: u32) -> &Order {
        &self.orders[handle as usize]
    }
}

impl IndexMut<u32> for Orders {
    #[inline]
    fn index_mut(&mut self, handle: u32) -> &mut Order {
        &mut self.orders[handle as usize]
    }
}

#[inline]
fn group(reference: u64) -> usize {
    usize::try_from(reference >> PAGE_BITS).unwrap_or(usize::MAX)
}

#[inline]
fn slot(reference: u64) -> usize {
    usize::try_from(reference & (PAGE_SLOTS as u64 - 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(orders_max: u32, order_pages_max: u32) -> Orders {
        let limits = Limits {
            orders_max,
            order_refs_max: 1 << 24,
            order_pages_max,
            levels_max: 16,
        };
        Orders::new(&limits, Want::LAZY).unwrap()
    }

    #[test]
    fn agrees_with_a_map_under_random_use() {
        let mut random = fastrand::Rng::with_seed(11);
        let mut orders = orders(500, 400);
        let mut model = std::collections::HashMap::new();
        for _ in 0..100_000 {
            let reference = random.u64(1..400 * 1024);
            assert_eq!(orders.find(reference), model.get(&reference).copied());
            match model.remove(&reference) {
                Some(handle) => orders.release(reference, handle),
                None => match orders.acquire(reference) {
                    Some(handle) => {
                        assert!(model.values().all(|other| *other != handle));
                        model.insert(reference, handle);
                    }
                    None => assert_eq!(model.len(), 500),
                },
            }
            assert_eq!(orders.live() as usize, model.len());
        }
    }

    #[test]
    fn pages_come_back_when_their_last_order_goes() {
        let mut orders = orders(10, 1);
        for reference in (0..20 * 1024).step_by(512).skip(1) {
            let handle = orders.acquire(reference).unwrap();
            assert_eq!(
                orders.acquire(reference + 1024),
                None,
                "a second page was handed out"
            );
            orders.release(reference, handle);
        }
        assert_eq!(orders.acquire(1 << 24), None);
    }
}
