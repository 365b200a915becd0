//! Price levels: the queue of orders at one price of one side of one symbol.
//!
//! Thread:      feed core, hot
//! Invariants:  level 0 is nobody's. A level in use has a price; it is released without orders.
//! When full:   `acquire` gives `None`.

use std::io;
use std::ops::{Index, IndexMut};

use protocol::types::{Price4, Side};
use rt::mem::{Pages, Want};
use zerocopy::FromZeros;

use super::Level;
use super::orders::NONE;

/// The orders at one price: half a cache line.
#[derive(Clone, Copy, Debug, FromZeros)]
#[repr(C)]
pub(super) struct Queue {
    pub(super) shares: u64,
    pub(super) orders: u32,
    pub(super) price: u32,
    /// Oldest order. While free: the next free level.
    pub(super) head: u32,
    pub(super) tail: u32,
    pub(super) locate: u16,
    is_ask: u8,
    _pad: [u8; 5],
}

const _: () = assert!(size_of::<Queue>() == 32);

impl Queue {
    #[inline]
    pub(super) fn side(&self) -> Side {
        if self.is_ask == 0 {
            Side::Buy
        } else {
            Side::Sell
        }
    }

    #[inline]
    pub(super) fn level(&self) -> Level {
        Level {
            price: Price4(self.price),
            shares: self.shares,
            orders: self.orders,
        }
    }
}

#[derive(Debug)]
pub(super) struct Levels {
    levels: Pages<Queue>,
    free: u32,
    used: u32,
}

impl Levels {
    pub(super) fn new(levels_max: u32, want: Want) -> io::Result<Self> {
        Ok(Self {
            levels: Pages::zeroed(levels_max as usize + 1, want)?,
            free: NONE,
            used: 1,
        })
    }

    /// An empty level.
    pub(super) fn acquire(&mut self, locate: u16, side: Side, price: u32) -> Option<u32> {
        let handle = if self.free == NONE {
            self.used
        } else {
            self.free
        };
        debug_assert_ne!(handle, NONE);
        let level = self.levels.get_mut(handle as usize)?;
        if self.free == NONE {
            self.used += 1;
        } else {
            self.free = level.head;
        }
        *level = Queue {
            shares: 0,
            orders: 0,
            price,
            head: NONE,
            tail: NONE,
            locate,
            is_ask: u8::from(side == Side::Sell),
            _pad: [0; 5],
        };
        Some(handle)
    }

    /// Where a level lies.
    #[inline]
    pub(super) fn place(&self, handle: u32) -> *const Queue {
        self.levels.as_ptr().wrapping_add(handle as usize)
    }

    pub(super) fn release(&mut self, handle: u32) {
        debug_assert_ne!(handle, NONE);
        debug_assert_eq!((self[handle].orders, self[handle].shares), (0, 0));
        self[handle].head = self.free;
        self.free = handle;
    }

    /// Price and shares of a best level, zeros for `NONE` (level 0 is never used).
    #[inline]
    pub(super) fn best_of(&self, handle: u32) -> (u32, u64) {
        let level = &self[handle];
        (level.price, level.shares)
    }
}

impl Index<u32> for Levels {
    type Output = Queue;

    #[inline]
    fn index(&self, handle: u32) -> &Queue {
        &self.levels[handle as usize]
    }
}

impl IndexMut<u32> for Levels {
    #[inline]
    fn index_mut(&mut self, handle: u32) -> &mut Queue {
        &mut self.levels[handle as usize]
    }
}
