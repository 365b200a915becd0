//! Whether somebody kept the quoter from quoting.

use std::sync::atomic::Ordering;

use crate::world::World;
use crate::{QUOTER, STRATEGIES};

impl World {
    /// What the quoter's session refused, or the exchange rejected: the quoter rests for up to 128 steps.
    pub(crate) fn refused(&mut self) -> u64 {
        let (_, session) = STRATEGIES[QUOTER];
        let counters = self.lines[session].stage.entry().counters();
        // Changes that cross with a fill or with one another keep nobody from quoting.
        let refused = &counters.refusals;
        let crossed = refused.refused_not_live.get() + refused.refused_change_pending.get();
        let rejected = counters.rejected.get() + counters.replaces_rejected.get();
        counters.refused.get() - crossed + rejected
    }

    /// Quotes that were taken off.
    pub(crate) fn taken_off(&self) -> u64 {
        self.taken_off.load(Ordering::Relaxed)
    }

    /// Whether nobody kept the quoter from quoting for longer than it rests.
    pub(crate) fn is_quoter_free(&mut self) -> bool {
        (self.refused(), self.taken_off()) == (self.refused_before, self.taken_off_before)
    }
}
