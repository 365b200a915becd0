//! The main job on one machine: namespaces, exchange, gateway, replay, table.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use feeds::replay::Pace;
use gateway::telemetry::{Kind, Report, histograms};

use crate::exchange::{GLIMPSE, Live, REREQUEST, Trouble};
use crate::gateway::Gateway;
use crate::netns::Lab;
use crate::run::{self, Candidate, Item, Outcome};
use crate::traffic::Traffic;
use crate::venue::Venue;

/// The market that the exchange makes: 15 s of it; ten times as fast, and 8 s, for a gateway that joins late.
fn live(trouble: Option<Trouble>) -> Live {
    let is_late = trouble == Some(Trouble::Late);
    let (rate, seconds) = if is_late { (200_000, 8) } else { (RATE, 15) };
    Live::Flow {
        seed: 1,
        symbols: 100,
        rate,
        limit: u64::from(rate) * seconds,
        trouble,
    }
}
/// The strategy sends an order on every n-th change of the best price.
const EVERY: u64 = 4;
const EVERY_LATE: u64 = 400;
/// Messages, or packets, a second of a recorded day.
const RATE: u32 = 20_000;

/// What to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Show {
    /// Whose feed the exchange publishes.
    pub venue: Venue,
    /// A feed of the user's; none: the exchange's own market.
    pub feed: Option<PathBuf>,
    /// What goes wrong meanwhile, and is recovered; the exchange's own market only.
    pub trouble: Option<Trouble>,
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
        // A capture has packets of its own, which are sent as they are to an exchange that fills every
        // second order; a day of messages is the exchange's market.
        Some(feed) if is_capture(feed)? => (feed.clone(), None, 1),
        Some(feed) => {
            let file = feed
                .canonicalize()
                .with_context(|| feed.display().to_string())?;
            (PathBuf::new(), Some(Live::Record { file, rate: RATE }), 1)
        }
        None => {
            let is_late = show.trouble == Some(Trouble::Late);
            let every = if is_late { EVERY_LATE } else { EVERY };
            (PathBuf::new(), Some(live(show.trouble)), every)
        }
    };
    if show.feed.is_some() && show.venue != Venue::Nasdaq {
        bail!("a feed from a file is Nasdaq's: leave the venue out");
    }
    let has_snapshots = show.venue == Venue::Nasdaq;
    if show.trouble == Some(Trouble::Late) && !has_snapshots {
        bail!("who comes late needs a snapshot, which is Nasdaq's: leave the venue out");
    }
    let mut sets = show.sets.clone();
    if show.trouble.is_some() {
        sets.push(format!("feed.itch.recovery.servers=[\"{REREQUEST}\"]"));
    }
    if show.trouble.is_some() && has_snapshots {
        sets.extend([
            format!("feed.itch.snapshot.servers=[\"{GLIMPSE}\"]"),
            "feed.itch.snapshot.username=demo".to_owned(),
            "feed.itch.snapshot.password=demo".to_owned(),
        ]);
    }
    let lab = Lab::new()?;
    let traffic = Traffic {
        venue: show.venue,
        feed,
        pace: Pace::Rate(f64::from(RATE)),
        lines: 2,
        live,
        ..Traffic::quiet()
    };
    let gateway = Gateway {
        every,
        sets,
        hgrm_dir: show.hgrm_dir.clone(),
        is_exchange_polled: false,
        ..Gateway::default()
    };
    let item = Item {
        name: "demo".to_owned(),
        traffic,
        candidate: Candidate::Gateway(gateway),
    };
    let outcome = run::run(&lab, &item, |_| (), stop)?;
    drop(lab);
    let report = Report::new("tickgate-lab demo", vec![outcome.run.clone()]);
    Ok((report, outcome))
}

/// Whether a file is a pcap or pcapng: their first bytes say so.
fn is_capture(path: &Path) -> Result<bool> {
    let mut magic = [0; 4];
    let shown = || path.display().to_string();
    let mut file = File::open(path).with_context(shown)?;
    file.read_exact(&mut magic).with_context(shown)?;
    const MAGICS: [[u8; 4]; 5] = [
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    Ok(MAGICS.contains(&magic))
}

/// What must be true of a demo that went well.
///
/// # Errors
/// The first thing that is not.
pub fn check(outcome: &Outcome) -> Result<()> {
    let run = &outcome.run;
    let count = |name| run.counter(Kind::Feed, "itch", name).unwrap_or(0);
    // What was given up was replaced by a snapshot, or the feed would not have ended fresh.
    let given_up = count("messages_lost");
    if given_up > 0 && count("snapshots_joined") == 0 {
        bail!("{given_up} messages were given up and no snapshot took their place");
    }
    // What was sent is asked before the gateway stops, which then cancels what is open: of that it hears the
    // first words.
    let accounted = run.received + given_up;
    let canceled = run.counter(Kind::Session, "ouch", "canceled").unwrap_or(0);
    let since = |sent| accounted.checked_sub(sent);
    let fits = run.sent.and_then(since).is_some_and(|it| it <= canceled);
    if !fits {
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
    let unfilled = histograms().find(|(name, _)| {
        let summary = run.measured.histograms.get(*name);
        // Good lines leave no hole and no gap, and one line alone does not race.
        !["hole_to_filled", "snapshot_to_fresh", "line_led"].contains(name)
            && summary.is_none_or(|summary| summary.count == 0)
    });
    if let (Some((name, _)), true) = (unfilled, run.orders > 0) {
        bail!("histogram {name} is empty");
    }
    Ok(())
}
