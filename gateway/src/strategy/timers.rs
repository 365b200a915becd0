//! A strategy's timers: a hierarchical wheel in memory that is taken once.
//!
//! ```text
//!  level 0   64 slots of one tick         what time reaches here fires
//!  level 1   64 slots of 64 ticks         what time reaches here is dealt out to the levels below
//!  ...
//!  level 8   the rest of what a u64 of nanoseconds can say
//! ```
//!
//! A timer lies on the level of the highest digit, to the base of 64, in which its tick differs from the one that the
//! wheel has reached. So the first slot taken of the lowest level taken is always the next one.
//!
//! Thread:      strategy core, hot
//! Invariants:  a timer fires once or is cancelled, never early. Timers fire in the order of their ticks, and those of
//!              one tick in the order in which they were started.
//! Time:        comes in as `now_ns`; a tick is 1,024 ns. `next_ns` is never later than the next timer.
//!              Dealing out a slot is about 10 ns a timer.
//! When full:   a timer beyond [`TIMERS_MAX`] is refused.

/// Timers that one strategy may have running: two for each of 512 symbols.
pub const TIMERS_MAX: usize = 1024;
/// A tick is 2^10 ns: finer than a turn of a busy core, and coarse enough that a second is six slots away.
const TICK_SHIFT: u32 = 10;
/// The resolution of timers, ns.
pub const TIMER_TICK_NS: u64 = 1 << TICK_SHIFT;
/// The last tick that a u64 of nanoseconds reaches.
const TICK_MAX: u64 = u64::MAX >> TICK_SHIFT;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 9;
/// No timer: the end of a list.
const NOWHERE: u16 = u16::MAX;

const _: () = assert!(LEVELS * SLOT_BITS as usize >= (u64::BITS - TICK_SHIFT) as usize);
const _: () = assert!(TIMERS_MAX < NOWHERE as usize);

/// One running timer of a strategy. Once it has fired or is cancelled, its number is never that of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u16,
    /// Timers that the place had before.
    generation: u32,
}

/// All timers of one strategy.
#[derive(Debug)]
pub(super) struct Timers {
    /// What the stage looks at in each turn; the wheel itself is not touched until then.
    next_ns: u64,
    wheel: Box<Wheel>,
}

#[derive(Debug)]
struct Wheel {
    /// The tick that everything lies relative to.
    reached: u64,
    levels: [Level; LEVELS],
    /// The first free place.
    free: u16,
    places: [Place; TIMERS_MAX],
}

#[derive(Clone, Copy, Debug)]
struct Level {
    /// A bit for each slot that has timers.
    taken: u64,
    slots: [List; SLOTS],
}

/// Timers in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct List {
    first: u16,
    last: u16,
}

const EMPTY: List = List {
    first: NOWHERE,
    last: NOWHERE,
};

#[derive(Clone, Copy, Debug)]
struct Place {
    tick: u64,
    token: u64,
    generation: u32,
    before: u16,
    after: u16,
    /// Where it lies; `None`: the place is free.
    slot: Option<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    level: u8,
    index: u8,
}

impl Slot {
    /// Where a tick lies in a wheel that has reached another one.
    fn of(tick: u64, reached: u64) -> Self {
        let digit = (tick ^ reached).checked_ilog2().unwrap_or(0) / SLOT_BITS;
        let index = (tick >> (digit * SLOT_BITS)) & (SLOTS as u64 - 1);
        Self {
            level: u8::try_from(digit).unwrap_or(u8::MAX),
            index: u8::try_from(index).unwrap_or(u8::MAX),
        }
    }

    /// Its first tick, in a wheel that has reached this one.
    fn begin(self, reached: u64) -> u64 {
        let shift = u32::from(self.level) * SLOT_BITS;
        let above = shift + SLOT_BITS;
        reached >> above << above | u64::from(self.index) << shift
    }
}

impl Timers {
    pub(super) fn new() -> Self {
        let mut wheel = Box::new(Wheel {
            reached: 0,
            levels: [Level {
                taken: 0,
                slots: [EMPTY; SLOTS],
            }; LEVELS],
            free: 0,
            places: [Place {
                tick: 0,
                token: 0,
                generation: 0,
                before: NOWHERE,
                after: NOWHERE,
                slot: None,
            }; TIMERS_MAX],
        });
        for (place, next) in wheel.places.iter_mut().zip(1..) {
            place.after = if usize::from(next) < TIMERS_MAX {
                next
            } else {
                NOWHERE
            };
        }
        Self {
            next_ns: u64::MAX,
            wheel,
        }
    }

