//! Why orders were slow: joins what the slow-order recorder wrote, names one cause for each order, and
//! ranks them.
//!
//! Path:        `trace::file` -> here -> `tickgate why`
//!
//! An order's time is cut at its stamps. Where a core was held up in that time for a good part of it,
//! that is the cause, told apart by what the kernel counted; else it is the longest piece.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::file::Record;
use super::recorder::{OrderTrace, Stall};
use crate::telemetry::grouped;

/// A core held up for this share of an order's time is what made it slow.
const STALL_SHARE: f64 = 0.3;

/// Why one order was slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The kernel gave the core to another thread.
    Rival,
    /// Pages had to be mapped or read.
    PageFault,
    /// Neither: an interrupt, or the hypervisor.
    Host,
    /// The frame came late to the feed stage.
    Delivery,
    /// It waited behind packets taken together with it.
    Burst,
    /// Decoding, books, publishing.
    Feed,
    /// The strategy's ring was full.
    RingFull,
    /// It waited in the strategy's ring.
    RingWait,
    /// The strategy itself.
    Strategy,
    /// Risk and encoding, or waiting for the order core.
    Entry,
    /// The kernel's TCP.
    Send,
    /// The answer came while its core was busy with something else.
    BusyCore,
    /// The core had long turns in that time that were not recorded: housekeeping was behind.
    Unrecorded,
    /// The exchange, or the network to it.
    Exchange,
}

impl Cause {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Rival => "core taken by another thread",
            Self::PageFault => "page fault on the hot core",
            Self::Host => "core lost to the host (interrupt or steal: no switch, no page fault)",
            Self::Delivery => "frame waited for the feed stage",
            Self::Burst => "waited behind other packets of a burst",
            Self::Feed => "decoding, book and publishing",
            Self::RingFull => "strategy's ring was full",
            Self::RingWait => "waited in the strategy's ring",
            Self::Strategy => "strategy was thinking",
            Self::Entry => "risk and encoding, or waiting for the order core",
            Self::Send => "the kernel's TCP send (io_uring_enter)",
            Self::BusyCore => "the answer waited while its core was busy",
            Self::Unrecorded => "not known: long turns of a core in that time were not recorded",
            Self::Exchange => "exchange or network answered late",
        }
    }
}

/// The cause of one order, with the time that it took, ns. `None`: it was not slow.
#[must_use]
pub fn cause(trace: &OrderTrace, stalls: &[(String, Stall)], over_ns: u64) -> Option<(Cause, u64)> {
    let is_way = trace.way_ns() > over_ns;
    if !is_way && trace.answer_ns() <= over_ns {
        return None;
    }
    let (from_ns, to_ns) = if is_way {
        (trace.first_ns(), trace.submitted_ns)
    } else {
        (trace.submitted_ns, trace.acked_ns)
    };
    let overlap = |stall: &Stall| {
        let (from, to) = (stall.from_ns.max(from_ns), stall.to_ns.min(to_ns));
        to.saturating_sub(from)
    };
    let longest = stalls
        .iter()
        .map(|(_, stall)| (overlap(stall), stall))
        .max_by_key(|(length, _)| *length);
    if let Some((length, stall)) = longest
        && length as f64 > (to_ns - from_ns) as f64 * STALL_SHARE
    {
        // In a turn with work the rest of it is the work's: the stall is the cause if it is the half.
        let share = if stall.work == 0 { STALL_SHARE } else { 0.5 };
        let least_ns = (to_ns - from_ns) as f64 * share;
        if let Some(cause) = cause_of_stall(stall, trace, least_ns) {
            return Some((cause, length));
        }
        if !is_way {
            return Some((Cause::BusyCore, length));
        }
    }
    if is_way {
        return Some(longest_piece(trace));
    }
    let untold_ns = unrecorded_ns(stalls, from_ns, to_ns);
    let is_untold = untold_ns as f64 > (to_ns - from_ns) as f64 * STALL_SHARE;
    Some(if is_untold {
        (Cause::Unrecorded, untold_ns)
    } else {
        (Cause::Exchange, trace.answer_ns())
    })
}

/// The most time of long turns that nobody recorded and that may lie between these two moments, of one core.
fn unrecorded_ns(stalls: &[(String, Stall)], from_ns: u64, to_ns: u64) -> u64 {
    let mut before_ns: BTreeMap<&str, u64> = BTreeMap::new();
    let mut most_ns = 0;
    for (core, stall) in stalls {
        let since_ns = before_ns.insert(core, stall.to_ns).unwrap_or(0);
        let overlap_ns = stall
            .from_ns
            .min(to_ns)
            .saturating_sub(since_ns.max(from_ns));
        most_ns = most_ns.max(stall.missed_ns.min(overlap_ns));
    }
    most_ns
}

