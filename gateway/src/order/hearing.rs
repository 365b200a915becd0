//! What the exchange's answers do to everybody but the orders: strategies, histograms, the operator.
//!
//! Thread:      order core, hot

use super::links::Listeners;
use super::progress::OrderHistograms;
use super::telling::AnswerEvent;
use crate::message::notice::Notice;
use crate::trace::recorder::Slowest;

/// Where news from the exchange goes.
pub(super) struct Heard<'a> {
    pub(super) listeners: Listeners<'a>,
    pub(super) histograms: &'a mut OrderHistograms,
    pub(super) slowest: &'a mut Slowest,
    pub(super) is_ended: bool,
    pub(super) is_opened: bool,
    pub(super) is_again: bool,
}

impl Heard<'_> {
    #[inline]
    pub(super) fn on(&mut self, news: AnswerEvent) {
        match news {
            AnswerEvent::Acked {
                user_ref,
                encoded_ns,
                acked_ns,
            } => {
                let after_ns = acked_ns.saturating_sub(encoded_ns);
                self.histograms.order_to_ack.record(after_ns);
                self.slowest.on_acked(user_ref, acked_ns);
            }
            AnswerEvent::Execution(owner, event) => self.listeners.tell(owner, event),
            AnswerEvent::Opened => self.is_opened = true,
            AnswerEvent::ConnectAgain => self.is_again = true,
            AnswerEvent::Ended(ended) => {
                self.is_ended = true;
                self.listeners.notices.send(Notice::SessionEnded(ended));
            }
            AnswerEvent::UnknownExecution(user_ref) => {
                self.listeners
                    .notices
                    .send(Notice::UnknownExecution(user_ref.0));
            }
            AnswerEvent::UnknownBreak(match_number) => {
                self.listeners
                    .notices
                    .send(Notice::UnknownBreak(match_number.0));
            }
            AnswerEvent::Malformed(answer) => {
                self.listeners.notices.send(Notice::Malformed(answer));
            }
            AnswerEvent::Unexpected(answer) => {
                self.listeners.notices.send(Notice::Unexpected(answer));
            }
            AnswerEvent::Breach(breach) => self.listeners.notices.send(Notice::Breach(breach)),
            AnswerEvent::Past(news) => self.listeners.notices.send(Notice::Past(news)),
        }
    }
}
