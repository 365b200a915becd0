//! The kill switches of a process in a file that another one can map: a kill that needs nobody here but the order cores.
//!
//! ```text
//!  page 0: [magic] [sessions] [switch of session 0] [switch of session 1] ...    64-bit words, shared
//!  page 1: the state folder, then each session's name, a line each               text, written once
//!
//!  tickgate ctl kill --hard ──maps──> switch <──one load a turn── order core
//! ```
//!
//! Thread:      the main thread makes it; `tickgate ctl kill --hard` finds it, in a process of its own
//! Invariants:  the file appears whole, and is removed by the process that made it. It is its user's alone (mode 0600).
//! When wrong:  what is no such file is refused by whoever looks; a file that somebody makes shorter ends the
//!              gateway (SIGBUS), so only its own user can.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rt::mem::{SharedWord, SharedWords};

use crate::order::risk::{KillCause, KillSwitch};

/// "TGKILL", and the layout's version.
const MAGIC: u64 = u64::from_be_bytes(*b"TGKILL\0\x01");
/// Words before the first switch.
const HEAD_WORDS: usize = 2;
/// Sessions that a page has room for.
const SESSIONS_MAX: usize = PAGE_BYTES / 8 - HEAD_WORDS;
const PAGE_BYTES: usize = 4096;
/// The second page, and what a long folder's name needs beyond it.
const TEXT_BYTES_MAX: usize = 64 * PAGE_BYTES;

/// The switches of this process, for as long as it lives.
#[derive(Debug)]
pub(super) struct KillPage {
    words: Arc<SharedWords>,
    path: PathBuf,
    /// Device and inode: another file at the path is not ours to remove.
    place: (u64, u64),
}

impl KillPage {
    /// Makes the file; one that a dead process left is replaced.
    ///
    /// # Errors
    /// What the file system says, or too many sessions.
    pub(super) fn make<'a>(
        path: &Path,
        state: Option<&Path>,
        sessions: impl ExactSizeIterator<Item = &'a str>,
    ) -> io::Result<Self> {
        let count = sessions.len();
        let mut text = state.map_or_else(Vec::new, |it| it.as_os_str().as_bytes().to_vec());
        for name in sessions {
            text.push(b'\n');
            text.extend(name.as_bytes());
        }
        if count > SESSIONS_MAX || text.len() > TEXT_BYTES_MAX {
            return Err(io::Error::other(format!(
                "{count} sessions, expected at most {SESSIONS_MAX}"
            )));
        }
        let draft = path.with_extension("kill.new");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = File::options();
        options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&draft)?;
        file.write_all_at(&text, PAGE_BYTES as u64)?;
        let words = Arc::new(SharedWords::map(&file, HEAD_WORDS + count)?);
        for (word, value) in words.iter().zip([MAGIC, count as u64]) {
            word.store(value, Ordering::SeqCst);
        }
        fs::rename(&draft, path)?;
        let found = file.metadata()?;
        Ok(Self {
            words,
            path: path.to_owned(),
            place: (found.dev(), found.ino()),
        })
    }

    /// The switch of a session.
    pub(super) fn switch(&self, session: usize) -> Option<KillSwitch> {
        SharedWord::of(&self.words, HEAD_WORDS + session).map(KillSwitch::at)
    }
}

impl Drop for KillPage {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.place) {
            // What cannot be removed is replaced by the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where the switches of the gateway with this control socket are.
#[must_use]
pub fn kill_page_of(socket: &Path) -> PathBuf {
    socket.with_extension("kill")
}

/// The switches of another process.
#[derive(Debug)]
pub struct ForeignSwitches {
    /// The folder of its kill file, where it has one.
    pub state: Option<PathBuf>,
    /// Each session's name, and its switch.
    pub sessions: Vec<(String, KillSwitch)>,
}

impl ForeignSwitches {
    /// Maps the file of a gateway.
    ///
    /// # Errors
    /// There is none, or it is something else.
    pub fn find(path: &Path) -> io::Result<Self> {
        let mut file = File::options().read(true).write(true).open(path)?;
        let strange = || io::Error::other("this is no file of kill switches");
        if file.metadata()?.len() < PAGE_BYTES as u64 {
            return Err(strange());
        }
        let mut bytes = Vec::new();
        let bytes_max = (PAGE_BYTES + TEXT_BYTES_MAX) as u64;
        file.by_ref().take(bytes_max).read_to_end(&mut bytes)?;
        let text = bytes.get(PAGE_BYTES..).unwrap_or_default();
        let mut lines = text.split(|byte| *byte == b'\n');
        let state = lines.next().filter(|line| !line.is_empty());
        let state = state.map(|line| std::ffi::OsString::from_vec(line.to_vec()).into());
        let names: Vec<_> = lines.map(String::from_utf8_lossy).collect();
        if names.len() > SESSIONS_MAX {
            return Err(strange());
        }
        let words = Arc::new(SharedWords::map(&file, HEAD_WORDS + names.len())?);
        let head = words.iter().map(|word| word.load(Ordering::SeqCst));
        if !head.take(HEAD_WORDS).eq([MAGIC, names.len() as u64]) {
            return Err(strange());
        }
        let switch = |at| SharedWord::of(&words, HEAD_WORDS + at).map(KillSwitch::at);
        let sessions = names.iter().enumerate();
        let sessions = sessions.filter_map(|(at, name)| Some((name.to_string(), switch(at)?)));
        Ok(Self {
            state,
            sessions: sessions.collect(),
        })
    }

    /// Stops new orders of every session, and has the open ones cancelled; the sessions that were stopped before.
    pub fn engage(&self) -> Vec<String> {
        let before = self.sessions.iter().filter(|(_, kill)| kill.is_on());
        let before = before.map(|(name, _)| name.clone()).collect();
        let kills = self.sessions.iter().map(|(_, kill)| kill);
        KillSwitch::engage_all(kills, KillCause::OperatorHard);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switch_that_another_mapping_turns_is_on_here_and_the_file_goes_with_its_maker() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = kill_page_of(&folder.path().join("control.sock"));
        fs::write(&path, "left by a dead process").expect("written");
        let names = ["one", "two"];
        let page = KillPage::make(&path, Some(folder.path()), names.into_iter()).expect("made");
        let mine: Vec<_> = [0, 1].map(|at| page.switch(at).expect("it has one")).into();
        assert!(page.switch(2).is_none());
        assert!(mine.iter().all(|kill| kill.cause().is_none()));
        mine[1].engage(KillCause::Signal);
        let foreign = ForeignSwitches::find(&path).expect("it is there");
        assert_eq!(foreign.state.as_deref(), Some(folder.path()));
        assert_eq!(foreign.engage(), ["two"], "killed before");
        let causes: Vec<_> = mine.iter().map(KillSwitch::cause).collect();
        let expected = [KillCause::OperatorHard, KillCause::Signal].map(Some);
        assert_eq!(causes, expected, "the first cause stays");
        mine[0].release();
        assert!(!foreign.sessions[0].1.is_on());
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        drop(page);
        assert!(!path.exists());
        // The mapping outlives the file.
        assert!(mine[1].is_on());
    }

    #[test]
    fn what_is_no_page_of_switches_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.kill");
        assert!(ForeignSwitches::find(&path).is_err(), "there is none");
        for text in [Vec::new(), b"short".to_vec(), vec![7; 3 * PAGE_BYTES]] {
            fs::write(&path, &text).expect("written");
            assert!(ForeignSwitches::find(&path).is_err());
            assert_eq!(fs::read(&path).expect("there"), text);
        }
    }
}
