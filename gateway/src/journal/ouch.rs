//! What the packets and messages in a journal say of orders.
//!
//! When wrong:  what cannot be decoded says nothing; its bytes are in the journal all the same.

use protocol::ouch::{Inbound, Outbound};
use protocol::soup::Packet;

/// Packets one behind the other, as far as they are whole.
pub(super) fn packets(mut bytes: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    std::iter::from_fn(move || {
        let (packet, rest) = Packet::decode(bytes).ok()??;
        bytes = rest;
        Some(packet)
    })
}

/// The message of a packet to the exchange.
pub(super) fn sent(packet: Packet<'_>) -> Option<Inbound<'_>> {
    let decoded = Inbound::decode(packet.payload).ok();
    decoded.map(|(message, _)| message)
}

/// Reference numbers that packets to the exchange name: a replace the old one, then its own.
pub(super) fn orders_sent(bytes: &[u8]) -> Vec<u32> {
    let mut orders = Vec::new();
    for message in packets(bytes).filter_map(sent) {
        match message {
            Inbound::EnterOrder(m) => orders.push(m.user_ref.get().0),
            Inbound::ReplaceOrder(m) => {
                orders.push(m.original_user_ref.get().0);
                orders.push(m.user_ref.get().0);
            }
            Inbound::CancelOrder(m) => orders.push(m.user_ref.get().0),
            _ => {}
        }
    }
    orders
}

/// Reference numbers that a message of the exchange names: a replace the old one, then its own.
pub(super) fn orders_heard(message: &Outbound<'_>) -> Vec<u32> {
    let one = match message {
        Outbound::OrderAccepted(m) => m.user_ref,
        Outbound::OrderReplaced(m) => {
            return vec![m.original_user_ref.get().0, m.user_ref.get().0];
        }
        Outbound::Canceled(m) => m.user_ref,
        Outbound::AiqCanceled(m) => m.user_ref,
        Outbound::Executed(m) => m.user_ref,
        Outbound::BrokenTrade(m) => m.user_ref,
        Outbound::Rejected(m) => m.user_ref,
        Outbound::CancelPending(m) => m.user_ref,
        Outbound::CancelReject(m) => m.user_ref,
        Outbound::PriorityUpdate(m) => m.user_ref,
        Outbound::Modified(m) => m.user_ref,
        Outbound::Restated(m) => m.user_ref,
        _ => return Vec::new(),
    };
    vec![one.get().0]
}

/// What a message of the exchange is called.
pub(super) fn name_of(message: &Outbound<'_>) -> &'static str {
    match message {
        Outbound::SystemEvent(_) => "system-event",
        Outbound::OrderAccepted(_) => "accepted",
        Outbound::OrderReplaced(_) => "replaced",
        Outbound::Canceled(_) => "canceled",
        Outbound::AiqCanceled(_) => "self-match-canceled",
        Outbound::Executed(_) => "executed",
        Outbound::BrokenTrade(_) => "broken-trade",
        Outbound::Rejected(_) => "rejected",
        Outbound::CancelPending(_) => "cancel-pending",
        Outbound::CancelReject(_) => "cancel-rejected",
        Outbound::PriorityUpdate(_) => "priority-update",
        Outbound::Modified(_) => "modified",
        Outbound::Restated(_) => "restated",
        Outbound::MassCancelResponse(_) => "mass-cancel",
        Outbound::DisableResponse(_) => "disabled",
        Outbound::EnableResponse(_) => "enabled",
        Outbound::AccountQueryResponse(_) => "account-query",
    }
}
