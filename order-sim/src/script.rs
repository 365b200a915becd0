//! Orders that get what they ask for: a prefix of the order's own id, or its account, selects what the
//! exchange does to it, so that one test can stage one race.

use protocol::ouch::RejectReason;
use serde::Deserialize;

/// One rule of the configuration. The first that fits an order applies.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The beginning of `ClOrdID`; none: any.
    #[serde(default)]
    pub prefix: String,
    /// The account; none: any.
    #[serde(default)]
    pub account: Option<String>,
    /// What happens.
    #[serde(rename = "do")]
    pub act: Act,
    /// For `reject`: the reason's number.
    #[serde(default)]
    pub reason: u16,
    /// For `late`: how much later it is taken, ms.
    #[serde(default)]
    pub after_ms: u64,
}

/// What happens to an order, as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// It is rejected.
    Reject,
    /// It is taken later.
    Late,
    /// It is never answered.
    Ignore,
    /// The house fills it at its limit.
    Fill,
    /// The house fills half of it.
    FillHalf,
    /// When its cancel comes, it has just been filled.
    FillOnCancel,
    /// It is filled, and the fill is told twice.
    FillTwice,
    /// It is filled, and the trade is broken.
    Bust,
    /// The connection is cut in the middle of its answer.
    Cut,
}

/// What happens to one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Reject(RejectReason),
    Late { after_ns: u64 },
    Ignore,
    Fill,
    FillHalf,
    FillOnCancel,
    FillTwice,
    Bust,
    Cut,
}

impl Rule {
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.prefix.is_empty() && self.account.is_none() {
            return Err("behaviour: expected a prefix or an account".to_owned());
        }
        if self.prefix.len() > 14 {
            return Err(format!(
                "behaviour: prefix \"{}\": at most 14 characters",
                self.prefix
            ));
        }
        if self.act == Act::Reject && RejectReason::of(self.reason).is_none() {
            return Err(format!(
                "behaviour: reason {:#04x}: expected 0x01 to 0x33, or 0x40",
                self.reason
            ));
        }
        Ok(())
    }

    /// What happens to an order of this account and id, if the rule is meant.
    pub(crate) fn behaviour(&self, account: &str, client_order_id: &[u8; 14]) -> Option<Behaviour> {
        let is_account = self.account.as_ref().is_none_or(|name| name == account);
        if !is_account || !client_order_id.starts_with(self.prefix.as_bytes()) {
            return None;
        }
        Some(match self.act {
            Act::Reject => Behaviour::Reject(RejectReason::of(self.reason)?),
            Act::Late => Behaviour::Late {
                after_ns: self.after_ms * 1_000_000,
            },
            Act::Ignore => Behaviour::Ignore,
            Act::Fill => Behaviour::Fill,
            Act::FillHalf => Behaviour::FillHalf,
            Act::FillOnCancel => Behaviour::FillOnCancel,
            Act::FillTwice => Behaviour::FillTwice,
            Act::Bust => Behaviour::Bust,
            Act::Cut => Behaviour::Cut,
        })
    }
}
