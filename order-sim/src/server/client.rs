//! TCP clients, of order entry and of snapshots: one task reads, one writes.
//!
//! When wrong:  a client that says what the protocol does not know, logs in badly or is silent is cut off;
//!              so is one for whom more waits than `unread_bytes_max`.

use std::cell::{Cell, RefCell};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_uring::net::{TcpListener, TcpStream};

use super::Shared;
use crate::fault::Act;
use crate::session::{Close, Received, Session, SessionEvent};
use crate::store::Store;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Bytes of stored messages that are put behind one another into one write.
const WRITE_BYTES: usize = 64 * 1024;
/// How often time is looked at.
const TICK: Duration = Duration::from_millis(100);

/// A client for whom too much waits is cut off after so long without progress.
const STUCK_NS: u64 = 1_000_000_000;
/// A single write that takes longer ends the connection: nobody reads.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// What the kernel keeps for a client that does not read; left to itself it would be megabytes.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Snapshots in memory at one time: each is a book.
const SNAPSHOTS_MAX: usize = 16;

/// What a client is served.
#[derive(Debug)]
enum Service {
    /// The account's messages, as they come.
    Entry,
    /// The book as it was at the login.
    Glimpse(RefCell<Store>),
}

/// One client.
pub(crate) struct Client {
    stream: TcpStream,
    session: RefCell<Session>,
    service: Service,
    /// Login answers and heartbeats to be written.
    out: RefCell<Vec<u8>>,
    wake: Notify,
    /// Stored messages when it was last woken.
    told: Cell<usize>,
    is_over: Cell<bool>,
    /// The message that it was sent last, and since when.
    progress: Cell<(usize, u64)>,
}

/// Opens the sockets.
pub(super) fn listen(shared: &Rc<Shared>) -> Result<(), String> {
    // The runtime's own bind would share the port with another exchange, unseen.
    let open = |address: SocketAddr| {
        let listener = std::net::TcpListener::bind(address);
        let listener = listener.map_err(|error| format!("listening on {address}: {error}"))?;
        // Inherited by each connection; less than asked for is what the host allows.
        let _ = socket2::SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER_BYTES);
        Ok::<_, String>(TcpListener::from_std(listener))
    };
    let listener = open(shared.options.address)?;
    tokio_uring::spawn(accept(listener, Rc::clone(shared), || Service::Entry));
    if let Some(address) = shared.options.glimpse {
        let listener = open(address.into())?;
        let service = || Service::Glimpse(RefCell::new(Store::new(usize::MAX)));
        tokio_uring::spawn(accept(listener, Rc::clone(shared), service));
    }
    Ok(())
}

async fn accept(listener: TcpListener, shared: Rc<Shared>, service: impl Fn() -> Service) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if shared.connections.get() >= shared.options.connections_max {
                    shared.counters.connections_refused.increment();
                    log::warn!("{peer}: refused, {} connections", shared.connections.get());
                    continue;
                }
                shared.counters.connections.increment();
                log::debug!("{peer}: connected");
                // Small answers must not wait for one another; a failure costs speed only.
                let _ = stream.set_nodelay(true);
                tokio_uring::spawn(serve(stream, Rc::clone(&shared), service()));
            }
            Err(error) => {
                log::warn!("accept: {error}");
                tokio::time::sleep(TICK).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, shared: Rc<Shared>, service: Service) {
    let is_glimpse = matches!(service, Service::Glimpse(_));
    if is_glimpse && shared.snapshots.get() >= SNAPSHOTS_MAX {
        shared.counters.connections_refused.increment();
        return;
    }
    shared.connections.set(shared.connections.get() + 1);
    shared
        .snapshots
        .set(shared.snapshots.get() + usize::from(is_glimpse));
    let mut session = Session::new(shared.session_ns());
    // Which account it will be is not known yet: a fault of any strikes.
    if let Some(by) = shared.exchange.borrow().login_skew() {
        session.skew_login(u64::from(by));
    }
    let client = Rc::new(Client {
        stream,
        session: RefCell::new(session),
        service,
        out: RefCell::default(),
        wake: Notify::new(),
        told: Cell::new(0),
        is_over: Cell::new(false),
        progress: Cell::new((0, shared.host_ns())),
    });
    let writer = tokio_uring::spawn(write(Rc::clone(&client), Rc::clone(&shared)));
    read(&client, &shared).await;
    client.is_over.set(true);
    client.wake.notify_one();
    // The last answer (why a login was refused) goes out before the socket closes.
    let _ = writer.await;
    let _ = client.stream.shutdown(Shutdown::Both);
    forget(&shared, &client);
    shared.connections.set(shared.connections.get() - 1);
    shared
        .snapshots
        .set(shared.snapshots.get() - usize::from(is_glimpse));
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
                log::debug!("connection lost: {error}");
                break;
            }
        };
        while client.suffers(shared, Act::HalfOpen) && !client.is_over.get() {
            tokio::time::sleep(TICK).await;
        }
        let bytes = buffer.get(..len).unwrap_or_default();
        let result = on_bytes(shared, client, bytes);
        shared.settle();
        client.wake.notify_one();
        if result.is_err() {
            shared.counters.clients_closed.increment();
            break;
        }
    }
}

