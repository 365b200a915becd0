//! What goes wrong on request: on the lines, with re-requests, with an account's connection, with the
//! exchange itself. Each fault says when, where, what and how long; chance comes from a seed.
//!
//! Time:        the exchange's, counted from the beginning of its day, so that a day's faults are as
//!              repeatable as the day.

use std::rc::Rc;

use fastrand::Rng;

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When it begins, ns after the day's beginning.
    pub begins_ns: u64,
    /// How long it lasts, ns.
    pub lasts_ns: u64,
    /// Where.
    pub on: On,
    /// What. An act that cannot happen there does nothing.
    pub act: Act,
    /// For accounts: which; none: every.
    pub account: Option<String>,
    /// Share of the packets, or of the requests, 0 to 1.
    pub share: f64,
    /// For what is late: how late. For a jump of the clock: how far. ns.
    pub by_ns: u64,
    /// For a rejection: the reason's number. For a wrong number: by how much.
    pub value: u16,
}

/// Where a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Line A.
    LineA,
    /// Line B.
    LineB,
    /// Both lines, the same packets.
    Lines,
    /// The re-request server.
    Rerequest,
    /// Order entry connections.
    Account,
    /// The exchange.
    Exchange,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Lines: packets are lost. Re-requests: no answer.
    Drop,
    /// Lines: packets come twice.
    Duplicate,
    /// Lines: packets come after those behind them.
    Reorder,
    /// Lines: packets come later, in order. Re-requests: so does the answer.
    Delay,
    /// Lines: a byte is another. Re-requests: the answer is of another session.
    Corrupt,
    /// Lines: packets end too early. Re-requests: fewer messages than there could be.
    Truncate,
    /// Accounts: the connection is cut, and new ones too.
    Cut,
    /// Accounts: nothing is written.
    Stall,
    /// Accounts: nothing is written, nothing is read, and nobody says so.
    HalfOpen,
    /// Accounts: each byte is a packet of its own.
    Bytewise,
    /// Accounts: the login's answer states another number than the one that comes.
    WrongNumber,
    /// Accounts: every new order is rejected.
    Reject,
    /// Exchange: the clock jumps ahead.
    ClockJump,
    /// Exchange: the process ends at once, its store as it is.
    Crash,
    /// Exchange: the process ends at once, and its store is gone.
    CrashWithoutStore,
}

impl Fault {
    /// Whether it is on, this many ns after the day's beginning.
    fn is_on(&self, passed_ns: u64) -> bool {
        let ends_ns = self.begins_ns.saturating_add(self.lasts_ns);
        (self.begins_ns..=ends_ns).contains(&passed_ns)
    }
}

rt::counters! {
    /// What faults have done.
    pub struct FaultCounters {
        /// Packets kept from a line.
        packets_dropped,
        /// Packets sent twice on a line.
        packets_duplicated,
        /// Packets sent late on a line, in order or not.
        packets_late,
        /// Packets with a wrong byte, or too short.
        packets_damaged,
        /// Re-requests that were not answered, late, or wrongly.
        rerequests_spoilt,
        /// Orders rejected.
        orders_rejected,
    }
}

/// A packet on its way to one line.
#[derive(Clone, Debug)]
pub(crate) struct Spoilt {
    /// How much later it leaves, ns, and whether those behind it wait for it.
    pub late_ns: u64,
    pub keeps_order: bool,
    pub bytes: Rc<[u8]>,
}

/// All faults of a day.
#[derive(Debug)]
pub(crate) struct Faults {
    faults: Vec<Fault>,
    random: Rng,
    start_ns: u64,
    pub counters: FaultCounters,
}

impl Faults {
    pub(crate) fn new(faults: &[Fault], seed: u64, start_ns: u64) -> Self {
        Self {
            faults: faults.to_vec(),
            random: Rng::with_seed(seed),
            start_ns,
            counters: FaultCounters::default(),
        }
    }

    /// One more; its time counts from now.
    pub(crate) fn add(&mut self, mut fault: Fault, now_ns: u64) {
        let passed_ns = now_ns.saturating_sub(self.start_ns);
        fault.begins_ns = fault.begins_ns.saturating_add(passed_ns);
        self.faults.push(fault);
    }

    /// Whether nothing can go wrong: the usual case.
    pub(crate) fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// What becomes of a packet on each of the lines.
    pub(crate) fn spoil(
        &mut self,
        bytes: &Rc<[u8]>,
        lines: usize,
        now_ns: u64,
    ) -> Vec<Vec<Spoilt>> {
        let whole = Spoilt {
            late_ns: 0,
            keeps_order: true,
            bytes: Rc::clone(bytes),
        };
        let mut out = vec![vec![whole]; lines];
        let passed = now_ns.saturating_sub(self.start_ns);
        let Self {
            faults,
            random,
            counters,
            ..
        } = self;
        for fault in faults.iter().filter(|fault| fault.is_on(passed)) {
            let meant = match fault.on {
                On::LineA => 0..1,
                On::LineB => 1..2,
                On::Lines => 0..lines,
                _ => continue,
            };
            // Drawn once, so that a fault on both lines strikes the same packets.
            if random.f64() >= fault.share {
                continue;
            }
            let damage = random.u64(..);
            for copies in out
                .iter_mut()
                .enumerate()
                .filter(|(at, _)| meant.contains(at))
            {
                strike(fault, damage, copies.1, counters);
            }
        }
        out
    }

