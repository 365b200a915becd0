//! The socket: lets in, reads a line, writes the answer, closes.
//!
//! ```text
//!  connect ──may ask?──> Reading ──line──> console ──┬─────────────────> Writing ──> closed
//!                           └─ too long, cut off     └─> Waiting ──────────┘
//! ```
//!
//! Thread:      one of its own, which sleeps in `poll` for 100 ms at most
//! Invariants:  the file belongs to one living process: a lock beside it says so, and what answers at the path is
//!              left alone. Who may not ask is not read.
//! Time:        a request has [`READ_NS`], an answer [`WRITE_NS`]; then the connection is closed.
//! When full:   [`CONNECTIONS_MAX`] at one time; one more is answered with why, and closed.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rt::clock::{monotonic_ns, realtime_ns};

use super::answer::{Answer, Body, Reloaded};
use super::console::{Console, Reply, Wait};
use super::moment::Moment;
use super::peer::{Allowed, Peer};
use super::request::LINE_BYTES_MAX;
use super::steer::{failed, usage};
use crate::service::control::Control;

/// Connections at one time.
pub const CONNECTIONS_MAX: usize = 16;
/// The time for a request, from the connection on.
pub const READ_NS: u64 = 5_000_000_000;
/// The time for taking an answer.
pub const WRITE_NS: u64 = 10_000_000_000;
/// The longest sleep: how late a stop and a core that stands still are seen.
const TURN_MS: u16 = 100;
/// The sleep while an answer waits for order stages, which look every 10 ms.
const WAITING_MS: u16 = 5;
/// How long nobody is let in after the kernel refused a connection, for want of descriptors.
const REST_NS: u64 = 1_000_000_000;

/// Where the socket is, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlOptions {
    /// Its path.
    pub path: PathBuf,
    /// The rights of its file.
    pub mode: u32,
    /// Users who may ask beside the gateway's own and root.
    pub users: Vec<u32>,
}

/// A socket that listens, and that nobody serves yet.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    options: ControlOptions,
    /// The socket's own file: another one at its path is not ours to remove.
    place: Place,
    /// Held for as long as the socket is ours.
    _lock: File,
}

/// Which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
}

impl Door {
    /// Opens the socket; a file that a dead process left is replaced.
    ///
    /// # Errors
    /// A living process has it, something else lies there, or what the file system says.
    pub fn open(options: ControlOptions) -> Result<Self, String> {
        let path = options.path.clone();
        Self::open_at(options)
            .map_err(|error| format!("control.socket: {}: {error}", path.display()))
    }

    fn open_at(options: ControlOptions) -> Result<Self, String> {
        let path = &options.path;
        let told = |error: io::Error| error.to_string();
        let lock = lock_beside(path)?;
        if let Ok(found) = fs::symlink_metadata(path) {
            if !found.file_type().is_socket() {
                return Err("something else lies there, expected a socket or nothing".to_owned());
            }
            if UnixStream::connect(path).is_ok() {
                return Err("a living process answers there, expected another path".to_owned());
            }
            fs::remove_file(path).map_err(told)?;
        }
        let listener = UnixListener::bind(path).map_err(told)?;
        fs::set_permissions(path, Permissions::from_mode(options.mode)).map_err(told)?;
        listener.set_nonblocking(true).map_err(told)?;
        let place = place_of(path).map_err(told)?;
        Ok(Self {
            listener,
            options,
            place,
            _lock: lock,
        })
    }

    /// Serves it on a thread of its own, which ends with the [`Server`].
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn serve(self, control: Control) -> Result<Server, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (path, mode) = (self.options.path.display(), self.options.mode);
        log::info!("control socket {path}, mode {mode:04o}");
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || Serving::new(self, control).run(&stopped))
            .map_err(|error| format!("control socket: no thread: {error}"))?;
        Ok(Server {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if place_of(&self.options.path).is_ok_and(|place| place == self.place) {
            // What cannot be removed is replaced by the next start.
            let _ = fs::remove_file(&self.options.path);
        }
    }
}

/// The lock's file, beside the socket's.
fn lock_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Two processes that start at the same time would each take the other's fresh socket for a stale one.
fn lock_beside(path: &Path) -> Result<File, String> {
    let lock = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        // Who may open it could hold it.
        .mode(0o600)
        .open(lock_of(path));
    let lock = lock.map_err(|error| format!("its lock: {error}"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            Err("a living gateway has it, expected another path".to_owned())
        }
        Err(TryLockError::Error(error)) => Err(format!("its lock: {error}")),
    }
}

