//! The report's plots, drawn as SVG: they need nothing to be shown.

use anyhow::{Result, anyhow};
use gateway::telemetry::histograms;
use hdrhistogram::Histogram;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::entry::{Entry, Sample};
use crate::model::{Point, RatePoint};

/// Told apart by people who see colours differently, too.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(90, 90, 90),
    RGBColor(150, 110, 60),
];
const SIZE: (u32, u32) = (960, 420);
const TEXT: (&str, u32) = ("sans-serif", 14);

/// The x axis of a percentile plot: how rare a value is, 1 in 1 to 1 in 100,000.
struct Rarity(f64);

impl Ranged for Rarity {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = value.max(1.0).log10() / self.0.log10();
        let width = f64::from(limit.1 - limit.0);
        #[expect(clippy::cast_possible_truncation, reason = "a place on a plot")]
        let place = (share * width) as i32;
        limit.0 + place
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        let points = [1.0, 2.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
        points.into_iter().filter(|at| *at <= self.0).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        1.0..self.0
    }
}

impl ValueFormatter<f64> for Rarity {
    fn format_ext(&self, value: &f64) -> String {
        let percent = (1.0 - 1.0 / value) * 100.0;
        let digits = (value.log10() - 2.0).max(0.0).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a handful of digits"
        )]
        let digits = digits as usize;
        format!("{percent:.digits$} %")
    }
}

/// µs as people read them.
fn us(value: &f64) -> String {
    if *value < 10.0 {
        format!("{value:.1} µs")
    } else if *value < 1000.0 {
        format!("{value:.0} µs")
    } else {
        format!("{:.0} ms", value / 1000.0)
    }
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing: {error}")
}

fn colour(index: usize) -> RGBColor {
    let colour = COLOURS.get(index % COLOURS.len());
    colour.copied().unwrap_or(BLACK)
}

/// `wire_to_wire` of every run by percentile, both axes logarithmic.
pub(super) fn percentiles(entries: &[&Entry]) -> Result<Option<String>> {
    let curves: Vec<(&str, Vec<(f64, f64)>)> = entries
        .iter()
        .filter_map(|entry| {
            let histogram = entry.run.histogram("wire_to_wire")?;
            (!histogram.is_empty()).then(|| (entry.run.name.as_str(), curve(&histogram)))
        })
        .collect();
    let points = || curves.iter().flat_map(|(_, points)| points);
    let Some(most) = points().map(|(x, _)| *x).max_by(f64::total_cmp) else {
        return Ok(None);
    };
    let (low, high) = bounds(points().map(|(_, y)| *y));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(Rarity(most.max(10.0)), (low..high).log_scale())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .label_style(TEXT)
            .x_desc("share of orders that were at least as fast")
            .y_label_formatter(&us)
            .draw()
            .map_err(failed)?;
        for (index, (name, points)) in curves.iter().enumerate() {
            line(&mut chart, index, name, points.clone())?;
        }
        legend(&mut chart)?;
        root.present().map_err(failed)?;
    }
    Ok(Some(svg))
}

/// How rare each latency is; µs.
fn curve(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let total = histogram.len() as f64;
    let mut points = vec![(1.0, histogram.min() as f64 / 1000.0)];
    let mut below = 0;
    for step in histogram.iter_recorded() {
        below += step.count_since_last_iteration();
        let left = (total - below as f64).max(0.5);
        points.push((total / left, step.value_iterated_to() as f64 / 1000.0));
    }
    points
}

/// Half a decade of room on either side.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::MAX, 0.0f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    ((low * 0.7).max(0.01), (high * 1.4).max(0.1))
}

/// p50, p99.9 and the largest over time, of one run.
pub(super) fn course(entry: &Entry) -> Result<Option<String>> {
    let series = &entry.series;
    let Some(last) = series.last() else {
        return Ok(None);
    };
    type Pick = fn(&Sample) -> u64;
    let lines: [(&str, Pick); 3] = [
        ("p50", |sample| sample.p50),
        ("p99.9", |sample| sample.p999),
        ("max", |sample| sample.max),
    ];
    let value = |sample: &Sample, pick: Pick| pick(sample) as f64 / 1000.0;
    let (low, high) = bounds(
        series
            .iter()
            .flat_map(|sample| lines.map(|(_, pick)| value(sample, pick))),
    );
    let end = last.at_ms as f64 / 1000.0 + 0.1;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (SIZE.0, 300)).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..end, (low..high).log_scale())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .label_style(TEXT)
            .x_desc("seconds")
            .x_label_formatter(&|value| format!("{value:.1}"))
            .y_label_formatter(&us)
            .draw()
            .map_err(failed)?;
        for (index, (name, pick)) in lines.into_iter().enumerate() {
            let at = |sample: &Sample| sample.at_ms as f64 / 1000.0;
            let points = series
                .iter()
                .map(|sample| (at(sample), value(sample, pick)));
            line(&mut chart, index, name, points.collect())?;
        }
        legend(&mut chart)?;
        root.present().map_err(failed)?;
    }
    Ok(Some(svg))
}

/// The histograms that follow one another on the way: each begins where the one before it ends. Those that
/// span several hops are left out.
fn hops() -> impl Iterator<Item = &'static str> {
    let mut reached = None;
    histograms().filter_map(move |(name, meaning)| {
        let (from, to) = meaning.split_once(" -> ")?;
        if reached.is_some_and(|reached| reached != from) {
            return None;
        }
        reached = Some(to);
        Some(name)
    })
}