fn on_bytes(shared: &Rc<Shared>, client: &Rc<Client>, bytes: &[u8]) -> Result<(), Close> {
    let (host_ns, now_ns) = (shared.host_ns(), shared.session_ns());
    let mut logged_in = None;
    let result = client.session.borrow_mut().on_bytes(
        Received { bytes, now_ns },
        &shared.options.exchange,
        &mut client.out.borrow_mut(),
        |heard| match (heard, &client.service) {
            (SessionEvent::LoggedIn(account), Service::Entry) => {
                logged_in = Some(account);
                shared.exchange.borrow().stored(account)
            }
            (SessionEvent::LoggedIn(_), Service::Glimpse(snapshot)) => {
                let mut snapshot = snapshot.borrow_mut();
                shared
                    .exchange
                    .borrow()
                    .snapshot(&mut |message| snapshot.push(message));
                snapshot.count()
            }
            (SessionEvent::Message(account, message), Service::Entry) => {
                shared.on_message(account, message, host_ns);
                0
            }
            (SessionEvent::Message(..), Service::Glimpse(_)) => 0,
        },
    );
    if let Some(account) = logged_in {
        if shared.exchange.borrow().is_cut(account) {
            log::warn!("account {account}: login refused, its answers cannot be kept");
            let mut session = client.session.borrow_mut();
            return session.refuse(&mut client.out.borrow_mut());
        }
        take_over(shared, account, client);
    }
    result
}

/// Writes login answers, stored messages and heartbeats, whatever is there in one piece.
async fn write(client: Rc<Client>, shared: Rc<Shared>) {
    let mut buffer = Vec::with_capacity(WRITE_BYTES * 2);
    loop {
        let is_mute = client.suffers(&shared, Act::Stall) || client.suffers(&shared, Act::HalfOpen);
        if is_mute && !client.is_over.get() {
            tokio::time::sleep(TICK).await;
            continue;
        }
        buffer.clear();
        let result = fill(&client, &shared, &mut buffer);
        if client.suffers(&shared, Act::Bytewise) {
            for byte in std::mem::take(&mut buffer) {
                if client.stream.write_all(vec![byte]).await.0.is_err() {
                    return client.end();
                }
            }
            client.session.borrow_mut().on_sent(shared.session_ns());
            if result.is_err() {
                return client.end();
            }
        }
        if !buffer.is_empty() {
            let write = client.stream.write_all(buffer);
            let Ok((written, back)) = tokio::time::timeout(WRITE_TIMEOUT, write).await else {
                shared.counters.clients_slow.increment();
                return client.end();
            };
            buffer = back;
            client.session.borrow_mut().on_sent(shared.session_ns());
            if written.is_err() || result.is_err() {
                return client.end();
            }
            continue;
        }
        if client.is_over.get() {
            return;
        }
        // Elapsing is the usual end of a quiet tick.
        let _ = tokio::time::timeout(TICK, client.wake.notified()).await;
        let (now_ns, mut out) = (shared.session_ns(), client.out.borrow_mut());
        if client.session.borrow_mut().on_timeout(now_ns, &mut out) == Err(Close) {
            shared.counters.clients_closed.increment();
            return client.end();
        }
    }
}