/// What held a core up for at least `least_ns`; `None`: nothing but its own work.
fn cause_of_stall(stall: &Stall, trace: &OrderTrace, least_ns: f64) -> Option<Cause> {
    if stall.switches_involuntary > 0 && stall.off_cpu_ns as f64 > least_ns {
        return Some(Cause::Rival);
    }
    if stall.faults_minor > 0 || stall.faults_major > 0 {
        return Some(Cause::PageFault);
    }
    if stall.work == 0 {
        return Some(Cause::Host);
    }
    // A turn with work is long by its work, too: a burst, a strategy that thinks, a send. What the core
    // computes for one order alone is not; there it was held up.
    let (piece, _) = longest_piece(trace);
    let is_alone = trace.queue == 0 && trace.together <= 1 && trace.place == 0;
    (is_alone && matches!(piece, Cause::Feed | Cause::Entry)).then_some(Cause::Host)
}

fn longest_piece(trace: &OrderTrace) -> (Cause, u64) {
    let after = |from: u64, to: u64| {
        if from == 0 {
            0
        } else {
            to.saturating_sub(from)
        }
    };
    // Behind a full ring each waits for all: in the ring, or for those behind it to be through.
    let (ring, entry) = if trace.ring_was_full {
        (Cause::RingFull, Cause::RingFull)
    } else {
        (Cause::RingWait, Cause::Entry)
    };
    let feed = if trace.place > 0 {
        Cause::Burst
    } else {
        Cause::Feed
    };
    let pieces = [
        (Cause::Delivery, after(trace.wire_ns, trace.seen_ns)),
        (feed, after(trace.seen_ns, trace.published_ns)),
        (ring, after(trace.published_ns, trace.picked_ns)),
        (Cause::Strategy, after(trace.picked_ns, trace.decided_ns)),
        (entry, after(trace.decided_ns, trace.encoded_ns)),
        (Cause::Send, after(trace.encoded_ns, trace.submitted_ns)),
    ];
    pieces
        .into_iter()
        .max_by_key(|(_, length)| *length)
        .unwrap_or((Cause::Delivery, 0))
}

/// Causes with the time each took, by how many orders they made slow.
#[must_use]
pub fn ranked(record: &Record, over_ns: u64) -> Vec<(Cause, Vec<u64>)> {
    let mut causes: BTreeMap<Cause, Vec<u64>> = BTreeMap::new();
    for trace in &record.traces {
        if let Some((cause, length)) = cause(trace, &record.stalls, over_ns) {
            causes.entry(cause).or_default().push(length);
        }
    }
    let mut ranked: Vec<(Cause, Vec<u64>)> = causes.into_iter().collect();
    ranked.sort_by_key(|(_, lengths)| std::cmp::Reverse(lengths.len()));
    ranked
}

/// The causes, ranked, and the whole trace of the slowest.
#[must_use]
pub fn explain(record: &Record, over_ns: u64, traces: usize) -> String {
    let mut out = String::new();
    let ranked = ranked(record, over_ns);
    let slow: usize = ranked.iter().map(|(_, lengths)| lengths.len()).sum();
    let over = shown_us(over_ns);
    let _ = writeln!(
        out,
        "{} orders recorded (the slowest of each second), {slow} over {over} µs",
        record.traces.len()
    );
    for (cause, lengths) in &ranked {
        let (least, most) = (lengths.iter().min(), lengths.iter().max());
        let _ = writeln!(
            out,
            "{:3.0} % of recorded orders over {over} µs: {}, for {} to {} µs",
            lengths.len() as f64 * 100.0 / slow.max(1) as f64,
            cause.words(),
            shown_us(least.copied().unwrap_or(0)),
            shown_us(most.copied().unwrap_or(0)),
        );
    }
    let untold = record.traces.iter().map(|trace| u64::from(trace.missed));
    let untold: u64 = untold
        .chain(
            record
                .stalls
                .iter()
                .map(|(_, stall)| u64::from(stall.missed)),
        )
        .sum();
    if untold > 0 {
        let _ = writeln!(
            out,
            "{untold} traces and long turns were not recorded: housekeeping was behind"
        );
    }
    say_cores(record, &mut out);
    let mut slowest: Vec<&OrderTrace> = record.traces.iter().collect();
    slowest.sort_by_key(|trace| std::cmp::Reverse(trace.way_ns().max(trace.answer_ns())));
    for trace in slowest.into_iter().take(traces) {
        say_trace(trace, &record.stalls, over_ns, &mut out);
    }
    out
}

