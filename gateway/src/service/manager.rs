//! What the service manager is told (sd_notify(3)), if it has started us.
//!
//! Thread:      housekeeping; a reload by whoever serves the control socket
//! Invariants:  nobody is told that a reload is over before the start is: both are the same word, READY.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sd_notify::NotifyState;

/// The service manager, as far as it listens.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceManager {
    is_ready: Arc<AtomicBool>,
}

impl ServiceManager {
    /// Orders can go out.
    pub(super) fn ready(&self, status: &str) {
        self.is_ready.store(true, Ordering::SeqCst);
        notify(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Whether it has been told that.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::SeqCst)
    }

    /// The configuration is read again.
    pub(crate) fn reloading(&self) {
        if self.is_ready()
            && let Ok(now) = NotifyState::monotonic_usec_now()
        {
            // From version 253 on systemd wants the time with it.
            notify(&[NotifyState::Reloading, now]);
        }
    }

    /// It was, whatever came of it.
    pub(crate) fn reloaded(&self, status: &str) {
        if self.is_ready() {
            notify(&[NotifyState::Ready, NotifyState::Status(status)]);
        }
    }
}

/// Tells it.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("systemd does not hear us: {error}");
    }
}