/// Puts together what is to be written now. `Err`: it is the last.
fn fill(client: &Client, shared: &Shared, buffer: &mut Vec<u8>) -> Result<(), Close> {
    let mut session = client.session.borrow_mut();
    buffer.append(&mut client.out.borrow_mut());
    let result = match &client.service {
        Service::Entry => {
            let exchange = shared.exchange.borrow();
            let cut_at = session
                .place()
                .and_then(|(account, _)| exchange.cut_at(account));
            let message = |account, index| exchange.message(account, index);
            session.write_stored(message, WRITE_BYTES, cut_at, buffer)
        }
        Service::Glimpse(snapshot) => {
            let snapshot = snapshot.borrow();
            let message = |_, index| snapshot.message(index);
            session.write_stored(message, WRITE_BYTES, None, buffer)
        }
    };
    if let (Err(Close), Some((account, _))) = (result, session.place()) {
        shared.exchange.borrow_mut().forget_cut(account);
    }
    result
}

impl Client {
    /// Whether a fault of its account is on.
    fn suffers(&self, shared: &Shared, act: Act) -> bool {
        let place = self.session.borrow().place();
        let is_entry = matches!(self.service, Service::Entry);
        let fault = |account| shared.exchange.borrow().account_fault(act, account);
        is_entry && place.is_some_and(|(account, _)| fault(account).is_some())
    }

    /// Ends both tasks; a read or a write that waits returns.
    pub(super) fn end(&self) {
        self.is_over.set(true);
        self.wake.notify_one();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// So many messages are stored for it now.
    pub(super) fn wake_for(&self, stored: usize) {
        if self.told.replace(stored) != stored {
            self.wake.notify_one();
        }
    }

    /// Whether it has been sent nothing for [`STUCK_NS`].
    fn is_stuck(&self, next: usize, host_ns: u64) -> bool {
        let (before, since_ns) = self.progress.get();
        if before != next {
            self.progress.set((next, host_ns));
            return false;
        }
        host_ns.saturating_sub(since_ns) > STUCK_NS
    }

    /// The session is over: the client is told, behind everything else.
    pub(super) fn end_session(&self) {
        let mut out = Vec::new();
        self.session.borrow_mut().end(&mut out);
        self.out.borrow_mut().append(&mut out);
        self.wake.notify_one();
    }
}

/// One live connection for each account: the newer one has it.
fn take_over(shared: &Shared, account: u16, client: &Rc<Client>) {
    let mut live = shared.live.borrow_mut();
    let name = shared
        .options
        .exchange
        .accounts
        .keys()
        .nth(usize::from(account));
    log::info!("account {}: logged in", name.map_or("?", String::as_str));
    if let Some((_, older)) = live.iter().find(|(other, _)| *other == account) {
        shared.counters.clients_taken_over.increment();
        log::warn!("account {account}: logged in again, the older connection is cut");
        older.end();
    }
    live.retain(|(other, _)| *other != account);
    live.push((account, Rc::clone(client)));
    shared.on_login();
}

fn forget(shared: &Rc<Shared>, client: &Rc<Client>) {
    let mut live = shared.live.borrow_mut();
    let Some(at) = live.iter().position(|(_, other)| Rc::ptr_eq(other, client)) else {
        return;
    };
    let (account, _) = live.swap_remove(at);
    drop(live);
    let options = shared
        .options
        .exchange
        .accounts
        .iter()
        .nth(usize::from(account));
    if let Some((name, options)) = options {
        log::info!("account {name}: disconnected");
        if options.cancel_on_disconnect {
            shared.exchange.borrow_mut().cancel_all(account);
            shared.settle();
        }
    }
}

/// Cuts connections off where a fault says so.
pub(super) fn cut_faulty(shared: &Shared) {
    for (_, client) in &*shared.live.borrow() {
        if !client.is_over.get() && client.suffers(shared, Act::Cut) {
            log::warn!("a fault cuts a connection off");
            client.end();
        }
    }
}

/// Cuts off clients that do not read.
pub(super) fn drop_slow(shared: &Shared) {
    let exchange = shared.exchange.borrow();
    for (account, client) in &*shared.live.borrow() {
        let Ok(session) = client.session.try_borrow() else {
            continue;
        };
        let Some((_, next)) = session.place() else {
            continue;
        };
        let is_slow = exchange.unread_bytes(*account, next) > shared.options.unread_bytes_max;
        let is_stuck = client.is_stuck(next, shared.host_ns());
        if is_slow && !client.is_over.get() && is_stuck {
            shared.counters.clients_slow.increment();
            log::warn!("account {account}: does not read, cut off");
            client.end();
        }
    }
}
