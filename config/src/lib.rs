//! Typed operator configuration: layers, validation, and the operator's files themselves.
//!
//! Path:        default.toml < file < conf.d < environment < --set -> settings -> a binary's options
//! Invariants:  a [`Settings`] that exists is sane: names meet, numbers are in range, CPUs exist.
//! When wrong:  one line for each fault: where it was set, which key, which value, what would be
//!              right.
//! Must not know: sockets, rings, strategies. Only binaries' front doors read it.

mod accepted;
mod advice;
mod check;
mod cores;
mod layers;
mod manual;
mod mqtt;
mod reference;
mod reload;
mod schema;
mod settings;

pub use layers::{Fault, Layers, Loaded, Origin};
pub use mqtt::{Mqtt, MqttBroker, MqttCommands, MqttTopics, Promise};
pub use reference::reference;
pub use reload::{Difference, Reload, differences};
pub use schema::schema;
pub use settings::{
    Account, AccountRisk, AfXdp, Book, Books, Capture, Control, CopyFormat, Core, Events, Feed,
    FoundOrders, Frames, Host, Journal, Layout, LayoutKind, LimitRow, Line, LogLevel, Login,
    Member, Mode, PASSWORD_MAX, Parameters, Receive, Recovery, Require, Rings, Risk, Rung, Sandbox,
    SandboxMode, SandboxRung, Session, Settings, Snapshot, Strategy, Submit, Sync, Telemetry, Udp,
    User, Venue,
};
