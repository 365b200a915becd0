//! What a record of the journal tells whoever listens for orders and fills.
//!
//! Invariants:  a record tells one thing at most. Each has an `id` that nothing else has, the same whenever it is told: a receiver that
//!              has seen it drops it.

use serde::Serialize;
use serde_json::Value;

use super::message::Class;
use crate::journal::event;
use crate::journal::executions::Execution;
use crate::journal::format::{GATEWAY, Kind, Record};
use crate::journal::head::Head;
use crate::journal::show;

/// What happened, and to whom it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) class: Class,
    pub(super) session: String,
    /// JSON.
    pub(super) text: String,
}

/// A fill, or a trade that was undone.
#[derive(Serialize)]
struct Fill<'a> {
    id: String,
    #[serde(flatten)]
    execution: &'a Execution,
}

/// What a record tells; `execution`: what it told of a fill for the first time.
pub(super) fn event_of(
    head: &Head,
    record: &Record<'_>,
    event: &event::Event<'_>,
    execution: Option<Execution>,
) -> Option<Event> {
    if let Some(execution) = execution {
        let Execution {
            session,
            username,
            exchange_session,
            seq,
            ..
        } = &execution;
        let id = format!("{session}/{username}/{exchange_session}/{seq}");
        let fill = Fill {
            id,
            execution: &execution,
        };
        return Some(Event {
            class: Class::Fills,
            session: session.clone(),
            text: serde_json::to_string(&fill).ok()?,
        });
    }
    let is_of_orders = match record.kind {
        Kind::Sent | Kind::Refused | Kind::Cancels | Kind::KillOn | Kind::KillOff => true,
        Kind::Heard => !is_execution(event),
        _ => false,
    };
    if !is_of_orders || record.header.session == GATEWAY {
        return None;
    }
    let mut fields = show::fields_of(head, record, event);
    let began_ns = head.began.realtime_ns;
    let (session, sequence) = (record.header.session, record.header.sequence.get());
    let id = format!("{began_ns}/{session}/{sequence}");
    fields.insert("id".to_owned(), Value::String(id));
    Some(Event {
        class: Class::Orders,
        session: show::session_name(head, session),
        text: Value::Object(fields).to_string(),
    })
}

/// Whether a message is told as a fill, the first time that it is heard.
fn is_execution(event: &event::Event<'_>) -> bool {
    let event::Event::Heard(heard) = event else {
        return false;
    };
    show::is_execution(heard.message)
}