/// Whether a living process has the socket at this path, answering or not.
#[must_use]
pub fn is_served(path: &Path) -> bool {
    let lock = File::options().write(true).open(lock_of(path));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn place_of(path: &Path) -> io::Result<Place> {
    let found = fs::symlink_metadata(path)?;
    Ok(Place {
        device: found.dev(),
        inode: found.ino(),
    })
}

/// A socket that is served; it goes away with this.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            log::error!("the control socket's thread panicked");
        }
    }
}

/// The serving thread's own.
struct Serving {
    door: Door,
    console: Console,
    connections: Vec<Connection>,
    /// Nobody is let in until then.
    rest_until_ns: u64,
    /// What SIGHUP has asked for and order stages have yet to take.
    hung_up: Option<Wait>,
}

impl Serving {
    fn new(door: Door, control: Control) -> Self {
        let allowed = Allowed::with(&door.options.users);
        control.reload.listen();
        Self {
            console: Console::new(control, allowed, moment()),
            door,
            connections: Vec::new(),
            rest_until_ns: 0,
            hung_up: None,
        }
    }

    fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            self.sleep();
            self.turn(moment());
        }
    }

    fn turn(&mut self, now: Moment) {
        self.console.on_turn(now);
        self.look_for_hangup(now);
        let is_all_heard = self.let_in(now);
        let console = &mut self.console;
        self.connections
            .retain_mut(|connection| connection.turn(console, now));
        // A guard that waits at the door is not silent.
        if is_all_heard {
            self.console.look_at_guards(now);
        }
    }

    fn look_for_hangup(&mut self, now: Moment) {
        if self.console.is_hung_up() {
            self.hung_up = self.console.on_hangup(now);
        }
        let wait = self.hung_up.as_ref();
        let Some(answer) = wait.and_then(|wait| self.console.poll_wait(wait, now)) else {
            return;
        };
        self.hung_up = None;
        if let Body::Reloaded(Reloaded {
            is_taken: false, ..
        }) = answer.answer
        {
            log::error!("control: SIGHUP: a session has not taken it yet: its core does not turn");
        }
    }

    /// Until somebody comes, says something or takes something; or the turn is over.
    fn sleep(&self) {
        let listener = PollFd::new(self.door.listener.as_fd(), PollFlags::POLLIN);
        let is_resting = moment().now_ns < self.rest_until_ns;
        let mut waited: Vec<PollFd<'_>> = (!is_resting).then_some(listener).into_iter().collect();
        let mut turn_ms = TURN_MS;
        for connection in &self.connections {
            let events = match connection.phase {
                Phase::Reading => PollFlags::POLLIN,
                Phase::Writing { .. } => PollFlags::POLLOUT,
                Phase::Waiting(_) => {
                    turn_ms = WAITING_MS;
                    continue;
                }
            };
            waited.push(PollFd::new(connection.stream.as_fd(), events));
        }
        // EINTR: a turn comes early. Nothing else can be: the descriptors are ours and few.
        let _ = poll(&mut waited, PollTimeout::from(turn_ms));
    }

    /// Lets in who waits; `false`: more may wait.
    fn let_in(&mut self, now: Moment) -> bool {
        if now.now_ns < self.rest_until_ns {
            return false;
        }
        // As many as there may be at one time: others have their turn, too.
        for _ in 0..CONNECTIONS_MAX {
            let stream = match self.door.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // EMFILE, ENFILE, ENOMEM: the next would be refused as well.
                Err(error) => {
                    self.rest_until_ns = now.now_ns + REST_NS;
                    log::error!("control socket: nobody is let in for a second: {error}");
                    return false;
                }
            };
            self.console.counters().control_connections.increment();
            self.on_stream(stream, now);
        }
        false
    }

    fn on_stream(&mut self, stream: UnixStream, now: Moment) {
        // Errors of both: the other end has gone.
        let Ok(peer) = Peer::of(&stream) else { return };
        if stream.set_nonblocking(true).is_err() {
            return;
        }
        let mut connection = Connection {
            stream,
            peer,
            line: Vec::new(),
            until_ns: now.now_ns + READ_NS,
            phase: Phase::Reading,
        };
        if let Err(refused) = self.console.on_peer(peer, now) {
            connection.answer(&Answer::new(Body::Refused(refused)), now);
            // A short line, which a fresh socket has room for: nobody waits for who was refused.
            connection.write();
        } else if !connection.turn(&mut self.console, now) {
            // Who has asked already needs no place.
        } else if self.connections.len() < CONNECTIONS_MAX {
            self.connections.push(connection);
        } else {
            self.console.counters().control_turned_away.increment();
            let text = format!("{CONNECTIONS_MAX} connections are served, expected fewer");
            let refused = self.console.refuse(failed(text), peer, now);
            connection.answer(&refused, now);
            connection.write();
        }
    }
}

