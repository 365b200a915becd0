//! Reports on demand: whoever wants one asks, and housekeeping, which alone may look at everything, makes it in its next turn.
//!
//! ```text
//!  control socket ──ask──> desk ──(housekeeping's turn: one report for all who asked)──> answer
//! ```
//!
//! Thread:      any asks; housekeeping answers
//! When full:   eight wait at one time; one more is refused.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::telemetry::Report;

/// Who may wait for a report at one time.
const ASKED_MAX: usize = 8;

/// Where reports are asked for.
#[derive(Clone, Debug)]
pub struct Reports(SyncSender<SyncSender<Arc<Report>>>);

/// Where housekeeping finds who has asked.
#[derive(Debug)]
pub(super) struct ReportDesk(Receiver<SyncSender<Arc<Report>>>);

/// Both sides.
pub(super) fn reports() -> (Reports, ReportDesk) {
    let (asks, asked) = sync_channel(ASKED_MAX);
    (Reports(asks), ReportDesk(asked))
}

impl Reports {
    /// Asks for one: it comes within some 20 ms, while housekeeping turns. `None`: as many as may wait do, or the service has
    /// ended.
    #[must_use]
    pub fn ask(&self) -> Option<Receiver<Arc<Report>>> {
        let (answer, report) = sync_channel(1);
        self.0.try_send(answer).ok()?;
        Some(report)
    }
}

impl ReportDesk {
    /// Gives everybody who has asked a report, the same one.
    pub(super) fn answer(&self, report: impl FnOnce() -> Report) {
        let Ok(first) = self.0.try_recv() else {
            return;
        };
        let report = Arc::new(report());
        for asker in std::iter::once(first).chain(self.0.try_iter()) {
            // Who does not wait any more has no use for it.
            let _ = asker.try_send(Arc::clone(&report));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_who_asked_gets_one_report_and_one_too_many_is_refused() {
        let (reports, desk) = reports();
        desk.answer(|| panic!("nobody has asked"));
        let mut waiting: Vec<_> = (0..ASKED_MAX).map(|_| reports.ask().unwrap()).collect();
        assert!(reports.ask().is_none());
        drop(waiting.pop());
        let mut made = 0;
        desk.answer(|| {
            made += 1;
            Report::new("tickgate", Vec::new())
        });
        assert_eq!(made, 1);
        for report in waiting {
            assert_eq!(report.try_recv().unwrap().tool, "tickgate");
        }
        assert!(reports.ask().is_some());
        drop(desk);
        assert!(reports.ask().is_none());
    }
}
