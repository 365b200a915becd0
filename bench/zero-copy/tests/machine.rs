//! The gate's proof of zero-copy: the whole of `make zero-copy`, within a bound of its own.
//!
//! Where no machine can be had it is skipped and says why, in the gate too: that is the host's lack. One that is not up in time is a
//! failure in the gate, where a machine that hangs at its start would be skipped for ever. A machine that is up and then loses a
//! frame or an order, is refused zero-copy or does not end is a failure everywhere.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use zero_copy::inside::Extent;
use zero_copy::machine::{self, Outcome};
use zero_copy::report::FramesRun;

/// As many as the documents claim (docs/zero-copy.md).
const FRAMES: u64 = 1_000_000;
/// Once the machine is up; it takes a minute where nothing else runs.
const AT_MOST: Duration = Duration::from_secs(200);

#[test]
fn frames_and_orders_come_whole_in_zero_copy_and_as_copies() {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/unpacked");
    let parts = match machine::parts(&unpacked) {
        Ok(parts) => parts,
        Err(why) => return skip(&why),
    };
    let extent = Extent {
        frames: FRAMES,
        frames_beside: 50_000,
        messages: 2_000,
        only: None,
    };
    let stop = AtomicBool::new(false);
    let outcome = machine::run(&parts, &extent.arguments(), AT_MOST, &stop);
    match outcome.expect("the machine proves and ends") {
        Outcome::Reported(report) => {
            println!("{}", report.text());
            report.check().expect("all came whole, as it should");
            let is_long = |run: &FramesRun| run.name == "zero" && run.asked == FRAMES;
            assert!(report.frames.iter().any(is_long), "{FRAMES} frames");
            assert_eq!((report.frames.len(), report.jobs.len()), (3, 4));
        }
        Outcome::NotUp(why) if std::env::var_os("CI").is_some() => panic!("{why}"),
        Outcome::NotUp(why) => skip(&why),
    }
}

/// `make test` counts these lines.
fn skip(why: &str) {
    let said = format!("SKIPPED: zero-copy in a virtual machine: {why}");
    // Past the test harness, which shows what a passing test prints to nobody.
    let _ = writeln!(std::io::stderr(), "{said}");
}
