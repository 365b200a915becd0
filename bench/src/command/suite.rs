//! `suite`: every figure that the project states, with its aims.

#![expect(clippy::print_stdout, reason = "tables are what this command prints")]

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, bail};
use bench::latency::{Load, Workload, traffic};
use bench::{aims, flood, growth, itch_book, rate_sweep, sends};
use lab::gateway::Gateway;
use lab::netns::Lab;
use lab::peer::Program;
use lab::run::{Candidate, Item};
use peers::Peers;
use report::Report;

use super::shown::{Output, bar, finish, item, measure_shown, tell_peers};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often gateway, floor and peers run, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Only these parts: latency, sends, rates, loads, receivers, floods, growth, books.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// A Python with itch-book, and its programs beside it, to compare books with.
    #[arg(long, value_name = "PYTHON")]
    itch_book: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// The parts of the suite, in order.
const PARTS: [&str; 8] = [
    "latency",
    "sends",
    "rates",
    "loads",
    "receivers",
    "floods",
    "growth",
    "books",
];
/// Orders by each way of sending.
const SENDS: u64 = 40_000;
/// Rounds of the sweep over rates: twelve runs each.
const SWEEP_ROUNDS: u32 = 3;

/// Gateway, floor, peers, ways of sending, rates, loads, receivers, floods, growth, books: everything.
pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    if let Some(wrong) = arguments
        .only
        .iter()
        .find(|part| !PARTS.contains(&part.as_str()))
    {
        bail!("--only {wrong}: expected of {}", PARTS.join(", "));
    }
    let mut suite = Suite {
        arguments,
        stop,
        folder: tempfile::Builder::new().prefix("tickgate-day-").tempdir()?,
        peers: Peers::build(peers::ALL)?,
        lab: Lab::new()?,
        report: Report::new("tickgate-bench suite"),
    };
    tell_peers(&mut suite.report, &suite.peers);
    for (number, part) in PARTS.into_iter().enumerate() {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == part) {
            continue;
        }
        println!("{}/{} {part}", number + 1, PARTS.len());
        match part {
            "latency" => suite.latency()?,
            "sends" => suite.sends()?,
            "rates" => suite.rates()?,
            "loads" => suite.loads()?,
            "receivers" => suite.receivers()?,
            "floods" => suite.floods()?,
            "growth" => suite.growth()?,
            _ => suite.books()?,
        }
    }
    finish(&suite.report, &arguments.output)
}

/// What the parts of the suite share.
struct Suite<'a> {
    arguments: &'a Arguments,
    stop: &'a AtomicBool,
    folder: tempfile::TempDir,
    peers: Peers,
    lab: Lab,
    report: Report,
}

impl Suite<'_> {
    fn latency(&mut self) -> Result<()> {
        let main = traffic(&Load::Fixed, &Workload::default(), self.folder.path())?;
        let gateway = Candidate::Gateway(Gateway::default());
        let delegated = Candidate::Gateway(Gateway {
            submit: "delegated".to_owned(),
            // A step down would be measured as what it is not.
            sets: vec!["session.ouch.require=delegated".to_owned()],
            ..Gateway::default()
        });
        let mut items = vec![
            item("gateway", &main, gateway),
            item(aims::DELEGATED, &main, delegated),
        ];
        for ready in &self.peers.ready {
            items.push(item(ready.name, &main, Candidate::Peer(ready.clone())));
        }
        self.run(&items, self.arguments.rounds.max(1))?;
        self.report.aims.extend(aims::of_latency(&self.report));
        self.report.aims.extend(aims::of_delegated(&self.report));
        Ok(())
    }

    fn sends(&mut self) -> Result<()> {
        let sent = sends::measure(&self.lab, SENDS)?;
        self.report.aims.extend(aims::of_sends(&sent));
        Ok(())
    }

    fn rates(&mut self) -> Result<()> {
        let floor = self.floor().map_or(&[][..], std::slice::from_ref);
        let items = rate_sweep::items(&Workload::default(), &[], floor, self.folder.path())?;
        self.run(&items, SWEEP_ROUNDS)?;
        self.report.sweep = rate_sweep::points(&self.report);
        self.report.aims.extend(rate_sweep::aims(&self.report));
        Ok(())
    }

    fn loads(&mut self) -> Result<()> {
        let mut items = Vec::new();
        let loads = [
            Load::Poisson,
            Load::Burst(10),
            Load::Burst(25),
            Load::Burst(100),
            Load::Silence,
        ];
        for load in loads {
            let seconds = if load == Load::Silence { 6.0 } else { 1.5 };
            let workload = Workload {
                seconds,
                ..Workload::default()
            };
            let traffic = traffic(&load, &workload, self.folder.path())?;
            let gateway = Candidate::Gateway(Gateway::default());
            items.push(item(&format!("gateway {load}"), &traffic, gateway));
            if let Some(ready) = self.floor() {
                let floor = Candidate::Peer(ready.clone());
                items.push(item(&format!("floor {load}"), &traffic, floor));
            }
        }
        self.run(&items, 1)
    }

    fn receivers(&mut self) -> Result<()> {
        let fast = Workload {
            rate: 200_000.0,
            every: 1_000,
            seconds: 1.5,
            ..Workload::default()
        };
        let fast = traffic(&Load::Fixed, &fast, self.folder.path())?;
        let receiver = |receive: &str| {
            Candidate::Gateway(Gateway {
                receive: receive.to_owned(),
                ..Gateway::default()
            })
        };
        let items = [
            item("gateway 200,000/s", &fast, receiver("af_xdp")),
            item("gateway recvmmsg 200,000/s", &fast, receiver("udp")),
        ];
        self.run(&items, 3)?;
        if let [.., af_xdp, udp] = self.report.runs.as_slice() {
            let receivers = aims::of_receivers(af_xdp, udp);
            self.report.aims.extend(receivers);
        }
        Ok(())
    }

    fn floods(&mut self) -> Result<()> {
        let (floods, skipped) = flood::all(&self.lab, 1_000_000, self.stop, |flood| {
            println!(
                "  {}, {} messages a packet: {:.0} packets/s sent, {:.0} received",
                flood.name, flood.pack, flood.sent_per_second, flood.received_per_second
            );
        })?;
        self.report.aims.extend(aims::of_floods(&floods));
        self.report.floods = floods;
        self.report.skipped.extend(skipped);
        Ok(())
    }

    fn growth(&mut self) -> Result<()> {
        let bar = bar(16);
        let folder = self.folder.path();
        self.report.growth = growth::grow(&self.lab, folder, self.stop, |what| {
            bar.inc(1);
            bar.set_message(what.to_owned());
        })?;
        bar.finish_and_clear();
        self.report
            .aims
            .extend(aims::of_growth(&self.report.growth));
        Ok(())
    }

    fn books(&mut self) -> Result<()> {
        let python = self.arguments.itch_book.as_deref();
        let folder = self.folder.path();
        let found = &mut self.report.aims;
        found.extend(itch_book::of_books(folder, python)?);
        found.extend(itch_book::on_its_own_day(folder, python)?);
        found.extend(aims::of_ring());
        Ok(())
    }

    /// The program without any logic, where it is built.
    fn floor(&self) -> Option<&Program> {
        let mut ready = self.peers.ready.iter();
        ready.find(|program| program.name == peers::FLOOR)
    }

    fn run(&mut self, items: &[Item], rounds: u32) -> Result<()> {
        let entries = measure_shown(&self.lab, items, rounds, self.stop)?;
        self.report.runs.extend(entries);
        Ok(())
    }
}
