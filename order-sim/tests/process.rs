//! The exchange as a process: what only shows with files, sockets and a command line.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use protocol::ouch::{EnterOrder, Outbound};
use protocol::soup::{LoginRequest, Packet, kind};
use protocol::types::{Price4, Qty, Seq, Symbol, UserRefNum};
use zerocopy::IntoBytes;

/// Bytes that a file may have: an account's head and 20-odd answers.
const FILE_BYTES_MAX: u32 = 2048;

struct Exchange {
    process: Child,
    log: Box<dyn BufRead>,
    address: SocketAddr,
}

impl Exchange {
    fn start(folder: &Path, file_bytes_max: u32) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let text = format!(
            "address = \"{address}\"\nstore = \"{0}\"\ncontrol = \"{0}/control\"\n\
             [account.a]\npassword = \"p\"\n[account.b]\npassword = \"p\"\n",
            folder.display()
        );
        let file = folder.join("sim.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut process = Command::new("prlimit")
            .arg(format!("--fsize={file_bytes_max}:unlimited"))
            .arg(env!("CARGO_BIN_EXE_tickgate-sim"))
            .args(["run", "--config"])
            .arg(file)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Box::new(BufReader::new(process.stderr.take().unwrap()));
        let mut exchange = Self {
            process,
            log,
            address,
        };
        exchange.await_line("listening on");
        exchange
    }

    /// Reads the log up to a line with this in it.
    fn await_line(&mut self, text: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let len = self.log.read_line(&mut line).unwrap();
            assert!(len > 0, "the exchange ended before it said \"{text}\"");
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Client(TcpStream);

impl Client {
    /// Logs in; `None`: it was refused.
    fn log_in(exchange: &Exchange, name: &str, seq: u64) -> Option<Self> {
        let mut client = Self(TcpStream::connect(exchange.address).unwrap());
        let request = LoginRequest::new(name, "p", "", Seq(seq));
        client.say(kind::LOGIN_REQUEST, request.as_bytes());
        let (answer, _) = client.hear()?;
        match answer {
            kind::LOGIN_ACCEPTED => Some(client),
            kind::LOGIN_REJECTED => None,
            other => panic!("{other}"),
        }
    }

    fn say(&mut self, kind: u8, payload: &[u8]) {
        let packet = Packet { kind, payload };
        let mut out = vec![0; packet.len()];
        packet.encode(&mut out).unwrap();
        // A connection that was cut is seen when it is read.
        let _ = self.0.write_all(&out);
    }

    /// The next packet that is no heartbeat; `None`: the connection was cut.
    fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let mut len = [0; 2];
            self.0.read_exact(&mut len).ok()?;
            let mut packet = vec![0; usize::from(u16::from_be_bytes(len))];
            self.0.read_exact(&mut packet).ok()?;
            if packet[0] != kind::SERVER_HEARTBEAT {
                return Some((packet[0], packet.split_off(1)));
            }
        }
    }

    fn enter(&mut self, user_ref: u32, side: u8) {
        let message = EnterOrder {
            kind: b'O',
            user_ref: UserRefNum(user_ref).into(),
            side,
            qty: Qty(10).into(),
            symbol: Symbol(*b"ALC     "),
            price: Price4(10_000).into(),
            time_in_force: b'0',
            display: b'Y',
            capacity: b'P',
            iso: b'N',
            cross: b'N',
            client_order_id: [b'x'; 14],
        };
        let mut out = [0; 64];
        let len = message.encode(&[], &mut out).unwrap();
        self.say(kind::UNSEQUENCED, &out[..len]);
    }

    /// The letter of the next answer.
    fn answer(&mut self) -> Option<char> {
        let (kind, payload) = self.hear()?;
        assert_eq!(kind, b'S');
        assert!(Outbound::decode(&payload).is_ok());
        Some(char::from(payload[0]))
    }
}

/// Enters orders that rest until the account is cut off; how many were accepted.
fn fill_up(client: &mut Client) -> u32 {
    for user_ref in 1.. {
        client.enter(user_ref, b'B');
        match client.answer() {
            Some(answer) => assert_eq!(answer, 'A'),
            None => return user_ref - 1,
        }
        assert!(user_ref < 1000, "the file never was full");
    }
    0
}

#[test]
fn one_accounts_file_full_cuts_that_account_and_others_trade() {
    let folder = tempfile::tempdir().unwrap();
    let mut exchange = Exchange::start(folder.path(), FILE_BYTES_MAX);
    let mut b = Client::log_in(&exchange, "b", 1).unwrap();
    let mut a = Client::log_in(&exchange, "a", 1).unwrap();
    let accepted = fill_up(&mut a);
    assert!(accepted > 10, "{accepted}");
    exchange.await_line("account a: its answers cannot be kept: File too large");
    assert!(Client::log_in(&exchange, "a", 1).is_none(), "refused");
    // What the account had open is gone: nobody sells to it.
    b.enter(1, b'S');
    assert_eq!(b.answer(), Some('A'));
    b.enter(2, b'B');
    assert_eq!(
        [b.answer(), b.answer(), b.answer()],
        [Some('A'), Some('E'), Some('E')]
    );
    // Room again: all is told, one acceptance and one cancellation for each order.
    let lifted = Command::new("prlimit")
        .arg(format!("--pid={}", exchange.process.id()))
        .arg("--fsize=unlimited")
        .status();
    assert!(lifted.unwrap().success());
    exchange.await_line("account a: its answers are kept again");
    let mut a = Client::log_in(&exchange, "a", 1).unwrap();
    let mut answers = String::new();
    while answers.matches('C').count() <= accepted as usize {
        answers.push(a.answer().unwrap());
    }
    let expected = "A".repeat(accepted as usize + 1) + &"C".repeat(accepted as usize + 1);
    assert_eq!(answers, expected);
}

