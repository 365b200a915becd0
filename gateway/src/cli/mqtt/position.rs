//! How far the journal has been published and acknowledged, kept over restarts.
//!
//! Invariants:  everything before a kept position has been acknowledged. The file is replaced whole.
//! When wrong:  a file that cannot be read is none: the newest run is published from its beginning, with the same ids.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A place in the journal: files' names stand in the order of their runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub(super) struct Position {
    /// The file's name.
    pub(super) file: String,
    /// Bytes of it that have been dealt with.
    pub(super) offset: u64,
}

/// The file that it is kept in.
#[derive(Debug)]
pub(super) struct Keeper {
    path: PathBuf,
    kept: Option<Position>,
}

impl Keeper {
    /// In this folder, for this instance; the folder is made where the one that it lies in exists.
    pub(super) fn open(folder: &Path, instance: &str) -> io::Result<Self> {
        if !folder.is_dir() {
            fs::create_dir(folder)?;
        }
        let path = folder.join(format!("mqtt-{instance}.json"));
        let kept = match fs::read(&path) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(position) => Some(position),
                Err(error) => {
                    log::error!("{}: {error}; the newest run is told anew", path.display());
                    None
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path, kept })
    }

    /// What was kept.
    pub(super) fn position(&self) -> Option<&Position> {
        self.kept.as_ref()
    }

    /// Keeps another one.
    pub(super) fn keep(&mut self, position: &Position) -> io::Result<()> {
        if self.kept.as_ref() == Some(position) {
            return Ok(());
        }
        let text = serde_json::to_vec(position)?;
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_data()?;
        fs::rename(&beside, &self.path)?;
        self.kept = Some(position.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_is_found_again_and_damage_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let position = Position {
            file: "journal-a.tgj".to_owned(),
            offset: 8,
        };
        let mut keeper = Keeper::open(&folder, "one").unwrap();
        assert_eq!(keeper.position(), None);
        keeper.keep(&position).unwrap();
        let again = Keeper::open(&folder, "one").unwrap();
        assert_eq!(again.position(), Some(&position));
        assert_eq!(Keeper::open(&folder, "two").unwrap().position(), None);
        fs::write(folder.join("mqtt-one.json"), b"{\"file\":").unwrap();
        assert_eq!(Keeper::open(&folder, "one").unwrap().position(), None);
    }
}
