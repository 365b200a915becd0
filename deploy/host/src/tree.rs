//! Files in which a host tells of itself, under a root: `/`, or a copy.
//!
//! When wrong:  what is not there, or may not be read, is `None`; a check says then that it is not visible.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A host's files.
#[derive(Clone, Debug)]
pub struct Tree {
    root: PathBuf,
    /// What files said that are not read again.
    kept: BTreeMap<String, String>,
}

impl Tree {
    /// The files under `root`, which stands for `/`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            kept: BTreeMap::new(),
        }
    }

    /// Reads a file now and never again: what does not change, and would disturb every core each time that somebody looks.
    #[must_use]
    pub fn keeping(mut self, path: &str) -> Self {
        if let Some(text) = self.text(path) {
            self.kept.insert(path.to_owned(), text);
        }
        self
    }

    /// Whether these are the files of the host that this program runs on.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Where a file of the host lies.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// What a file says, without space at its ends.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        if let Some(text) = self.kept.get(path) {
            return Some(text.clone());
        }
        let text = std::fs::read_to_string(self.path(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// The number that a file says.
    #[must_use]
    pub fn number(&self, path: &str) -> Option<i64> {
        self.text(path)?.parse().ok()
    }

    /// The word after `name` and a colon, in a file of such lines.
    #[must_use]
    pub fn field(&self, path: &str, name: &str) -> Option<String> {
        let text = self.text(path)?;
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(key, _)| key.trim() == name)?;
        Some(value.trim().to_owned())
    }

    /// What a folder has, in order; nothing where it is not there.
    #[must_use]
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).into_iter().flatten();
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
        names.sort();
        names
    }

    /// Whether the file or folder is there.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Where a symbolic link points.
    #[must_use]
    pub fn link(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        Some(target.to_string_lossy().into_owned())
    }
}
