//! Numbers that the programs beside a delegated connection remember, when they are old: TCP's wrap after 4 GiB, and from
//! half of that on an old one lies ahead.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod wire;

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use wire::bpf;
use wire::near::{
    MESSAGE_BYTES, Near, accept, assert_answers, echo, in_own_thread, listen, message,
};

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

/// More messages than TCP sends before it has heard of one: RFC 6928.
const BEYOND_WINDOW: u64 = 30;

#[test]
fn connection_with_a_copy_that_waits_in_the_kernel_ends_at_once_though_the_lane_goes_on() {
    in_own_thread(|| {
        let Some((far, middle)) = wire::middle::lay(12) else {
            return;
        };
        let (listener, to) = listen(&far);
        let mut near = Near::open(&wire::delegated());
        let mut heard = near.connect(to);
        let mut first = accept(&listener);
        let hang = Some(Duration::from_secs(1));
        first.set_read_timeout(hang).expect("set");
        // From its first word on it is known where the exchange is.
        near.transport.send(&message(0));
        let mut word = message(0);
        first.read_exact(&mut word).expect("heard");
        first.write_all(&word).expect("answered");
        near.until(&mut heard, |heard| heard.bytes.len() == MESSAGE_BYTES);
        middle.faults.is_far_cut.store(true, Ordering::Relaxed);
        for number in 1..BEYOND_WINDOW {
            near.transport.send(&message(number));
            near.transport.poll(&mut heard);
        }
        let counts = near.counts();
        assert!(counts["ordinary_behind"] > 0, "{counts:?}");
        middle.faults.is_far_cut.store(false, Ordering::Relaxed);
        near.transport.close();
        let exchange = echo(listener);
        let mut heard = near.connect(to);
        let mut bytes = Vec::new();
        let end = first.read_to_end(&mut bytes);
        let end = end.map_err(|error| error.kind());
        assert_eq!(
            end,
            Err(ErrorKind::ConnectionReset),
            "{} bytes",
            bytes.len()
        );
        let (messages, rest) = bytes.as_chunks::<MESSAGE_BYTES>();
        let sent: Vec<_> = (1..=messages.len() as u64).map(message).collect();
        assert_eq!((messages, rest.len()), (&sent[..], 0));
        near.trade(&mut heard, 0, 20, 1);
        near.transport.close();
        assert_eq!(exchange.join().expect("it held"), 20);
    });
}