    /// When [`Timers::take_due`] has something to do; `u64::MAX`: no timer runs.
    #[inline]
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Starts a timer that is due at `at_ns`, in the next tick at the earliest. `None`: there is no room.
    pub(super) fn start(&mut self, at_ns: u64, now_ns: u64, token: u64) -> Option<TimerId> {
        let wheel = &mut *self.wheel;
        let now = now_ns >> TICK_SHIFT;
        if self.next_ns == u64::MAX {
            // It is empty: what comes lies on low levels.
            wheel.reached = wheel.reached.max(now);
        }
        let soonest = now.max(wheel.reached).saturating_add(1);
        let tick = at_ns.div_ceil(TIMER_TICK_NS).max(soonest).min(TICK_MAX);
        let id = wheel.place(tick, token)?;
        let begin = Slot::of(tick, wheel.reached).begin(wheel.reached);
        self.next_ns = self.next_ns.min(begin << TICK_SHIFT);
        Some(id)
    }

    /// Stops a timer; `false`: it has fired, or was stopped before.
    pub(super) fn cancel(&mut self, id: TimerId) -> bool {
        // `next_ns` stays: a look too early finds nothing.
        self.wheel.cancel(id)
    }

    /// The token of the next timer that is due, which has fired by that.
    pub(super) fn take_due(&mut self, now_ns: u64) -> Option<u64> {
        let wheel = &mut *self.wheel;
        // Ends: each time around, a slot's timers go down by a level at least.
        while let Some(slot) = wheel.next_slot() {
            let begin = slot.begin(wheel.reached);
            if begin > now_ns >> TICK_SHIFT {
                self.next_ns = begin << TICK_SHIFT;
                return None;
            }
            wheel.reached = begin;
            if slot.level == 0 {
                return wheel.take_first(slot);
            }
            wheel.deal(slot);
        }
        self.next_ns = u64::MAX;
        None
    }
}

impl Wheel {
    /// The slot of the next timer; at a level above the first it may lie anywhere in it.
    fn next_slot(&self) -> Option<Slot> {
        let (level, at) = (0..).zip(&self.levels).find(|(_, it)| it.taken != 0)?;
        Some(Slot {
            level,
            index: u8::try_from(at.taken.trailing_zeros()).unwrap_or(u8::MAX),
        })
    }

    fn place(&mut self, tick: u64, token: u64) -> Option<TimerId> {
        let index = self.free;
        let place = self.places.get_mut(usize::from(index))?;
        self.free = place.after;
        (place.tick, place.token) = (tick, token);
        let generation = place.generation;
        self.append(index);
        Some(TimerId { index, generation })
    }

    fn cancel(&mut self, id: TimerId) -> bool {
        let place = self.places.get(usize::from(id.index)).copied();
        let Some(place) = place.filter(|it| it.generation == id.generation) else {
            return false;
        };
        let Some(slot) = place.slot else {
            return false;
        };
        let Some(list) = self.list(slot).copied() else {
            return false;
        };
        let now = List {
            first: if list.first == id.index {
                place.after
            } else {
                list.first
            },
            last: if list.last == id.index {
                place.before
            } else {
                list.last
            },
        };
        if let Some(before) = self.places.get_mut(usize::from(place.before)) {
            before.after = place.after;
        }
        if let Some(after) = self.places.get_mut(usize::from(place.after)) {
            after.before = place.before;
        }
        self.set_list(slot, now);
        self.free(id.index);
        true
    }

    /// Takes the first timer of a slot out; its token.
    fn take_first(&mut self, slot: Slot) -> Option<u64> {
        let index = self.list(slot)?.first;
        let place = self.places.get(usize::from(index))?;
        let (token, generation) = (place.token, place.generation);
        self.cancel(TimerId { index, generation });
        Some(token)
    }

    /// The wheel has reached a slot's beginning: its timers go where they lie from there, in their order.
    fn deal(&mut self, slot: Slot) {
        let Some(list) = self.list(slot).copied() else {
            return;
        };
        self.set_list(slot, EMPTY);
        let mut index = list.first;
        while let Some(place) = self.places.get(usize::from(index)) {
            let after = place.after;
            self.append(index);
            index = after;
        }
    }

    /// A timer goes behind those of its slot.
    fn append(&mut self, index: u16) {
        let Some(place) = self.places.get_mut(usize::from(index)) else {
            return;
        };
        let slot = Slot::of(place.tick, self.reached);
        let Some(level) = self.levels.get_mut(usize::from(slot.level)) else {
            return;
        };
        let Some(list) = level.slots.get_mut(usize::from(slot.index)) else {
            return;
        };
        place.slot = Some(slot);
        (place.before, place.after) = (list.last, NOWHERE);
        let last = std::mem::replace(&mut list.last, index);
        if last == NOWHERE {
            list.first = index;
            level.taken |= 1 << slot.index;
        } else if let Some(last) = self.places.get_mut(usize::from(last)) {
            last.after = index;
        }
    }

    fn free(&mut self, index: u16) {
        let free = std::mem::replace(&mut self.free, index);
        if let Some(place) = self.places.get_mut(usize::from(index)) {
            place.slot = None;
            place.generation = place.generation.wrapping_add(1);
            place.after = free;
        }
    }

    fn list(&self, slot: Slot) -> Option<&List> {
        let level = self.levels.get(usize::from(slot.level))?;
        level.slots.get(usize::from(slot.index))
    }

