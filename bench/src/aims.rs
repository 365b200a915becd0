//! The speed that the project promises itself: each aim, what was measured, and whether it is enough.

use hdrhistogram::Histogram;
use report::{Aim, Entry, Flood, Point, Report};

use crate::rings;
use crate::sends::Sent;

/// Who took how long.
fn note(pairs: &[(&str, Option<f64>)]) -> String {
    let shown = pairs.iter().map(|(name, value)| match value {
        Some(value) => format!("{name} {value:.0} ns"),
        None => format!("{name} not there"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// What the latency entries say.
#[must_use]
pub fn of_latency(report: &Report) -> Vec<Aim> {
    let wire = |name: &str, pick: fn(&gateway::telemetry::Summary) -> u64| {
        report
            .entry(name)
            .and_then(|entry| entry.figure("wire_to_wire", pick))
    };
    let ratio = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a / b);
    let (ours, floor) = (wire("gateway", |s| s.p50), wire("floor", |s| s.p50));
    let (ours_p99, floor_p99) = (wire("gateway", |s| s.p99), wire("floor", |s| s.p99));
    let sleepers = peers::ALL.iter().filter(|peer| peer.sleeps);
    let sleepers = sleepers.filter_map(|peer| Some((peer.name, wire(peer.name, |s| s.p50)?)));
    let best = sleepers.min_by(|a, b| a.1.total_cmp(&b.1));
    let busy = wire("busy_socket", |s| s.p50);
    let tick = |pick: fn(&gateway::telemetry::Summary) -> u64| {
        report
            .entry("gateway")
            .and_then(|entry| entry.figure("tick_to_order", pick))
    };
    let ns = |what: &str, aim, measured| Aim {
        unit: "ns".to_owned(),
        ..Aim::at_most(what, aim, measured, String::new())
    };
    vec![
        Aim::at_most(
            "wire_to_wire p50, gateway / floor",
            1.10,
            ratio(ours, floor),
            note(&[("gateway", ours), ("floor", floor)]),
        ),
        Aim::at_most(
            "wire_to_wire p99, gateway / floor",
            1.25,
            ratio(ours_p99, floor_p99),
            note(&[("gateway", ours_p99), ("floor", floor_p99)]),
        ),
        Aim::at_most(
            "wire_to_wire p50, gateway / best of those that sleep",
            0.35,
            ratio(ours, best.map(|(_, value)| value)),
            note(&[
                ("gateway", ours),
                (best.map_or("none", |b| b.0), best.map(|b| b.1)),
            ]),
        ),
        Aim::at_most(
            "wire_to_wire p50, gateway / busy_socket",
            1.05,
            ratio(ours, busy),
            note(&[("gateway", ours), ("busy_socket", busy)]),
        ),
        ns("tick_to_order p50", 250.0, tick(|s| s.p50)),
        Aim {
            note: "600 ns, or twice the p50".to_owned(),
            ..ns(
                "tick_to_order p99",
                tick(|s| s.p50).map_or(600.0, |p50| (2.0 * p50).max(600.0)),
                tick(|s| s.p99),
            )
        },
    ]
}

/// The gateway whose orders leave past the kernel's TCP, among those of [`of_latency`].
pub const DELEGATED: &str = "gateway delegated";

/// What orders past the kernel's TCP say beside the same gateway without, and beside the floor.
#[must_use]
pub fn of_delegated(report: &Report) -> Vec<Aim> {
    let p50 = |name: &str| report.entry(name)?.figure("wire_to_wire", |s| s.p50);
    let ours = p50(DELEGATED);
    [("gateway", 0.80), ("floor", 0.90)]
        .map(|(beside, bound)| {
            let theirs = p50(beside);
            Aim::at_most(
                &format!("wire_to_wire p50, {DELEGATED} / {beside}"),
                bound,
                ours.zip(theirs).map(|(ours, theirs)| ours / theirs),
                note(&[(DELEGATED, ours), (beside, theirs)]),
            )
        })
        .into()
}

/// What the ways of sending say by themselves, `enter` and `delegated`.
#[must_use]
pub fn of_sends([enter, delegated]: &[Sent; 2]) -> Vec<Aim> {
    let p50 = |it: &Histogram<u64>| it.value_at_quantile(0.5) as f64;
    let ratio = |of: fn(&Sent) -> &Histogram<u64>| (p50(of(delegated)), p50(of(enter)));
    let (at_interface, at_exchange) = (ratio(|it| &it.at_interface), ratio(|it| &it.at_exchange));
    let handed = ratio(|it| &it.handed);
    vec![Aim::at_most(
        "encoded -> exchange's interface p50, delegated / io_uring",
        0.70,
        Some(at_interface.0 / at_interface.1),
        format!(
            "{:.0} ns and {:.0} ns; until the exchange has it {:.0} and {:.0}, until the sender goes on {:.0} and {:.0}",
            at_interface.0, at_interface.1, at_exchange.0, at_exchange.1, handed.0, handed.1
        ),
    )]
}

/// What the receivers at a high rate say: AF_XDP and `recvmmsg`.
#[must_use]
pub fn of_receivers(af_xdp: &Entry, udp: &Entry) -> Vec<Aim> {
    let cost = |entry: &Entry| entry.median_of(|round| round.receive_ns);
    let (ours, theirs) = (cost(af_xdp), cost(udp));
    let idle = |entry: &Entry| {
        let share = entry.median_of(|round| round.idle_share);
        share.map_or_else(
            || "unknown".to_owned(),
            |share| format!("{:.0} %", share * 100.0),
        )
    };
    let seen = |entry: &Entry| entry.figure("wire_to_seen", |s| s.p50);
    let (our_seen, their_seen) = (seen(af_xdp), seen(udp));
    vec![
        Aim::at_most(
            "receive core a packet, AF_XDP / recvmmsg",
            0.2,
            ours.zip(theirs).map(|(a, b)| a / b),
            format!(
                "{:.0} ns and {:.0} ns; feed stage idle {} and {}",
                ours.unwrap_or(0.0),
                theirs.unwrap_or(0.0),
                idle(af_xdp),
                idle(udp)
            ),
        ),
        Aim::at_most(
            "wire_to_seen p50, AF_XDP / recvmmsg",
            1.0,
            our_seen.zip(their_seen).map(|(a, b)| a / b),
            format!(
                "{:.0} ns and {:.0} ns",
                our_seen.unwrap_or(0.0),
                their_seen.unwrap_or(0.0)
            ),
        ),
    ]
}

/// What the flood says.
#[must_use]
pub fn of_floods(floods: &[Flood]) -> Vec<Aim> {
    let ours = floods
        .iter()
        .filter(|flood| flood.name.starts_with("gateway, books, af_xdp"));
    let best = ours
        .filter(|flood| flood.received >= flood.sent)
        .max_by(|a, b| a.received_per_second.total_cmp(&b.received_per_second));
    vec![Aim {
        what: "packets a second into books, nothing lost".to_owned(),
        aim: 1_000_000.0,
        is_at_least: true,
        measured: best.map(|flood| flood.received_per_second),
        unit: "packets/s".to_owned(),
        note: best.map_or_else(
            || "every flood lost packets".to_owned(),
            |flood| {
                format!(
                    "{} messages a packet; nothing lost, so this is the sender's limit",
                    flood.pack
                )
            },
        ),
    }]
}

/// The ring beside rtrb and beside a bare cache line.
#[must_use]
pub fn of_ring() -> Vec<Aim> {
    let hops = rings::measure();
    let [ours, theirs, raw] = hops.trip;
    let [our_rate, their_rate] = hops.rate;
    let [our_inline, their_inline] = hops.inline;
    vec![
        Aim::at_most(
            "ring, there and back / raw cache line",
            1.1,
            Some(ours / raw),
            format!("{ours:.0} ns and {raw:.0} ns"),
        ),
        Aim::at_most(
            "ring, there and back / rtrb",
            1.0,
            Some(ours / theirs),
            format!("{ours:.0} ns and {theirs:.0} ns"),
        ),
        Aim::at_most(
            "ring, full rate / rtrb",
            1.0,
            Some(our_rate / their_rate),
            format!(
                "{our_rate:.1} ns and {their_rate:.1} ns an event; on one core {our_inline:.1} and \
                 {their_inline:.1}"
            ),
        ),
    ]
}

/// What growth says.
#[must_use]
pub fn of_growth(points: &[Point]) -> Vec<Aim> {
    let worst = |what: &str| {
        let ratios = points.iter().filter(|point| point.what == what);
        ratios.map(|point| point.ratio).max_by(f64::total_cmp)
    };
    let list = |what: &str| {
        let of = points.iter().filter(|point| point.what == what);
        let shown = of.map(|point| format!("{}: {:.0} ns", point.size, point.tick_to_order_p50));
        shown.collect::<Vec<_>>().join(", ")
    };
    ["symbols", "live orders"]
        .map(|what| {
            Aim::at_most(
                &format!("tick_to_order p50 as {what} grow"),
                1.5,
                worst(what),
                list(what),
            )
        })
        .into()
}
