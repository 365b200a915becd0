//! What there is of a run: its journal's files, those of runs before it, and the captures of its feeds.

use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};

use feed_handler::capture::read::Captures;

use super::outcome::Kept;
use crate::journal::files::list;
use crate::journal::format::{GATEWAY, Kind};
use crate::journal::head::{Head, Names};
use crate::journal::reader::{ReadError, Reader};
use crate::options::Feed;
use crate::service::journal::TURNS;
use crate::telemetry::{Kind as Labelled, Label};

/// A run.
pub(super) struct Run {
    pub(super) head: Head,
    /// Its files, the first part first.
    pub(super) files: Vec<PathBuf>,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Files of the runs before it, the oldest first.
    pub(super) earlier: Vec<PathBuf>,
    /// The number of the session that its turns are kept under.
    turns: u8,
}

impl Run {
    /// The run of this file, or the newest in this folder.
    pub(super) fn find(path: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let is_folder = path.is_dir();
        let folder = if is_folder {
            path.to_owned()
        } else {
            path.parent()
                .map_or_else(|| PathBuf::from("."), Path::to_owned)
        };
        let mut found: Vec<(PathBuf, Head)> = Vec::new();
        for file in list(&folder).map_err(failed)? {
            // A file without a head is one of a run that was killed as it began: nothing is in it.
            if let Ok(head) = head_of(&file) {
                found.push((file, head));
            }
        }
        let of_run = if is_folder {
            found.iter().max_by_key(|(_, head)| head.began.realtime_ns)
        } else {
            found.iter().find(|(file, _)| same_file(file, path))
        };
        let Some((_, head)) = of_run else {
            return Err(format!(
                "{}: expected a journal, or a folder with journals",
                path.display()
            ));
        };
        let head = head.clone();
        let mut parts: Vec<(PathBuf, Head)> = found.clone();
        parts.retain(|(_, it)| it.began == head.began);
        parts.sort_by_key(|(_, it)| it.part);
        found.retain(|(_, it)| it.began.realtime_ns < head.began.realtime_ns);
        let first = parts.first().map(|(_, it)| it.clone());
        let first = first.unwrap_or_else(|| head.clone());
        if let Some((at, _)) = (0u32..).zip(&parts).find(|(at, (_, it))| it.part != *at) {
            return Err(format!(
                "{}: part {at} of the run is missing: a replay begins with a run and leaves nothing out",
                path.display()
            ));
        }
        let turns = turns_of(&first).ok_or_else(|| {
            format!(
                "{}: the run kept no turns: expected one with journal.replayable = true",
                path.display()
            )
        })?;
        let files: Vec<PathBuf> = parts.into_iter().map(|(file, _)| file).collect();
        let bytes = files.iter().filter_map(|file| std::fs::metadata(file).ok());
        Ok(Self {
            head: first,
            bytes: bytes.map(|about| about.len()).sum(),
            files,
            earlier: found.into_iter().map(|(file, _)| file).collect(),
            turns,
        })
    }

    /// Whether this configuration can have been the run's.
    ///
    /// # Errors
    /// What is different.
    pub(super) fn fits(&self, names: &Names) -> Result<(), String> {
        let told = |names: &Names, sessions: usize| {
            let of_session = names.sessions.iter().take(sessions).map(|it| {
                let strategies = it.strategies.join(", ");
                format!("session {} as {} with {strategies}", it.name, it.username)
            });
            let feeds = names.feeds.iter().map(|name| format!("feed {name}"));
            of_session.chain(feeds).collect::<Vec<_>>().join("; ")
        };
        let then = told(&self.head.names, usize::from(self.turns));
        let now = told(names, names.sessions.len());
        if then != now {
            return Err(format!("the run had {then}; this configuration has {now}"));
        }
        let version = &self.head.names.gateway;
        if *version != names.gateway {
            log::warn!(
                "the run was of version {version}, this is {}: what one decides the other may not",
                names.gateway
            );
        }
        Ok(())
    }

    /// Sessions that trade.
    pub(super) fn sessions(&self) -> u8 {
        self.turns
    }
}

