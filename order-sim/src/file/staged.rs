//! What a test or an operator stages, as the file says it: `[[behaviour]]` and `[[fault]]`.
//!
//! When wrong:  one line: what it is, and what was expected.

use protocol::ouch::RejectReason;
use serde::Deserialize;

use crate::fault::{self, Act, On};
use crate::flow::whole;
use crate::script::{self, Behaviour};

const SECOND_NS: f64 = 1e9;
const MS_NS: u64 = 1_000_000;

/// Reads one fault by itself, as `tickgate-sim ctl fault` is given it.
///
/// # Errors
/// What is wrong, and what would be right.
pub(crate) fn parse_fault(text: &str) -> Result<fault::Fault, String> {
    let fault: Fault = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    fault.options()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    account: Option<String>,
    #[serde(rename = "do")]
    act: RuleAct,
    /// For `reject`: the reason's number.
    #[serde(default)]
    reason: u16,
    /// For `late`.
    #[serde(default)]
    after_ms: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RuleAct {
    Reject,
    Late,
    Ignore,
    Fill,
    FillHalf,
    FillOnCancel,
    FillTwice,
    Bust,
    Cut,
}

impl Rule {
    pub(super) fn options(self) -> Result<script::Rule, String> {
        if self.prefix.is_empty() && self.account.is_none() {
            return Err("behaviour: expected a prefix or an account".to_owned());
        }
        if self.prefix.len() > 14 {
            return Err(format!(
                "behaviour: prefix \"{}\": at most 14 characters",
                self.prefix
            ));
        }
        let behaviour = match self.act {
            RuleAct::Reject => {
                let reason = RejectReason::of(self.reason).ok_or_else(|| {
                    format!(
                        "behaviour: reason {:#04x}: expected 0x01 to 0x33, or 0x40",
                        self.reason
                    )
                })?;
                Behaviour::Reject(reason)
            }
            RuleAct::Late => Behaviour::Late {
                after_ns: self.after_ms.saturating_mul(MS_NS),
            },
            RuleAct::Ignore => Behaviour::Ignore,
            RuleAct::Fill => Behaviour::Fill,
            RuleAct::FillHalf => Behaviour::FillHalf,
            RuleAct::FillOnCancel => Behaviour::FillOnCancel,
            RuleAct::FillTwice => Behaviour::FillTwice,
            RuleAct::Bust => Behaviour::Bust,
            RuleAct::Cut => Behaviour::Cut,
        };
        Ok(script::Rule {
            prefix: self.prefix,
            account: self.account,
            behaviour,
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    at_s: f64,
    #[serde(default = "one")]
    for_s: f64,
    #[serde(with = "OnWord")]
    on: On,
    #[serde(rename = "do", with = "ActWord")]
    act: Act,
    #[serde(default)]
    account: Option<String>,
    #[serde(default = "one")]
    share: f64,
    #[serde(default)]
    by_ms: u64,
    #[serde(default)]
    value: u16,
}

fn one() -> f64 {
    1.0
}

/// The words for `On`; the compiler holds the two against one another.
#[derive(Deserialize)]
#[serde(remote = "On", rename_all = "snake_case")]
enum OnWord {
    LineA,
    LineB,
    Lines,
    Rerequest,
    Account,
    Exchange,
}

/// The words for `Act`.
#[derive(Deserialize)]
#[serde(remote = "Act", rename_all = "snake_case")]
enum ActWord {
    Drop,
    Duplicate,
    Reorder,
    Delay,
    Corrupt,
    Truncate,
    Cut,
    Stall,
    HalfOpen,
    Bytewise,
    WrongNumber,
    Reject,
    ClockJump,
    Crash,
    CrashWithoutStore,
}

/// What can happen where.
fn can_happen(act: Act, on: On) -> bool {
    use Act::{
        Bytewise, ClockJump, Corrupt, Crash, CrashWithoutStore, Cut, Delay, Drop, Duplicate,
        HalfOpen, Reject, Reorder, Stall, Truncate, WrongNumber,
    };
    match on {
        On::LineA | On::LineB | On::Lines => {
            matches!(act, Drop | Duplicate | Reorder | Delay | Corrupt | Truncate)
        }
        On::Rerequest => matches!(act, Drop | Delay | Corrupt | Truncate),
        On::Account => {
            matches!(
                act,
                Cut | Stall | HalfOpen | Bytewise | WrongNumber | Reject
            )
        }
        On::Exchange => matches!(act, ClockJump | Crash | CrashWithoutStore),
    }
}

impl Fault {
    pub(super) fn options(self) -> Result<fault::Fault, String> {
        if !can_happen(self.act, self.on) {
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
        let needs_time = matches!(self.act, Act::Reorder | Act::Delay | Act::ClockJump);
        if needs_time && self.by_ms == 0 {
            return Err(format!("fault: {:?}: expected by_ms", self.act));
        }
        if self.act == Act::Reject && RejectReason::of(self.value).is_none() {
            return Err("fault: Reject: expected a reason's number as value".to_owned());
        }
        Ok(fault::Fault {
            begins_ns: whole(self.at_s * SECOND_NS),
            lasts_ns: whole(self.for_s * SECOND_NS),
            on: self.on,
            act: self.act,
            account: self.account,
            share: self.share,
            by_ns: self.by_ms.saturating_mul(MS_NS),
            value: self.value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_comes_in_the_exchanges_units() {
        let text = "at_s = 0.5\non = \"line_b\"\ndo = \"delay\"\nby_ms = 2";
        let expected = fault::Fault {
            begins_ns: 500_000_000,
            lasts_ns: 1_000_000_000,
            on: On::LineB,
            act: Act::Delay,
            account: None,
            share: 1.0,
            by_ns: 2_000_000,
            value: 0,
        };
        assert_eq!(parse_fault(text), Ok(expected));
    }

    #[test]
    fn fault_that_cannot_be_is_refused_with_what_was_expected() {
        for (text, said) in [
            (
                "on = \"line_a\"\ndo = \"cut\"",
                "fault: Cut cannot happen on LineA",
            ),
            (
                "on = \"exchange\"\ndo = \"drop\"",
                "fault: Drop cannot happen on Exchange",
            ),
            (
                "on = \"lines\"\ndo = \"delay\"",
                "fault: Delay: expected by_ms",
            ),
            (
                "for_s = -1\non = \"lines\"\ndo = \"drop\"",
                "fault: at_s and for_s: expected 0 or more",
            ),
            (
                "on = \"lines\"\ndo = \"drop\"\nshare = 1.5",
                "fault: share: expected 0 to 1",
            ),
            (
                "on = \"account\"\ndo = \"reject\"\nvalue = 999",
                "fault: Reject: expected a reason's number as value",
            ),
            (
                "on = \"lines\"\ndo = \"dropp\"",
                "unknown variant `dropp`, expected one of `drop`, `duplicate`",
            ),
            ("on = \"lines\"", "missing field `do`"),
        ] {
            let error = parse_fault(&format!("at_s = 0\n{text}")).unwrap_err();
            assert!(error.starts_with(said), "{text}: {error}");
        }
    }

    #[test]
    fn rule_that_cannot_be_is_refused_with_what_was_expected() {
        for (text, said) in [
            (
                "do = \"fill\"",
                "behaviour: expected a prefix or an account",
            ),
            (
                "prefix = \"123456789012345\"\ndo = \"fill\"",
                "behaviour: prefix \"123456789012345\": at most 14 characters",
            ),
            (
                "prefix = \"x\"\ndo = \"reject\"\nreason = 0x34",
                "behaviour: reason 0x34: expected 0x01 to 0x33, or 0x40",
            ),
        ] {
            let rule: Rule = toml::from_str(text).unwrap();
            assert_eq!(rule.options(), Err(said.to_owned()));
        }
    }
}