/// Somebody who is served.
struct Connection {
    stream: UnixStream,
    peer: Peer,
    line: Vec<u8>,
    /// When it is closed, whatever it does.
    until_ns: u64,
    phase: Phase,
}

/// How far it is.
enum Phase {
    /// Its line is not whole.
    Reading,
    /// What it asked for is under way.
    Waiting(Wait),
    /// It has not taken all of its answer.
    Writing { bytes: Vec<u8>, at: usize },
}

impl Connection {
    /// Goes on; `false`: it is over.
    fn turn(&mut self, console: &mut Console, now: Moment) -> bool {
        if matches!(self.phase, Phase::Reading) && !self.read(console, now) {
            return false;
        }
        if let Phase::Waiting(wait) = &self.phase
            && let Some(answer) = console.poll_wait(wait, now)
        {
            self.answer(&answer, now);
        }
        if matches!(self.phase, Phase::Writing { .. }) && !self.write() {
            return false;
        }
        // A wait has an end of its own.
        let is_late = now.now_ns >= self.until_ns && !matches!(self.phase, Phase::Waiting(_));
        if is_late {
            console.counters().control_timed_out.increment();
        }
        !is_late
    }

    /// Takes what is there; `false`: it is over.
    fn read(&mut self, console: &mut Console, now: Moment) -> bool {
        let mut bytes = [0; LINE_BYTES_MAX];
        // Each round has more of a line that has a bound, or ends it.
        while matches!(self.phase, Phase::Reading) {
            match self.stream.read(&mut bytes) {
                Ok(0) => {
                    if !self.line.is_empty() {
                        console.counters().control_cut_off.increment();
                    }
                    return false;
                }
                Ok(len) => {
                    self.line.extend(bytes.iter().take(len));
                    self.look_for_end(console, now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // ECONNRESET: it has gone.
                Err(_) => return false,
            }
        }
        true
    }

    fn look_for_end(&mut self, console: &mut Console, now: Moment) {
        let end = self.line.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) if end < LINE_BYTES_MAX => {
                self.line.truncate(end);
                match console.on_line(&self.line, self.peer, now) {
                    Reply::Now(answer) => self.answer(&answer, now),
                    Reply::Later(wait) => self.phase = Phase::Waiting(wait),
                }
            }
            None if self.line.len() < LINE_BYTES_MAX => {}
            _ => {
                console.counters().control_too_long.increment();
                let text = format!("a longer line than {LINE_BYTES_MAX} bytes, expected a request");
                let refused = console.refuse(usage(text), self.peer, now);
                self.answer(&refused, now);
            }
        }
    }

    fn answer(&mut self, answer: &Answer, now: Moment) {
        self.until_ns = now.now_ns + WRITE_NS;
        self.phase = Phase::Writing {
            bytes: answer.line().into_bytes(),
            at: 0,
        };
    }

    /// Gives as much as is taken; `false`: it is over.
    fn write(&mut self) -> bool {
        let Phase::Writing { bytes, at } = &mut self.phase else {
            return true;
        };
        // Each round brings the place on, or ends it.
        while let Some(rest) = bytes.get(*at..).filter(|rest| !rest.is_empty()) {
            match self.stream.write(rest) {
                Ok(len) if len > 0 => *at += len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // EPIPE, ECONNRESET: it needs no answer any more.
                _ => return false,
            }
        }
        false
    }
}

