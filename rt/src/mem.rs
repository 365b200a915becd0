//! Memory taken before the first packet: zeroed pages, huge where the host has them, touched and
//! locked in advance; words of a file shared between processes; and room for items that come later.
//!
//! Invariants:  a [`Pages`] never grows, moves or is swapped for another; its memory is its owner's alone
//!              and begins as zeros, which are valid items. What other processes write ([`SharedWords`])
//!              is atomic, and every bit pattern of it is valid.
//! When wrong:  huge pages and locking are best effort and reported in [`Granted`]; no memory at all
//!              is an error of start-up.

#![allow(
    unsafe_code,
    reason = "mmap, mlock, madvise and the slice over what they give"
)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::any::Any;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use zerocopy::FromZeros;

/// Asks the CPU to bring a cache line near, and waits for nothing. Any address may be named: one that is
/// not mapped is ignored.
#[inline(always)]
pub fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it reads and writes nothing that a program can see, and never faults.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Cache lines that [`prefetch_whole`] asks for at most: more would push out each other.
const WHOLE_LINES_MAX: usize = 64;
const LINE_BYTES: usize = 64;

/// Brings the cache lines of an item itself near, not of what it points to; of a large one the first 4 KiB.
#[inline]
pub fn prefetch_whole<T: ?Sized>(item: &T) {
    let first = std::ptr::from_ref(item).cast::<u8>();
    let lines = size_of_val(item).div_ceil(LINE_BYTES);
    for line in 0..lines.min(WHOLE_LINES_MAX) {
        prefetch(first.wrapping_add(line * LINE_BYTES));
    }
}

/// Writes to every page of a list's spare room, so that none has to be mapped between packets.
pub fn touch<T>(list: &mut Vec<T>) {
    let step = (PAGE_BYTES / size_of::<T>().max(1)).max(1);
    for slot in list.spare_capacity_mut().iter_mut().step_by(step) {
        *slot = MaybeUninit::zeroed();
    }
    // The writes are wanted for themselves.
    std::hint::black_box(list.as_mut_ptr());
}

/// Waits until every load before it has its value: a clock read behind it is not taken early.
#[inline(always)]
pub fn await_loads() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86_64 CPU has the instruction; it changes no memory.
    unsafe {
        core::arch::x86_64::_mm_lfence();
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::sync::atomic::fence(std::sync::atomic::Ordering::Acquire);
}

/// Bytes of a huge page on x86_64.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;
const PAGE_BYTES: usize = 4096;

/// What is wanted of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Huge pages from the host's pool, or transparent ones where the pool is empty.
    pub huge: bool,
    /// Never swapped out.
    pub locked: bool,
    /// Every page touched now, so that none faults later.
    pub touched: bool,
}

impl Want {
    /// For the hot path.
    pub const HOT: Self = Self {
        huge: true,
        locked: true,
        touched: true,
    };
    /// For tools: pages come when they are used.
    pub const LAZY: Self = Self {
        huge: false,
        locked: false,
        touched: false,
    };
}

/// What was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// From the huge page pool.
    pub huge: bool,
    /// Locked.
    pub locked: bool,
}

/// A fixed slice of zeroed items in pages of its own.
#[derive(Debug)]
pub struct Pages<T> {
    start: NonNull<T>,
    len: usize,
    mapped_bytes: usize,
    granted: Granted,
}

// SAFETY: `Pages` owns its mapping alone, like a `Box<[T]>`.
unsafe impl<T: Send> Send for Pages<T> {}
// SAFETY: shared access gives out `&[T]` only, like a `Box<[T]>`.
unsafe impl<T: Sync> Sync for Pages<T> {}

impl<T: FromZeros> Pages<T> {
    /// Takes `len` zeroed items.
    ///
    /// # Errors
    /// `ENOMEM`: the host has not that much memory, or the size overflows.
    pub fn zeroed(len: usize, want: Want) -> io::Result<Self> {
        let bytes = bytes_of::<T>(len)?;
        let anonymous = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let huge_bytes = bytes.next_multiple_of(HUGE_PAGE_BYTES);
        let huge = if want.huge && bytes >= HUGE_PAGE_BYTES / 2 {
            map(huge_bytes, anonymous | libc::MAP_HUGETLB, -1).ok()
        } else {
            None
        };
        let (start, mapped_bytes, is_huge) = match huge {
            Some(start) => (start, huge_bytes, true),
            None => (map(bytes, anonymous, -1)?, bytes, false),
        };
        if want.huge && !is_huge {
            // SAFETY: the range was just mapped; the advice changes no contents.
            unsafe { libc::madvise(start.as_ptr().cast(), mapped_bytes, libc::MADV_HUGEPAGE) };
        }
        // SAFETY: the range was just mapped.
        let locked =
            want.locked && unsafe { libc::mlock(start.as_ptr().cast(), mapped_bytes) } == 0;
        let granted = Granted {
            huge: is_huge,
            locked,
        };
        let pages = Self {
            start: start.cast(),
            len,
            mapped_bytes,
            granted,
        };
        if want.touched {
            pages.touch();
        }
        Ok(pages)
    }