fn head_of(file: &Path) -> Result<Head, ReadError> {
    let reader = Reader::new(File::open(file)?)?;
    Ok(reader.head().clone())
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn turns_of(head: &Head) -> Option<u8> {
    let at = (head.names.sessions.iter())
        .position(|it| it.name == TURNS && it.username.is_empty() && it.strategies.is_empty())?;
    u8::try_from(at).ok()
}

/// Records of one session in a run, one after the other.
pub(super) struct Records {
    files: VecDeque<PathBuf>,
    reader: Option<Reader<File>>,
    session: u8,
    /// Bytes of the files that have been read to their ends.
    done: u64,
    next: Option<Kept>,
    torn: Option<String>,
    has_ended: bool,
}

impl Records {
    /// The turns.
    pub(super) fn of_turns(run: &Run) -> Result<Self, String> {
        Self::of(run, run.turns)
    }

    /// Those of the session with this number.
    pub(super) fn of(run: &Run, session: u8) -> Result<Self, String> {
        let mut records = Self {
            files: run.files.iter().cloned().collect(),
            reader: None,
            session,
            done: 0,
            next: None,
            torn: None,
            has_ended: false,
        };
        records.next = records.read()?;
        Ok(records)
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.done + self.reader.as_ref().map_or(0, Reader::offset)
    }

    /// Why nothing follows though something should.
    pub(super) fn torn(&self) -> Option<&str> {
        self.torn.as_deref()
    }

    /// The run ended as it should.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    pub(super) fn peek(&self) -> Option<&Kept> {
        self.next.as_ref()
    }

    pub(super) fn next(&mut self) -> Result<Option<Kept>, String> {
        let taken = self.next.take();
        if taken.is_some() {
            self.next = self.read()?;
        }
        Ok(taken)
    }

    fn read(&mut self) -> Result<Option<Kept>, String> {
        loop {
            let Some(reader) = &mut self.reader else {
                let Some(path) = self.files.pop_front() else {
                    return Ok(None);
                };
                let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                let file = File::open(&path).map_err(|error| named(&error))?;
                self.reader = Some(Reader::new(file).map_err(|error| named(&error))?);
                continue;
            };
            match reader.next_record() {
                Ok(Some(record)) => {
                    let header = record.header;
                    self.has_ended |= record.kind == Kind::Stop && header.session == GATEWAY;
                    if header.session == self.session {
                        return Ok(Some(Kept {
                            header,
                            payload: record.payload.to_vec(),
                        }));
                    }
                }
                Ok(None) => self.end_file(),
                Err(error) if error.is_torn() => {
                    self.torn = Some(error.to_string());
                    self.end_file();
                }
                Err(error) => return Err(format!("the run's journal: {error}")),
            }
        }
    }

    fn end_file(&mut self) {
        self.done += self.reader.take().map_or(0, |reader| reader.offset());
    }
}

/// The captures of each feed, in the order of the configuration.
///
/// # Errors
/// A feed has none, or one cannot be read.
pub(super) fn captures(feeds: &[Feed], paths: &[PathBuf]) -> Result<Vec<Captures>, String> {
    let mut files = Vec::new();
    for path in paths {
        let named = |error: std::io::Error| format!("{}: {error}", path.display());
        if path.is_dir() {
            for entry in std::fs::read_dir(path).map_err(named)? {
                files.push(entry.map_err(named)?.path());
            }
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    files.dedup();
    let of_feed = feeds.iter().map(|feed| {
        let stem = Label::new(Labelled::Capture, &feed.name).file_name();
        let own: Vec<PathBuf> = files.iter().filter(|it| is_of(it, &stem)).cloned().collect();
        if own.is_empty() {
            return Err(format!(
                "feed {}: no capture of it among {} files: expected {stem}-YYYYMMDD-HHMMSS-N.pcapng",
                feed.name,
                files.len()
            ));
        }
        Captures::open(own)
    });
    of_feed.collect()
}

/// Whether a file is called as captures of this feed are.
fn is_of(file: &Path, stem: &str) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    let rest = name.and_then(|name| {
        let rest = name.strip_prefix(stem)?.strip_prefix('-')?;
        rest.strip_suffix(".pcapng")
    });
    rest.is_some_and(|rest| {
        let parts: Vec<&str> = rest.split('-').collect();
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        parts.len() == 3 && parts.iter().all(is_number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_is_of_the_feed_whose_name_it_has_and_of_no_longer_one() {
        let is = |name: &str, stem| is_of(Path::new(name), stem);
        assert!(is("/c/itch-20261127-093000-1.pcapng", "itch"));
        assert!(is("itch-b-20261127-093000-12.pcapng", "itch-b"));
        assert!(!is("itch-b-20261127-093000-12.pcapng", "itch"));
        for name in [
            "itch.pcapng",
            "itch-1-2-x.pcapng",
            "itch-1-2.pcapng",
            "itch-1-2-3.pcap",
        ] {
            assert!(!is(name, "itch"), "{name}");
        }
    }
}