#[test]
fn damaged_file_keeps_the_exchange_from_starting_and_names_file_and_offset() {
    let folder = tempfile::tempdir().unwrap();
    let mut exchange = Exchange::start(folder.path(), 1 << 20);
    let mut a = Client::log_in(&exchange, "a", 1).unwrap();
    for user_ref in 1..10 {
        a.enter(user_ref, b'B');
        assert_eq!(a.answer(), Some('A'));
    }
    exchange.process.kill().unwrap();
    exchange.process.wait().unwrap();
    let stored = std::fs::read_dir(folder.path()).unwrap().flatten();
    let session = stored
        .map(|entry| entry.path())
        .find(|path| path.is_dir())
        .unwrap();
    let file = session.join("a.soup");
    let mut bytes = std::fs::read(&file).unwrap();
    let record = (bytes.len() - 10) / 9;
    bytes[10 + 4 * record + 20] ^= 0x18;
    std::fs::write(&file, &bytes).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tickgate-sim"))
        .args(["run", "--config"])
        .arg(folder.path().join("sim.toml"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "{}: damaged at offset {} (message 5); put a sound copy in its place, or move it away",
        file.display(),
        10 + 4 * record
    );
    assert!(text.contains(&expected), "{text}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "nothing is lost");
}

#[test]
fn account_that_was_never_told_anything_outlives_every_start() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut exchange = Exchange::start(folder.path(), 1 << 20);
        // By then its file has been written to, whoever asks.
        let client = Client::log_in(&exchange, "a", 1).unwrap();
        exchange.process.kill().unwrap();
        exchange.process.wait().unwrap();
        drop(client);
    }
    let mut exchange = Exchange::start(folder.path(), 1 << 20);
    for name in ["a", "b"] {
        let mut client = Client::log_in(&exchange, name, 1).unwrap();
        client.enter(1, b'B');
        assert_eq!(client.answer(), Some('A'));
    }
    exchange.process.kill().unwrap();
    exchange.process.wait().unwrap();
    let exchange = Exchange::start(folder.path(), 1 << 20);
    let mut client = Client::log_in(&exchange, "b", 1).unwrap();
    assert_eq!(client.answer(), Some('A'));
}

/// What `tickgate-sim status` prints.
fn status(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tickgate-sim"))
        .args(["status", "--config"])
        .arg(folder.join("sim.toml"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn status_tells_each_accounts_orders_and_positions() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start(folder.path(), 1 << 20);
    let mut a = Client::log_in(&exchange, "a", 1).unwrap();
    let mut b = Client::log_in(&exchange, "b", 1).unwrap();
    for user_ref in 1..=3 {
        a.enter(user_ref, b'B');
        assert_eq!(a.answer(), Some('A'));
    }
    b.enter(1, b'S');
    assert_eq!([b.answer(), b.answer()], [Some('A'), Some('E')]);
    assert_eq!(a.answer(), Some('E'));
    let all = status(folder.path(), &["--accounts", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    let (a, b) = (&all["accounts"][0], &all["accounts"][1]);
    assert_eq!((&a["account"], &a["orders_open"]), (&"a".into(), &2.into()));
    let order = serde_json::json!({
        "user_ref": 2, "symbol": "ALC", "side": "B", "price": "1.0000", "open": 10, "executed": 0,
    });
    assert_eq!(a["orders"][0], order);
    let position = serde_json::json!({"symbol": "ALC", "bought": 0, "sold": 10, "net": -10});
    assert_eq!(
        (&b["positions"][0], &b["orders_open"]),
        (&position, &0.into())
    );
    assert_eq!(
        (&b["shares_traded"], &a["shares_bought"]),
        (&10.into(), &10.into())
    );
    let rest = ["--accounts", "--account", "a", "--after", "2", "--json"];
    let rest: serde_json::Value = serde_json::from_str(&status(folder.path(), &rest)).unwrap();
    assert_eq!(
        rest["accounts"][0]["orders"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(rest["accounts"][0]["orders"][0]["user_ref"], 3);
    let text = status(folder.path(), &["--accounts"]);
    assert!(
        text.contains("account a") && text.contains("net -10"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 2 + 2 + 2, "{text}");
}

#[test]
fn message_of_a_wrong_length_is_a_line_of_the_log_with_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut exchange = Exchange::start(folder.path(), 1 << 20);
    let mut a = Client::log_in(&exchange, "a", 1).unwrap();
    // In one piece, so that both come at one time.
    a.0.write_all(b"\0\x06UX\0\0\0\x01\0\x02U!").unwrap();
    let line = exchange.await_line("ignored a message");
    let expected = "account a: ignored a message: type 'X' has 5 bytes, expected 9: 5800000001";
    assert!(line.contains(expected), "{line}");
    a.enter(1, b'B');
    assert_eq!(a.answer(), Some('A'), "the connection stands");
    let status = status(folder.path(), &["--json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["entry"]["undecodable"], 2);
    assert_eq!(status["server"]["nonsense_untold"], 1);
}
