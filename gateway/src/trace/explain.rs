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
use super::recorder::{Gap, Story};
use crate::telemetry::grouped;

/// A core held up for this share of an order's time is what made it slow.
const GAP_SHARE: f64 = 0.3;

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
            Self::Exchange => "exchange or network answered late",
        }
    }
}

/// The cause of one order, with the time that it took, ns. `None`: it was not slow.
#[must_use]
pub fn cause(story: &Story, gaps: &[(String, Gap)], over_ns: u64) -> Option<(Cause, u64)> {
    let is_way = story.way_ns() > over_ns;
    if !is_way && story.answer_ns() <= over_ns {
        return None;
    }
    let (from_ns, to_ns) = if is_way {
        (story.first_ns(), story.submitted_ns)
    } else {
        (story.submitted_ns, story.acked_ns)
    };
    let overlap = |gap: &Gap| {
        let (from, to) = (gap.from_ns.max(from_ns), gap.to_ns.min(to_ns));
        to.saturating_sub(from)
    };
    let longest = gaps
        .iter()
        .map(|(_, gap)| (overlap(gap), gap))
        .max_by_key(|(length, _)| *length);
    if let Some((length, gap)) = longest
        && length as f64 > (to_ns - from_ns) as f64 * GAP_SHARE
    {
        // In a turn with work the rest of it is the work's: the gap is the cause if it is the half.
        let share = if gap.work == 0 { GAP_SHARE } else { 0.5 };
        let least_ns = (to_ns - from_ns) as f64 * share;
        if let Some(cause) = cause_of_gap(gap, story, least_ns) {
            return Some((cause, length));
        }
        if !is_way {
            return Some((Cause::BusyCore, length));
        }
    }
    Some(if is_way {
        longest_piece(story)
    } else {
        (Cause::Exchange, story.answer_ns())
    })
}

/// What held a core up for at least `least_ns`; `None`: nothing but its own work.
fn cause_of_gap(gap: &Gap, story: &Story, least_ns: f64) -> Option<Cause> {
    if gap.switches_involuntary > 0 && gap.off_cpu_ns as f64 > least_ns {
        return Some(Cause::Rival);
    }
    if gap.faults_minor + gap.faults_major > 0 {
        return Some(Cause::PageFault);
    }
    if gap.work == 0 {
        return Some(Cause::Host);
    }
    // A turn with work is long by its work, too: a burst, a strategy that thinks, a send. What the core
    // computes for one order alone is not; there it was held up.
    let (piece, _) = longest_piece(story);
    let is_alone = story.queue == 0 && story.together <= 1 && story.place == 0;
    (is_alone && matches!(piece, Cause::Feed | Cause::Entry)).then_some(Cause::Host)
}

