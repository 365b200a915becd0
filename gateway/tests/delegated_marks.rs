//! Numbers that the programs beside a delegated connection remember, when they are old: TCP's wrap after 4 GiB, and from
//! half of that on an old one lies ahead.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod wire;

use std::sync::atomic::Ordering;

use wire::bpf;
use wire::near::{Near, assert_answers, echo, in_own_thread, listen};

/// Words of a lane's row: where the kernel is, what the exchange has acknowledged, and the newest acknowledgement that was
/// lowered.
const NEXT: usize = 18;
const ACKNOWLEDGED: usize = 49;
const LOWERED: usize = 53;
/// From here on, a number that many bytes behind lies ahead.
const HALF: u32 = 1 << 31;

#[test]
fn acknowledgement_of_two_gigabytes_ago_takes_no_order_for_acknowledged() {
    in_own_thread(|| {
        let Some((far, middle)) = wire::middle::lay(11) else {
            return;
        };
        let (listener, to) = listen(&far);
        let exchange = echo(listener);
        let mut near = Near::open(&wire::delegated());
        let mut heard = near.connect(to);
        near.trade(&mut heard, 0, 100, 1);
        let (rounds, each) = (8, 15);
        for round in 0..rounds {
            middle.faults.one_in.store(0, Ordering::Relaxed);
            // What was lost is sent again, and acknowledged: then nothing is on its way.
            while !bpf::change_lane(to.port(), |row| {
                let is_quiet = row[ACKNOWLEDGED] == row[NEXT];
                if is_quiet {
                    row[LOWERED] = row[NEXT].wrapping_sub(HALF - 20);
                }
                is_quiet
            }) {
                std::thread::yield_now();
            }
            middle.faults.one_in.store(20, Ordering::Relaxed);
            near.trade(&mut heard, 100 + round * each, each, 1);
        }
        middle.faults.one_in.store(0, Ordering::Relaxed);
        assert_answers(&heard, 100 + rounds * each);
        near.transport.close();
        assert_eq!(exchange.join().expect("it held"), 100 + rounds * each);
        let counts = near.counts();
        assert!(counts["delegated_sent"] > 100, "{counts:?}");
    });
}
