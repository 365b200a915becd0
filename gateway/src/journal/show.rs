//! A record for people and for programs: a line of text, or of JSON.
//!
//! ```text
//!  20261126-194455.123456789 ouch1 #12 sent action=enter order=5 strategy=probe id=3 side=sell shares=100 ...
//! ```

use feed_handler::capture::utc;
use protocol::ouch::{Inbound, Outbound};
use protocol::types::Symbol;
use serde_json::{Map, Value, json};

use super::event::{CommandRecord, Commanded, Event, RequestRecord};
use super::format::{BY_EXECUTION, BY_TIMER, GATEWAY, IntentRecord, Record, SELL};
use super::head::Head;
use super::limit_row::RowRecord;
use super::limits::LimitsRecord;
use super::ouch::{name_of, orders_heard, orders_sent, packets, sent};
use crate::message::intent::Action;
use crate::order::risk::{HOUSEKEEPING, LimitKey, OTHER_SESSION};

/// What there is to say of one record, name by name.
type Fields = Vec<(&'static str, Value)>;

/// One line of text.
#[must_use]
pub fn text(head: &Head, record: &Record<'_>, event: &Event<'_>) -> String {
    let realtime_ns = head.began.realtime_ns(record.header.time_ns.get());
    let (seconds, ns) = (realtime_ns / 1_000_000_000, realtime_ns % 1_000_000_000);
    let mut line = format!(
        "{}.{ns:09} {} #{} {}",
        utc(seconds),
        session_name(head, record.header.session),
        record.header.sequence.get(),
        record.kind.name()
    );
    for (name, value) in fields(head, record, event) {
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        line.push_str(&format!(" {name}={value}"));
    }
    line
}

/// One line of JSON.
#[must_use]
pub fn json(head: &Head, record: &Record<'_>, event: &Event<'_>) -> String {
    Value::Object(fields_of(head, record, event)).to_string()
}

/// The same, name by name.
pub(crate) fn fields_of(head: &Head, record: &Record<'_>, event: &Event<'_>) -> Map<String, Value> {
    let header = &record.header;
    let common = [
        (
            "time_ns",
            json!(head.began.realtime_ns(header.time_ns.get())),
        ),
        ("monotonic_ns", json!(header.time_ns.get())),
        ("session", json!(session_name(head, header.session))),
        ("sequence", json!(header.sequence.get())),
        ("kind", json!(record.kind.name())),
    ];
    let all = common.into_iter().chain(fields(head, record, event));
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Whether a message of the exchange tells of a trade, or of one that was undone.
#[cfg(feature = "mqtt")]
pub(crate) fn is_execution(message: &[u8]) -> bool {
    let decoded = Outbound::decode(message).map(|(message, _)| message);
    matches!(
        decoded,
        Ok(Outbound::Executed(_) | Outbound::BrokenTrade(_))
    )
}

/// Behind the places of sessions: housekeeping.
const GATEWAY_BEGAN: u8 = HOUSEKEEPING - 1;

/// A session's name.
pub(crate) fn session_name(head: &Head, session: u8) -> String {
    let names = head.names.sessions.get(usize::from(session));
    match names {
        Some(names) => names.name.clone(),
        None if session == GATEWAY => "gateway".to_owned(),
        None => format!("session-{session}"),
    }
}

/// A strategy's name, or its number where the head has none.
pub(super) fn strategy_name(head: &Head, session: u8, owner: u8) -> String {
    let names = head.names.sessions.get(usize::from(session));
    let name = names.and_then(|names| names.strategies.get(usize::from(owner)));
    name.map_or_else(|| owner.to_string(), String::clone)
}

fn fields(head: &Head, record: &Record<'_>, event: &Event<'_>) -> Fields {
    let mut out = Fields::new();
    let lost = record.header.lost.get();
    if lost > 0 {
        out.push(("lost_before", json!(lost)));
    }
    match *event {
        Event::Start => {
            out.push(("version", json!(head.names.gateway)));
            out.push(("part", json!(head.part)));
        }
        Event::Sent(intent, packet) => {
            intent_fields(head, record.header.session, &intent, &mut out);
            packet_fields(packet, &mut out);
        }
        Event::Refused(intent) => {
            intent_fields(head, record.header.session, &intent, &mut out);
            let mut refusals = head.names.refusals.iter();
            let name = refusals.find(|(code, _)| *code == intent.refusal);
            let name = name.map(|(_, name)| name);
            out.push(("refusal", name_or_code(name, intent.refusal)));
            let [row, _] = record.header.detail;
            match row {
                0 => {}
                OTHER_SESSION => out.push(("other_session", json!(true))),
                row => out.push(("row", json!(row))),
            }
            out.push(("shares", json!(intent.qty.get())));
            out.push(("price", price(u64::from(intent.price.get()))));
        }
        Event::Cancels(packets) => {
            let orders = orders_sent(packets);
            out.push(("orders", json!(orders)));
        }
        Event::Heard(heard) => {
            out.push(("seq", json!(heard.seq)));
            if heard.is_past {
                out.push(("past", json!(true)));
            }
            heard_fields(heard.message, &mut out);
        }
        Event::LoggedIn(next_seq, name) => {
            out.push(("next_seq", json!(next_seq)));
            out.push(("joined", json!(String::from_utf8_lossy(&name).trim())));
        }
        Event::Closed(pause_ms) => out.push(("pause_ms", json!(pause_ms))),
        Event::Command(command) => command_fields(head, record.header.session, command, &mut out),
        Event::Limits(limits) => limits_fields(&limits, &mut out),
        Event::Row(row) => row_fields(head, record.header.session, &row, &mut out),
        Event::Turns(turns) => out.push(("bytes", json!(turns.len()))),
        Event::Asked(request) => request_fields(&request, &mut out),
        Event::Aside(code) => out.push(("code", json!(code))),
        Event::KillOn(code, began) => {
            let mut kills = head.names.kills.iter();
            let name = kills
                .find(|(known, _)| *known == code)
                .map(|(_, name)| name);
            out.push(("cause", name_or_code(name, code)));
            match began.checked_sub(1) {
                None => {}
                Some(GATEWAY_BEGAN) => out.push(("began", json!("housekeeping"))),
                Some(session) => out.push(("began", json!(session_name(head, session)))),
            }
        }
        Event::Stop | Event::Connected | Event::Opened | Event::KillOff => {}
    }
    out
}

/// Cancels in these packets.
#[must_use]
pub fn cancels_in(packets_sent: &[u8]) -> u64 {
    packets(packets_sent).count() as u64
}

fn name_or_code(name: Option<&String>, code: u8) -> Value {
    name.map_or_else(|| json!(code), |name| json!(name))
}

fn intent_fields(head: &Head, session: u8, intent: &IntentRecord, out: &mut Fields) {
    let action = match intent.action() {
        Some(Action::Enter) => "enter",
        Some(Action::Replace) => "replace",
        Some(Action::Cancel) => "cancel",
        Some(Action::Reduce) => "reduce",
        None => "unknown",
    };
    out.push(("action", json!(action)));
    if intent.user_ref.get() > 0 {
        out.push(("order", json!(intent.user_ref.get())));
    }
    out.push((
        "strategy",
        json!(strategy_name(head, session, intent.owner)),
    ));
    out.push(("id", json!(intent.id.get())));
    if intent.action() == Some(Action::Enter) {
        let side = if intent.flags & SELL == 0 {
            "buy"
        } else {
            "sell"
        };
        out.push(("side", json!(side)));
        out.push(("locate", json!(intent.locate.get())));
    }
    if intent.flags & (BY_EXECUTION | BY_TIMER) == 0 {
        let feed = head.names.feeds.get(usize::from(intent.feed));
        out.push(("feed", name_or_code(feed, intent.feed)));
        out.push(("message", json!(intent.seq.get())));
        out.push(("seen_ns", json!(intent.seen_ns.get())));
    }
    out.push(("decided_ns", json!(intent.decided_ns.get())));
}

fn packet_fields(bytes: &[u8], out: &mut Fields) {
    match packets(bytes).next().and_then(sent) {
        Some(Inbound::EnterOrder(m)) => {
            out.push(("shares", json!(m.qty.get().0)));
            out.push(("symbol", symbol(m.symbol)));
            out.push(("price", price(m.price.raw())));
            out.push(("time_in_force", character(m.time_in_force)));
        }
        Some(Inbound::ReplaceOrder(m)) => {
            out.push(("new_order", json!(m.user_ref.get().0)));
            out.push(("shares", json!(m.qty.get().0)));
            out.push(("price", price(m.price.raw())));
        }
        Some(Inbound::CancelOrder(m)) => {
            out.push(("target", json!(m.user_ref.get().0)));
            out.push(("shares", json!(m.qty.get().0)));
        }
        _ => out.push(("bytes", json!(bytes.len()))),
    }
}

fn heard_fields(bytes: &[u8], out: &mut Fields) {
    let Ok((message, _)) = Outbound::decode(bytes) else {
        let kind = bytes.first().map_or(0, |kind| *kind);
        out.push(("unreadable", character(kind)));
        return out.push(("bytes", json!(bytes.len())));
    };
    out.push(("message", json!(name_of(&message))));
    for (name, order) in ["order", "new_order"]
        .into_iter()
        .zip(orders_heard(&message))
    {
        out.push((name, json!(order)));
    }
    match message {
        Outbound::OrderAccepted(m) => {
            out.push(("side", character(m.side)));
            out.push(("shares", json!(m.qty.get().0)));
            out.push(("symbol", symbol(m.symbol)));
            out.push(("price", price(m.price.raw())));
            out.push(("state", character(m.state)));
        }
        Outbound::OrderReplaced(m) => {
            out.push(("shares", json!(m.qty.get().0)));
            out.push(("price", price(m.price.raw())));
            out.push(("state", character(m.state)));
        }
        Outbound::Executed(m) => {
            out.push(("shares", json!(m.qty.get().0)));
            out.push(("price", price(m.price.raw())));
            out.push(("match", json!(m.match_number.get().0)));
        }
        Outbound::Canceled(m) => {
            out.push(("shares", json!(m.qty.get().0)));
            out.push(("reason", character(m.reason)));
        }
        Outbound::AiqCanceled(m) => {
            out.push(("shares", json!(m.qty.get().0)));
            out.push(("reason", character(m.reason)));
        }
        Outbound::BrokenTrade(m) => out.push(("match", json!(m.match_number.get().0))),
        Outbound::Rejected(m) => out.push(("reason", json!(m.reason.get()))),
        Outbound::Modified(m) => out.push(("shares", json!(m.qty.get().0))),
        Outbound::AccountQueryResponse(m) => {
            out.push(("next_order", json!(m.next_user_ref.get().0)));
        }
        Outbound::SystemEvent(m) => out.push(("event", character(m.event))),
        _ => {}
    }
}

fn command_fields(head: &Head, session: u8, command: CommandRecord, out: &mut Fields) {
    let what = match command.what {
        Commanded::CancelAll => "cancel-all",
        Commanded::Pause => "pause",
        Commanded::Unpause => "unpause",
    };
    out.push(("command", json!(what)));
    if command.what != Commanded::CancelAll {
        out.push((
            "strategy",
            json!(strategy_name(head, session, command.owner)),
        ));
    }
    if !command.is_known {
        out.push(("unknown", json!(true)));
    }
}

fn request_fields(request: &RequestRecord<'_>, out: &mut Fields) {
    if let Some(uid) = request.uid {
        out.push(("uid", json!(uid)));
        out.push(("pid", json!(request.pid)));
    }
    out.push(("asked", json!(request.text)));
}

/// Each limit that changes, as "before>now".
fn limits_fields(record: &LimitsRecord<'_>, out: &mut Fields) {
    out.push(("table", json!(record.number)));
    out.push(("uid", json!(record.uid)));
    for changed in record.changed {
        let name = LimitKey::of_code(changed.code).map_or("unknown", LimitKey::name);
        let (before, now) = (changed.before.get(), changed.now.get());
        out.push((name, json!(format!("{before}>{now}"))));
    }
}

/// The row, and each of its limits that changes, as "before>now".
fn row_fields(head: &Head, session: u8, record: &RowRecord, out: &mut Fields) {
    let strategy = record
        .owner
        .map(|owner| strategy_name(head, session, owner));
    out.push(("table", json!(record.number)));
    out.push(("uid", json!(record.uid)));
    out.push(("row", json!(u32::from(record.at) + 1)));
    out.push((
        "strategy",
        json!(strategy.unwrap_or_else(|| "*".to_owned())),
    ));
    out.push(("symbol", json!(record.symbols.to_string())));
    let word = |it: Option<u64>| it.map_or_else(|| "none".to_owned(), |it| it.to_string());
    for (key, before, now) in record.changed() {
        let change = format!("{}>{}", word(before), word(now));
        out.push((key.name(), json!(change)));
    }
}

fn symbol(symbol: Symbol) -> Value {
    json!(String::from_utf8_lossy(&symbol.0).trim_end())
}

/// Dollars, exactly: text, for a float would not be.
fn price(price: u64) -> Value {
    json!(format!("{}.{:04}", price / 10_000, price % 10_000))
}

fn character(byte: u8) -> Value {
    json!(char::from(byte).escape_default().to_string())
}
