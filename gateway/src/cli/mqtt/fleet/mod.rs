//! `tickgate fleet`: many gateways in one view, from what their publishers have told a broker.
//!
//! ```text
//!  broker ──status, totals──> fleet ──> latencies of all together, a row a gateway
//! ```

mod merge;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use rt::clock::{monotonic_ns, realtime_ns};
use rumqttc::v5::mqttbytes::QoS;
use serde_json::json;

use super::super::{FAILED, WRONG_USAGE, fail, password};
use super::broker::{self, Broker, Said};
use super::{PASSWORD_BYTES_MAX, tls};
use crate::telemetry::{Measured, Run, grouped};
use merge::Fleet;

/// The largest message of a gateway: its status with many symbols, a histogram with many slots.
const PACKET_BYTES_MAX: u32 = 4 << 20;
/// What may wait to be looked at.
const SAID_MAX: usize = 256;
const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The broker that the gateways publish to, by TLS; a name or an IPv4 address.
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:8883")]
    broker: String,
    /// The certificates, PEM, one of which has signed the broker's [default: those of the system].
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    ca_file: Option<PathBuf>,
    /// Without TLS: everybody on the way reads what is told, and the password.
    #[arg(long)]
    plain: bool,
    /// The user.
    #[arg(long, value_name = "NAME", requires = "password_file")]
    username: Option<String>,
    /// A file with the user's password, that only its owner can read.
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// What topics begin with.
    #[arg(long, value_name = "PREFIX", default_value = "tickgate")]
    prefix: String,
    /// How often the view is shown, ms.
    #[arg(long, value_name = "MS", default_value_t = 1_000,
          value_parser = clap::value_parser!(u64).range(200..=60_000))]
    every_ms: u64,
    /// Show what the broker has kept, once, and end.
    ///
    /// Status 1: no gateway was heard of.
    #[arg(long)]
    once: bool,
    /// How long it is listened for that, ms.
    #[arg(long, value_name = "MS", default_value_t = 2_000, requires = "once",
          value_parser = clap::value_parser!(u64).range(100..=60_000))]
    wait_ms: u64,
    /// A JSON object instead of a table: every gateway, and the merged histograms themselves.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> ExitCode {
    let options = match options(arguments) {
        Ok(options) => options,
        Err(error) => return fail(WRONG_USAGE, &error),
    };
    let (tells, said) = sync_channel(SAID_MAX);
    let broker = Broker::start(options, move |it| tells.send(it).is_ok());
    if let Err(error) = broker {
        return fail(FAILED, &format!("a thread: {error}"));
    }
    let mut watch = Watch {
        fleet: Fleet::new(&arguments.prefix),
        is_up: false,
        trouble: None,
    };
    if arguments.once {
        return once(&mut watch, &said, arguments);
    }
    let every = Duration::from_millis(arguments.every_ms);
    loop {
        watch.listen(&said, every);
        if show(&watch, arguments).is_err() {
            return ExitCode::SUCCESS;
        }
    }
}

fn options(arguments: &Arguments) -> Result<broker::Options, String> {
    let at = tickgate_config::MqttBroker {
        address: arguments.broker.clone(),
        ..Default::default()
    };
    let expected = || format!("--broker {:?}: expected HOST:PORT", arguments.broker);
    let (host, port) = at.host_and_port().ok_or_else(expected)?;
    let tls = (!arguments.plain).then(|| tls::config(arguments.ca_file.as_deref()));
    let login = match (&arguments.username, &arguments.password_file) {
        (Some(user), Some(file)) => {
            let secret = password::secret(&file.to_string_lossy(), "", PASSWORD_BYTES_MAX);
            let secret = secret.map_err(|error| format!("--password-{error}"))?;
            Some((user.clone(), secret.unwrap_or_default()))
        }
        _ => None,
    };
    Ok(broker::Options {
        host: host.to_owned(),
        port,
        tls: tls
            .transpose()
            .map_err(|error| format!("--ca-file: {error}"))?,
        // Two views may be open at once, and a process number is one host's.
        client_id: format!("tickgate-fleet-{}-{:x}", std::process::id(), realtime_ns()),
        login,
        keep_alive: KEEP_ALIVE,
        connect: broker::CONNECT,
        packet_bytes_max: PACKET_BYTES_MAX,
        unacknowledged_max: 1,
        will: None,
    })
}

