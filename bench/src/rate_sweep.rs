//! Latency over the rate: what silence between packets costs, and what rehearsals make of it.
//!
//! All candidates run at all rates in each round, so that what drifts on the host hits all alike.

use std::path::Path;

use anyhow::Result;
use gateway::telemetry::{Kind, Summary};
use lab::gateway::Gateway;
use lab::peer::Program;
use lab::run::{Candidate, Item};
use report::{Aim, Entry, RatePoint, Report};

use crate::latency::{Load, Workload, traffic};

/// Packets a second.
const RATES: [f64; 4] = [1_000.0, 5_000.0, 20_000.0, 100_000.0];
const WARM: &str = "gateway";
const COLD: &str = "gateway, never rehearsing";
/// What the slowest rate's median may be of the fastest one's.
const RATIO_MAX: f64 = 1.3;
/// What the gateway's median may be of the floor's, at each rate but the last, at which orders wait for one another.
const OF_FLOOR_MAX: f64 = 1.05;
/// The stages whose tail a rehearsal may not lengthen by more than itself.
const STAGES: [&str; 5] = [
    "seen_to_published",
    "published_to_picked",
    "picked_to_decided",
    "decided_to_encoded",
    "tick_to_order",
];

fn name_of(candidate: &str, rate: f64) -> String {
    format!("{candidate} at {rate}/s")
}

/// Every candidate at every rate, peers behind the gateways. `sets` are more settings for both gateways.
///
/// # Errors
/// A feed's file cannot be written.
pub fn items(
    workload: &Workload,
    sets: &[String],
    peers: &[Program],
    folder: &Path,
) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for rate in RATES {
        let workload = Workload { rate, ..*workload };
        let traffic = traffic(&Load::Fixed, &workload, folder)?;
        let gateway = |set: Option<&str>| {
            let set = set.map(str::to_owned);
            Candidate::Gateway(Gateway {
                sets: sets.iter().cloned().chain(set).collect(),
                ..Gateway::default()
            })
        };
        let gateways = [
            (WARM, gateway(None)),
            (COLD, gateway(Some("layout.rehearse_us=0"))),
        ];
        let peers = peers
            .iter()
            .map(|it| (it.name, Candidate::Peer(it.clone())));
        let candidates = gateways.into_iter().chain(peers);
        items.extend(candidates.map(|(name, candidate)| Item {
            name: name_of(name, rate),
            traffic: traffic.clone(),
            candidate,
        }));
    }
    Ok(items)
}

/// What the entries of [`items`] say.
#[must_use]
pub fn points(report: &Report) -> Vec<RatePoint> {
    let mut points = Vec::new();
    let peers = peers::ALL.iter().map(|peer| peer.name);
    for name in [WARM, COLD].into_iter().chain(peers) {
        for rate in RATES {
            let Some(entry) = report.entry(&name_of(name, rate)) else {
                continue;
            };
            points.push(RatePoint {
                name: name.to_owned(),
                rate,
                tick_to_order_p50: entry.figure("tick_to_order", |s| s.p50),
                tick_to_order_p99: entry.figure("tick_to_order", |s| s.p99),
                wire_to_wire_p50: entry.figure("wire_to_wire", |s| s.p50),
                wire_to_wire_p99: entry.figure("wire_to_wire", |s| s.p99),
            });
        }
    }
    points
}

/// Whether it is flat enough, and whether rehearsing costs no more than a rehearsal.
#[must_use]
pub fn aims(report: &Report) -> Vec<Aim> {
    let flat = |name: &str| {
        let of = report.sweep.iter().filter(|point| point.name == name);
        let p50: Option<Vec<f64>> = of.map(|point| point.tick_to_order_p50).collect();
        let p50 = p50.filter(|p50| p50.len() == RATES.len())?;
        let slowest = p50.iter().copied().fold(0.0, f64::max);
        let fastest = p50.iter().copied().fold(f64::MAX, f64::min);
        Some((
            slowest / fastest,
            format!("{fastest:.0} to {slowest:.0} ns"),
        ))
    };
    let (warm, cold) = (flat(WARM), flat(COLD));
    let note = |flat: &Option<(f64, String)>| {
        flat.as_ref()
            .map_or_else(|| "not there".to_owned(), |(_, note)| note.clone())
    };
    let flatness = Aim::at_most(
        "tick_to_order p50, slowest rate / fastest",
        RATIO_MAX,
        warm.as_ref().map(|(ratio, _)| *ratio),
        format!("{}; never rehearsing {}", note(&warm), note(&cold)),
    );
    let tails = RATES.iter().filter_map(|rate| {
        let (warm, cold) = (
            report.entry(&name_of(WARM, *rate))?,
            report.entry(&name_of(COLD, *rate))?,
        );
        let length_ns = rehearsal_ns(warm)?;
        let (added_ns, stage) = worst_tail(warm, cold)?;
        Some(Aim {
            unit: "ns".to_owned(),
            ..Aim::at_most(
                &format!("p99 of a stage that rehearsing adds, at most a rehearsal, at {rate}/s"),
                length_ns,
                Some(added_ns),
                format!("{stage}; a rehearsal takes {length_ns:.0} ns"),
            )
        })
    });
    let beside_floor = beside_floor(&report.sweep);
    [flatness]
        .into_iter()
        .chain(tails)
        .chain(beside_floor)
        .collect()
}

