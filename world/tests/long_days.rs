//! Days too long for the seeds: half a million messages on lines that lose 2 % each (`make feed-day` lives five
//! millions), and 24 hours with everything that ends and begins again in them.

#![allow(clippy::expect_used, reason = "tests")]

use world::{play_24_hours, play_long_feed};

/// Messages of a long day here.
const MESSAGES: u64 = 500_000;

#[test]
fn lossy_lines_with_servers_that_answer_are_a_perfect_feed() {
    let heard = play_long_feed(0, MESSAGES, |_| ());
    println!("{heard:#?}");
    assert!(heard.messages >= MESSAGES && heard.recovered > MESSAGES / 1_000);
    assert_eq!((heard.gaps, heard.snapshots), (0, 0));
}

#[test]
fn lossy_lines_with_servers_that_keep_nothing_end_each_gap_with_a_snapshot() {
    let heard = play_long_feed(1, MESSAGES, |_| ());
    println!("{heard:#?}");
    assert!(heard.gaps > MESSAGES / 1_000 && heard.snapshots > MESSAGES / 1_000);
}

#[test]
fn memory_is_flat_over_24_hours_of_sessions_that_end_and_begin() {
    keep_little();
    let mut hours = Vec::new();
    let heard = play_24_hours(0, |_| hours.push(resident_kib()));
    println!("{heard:#?}");
    println!("resident KiB after each hour: {hours:?}");
    assert!(heard.sessions >= 9 && heard.messages > 1_000_000);
    assert!(heard.gaps > 100 && heard.snapshots > 10);
    // By then each thing has happened once: sessions that end, a crash, a second feed handler beside the first.
    let (begin, end) = hours.split_at(12);
    let before = begin.iter().max().expect("hours");
    let after = end.iter().max().expect("hours");
    // Pages are left half empty here and there; three bytes kept of each message would be more.
    assert!(*after < before + 2_048, "{before} KiB, then {after} KiB");
}

/// The allocator keeps more of what is free the larger the pieces were: not here, where other tests ran before.
#[expect(unsafe_code, reason = "mallopt")]
fn keep_little() {
    for parameter in [libc::M_MMAP_THRESHOLD, libc::M_TRIM_THRESHOLD] {
        // SAFETY: takes two numbers; changes where later pieces come from and when they are given back.
        assert_eq!(unsafe { libc::mallopt(parameter, 128 << 10) }, 1);
    }
}

/// Memory of this process that is in RAM, KiB; without what is free again and only the allocator keeps.
#[expect(unsafe_code, reason = "malloc_trim")]
fn resident_kib() -> u64 {
    // SAFETY: gives free pages back; whatever is allocated stays where it is.
    unsafe { libc::malloc_trim(0) };
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
