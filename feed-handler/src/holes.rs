//! The numbers that are missing, as ranges in order.
//!
//! Thread:      feed core, hot (while something is missing)
//! Invariants:  holes are not empty, in order, and do not meet. Those that are asked for come first: they
//!              opened first, and a part of one is asked for, too.
//! When full:   [`Holes::is_full`] says so before the next one is opened; the caller decides who has to go.

/// Holes at one time: four for each packet that is kept where nobody is asked. Where more are kept, holes
/// beyond this crowd the first one out.
const HOLES_MAX: usize = 256;

/// Numbers that are missing, `first` to before `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) first: u64,
    pub(crate) end: u64,
    /// When it is asked for, or given up.
    pub(crate) deadline_ns: u64,
    /// When a later number proved it.
    pub(crate) opened_ns: u64,
    pub(crate) is_asked: bool,
}

impl Hole {
    /// Whether it has a number of these.
    #[inline]
    pub(crate) fn meets(&self, first: u64, end: u64) -> bool {
        self.first < end && first < self.end
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Holes {
    holes: Box<[Hole]>,
    len: usize,
}

impl Holes {
    pub(crate) fn new() -> Self {
        Self {
            holes: vec![Hole::default(); HOLES_MAX].into_boxed_slice(),
            len: 0,
        }
    }

    #[inline]
    pub(crate) fn all(&self) -> &[Hole] {
        self.holes.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn all_mut(&mut self) -> &mut [Hole] {
        self.holes.get_mut(..self.len).unwrap_or_default()
    }

    pub(crate) fn first(&self) -> Option<Hole> {
        self.all().first().copied()
    }

    /// Whether there is no room for what one packet may do: split a hole, and open another behind it.
    pub(crate) fn is_full(&self) -> bool {
        self.len + 2 > HOLES_MAX
    }

    /// When the first of them is due; never: `u64::MAX`.
    pub(crate) fn due_ns(&self) -> u64 {
        let asked = self.all().first().filter(|hole| hole.is_asked);
        let waiting = self.all().iter().find(|hole| !hole.is_asked);
        let due_ns = asked.into_iter().chain(waiting).map(|it| it.deadline_ns);
        due_ns.min().unwrap_or(u64::MAX)
    }

    /// Opens one behind all others, which waits so long.
    pub(crate) fn open(&mut self, first: u64, end: u64, opened_ns: u64, patience_ns: u64) {
        // A deadline never lies before that of an older hole which waits as well.
        let last = self.all().last().filter(|hole| !hole.is_asked);
        let latest_ns = last.map_or(0, |hole| hole.deadline_ns);
        let hole = Hole {
            first,
            end,
            deadline_ns: opened_ns.saturating_add(patience_ns).max(latest_ns),
            opened_ns,
            is_asked: false,
        };
        self.insert(self.len, hole);
    }

    /// Takes numbers out that have come out of order. `on_filled` hears of each hole that nothing is left of.
    pub(crate) fn fill(&mut self, first: u64, end: u64, mut on_filled: impl FnMut(&Hole)) {
        let mut index = 0;
        // Each turn moves on by one hole or takes one out.
        while let Some(hole) = self.all().get(index).copied() {
            if !hole.meets(first, end) {
                index += 1;
                continue;
            }
            let before = Hole { end: first, ..hole };
            let after = Hole { first: end, ..hole };
            match (before.first < before.end, after.first < after.end) {
                (false, false) => {
                    on_filled(&hole);
                    self.remove(index);
                    continue;
                }
                (true, false) => self.set(index, before),
                (false, true) => self.set(index, after),
                (true, true) => {
                    self.set(index, before);
                    self.insert(index + 1, after);
                }
            }
            index += 1;
        }
    }

    /// Everything before this number has come. `on_filled` hears of each hole that nothing is left of.
    pub(crate) fn fill_before(&mut self, next: u64, mut on_filled: impl FnMut(&Hole)) {
        // Each turn takes one hole out or ends.
        while let Some(first) = self.first()
            && first.first < next
        {
            if first.end > next {
                self.set(
                    0,
                    Hole {
                        first: next,
                        ..first
                    },
                );
            } else {
                on_filled(&first);
                self.remove(0);
            }
        }
    }

    /// The first hole's numbers before this one are given up.
    pub(crate) fn forget_before(&mut self, end: u64) {
        match self.first() {
            Some(hole) if hole.end > end => self.set(0, Hole { first: end, ..hole }),
            _ => self.remove(0),
        }
    }

    /// What the header says.
    pub(crate) fn check(&self) {
        let is_after = |a: &Hole, b: &Hole| a.end <= b.first && a.is_asked >= b.is_asked;
        debug_assert!(self.all().iter().all(|hole| hole.first < hole.end));
        debug_assert!(self.all().is_sorted_by(is_after));
    }

    fn set(&mut self, index: usize, hole: Hole) {
        if let Some(place) = self.all_mut().get_mut(index) {
            *place = hole;
        }
    }

    fn insert(&mut self, index: usize, hole: Hole) {
        debug_assert!(self.len < HOLES_MAX && index <= self.len);
        if self.len < HOLES_MAX && index <= self.len {
            self.holes.copy_within(index..self.len, index + 1);
            self.len += 1;
            self.set(index, hole);
        }
    }

    fn remove(&mut self, index: usize) {
        if index < self.len {
            self.holes.copy_within(index + 1..self.len, index);
            self.len -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_splits_shortens_or_closes_holes() {
        let (mut holes, mut filled) = (Holes::new(), Vec::new());
        holes.open(10, 20, 70, 30);
        holes.open(30, 40, 80, 0);
        let ranges = |holes: &Holes| {
            let all = holes.all().iter();
            all.map(|hole| (hole.first, hole.end, hole.deadline_ns))
                .collect::<Vec<_>>()
        };
        assert_eq!(ranges(&holes), [(10, 20, 100), (30, 40, 100)]);
        let mut on_filled = |hole: &Hole| filled.push((hole.first, hole.opened_ns));
        holes.fill(12, 14, &mut on_filled);
        holes.fill(18, 33, &mut on_filled);
        assert_eq!(
            ranges(&holes),
            [(10, 12, 100), (14, 18, 100), (33, 40, 100)]
        );
        holes.fill(14, 18, &mut on_filled);
        holes.fill_before(35, &mut on_filled);
        assert_eq!(ranges(&holes), [(35, 40, 100)]);
        assert_eq!(filled, [(14, 70), (10, 70)]);
        holes.forget_before(37);
        assert_eq!((ranges(&holes), holes.due_ns()), (vec![(37, 40, 100)], 100));
        holes.forget_before(40);
        assert_eq!(holes.due_ns(), u64::MAX);
        holes.check();
    }
}
