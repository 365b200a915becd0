//! How SIGHUP gets to whoever reads the configuration again: the control socket's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rung by a signal's handler, heard by one thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReloadBell {
    is_rung: Arc<AtomicBool>,
    has_listener: Arc<AtomicBool>,
}

impl ReloadBell {
    /// What the signal sets.
    pub(super) fn asked(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_rung)
    }

    /// Somebody listens from now on.
    pub(crate) fn listen(&self) {
        self.has_listener.store(true, Ordering::SeqCst);
    }

    /// Whether it was rung since the last look.
    pub(crate) fn take(&self) -> bool {
        self.is_rung.swap(false, Ordering::SeqCst)
    }

    /// Whether it was rung and nobody will hear it.
    pub(super) fn is_unheard(&self) -> bool {
        !self.has_listener.load(Ordering::SeqCst) && self.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_is_heard_once_and_by_housekeeping_only_where_nobody_listens() {
        let bell = ReloadBell::default();
        let ring = || bell.asked().store(true, Ordering::SeqCst);
        assert!(!bell.is_unheard());
        ring();
        assert_eq!([bell.is_unheard(), bell.is_unheard()], [true, false]);
        bell.clone().listen();
        ring();
        assert!(!bell.is_unheard());
        assert_eq!([bell.take(), bell.take()], [true, false]);
    }
}
