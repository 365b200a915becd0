//! Proves that the hot path does not allocate: a global allocator that counts what marked threads
//! ask for.
//!
//! A core marks its thread with [`hot`] before its first turn. A test or a bench makes
//! [`CountingAllocator`] its global allocator and reads [`hot_allocations`]; without that the mark
//! costs one thread-local store, once.

#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    static HOT: Cell<bool> = const { Cell::new(false) };
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Says whether the calling thread must not allocate from now on.
pub fn hot(is_hot: bool) {
    HOT.with(|flag| flag.set(is_hot));
}

/// Allocations, and releases of memory, on hot threads so far.
#[must_use]
pub fn hot_allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// The system's allocator, counting on hot threads.
#[derive(Debug)]
pub struct CountingAllocator;

impl CountingAllocator {
    fn count() {
        // A thread that is being torn down has no flag any more and is not hot.
        if HOT.try_with(Cell::get).unwrap_or(false) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory it manages.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count();
        // SAFETY: the caller keeps `dealloc`'s contract; the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
