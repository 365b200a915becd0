//! What more work costs: `tick_to_order` with more symbols, more strategies, more live orders.

use std::sync::atomic::AtomicBool;

use anyhow::Result;
use lab::gateway::Gateway;
use lab::netns::Lab;
use lab::run::{Candidate, Item};
use report::{Entry, Point};

use crate::latency::{Load, Workload, measure, traffic};

/// The sizes that are measured.
const SYMBOLS: [u16; 3] = [1, 100, 10_000];
const STRATEGIES: [u16; 3] = [1, 4, 16];
const LIVE_ORDERS: [u64; 2] = [1_000, 1_000_000];
/// Each is measured for this long, this often: what is looked for is a factor, not a percent.
const SECONDS: f64 = 1.0;
const ROUNDS: u32 = 2;

/// Measures every size, interleaved.
///
/// # Errors
/// The first run that failed.
pub fn grow(
    lab: &Lab,
    folder: &std::path::Path,
    stop: &AtomicBool,
    mut on_run: impl FnMut(&str),
) -> Result<Vec<Point>> {
    let workload = Workload {
        seconds: SECONDS,
        ..Workload::default()
    };
    let mut sizes = Vec::new();
    let mut items = Vec::new();
    let mut add = |what: &str, size: u64, workload: Workload, strategies: u16| -> Result<()> {
        let gateway = Gateway {
            strategies,
            ..Gateway::default()
        };
        items.push(Item {
            name: format!("{what} {size}"),
            traffic: traffic(&Load::Fixed, &workload, folder)?,
            candidate: Candidate::Gateway(gateway),
        });
        sizes.push((what.to_owned(), size));
        Ok(())
    };
    for symbols in SYMBOLS {
        add(
            "symbols",
            symbols.into(),
            Workload {
                symbols,
                ..workload
            },
            1,
        )?;
    }
    for strategies in STRATEGIES {
        add("strategies", strategies.into(), workload, strategies)?;
    }
    for standing in LIVE_ORDERS {
        add(
            "live orders",
            standing,
            Workload {
                standing,
                ..workload
            },
            1,
        )?;
    }
    let entries = measure(lab, &items, ROUNDS, stop, |round, outcome| {
        on_run(&format!("{}, round {round}", outcome.run.name));
    })?;
    Ok(points(&sizes, &entries))
}

fn points(sizes: &[(String, u64)], entries: &[Entry]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for ((what, size), entry) in sizes.iter().zip(entries) {
        let p50 = entry.figure("tick_to_order", |s| s.p50).unwrap_or(0.0);
        let smallest = points.iter().find(|point| point.what == *what);
        let base = smallest.map_or(p50, |point| point.tick_to_order_p50);
        points.push(Point {
            what: what.clone(),
            size: *size,
            tick_to_order_p50: p50,
            ratio: if base > 0.0 { p50 / base } else { 0.0 },
        });
    }
    points
}
