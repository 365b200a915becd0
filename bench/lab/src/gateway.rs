//! The gateway's process in the lab: its configuration, and what it reports at the end.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use feeds::triggers;
use gateway::telemetry::{Report, Run};

use crate::checks::Checks;
use crate::exchange::write_secret;
use crate::netns::{EXCHANGE, GROUPS, IDLE_PORT, Lab, PORT, Side};
use crate::process::{Process, sibling};
use crate::traffic::Traffic;

/// How long a gateway waits for feeds before it is ready: what is configured, by the environment.
pub const FEEDS_WAIT: &str = "TICKGATE__HOST__FEEDS_WAIT_MS";

/// How the gateway is set.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The program; `None`: the one beside this program.
    pub program: Option<PathBuf>,
    /// `af_xdp` or `udp`.
    pub receive: String,
    /// `inline`, `pipeline`, or `cores`: the market's side on one core, order entry on another.
    pub layout: String,
    /// `enter`, `sqpoll`, `delegated` or `write`.
    pub submit: String,
    /// An order on every n-th change of the best price.
    pub every: u64,
    /// Strategies that hear the feed; all listen, the first trades.
    pub strategies: u16,
    /// Lowest rung of the receive ladder that counts.
    pub require: String,
    /// More settings, `key=value`.
    pub sets: Vec<String>,
    /// Folder for `.hgrm` files.
    pub hgrm_dir: Option<PathBuf>,
    /// The exchange polls on the sender's core (measuring) instead of being `tickgate-sim` (showing).
    pub is_exchange_polled: bool,
    /// Where the slow-order recorder writes.
    pub slow_orders: Option<PathBuf>,
    /// What risk checks.
    pub checks: Checks,
    /// Everything is journaled, in the folder of the run.
    pub journal: bool,
    /// A second session stands beside the first, at an exchange of its own; no strategy uses it.
    pub idle_session: bool,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            program: None,
            receive: "af_xdp".to_owned(),
            layout: "inline".to_owned(),
            submit: "enter".to_owned(),
            every: 1,
            strategies: 1,
            require: "native-copy".to_owned(),
            sets: Vec::new(),
            hgrm_dir: None,
            is_exchange_polled: true,
            slow_orders: None,
            checks: Checks::default(),
            journal: false,
            idle_session: false,
        }
    }
}

/// Starts a gateway with its configuration in `folder`, and waits until it may trade.
///
/// # Errors
/// It is not built, or refused to run.
pub fn start(
    lab: &Lab,
    folder: &Path,
    traffic: &Traffic,
    options: &Gateway,
    stop: &AtomicBool,
) -> Result<Process> {
    let file = folder.join("tickgate.toml");
    write_secret(&file, &config(traffic, options, folder)?)?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => sibling("tickgate")?,
    };
    let mut command = lab.command(Side::Gateway, &program);
    // The market begins when the gateway is ready, not before.
    command.env(FEEDS_WAIT, "0");
    command
        .args(["run", "--config"])
        .arg(&file)
        .stdout(std::process::Stdio::null());
    for set in &options.sets {
        command.args(["--set", set]);
    }
    let mut gateway = Process::start_service("gateway", command)?;
    gateway.await_ready(Duration::from_secs(30), stop)?;
    Ok(gateway)
}

/// Stops a gateway and reads what it reports in `folder`.
///
/// # Errors
/// It failed, or told nothing.
pub fn end(gateway: &mut Process, folder: &Path, stop: &AtomicBool) -> Result<Run> {
    gateway.signal(libc::SIGTERM);
    if !gateway.wait(Duration::from_secs(5), stop)? {
        bail!("the gateway failed:\n{}", gateway.said.join("\n"));
    }
    let text = std::fs::read_to_string(report_in(folder)).context("the gateway's report")?;
    let report: Report = serde_json::from_str(&text).context("the gateway's report")?;
    let run = report.runs.into_iter().next();
    run.context("the gateway's report is empty")
}

/// Where a gateway writes its report.
fn report_in(folder: &Path) -> PathBuf {
    folder.join("gateway.json")
}

/// The gateway's configuration for a run.
fn config(traffic: &Traffic, options: &Gateway, folder: &Path) -> Result<String> {
    let mut text = String::from("[feed.itch]\nlines = [");
    for group in GROUPS.iter().take(traffic.lines) {
        let _ = write!(text, "{{ address = \"{group}\", interface = \"feed0\" }}, ");
    }
    let shown = |path: &Option<PathBuf>| {
        path.as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    };
    let _ = write!(
        text,
        "]\nvenue = \"{}\"\nreceive = \"{}\"\n[feed.itch.af_xdp]\nrequire = \"{}\"\n\
         [session.ouch]\naddress = \"{EXCHANGE}:{PORT}\"\nusername = \"demo\"\npassword = \"demo\"\n\
         submit = \"{}\"\n{}[layout]\nkind = \"{}\"\n[telemetry]\njson = \"{}\"\n\
         hgrm_dir = \"{}\"\ntable = false\nwarm_up_ms = {}\nslow_orders = \"{}\"\n",
        traffic.venue.key(),
        options.receive,
        options.require,
        options.submit,
        options.checks.section("ouch", folder)?,
        options.layout,
        report_in(folder).display(),
        shown(&options.hgrm_dir),
        traffic.warm_up_ms,
        shown(&options.slow_orders),
    );
    for number in 0..options.strategies {
        // The others hear everything and never trade.
        let every = if number == 0 {
            options.every
        } else {
            u64::MAX >> 1
        };
        let name = strategy(number);
        let _ = write!(
            text,
            "[strategy.{name}]\nkind = \"probe\"\nfeed = \"itch\"\nsession = \"ouch\"\n\
             [strategy.{name}.parameters]\nevery = {every}\n",
        );
        if traffic.live.is_some() {
            text.push_str("takes = true\n");
        }
        if traffic.trigger.is_some() && number == 0 {
            let _ = writeln!(text, "symbol = \"{}\"", triggers::SYMBOL);
        }
    }
    if options.layout == "cores" {
        text.push_str(&two_cores(options.strategies));
    }
    if options.journal {
        let journal = folder.join("journal");
        let _ = write!(text, "[journal]\nfolder = \"{}\"\n", journal.display());
    }
    if options.idle_session {
        let _ = write!(
            text,
            "[session.idle]\naddress = \"{EXCHANGE}:{IDLE_PORT}\"\nusername = \"demo\"\npassword = \"demo\"\n{}",
            options.checks.section("idle", folder)?
        );
    }
    Ok(text)
}

/// Two hot cores: what a tick causes is decided where it is read, and its order is checked and sent beside that.
fn two_cores(strategies: u16) -> String {
    let strategies = (0..strategies).map(|number| format!(", \"strategy.{}\"", strategy(number)));
    format!(
        "[layout.core.market]\nruns = [\"feed.itch\"{}]\n\
         [layout.core.orders]\nruns = [\"session.ouch\"]\n",
        strategies.collect::<String>()
    )
}

/// A strategy's name: the first one trades.
fn strategy(number: u16) -> String {
    match number {
        0 => "probe".to_owned(),
        _ => format!("listener{number:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_one_of_two_cores() {
        assert_eq!(
            two_cores(2),
            "[layout.core.market]\nruns = [\"feed.itch\", \"strategy.probe\", \"strategy.listener01\"]\n\
             [layout.core.orders]\nruns = [\"session.ouch\"]\n"
        );
    }
}
