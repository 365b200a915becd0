//! Memory and latency over time, as a page.

use std::fmt::Write;

use super::Sample;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 260.0;
const COLOURS: [&str; 3] = ["#1b6ca8", "#d1495b", "#3a7d44"];

/// A curve: what it shows, and its value at each look.
type Curve<'a> = (&'a str, fn(&Sample) -> f64);

/// A page with one picture for each.
pub(crate) fn page(samples: &[Sample], said: &str) -> String {
    let mut html = String::from(
        "<!doctype html><meta charset=\"utf-8\"><title>Soak</title><style>body{font:14px sans-serif;margin:2em}</style><h1>Soak</h1>",
    );
    write!(html, "<p>{}</p>", said.replace('<', "&lt;")).expect("memory");
    let memory: [Curve<'_>; 2] = [
        ("memory, MiB", |sample| sample.memory_kib as f64 / 1024.0),
        ("journal, MiB", |sample| {
            sample.journal_bytes as f64 / 1_048_576.0
        }),
    ];
    let latency: [Curve<'_>; 3] = [
        ("tick to order p50, µs", |sample| latency_us(sample, 0)),
        ("p99", |sample| latency_us(sample, 1)),
        ("p99.9", |sample| latency_us(sample, 2)),
    ];
    for curve in memory {
        html.push_str(&picture(samples, &[curve]));
    }
    html.push_str(&picture(samples, &latency));
    html
}

fn latency_us(sample: &Sample, which: usize) -> f64 {
    let three = sample.latency_ns.get("tick_to_order");
    three.map_or(0.0, |three| three[which] as f64 / 1000.0)
}

/// Curves over the same seconds, from 0 to their largest value.
fn picture(samples: &[Sample], curves: &[Curve<'_>]) -> String {
    let end_s = samples.last().map_or(1.0, |sample| sample.at_s.max(1.0));
    let values = curves.iter().flat_map(|(_, of)| samples.iter().map(of));
    let most = values.fold(1.0, f64::max);
    let mut svg = format!("<svg width=\"{WIDTH}\" height=\"{}\">", HEIGHT + 40.0);
    for (index, (colour, (name, of))) in COLOURS.iter().zip(curves).enumerate() {
        let label = 14 + 16 * index;
        let at = |sample: &Sample| {
            let (x, y) = (
                sample.at_s / end_s * WIDTH,
                HEIGHT * (1.0 - of(sample) / most) + 20.0,
            );
            format!("{x:.1},{y:.1}")
        };
        let points: Vec<String> = samples.iter().map(at).collect();
        write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" points=\"{}\"/><text x=\"4\" y=\"{label}\" fill=\"{colour}\">{name}: 0 to {most:.1}, over {end_s:.0} s</text>",
            points.join(" ")
        )
        .expect("memory");
    }
    svg.push_str("</svg><br>");
    svg
}