fn moment() -> Moment {
    Moment {
        now_ns: monotonic_ns(),
        wall_s: realtime_ns() / 1_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use super::*;
    use crate::control::client;
    use crate::control::request::Verb;
    use crate::service::control::ControlCounters;

    fn options(folder: &tempfile::TempDir) -> ControlOptions {
        ControlOptions {
            path: folder.path().join("control.sock"),
            mode: 0o600,
            users: Vec::new(),
        }
    }

    /// A served socket of a gateway of nothing, and what it counts.
    fn served(options: &ControlOptions) -> (Server, Arc<ControlCounters>) {
        let control = Control::default();
        let counters = Arc::clone(&control.counters);
        let door = Door::open(options.clone()).unwrap();
        (door.serve(control).unwrap(), counters)
    }

    fn is_answered(options: &ControlOptions) {
        let answer = client::ask(&options.path, Verb::Status).unwrap();
        let Body::Status(status) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(status.pid, std::process::id());
    }

    /// The line that comes back.
    fn answer_to(options: &ControlOptions, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&options.path).unwrap();
        // It may have been answered, and closed, before the last byte.
        let _ = stream.write_all(bytes);
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn socket_has_its_rights_answers_and_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let (server, counters) = served(&options);
        let mode = fs::metadata(&options.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        is_answered(&options);
        is_answered(&options);
        drop(server);
        assert!(!options.path.exists());
        let gone = client::ask(&options.path, Verb::Status).unwrap_err();
        assert!(gone.contains("expected a running gateway"), "{gone}");
        let counts = (
            counters.control_connections.get(),
            counters.control_requests.get(),
        );
        assert_eq!(counts, (2, 2));
    }

    #[test]
    fn stale_socket_is_replaced_and_a_living_or_another_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        // As a killed process leaves it.
        drop(UnixListener::bind(&options.path).unwrap());
        assert!(UnixStream::connect(&options.path).is_err());
        let (server, _) = served(&options);
        is_answered(&options);
        let refused = Door::open(options.clone()).unwrap_err();
        assert!(refused.contains("a living gateway has it"), "{refused}");
        is_answered(&options);
        drop(server);
        // Somebody else's, who knows no lock.
        let other = UnixListener::bind(&options.path).unwrap();
        let refused = Door::open(options.clone()).unwrap_err();
        assert!(
            refused.contains("a living process answers there"),
            "{refused}"
        );
        drop(other);
        fs::remove_file(&options.path).unwrap();
        fs::write(&options.path, "mine").unwrap();
        let refused = Door::open(options.clone()).unwrap_err();
        assert!(refused.contains("something else lies there"), "{refused}");
        assert_eq!(fs::read(&options.path).unwrap(), b"mine");
    }

    #[test]
    fn socket_that_took_its_place_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let (server, _) = served(&options);
        fs::remove_file(&options.path).unwrap();
        let _other = UnixListener::bind(&options.path).unwrap();
        drop(server);
        assert!(UnixStream::connect(&options.path).is_ok());
    }

    #[test]
    fn line_that_does_not_end_or_is_cut_off_is_refused_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let (_server, counters) = served(&options);
        let long = vec![b'x'; LINE_BYTES_MAX];
        let told = answer_to(&options, &long);
        assert!(told.contains("a longer line than 4096 bytes"), "{told}");
        let mut stream = UnixStream::connect(&options.path).unwrap();
        stream.write_all(b"{\"version\":1").unwrap();
        drop(stream);
        while counters.control_cut_off.get() == 0 {
            std::thread::yield_now();
        }
        // In two pieces.
        let mut stream = UnixStream::connect(&options.path).unwrap();
        stream.write_all(b"{\"version\":1,").unwrap();
        is_answered(&options);
        stream.write_all(b"\"verb\":\"limits\"}\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        assert_eq!(line, "{\"version\":1,\"answer\":{\"limits\":[]}}\n");
        assert_eq!(counters.control_too_long.get(), 1);
    }

    #[test]
    fn more_connections_than_are_served_are_turned_away_and_let_in_when_others_go() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let (_server, counters) = served(&options);
        let connect = |_| UnixStream::connect(&options.path).unwrap();
        let silent: Vec<UnixStream> = (0..CONNECTIONS_MAX).map(connect).collect();
        while counters.control_connections.get() < CONNECTIONS_MAX as u64 {
            std::thread::yield_now();
        }
        let told = answer_to(&options, b"");
        assert!(told.contains("16 connections are served"), "{told}");
        assert_eq!(counters.control_turned_away.get(), 1);
        drop(silent);
        // Those that have gone are seen with the next turn.
        while !matches!(
            client::ask(&options.path, Verb::Status),
            Ok(Body::Status(_))
        ) {
            std::thread::yield_now();
        }
    }

    /// A socket that the test serves itself, at times of its own; the time of the first turn.
    fn served_by_hand(options: &ControlOptions) -> (Serving, Moment) {
        let door = Door::open(options.clone()).unwrap();
        (Serving::new(door, Control::default()), moment())
    }

    fn after(moment: Moment, ns: u64) -> Moment {
        Moment {
            now_ns: moment.now_ns + ns,
            ..moment
        }
    }

    #[test]
    fn request_has_five_seconds_however_its_bytes_come() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let (mut serving, start) = served_by_hand(&options);
        let mut silent = UnixStream::connect(&options.path).unwrap();
        let mut slow = UnixStream::connect(&options.path).unwrap();
        serving.turn(start);
        for second in 1..5 {
            slow.write_all(b"{").unwrap();
            serving.turn(after(start, second * 1_000_000_000));
        }
        serving.turn(after(start, 4_999_999_999));
        let timed_out = |serving: &Serving| serving.console.counters().control_timed_out.get();
        assert_eq!((serving.connections.len(), timed_out(&serving)), (2, 0));
        slow.write_all(b"{").unwrap();
        serving.turn(after(start, 5_000_000_000));
        assert_eq!((serving.connections.len(), timed_out(&serving)), (0, 2));
        for stream in [&mut silent, &mut slow] {
            assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "closed, unanswered");
        }
    }

    #[test]
    fn answer_has_ten_seconds_however_slowly_it_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let (mut serving, start) = served_by_hand(&options);
        let mut slow = UnixStream::connect(&options.path).unwrap();
        serving.turn(start);
        // More than the kernel has room for, as of many orders; it is asked for when the time for a request is almost over.
        let asked = after(start, READ_NS - 1);
        let long = Answer::new(Body::Refused(failed("x".repeat(8 << 20))));
        serving.connections[0].answer(&long, asked);
        for second in 0..10 {
            serving.turn(after(asked, second * 1_000_000_000));
            let taken = slow.read(&mut [0; 4096]).unwrap();
            assert!(taken > 0);
        }
        serving.turn(after(asked, 9_999_999_999));
        let timed_out = |serving: &Serving| serving.console.counters().control_timed_out.get();
        assert_eq!((serving.connections.len(), timed_out(&serving)), (1, 0));
        serving.turn(after(asked, 10_000_000_000));
        assert_eq!((serving.connections.len(), timed_out(&serving)), (0, 1));
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).unwrap();
        assert!(rest.len() < 8 << 20 && !rest.ends_with(b"\n"));
    }

    /// Bytes in any number from several sides at once: none stops it from answering. `TICKGATE_RANDOM_S` gives it
    /// another length.
    #[test]
    fn random_bytes_are_refused_and_it_still_answers() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder);
        let (_server, counters) = served(&options);
        let seconds = std::env::var("TICKGATE_RANDOM_S").ok();
        let seconds: u64 = seconds.and_then(|it| it.parse().ok()).unwrap_or(1);
        let until_ns = monotonic_ns() + seconds * 1_000_000_000;
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let options = &options;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    while monotonic_ns() < until_ns {
                        let mut stream = UnixStream::connect(&options.path).unwrap();
                        let len = random.usize(0..2 * LINE_BYTES_MAX);
                        let mut bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
                        // As they are, as one whole line, as a line without an end.
                        let way = random.u8(0..3);
                        if way > 0 {
                            bytes.retain(|byte| *byte != b'\n');
                        }
                        if way == 1 {
                            bytes.truncate(LINE_BYTES_MAX - 1);
                            bytes.push(b'\n');
                        }
                        let _ = stream.write_all(&bytes);
                    }
                });
            }
            while monotonic_ns() < until_ns {
                is_answered(&options);
            }
        });
        is_answered(&options);
        let bad = [
            counters.control_malformed.get(),
            counters.control_too_long.get(),
        ];
        assert!(bad.iter().all(|count| *count > 20), "{bad:?}");
        assert!(counters.control_requests.get() > 2);
    }
}
