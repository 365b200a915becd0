//! The report as one page: text, tables and plots in one file that needs no network and no script.

use std::fmt::Write as _;

use anyhow::Result;
use gateway::telemetry::histograms;

use crate::entry::Entry;
use crate::model::{Aim, Report};
use crate::plots;
use crate::text::{self, host, verdicts};

const STYLE: &str = "
body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.7rem;margin-bottom:.2rem}h2{font-size:1.2rem;margin-top:2.2rem}
p.lead{font-size:1.1rem}table{border-collapse:collapse;font-size:.88rem;margin:.6rem 0}
th,td{padding:.25rem .7rem;border-bottom:1px solid #e3e6ea;text-align:right;vertical-align:top}
th{background:#f5f7f9}td:first-child,th:first-child,td.text,th.text{text-align:left}
td.met{color:#00734f}td.missed{color:#b04700;font-weight:600}
figure{margin:1rem 0}figcaption{color:#57606a;font-size:.9rem}svg{max-width:100%;height:auto}
.invalid{background:#fff3e8;border-left:4px solid #d55e00;padding:.5rem 1rem}
dt{font-weight:600}dd{margin:0 0 .5rem 0}code,pre{background:#f5f7f9;font-size:.85rem}pre{padding:.7rem;overflow:auto}
";

/// The page.
///
/// # Errors
/// A plot cannot be drawn.
pub fn html(report: &Report) -> Result<String> {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>Tickgate: latency \
         report</title>\n<meta name=\"viewport\" content=\"width=device-width\">\n<style>{STYLE}</style>\
         </head><body>\n<h1>Tickgate: latency report</h1>\n<p>{}</p>\n",
        escape(&host(report))
    );
    lead(report, &mut out);
    plot_runs(report, &mut out)?;
    tables(report, &mut out);
    if let Some(svg) = plots::growth(&report.growth)? {
        let caption = "How the time from packet to order grows with what the gateway has to do; 1 is \
                       the smallest size of each kind. A flat line is best.";
        figure("growth", "Cost of growth", caption, &svg, &mut out);
    }
    let parts = [
        (
            "tick_to_order",
            "From packet to order's bytes, over the rate",
        ),
        (
            "wire_to_wire",
            "From packet to order at the exchange, over the rate",
        ),
    ];
    for (name, title) in parts {
        if let Some(svg) = plots::sweep(&report.sweep, name)? {
            let caption = "The median at each rate. The fewer packets come, the longer the gateway waits \
                           between two of them, and the more of its way has left the caches. A flat line is \
                           best.";
            figure(&format!("sweep-{name}"), title, caption, &svg, &mut out);
        }
    }
    glossary(report, &mut out);
    settings(report, &mut out);
    out.push_str("</body></html>\n");
    Ok(out)
}

/// What was found, in a few sentences, for someone who has never seen the project.
fn lead(report: &Report, out: &mut String) {
    out.push_str(
        "<p class=\"lead\">Tickgate receives market data and answers with orders. This page says how \
         long that took: from the moment a packet was due to be sent until the exchange had the order \
         that it caused. Waiting counts, too: a packet that left late is timed from when it should have \
         left.</p>\n",
    );
    let figure = |name: &str| {
        let entry = report.entry(name)?;
        Some((
            entry.figure("wire_to_wire", |s| s.p50)? / 1000.0,
            entry.figure("wire_to_wire", |s| s.p99)? / 1000.0,
        ))
    };
    if let Some((p50, p99)) = figure("gateway") {
        let _ = write!(
            out,
            "<p>Half of the gateway's orders were at the exchange within <b>{p50:.1} µs</b>, and 99 of \
             100 within <b>{p99:.1} µs</b>."
        );
        if let Some((floor, _)) = figure("floor") {
            let _ = write!(
                out,
                " The floor, a program that only receives and sends and does no work at all, needs \
                 {floor:.1} µs on the same host, so the gateway's own work costs about {:.1} µs.",
                (p50 - floor).max(0.0)
            );
        }
        out.push_str("</p>\n");
    }
    let (invalid, said): (Vec<String>, Vec<String>) = verdicts(report)
        .into_iter()
        .partition(|line| line.starts_with("INVALID"));
    list(&said, "", out);
    if !invalid.is_empty() {
        out.push_str("<div class=\"invalid\">These rounds are not in any figure:\n");
        list(&invalid, "", out);
        out.push_str("</div>\n");
    }
    if !report.skipped.is_empty() {
        list(&report.skipped, "Not measured here: ", out);
    }
}

fn list(lines: &[String], before: &str, out: &mut String) {
    if lines.is_empty() {
        return;
    }
    out.push_str("<ul>\n");
    for line in lines {
        let _ = writeln!(out, "<li>{before}{}</li>", escape(line));
    }
    out.push_str("</ul>\n");
}

fn plot_runs(report: &Report, out: &mut String) -> Result<()> {
    let (loads, plain): (Vec<&Entry>, Vec<&Entry>) = report
        .runs
        .iter()
        .partition(|entry| entry.run.name.contains(' ') && report.entry("gateway").is_some());
    if let Some(svg) = plots::percentiles(&plain)? {
        let caption = "Each curve is one program. Read it from the left: half of all orders were at \
                       least as fast as where it crosses 50 %, all but one in a thousand as fast as at \
                       99.9 %. Lower is better.";
        figure(
            "percentiles",
            "From packet to order at the exchange",
            caption,
            &svg,
            out,
        );
    }
    if let Some(svg) = plots::percentiles(&loads)? {
        let caption = "The same under other loads: at random times, in bursts that leave at once, after \
                       a second of silence, at high rates.";
        figure("loads", "Under other loads", caption, &svg, out);
    }
    if let Some(gateway) = report.runs.first() {
        if let Some(svg) = plots::course(gateway)? {
            let caption = "Tenths of a second of the first round. A spike in all lines is a moment in \
                           which the host was busy with something else.";
            figure("course", "Over time", caption, &svg, out);
        }
        if let Some(svg) = plots::stages(gateway)? {
            let caption = "Where the time inside the gateway goes, stage by stage.";
            figure("stages", "Stage by stage", caption, &svg, out);
        }
    }
    Ok(())
}

fn figure(id: &str, title: &str, caption: &str, svg: &str, out: &mut String) {
    let _ = write!(
        out,
        "<h2>{title}</h2>\n<figure id=\"{id}\">\n{svg}\n<figcaption>{caption}</figcaption></figure>\n"
    );
}

fn tables(report: &Report, out: &mut String) {
    if !report.aims.is_empty() {
        out.push_str(
            "<h2>Aims</h2>\n<p>What the project promises itself. Ratios are of two programs in the \
             same run.</p>\n<table id=\"aims\"><tr><th>aim</th><th>bound</th><th>measured</th>\
             <th class=\"text\">verdict</th><th class=\"text\">from</th></tr>\n",
        );
        for aim in &report.aims {
            row_of_aim(aim, out);
        }
        out.push_str("</table>\n");
    }
    out.push_str("<h2>Figures</h2>\n<pre>");
    out.push_str(&escape(&text::runs(report)));
    if !report.floods.is_empty() {
        let _ = write!(out, "\n\n{}", escape(&text::floods(report)));
    }
    if !report.growth.is_empty() {
        let _ = write!(out, "\n\n{}", escape(&text::growth(report)));
    }
    if !report.sweep.is_empty() {
        let _ = write!(out, "\n\n{}", escape(&text::sweep(report)));
    }
    if let Some(gateway) = report.runs.first() {
        let _ = write!(out, "\n\n{}", escape(&text::stages(gateway)));
    }
    out.push_str("</pre>\n");
}

fn row_of_aim(aim: &Aim, out: &mut String) {
    let bound = if aim.is_at_least { "≥" } else { "≤" };
    let measured = aim
        .measured
        .map_or_else(|| "-".to_owned(), |value| text::shown(value, &aim.unit));
    let verdict = aim.verdict();
    let _ = writeln!(
        out,
        "<tr><td>{}</td><td>{bound} {}</td><td>{measured}</td><td class=\"text {verdict}\">{verdict}\
         </td><td class=\"text\">{}</td></tr>",
        escape(&aim.what),
        text::shown(aim.aim, &aim.unit),
        escape(&aim.note),
    );
}

fn glossary(report: &Report, out: &mut String) {
    out.push_str(
        "<h2>Words</h2>\n<dl>\n<dt>p50, p99, p99.9</dt><dd>So many percent of the orders were at \
         least as fast; p50 is the median.</dd>\n<dt>round</dt><dd>All programs run in turn, again and \
         again, so that a change of the host hits all alike. A figure is the median of its rounds; an \
         interval in parentheses says where it lies with 95 % certainty.</dd>\n<dt>gateway</dt><dd>\
         Tickgate: decodes every message, keeps every book, runs the strategy, checks risk, sends.</dd>\n",
    );
    for word in &report.words {
        let (name, meaning) = (escape(&word.name), escape(&word.meaning));
        let _ = writeln!(out, "<dt>{name}</dt><dd>{meaning}</dd>");
    }
    for (name, meaning) in histograms() {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", escape(meaning));
    }
    out.push_str("</dl>\n");
}

fn settings(report: &Report, out: &mut String) {
    out.push_str("<h2>Settings</h2>\n<pre>");
    for entry in &report.runs {
        let _ = writeln!(
            out,
            "{}: {}",
            escape(&entry.run.name),
            escape(&entry.run.settings.to_string())
        );
    }
    out.push_str("</pre>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
