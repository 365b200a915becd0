//! The main job on one machine: namespaces, exchange, gateway, replay, table.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use gateway::telemetry::{HISTOGRAMS, Report};

use crate::generate;
use crate::lab::Lab;
use crate::replay::Pace;
use crate::run::{self, Contestant, Gateway, Outcome, Traffic};

/// Messages of the generated day: 15 s at the demo's rate.
const MESSAGES: u64 = 300_000;
/// Packets a second.
const RATE: f64 = 20_000.0;

/// What to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// A feed of the user's; none: a generated day.
    pub feed: Option<PathBuf>,
    /// Folder for `.hgrm` files.
    pub hgrm_dir: Option<PathBuf>,
    /// More settings for the gateway.
    pub sets: Vec<String>,
}

/// Runs the demo and returns its report; the lab is gone afterwards, also after a failure.
///
/// # Errors
/// What failed; or a check that did not hold.
pub fn demo(show: &Show, stop: &AtomicBool) -> Result<(Report, Outcome)> {
    let day = tempfile::Builder::new().prefix("tickgate-day-").tempdir()?;
    let (feed, every) = match &show.feed {
        Some(feed) => (feed.clone(), 1),
        None => {
            let path = day.path().join("day.itch50");
            let options = generate::Options {
                seed: 1,
                messages: MESSAGES,
                symbols: 100,
            };
            generate::to_file(&options, &path, |_| ())?;
            (path, 4)
        }
    };
    let lab = Lab::new()?;
    let traffic = Traffic {
        feed,
        pace: Pace::Rate(RATE),
        pack: 1,
        bulk: 0,
        limit: None,
        trigger: None,
        burst: 1,
        lines: 2,
        warm_up_ms: 0,
        answer_after_us: 0,
    };
    let gateway = Gateway {
        every,
        sets: show.sets.clone(),
        hgrm_dir: show.hgrm_dir.clone(),
        is_exchange_polled: false,
        ..Gateway::default()
    };
    let contestant = Contestant::Gateway(gateway);
    let outcome = run::run(&lab, ("demo", &traffic, &contestant), |_| (), stop)?;
    drop(lab);
    let report = Report::new("tickgate-bench demo", vec![outcome.run.clone()]);
    Ok((report, outcome))
}

/// What must be true of a demo that went well.
///
/// # Errors
/// The first thing that is not.
pub fn check(outcome: &Outcome) -> Result<()> {
    let run = &outcome.run;
    if run.lost != 0 || run.sent != Some(run.received) {
        bail!(
            "lost {} messages: sent {:?}, received {}",
            run.lost,
            run.sent,
            run.received
        );
    }
    if run.orders != run.acks {
        bail!("{} orders and {} answers", run.orders, run.acks);
    }
    let unfilled = HISTOGRAMS.iter().find(|(name, _)| {
        run.histograms
            .get(*name)
            .is_none_or(|summary| summary.count == 0)
    });
    if let (Some((name, _)), true) = (unfilled, run.orders > 0) {
        bail!("histogram {name} is empty");
    }
    Ok(())
}
