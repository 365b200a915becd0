//! The exchange behind its sockets: other people's clients, many of them, some of them bad.

#![allow(
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use feed_handler::book::{BookCounters, Books, Level, Limits};
use feed_handler::venue::Nasdaq;
use lab::process::{Process, sibling};
use protocol::glimpse::EndOfSnapshot;
use protocol::itch::Message;
use protocol::mold::Header;
use protocol::ouch::{Canceled, EnterOrder, OrderAccepted};
use protocol::soup::{LoginRequest, Packet, kind};
use protocol::types::{OrderRef, Price4, Qty, Seq, Side, Symbol, UserRefNum};
use rt::mem::Want;
use socket2::{Domain, Socket, Type};
use zerocopy::IntoBytes;

static NEVER: AtomicBool = AtomicBool::new(false);

/// An exchange on loopback, in a folder of its own.
struct Sim {
    folder: tempfile::TempDir,
    address: SocketAddr,
    process: Process,
}

/// A port that nobody has at the moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

impl Sim {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        Self::start_in(folder, address, more)
    }

    fn start_in(folder: tempfile::TempDir, address: SocketAddr, more: &str) -> Self {
        let config = folder.path().join("sim.toml");
        let report = folder.path().join("report.json");
        let text = format!(
            "address = \"{address}\"\nreport = \"{}\"\n{more}",
            report.display()
        );
        lab::exchange::write_secret(&config, &text).expect("written");
        let mut command = Command::new(sibling("tickgate-sim").expect("built"));
        command.args(["run", "--config"]).arg(&config);
        let mut process = Process::start("exchange", command).expect("it starts");
        process
            .await_line("listening on", Duration::from_secs(10), &NEVER)
            .expect("it listens");
        Self {
            folder,
            address,
            process,
        }
    }

    /// Ends it as an operator would; what it counted.
    fn stop(mut self) -> (serde_json::Value, tempfile::TempDir) {
        self.process.signal(libc::SIGTERM);
        let ended = self
            .process
            .wait(Duration::from_secs(10), &NEVER)
            .expect("it ends");
        assert!(ended, "{:?}", self.process.said);
        let text = std::fs::read_to_string(self.folder.path().join("report.json"));
        (
            serde_json::from_str(&text.expect("a report")).expect("JSON"),
            self.folder,
        )
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

#[test]
fn nasdaqs_own_client_trades_is_cut_off_and_resumes() {
    let Some(python) = support::python_with("nasdaq-protocols") else {
        return;
    };
    let sim = Sim::start(
        "session = \"PYTHON0001\"\n[[behaviour]]\nprefix = \"CUT\"\ndo = \"cut\"\n\
         [account.alice]\npassword = \"secret\"\n[account.bob]\npassword = \"secret\"\n",
    );
    let output = Command::new(python)
        .arg(script("nasdaq_client.py"))
        .arg(sim.address.port().to_string())
        .output()
        .expect("python runs");
    assert!(
        output.status.success(),
        "{}\n{:?}",
        support::stderr(&output),
        sim.process.said
    );
    eprint!("{}", String::from_utf8_lossy(&output.stdout));
    let (report, _) = sim.stop();
    assert_eq!(report["server"]["clients_taken_over"], 2);
}

/// A client of the simplest kind: blocking, and it asserts what it is told.
struct Client {
    stream: TcpStream,
    inbox: Vec<u8>,
    next_user_ref: u32,
}

impl Client {
    fn connect(address: SocketAddr, name: &str, seq: u64) -> Self {
        Self::log_in(TcpStream::connect(address).expect("it listens"), name, seq)
    }

    fn log_in(mut stream: TcpStream, name: &str, seq: u64) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("set");
        let login = LoginRequest::new(name, "p", "", Seq(seq));
        stream
            .write_all(&packet(kind::LOGIN_REQUEST, login.as_bytes()))
            .expect("sent");
        Self {
            stream,
            inbox: Vec::new(),
            next_user_ref: 1,
        }
    }

    /// The next packet that is no heartbeat; `None`: the connection is over.
    fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Ok(Some((packet, rest))) = Packet::decode(&self.inbox) {
                let heard = (packet.kind, packet.payload.to_vec());
                self.inbox = rest.to_vec();
                if heard.0 == kind::SERVER_HEARTBEAT {
                    continue;
                }
                return Some(heard);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(len) if len > 0 => self.inbox.extend_from_slice(&buffer[..len]),
                _ => return None,
            }
        }
    }

    /// The bytes of one more order.
    fn order(&mut self, symbol: &str) -> Vec<u8> {
        let m = EnterOrder {
            kind: EnterOrder::KIND,
            user_ref: UserRefNum(self.next_user_ref).into(),
            side: b'B',
            qty: Qty(100).into(),
            symbol: Symbol::new(symbol).expect("a symbol"),
            price: Price4(10_000).into(),
            time_in_force: b'3',
            display: b'Y',
            capacity: b'P',
            iso: b'N',
            cross: b'N',
            client_order_id: [b' '; 14],
        };
        self.next_user_ref += 1;
        let mut out = [0; 64];
        let len = m.encode(&[], &mut out).expect("it fits");
        packet(kind::UNSEQUENCED, &out[..len])
    }

    fn enter(&mut self, symbol: &str) -> std::io::Result<()> {
        let order = self.order(symbol);
        self.stream.write_all(&order)
    }
}

