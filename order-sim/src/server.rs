//! The order entry server on tokio-uring.
//!
//! Two tasks for each client: one reads and answers, one writes what is to be sent and heartbeats. All
//! tasks run on one thread, so the exchange has one owner and no lock.
//!
//! When full:   a connection beyond the limit is closed at once; a client that does not read is cut
//!              off when this much waits for it.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rt::clock::{Clock, realtime_ns};
use rt::wire_stamps::WireStamps;
use tokio::sync::Notify;
use tokio_uring::net::{TcpListener, TcpStream};

use crate::exchange::{Exchange, origin_seq};
use crate::options::Options;
use crate::session::{Close, Heard, Session};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of stored messages that are put behind one another into one write.
const WRITE_BYTES: usize = 64 * 1024;
/// How often time is looked at.
const TICK: Duration = Duration::from_millis(100);
const DAY_NS: u64 = 86_400_000_000_000;

/// What all connections share.
struct Shared {
    options: Options,
    exchange: RefCell<Exchange>,
    clock: RefCell<Clock>,
    stamps: Option<WireStamps>,
    connections: Cell<usize>,
    /// Accounts with a live connection; a second login takes the account over, and the first is cut.
    live: RefCell<Vec<(String, Rc<Client>)>>,
}

/// One client.
struct Client {
    stream: TcpStream,
    session: RefCell<Session>,
    /// Login answers and heartbeats to be written.
    out: RefCell<Vec<u8>>,
    wake: Notify,
    is_over: Cell<bool>,
}

