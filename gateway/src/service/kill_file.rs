//! The kill that outlives the process: a file that is there while trading is stopped.
//!
//! Thread:      the main thread, and `tickgate kill` and `resume` in processes of their own
//! Invariants:  the file appears whole and is on the disk before anyone is told that it is written. The
//!              first cause stays: a second kill leaves the file as it is. What is in the file is for
//!              people; that it is there is what counts. Only the mark of a resume releases a switch:
//!              a file or a folder that has gone away releases nothing.
//! When wrong:  a folder that cannot be read leaves the switches as they are and is told once; before
//!              the start it forbids the start.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rt::clock::realtime_ns;

use crate::order::risk::{
    HOUSEKEEPING, KillCause, KillSwitch, Stood, began_code, release_together,
};

/// The file in the folder of what outlives the process.
#[derive(Clone, Debug)]
pub struct KillFile {
    folder: PathBuf,
}

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KillRecord {
    /// Who or what has stopped trading; empty where the file does not say.
    pub cause: String,
    /// When, seconds of 1970; `None` where the file does not say.
    pub since_s: Option<u64>,
    /// A word of whoever did it.
    pub why: String,
    /// The session that met with it; empty: none did, or the file does not say.
    pub session: String,
}

/// A file that is there, and why its bytes are not: a full disk has room for a name.
struct Draft {
    path: PathBuf,
    unwritten: Option<io::Error>,
}

/// Which `resumed` file lies there: each resume makes a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resumed {
    inode: u64,
    changed_s: i64,
    changed_ns: i64,
}

