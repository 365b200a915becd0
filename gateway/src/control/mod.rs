//! The operator's socket: who may looks at a running gateway, and steers it.
//!
//! ```text
//!  tickgate ctl ── client ──> socket ──line──> server ──> console ──> service::control: views, rings, switches
//!                                              a thread of its own          answers, waits
//! ```
//!
//! The protocol, version 1, over a Unix stream socket. Who connects writes one line, which is one JSON object
//! ([`request::Request`]), of at most 4096 bytes, its end of line included; the gateway answers with one line
//! ([`answer::Answer`]) and closes:
//!
//! ```text
//!  {"version":1,"verb":"status"}
//!  {"version":1,"verb":{"orders":{"session":"ouch","symbol":null,"strategy":null}}}
//!  {"version":1,"verb":{"kill":{"reason":"lunch","wait_ms":5000}}}
//!  {"version":1,"verb":{"set-limits":{"session":"ouch","limits":{"order_qty_max":500},"confirm":3}}}
//!  {"version":1,"verb":"reload"}
//!  {"version":1,"verb":{"guard":{"name":"desk","token":77,"within_ms":5000}}}
//!  {"version":1,"verb":{"unguard":{"name":"desk","token":77}}}
//!      {"version":1,"answer":{"killed":{...}}}
//!      {"version":1,"answer":{"refused":{"is_usage":true,"error":"..."}}}
//! ```
//!
//! A field that is optional may be left out; one that is unknown, a verb that is unknown and another version are
//! refused. The kernel says who asks (`SO_PEERCRED`): the gateway's own user, root, and those whom the
//! configuration names are answered, others are refused before they are read.
//!
//! Thread:      one of its own, which sleeps; no hot core and no turn of housekeeping waits for it
//! When full:   a connection beyond [`server::CONNECTIONS_MAX`] is answered with why, and closed
//! When wrong:  whatever is no request is answered with why, and counted (`ControlCounters`)

pub mod answer;
pub mod client;
pub mod console;
pub mod moment;
pub mod peer;
pub mod request;
pub mod server;

mod budgets;
mod guard;
pub mod limit_answer;
mod limit_rows;
mod limits;
mod look;
mod part_rows;
mod reload;
pub mod reload_answer;
mod reload_plan;
mod steer;