fn say_cores(record: &Record, out: &mut String) {
    let mut cores: BTreeMap<&str, Vec<&Stall>> = BTreeMap::new();
    for (core, stall) in &record.stalls {
        cores.entry(core).or_default().push(stall);
    }
    for (core, stalls) in cores {
        let lengths = || stalls.iter().map(|it| it.to_ns.saturating_sub(it.from_ns));
        let count = |of: fn(&Stall) -> u64| sum(stalls.iter().map(|stall| of(stall)));
        let hosts = || record.hosts.iter().filter(|host| host.0 == core);
        let seconds = sum(hosts().map(|host| host.2.saturating_sub(host.1))) / 1_000_000_000;
        let _ = writeln!(
            out,
            "core {core}: {} long turns, {} µs in all, the longest {} µs; {} involuntary switches, {} \
             page faults in them; the host took {} ms and sent {} interrupts in {seconds} s",
            grouped(stalls.len() as u64),
            shown_us(sum(lengths())),
            shown_us(lengths().max().unwrap_or(0)),
            count(|stall| stall.switches_involuntary.into()),
            count(|stall| u64::from(stall.faults_minor) + u64::from(stall.faults_major)),
            sum(hosts().map(|host| host.3)),
            grouped(sum(hosts().map(|host| host.4))),
        );
    }
}

/// A file may have times that go back, and counts of any size.
fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

fn say_trace(trace: &OrderTrace, stalls: &[(String, Stall)], over_ns: u64, out: &mut String) {
    let _ = write!(
        out,
        "\norder {} caused by message {}: packet {} of {} taken together, {} events before it, {} \
         orders in its submission, {} completions before\n  ",
        trace.user_ref,
        trace.seq,
        u16::from(trace.place) + 1,
        trace.batch,
        trace.queue,
        trace.together,
        trace.completions
    );
    let mut last = 0;
    for (name, at) in [
        ("wire", trace.wire_ns),
        ("seen", trace.seen_ns),
        ("published", trace.published_ns),
        ("picked", trace.picked_ns),
        ("decided", trace.decided_ns),
        ("encoded", trace.encoded_ns),
        ("submitted", trace.submitted_ns),
        ("acked", trace.acked_ns),
    ] {
        if at == 0 {
            continue;
        }
        if last > 0 {
            let _ = write!(out, " --{} µs--> ", shown_us(at.saturating_sub(last)));
        }
        let _ = write!(out, "{name}");
        last = at;
    }
    let cause = cause(trace, stalls, over_ns).map_or("not slow", |(cause, _)| cause.words());
    let _ = writeln!(out, "\n  {cause}");
}