impl KillFile {
    /// The file of this folder.
    ///
    /// # Errors
    /// The folder is not there: a kill could not be kept.
    pub fn in_folder(folder: &Path) -> io::Result<Self> {
        fs::read_dir(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn kill(&self) -> PathBuf {
        self.folder.join("kill")
    }

    /// Stops trading; `false`: it was stopped already, and the first cause stays.
    ///
    /// # Errors
    /// What the file system says; trading may not be stopped then.
    pub fn write(&self, cause: KillCause, why: &str) -> io::Result<bool> {
        self.write_of(cause, "", why)
    }

    /// The same, for what a session met with.
    ///
    /// # Errors
    /// What the file system says; trading may not be stopped then.
    pub fn write_of(&self, cause: KillCause, session: &str, why: &str) -> io::Result<bool> {
        let why: String = why
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let since_s = realtime_ns() / 1_000_000_000;
        let session = match session {
            "" => String::new(),
            name => format!("session: {name}\n"),
        };
        let text =
            format!("cause: {cause}\n{session}since: {since_s} (seconds of 1970)\nwhy: {why}\n");
        let Draft { path, unwritten } = self.draft("kill", &text)?;
        if let Some(error) = unwritten {
            log::warn!("the kill file stands without its cause: {error}");
        }
        // A link, not a renaming: it refuses to replace what is there.
        let linked = fs::hard_link(&path, self.kill());
        fs::remove_file(&path)?;
        let is_first = match linked {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error),
        };
        self.keep()?;
        Ok(is_first)
    }

    /// Allows trading; `false`: there was no kill. Running gateways hear of it either way, because
    /// `start_killed` writes no file.
    ///
    /// # Errors
    /// What the file system says; trading stays stopped then.
    pub fn remove(&self) -> io::Result<bool> {
        // The mark first: without it nobody is released, and with the file still there neither.
        let draft = self.draft("resumed", "")?;
        fs::rename(draft.path, self.folder.join("resumed"))?;
        let was_there = match fs::remove_file(self.kill()) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        self.keep()?;
        Ok(was_there)
    }

    /// What the file says, on one line; `None`: trading is not stopped.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self) -> io::Result<Option<String>> {
        match fs::read(self.kill()) {
            Ok(text) => {
                let text = String::from_utf8_lossy(&text);
                Ok(Some(text.lines().collect::<Vec<_>>().join(", ")))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the file says, field by field; `None`: trading is not stopped.
    ///
    /// # Errors
    /// What the file system says, but for a link that leads nowhere: it stops trading, and says nothing.
    pub fn record(&self) -> io::Result<Option<KillRecord>> {
        if !self.is_there()? {
            return Ok(None);
        }
        let text = match fs::read(self.kill()) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let of = |key: &str| {
            let said = text.lines().find_map(|line| line.strip_prefix(key));
            said.unwrap_or_default().trim().to_owned()
        };
        let since = of("since:");
        let since_s = since.split(' ').next().and_then(|s| s.parse().ok());
        Ok(Some(KillRecord {
            cause: of("cause:"),
            since_s,
            why: of("why:"),
            session: of("session:"),
        }))
    }

    /// Whether anything of this name lies there, a link that leads nowhere included.
    fn is_there(&self) -> io::Result<bool> {
        match fs::symlink_metadata(self.kill()) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Which folder it is: one that was renamed, removed or unmounted is another.
    fn place(&self) -> io::Result<(u64, u64)> {
        let found = fs::metadata(&self.folder)?;
        Ok((found.dev(), found.ino()))
    }

    fn resumed(&self) -> io::Result<Option<Resumed>> {
        match fs::metadata(self.folder.join("resumed")) {
            Ok(found) => Ok(Some(Resumed {
                inode: found.ino(),
                changed_s: found.ctime(),
                changed_ns: found.ctime_nsec(),
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file of this call alone, with its bytes on the disk, as far as there is room for them.
    fn draft(&self, name: &str, text: &str) -> io::Result<Draft> {
        // Housekeeping and the control socket may write at the same time.
        let number = DRAFTS.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let path = self.folder.join(format!(".{name}.{process}.{number}"));
        let mut file = File::create(&path)?;
        let written = file.write_all(text.as_bytes());
        let unwritten = written.and_then(|()| file.sync_all()).err();
        Ok(Draft { path, unwritten })
    }

    /// The folder's own entries on the disk.
    fn keep(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

/// Drafts that this process has begun.
static DRAFTS: AtomicU32 = AtomicU32::new(0);

/// Looks that a kill of the operator may be without a file, 20 ms each: after a second it is written here.
const UNWRITTEN_MAX: u32 = 50;

/// Keeps the switches of a process and the file in step.
#[derive(Debug)]
pub(super) struct KillWatch {
    file: Option<KillFile>,
    /// The folder that was there at the start.
    place: Option<(u64, u64)>,
    was_there: bool,
    resumed: Option<Resumed>,
    /// What each switch said at the last look: a resume ends what the operator could know of.
    seen: Vec<Option<Stood>>,
    /// Sessions' names.
    names: Vec<String>,
    /// Looks at an operator's kill without a file.
    unwritten: u32,
    /// The last failure, so that each is told once.
    failure: Option<ErrorKind>,
}

impl KillWatch {
    /// Turns the switches on if an earlier run's kill stands. Before the first core runs.
    ///
    /// # Errors
    /// The folder cannot be read: whether trading is stopped is not known.
    pub(super) fn start(
        file: Option<KillFile>,
        kills: &[KillSwitch],
        names: Vec<String>,
    ) -> io::Result<Self> {
        let (mut was_there, mut resumed, mut place) = (false, None, None);
        if let Some(file) = &file {
            place = Some(file.place()?);
            was_there = file.is_there()?;
            resumed = file.resumed()?;
            if was_there {
                let said = file.read().ok().flatten().unwrap_or_default();
                log::warn!(
                    "kill switch on since an earlier run: {said}; `tickgate resume` ends it"
                );
                engage(kills, KillCause::Persisted, HOUSEKEEPING);
            }
        }
        Ok(Self {
            file,
            place,
            was_there,
            resumed,
            seen: kills.iter().map(KillSwitch::stood).collect(),
            names,
            unwritten: 0,
            failure: None,
        })
    }

    /// One look: the file's news to the switches, the switches' news to the file.
    pub(super) fn turn(&mut self, kills: &[KillSwitch]) {
        let Some(file) = self.file.take() else { return };
        let failure = self.meet(&file, kills).err();
        self.file = Some(file);
        let kind = failure.as_ref().map(io::Error::kind);
        if let (Some(error), true) = (&failure, kind != self.failure) {
            log::error!("the kill file: {error}; a kill may not outlive this process");
        }
        self.failure = kind;
    }

    /// Releases what the operator could know of, all of it or nothing: what has come since stays, is kept anew, and stops
    /// every session.
    fn release(&self, kills: &[KillSwitch]) {
        let now = kills.iter().zip(&self.seen);
        let on: Vec<_> = now.filter(|(kill, _)| kill.is_on()).collect();
        let known: Option<Vec<_>> = on
            .into_iter()
            .map(|(kill, seen)| Some((kill, (*seen)?)))
            .collect();
        if known.is_some_and(|known| release_together(&known)) {
            log::warn!("kill switch off: resumed by the operator");
        } else {
            log::error!("nothing is resumed: a session was stopped again meanwhile");
        }
    }

    fn meet(&mut self, file: &KillFile, kills: &[KillSwitch]) -> io::Result<()> {
        if Some(file.place()?) != self.place {
            return Err(io::Error::other(
                "its folder is not the one that was there at the start: nothing is released",
            ));
        }
        // In this order: a kill written after a resume is seen, and is the later word.
        let resumed = file.resumed()?;
        let is_there = file.is_there()?;
        let is_resumed = resumed.is_some() && resumed != self.resumed;
        if !is_there && is_resumed {
            self.release(kills);
        } else if is_there && !self.was_there {
            let said = file.read().ok().flatten().unwrap_or_default();
            log::warn!("kill switch on: {said}");
            engage(kills, KillCause::Operator, HOUSEKEEPING);
        }
        (self.was_there, self.resumed) = (is_there, resumed);
        self.seen = kills.iter().map(KillSwitch::stood).collect();
        let inside = kills.iter().enumerate();
        let inside =
            inside.filter_map(|(at, kill)| Some((kill.began().unwrap_or(at), kill.cause()?)));
        // `start_killed` stands in the configuration already, and is of one session.
        let cause = inside
            .into_iter()
            .find(|(_, one)| *one != KillCause::StartKilled);
        let (Some((session, cause)), false) = (cause, is_there) else {
            self.unwritten = 0;
            return Ok(());
        };
        // Who gave the operator's word, or missed a guard, knows why, and writes the file with it in the same moment.
        let writers = [
            KillCause::Operator,
            KillCause::OperatorHard,
            KillCause::GuardSilent,
        ];
        if writers.contains(&cause) && self.unwritten < UNWRITTEN_MAX {
            self.unwritten += 1;
        } else {
            // An operator's word is of no session.
            let is_sessions = cause.stops_the_account();
            let name = self.names.get(session).filter(|_| is_sessions);
            let name = name.map_or("", String::as_str);
            file.write_of(cause, name, "")?;
            log::warn!("kill switch on for every session, also after a restart: {cause} {name}");
            let began = if is_sessions {
                began_code(session)
            } else {
                HOUSEKEEPING
            };
            engage(kills, cause, began);
            self.was_there = true;
            self.seen = kills.iter().map(KillSwitch::stood).collect();
        }
        Ok(())
    }
}

fn engage(kills: &[KillSwitch], cause: KillCause, began: u8) {
    KillSwitch::engage_all_for(kills.iter(), cause, began);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Setup {
        _folder: tempfile::TempDir,
        file: KillFile,
        kills: [KillSwitch; 2],
    }

    fn setup() -> Setup {
        let folder = tempfile::tempdir().unwrap();
        Setup {
            file: KillFile::in_folder(folder.path()).unwrap(),
            kills: [KillSwitch::default(), KillSwitch::default()],
            _folder: folder,
        }
    }

    impl Setup {
        fn watch(&self) -> KillWatch {
            let names = ["one", "two"].map(str::to_owned).to_vec();
            KillWatch::start(Some(self.file.clone()), &self.kills, names).unwrap()
        }

        fn causes(&self) -> [Option<KillCause>; 2] {
            [self.kills[0].cause(), self.kills[1].cause()]
        }

        /// What a new process would find.
        fn restarted(&self) -> Option<KillCause> {
            let kills = [KillSwitch::default()];
            KillWatch::start(Some(self.file.clone()), &kills, Vec::new()).unwrap();
            kills[0].cause()
        }
    }

    #[test]
    fn link_named_kill_that_leads_nowhere_releases_nobody() {
        let setup = setup();
        std::os::unix::fs::symlink("/nonexistent/x", setup.file.kill()).unwrap();
        let mut watch = setup.watch();
        setup.kills[0].engage(KillCause::UnknownExecution);
        for turn in 0..4 {
            watch.turn(&setup.kills);
            assert!(
                setup.kills[0].is_on(),
                "released in turn {turn}: {:?}",
                setup.causes()
            );
        }
    }

    #[test]
    fn kill_behind_a_link_that_leads_nowhere_stops_trading() {
        let setup = setup();
        std::os::unix::fs::symlink("/nonexistent/x", setup.file.kill()).unwrap();
        let mut watch = setup.watch();
        let said = setup.file.write(KillCause::Operator, "stop");
        watch.turn(&setup.kills);
        assert!(
            said.is_err() || setup.kills[0].is_on(),
            "{said:?} {:?}",
            setup.causes()
        );
    }

    #[test]
    fn resume_that_fails_leaves_trading_stopped() {
        let setup = setup();
        setup.file.write(KillCause::Operator, "stop").unwrap();
        let mut watch = setup.watch();
        // The new file cannot take its place.
        fs::create_dir(setup.file.folder.join("resumed")).unwrap();
        let said = setup.file.remove();
        watch.turn(&setup.kills);
        assert!(
            said.is_ok() || setup.kills[0].is_on(),
            "{said:?} but {:?}",
            setup.causes()
        );
    }

    #[test]
    fn cause_behind_start_killed_survives_a_restart() {
        let setup = setup();
        setup.kills[0].engage(KillCause::StartKilled);
        let mut watch = setup.watch();
        watch.turn(&setup.kills);
        // While it starts killed, the past brings an execution of an unknown order.
        setup.kills[0].engage(KillCause::UnknownExecution);
        watch.turn(&setup.kills);
        assert!(setup.restarted().is_some(), "{:?}", setup.causes());
    }

    #[test]
    fn folder_that_goes_away_releases_nobody() {
        let setup = setup();
        setup.file.write(KillCause::Operator, "stop").unwrap();
        let mut watch = setup.watch();
        let moved = setup.file.folder.with_extension("away");
        fs::rename(&setup.file.folder, &moved).unwrap();
        watch.turn(&setup.kills);
        let without = setup.causes();
        fs::rename(&moved, &setup.file.folder).unwrap();
        watch.turn(&setup.kills);
        assert!(
            without[0].is_some() && setup.kills[0].is_on(),
            "without the folder {without:?}, then {:?}",
            setup.causes()
        );
    }

    #[test]
    fn operator_kills_a_running_gateway_and_resumes_it() {
        let setup = setup();
        let mut watch = setup.watch();
        watch.turn(&setup.kills);
        assert_eq!(setup.causes(), [None; 2]);
        assert!(
            setup
                .file
                .write(KillCause::Operator, "lunch\nbreak")
                .unwrap()
        );
        watch.turn(&setup.kills);
        assert_eq!(setup.causes(), [Some(KillCause::Operator); 2]);
        let said = setup.file.read().unwrap().unwrap();
        assert!(said.starts_with("cause: the operator, since: "), "{said}");
        assert!(said.ends_with("why: lunch break"), "{said}");
        assert_eq!(setup.restarted(), Some(KillCause::Persisted));
        assert!(setup.file.remove().unwrap());
        watch.turn(&setup.kills);
        assert_eq!(setup.causes(), [None; 2]);
        assert_eq!(setup.restarted(), None);
    }

    #[test]
    fn breach_of_one_session_stops_all_and_outlives_the_process() {
        let setup = setup();
        let mut watch = setup.watch();
        setup.kills[1].engage(KillCause::UnknownExecution);
        watch.turn(&setup.kills);
        assert_eq!(setup.causes(), [Some(KillCause::UnknownExecution); 2]);
        let said = setup.file.read().unwrap().unwrap();
        assert!(
            said.contains("an execution of an unknown order, session: two"),
            "{said}"
        );
        assert_eq!(setup.file.record().unwrap().unwrap().session, "two");
        let began = [setup.kills[0].began(), setup.kills[1].began()];
        assert_eq!(began, [Some(1), None], "housekeeping says for whose sake");
        assert_eq!(setup.restarted(), Some(KillCause::Persisted));
    }

    #[test]
    fn operators_kill_from_inside_is_left_to_whoever_knows_why_and_kept_all_the_same() {
        let setup = setup();
        let mut watch = setup.watch();
        setup.kills[0].engage(KillCause::Operator);
        watch.turn(&setup.kills);
        assert!(setup.file.write(KillCause::Operator, "lunch").unwrap());
        watch.turn(&setup.kills);
        assert_eq!(setup.causes(), [Some(KillCause::Operator); 2]);
        let said = setup.file.record().unwrap().unwrap();
        assert_eq!(
            (said.cause.as_str(), said.why.as_str()),
            ("the operator", "lunch")
        );
        assert!(said.since_s.is_some());
        setup.file.remove().unwrap();
        watch.turn(&setup.kills);
        assert_eq!(setup.file.record().unwrap(), None);
        // Nobody writes it.
        setup.kills[1].engage(KillCause::Operator);
        for _ in 0..=UNWRITTEN_MAX {
            assert_eq!(setup.file.record().unwrap(), None);
            watch.turn(&setup.kills);
        }
        assert_eq!(setup.restarted(), Some(KillCause::Persisted));
    }

    #[test]
    fn second_kill_leaves_the_first_cause() {
        let setup = setup();
        assert!(setup.file.write(KillCause::Signal, "").unwrap());
        assert!(!setup.file.write(KillCause::Operator, "too late").unwrap());
        let said = setup.file.read().unwrap().unwrap();
        assert!(said.contains("SIGUSR2") && !said.contains("late"), "{said}");
    }

    #[test]
    fn resume_ends_start_killed_although_no_file_was_there() {
        let setup = setup();
        setup.kills[0].engage(KillCause::StartKilled);
        let mut watch = setup.watch();
        watch.turn(&setup.kills);
        assert_eq!(setup.causes(), [Some(KillCause::StartKilled), None]);
        assert_eq!(setup.file.read().unwrap(), None);
        assert!(!setup.file.remove().unwrap());
        watch.turn(&setup.kills);
        assert_eq!(setup.causes(), [None; 2]);
    }

    #[test]
    fn breach_in_the_moment_of_a_resume_is_not_released_and_is_kept() {
        let setup = setup();
        setup.kills[0].engage(KillCause::StartKilled);
        let mut watch = setup.watch();
        setup.file.remove().unwrap();
        setup.kills[1].engage(KillCause::ExecutionsLost);
        watch.turn(&setup.kills);
        assert_eq!(setup.causes(), [Some(KillCause::ExecutionsLost); 2]);
        assert_eq!(setup.restarted(), Some(KillCause::Persisted));
    }

    #[test]
    fn kill_file_of_an_earlier_version_says_of_no_session() {
        let setup = setup();
        let text = "cause: the operator\nsince: 7 (seconds of 1970)\nwhy: lunch\n";
        fs::write(setup.file.kill(), text).unwrap();
        let expected = KillRecord {
            cause: "the operator".to_owned(),
            since_s: Some(7),
            why: "lunch".to_owned(),
            session: String::new(),
        };
        assert_eq!(setup.file.record().unwrap(), Some(expected));
    }

    #[test]
    fn kill_right_after_a_resume_is_the_last_word() {
        let setup = setup();
        setup.file.write(KillCause::Operator, "").unwrap();
        let mut watch = setup.watch();
        setup.file.remove().unwrap();
        setup.file.write(KillCause::Operator, "").unwrap();
        watch.turn(&setup.kills);
        assert_eq!(setup.causes(), [Some(KillCause::Persisted); 2]);
    }

    #[test]
    fn folder_that_vanishes_releases_nothing_and_is_an_error_at_the_start() {
        let setup = setup();
        setup.file.write(KillCause::Operator, "").unwrap();
        let mut watch = setup.watch();
        let moved = setup.file.folder.with_extension("moved");
        fs::rename(&setup.file.folder, &moved).unwrap();
        fs::write(&setup.file.folder, "no folder").unwrap();
        watch.turn(&setup.kills);
        assert_eq!(setup.causes(), [Some(KillCause::Persisted); 2]);
        assert!(watch.failure.is_some());
        assert!(KillFile::in_folder(&setup.file.folder).is_err());
        fs::remove_file(&setup.file.folder).unwrap();
        fs::rename(&moved, &setup.file.folder).unwrap();
    }

    #[test]
    fn files_left_are_only_those_that_say_something() {
        let setup = setup();
        setup.file.write(KillCause::Operator, "").unwrap();
        setup.file.write(KillCause::Operator, "").unwrap();
        setup.file.remove().unwrap();
        let names: Vec<_> = fs::read_dir(&setup.file.folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["resumed"]);
    }
}
