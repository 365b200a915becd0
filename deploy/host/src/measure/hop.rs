//! What a message costs from one hot CPU to the next: there and back through two of `rt`'s rings, halved.

use std::thread;

use rt::clock::Clock;
use rt::ring::{Consumer, Producer, ring};
use serde::{Deserialize, Serialize};

use crate::Plan;

/// The way from one CPU to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The CPU that asks.
    pub from: usize,
    /// The CPU that answers.
    pub to: usize,
    /// Half of there and back, ns; `None`: not measured.
    pub p50_ns: Option<u64>,
    /// The same.
    pub p99_ns: Option<u64>,
    /// Why it was not measured.
    pub error: String,
}

/// Round trips of each pair, and how long they may take together.
const TRIPS: usize = 20_000;
const TIME_NS_MAX: u64 = 2_000_000_000;
/// What ends the one who answers.
const END: u64 = u64::MAX;

/// Each pair of hot CPUs that stand beside one another in the plan.
#[must_use]
pub fn hops(plan: &Plan) -> Vec<Hop> {
    let cpus: Vec<usize> = plan.hot.iter().filter_map(|core| core.cpu).collect();
    let pairs = cpus.iter().zip(cpus.iter().skip(1));
    let pairs = pairs.filter(|(from, to)| from != to);
    pairs.map(|(from, to)| hop(*from, *to)).collect()
}

fn hop(from: usize, to: usize) -> Hop {
    let hop = Hop {
        from,
        to,
        ..Hop::default()
    };
    let (Ok((asks, asked)), Ok((answers, answered))) = (ring(64), ring(64)) else {
        return hop;
    };
    let took = thread::scope(|scope| {
        let answering = scope.spawn(move || answer(to, asked, answers));
        let asking = scope.spawn(move || ask(from, asks, answered));
        let took = asking.join();
        let answered = answering.join();
        match (took, answered) {
            (Ok(Ok(took)), Ok(Ok(()))) => Ok(took),
            (Ok(Err(error)), _) | (_, Ok(Err(error))) => Err(error.to_string()),
            _ => Err("a thread ended".to_owned()),
        }
    });
    match took {
        Err(error) => Hop { error, ..hop },
        Ok(mut took) => {
            took.sort_unstable();
            let at = |percent: usize| took.get(took.len().checked_sub(1)? * percent / 100);
            Hop {
                p50_ns: at(50).map(|ns| ns / 2),
                p99_ns: at(99).map(|ns| ns / 2),
                ..hop
            }
        }
    }
}

/// Sends and waits, and says how long each trip took.
fn ask(
    cpu: usize,
    mut asks: Producer<u64>,
    mut answered: Consumer<u64>,
) -> std::io::Result<Vec<u64>> {
    let pinned = rt::cpu::pin(cpu);
    let clock = Clock::new();
    let until_ns = clock.now_ns() + TIME_NS_MAX;
    let mut took = Vec::with_capacity(TRIPS);
    while pinned.is_ok() && took.len() < TRIPS {
        let began_ns = clock.now_ns();
        // One is on its way at most, so there is room.
        let _ = asks.push(began_ns);
        let mut now_ns = began_ns;
        while answered.pop().is_none() && now_ns < until_ns {
            now_ns = clock.now_ns();
        }
        if now_ns >= until_ns {
            break;
        }
        took.push(clock.now_ns() - began_ns);
    }
    let _ = asks.push(END);
    pinned.map(|()| took)
}

/// Sends back whatever comes.
fn answer(cpu: usize, mut asked: Consumer<u64>, mut answers: Producer<u64>) -> std::io::Result<()> {
    let pinned = rt::cpu::pin(cpu);
    loop {
        match asked.pop() {
            None => std::hint::spin_loop(),
            Some(END) => return pinned,
            Some(message) => {
                let _ = answers.push(message);
            }
        }
    }
}
