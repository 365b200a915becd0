//! An outcome as one page: tables and plots in one file that needs no network and no script.

use std::fmt::Write;

use crate::ledger::{Moment, Outcome, Position};
use crate::plots::{self, Line};
use crate::shown;

/// Symbols with plots of their own: those that moved the result most.
const PLOTTED_MAX: usize = 12;
/// Height of the plots of all symbols together, and of those of one.
const HIGH: u32 = 320;
const LOW: u32 = 200;

const STYLE: &str = "
body{font:16px/1.5 system-ui,sans-serif;max-width:1000px;margin:2rem auto;padding:0 1rem;color:#1b1f24}
h1{font-size:1.7rem;margin-bottom:.2rem}h2{font-size:1.2rem;margin-top:2.2rem}
figure{margin:1rem 0}figcaption{color:#57606a;font-size:.9rem}svg{max-width:100%;height:auto}
pre{background:#f5f7f9;font-size:.85rem;padding:.7rem;overflow:auto}
";

/// The page. It says nothing of how long the run took: the same outcome has the same page.
pub(crate) fn html(outcome: &Outcome) -> Result<String, String> {
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<title>Tickgate: backtest</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<style>{STYLE}</style></head><body>\n\
         <h1>Tickgate: backtest</h1>\n<pre id=\"outcome\">{}</pre>\n",
        escape(&shown::counts(outcome, None))
    );
    profit(outcome, &mut out)?;
    trading(outcome, &mut out)?;
    for (title, table) in shown::tables(outcome) {
        let _ = write!(out, "<h2>{title}</h2>\n<pre>{}</pre>\n", escape(&table));
    }
    for (locate, position) in shown::by_result(outcome).into_iter().take(PLOTTED_MAX) {
        symbol(outcome, locate, position, &mut out)?;
    }
    out.push_str("</body></html>\n");
    Ok(out)
}

/// Profit of all symbols; moments at which one has no middle are left out.
fn profit(outcome: &Outcome, out: &mut String) -> Result<(), String> {
    let of = |moment: &Moment| {
        let profits = moment.symbols.values().map(|(_, profit)| *profit);
        profits.sum::<Option<i128>>().map(dollars)
    };
    let line = Line {
        name: "profit and loss",
        points: points(outcome, of),
    };
    let caption = "All symbols, marked to the middle of the best prices; a moment is left out where a symbol that is held has none.";
    let svg = plots::over_time(&[line], "dollars", HIGH)?;
    let frame = Frame {
        id: "profit",
        title: "Profit and loss",
        caption,
    };
    figure(&frame, svg, out);
    Ok(())
}

fn trading(outcome: &Outcome, out: &mut String) -> Result<(), String> {
    type Pick = fn(&Moment) -> u64;
    let counts: [(&str, Pick); 3] = [
        ("fills", |it| it.fills),
        ("refused by risk", |it| it.refused),
        ("rejected by the exchange", |it| it.rejected),
    ];
    let lines = counts.map(|(name, pick)| Line {
        name,
        points: points(outcome, |moment| Some(pick(moment) as f64)),
    });
    let caption = "How many there have been since the beginning.";
    let svg = plots::over_time(&lines, "since the beginning", HIGH)?;
    let frame = Frame {
        id: "trading",
        title: "Fills and refusals",
        caption,
    };
    figure(&frame, svg, out);
    Ok(())
}

fn symbol(
    outcome: &Outcome,
    locate: u16,
    position: &Position,
    out: &mut String,
) -> Result<(), String> {
    let name = escape(&shown::name(position.symbol, locate));
    let held = Line {
        name: "shares",
        points: points(outcome, |moment| {
            Some(moment.symbols.get(&locate).map_or(0.0, |it| it.0 as f64))
        }),
    };
    let profit = Line {
        name: "profit and loss",
        points: points(outcome, |moment| match moment.symbols.get(&locate) {
            None => Some(0.0),
            Some((_, profit)) => profit.map(dollars),
        }),
    };
    let svg = plots::over_time(&[held], "shares", LOW)?;
    let frame = Frame {
        id: &format!("position-{name}"),
        title: &format!("{name}: position"),
        caption: "Shares held.",
    };
    figure(&frame, svg, out);
    let svg = plots::over_time(&[profit], "dollars", LOW)?;
    let frame = Frame {
        id: &format!("profit-{name}"),
        title: &format!("{name}: profit and loss"),
        caption: "Marked to the middle.",
    };
    figure(&frame, svg, out);
    Ok(())
}

fn points(outcome: &Outcome, value: impl Fn(&Moment) -> Option<f64>) -> Vec<(f64, f64)> {
    let moments = outcome.moments.iter();
    let points = moments.filter_map(|moment| Some((moment.at_ns as f64, value(moment)?)));
    points.collect()
}

/// Of halves of 0.0001: near enough for a line.
fn dollars(halves: i128) -> f64 {
    halves as f64 / 20_000.0
}

/// What stands around a plot.
struct Frame<'a> {
    id: &'a str,
    title: &'a str,
    caption: &'a str,
}

fn figure(frame: &Frame<'_>, svg: Option<String>, out: &mut String) {
    let Frame { id, title, caption } = frame;
    let Some(svg) = svg else {
        return;
    };
    let _ = write!(
        out,
        "<h2>{title}</h2>\n<figure id=\"{id}\">\n{svg}\n<figcaption>{caption}</figcaption></figure>\n"
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