/// What has been heard so far.
#[derive(Debug)]
struct Watch {
    fleet: Fleet,
    is_up: bool,
    /// Why there is no broker.
    trouble: Option<String>,
}

impl Watch {
    /// Listens for so long.
    fn listen(&mut self, said: &Receiver<Said>, span: Duration) {
        let begun_ns = monotonic_ns();
        loop {
            let spent = Duration::from_nanos(monotonic_ns().saturating_sub(begun_ns));
            match said.recv_timeout(span.saturating_sub(spent)) {
                Ok(it) => self.on(it),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
            if spent >= span {
                return;
            }
        }
    }

    fn on(&mut self, said: Said) {
        match said {
            Said::Up(client) => {
                self.is_up = true;
                self.trouble = None;
                for filter in self.fleet.filters() {
                    // A new client has room for both.
                    let _ = client.try_subscribe(filter, QoS::AtMostOnce);
                }
            }
            Said::Down(why) => {
                self.is_up = false;
                self.trouble = Some(why);
            }
            Said::Message { topic, payload } => self.fleet.on_message(&topic, &payload),
            Said::Sent(_) | Said::Acknowledged(_) | Said::Refused(_) | Said::NotNow => {}
        }
    }

    fn text(&self) -> String {
        let rows = self.fleet.rows();
        let mut out = format!("{} gateways, all together, since each began\n", rows.len());
        if let Some(trouble) = &self.trouble {
            out.push_str(&format!("NO BROKER: {trouble}\n"));
        }
        out.push_str(&latencies(&self.fleet.merged()));
        let now_ns = realtime_ns();
        let head = ["GATEWAY", "STATE", "TOLD", "ORDERS", "p50", "p99", "MAX"];
        let [gateway, state, told, orders, p50, p99, max] = head;
        out.push_str(&format!(
            "\n{gateway:<20} {state:<14} {told:>8} {orders:>12} {p50:>10} {p99:>10} {max:>12}  tick_to_order, ns\n"
        ));
        for row in rows {
            let age_s = now_ns.saturating_sub(row.told_ns) / 1_000_000_000;
            let told = if row.told_ns == 0 {
                "never".to_owned()
            } else {
                format!("{age_s} s")
            };
            let s = row
                .histograms
                .get("tick_to_order")
                .copied()
                .unwrap_or_default();
            out.push_str(&format!(
                "{:<20} {:<14} {told:>8} {:>12} {:>10} {:>10} {:>12}\n",
                row.instance,
                row.state,
                grouped(s.count),
                grouped(s.p50),
                grouped(s.p99),
                grouped(s.max)
            ));
        }
        if self.fleet.refused > 0 {
            let refused = grouped(self.fleet.refused);
            out.push_str(&format!("{refused} messages could not be read\n"));
        }
        out
    }

    fn json(&self) -> String {
        let merged = self.fleet.merged();
        let all = json!({
            "tool": "tickgate fleet", "version": env!("CARGO_PKG_VERSION"), "gateways": self.fleet.rows(),
            "histograms": merged.histograms, "hdr": merged.hdr, "refused": self.fleet.refused,
        });
        all.to_string()
    }
}

/// The table of a run's report, without what is a single run's.
fn latencies(merged: &Measured) -> String {
    let run = Run {
        measured: merged.clone(),
        ..Run::default()
    };
    run.latencies().to_string() + "\n"
}

fn once(watch: &mut Watch, said: &Receiver<Said>, arguments: &Arguments) -> ExitCode {
    watch.listen(said, Duration::from_millis(arguments.wait_ms));
    if !watch.is_up {
        let why = watch.trouble.clone();
        let why = why.unwrap_or_else(|| "it has not answered".to_owned());
        return fail(FAILED, &format!("{}: {why}", arguments.broker));
    }
    // Nobody reads it: nothing is lost.
    let _ = show(watch, arguments);
    if watch.fleet.rows().is_empty() {
        let prefix = &arguments.prefix;
        return fail(FAILED, &format!("no gateway has published below {prefix}/"));
    }
    ExitCode::SUCCESS
}

fn show(watch: &Watch, arguments: &Arguments) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if arguments.json {
        return writeln!(out, "{}", watch.json());
    }
    if !arguments.once && out.is_terminal() {
        // The screen anew, from its upper left corner.
        write!(out, "\x1b[2J\x1b[H")?;
    }
    write!(out, "{}", watch.text())?;
    out.flush()
}
