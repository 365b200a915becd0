//! The exchange's process in the lab: its configuration, its market, what it says at the end.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use feeds::replay::Sent;
use serde_json::Value;

use crate::netns::{EXCHANGE, FEED_SENDER, GROUPS, IDLE_PORT, Lab, PORT, Side};
use crate::process::{Process, sibling};
use crate::venue::Venue;

/// A market that the exchange makes.
#[derive(Clone, Debug)]
pub enum Live {
    /// From a seed.
    Flow {
        /// The same seed gives the same market.
        seed: u64,
        /// Symbols.
        symbols: u16,
        /// Orders, cancels and replacements a second, on average.
        rate: u32,
        /// It ends after this many.
        limit: u64,
        /// What goes wrong; re-requests are served then, and snapshots where the venue has them.
        trouble: Option<Trouble>,
    },
    /// From a recorded day.
    Record {
        /// BinaryFILE, plain or `.gz`.
        file: PathBuf,
        /// Messages a second.
        rate: u32,
    },
}

/// How long the last packets may be on their way, ms.
pub(crate) const SETTLE_MS: u64 = 300;

/// What can go wrong with a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Trouble {
    /// Both lines lose packets; where there are snapshots, for a second nobody answers re-requests.
    Lossy,
    /// The gateway starts three seconds into a day of 200,000 orders a second.
    Late,
}

impl Live {
    /// How long the market has been running when the gateway starts, ms.
    #[must_use]
    pub fn head_start_ms(&self) -> u64 {
        match self {
            Self::Flow {
                trouble: Some(Trouble::Late),
                ..
            } => 3_000,
            _ => 0,
        }
    }

    /// How long after the market's end its last packets may still be on their way, ms: a fast one has a queue.
    #[must_use]
    pub fn settle_ms(&self) -> u64 {
        if self.head_start_ms() > 0 {
            2_000
        } else {
            SETTLE_MS
        }
    }
}

/// Writes a file that holds a password: only its owner may read it, or the exchange refuses it.
///
/// # Errors
/// What the file system says.
pub fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::File::options();
    let file = options.write(true).create(true).truncate(true).mode(0o600);
    std::io::Write::write_all(&mut file.open(path)?, text.as_bytes())
}

/// Starts `tickgate-sim`, which sleeps between orders and publishes nothing.
///
/// # Errors
/// It is not built, or did not begin to listen.
pub fn start(
    lab: &Lab,
    folder: &Path,
    stamps: Option<&Path>,
    stop: &AtomicBool,
) -> Result<Process> {
    let stamps = stamps.map_or_else(String::new, |path| {
        format!("wire_stamps = \"{}\"\n", path.display())
    });
    let account = "[account.demo]\npassword = \"demo\"\n";
    let text = format!("address = \"{EXCHANGE}:{PORT}\"\nfill_every = 2\n{stamps}{account}");
    start_with(lab, folder, &text, stop)
}

/// Starts the exchange of a session that no strategy uses.
pub(crate) fn start_idle(lab: &Lab, folder: &Path, stop: &AtomicBool) -> Result<Process> {
    let folder = folder.join("idle");
    std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
    let text =
        format!("address = \"{EXCHANGE}:{IDLE_PORT}\"\n[account.demo]\npassword = \"demo\"\n");
    start_with(lab, &folder, &text, stop)
}

pub(crate) fn start_with(
    lab: &Lab,
    folder: &Path,
    text: &str,
    stop: &AtomicBool,
) -> Result<Process> {
    let command = lab.command(Side::Exchange, &sibling("tickgate-sim")?);
    launch(command, folder, text, stop)
}

/// Starts the exchange by this command, with its configuration in `folder`, and waits until it listens.
///
/// # Errors
/// It did not begin to listen.
pub fn launch(
    mut command: Command,
    folder: &Path,
    text: &str,
    stop: &AtomicBool,
) -> Result<Process> {
    let config = folder.join("sim.toml");
    write_secret(&config, text)?;
    command
        .args(["run", "--config"])
        .arg(&config)
        .stdout(std::process::Stdio::null());
    let mut exchange = Process::start_service("exchange", command)?;
    exchange.await_ready(Duration::from_secs(10), stop)?;
    Ok(exchange)
}