/// Where an order's time goes: p50 and p99 of each stage of one gateway.
pub(super) fn stages(entry: &Entry) -> Result<Option<String>> {
    let of = |name: &str| {
        entry
            .run
            .measured
            .histograms
            .get(name)
            .filter(|s| s.count > 0)
    };
    let rows: Vec<(&str, f64, f64)> = hops()
        .filter_map(|name| of(name).map(|s| (name, s.p50 as f64, s.p99 as f64)))
        .collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let most = rows.iter().map(|(_, _, p99)| *p99).fold(1.0, f64::max) * 1.1;
    let names: Vec<&str> = rows.iter().map(|(name, ..)| *name).collect();
    let count = rows.len() as f64;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (SIZE.0, 300)).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(170)
            .build_cartesian_2d(0.0..most, 0.0..count)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .disable_y_mesh()
            .label_style(TEXT)
            .x_desc("ns; full bar: p50, pale bar: p99")
            .x_label_formatter(&|value| format!("{value:.0}"))
            .y_labels(0)
            .draw()
            .map_err(failed)?;
        for (index, (_, p50, p99)) in rows.iter().enumerate() {
            let top = count - index as f64;
            let bar = |value: f64, style: ShapeStyle| {
                Rectangle::new([(0.0, top - 0.8), (value, top - 0.2)], style)
            };
            chart
                .draw_series([
                    bar(*p99, colour(0).mix(0.3).filled()),
                    bar(*p50, colour(0).filled()),
                ])
                .map_err(failed)?;
        }
        for (index, name) in names.iter().enumerate() {
            let (_, y) = chart.backend_coord(&(0.0, count - index as f64 - 0.35));
            root.draw(&Text::new((*name).to_owned(), (14, y - 2), TEXT))
                .map_err(failed)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(Some(svg))
}

/// `tick_to_order` as things grow, against the smallest size.
pub(super) fn growth(points: &[Point]) -> Result<Option<String>> {
    if points.is_empty() {
        return Ok(None);
    }
    let mut names: Vec<&str> = points.iter().map(|point| point.what.as_str()).collect();
    names.dedup();
    let biggest = points.iter().map(|p| p.size).max().unwrap_or(1) as f64;
    let most = points.iter().map(|p| p.ratio).fold(2.0, f64::max) * 1.1;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (SIZE.0, 300)).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d((1.0..biggest * 2.0).log_scale(), 0.0..most)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .label_style(TEXT)
            .x_desc("how many")
            .y_desc("times the smallest")
            .draw()
            .map_err(failed)?;
        for (index, name) in names.into_iter().enumerate() {
            let of = points.iter().filter(|point| point.what == name);
            let points = of.map(|point| (point.size as f64, point.ratio));
            line(&mut chart, index, name, points.collect())?;
        }
        legend(&mut chart)?;
        root.present().map_err(failed)?;
    }
    Ok(Some(svg))
}

/// The median of one histogram over the rate, a line for each candidate.
pub(super) fn sweep(points: &[RatePoint], histogram: &str) -> Result<Option<String>> {
    let value = |point: &RatePoint| match histogram {
        "tick_to_order" => point.tick_to_order_p50,
        _ => point.wire_to_wire_p50,
    };
    let known = points
        .iter()
        .filter_map(|point| Some((point, value(point)? / 1000.0)));
    let known: Vec<(&RatePoint, f64)> = known.collect();
    let rates = || known.iter().map(|(point, _)| point.rate);
    let (Some(least), Some(most)) = (
        rates().min_by(f64::total_cmp),
        rates().max_by(f64::total_cmp),
    ) else {
        return Ok(None);
    };
    let (low, high) = bounds(known.iter().map(|(_, us)| *us));
    let mut names: Vec<&str> = Vec::new();
    for (point, _) in &known {
        if !names.contains(&point.name.as_str()) {
            names.push(&point.name);
        }
    }
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (SIZE.0, 300)).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let x = ((least * 0.8)..(most * 1.25)).log_scale();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(64)
            .build_cartesian_2d(x, (low..high).log_scale())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .label_style(TEXT)
            .x_desc("packets a second")
            .x_label_formatter(&|value| format!("{value:.0}"))
            .y_label_formatter(&us)
            .draw()
            .map_err(failed)?;
        for (index, name) in names.into_iter().enumerate() {
            let of = known.iter().filter(|(point, _)| point.name == name);
            let points = of.map(|(point, us)| (point.rate, *us));
            line(&mut chart, index, name, points.collect())?;
        }
        legend(&mut chart)?;
        root.present().map_err(failed)?;
    }
    Ok(Some(svg))
}

/// One line with its place in the legend.
fn line<'a, DB, CT>(
    chart: &mut ChartContext<'a, DB, CT>,
    index: usize,
    name: &str,
    points: Vec<(f64, f64)>,
) -> Result<()>
where
    DB: DrawingBackend + 'a,
    DB::ErrorType: 'static,
    CT: CoordTranslate<From = (f64, f64)>,
{
    let colour = colour(index);
    let mark = move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], colour.filled());
    chart
        .draw_series(LineSeries::new(points, colour.stroke_width(2)))
        .map_err(failed)?
        .label(name)
        .legend(mark);
    Ok(())
}

fn legend<'a, DB, CT>(chart: &mut ChartContext<'a, DB, CT>) -> Result<()>
where
    DB: DrawingBackend + 'a,
    DB::ErrorType: 'static,
    CT: CoordTranslate,
{
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .label_font(TEXT)
        .draw()
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_lead_from_the_wire_to_the_hand_over_without_what_spans_several() {
        let hops: Vec<&str> = hops().collect();
        let ends: Vec<_> = hops
            .iter()
            .filter_map(|hop| hop.split_once("_to_"))
            .collect();
        assert!(ends.windows(2).all(|two| two[0].1 == two[1].0), "{hops:?}");
        assert_eq!(ends.first().map(|hop| hop.0), Some("wire"));
        assert_eq!(ends.last().map(|hop| hop.1), Some("submitted"));
    }
}