/// Serves until `stop` is set. `on_ready` is called with the socket open.
///
/// # Errors
/// The address is taken or not ours, the stamps file is not there: one line.
pub fn run(
    options: Options,
    stop: &Arc<AtomicBool>,
    on_ready: impl FnOnce(),
) -> Result<(), String> {
    if let Some(cpu) = options.cpu {
        rt::cpu::pin(cpu).map_err(|error| format!("cpu {cpu}: {error}"))?;
    }
    let stamps = match &options.wire_stamps {
        Some(path) => {
            Some(WireStamps::open(path).map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    let exchange = RefCell::new(Exchange::new(&options));
    let address = options.address;
    let shared = Rc::new(Shared {
        options,
        exchange,
        clock: RefCell::new(Clock::new()),
        stamps,
        connections: Cell::new(0),
        live: RefCell::default(),
    });
    tokio_uring::start(async move {
        let listener = TcpListener::bind(address)
            .map_err(|error| format!("listening on {address}: {error}"))?;
        on_ready();
        tokio_uring::spawn(accept(listener, Rc::clone(&shared)));
        while !stop.load(Ordering::SeqCst) {
            tokio::time::sleep(TICK).await;
            shared.clock.borrow_mut().discipline();
        }
        Ok(())
    })
}

async fn accept(listener: TcpListener, shared: Rc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if shared.connections.get() >= shared.options.connections_max {
                    log::warn!("{peer}: refused, {} connections", shared.connections.get());
                    continue;
                }
                log::info!("{peer}: connected");
                // Small answers must not wait for one another; a failure costs speed only.
                let _ = stream.set_nodelay(true);
                tokio_uring::spawn(serve(stream, Rc::clone(&shared)));
            }
            Err(error) => {
                log::warn!("accept: {error}");
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Rc<Shared>) {
    shared.connections.set(shared.connections.get() + 1);
    let client = Rc::new(Client {
        stream,
        session: RefCell::new(Session::new(shared.now_ns())),
        out: RefCell::default(),
        wake: Notify::new(),
        is_over: Cell::new(false),
    });
    let writer = tokio_uring::spawn(write(Rc::clone(&client), Rc::clone(&shared)));
    read(&client, &shared).await;
    client.end();
    let _ = writer.await;
    let _ = client.stream.shutdown(std::net::Shutdown::Both);
    shared.forget(&client);
    shared.connections.set(shared.connections.get() - 1);
}

async fn read(client: &Rc<Client>, shared: &Rc<Shared>) {
    let mut buffer = vec![0; READ_BYTES];
    while !client.is_over.get() {
        let (result, back) = client.stream.read(buffer).await;
        buffer = back;
        let len = match result {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) => {
                log::info!("connection lost: {error}");
                break;
            }
        };
        let now_ns = shared.now_ns();
        let bytes = buffer.get(..len).unwrap_or_default();
        let result = shared.on_bytes(client, bytes, now_ns);
        client.wake.notify_one();
        if result.is_err() {
            break;
        }
    }
}

/// Writes login answers, stored messages and heartbeats, whatever is there in one piece.
async fn write(client: Rc<Client>, shared: Rc<Shared>) {
    let mut buffer = Vec::with_capacity(WRITE_BYTES * 2);
    loop {
        buffer.clear();
        buffer.append(&mut client.out.borrow_mut());
        {
            let exchange = shared.exchange.borrow();
            let message = |account: &str, index| exchange.message(account, index);
            client
                .session
                .borrow_mut()
                .write_stored(message, WRITE_BYTES, &mut buffer);
        }
        if !buffer.is_empty() {
            let (result, back) = client.stream.write_all(buffer).await;
            buffer = back;
            client.session.borrow_mut().on_sent(shared.now_ns());
            if result.is_err() {
                client.end();
                return;
            }
            continue;
        }
        if client.is_over.get() {
            return;
        }
        // Elapsing is the usual end of a quiet tick.
        let _ = tokio::time::timeout(TICK, client.wake.notified()).await;
        let mut out = client.out.borrow_mut();
        let result = client
            .session
            .borrow_mut()
            .on_timeout(shared.now_ns(), &mut out);
        if result == Err(Close) {
            client.end();
            return;
        }
    }
}

impl Client {
    /// Ends both tasks; the socket's read returns once it is shut down.
    fn end(&self) {
        self.is_over.set(true);
        self.wake.notify_one();
        let _ = self.stream.shutdown(std::net::Shutdown::Read);
    }
}

impl Shared {
    fn now_ns(&self) -> u64 {
        self.clock.borrow().now_ns()
    }

    fn on_bytes(&self, client: &Rc<Client>, bytes: &[u8], now_ns: u64) -> Result<(), Close> {
        let mut logged_in = None;
        let mut session = client.session.borrow_mut();
        let mut out = client.out.borrow_mut();
        let result = session.on_bytes(
            (bytes, now_ns),
            &self.options,
            &mut out,
            |heard| match heard {
                Heard::LoggedIn(account) => {
                    logged_in = Some(account.to_owned());
                    self.exchange.borrow().stored(account)
                }
                Heard::Message(account, message) => {
                    self.stamp(message, now_ns);
                    let since_midnight = realtime_ns() % DAY_NS;
                    self.exchange
                        .borrow_mut()
                        .on_message(account, message, since_midnight);
                    0
                }
            },
        );
        drop((session, out));
        if let Some(account) = logged_in {
            log::info!("account {account}: logged in");
            self.take_over(account, client);
        }
        result
    }

    fn stamp(&self, message: &[u8], now_ns: u64) {
        if let (Some(stamps), Some(seq)) = (&self.stamps, origin_seq(message)) {
            stamps.set_received(seq, now_ns);
        }
    }

    /// One live connection for each account: the newer one has it.
    fn take_over(&self, account: String, client: &Rc<Client>) {
        let mut live = self.live.borrow_mut();
        if let Some((_, older)) = live.iter().find(|(name, _)| *name == account) {
            log::warn!("account {account}: logged in again, the older connection is cut");
            older.end();
        }
        live.retain(|(name, _)| *name != account);
        live.push((account, Rc::clone(client)));
    }

    fn forget(&self, client: &Rc<Client>) {
        let mut live = self.live.borrow_mut();
        let Some(at) = live.iter().position(|(_, other)| Rc::ptr_eq(other, client)) else {
            return;
        };
        let (account, _) = live.swap_remove(at);
        log::info!("account {account}: disconnected");
        let cancels = self
            .options
            .account
            .get(&account)
            .is_some_and(|a| a.cancel_on_disconnect);
        if cancels {
            self.exchange
                .borrow_mut()
                .cancel_all(&account, realtime_ns() % DAY_NS);
        }
    }
}

/// Whether an address can be listened on, for `check`.
///
/// # Errors
/// Why not.
pub fn probe(options: &Options) -> io::Result<()> {
    std::net::TcpListener::bind(options.address).map(|_| ())
}