fn shown_us(ns: u64) -> String {
    let us = ns as f64 / 1000.0;
    if us < 100.0 {
        format!("{us:.1}")
    } else {
        grouped(ns / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// wire 1,000 µs, then each stamp this many µs after the one before.
    fn trace(after_us: [u64; 7]) -> OrderTrace {
        let mut at = 1_000_000;
        let mut next = |index: usize| {
            at += after_us[index] * 1000;
            at
        };
        OrderTrace {
            seq: 1,
            user_ref: 1,
            wire_ns: 1_000_000,
            seen_ns: next(0),
            published_ns: next(1),
            picked_ns: next(2),
            decided_ns: next(3),
            encoded_ns: next(4),
            submitted_ns: next(5),
            acked_ns: next(6),
            ..OrderTrace::default()
        }
    }

    fn stall(from_us: u64, to_us: u64) -> Stall {
        Stall {
            from_ns: from_us * 1000,
            to_ns: to_us * 1000,
            ..Stall::default()
        }
    }

    fn of(trace: &OrderTrace, stall: Stall) -> Option<Cause> {
        cause(trace, &[("inline".to_owned(), stall)], 10_000).map(|(cause, _)| cause)
    }

    #[test]
    fn a_gap_is_named_by_what_the_kernel_counted() {
        let slow = trace([50, 1, 1, 1, 1, 4, 10]);
        let held = stall(1_000, 1_045);
        assert_eq!(of(&slow, held), Some(Cause::Host));
        let rival = Stall {
            switches_involuntary: 1,
            off_cpu_ns: 40_000,
            ..held
        };
        assert_eq!(of(&slow, rival), Some(Cause::Rival));
        let short = Stall {
            off_cpu_ns: 1_000,
            ..rival
        };
        assert_eq!(of(&slow, short), Some(Cause::Host), "a switch of 1 µs");
        let fault = Stall {
            faults_minor: 1,
            ..held
        };
        assert_eq!(of(&slow, fault), Some(Cause::PageFault));
        assert_eq!(
            of(&slow, stall(1, 500)),
            Some(Cause::Delivery),
            "long before"
        );
    }

    #[test]
    fn without_a_gap_the_longest_piece_is_the_cause() {
        let none = stall(1, 2);
        assert_eq!(
            of(&trace([1, 1, 40, 1, 1, 4, 9]), none),
            Some(Cause::RingWait)
        );
        let lagged = OrderTrace {
            ring_was_full: true,
            ..trace([1, 1, 40, 1, 1, 4, 9])
        };
        assert_eq!(of(&lagged, none), Some(Cause::RingFull));
        assert_eq!(
            of(&trace([1, 1, 1, 30, 1, 4, 9]), none),
            Some(Cause::Strategy)
        );
        assert_eq!(of(&trace([1, 1, 1, 1, 1, 30, 9]), none), Some(Cause::Send));
        assert_eq!(
            of(&trace([1, 1, 1, 1, 1, 4, 500]), none),
            Some(Cause::Exchange)
        );
        assert_eq!(of(&trace([1, 1, 1, 1, 1, 4, 9]), none), None);
    }

    #[test]
    fn exchange_is_not_blamed_for_what_nobody_recorded() {
        let slow = trace([1, 1, 1, 1, 1, 4, 6_400]);
        let before = stall(1, 900);
        let after = |missed_us: u64| Stall {
            missed: 1,
            missed_ns: missed_us * 1_000,
            ..stall(7_500, 7_510)
        };
        let of = |after| {
            let stalls = [("inline".to_owned(), before), ("inline".to_owned(), after)];
            cause(&slow, &stalls, 10_000)
        };
        assert_eq!(of(after(6_300)), Some((Cause::Unrecorded, 6_300_000)));
        // What was missed is too short to be it.
        assert_eq!(of(after(100)), Some((Cause::Exchange, 6_400_000)));
        // Another core's records say nothing of when this one's were missed.
        let others = [
            ("feed".to_owned(), before),
            ("inline".to_owned(), after(6_300)),
        ];
        assert_eq!(
            cause(&slow, &others, 10_000).map(|it| it.0),
            Some(Cause::Unrecorded)
        );
        // It was missed after the answer had come.
        let later = [
            ("inline".to_owned(), stall(7_410, 7_420)),
            ("inline".to_owned(), after(6_300)),
        ];
        assert_eq!(
            cause(&slow, &later, 10_000).map(|it| it.0),
            Some(Cause::Exchange)
        );
    }

    #[test]
    fn causes_are_ranked_and_told() {
        let later = |mut trace: OrderTrace| {
            for at in [
                &mut trace.wire_ns,
                &mut trace.seen_ns,
                &mut trace.published_ns,
                &mut trace.picked_ns,
                &mut trace.decided_ns,
                &mut trace.encoded_ns,
                &mut trace.submitted_ns,
                &mut trace.acked_ns,
            ] {
                *at += 10_000_000;
            }
            trace
        };
        let traces = vec![
            trace([50, 1, 1, 1, 1, 4, 9]),
            later(trace([1, 1, 1, 30, 1, 4, 9])),
            later(trace([1, 1, 1, 31, 1, 4, 9])),
        ];
        let record = Record {
            traces,
            // Work does not fall into a turn that found nothing to do: only the first one waited there.
            stalls: vec![("inline".to_owned(), stall(1_000, 1_045))],
            ..Record::default()
        };
        let text = explain(&record, 10_000, 1);
        assert!(
            text.contains(" 33 % of recorded orders over 10.0 µs: core lost to the host"),
            "{text}"
        );
        assert!(text.contains("for 45.0 to 45.0 µs"), "{text}");
        let first = text.find("67 %").unwrap();
        assert!(first < text.find("33 %").unwrap());
        assert!(text.contains("wire --50.0 µs--> seen"), "{text}");
    }
}