/// An exchange that makes its own market and publishes it on both lines. It waits busily, as exchanges do,
/// and packs what comes within 5 µs.
pub(crate) fn live_config(live: &Live, venue: Venue, stamps: &Path, control: &Path) -> String {
    let [a, b] = GROUPS;
    let cpu = rt::cpu::allowed().first().copied().unwrap_or(0);
    let market = match live {
        Live::Flow {
            seed,
            symbols,
            rate,
            limit,
            ..
        } => {
            format!("[flow]\nseed = {seed}\nsymbols = {symbols}\nrate = {rate}\nlimit = {limit}\n")
        }
        Live::Record { file, rate } => {
            format!("[record]\nfile = \"{}\"\nrate = {rate}\n", file.display())
        }
    };
    let has_snapshots = venue == Venue::Nasdaq;
    let (is_lossy, is_served) = match live {
        Live::Flow { trouble, .. } => (*trouble == Some(Trouble::Lossy), trouble.is_some()),
        Live::Record { .. } => (false, false),
    };
    let servers = [
        (is_served, format!("rerequest = \"{REREQUEST}\"\n")),
        (
            is_served && has_snapshots,
            format!("glimpse = \"{GLIMPSE}\"\n"),
        ),
    ];
    let servers: String = (servers.into_iter())
        .filter_map(|(is_there, line)| is_there.then_some(line))
        .collect();
    let faults = match (is_lossy, has_snapshots) {
        (true, true) => [LOSSES, DEAD_SERVER].concat(),
        (true, false) => LOSSES.to_owned(),
        (false, _) => String::new(),
    };
    // The market waits for the gateway, but for one that comes late.
    let clock = match live.head_start_ms() {
        0 => "[clock]\nwait_for_login_ms = 300\n",
        _ => "",
    };
    format!(
        "address = \"{EXCHANGE}:{PORT}\"\nwire_stamps = \"{}\"\ncontrol = \"{}\"\ncpu = {cpu}\n\
         is_busy = true\n{clock}{market}\
         [feed]\nvenue = \"{}\"\nwindow_us = 5\nlines = [{{ address = \"{a}\", interface = \"{FEED_SENDER}\" }}, \
         {{ address = \"{b}\", interface = \"{FEED_SENDER}\" }}]\n\
         {servers}[account.demo]\npassword = \"demo\"\n{faults}",
        stamps.display(),
        control.display(),
        venue.key(),
    )
}

/// Where the exchange serves what was lost: on the orders' pair, as a venue has a network of its own for it.
pub const REREQUEST: &str = "10.77.2.1:26478";
/// The same for snapshots.
pub const GLIMPSE: &str = "10.77.2.1:26479";

/// Of 15 s: each line loses 2 % by itself, and both now and then the same packet. The end is calm, so that what is
/// lost then is not all that is told.
const LOSSES: &str = "\
[[fault]]\nat_s = 0.5\nfor_s = 12.0\non = \"line_a\"\ndo = \"drop\"\nshare = 0.02\n\
[[fault]]\nat_s = 0.5\nfor_s = 12.0\non = \"line_b\"\ndo = \"drop\"\nshare = 0.02\n\
[[fault]]\nat_s = 0.5\nfor_s = 12.0\non = \"lines\"\ndo = \"drop\"\nshare = 0.0002\n";
/// From second 6 on nobody answers re-requests for a second: a gap, which a snapshot ends.
const DEAD_SERVER: &str = "[[fault]]\nat_s = 6.0\nfor_s = 1.0\non = \"rerequest\"\ndo = \"drop\"\n";

/// What the exchange that was started with this folder has published until now.
pub(crate) fn published(folder: &Path) -> Result<Sent> {
    let output = Command::new(sibling("tickgate-sim")?)
        .args(["status", "--json", "--config"])
        .arg(folder.join("sim.toml"))
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let status: Value =
        serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())?;
    let count = |name: &str| {
        let count = status
            .pointer(&format!("/feed/{name}"))
            .and_then(Value::as_u64);
        count.with_context(|| format!("the exchange's status has no feed.{name}"))
    };
    Ok(Sent {
        messages: count("messages")?,
        packets: count("packets")?,
        ..Sent::default()
    })
}

/// Reads "the flow is over: N messages in N packets".
#[must_use]
pub fn flow_sent(line: &str) -> Option<Sent> {
    let (_, counts) = line.split_once("the flow is over: ")?;
    let (messages, packets) = counts.split_once(" messages in ")?;
    Some(Sent {
        messages: messages.parse().ok()?,
        packets: packets.strip_suffix(" packets")?.parse().ok()?,
        ..Sent::default()
    })
}
