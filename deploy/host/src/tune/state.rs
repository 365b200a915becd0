//! What was before anything was turned, in a file that outlives the process, and who may still take it back.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Change, Stuck};
use crate::Tree;

/// What was turned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Each knob, in the order in which it was turned.
    pub changes: Vec<Change>,
    /// The boot in which it was turned: what is turned while a host runs does not outlive it.
    #[serde(default)]
    pub boot: String,
    /// A run that is taken back when its time is over.
    pub unconfirmed: Option<Unconfirmed>,
}

/// A run that nobody has confirmed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// Its process.
    pub run: u32,
    /// What had been turned before it.
    pub earlier: Vec<Change>,
}

impl State {
    /// Adds changes. What an earlier run found stays what is put back.
    pub fn add(&mut self, changes: &[Change]) {
        for change in changes {
            match self.changes.iter_mut().find(|it| it.knob == change.knob) {
                Some(kept) => kept.after = change.after.clone(),
                None => self.changes.push(change.clone()),
            }
        }
    }

    /// What follows is taken back unless it is confirmed, with what an earlier run waits to be confirmed.
    pub fn wait_for_confirmation(&mut self, run: u32) {
        let waiting = self.unconfirmed.take();
        let earlier = waiting.map_or_else(|| self.changes.clone(), |it| it.earlier);
        self.unconfirmed = Some(Unconfirmed { run, earlier });
    }

    /// What of it has not been confirmed, from where it was.
    #[must_use]
    pub fn unconfirmed_changes(&self) -> Vec<Change> {
        let Some(waiting) = &self.unconfirmed else {
            return Vec::new();
        };
        let since = |change: &Change| {
            let mut change = change.clone();
            if let Some(kept) = waiting.earlier.iter().find(|it| it.knob == change.knob) {
                change.before = kept.after.clone();
            }
            (change.before != change.after).then_some(change)
        };
        self.changes.iter().filter_map(since).collect()
    }

    /// Takes out what did not turn.
    pub fn forget(&mut self, stuck: &[Stuck]) {
        self.changes
            .retain(|it| !stuck.iter().any(|stuck| stuck.change.knob == it.knob));
    }
}

/// The file of the state, held by one process at a time.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    /// Its lock goes when this does.
    _lock: File,
}

impl StateFile {
    /// Waits until nobody else is at it.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lock = File::create(path.with_extension("lock"))?;
        lock.lock()?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// What is kept of this boot of the tree's host; nothing where nothing was turned.
    ///
    /// # Errors
    /// It cannot be read, or is no state: nothing should be turned then.
    pub fn load(&self, tree: &Tree) -> io::Result<State> {
        let boot = tree.text("/proc/sys/kernel/random/boot_id");
        let boot = boot.unwrap_or_default();
        let kept = match fs::read_to_string(&self.path) {
            Ok(text) => serde_json::from_str(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
            Err(error) => return Err(error),
        };
        if kept.boot == boot {
            return Ok(kept);
        }
        Ok(State {
            boot,
            ..State::default()
        })
    }

    /// Keeps a state, whole or not at all; one without changes is no file.
    ///
    /// # Errors
    /// The disk is full, or the folder may not be written.
    pub fn keep(&self, state: &State) -> io::Result<()> {
        if state.changes.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            };
        }
        let written = self.path.with_extension("new");
        let mut file = File::create(&written)?;
        file.write_all(serde_json::to_string_pretty(state)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(written, &self.path)
    }
}