    fn set_list(&mut self, slot: Slot, list: List) {
        let Some(level) = self.levels.get_mut(usize::from(slot.level)) else {
            return;
        };
        if let Some(place) = level.slots.get_mut(usize::from(slot.index)) {
            *place = list;
        }
        if list == EMPTY {
            level.taken &= !(1 << slot.index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sorted list: what the wheel has to do.
    #[derive(Default)]
    struct Naive {
        /// Tick, number of the start, token.
        running: Vec<(u64, u64, u64)>,
        started: u64,
    }

    impl Naive {
        fn start(&mut self, at_ns: u64, now_ns: u64, token: u64) -> (u64, u64, u64) {
            let tick = at_ns.div_ceil(TIMER_TICK_NS);
            let tick = tick.max(now_ns / TIMER_TICK_NS + 1).min(TICK_MAX);
            self.started += 1;
            let timer = (tick, self.started, token);
            self.running.push(timer);
            self.running.sort_unstable();
            timer
        }

        fn take_due(&mut self, now_ns: u64) -> Option<u64> {
            let (tick, _, token) = *self.running.first()?;
            if tick > now_ns / TIMER_TICK_NS {
                return None;
            }
            self.running.remove(0);
            Some(token)
        }
    }

    /// A time to wait of any order of magnitude.
    fn wait_ns(random: &mut fastrand::Rng) -> u64 {
        let bits = random.u32(0..45);
        random.u64(0..1 << bits)
    }

    fn run(seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut timers, mut naive) = (Timers::new(), Naive::default());
        // Also near the end of what a u64 can say.
        let mut now_ns = match seed % 3 {
            0 => 0,
            1 => random.u64(..),
            _ => u64::MAX - random.u64(0..1 << 40),
        };
        let mut running = Vec::new();
        for token in 0..2_000 {
            for _ in 0..random.usize(0..3) {
                let at_ns = now_ns.saturating_add(wait_ns(&mut random));
                let id = timers.start(at_ns, now_ns, token);
                assert_eq!(
                    id.is_some(),
                    naive.running.len() < TIMERS_MAX,
                    "seed {seed}"
                );
                if let Some(id) = id {
                    running.push((id, naive.start(at_ns, now_ns, token)));
                }
            }
            if random.u8(0..4) == 0 && !running.is_empty() {
                let (id, timer) = running.swap_remove(random.usize(..running.len()));
                let runs = naive.running.contains(&timer);
                assert_eq!(timers.cancel(id), runs, "seed {seed}");
                naive.running.retain(|it| *it != timer);
                assert!(!timers.cancel(id), "seed {seed}: cancelled twice");
            }
            now_ns = now_ns.saturating_add(wait_ns(&mut random) / 8);
            loop {
                let expected = naive.take_due(now_ns);
                if timers.next_ns() > now_ns {
                    // What the stage does: it does not look.
                    assert_eq!(expected, None, "seed {seed}");
                    break;
                }
                assert_eq!(timers.take_due(now_ns), expected, "seed {seed}");
                if expected.is_none() {
                    break;
                }
            }
        }
    }

    #[test]
    fn wheel_does_what_a_sorted_list_does() {
        for seed in 0..300 {
            run(seed);
        }
    }

    #[test]
    fn full_wheel_refuses_and_has_room_again_once_a_timer_has_fired() {
        let mut timers = Timers::new();
        for token in 0..TIMERS_MAX as u64 {
            assert!(timers.start(5_000, 0, token).is_some());
        }
        assert_eq!(timers.start(1, 0, 0), None);
        assert_eq!(timers.take_due(4_999), None);
        assert_eq!(
            timers.take_due(5_120),
            Some(0),
            "the tick that it is due in is over"
        );
        assert!(timers.start(1, 5_120, 0).is_some());
        assert_eq!(timers.start(1, 5_120, 0), None);
    }

    #[test]
    fn timer_that_is_due_at_once_fires_in_the_next_tick_and_not_in_this_one() {
        let mut timers = Timers::new();
        timers.start(0, 10 * TIMER_TICK_NS, 7);
        assert_eq!(timers.next_ns(), 11 * TIMER_TICK_NS);
        assert_eq!(timers.take_due(11 * TIMER_TICK_NS - 1), None);
        assert_eq!(timers.take_due(11 * TIMER_TICK_NS), Some(7));
        assert_eq!(timers.take_due(u64::MAX), None);
        assert_eq!(timers.next_ns(), u64::MAX);
    }

    #[test]
    fn number_of_a_timer_that_fired_does_not_stop_the_one_that_has_its_place() {
        let mut timers = Timers::new();
        let first = timers.start(1, 0, 1).unwrap();
        assert_eq!(timers.take_due(2_048), Some(1));
        let second = timers.start(3_000, 2_048, 2).unwrap();
        assert!(!timers.cancel(first));
        assert!(timers.cancel(second));
        assert_eq!(timers.take_due(u64::MAX), None);
    }
}
