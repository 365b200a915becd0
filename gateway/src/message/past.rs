//! What the operator is told of earlier runs, before orders go out.
//!
//! Path:        order entry -> notice -> log

use protocol::types::{Symbol, UserRefNum};

use super::intent::OrderId;

/// One piece of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastNews {
    /// The exchange tells the message of this number otherwise than the journal has it; the kill switch is on.
    Differs(u64),
    /// The exchange has another session than the one in which the journal has this many orders.
    AnotherSession(usize),
    /// What an earlier session of the day has executed counts.
    Carried(CarriedNews),
    /// Shares that it has left of a symbol, short below zero.
    CarriedPosition(Symbol, i64),
    /// No journal says what this many executions of an earlier session of the day were; the kill switch is on.
    NotCarried(u64),
    /// A journal of the day is damaged, and the exchange does not tell again what it may have had of another session;
    /// the kill switch is on.
    CarriedDamaged,
    /// The journal has an order that never reached the exchange.
    NeverArrived(UserRefNum, OrderId),
    /// What all of it came to.
    Known(PastKnown),
}

/// What was carried of a session that was left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CarriedNews {
    /// Its name.
    pub session: [u8; 10],
    /// Executions.
    pub executions: u64,
    /// Shares that they bought.
    pub bought: u64,
    /// Shares that they sold.
    pub sold: u64,
    /// Symbols.
    pub symbols: u32,
    /// Orders that were open when it was heard last.
    pub open: u32,
}

/// What a look back at earlier runs came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PastKnown {
    /// Orders found open at the exchange.
    pub open: u32,
    /// Of them, those that went back to their strategies.
    pub given_back: u32,
    /// Orders in the journal that never reached the exchange.
    pub never_arrived: u32,
    /// Messages of the exchange that no journal had: said while nothing ran, or lost with the memory of what was killed.
    pub news: u64,
    /// Messages that the journal has otherwise.
    pub differences: u64,
}

impl PastNews {
    /// Whether it is worth an operator's attention at night.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        match self {
            Self::Known(_) | Self::CarriedPosition(..) => false,
            // What they have executed since nobody has heard.
            Self::Carried(carried) => carried.open > 0,
            _ => true,
        }
    }
}

impl std::fmt::Display for PastNews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Differs(seq) => write!(
                f,
                "the exchange tells its message {seq} otherwise than the journal has it: the kill switch is on, \
                 compare orders and positions"
            ),
            Self::AnotherSession(orders) => write!(
                f,
                "the exchange has another session than the journal, whose {orders} orders of an earlier run say \
                 nothing here"
            ),
            Self::Carried(CarriedNews {
                session,
                executions,
                bought,
                sold,
                symbols,
                open,
            }) => write!(
                f,
                "session {} of today was left: its {executions} executions in {symbols} symbols count, {bought} \
                 shares bought and {sold} sold; {open} of its orders were open when it was heard last, and what became \
                 of them is not known here",
                text(&session)
            ),
            Self::CarriedPosition(symbol, shares) => {
                write!(f, "carried of {symbol:?}: {shares} shares")
            }
            Self::NotCarried(executions) => write!(
                f,
                "no journal says what {executions} executions of sessions that were left today were: the kill switch is \
                 on, compare positions"
            ),
            Self::CarriedDamaged => f.write_str(
                "a journal of today is damaged, and may have executions of a session that was left: the kill switch is \
                 on, compare positions"
            ),
            Self::NeverArrived(UserRefNum(user_ref), OrderId(id)) => write!(
                f,
                "order {user_ref} (its strategy's {id}) of an earlier run never reached the exchange"
            ),
            Self::Known(PastKnown {
                open,
                given_back,
                never_arrived,
                news,
                differences,
            }) => write!(
                f,
                "an earlier run: {open} orders found open, {given_back} of them given back to their strategies; \
                 {never_arrived} orders never reached the exchange; {news} of its messages were not in the \
                 journal, {differences} are otherwise there"
            ),
        }
    }
}

/// A session's name without its padding.
fn text(session: &[u8; 10]) -> &str {
    str::from_utf8(session).map_or("?", str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_that_was_left_with_orders_open_is_worth_attention_and_one_without_is_not() {
        let left = |open| {
            PastNews::Carried(CarriedNews {
                session: *b"MORNING   ",
                executions: 3,
                bought: 200,
                sold: 100,
                symbols: 2,
                open,
            })
        };
        assert!(left(1).is_warning() && !left(0).is_warning());
        let said = left(1).to_string();
        assert!(
            said.starts_with("session MORNING of today was left: its 3 executions in 2 symbols")
        );
    }
}
