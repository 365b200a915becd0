//! What goes wrong on request: on the lines, with re-requests, with an account's connection, with the
//! exchange itself. Each fault says when, where, what and how long; chance comes from a seed.
//!
//! Time:        the exchange's, counted from the beginning of its day, so that a day's faults are as
//!              repeatable as the day.

use std::rc::Rc;

use fastrand::Rng;
use serde::Deserialize;

const SECOND_NS: f64 = 1e9;
const MS_NS: u64 = 1_000_000;

/// One fault of the configuration.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Seconds after the day's beginning.
    pub at_s: f64,
    /// How long, seconds.
    #[serde(default = "one")]
    pub for_s: f64,
    /// Where.
    pub on: On,
    /// What.
    #[serde(rename = "do")]
    pub act: Act,
    /// For `account`: which; none: every.
    #[serde(default)]
    pub account: Option<String>,
    /// Share of the packets, or of the requests.
    #[serde(default = "one")]
    pub share: f64,
    /// For what is late: how late. For `clock_jump`: how far.
    #[serde(default)]
    pub by_ms: u64,
    /// For `reject`: the reason's number. For `wrong_number`: by how much.
    #[serde(default)]
    pub value: u16,
}

fn one() -> f64 {
    1.0
}

/// Where a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    pub(crate) fn validate(&self) -> Result<(), String> {
        use Act::{
            Bytewise, ClockJump, Corrupt, Crash, CrashWithoutStore, Cut, Delay, Drop, Duplicate,
            HalfOpen, Reject, Reorder, Stall, Truncate, WrongNumber,
        };
        let fits = match self.on {
            On::LineA | On::LineB | On::Lines => {
                matches!(
                    self.act,
                    Drop | Duplicate | Reorder | Delay | Corrupt | Truncate
                )
            }
            On::Rerequest => matches!(self.act, Drop | Delay | Corrupt | Truncate),
            On::Account => {
                matches!(
                    self.act,
                    Cut | Stall | HalfOpen | Bytewise | WrongNumber | Reject
                )
            }
            On::Exchange => matches!(self.act, ClockJump | Crash | CrashWithoutStore),
        };
        if !fits {
            return Err(format!(
                "fault: {:?} cannot happen on {:?}",
                self.act, self.on
            ));
        }
        if self.at_s.is_nan() || self.at_s < 0.0 || self.for_s.is_nan() || self.for_s < 0.0 {
            return Err("fault: at_s and for_s: expected 0 or more".to_owned());
        }
        if !(0.0..=1.0).contains(&self.share) {
            return Err("fault: share: expected 0 to 1".to_owned());
        }
        let needs_time = matches!(self.act, Reorder | Delay | ClockJump);
        if needs_time && self.by_ms == 0 {
            return Err(format!("fault: {:?}: expected by_ms", self.act));
        }
        if self.act == Reject && protocol::ouch::RejectReason::of(self.value).is_none() {
            return Err("fault: Reject: expected a reason's number as value".to_owned());
        }
        Ok(())
    }

    fn begins_ns(&self) -> u64 {
        crate::flow::whole(self.at_s * SECOND_NS)
    }

    /// Whether it is on, this many ns after the day's beginning.
    fn is_on(&self, passed_ns: u64) -> bool {
        let from_ns = self.begins_ns();
        (from_ns..=from_ns + crate::flow::whole(self.for_s * SECOND_NS)).contains(&passed_ns)
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
        fault.at_s += now_ns.saturating_sub(self.start_ns) as f64 / SECOND_NS;
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
        Some((fault.act, fault.by_ms * MS_NS))
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
        let due = |fault: &Fault| fault.on == On::Exchange && fault.begins_ns() <= passed;
        let at = self.faults.iter().position(due)?;
        let fault = self.faults.remove(at);
        Some((fault.act, fault.by_ms * MS_NS))
    }
}

/// Does one thing to the copies of a packet on one line.
fn strike(fault: &Fault, damage: u64, copies: &mut Vec<Spoilt>, counters: &FaultCounters) {
    let by_ns = fault.by_ms * MS_NS;
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

    fn fault(text: &str) -> Fault {
        let fault: Fault = toml::from_str(text).unwrap();
        fault.validate().unwrap();
        fault
    }

    fn spoil(text: &str, now_ns: u64) -> Vec<Vec<(u64, Vec<u8>)>> {
        let mut faults = Faults::new(&[fault(text)], 1, 1000);
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
        let drop = "at_s = 1\nfor_s = 1\non = \"line_b\"\ndo = \"drop\"";
        let before = spoil(drop, 1000);
        assert_eq!(before, [vec![whole.clone()], vec![whole.clone()]]);
        assert_eq!(spoil(drop, 1_000_001_000), [vec![whole.clone()], vec![]]);
        assert_eq!(spoil(drop, 2_000_001_001), before);
        let twice = "at_s = 0\non = \"lines\"\ndo = \"duplicate\"";
        assert_eq!(
            spoil(twice, 1000),
            [vec![whole.clone(); 2], vec![whole.clone(); 2]]
        );
        let late = "at_s = 0\non = \"line_a\"\ndo = \"delay\"\nby_ms = 2";
        assert_eq!(spoil(late, 1000)[0], [(2_000_000, b"packet".to_vec())]);
        let wrong = spoil("at_s = 0\non = \"lines\"\ndo = \"corrupt\"", 1000);
        assert!(
            wrong[0] != [whole.clone()] && wrong[0] == wrong[1],
            "the same on both lines"
        );
        let short = spoil("at_s = 0\non = \"lines\"\ndo = \"truncate\"", 1000);
        assert!(short[0][0].1.len() < 6);
    }

    #[test]
    fn what_cannot_happen_is_refused() {
        for text in [
            "at_s = 0\non = \"line_a\"\ndo = \"cut\"",
            "at_s = 0\non = \"exchange\"\ndo = \"drop\"",
            "at_s = 0\non = \"lines\"\ndo = \"delay\"",
            "at_s = -1\non = \"lines\"\ndo = \"drop\"",
            "at_s = 0\non = \"lines\"\ndo = \"drop\"\nshare = 1.5",
            "at_s = 0\non = \"account\"\ndo = \"reject\"\nvalue = 999",
        ] {
            let fault: Fault = toml::from_str(text).unwrap();
            assert!(fault.validate().is_err(), "{text}");
        }
    }
}