    /// Writes one byte of each page, so that the kernel backs it now.
    fn touch(&self) {
        let step = if self.granted.huge {
            HUGE_PAGE_BYTES
        } else {
            PAGE_BYTES
        };
        for offset in (0..self.mapped_bytes).step_by(step) {
            // SAFETY: `offset` is inside the mapping.
            let byte = unsafe { self.start.as_ptr().cast::<u8>().add(offset) };
            // SAFETY: the mapping is writable, fresh and not shared yet; zero is what is there.
            unsafe { byte.write_volatile(0) };
        }
    }
}

impl<T> Pages<T> {
    /// What the kernel granted.
    #[must_use]
    pub fn granted(&self) -> Granted {
        self.granted
    }
}

impl<T> Deref for Pages<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` items inside a mapping that lives as long as `self`: zeros, which are items
        // (`FromZeros`), or written through `deref_mut`; in `SharedWords` any bytes are.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Pages<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes it the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Pages<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing refers to it any more. No item needs dropping: see
        // `bytes_of`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.mapped_bytes) };
    }
}

/// 64-bit words of a file, shared with every process that maps it.
///
/// Others write them at any time, so they are atomic and there is no way to hold one alone:
///
/// ```compile_fail
/// # let file = std::fs::File::open("/dev/null").unwrap();
/// # let mut words = rt::mem::SharedWords::map(&file, 1).unwrap();
/// let word: &mut std::sync::atomic::AtomicU64 = &mut words[0];
/// ```
///
/// Nor can a file's bytes become items of which not every bit pattern is one:
///
/// ```compile_fail
/// # let file = std::fs::File::open("/dev/null").unwrap();
/// let flags = rt::mem::Pages::<bool>::shared(&file, 1);
/// ```
///
/// A process that makes the file shorter kills those that touch what is gone (SIGBUS).
#[derive(Debug)]
pub struct SharedWords {
    /// Never given out whole: `Pages` would let its owner write without atomics.
    words: Pages<AtomicU64>,
}

impl SharedWords {
    /// Maps this many words of a file, which is made that long.
    ///
    /// # Errors
    /// What the file system or `mmap` refuses.
    pub fn map(file: &File, len: usize) -> io::Result<Self> {
        let bytes = bytes_of::<AtomicU64>(len)?;
        if file.metadata()?.len() < bytes as u64 {
            file.set_len(bytes as u64)?;
        }
        let start = map(bytes, libc::MAP_SHARED, file.as_raw_fd())?;
        let granted = Granted {
            huge: false,
            locked: false,
        };
        let words = Pages {
            start: start.cast(),
            len,
            mapped_bytes: bytes,
            granted,
        };
        Ok(Self { words })
    }
}

impl Deref for SharedWords {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        &self.words
    }
}

/// One 64-bit word that several look at: in memory of this process alone, or in a mapped file. Reading it costs what reading
/// through an `Arc` costs.
#[derive(Clone, Debug)]
pub struct SharedWord {
    at: NonNull<AtomicU64>,
    /// Keeps the word where it is.
    _owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: an atomic word may be touched from any thread, and its owner may be dropped in any.
unsafe impl Send for SharedWord {}
// SAFETY: as above.
unsafe impl Sync for SharedWord {}

impl SharedWord {
    /// A word of a mapped file; `None`: it has no such word.
    #[must_use]
    pub fn of(words: &Arc<SharedWords>, index: usize) -> Option<Self> {
        let at = NonNull::from(words.get(index)?);
        let owner: Arc<SharedWords> = Arc::clone(words);
        Some(Self { at, _owner: owner })
    }
}

impl Default for SharedWord {
    /// A word of this process, 0.
    fn default() -> Self {
        let word = Arc::new(AtomicU64::new(0));
        let at = NonNull::from(&*word);
        Self { at, _owner: word }
    }
}

impl Deref for SharedWord {
    type Target = AtomicU64;

    #[inline]
    fn deref(&self) -> &AtomicU64 {
        // SAFETY: the word lies in what `_owner` owns, which neither moves it nor gives it out but by shared reference.
        unsafe { self.at.as_ref() }
    }
}

fn bytes_of<T>(len: usize) -> io::Result<usize> {
    const { assert!(align_of::<T>() <= PAGE_BYTES && size_of::<T>() > 0) };
    const { assert!(!std::mem::needs_drop::<T>(), "pages drop no items") };
    len.checked_mul(size_of::<T>())
        .and_then(|bytes| bytes.max(1).checked_next_multiple_of(PAGE_BYTES))
        .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

fn map(bytes: usize, flags: libc::c_int, fd: libc::c_int) -> io::Result<NonNull<u8>> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing that exists.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, fd, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(start.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))
}

