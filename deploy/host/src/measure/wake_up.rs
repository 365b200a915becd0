//! What it takes to wake a feed's receive queue: the one call of the kernel that a feed core makes while nothing waits for it.

use std::thread;

use rt::clock::Clock;
use serde::{Deserialize, Serialize};

/// The call, many times, of each queue of an interface in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakeUp {
    /// The interface.
    pub interface: String,
    /// The hot CPU that made them; `None`: no hot core is pinned.
    pub cpu: Option<usize>,
    /// How long one took, ns; `None`: not measured.
    pub p50_ns: Option<u64>,
    /// The same.
    pub p99_ns: Option<u64>,
    /// The longest, ns.
    pub longest_ns: u64,
    /// Why it was not measured.
    pub error: String,
}

/// Calls: over in milliseconds where a call is one, in some 100 ms where each polls a card in vain.
const CALLS: usize = 2_000;
/// However long one takes, ns.
const TIME_NS_MAX: u64 = 2_000_000_000;

/// Times `wake` on the CPU where the feed's hot core will run. It is given the number of the call.
pub fn wake_ups(interface: &str, cpu: Option<usize>, mut wake: impl FnMut(usize) + Send) -> WakeUp {
    let took = thread::scope(|scope| {
        let calls = scope.spawn(move || {
            cpu.map_or(Ok(()), rt::cpu::pin)?;
            let clock = Clock::new();
            let until_ns = clock.now_ns() + TIME_NS_MAX;
            let mut took = Vec::with_capacity(CALLS);
            for call in 0..CALLS {
                let began_ns = clock.now_ns();
                wake(call);
                let now_ns = clock.now_ns();
                took.push(now_ns - began_ns);
                if now_ns > until_ns {
                    break;
                }
            }
            Ok::<_, std::io::Error>(took)
        });
        calls.join()
    });
    let mut woken = WakeUp {
        interface: interface.to_owned(),
        cpu,
        ..WakeUp::default()
    };
    match took {
        Ok(Ok(mut took)) => {
            took.sort_unstable();
            let at = |percent: usize| {
                took.get(took.len().checked_sub(1)? * percent / 100)
                    .copied()
            };
            woken.p50_ns = at(50);
            woken.p99_ns = at(99);
            woken.longest_ns = at(100).unwrap_or(0);
        }
        Ok(Err(error)) => woken.error = error.to_string(),
        Err(_) => "the thread ended".clone_into(&mut woken.error),
    }
    woken
}

#[cfg(test)]
mod tests {
    use rt::clock::monotonic_ns;

    use super::*;

    #[test]
    fn calls_are_timed_one_by_one_where_the_hot_core_will_run() {
        let cpu = rt::cpu::allowed().last().copied();
        let mut calls = Vec::new();
        // Every call after the first hundred spins for 20 µs: the median has it.
        let woken = wake_ups("tg0", cpu, |call| {
            calls.push((call, thread::current().id()));
            let until_ns = monotonic_ns() + if call < 100 { 0 } else { 20_000 };
            while monotonic_ns() < until_ns {}
        });
        assert_eq!((woken.cpu, woken.error.as_str()), (cpu, ""));
        assert!(
            woken.p50_ns >= Some(20_000) && woken.p99_ns >= woken.p50_ns,
            "{woken:?}"
        );
        assert!(Some(woken.longest_ns) >= woken.p99_ns, "{woken:?}");
        let numbers: Vec<usize> = calls.iter().map(|(call, _)| *call).collect();
        assert!(numbers.len() > 100 && numbers == (0..numbers.len()).collect::<Vec<_>>());
        assert!(calls.iter().all(|(_, by)| *by != thread::current().id()));
    }

    #[test]
    fn cpu_that_is_not_there_says_so_and_nothing_is_called() {
        let mut calls = 0;
        let woken = wake_ups("tg0", Some(1023), |_| calls += 1);
        assert_eq!((woken.p50_ns, calls), (None, 0));
        assert!(!woken.error.is_empty());
    }
}
