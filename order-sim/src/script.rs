//! Orders that get what they ask for: a prefix of the order's own id, or its account, selects what the
//! exchange does to it, so that one test can stage one race.

use protocol::ouch::RejectReason;

/// Which orders, and what happens to them. The first rule that fits an order applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The beginning of `ClOrdID`; empty: any.
    pub prefix: String,
    /// The account; none: any.
    pub account: Option<String>,
    /// What happens.
    pub behaviour: Behaviour,
}

/// What happens to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It is rejected for this reason.
    Reject(RejectReason),
    /// It is taken later.
    Late {
        /// How much later, ns.
        after_ns: u64,
    },
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

impl Rule {
    /// What happens to an order of this account and id, if the rule is meant.
    pub(crate) fn behaviour(&self, account: &str, client_order_id: &[u8; 14]) -> Option<Behaviour> {
        let is_account = self.account.as_ref().is_none_or(|name| name == account);
        let is_meant = is_account && client_order_id.starts_with(self.prefix.as_bytes());
        is_meant.then_some(self.behaviour)
    }
}