fn longest_piece(story: &Story) -> (Cause, u64) {
    let after = |from: u64, to: u64| {
        if from == 0 {
            0
        } else {
            to.saturating_sub(from)
        }
    };
    // Behind a full ring each waits for all: in the ring, or for those behind it to be through.
    let (ring, entry) = if story.ring_was_full {
        (Cause::RingFull, Cause::RingFull)
    } else {
        (Cause::RingWait, Cause::Entry)
    };
    let feed = if story.place > 0 {
        Cause::Burst
    } else {
        Cause::Feed
    };
    let pieces = [
        (Cause::Delivery, after(story.wire_ns, story.seen_ns)),
        (feed, after(story.seen_ns, story.published_ns)),
        (ring, after(story.published_ns, story.picked_ns)),
        (Cause::Strategy, after(story.picked_ns, story.decided_ns)),
        (entry, after(story.decided_ns, story.encoded_ns)),
        (Cause::Send, after(story.encoded_ns, story.submitted_ns)),
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
    for story in &record.stories {
        if let Some((cause, length)) = cause(story, &record.gaps, over_ns) {
            causes.entry(cause).or_default().push(length);
        }
    }
    let mut ranked: Vec<(Cause, Vec<u64>)> = causes.into_iter().collect();
    ranked.sort_by_key(|(_, lengths)| std::cmp::Reverse(lengths.len()));
    ranked
}

/// The causes, ranked, and the whole story of the slowest.
#[must_use]
pub fn explain(record: &Record, over_ns: u64, stories: usize) -> String {
    let mut out = String::new();
    let ranked = ranked(record, over_ns);
    let slow: usize = ranked.iter().map(|(_, lengths)| lengths.len()).sum();
    let over = shown_us(over_ns);
    let _ = writeln!(
        out,
        "{} orders recorded (the slowest of each second), {slow} over {over} µs",
        record.stories.len()
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
    let untold = record.stories.iter().map(|story| u64::from(story.missed));
    let untold: u64 = untold
        .chain(record.gaps.iter().map(|(_, gap)| u64::from(gap.missed)))
        .sum();
    if untold > 0 {
        let _ = writeln!(
            out,
            "{untold} stories and long turns were not recorded: housekeeping was behind"
        );
    }
    say_cores(record, &mut out);
    let mut slowest: Vec<&Story> = record.stories.iter().collect();
    slowest.sort_by_key(|story| std::cmp::Reverse(story.way_ns().max(story.answer_ns())));
    for story in slowest.into_iter().take(stories) {
        say_story(story, &record.gaps, over_ns, &mut out);
    }
    out
}

fn say_cores(record: &Record, out: &mut String) {
    let mut cores: BTreeMap<&str, Vec<&Gap>> = BTreeMap::new();
    for (core, gap) in &record.gaps {
        cores.entry(core).or_default().push(gap);
    }
    for (core, gaps) in cores {
        let lengths = || gaps.iter().map(|gap| gap.to_ns - gap.from_ns);
        let sum = |of: fn(&Gap) -> u32| gaps.iter().map(|gap| u64::from(of(gap))).sum::<u64>();
        let hosts = || record.hosts.iter().filter(|host| host.0 == core);
        let seconds: u64 = hosts().map(|host| host.2 - host.1).sum::<u64>() / 1_000_000_000;
        let _ = writeln!(
            out,
            "core {core}: {} long turns, {} µs in all, the longest {} µs; {} involuntary switches, {} \
             page faults in them; the host took {} ms and sent {} interrupts in {seconds} s",
            grouped(gaps.len() as u64),
            shown_us(lengths().sum()),
            shown_us(lengths().max().unwrap_or(0)),
            sum(|gap| gap.switches_involuntary),
            sum(|gap| gap.faults_minor + gap.faults_major),
            hosts().map(|host| host.3).sum::<u64>(),
            grouped(hosts().map(|host| host.4).sum()),
        );
    }
}

fn say_story(story: &Story, gaps: &[(String, Gap)], over_ns: u64, out: &mut String) {
    let _ = write!(
        out,
        "\norder {} caused by message {}: packet {} of {} taken together, {} events before it, {} \
         orders in its submission, {} completions before\n  ",
        story.user_ref,
        story.seq,
        story.place + 1,
        story.batch,
        story.queue,
        story.together,
        story.completions
    );
    let mut last = 0;
    for (name, at) in [
        ("wire", story.wire_ns),
        ("seen", story.seen_ns),
        ("published", story.published_ns),
        ("picked", story.picked_ns),
        ("decided", story.decided_ns),
        ("encoded", story.encoded_ns),
        ("submitted", story.submitted_ns),
        ("acked", story.acked_ns),
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
    let cause = cause(story, gaps, over_ns).map_or("not slow", |(cause, _)| cause.words());
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

    /// wire 1,000 µs, then each stamp so many µs after the one before.
    fn story(after_us: [u64; 7]) -> Story {
        let mut at = 1_000_000;
        let mut next = |index: usize| {
            at += after_us[index] * 1000;
            at
        };
        Story {
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
            ..Story::default()
        }
    }

    fn gap(from_us: u64, to_us: u64) -> Gap {
        Gap {
            from_ns: from_us * 1000,
            to_ns: to_us * 1000,
            ..Gap::default()
        }
    }

    fn of(story: &Story, gap: Gap) -> Option<Cause> {
        cause(story, &[("inline".to_owned(), gap)], 10_000).map(|(cause, _)| cause)
    }

    #[test]
    fn a_gap_is_named_by_what_the_kernel_counted() {
        let slow = story([50, 1, 1, 1, 1, 4, 10]);
        let held = gap(1_000, 1_045);
        assert_eq!(of(&slow, held), Some(Cause::Host));
        let rival = Gap {
            switches_involuntary: 1,
            off_cpu_ns: 40_000,
            ..held
        };
        assert_eq!(of(&slow, rival), Some(Cause::Rival));
        let short = Gap {
            off_cpu_ns: 1_000,
            ..rival
        };
        assert_eq!(of(&slow, short), Some(Cause::Host), "a switch of 1 µs");
        let fault = Gap {
            faults_minor: 1,
            ..held
        };
        assert_eq!(of(&slow, fault), Some(Cause::PageFault));
        assert_eq!(of(&slow, gap(1, 500)), Some(Cause::Delivery), "long before");
    }

    #[test]
    fn without_a_gap_the_longest_piece_is_the_cause() {
        let none = gap(1, 2);
        assert_eq!(
            of(&story([1, 1, 40, 1, 1, 4, 9]), none),
            Some(Cause::RingWait)
        );
        let lagged = Story {
            ring_was_full: true,
            ..story([1, 1, 40, 1, 1, 4, 9])
        };
        assert_eq!(of(&lagged, none), Some(Cause::RingFull));
        assert_eq!(
            of(&story([1, 1, 1, 30, 1, 4, 9]), none),
            Some(Cause::Strategy)
        );
        assert_eq!(of(&story([1, 1, 1, 1, 1, 30, 9]), none), Some(Cause::Send));
        assert_eq!(
            of(&story([1, 1, 1, 1, 1, 4, 500]), none),
            Some(Cause::Exchange)
        );
        assert_eq!(of(&story([1, 1, 1, 1, 1, 4, 9]), none), None);
    }

    #[test]
    fn causes_are_ranked_and_told() {
        let later = |mut story: Story| {
            for at in [
                &mut story.wire_ns,
                &mut story.seen_ns,
                &mut story.published_ns,
                &mut story.picked_ns,
                &mut story.decided_ns,
                &mut story.encoded_ns,
                &mut story.submitted_ns,
                &mut story.acked_ns,
            ] {
                *at += 10_000_000;
            }
            story
        };
        let stories = vec![
            story([50, 1, 1, 1, 1, 4, 9]),
            later(story([1, 1, 1, 30, 1, 4, 9])),
            later(story([1, 1, 1, 31, 1, 4, 9])),
        ];
        let record = Record {
            stories,
            // Work does not fall into a turn that found nothing to do: only the first one waited there.
            gaps: vec![("inline".to_owned(), gap(1_000, 1_045))],
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
