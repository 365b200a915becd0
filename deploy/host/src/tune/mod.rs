//! What of a host can be set while it runs: wanted, done, and put back.
//!
//! ```text
//!  Host, Plan ─> wanted ─> changes (only what differs) ─> state file ─> knobs turned
//!                                                            └──────────> revert: each as it was, the last first
//! ```
//!
//! Invariants:  what was is on the disk before anything is turned. Who applies twice changes nothing the second time, and
//!              what the first time found is what is put back.
//! When wrong:  a knob that does not turn is told and left out; the others are turned.

mod knob;
mod state;
mod wanted;

use std::io;

pub use knob::{Knob, Value};
pub use state::{State, StateFile, Unconfirmed};
pub use wanted::changes;

use serde::{Deserialize, Serialize};

use crate::Tree;

/// A knob, and where it was and shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What is turned.
    pub knob: Knob,
    /// The interface for which it is turned; empty: the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interface: String,
    /// Where it stood.
    pub before: Value,
    /// Where it shall stand.
    pub after: Value,
}

/// A knob that did not turn.
#[derive(Debug)]
pub struct Stuck {
    /// What was to be.
    pub change: Change,
    /// What the kernel said.
    pub error: io::Error,
}

/// Turns each knob. Gives back those that did not turn.
pub fn apply(tree: &Tree, changes: &[Change]) -> Vec<Stuck> {
    let turn = |change: &Change| change.knob.turn(tree, &change.after);
    stuck(changes.iter(), turn)
}

/// Turns each knob back, the last first. Gives back those that did not turn.
pub fn revert(tree: &Tree, changes: &[Change]) -> Vec<Stuck> {
    let turn = |change: &Change| change.knob.turn(tree, &change.before);
    stuck(changes.iter().rev(), turn)
}

fn stuck<'a>(
    changes: impl Iterator<Item = &'a Change>,
    turn: impl Fn(&Change) -> io::Result<()>,
) -> Vec<Stuck> {
    let tried = changes.map(|change| (change, turn(change)));
    let failed = tried.filter_map(|(change, done)| {
        let error = done.err()?;
        let change = change.clone();
        Some(Stuck { change, error })
    });
    failed.collect()
}
