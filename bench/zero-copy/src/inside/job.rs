//! The main job inside: a replayed day, the gateway, an exchange that answers and fills; once with the kernel's TCP and once
//! past it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use feeds::generate;
use feeds::replay::Pace;
use lab::gateway::Gateway;
use lab::netns::{Cards, Lab};
use lab::run::{self, Candidate, Item};
use lab::traffic::Traffic;

use crate::cards::{Card, Kind, Link};
use crate::report::JobRun;

/// Packets a second of each line: what an emulated machine does with time to spare.
const RATE: f64 = 2_000.0;
/// An order on every n-th change of the best price.
const EVERY: u64 = 10;
/// How orders leave.
const SUBMITS: [&str; 2] = ["enter", "delegated"];

/// Runs it on cards of a kind, both ways of sending.
///
/// # Errors
/// A process failed, with what it said.
pub fn run(kind: Kind, messages: u64, stop: &AtomicBool) -> Result<Vec<JobRun>> {
    let folder = tempfile::tempdir()?;
    let day = folder.path().join("day");
    let options = generate::Options {
        seed: 15,
        messages,
        symbols: 50,
        live: 0,
    };
    generate::to_file(&options, &day, |_| ())?;
    let pair = |link| -> Result<[String; 2]> {
        let end = |end| Card { kind, link, end }.interface();
        Ok([end(0)?, end(1)?])
    };
    let cards = Cards {
        feed: pair(Link::Feed)?,
        orders: pair(Link::Orders)?,
    };
    let lab = Lab::of_cards(&cards)?;
    let mut jobs = Vec::new();
    for submit in SUBMITS {
        let job = one(&lab, kind, submit, &day, stop);
        let job = job.with_context(|| format!("submit = {submit}"))?;
        eprintln!("job: {job}");
        jobs.push(job);
    }
    Ok(jobs)
}

fn one(lab: &Lab, kind: Kind, submit: &str, day: &Path, stop: &AtomicBool) -> Result<JobRun> {
    let require = match kind {
        Kind::ZeroCopy => "zero-copy",
        Kind::Copy => "native-copy",
    };
    let mut sets = vec![
        "feed.itch.books.orders_max=65536".to_owned(),
        "feed.itch.books.levels_max=65536".to_owned(),
    ];
    if submit == "delegated" {
        sets.push("session.ouch.require=delegated".to_owned());
        sets.push("session.ouch.zero_copy=true".to_owned());
    }
    let gateway = Gateway {
        every: EVERY,
        submit: submit.to_owned(),
        require: require.to_owned(),
        sets,
        is_exchange_polled: false,
        ..Gateway::default()
    };
    let traffic = Traffic {
        feed: day.to_owned(),
        pace: Pace::Rate(RATE),
        lines: 2,
        ..Traffic::quiet()
    };
    let name = format!("{}-{submit}", kind.name());
    let item = Item {
        name: name.clone(),
        traffic,
        candidate: Candidate::Gateway(gateway),
    };
    let outcome = run::run(lab, &item, |_| (), stop)?;
    Ok(JobRun::new(name, submit, outcome.run, outcome.said))
}
