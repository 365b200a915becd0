//! The cache lines and pages that each step of an order touches, as valgrind's lackey sees every access.
//!
//! After a silence none of them is near any more, so their number is what the first order after it waits for. It is exact, and
//! the same on every host.

use std::collections::HashSet;
use std::fmt;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use feed_handler::best_prices::BestPrices;
use feed_handler::book::Limits;
use feed_handler::publish::{Publisher, Subscription, Way};
use feed_handler::venue::Nasdaq;
use feeds::generate;
use rt::clock::Clock;
use rt::mem::Want;

use super::feed::FeedDay;
use crate::order_path;

const PACKET: &str = "a message, from two lines' packets to its event";
const ORDER: &str = "an order, from its intent to its bytes";
const ANSWER: &str = "its answer, a cancel and the answer to that";
/// What is looked at. A strategy's own memory is not among it.
pub const STEPS: [&str; 3] = [PACKET, ORDER, ANSWER];

/// Times that a step is taken before it counts: what is set up once is not what an order costs.
const WARM: u32 = 200;
/// Times that are looked at; the one in the middle is told.
const LOOKED_AT: u32 = 21;
/// Messages of the day, enough for both.
const MESSAGES: u64 = 1_000;

const LINE_BITS: u32 = 6;
const PAGE_BITS: u32 = 12;
/// How the process says where its marks lie.
const SAYS_MARKS: &str = "marks lie at ";

/// Written where a step begins, and where it ends: whoever sees every access sees the step between them.
static BEGINS: AtomicU64 = AtomicU64::new(0);
static ENDS: AtomicU64 = AtomicU64::new(0);

/// Takes one step again and again, with a mark before and after each.
///
/// # Errors
/// There is no such step, or the host has not the memory.
#[expect(clippy::print_stdout, reason = "whoever looks must know the marks")]
pub fn touch(step: &str) -> Result<()> {
    let [begins, ends] = [&BEGINS, &ENDS].map(|mark| mark.as_ptr().addr());
    println!("{SAYS_MARKS}{begins:x} {ends:x}");
    match step {
        PACKET => messages(),
        ORDER => orders(&BEGINS, &ENDS),
        ANSWER => orders(&ENDS, &BEGINS),
        _ => bail!("no step \"{step}\""),
    }
}

fn messages() -> Result<()> {
    let day = generate::Options {
        seed: 7,
        messages: MESSAGES,
        symbols: 50,
        live: 0,
    };
    let day = FeedDay::in_packets_of(1, &generate::to_writer(&day, Vec::new(), |_| ())?);
    let limits = Limits {
        orders_max: 1 << 12,
        levels_max: 1 << 10,
    };
    let mut publisher = Publisher::new(Arc::new(BestPrices::new(Want::LAZY)?), 256);
    let listener = publisher.listen(Subscription::All, Way::Shared, 256);
    let mut listener = listener.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let mut opening = day.open::<Nasdaq>(&limits, publisher)?;
    opening.run(|_: &Clock| {
        while let Some(event) = listener.hear() {
            black_box(event);
        }
        ENDS.store(1, Ordering::SeqCst);
        BEGINS.store(1, Ordering::SeqCst);
    });
    Ok(())
}

/// An order is asked for, which is one step, and answered, which is the other.
fn orders(before_order: &AtomicU64, after_order: &AtomicU64) -> Result<()> {
    let mut path = order_path::resting()?;
    for _ in 0..=WARM + LOOKED_AT {
        before_order.store(1, Ordering::SeqCst);
        let number = path.enter_unanswered().context("risk refuses it")?;
        after_order.store(1, Ordering::SeqCst);
        path.answer_and_die(number);
    }
    Ok(())
}

/// Distinct cache lines and pages of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Places {
    /// Lines of 64 bytes that are read or written.
    pub data_lines: usize,
    /// Pages of 4 KiB that they lie on.
    pub data_pages: usize,
    /// Lines that instructions come from.
    pub code_lines: usize,
    /// Pages of those.
    pub code_pages: usize,
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lines of data on {} pages, {} lines of code on {} pages",
            self.data_lines, self.data_pages, self.code_lines, self.code_pages
        )
    }
}

