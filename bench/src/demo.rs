//! The main job on one machine: namespaces, exchange, gateway, replay, table.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use gateway::telemetry::{HISTOGRAMS, Report};

use crate::lab::Lab;
use crate::replay::Pace;
use crate::run::{self, Contestant, Gateway, Live, Outcome, Traffic};

/// The market that the exchange makes: 15 s of it.
const LIVE: Live = Live {
    seed: 1,
    symbols: 100,
    rate: 20_000,
    limit: 300_000,
};
/// Packets a second of a recorded day.
const RATE: f64 = 20_000.0;

/// What to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// A feed of the user's; none: the exchange's own market.
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
    let (feed, live, every) = match &show.feed {
        Some(feed) => (feed.clone(), None, 1),
        None => (PathBuf::new(), Some(LIVE), 4),
    };
    let lab = Lab::new()?;
    let traffic = Traffic {
        feed,
        pace: Pace::Rate(RATE),
        lines: 2,
        live,
        ..Traffic::quiet()
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
    // A live exchange answers the last orders after it has said what it sent.
    if run.lost != 0 || run.sent.is_none_or(|sent| sent > run.received) {
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
