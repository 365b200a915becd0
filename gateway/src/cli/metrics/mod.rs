//! `tickgate metrics`: what Prometheus scrapes, by a process of its own. It asks the gateway's control socket for each scrape, so
//! that no byte of HTTP reaches the process that trades.
//!
//! ```text
//!  Prometheus ──GET /metrics──> tickgate_scrape ──> look (control socket) ──> exposition ──> text
//! ```
//!
//! When full:   one connection at a time; others wait in the kernel's queue.
//! When wrong:  a gateway that does not answer is `tickgate_up 0`.

mod exposition;
mod reference;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use super::ctl::Whom;
use super::look::Look;
use super::{FAILED, fail};
pub(super) use reference::reference;

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
            return match Look::for_scrape(&socket) {
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
    tickgate_scrape::serve(&listener, || Some(body(socket)));
    Ok(())
}

/// What a scrape is answered with.
fn body(socket: &Path) -> String {
    match Look::for_scrape(socket) {
        Ok(look) => exposition::text(&look),
        Err(error) => {
            log::warn!("the gateway was not heard: {error}");
            exposition::down()
        }
    }
}
