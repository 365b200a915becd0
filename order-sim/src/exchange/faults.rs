//! What goes wrong on request, as the exchange's edges ask for it: each fault strikes where its bytes are.

use super::Exchange;
use crate::fault::{Act, Fault, FaultCounters};
use crate::feed::publisher::REPLY_MESSAGES_MAX;

impl Exchange {
    /// Answers a re-request, with how much later the answer leaves, ns; `None`: silence.
    pub fn on_rerequest<'a>(
        &mut self,
        request: &[u8],
        out: &'a mut [u8],
    ) -> Option<(&'a [u8], u64)> {
        let now_ns = self.now_ns();
        let publisher = self.outlet.publisher.as_mut()?;
        let fault = publisher.faults.rerequest(now_ns);
        let (act, late_ns) = fault.map_or((None, 0), |(act, by_ns)| (Some(act), by_ns));
        let count_max = if act == Some(Act::Truncate) {
            1
        } else {
            REPLY_MESSAGES_MAX
        };
        let len = publisher.on_request(request, count_max, out, now_ns)?.len();
        let answer = out.get_mut(..len)?;
        if act == Some(Act::Corrupt)
            && let Some(session) = answer.first_mut()
        {
            *session ^= 1;
        }
        (act != Some(Act::Drop)).then_some((answer, late_ns))
    }

    /// One more fault; its time counts from now.
    pub fn add_fault(&mut self, fault: Fault) {
        let now_ns = self.now_ns();
        if let Some(publisher) = &mut self.outlet.publisher {
            publisher.faults.add(fault.clone(), now_ns);
        }
        self.faults.add(fault, now_ns);
    }

    /// Whether an account's connections suffer this now: the fault's value.
    #[must_use]
    pub fn account_fault(&self, act: Act, account: u16) -> Option<u16> {
        let name = self
            .outlet
            .accounts
            .get(account)
            .map_or("", |account| &account.name);
        self.faults.account(act, name, self.now_ns())
    }

    /// By how much logins are answered wrongly now.
    #[must_use]
    pub fn login_skew(&self) -> Option<u16> {
        let mut accounts = self.outlet.accounts.names();
        accounts.find_map(|name| self.faults.account(Act::WrongNumber, name, self.now_ns()))
    }

    /// A fault of the exchange itself that is due, and how far a clock jumps, ns. Each is told once.
    pub fn take_exchange_fault(&mut self) -> Option<(Act, u64)> {
        self.faults.take_exchange(self.now_ns())
    }

    /// What faults have done: to accounts, and to the lines.
    pub fn fault_counters(&self) -> impl Iterator<Item = &FaultCounters> {
        let publisher = self.outlet.publisher.as_ref();
        std::iter::once(&self.faults.counters)
            .chain(publisher.map(|publisher| &publisher.faults.counters))
    }
}
