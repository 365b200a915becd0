//! Plots of a run over its day, as SVG: they need nothing to be shown.

use plotters::prelude::*;

/// Told apart by people who see colours differently, too.
const COLOURS: [RGBColor; 3] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
];
const TEXT: (&str, u32) = ("sans-serif", 14);
/// As wide as a page.
const WIDTH: u32 = 960;
const SECOND_NS: f64 = 1e9;

/// A line: its name, and its points: ns since midnight, value.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Lines over the time of the day; `None`: there is nothing to draw.
pub(crate) fn over_time(
    lines: &[Line<'_>],
    unit: &str,
    height: u32,
) -> Result<Option<String>, String> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (Some(from), Some(to)) = (
        points().map(|(at, _)| *at).min_by(f64::total_cmp),
        points().map(|(at, _)| *at).max_by(f64::total_cmp),
    ) else {
        return Ok(None);
    };
    let (low, high) = points().fold((0.0f64, 0.0f64), |(low, high), (_, value)| {
        (low.min(*value), high.max(*value))
    });
    // A line that stays at nothing is drawn, too.
    let room = ((high - low) * 0.05).max(0.01);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(32)
            .y_label_area_size(84)
            .build_cartesian_2d(from..to.max(from + SECOND_NS), (low - room)..(high + room))
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(WHITE)
            .label_style(TEXT)
            .y_desc(unit)
            .x_label_formatter(&time)
            .y_label_formatter(&number)
            .draw()
            .map_err(failed)?;
        for (line, colour) in lines.iter().zip(COLOURS.into_iter().cycle()) {
            let mark = move |(x, y)| Rectangle::new([(x, y - 4), (x + 14, y + 4)], colour.filled());
            let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
            let drawn = chart.draw_series(series).map_err(failed)?;
            drawn.label(line.name).legend(mark);
        }
        if lines.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.2))
                .label_font(TEXT)
                .draw()
                .map_err(failed)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(Some(svg))
}

fn failed(error: impl std::fmt::Display) -> String {
    format!("drawing: {error}")
}

/// Time of the day.
fn time(ns: &f64) -> String {
    let seconds = ns / SECOND_NS;
    let (hours, minutes) = (seconds / 3600.0, seconds / 60.0 % 60.0);
    let text = [hours, minutes, seconds % 60.0].map(|it| format!("{:02}", it.floor()));
    text.join(":")
}

/// Whole where it is large.
fn number(value: &f64) -> String {
    if value.abs() < 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_the_day_has_hours_minutes_and_seconds() {
        let shown = [0.0, 34_200e9, 57_599.9e9].map(|ns| time(&ns));
        assert_eq!(shown, ["00:00:00", "09:30:00", "15:59:59"]);
    }
}
