//! `tickgate metrics`: what Prometheus scrapes, by a process of its own. It asks the gateway's control socket for each scrape, so
//! that no byte of HTTP reaches the process that trades.
//!
//! ```text
//!  Prometheus ──GET /metrics──> http ──> look (control socket) ──> exposition ──> text
//! ```
//!
//! When full:   one connection at a time: [`PATIENCE`] for its request, the gateway's answers, [`PATIENCE`] for taking ours;
//!              others wait in the kernel's queue.
//! When wrong:  a gateway that does not answer is `tickgate_up 0`.

mod exposition;
pub mod http;
mod reference;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rt::clock::monotonic_ns;

use super::ctl::Whom;
use super::look::Look;
use super::{FAILED, fail};
pub(super) use reference::reference;

use http::{Asked, REQUEST_BYTES_MAX, answer, asked};

/// How long somebody may take to ask, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    whom: Whom,
    /// Where to listen. Whoever reaches it reads orders' counts, positions and profit: keep it local.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// Print the metrics once, and end.
    #[arg(long)]
    once: bool,
}

#[expect(clippy::print_stdout, reason = "what this command prints")]
pub(super) fn run(arguments: Arguments) -> ExitCode {
    let Arguments { whom, listen, once } = arguments;
    whom.with(|socket| {
        if once {
            return match Look::at(&socket) {
                Ok(look) => {
                    print!("{}", exposition::text(&look));
                    ExitCode::SUCCESS
                }
                Err(error) => fail(FAILED, &error),
            };
        }
        match serve(listen, &socket) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(FAILED, &format!("{listen}: {error}")),
        }
    })
}

fn serve(listen: SocketAddr, socket: &Path) -> io::Result<()> {
    let listener = TcpListener::bind(listen)?;
    let at = listener.local_addr()?;
    if !at.ip().is_loopback() {
        log::warn!("metrics on {at}: whoever reaches it reads positions and profit");
    }
    log::info!("metrics on http://{at}/metrics, of {}", socket.display());
    for connection in listener.incoming() {
        // One that went meanwhile is nobody's trouble.
        if let Err(error) = connection.and_then(|it| scrape(it, socket)) {
            log::debug!("a scrape: {error}");
        }
    }
    Ok(())
}

/// Reads one request and answers it.
fn scrape(mut connection: TcpStream, socket: &Path) -> io::Result<()> {
    let begun_ns = monotonic_ns();
    let mut bytes = Vec::new();
    let (status, reason) = loop {
        match asked(&bytes) {
            Asked::More => {}
            Asked::Metrics => break (200, "OK"),
            Asked::Refused(status, reason) => break (status, reason),
        }
        let left = PATIENCE.saturating_sub(Duration::from_nanos(monotonic_ns() - begun_ns));
        if left.is_zero() {
            break (408, "Request Timeout");
        }
        connection.set_read_timeout(Some(left))?;
        let room = REQUEST_BYTES_MAX - bytes.len();
        let mut chunk = [0; 1024];
        let chunk = chunk.get_mut(..room.min(1024)).unwrap_or_default();
        match connection.read(chunk) {
            Ok(0) => return Ok(()),
            Ok(len) => bytes.extend_from_slice(chunk.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    };
    let body = if status == 200 {
        match Look::at(socket) {
            Ok(look) => exposition::text(&look),
            Err(error) => {
                log::warn!("the gateway was not heard: {error}");
                exposition::down()
            }
        }
    } else {
        format!("{reason}: expected GET /metrics\n")
    };
    send(&mut connection, &answer(status, reason, &body))
}

/// Writes all of it, if it is taken in time.
fn send(connection: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    let begun_ns = monotonic_ns();
    while !bytes.is_empty() {
        let left = PATIENCE.saturating_sub(Duration::from_nanos(monotonic_ns() - begun_ns));
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        connection.set_write_timeout(Some(left))?;
        match connection.write(bytes) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