/// What lackey says, a line at a time, until a step has been seen often enough.
#[derive(Debug, Default)]
struct Watch {
    begins: Option<u64>,
    ends: Option<u64>,
    is_within: bool,
    data: [HashSet<u64>; 2],
    code: [HashSet<u64>; 2],
    seen: Vec<Places>,
}

impl Watch {
    fn on_line(&mut self, line: &str) {
        if let Some(marks) = line.strip_prefix(SAYS_MARKS) {
            let mut marks = marks
                .split(' ')
                .map(|mark| u64::from_str_radix(mark, 16).ok());
            self.begins = marks.next().flatten();
            self.ends = marks.next().flatten();
            return;
        }
        let Some((kind, address, len)) = access(line) else {
            return;
        };
        if Some(address) == self.begins {
            self.is_within = true;
        } else if Some(address) == self.ends {
            self.end();
        } else if self.is_within {
            let places = if kind == "I" {
                &mut self.code
            } else {
                &mut self.data
            };
            let last = address + len.max(1) - 1;
            for (of, bits) in places.iter_mut().zip([LINE_BITS, PAGE_BITS]) {
                of.extend(address >> bits..=last >> bits);
            }
        }
    }

    fn end(&mut self) {
        if !std::mem::take(&mut self.is_within) {
            return;
        }
        let [data_lines, data_pages] = self.data.each_mut().map(|of| of.drain().count());
        let [code_lines, code_pages] = self.code.each_mut().map(|of| of.drain().count());
        self.seen.push(Places {
            data_lines,
            data_pages,
            code_lines,
            code_pages,
        });
    }

    /// The one in the middle of those after the first.
    fn usual(mut self) -> Option<Places> {
        let warm = usize::try_from(WARM).ok()?;
        let looked_at = self.seen.get_mut(warm..)?;
        looked_at.sort_unstable();
        looked_at.get(looked_at.len() / 2).copied()
    }
}

/// A line such as ` S 1ffefff7e8,8`: what it is, where, and how many bytes.
fn access(line: &str) -> Option<(&str, u64, u64)> {
    let (kind, place) = line.trim_start().split_once(' ')?;
    let (address, len) = place.trim_start().split_once(',')?;
    let is_access = matches!(kind, "I" | "L" | "S" | "M");
    let address = u64::from_str_radix(address, 16).ok()?;
    is_access.then_some((kind, address, len.parse().ok()?))
}

/// Looks at one of [`STEPS`] in a process of its own under lackey.
///
/// # Errors
/// valgrind is not installed, or what it says cannot be read.
pub fn count(step: &str) -> Result<Places> {
    let mut child = Command::new("valgrind")
        // On its standard output, in order with what the process itself says.
        .args(["--tool=lackey", "--trace-mem=yes", "--log-fd=1"])
        .arg(std::env::current_exe()?)
        .args(["micro", "--touch", step])
        .stdout(Stdio::piped())
        .spawn()
        .context("starting valgrind: install Debian's valgrind")?;
    let said = child.stdout.take().context("it has an output")?;
    let mut watch = Watch::default();
    for line in BufReader::new(said).lines() {
        watch.on_line(&line?);
    }
    let status = child.wait()?;
    ensure!(status.success(), "{step}: valgrind failed: {status}");
    let seen = watch.seen.len();
    watch
        .usual()
        .with_context(|| format!("{step}: seen {seen} times, wanted over {WARM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_can_be_taken() {
        for step in STEPS {
            touch(step).unwrap();
        }
        assert!(touch("a step that is none").is_err());
    }

    #[test]
    fn what_lies_between_the_marks_counts_once_a_line_and_once_a_page() {
        let mut watch = Watch::default();
        let lines = [
            "marks lie at 1000 1008",
            "==1== a word of valgrind's own",
            " L 2000,8",
            " S 1000,8",
            "I  4000,4",
            "I  4004,4",
            // From one line to the next, and from one page to the next.
            " S 2ffc,8",
            " M 3000,4",
            " L 9040,1",
            " S 1008,8",
            " L 7000,8",
            // The end of nothing.
            " S 1008,8",
        ];
        for line in lines {
            watch.on_line(line);
        }
        let expected = Places {
            data_lines: 3,
            data_pages: 3,
            code_lines: 1,
            code_pages: 1,
        };
        assert_eq!(watch.seen, [expected]);
        assert_eq!(watch.usual(), None, "the first ones do not count");
    }
}
