//! Latency of the whole way for chosen receivers, senders and layouts, one run each, interleaved with
//! nothing else on the machine.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use gateway::telemetry::{Report, Run};

use crate::generate;
use crate::lab::Lab;
use crate::run::{self, Options};

/// What to measure: every combination.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// `af_xdp`, `udp`.
    pub receive: Vec<String>,
    /// `inline`, `pipeline`.
    pub layout: Vec<String>,
    /// `enter`, `sqpoll`.
    pub submit: Vec<String>,
    /// Packets a second.
    pub rate: f64,
    /// Length of a run, seconds.
    pub seconds: u64,
    /// An order on every n-th change of the best price.
    pub every: u64,
    /// Messages in a packet.
    pub pack: u16,
}

/// Runs every combination. `on_run` hears of each when it is done.
///
/// # Errors
/// The first run that failed.
pub fn measure(matrix: &Matrix, stop: &AtomicBool, mut on_run: impl FnMut(&Run)) -> Result<Report> {
    let folder = tempfile::Builder::new().prefix("tickgate-day-").tempdir()?;
    let feed = folder.path().join("day.itch50");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive and far below 2^64"
    )]
    let messages = matrix.rate as u64 * matrix.seconds * u64::from(matrix.pack);
    let day = generate::Options {
        seed: 1,
        messages,
        symbols: 100,
    };
    generate::to_file(&day, &feed, |_| ())?;
    let lab = Lab::new()?;
    let mut runs = Vec::new();
    for layout in &matrix.layout {
        for submit in &matrix.submit {
            for receive in &matrix.receive {
                let options = Options {
                    name: format!("{receive} {layout} {submit}"),
                    feed: feed.clone(),
                    rate: matrix.rate,
                    pack: matrix.pack,
                    limit: None,
                    receive: receive.clone(),
                    layout: layout.clone(),
                    submit: submit.clone(),
                    lines: 1,
                    every: matrix.every,
                    require: "native-copy".to_owned(),
                    sets: Vec::new(),
                    hgrm_dir: None,
                    is_exchange_polled: true,
                };
                let outcome = run::run(&lab, &options, stop)?;
                on_run(&outcome.run);
                runs.push(outcome.run);
            }
        }
    }
    Ok(Report::new("tickgate-bench latency", runs))
}

/// What the receive core spends on a packet, ns: taking it from the kernel, and everything after that.
#[must_use]
pub fn receive_costs(run: &Run) -> Option<(f64, f64)> {
    let feed = run.counters.get("itch")?;
    let count = |name: &str| feed.get(name).copied().unwrap_or(0) as f64;
    let packets = count("sampled_packets");
    (packets > 0.0).then(|| {
        (
            count("sampled_receive_ns") / packets,
            count("sampled_handle_ns") / packets,
        )
    })
}
