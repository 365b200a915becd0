//! When something is asked, seen or due, as whoever has the clocks says.

/// Now, on the clock that runs evenly and on the wall's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// `CLOCK_MONOTONIC`, ns.
    pub now_ns: u64,
    /// Seconds of 1970.
    pub wall_s: u64,
}