fn packet(kind: u8, payload: &[u8]) -> Vec<u8> {
    let packet = Packet { kind, payload };
    let mut out = vec![0; packet.len()];
    packet.encode(&mut out).expect("it fits");
    out
}

fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("a line");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("a number")
        * 1024
}

/// Asks and is answered, until told to stop; how often.
fn honest(address: SocketAddr, name: &str, is_over: &AtomicBool) -> u32 {
    let mut client = Client::connect(address, name, 1);
    assert_eq!(
        client.hear().expect("alive").0,
        kind::LOGIN_ACCEPTED,
        "{name}"
    );
    let mut orders = 0;
    while !is_over.load(Ordering::Relaxed) {
        client.enter("HONEST").expect("alive");
        for expected in [OrderAccepted::KIND, Canceled::KIND] {
            let (kind, payload) = client.hear().expect("an honest client is not cut off");
            assert_eq!((kind, payload[0]), (kind::SEQUENCED, expected), "{name}");
        }
        orders += 1;
        std::thread::park_timeout(Duration::from_millis(20));
    }
    orders
}

/// Sends orders and never reads an answer. Whether it was cut off.
fn deaf(address: SocketAddr, name: &str, is_over: &AtomicBool) -> bool {
    // The kernel must not read for it.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    socket.connect(&address.into()).expect("it listens");
    let mut client = Client::log_in(socket.into(), name, 1);
    let wait = Some(Duration::from_millis(200));
    client.stream.set_write_timeout(wait).expect("set");
    while !is_over.load(Ordering::Relaxed) {
        let orders: Vec<u8> = (0..200).flat_map(|_| client.order("DEAF")).collect();
        match client.stream.write_all(&orders) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
    false
}

/// Random bytes, some behind a good login, to a TCP port.
fn babble(address: SocketAddr, seed: u64, is_over: &AtomicBool) -> u32 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut connections = 0;
    while !is_over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else {
            continue;
        };
        connections += 1;
        if random.bool() {
            let login = LoginRequest::new("junk", "p", "", Seq(random.u64(0..5)));
            let _ = stream.write_all(&packet(kind::LOGIN_REQUEST, login.as_bytes()));
        }
        for _ in 0..random.usize(1..20) {
            let mut bytes: Vec<u8> = (0..random.usize(1..300)).map(|_| random.u8(..)).collect();
            // Half of it looks like an order.
            if random.bool() {
                bytes[0] = *b"OUXMCDEQ".get(random.usize(0..8)).expect("in range");
                bytes = packet(kind::UNSEQUENCED, &bytes);
            }
            if stream.write_all(&bytes).is_err() {
                break;
            }
        }
    }
    connections
}

/// How long the crowd stays. A minute is for those who wait for it:
/// `TICKGATE_SOAK_S=60`.
fn soak() -> Duration {
    let seconds = std::env::var("TICKGATE_SOAK_S")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(6))
}