    /// What becomes of a re-request's answer: `None`: as it should be.
    pub(crate) fn rerequest(&mut self, now_ns: u64) -> Option<(Act, u64)> {
        let passed = now_ns.saturating_sub(self.start_ns);
        let Self { faults, random, .. } = self;
        let fault = faults.iter().find(|fault| {
            fault.on == On::Rerequest && fault.is_on(passed) && random.f64() < fault.share
        })?;
        self.counters.rerequests_spoilt.increment();
        Some((fault.act, fault.by_ns))
    }

    /// The fault of this kind that an account has now: its value.
    pub(crate) fn account(&self, act: Act, name: &str, now_ns: u64) -> Option<u16> {
        let passed = now_ns.saturating_sub(self.start_ns);
        let fault = self.faults.iter().find(|fault| {
            fault.on == On::Account
                && fault.act == act
                && fault.is_on(passed)
                && fault.account.as_ref().is_none_or(|account| account == name)
        })?;
        Some(fault.value)
    }

    /// Faults of the exchange itself that are due, each told once.
    pub(crate) fn take_exchange(&mut self, now_ns: u64) -> Option<(Act, u64)> {
        let passed = now_ns.saturating_sub(self.start_ns);
        let due = |fault: &Fault| fault.on == On::Exchange && fault.begins_ns <= passed;
        let at = self.faults.iter().position(due)?;
        let fault = self.faults.remove(at);
        Some((fault.act, fault.by_ns))
    }
}

/// Does one thing to the copies of a packet on one line.
fn strike(fault: &Fault, damage: u64, copies: &mut Vec<Spoilt>, counters: &FaultCounters) {
    let by_ns = fault.by_ns;
    match fault.act {
        Act::Drop => {
            copies.clear();
            counters.packets_dropped.increment();
        }
        Act::Duplicate => {
            let twice = copies.clone();
            copies.extend(twice.into_iter().map(|copy| Spoilt {
                late_ns: copy.late_ns + by_ns,
                keeps_order: by_ns == 0,
                ..copy
            }));
            counters.packets_duplicated.increment();
        }
        Act::Reorder | Act::Delay => {
            for copy in copies {
                copy.late_ns += by_ns;
                copy.keeps_order = fault.act == Act::Delay;
            }
            counters.packets_late.increment();
        }
        Act::Corrupt | Act::Truncate => {
            for copy in copies {
                let mut bytes = copy.bytes.to_vec();
                let at = usize::try_from(damage % bytes.len().max(1) as u64).unwrap_or(0);
                if fault.act == Act::Truncate {
                    bytes.truncate(at);
                } else if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (damage >> 32 & 7);
                }
                copy.bytes = Rc::from(bytes);
            }
            counters.packets_damaged.increment();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fault on both lines, from the day's beginning on, for a second.
    fn fault(act: Act) -> Fault {
        Fault {
            begins_ns: 0,
            lasts_ns: 1_000_000_000,
            on: On::Lines,
            act,
            account: None,
            share: 1.0,
            by_ns: 0,
            value: 0,
        }
    }

    fn spoil(fault: Fault, now_ns: u64) -> Vec<Vec<(u64, Vec<u8>)>> {
        let mut faults = Faults::new(&[fault], 1, 1000);
        let packet: Rc<[u8]> = Rc::from(&b"packet"[..]);
        let lines = faults.spoil(&packet, 2, now_ns);
        let plain = |copy: &Spoilt| (copy.late_ns, copy.bytes.to_vec());
        lines
            .iter()
            .map(|copies| copies.iter().map(plain).collect())
            .collect()
    }

    #[test]
    fn each_line_gets_what_is_meant_for_it_and_only_while_it_is() {
        let whole = (0, b"packet".to_vec());
        let drop = Fault {
            begins_ns: 1_000_000_000,
            on: On::LineB,
            ..fault(Act::Drop)
        };
        let before = spoil(drop.clone(), 1000);
        assert_eq!(before, [vec![whole.clone()], vec![whole.clone()]]);
        let during = spoil(drop.clone(), 1_000_001_000);
        assert_eq!(during, [vec![whole.clone()], vec![]]);
        assert_eq!(spoil(drop, 2_000_001_001), before);
        assert_eq!(
            spoil(fault(Act::Duplicate), 1000),
            [vec![whole.clone(); 2], vec![whole.clone(); 2]]
        );
        let late = Fault {
            on: On::LineA,
            by_ns: 2_000_000,
            ..fault(Act::Delay)
        };
        assert_eq!(spoil(late, 1000)[0], [(2_000_000, b"packet".to_vec())]);
        let wrong = spoil(fault(Act::Corrupt), 1000);
        assert!(
            wrong[0] != [whole.clone()] && wrong[0] == wrong[1],
            "the same on both lines"
        );
        let short = spoil(fault(Act::Truncate), 1000);
        assert!(short[0][0].1.len() < 6);
    }

    #[test]
    fn fault_without_an_end_is_on_for_ever() {
        let endless = Fault {
            begins_ns: 5,
            lasts_ns: u64::MAX,
            ..fault(Act::Drop)
        };
        assert!(!endless.is_on(4) && endless.is_on(5) && endless.is_on(u64::MAX));
    }
}