/// Items in memory that is reserved at once and comes as it is used: in huge pages where the host has them
/// and it is a quarter of one at least. It never grows or moves.
#[derive(Debug)]
pub struct Reserve<T> {
    start: NonNull<T>,
    len: usize,
    max: usize,
}

// SAFETY: `Reserve` owns its items alone, like a `Vec`.
unsafe impl<T: Send> Send for Reserve<T> {}
// SAFETY: shared access gives out `&[T]` only, like a `Vec`.
unsafe impl<T: Sync> Sync for Reserve<T> {}

impl<T> Reserve<T> {
    /// Reserves room for this many items. Like `Vec::with_capacity` it ends the process where there is not
    /// even address space for them.
    #[must_use]
    pub fn new(max: usize) -> Self {
        let layout = Self::layout(max);
        // SAFETY: the layout has a size: see `layout`.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        if layout.align() == HUGE_PAGE_BYTES {
            // SAFETY: the range was just allocated; the advice changes no contents, and may be refused.
            unsafe { libc::madvise(start.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE) };
        }
        Self {
            start: start.cast(),
            len: 0,
            max,
        }
    }

    /// Puts an item behind the last.
    ///
    /// # Errors
    /// The item: there is no room.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.len == self.max {
            return Err(item);
        }
        // SAFETY: place `len` is below `max`, so inside the allocation.
        let place = unsafe { self.start.as_ptr().add(self.len) };
        // SAFETY: it is aligned, and holds no item yet.
        unsafe { place.write(item) };
        self.len += 1;
        Ok(())
    }

    /// As it is, or whole huge pages.
    fn layout(max: usize) -> Layout {
        const { assert!(align_of::<T>() < HUGE_PAGE_BYTES && size_of::<T>() > 0) };
        let layout = match Layout::array::<T>(max.max(1)) {
            Ok(small) if small.size() < HUGE_PAGE_BYTES / 4 => Ok(small),
            large => large.and_then(|large| large.align_to(HUGE_PAGE_BYTES)),
        };
        match layout {
            Ok(layout) => layout.pad_to_align(),
            Err(_) => handle_alloc_error(Layout::new::<T>()),
        }
    }
}

impl<T> Deref for Reserve<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the first `len` items were written and live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Reserve<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes it the only access.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Reserve<T> {
    fn drop(&mut self) {
        let items: *mut [T] = &raw mut **self;
        // SAFETY: they are ours, and nobody reads them afterwards.
        unsafe { items.drop_in_place() };
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.start.as_ptr().cast(), Self::layout(self.max)) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn pages_are_zeroed_and_keep_what_is_written() {
        for want in [Want::LAZY, Want::HOT] {
            let mut pages = Pages::<u64>::zeroed(1_000_000, want).unwrap();
            assert!(pages.iter().all(|item| *item == 0));
            pages[999_999] = 7;
            assert_eq!((pages.len(), pages[999_999]), (1_000_000, 7));
        }
    }

    #[test]
    fn impossible_size_is_refused() {
        assert!(Pages::<u64>::zeroed(usize::MAX / 4, Want::LAZY).is_err());
        assert!(Pages::<u64>::zeroed(usize::MAX, Want::LAZY).is_err());
    }

    #[test]
    fn a_reserve_takes_as_many_as_it_has_room_for_and_drops_them() {
        let item = std::rc::Rc::new(());
        let mut reserve = Reserve::new(3);
        for _ in 0..3 {
            assert!(reserve.push(item.clone()).is_ok());
        }
        assert!(reserve.push(item.clone()).is_err(), "full");
        assert_eq!((reserve.len(), std::rc::Rc::strong_count(&item)), (3, 4));
        drop(reserve);
        assert_eq!(std::rc::Rc::strong_count(&item), 1);
        assert!(Reserve::<u64>::new(0).push(1).is_err());
        let mut large = Reserve::new(HUGE_PAGE_BYTES / 8 + 1);
        assert!(large.push(7_u64).is_ok());
        assert_eq!(large.as_ptr() as usize % HUGE_PAGE_BYTES, 0);
    }

    #[test]
    fn two_mappings_of_one_file_see_each_other() {
        let path = std::env::temp_dir().join(format!("tickgate-mem-{}", std::process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        let one = SharedWords::map(&file, 1000).unwrap();
        let other = SharedWords::map(&file, 1000).unwrap();
        one[999].store(5, Ordering::Relaxed);
        assert_eq!(other[999].load(Ordering::Relaxed), 5);
        let one = Arc::new(one);
        let word = SharedWord::of(&one, 999).unwrap();
        assert!(SharedWord::of(&one, 1000).is_none());
        drop(one);
        other[999].store(6, Ordering::Relaxed);
        assert_eq!(word.clone().load(Ordering::Relaxed), 6);
        let alone = SharedWord::default();
        alone.clone().store(7, Ordering::Relaxed);
        assert_eq!(alone.load(Ordering::Relaxed), 7);
        std::fs::remove_file(path).unwrap();
    }
}