/// The gateway's whole way beside the floor's, rate by rate.
fn beside_floor(sweep: &[RatePoint]) -> impl Iterator<Item = Aim> {
    let p50 = |name: &str, rate: f64| {
        let mut points = sweep.iter();
        let point = points.find(|point| point.name == name && point.rate.total_cmp(&rate).is_eq());
        point?.wire_to_wire_p50
    };
    let [slow @ .., _] = RATES;
    slow.into_iter().map(move |rate| {
        let pair = p50(WARM, rate).zip(p50(peers::FLOOR, rate));
        let note = pair.map(|(ours, floor)| format!("gateway {ours:.0} ns, floor {floor:.0} ns"));
        Aim::at_most(
            &format!("wire_to_wire p50, gateway / floor, at {rate}/s"),
            OF_FLOOR_MAX,
            pair.map(|(ours, floor)| ours / floor),
            note.unwrap_or_else(|| "one of them has no valid round".to_owned()),
        )
    })
}

/// The mean length of a rehearsal, ns; `None`: there was none.
fn rehearsal_ns(entry: &Entry) -> Option<f64> {
    let cores = entry.run.counters.get(&Kind::Core)?;
    let sum = |name: &str| {
        cores
            .values()
            .filter_map(|core| core.get(name))
            .sum::<u64>()
    };
    let (count, ns) = (sum("rehearsals"), sum("rehearsal_ns"));
    (count > 0).then(|| ns as f64 / count as f64)
}

/// The stage whose p99 is longer with rehearsals than without by the most, and by how much, ns.
fn worst_tail(warm: &Entry, cold: &Entry) -> Option<(f64, &'static str)> {
    let p99 = |entry: &Entry, stage: &str| entry.figure(stage, |s: &Summary| s.p99);
    let added = STAGES
        .into_iter()
        .filter_map(|stage| Some((p99(warm, stage)? - p99(cold, stage)?, stage)));
    added.max_by(|a, b| a.0.total_cmp(&b.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_is_held_against_the_floor_at_each_rate_at_which_no_order_waits_for_another() {
        let point = |name: &str, rate, wire_to_wire_p50| RatePoint {
            name: name.to_owned(),
            rate,
            tick_to_order_p50: None,
            tick_to_order_p99: None,
            wire_to_wire_p50,
            wire_to_wire_p99: None,
        };
        let sweep = [
            point(WARM, 1_000.0, Some(1_060.0)),
            point(COLD, 1_000.0, Some(9_000.0)),
            point(peers::FLOOR, 1_000.0, Some(1_000.0)),
            point(WARM, 5_000.0, Some(1_040.0)),
            point(peers::FLOOR, 5_000.0, None),
            point(WARM, 100_000.0, Some(7_000.0)),
            point(peers::FLOOR, 100_000.0, Some(1_000.0)),
        ];
        let aims: Vec<Aim> = beside_floor(&sweep).collect();
        let measured: Vec<Option<f64>> = aims.iter().map(|aim| aim.measured).collect();
        assert_eq!(measured, [Some(1.06), None, None]);
        assert!(aims.iter().all(|aim| (aim.aim - 1.05).abs() < 1e-9));
        assert_eq!(aims[0].what, "wire_to_wire p50, gateway / floor, at 1000/s");
        assert_eq!(aims[0].note, "gateway 1060 ns, floor 1000 ns");
        assert_eq!(aims[1].note, "one of them has no valid round");
    }
}