#[test]
fn two_hundred_clients_some_deaf_or_malformed_do_not_disturb_the_others() {
    let (glimpse, rerequest, line) = (free_port(), free_port(), free_port());
    let (honest_count, deaf_count, idle_count, mad_count) = (40, 20, 120, 20);
    let mut config = format!(
        "store_max = 50000\nunread_bytes_max = 1000000\nconnections_max = 240\n\
         [flow]\nrate = 2000\nsymbols = 10\n[[symbol]]\nname = \"HONEST\"\nprice = \"10\"\n\
         [[symbol]]\nname = \"DEAF\"\nprice = \"10\"\n\
         [feed]\nlines = [{{ address = \"127.0.0.1:{line}\" }}]\nglimpse = \"127.0.0.1:{glimpse}\"\n\
         rerequest = \"127.0.0.1:{rerequest}\"\n[account.junk]\npassword = \"p\"\n"
    );
    for at in 0..honest_count + deaf_count + idle_count {
        let _ = write!(config, "[account.c{at}]\npassword = \"p\"\n");
    }
    // Buys at 1.00 where the book is far above: nothing of theirs trades.
    let sim = Sim::start(&config);
    let (address, pid) = (sim.address, sim.process.pid());
    let glimpse = SocketAddr::from(([127, 0, 0, 1], glimpse));
    let is_over = AtomicBool::new(false);
    let (mut most, mut before) = (0, 0);
    let (orders, cut, babbled) = std::thread::scope(|scope| {
        let is_over = &is_over;
        let idle: Vec<_> = (0..idle_count)
            .map(|at| Client::connect(address, &format!("c{}", honest_count + deaf_count + at), 1))
            .collect();
        let honest: Vec<_> = (0..honest_count)
            .map(|at| scope.spawn(move || honest(address, &format!("c{at}"), is_over)))
            .collect();
        let deaf: Vec<_> = (honest_count..honest_count + deaf_count)
            .map(|at| scope.spawn(move || deaf(address, &format!("c{at}"), is_over)))
            .collect();
        let mad: Vec<_> = (0..mad_count)
            .map(|at| {
                let address = if at % 2 == 0 { address } else { glimpse };
                scope.spawn(move || babble(address, at, is_over))
            })
            .collect();
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let mut random = fastrand::Rng::with_seed(1);
        let until = rt::clock::monotonic_ns() + u64::try_from(soak().as_nanos()).expect("fits");
        // On a machine that others keep busy, a deaf one takes its time until it is far enough behind.
        let at_last = until + 60_000_000_000;
        let are_cut = || deaf.iter().all(|thread| thread.is_finished());
        while rt::clock::monotonic_ns() < if are_cut() { until } else { at_last } {
            let bytes: Vec<u8> = (0..random.usize(0..60)).map(|_| random.u8(..)).collect();
            let _ = socket.send_to(&bytes, ("127.0.0.1", rerequest));
            std::thread::park_timeout(Duration::from_millis(1));
            let now = resident_bytes(pid);
            most = most.max(now);
            if before == 0 {
                before = now;
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let orders: Vec<u32> = honest
            .into_iter()
            .map(|thread| thread.join().expect("honest"))
            .collect();
        let cut = deaf.into_iter().map(|thread| thread.join().expect("deaf"));
        let cut = cut.filter(|cut| *cut).count();
        let babbled: u32 = mad
            .into_iter()
            .map(|thread| thread.join().expect("mad"))
            .sum();
        assert_eq!(idle.len(), idle_count);
        (orders, cut, babbled)
    });
    let (report, _folder) = sim.stop();
    let least = orders.iter().min().expect("some");
    eprintln!(
        "honest clients: {} orders answered, at least {least} each; {cut} of {deaf_count} deaf ones cut; \
         {babbled} mad connections; resident memory {} MB, at most {} MB; {}",
        orders.iter().sum::<u32>(),
        before >> 20,
        most >> 20,
        report["server"]
    );
    assert!(*least > 0);
    assert_eq!(cut, deaf_count, "who does not read is cut off");
    assert!(babbled > 100);
    // docs/exchange.md: messages of about 80 bytes, twice for growing; the kept feed; for each connection
    // what it reads and writes at once; the book and the program.
    let stores = 180 * 50_000 * 80 * 2;
    let bound = stores + (1 << 20) * 51 + 240 * (200 << 10) + (100 << 20);
    assert!(most < bound, "{most} bytes resident, bound {bound}");
    assert!(
        report["feed"]["rerequests_refused"]
            .as_u64()
            .expect("counted")
            > 100
    );
    assert!(report["entry"]["undecodable"].as_u64().expect("counted") > 100);
}

#[test]
fn one_connection_too_many_is_turned_away_and_let_in_when_another_has_gone() {
    let accounts = ["one", "two", "three"].map(|it| format!("[account.{it}]\npassword = \"p\"\n"));
    let sim = Sim::start(&format!("connections_max = 2\n{}", accounts.concat()));
    let log_in = |name: &str| {
        let mut client = Client::connect(sim.address, name, 1);
        let heard = client.hear().map(|(kind, _)| kind);
        (heard == Some(kind::LOGIN_ACCEPTED)).then_some(client)
    };
    let mut first = log_in("one").expect("there is room");
    let mut second = log_in("two").expect("there is room");
    for _ in 0..5 {
        assert!(log_in("three").is_none(), "one too many");
    }
    for client in [&mut first, &mut second] {
        client.enter("ALC").expect("it is served");
        assert!(client.hear().is_some(), "it is served");
    }
    drop(first);
    // Once it is seen to have gone.
    let mut tries = (0..100_000).filter_map(|_| log_in("three"));
    let mut third = tries.next().expect("there is room");
    third.enter("ALC").expect("it is served");
    assert!(third.hear().is_some(), "it is served");
    let (report, _) = sim.stop();
    assert!(
        report["server"]["connections_refused"].as_u64() >= Some(5),
        "{report}"
    );
    assert_eq!(report["server"]["connections"], 3, "{report}");
}

#[test]
fn a_snapshot_and_the_feed_from_its_number_are_the_whole_book_over_sockets() {
    let (glimpse, rerequest) = (free_port(), free_port());
    let line = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    line.set_read_timeout(Some(Duration::from_secs(10)))
        .expect("set");
    let port = line.local_addr().expect("an address").port();
    let sim = Sim::start(&format!(
        "[flow]\nrate = 20000\nsymbols = 20\nlimit = 60000\n[clock]\nwait_for_login_ms = 50\n\
         [feed]\nsession = \"FEED01\"\nwindow_us = 200\nlines = [{{ address = \"127.0.0.1:{port}\" }}]\n\
         glimpse = \"127.0.0.1:{glimpse}\"\nrerequest = \"127.0.0.1:{rerequest}\"\n\
         [account.c]\npassword = \"p\"\n"
    ));
    let address = sim.address;
    let glimpse = SocketAddr::from(([127, 0, 0, 1], glimpse));
    let mut begin = Client::connect(address, "c", 1);
    assert_eq!(begin.hear().expect("alive").0, kind::LOGIN_ACCEPTED);
    // Snapshots are taken while the feed runs at full rate.
    let taker = std::thread::spawn(move || {
        let mut snapshots = Vec::new();
        for _ in 0..10 {
            std::thread::park_timeout(Duration::from_millis(150));
            let mut client = Client::connect(glimpse, "c", 1);
            assert_eq!(client.hear().expect("alive").0, kind::LOGIN_ACCEPTED);
            let mut messages = Vec::new();
            loop {
                let (kind, payload) = client.hear().expect("the whole snapshot");
                assert_eq!(kind, kind::SEQUENCED);
                if let Ok(mark) = EndOfSnapshot::decode(&payload) {
                    snapshots.push((mark.number().expect("a number").0, messages));
                    break;
                }
                messages.push(payload);
            }
        }
        snapshots
    });
    let mut day: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut buffer = vec![0; 65_536];
    let mut taker = Some(taker);
    // A heartbeat tells that the flow has ended.
    let snapshots = loop {
        let len = line.recv(&mut buffer).expect("the feed goes on");
        let packet = protocol::mold::Packet::decode(&buffer[..len]).expect("MoldUDP64");
        for (at, message) in (packet.seq().0..).zip(packet.blocks()) {
            day.insert(at, message.to_vec());
        }
        let is_quiet = packet.kind() == protocol::mold::Kind::Heartbeat && packet.seq().0 > 1000;
        if is_quiet && let Some(taker) = taker.take() {
            break taker.join().expect("taken");
        }
    };
    // What a receive buffer lost is asked for again.
    let last = *day.keys().next_back().expect("some");
    let asker = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    asker
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("set");
    let mut asked = 0;
    let missing: Vec<u64> = (1..=last)
        .filter(|seq| !day.contains_key(seq))
        .chain([1])
        .collect();
    for seq in missing {
        let request = Header {
            session: *b"FEED01    ",
            seq: Seq(seq).into(),
            count: 1.into(),
        };
        asker
            .send_to(request.as_bytes(), ("127.0.0.1", rerequest))
            .expect("sent");
        let len = asker.recv(&mut buffer).expect("answered");
        let packet = protocol::mold::Packet::decode(&buffer[..len]).expect("MoldUDP64");
        assert_eq!(packet.seq().0, seq);
        day.insert(seq, packet.blocks().next().expect("one").to_vec());
        asked += 1;
    }
    let whole = books(day.values());
    assert_eq!(snapshots.len(), 10);
    for (from, messages) in &snapshots {
        let later = day.range(*from..).map(|(_, message)| message);
        assert!(
            books(messages.iter().chain(later)) == whole,
            "snapshot of {from}"
        );
    }
    eprintln!(
        "{last} messages, {asked} asked for again, snapshots before {:?} agree",
        snapshots.iter().map(|(from, _)| *from).collect::<Vec<_>>()
    );
    sim.stop();
}

/// What a reader of these messages believes: each symbol's sides with their queues.
fn books<'a>(
    messages: impl Iterator<Item = &'a Vec<u8>>,
) -> Vec<Vec<(Level, Vec<(OrderRef, u32)>)>> {
    let limits = Limits {
        orders_max: 1 << 16,
        levels_max: 1 << 15,
    };
    let mut books = Books::new(&limits, Want::LAZY).expect("memory");
    let counters = BookCounters::default();
    for message in messages {
        let message = Message::decode(message).expect("ITCH");
        books.apply(&Nasdaq::read(&message), &counters, &mut ());
    }
    assert_eq!(
        (counters.missing_ref.get(), counters.duplicate_ref.get()),
        (0, 0)
    );
    (1..=20)
        .flat_map(|locate| [Side::Buy, Side::Sell].map(|side| books.levels(locate, side).collect()))
        .collect()
}

#[test]
fn a_killed_exchange_comes_back_with_its_store_and_without_it() {
    let config = |folder: &Path| {
        format!(
            "store = \"{}\"\n[account.c]\npassword = \"p\"\n",
            folder.join("store").display()
        )
    };
    let folder = tempfile::tempdir().expect("a folder");
    let text = config(folder.path());
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut sim = Sim::start_in(folder, address, &text);
    let mut client = Client::connect(address, "c", 1);
    client.hear().expect("accepted");
    for _ in 0..3 {
        client.enter("ALC").expect("alive");
    }
    let told: Vec<_> = (0..6).map(|_| client.hear().expect("told")).collect();
    sim.process.signal(libc::SIGKILL);
    let _ = sim.process.wait(Duration::from_secs(5), &NEVER);
    assert_eq!(client.hear(), None);
    let sim = Sim::start_in(sim.folder, address, &text);
    let mut client = Client::connect(address, "c", 1);
    let (kind, payload) = client.hear().expect("accepted");
    assert_eq!(
        (kind, &payload[10..]),
        (kind::LOGIN_ACCEPTED, &b"                   1"[..])
    );
    let again: Vec<_> = (0..6).map(|_| client.hear().expect("told")).collect();
    assert_eq!(again, told, "the same bytes");
    client.next_user_ref = 4;
    client.enter("ALC").expect("alive");
    assert_eq!(client.hear().expect("told").1[0], OrderAccepted::KIND);
    let (_, folder) = sim.stop();
    // Without its store it knows nothing: the client that asks for number 8 is told that 1 comes next.
    std::fs::remove_dir_all(folder.path().join("store")).expect("removed");
    let sim = Sim::start_in(folder, address, &text);
    let mut client = Client::connect(address, "c", 8);
    let (_, payload) = client.hear().expect("accepted");
    assert_eq!(&payload[10..], b"                   1");
    sim.stop();
}

#[test]
fn connections_suffer_what_the_script_says_and_come_back() {
    let fault = |account: &str, act: &str, from: f64, length: f64, more: &str| {
        format!(
            "[[fault]]\nat_s = {from}\nfor_s = {length}\non = \"account\"\naccount = \"{account}\"\n\
             do = \"{act}\"\n{more}\n"
        )
    };
    let mut text = [
        fault("byte", "bytewise", 0.0, 60.0, ""),
        fault("mute", "stall", 0.0, 1.0, ""),
        fault("dead", "half_open", 0.0, 1.0, ""),
        fault("gone", "cut", 0.5, 0.5, ""),
        fault("storm", "reject", 0.0, 60.0, "value = 0x21"),
    ]
    .concat();
    for name in ["byte", "mute", "dead", "gone", "storm"] {
        let _ = write!(text, "[account.{name}]\npassword = \"p\"\n");
    }
    let sim = Sim::start(&text);
    let begun_ns = rt::clock::monotonic_ns();
    let answers = |name: &str| {
        let mut client = Client::connect(sim.address, name, 1);
        client.hear().expect("accepted");
        client.enter("ALC").expect("alive");
        let kinds: Vec<u8> = (0..2).filter_map(|_| Some(client.hear()?.1[0])).collect();
        (kinds, client)
    };
    let traded = vec![OrderAccepted::KIND, Canceled::KIND];
    assert_eq!(answers("byte").0, traded);
    let mut gone = Client::connect(sim.address, "gone", 1);
    assert_eq!(gone.hear().expect("accepted").0, kind::LOGIN_ACCEPTED);
    assert_eq!(gone.hear(), None, "cut off");
    for name in ["mute", "dead"] {
        assert_eq!(answers(name).0, traded, "{name}: late, and all of it");
    }
    let passed = rt::clock::monotonic_ns() - begun_ns;
    assert!(
        passed > 800_000_000,
        "answers came after {passed} ns: nobody was mute"
    );
    let mut storm = Client::connect(sim.address, "storm", 1);
    storm.hear().expect("accepted");
    storm.enter("ALC").expect("alive");
    let (_, rejected) = storm.hear().expect("told");
    assert_eq!((rejected[0], &rejected[13..15]), (b'J', &[0, 0x21][..]));
    // The cut is over.
    while rt::clock::monotonic_ns() - begun_ns < 1_300_000_000 {
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!(answers("gone").0, traded);
    let (report, _) = sim.stop();
    assert_eq!(report["faults"][0]["orders_rejected"], 1);
}

#[test]
fn an_operator_asks_halts_and_breaks_trades_while_it_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let control = folder.path().join("control");
    let text = format!(
        "control = \"{}\"\n[[symbol]]\nname = \"ALC\"\nprice = \"1.00\"\n[account.c]\npassword = \"p\"\n",
        control.display()
    );
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let sim = Sim::start_in(folder, address, &text);
    let config = sim.folder.path().join("sim.toml").display().to_string();
    let ask = |arguments: &[&str]| {
        let all = [&[arguments[0], "--config", &config], &arguments[1..]].concat();
        let output = support::tool("tickgate-sim", &all);
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    let mut client = Client::connect(address, "c", 1);
    client.hear().expect("accepted");
    assert_eq!(ask(&["ctl", "halt", "ALC"]).0, Some(0));
    client.enter("ALC").expect("alive");
    assert_eq!(client.hear().expect("told").1[0], b'J', "halted");
    assert_eq!(ask(&["ctl", "resume", "ALC"]).0, Some(0));
    client.enter("ALC").expect("alive");
    assert_eq!(client.hear().expect("told").1[0], OrderAccepted::KIND);
    for wrong in [
        &["ctl", "halt", "NOBODY"][..],
        &["ctl", "bust", "7"],
        &["ctl", "dance"],
    ] {
        assert_eq!(ask(wrong).0, Some(1), "{wrong:?}");
    }
    let (code, status) = ask(&["status"]);
    assert!(
        code == Some(0) && status.contains("accounts_live"),
        "{status}"
    );
    let (_, json) = ask(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["entry"]["rejected"], &json["accounts_live"]),
        (&1.into(), &1.into())
    );
    let fault = "on = \"account\"; do = \"cut\"; at_s = 0; for_s = 60";
    assert_eq!(ask(&["ctl", "fault", fault]).0, Some(0));
    while client.hear().is_some() {}
    // A file that others may read is refused: it holds passwords.
    std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .expect("set");
    assert_eq!(ask(&["status"]).0, Some(2));
    sim.stop();
    assert!(!control.exists());
}

/// Work for every CPU while it lives.
struct Load(std::sync::Arc<AtomicBool>);

impl Load {
    fn start(threads: usize) -> Self {
        let is_over = std::sync::Arc::new(AtomicBool::new(false));
        for _ in 0..threads {
            let is_over = std::sync::Arc::clone(&is_over);
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(is_over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A socket for one line, with room for everything.
fn line() -> (UdpSocket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a socket");
    // Less than asked for is what the host allows.
    let _ = socket.set_recv_buffer_size(64 << 20);
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("bound");
    let socket = UdpSocket::from(socket);
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    let port = socket.local_addr().expect("an address").port();
    (socket, port)
}

/// Everything that has arrived until a packet that says that nothing more comes.
fn drain(line: &UdpSocket, is_last: impl Fn(&protocol::mold::Packet<'_>) -> bool) -> Vec<Vec<u8>> {
    let (mut packets, mut buffer) = (Vec::new(), vec![0; 65_536]);
    loop {
        let len = line.recv(&mut buffer).expect("the feed goes on");
        packets.push(buffer[..len].to_vec());
        if is_last(&protocol::mold::Packet::decode(&buffer[..len]).expect("MoldUDP64")) {
            return packets;
        }
    }
}

/// A day whose clock moves by a client's messages; every byte of both lines, of the client's connection and
/// of a snapshot.
fn stepped_day(load: usize) -> (Vec<Vec<Vec<u8>>>, Vec<u8>, Vec<u8>) {
    let _load = Load::start(load);
    let ((a, a_port), (b, b_port), glimpse) = (line(), line(), free_port());
    let sim = Sim::start(&format!(
        "[clock]\nmode = \"steps\"\nstart = \"10:00:00\"\nstep_us = 2000\n[flow]\nrate = 5000\nsymbols = 5\n\
         seed = 9\n[[symbol]]\nname = \"ALC\"\nprice = \"1.00\"\n\
         [feed]\nglimpse = \"127.0.0.1:{glimpse}\"\nwindow_us = 50\nlines = [{{ address = \"127.0.0.1:{a_port}\" }}, \
         {{ address = \"127.0.0.1:{b_port}\", delay_us = 700 }}]\n[account.c]\npassword = \"p\"\n"
    ));
    let mut client = Client::connect(sim.address, "c", 1);
    let mut told = Vec::new();
    told.extend(client.hear().expect("accepted").1);
    for _ in 0..300 {
        client.enter("ALC").expect("alive");
        for _ in 0..2 {
            told.extend(client.hear().expect("told").1);
        }
    }
    let mut reader = Client::connect(SocketAddr::from(([127, 0, 0, 1], glimpse)), "c", 1);
    let mut snapshot = Vec::new();
    while let Some((_, payload)) = reader.hear() {
        let is_last = EndOfSnapshot::decode(&payload).is_ok();
        snapshot.extend(payload);
        if is_last {
            break;
        }
    }
    sim.stop();
    let is_end =
        |packet: &protocol::mold::Packet<'_>| packet.kind() == protocol::mold::Kind::EndOfSession;
    (vec![drain(&a, is_end), drain(&b, is_end)], told, snapshot)
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_every_socket_also_on_a_loaded_machine() {
    let (idle, loaded) = (stepped_day(0), stepped_day(6));
    let packets: usize = idle.0.iter().map(Vec::len).sum();
    assert!(
        packets > 1000 && idle.1.len() > 300 * 80 && idle.2.len() > 5000,
        "{packets} packets"
    );
    assert!(idle.0 == loaded.0, "the lines differ");
    assert!(idle.1 == loaded.1, "the answers differ");
    assert!(idle.2 == loaded.2, "the snapshots differ");
    eprintln!(
        "{packets} packets, {} bytes of answers, {} bytes of snapshot: the same twice",
        idle.1.len(),
        idle.2.len()
    );
}

/// The market's own flow by the host's clock: what is on the line until it ends.
fn wall_day(load: usize) -> Vec<Vec<u8>> {
    let _load = Load::start(load);
    let (line, port) = line();
    let sim = Sim::start(&format!(
        "[clock]\nstart = \"10:00:00\"\nwait_for_login_ms = 20\n[flow]\nrate = 10000\nsymbols = 20\nlimit = 10000\n\
         [feed]\nwindow_us = 30\nlines = [{{ address = \"127.0.0.1:{port}\" }}]\n[account.c]\npassword = \"p\"\n"
    ));
    let _client = Client::connect(sim.address, "c", 1);
    // The first heartbeat comes a second after the flow has ended.
    let packets = drain(&line, |packet| {
        packet.kind() == protocol::mold::Kind::Heartbeat
    });
    sim.stop();
    packets
}

#[test]
fn the_flow_is_the_same_by_the_hosts_clock_however_loaded_the_machine_is() {
    let (idle, loaded) = (wall_day(0), wall_day(6));
    assert!(idle.len() > 1000, "{} packets", idle.len());
    assert!(idle == loaded);
}
