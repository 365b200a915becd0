//! Is a host fit for a gateway, and what makes it fit.
//!
//! ```text
//!  sysfs, procfs ──── Tree ──┐
//!  ethtool, netlink ─ Asked ─┴─> Host ──┐
//!  configuration ───────────────> Plan ─┴─> checks ──> Finding: found, wanted, why, how
//! ```
//!
//! `measure` says what no file does: what a core loses, and how soon it is cold. `tune` sets what can be set while a host runs, for the same plan, and puts it back.
//!
//! A check is a function of what was read and of what is planned; it changes nothing and asks nobody. A tree is read from
//! a folder, `/` in life: whatever else is there, a test's or a copy of another host's files, is judged the same way.
//!
//! Thread:        start-up and tools only
//! Must not know: markets, orders, configuration files

mod asked;
mod card;
mod certificate;
pub mod checks;
mod cpu_list;
mod finding;
mod host;
mod kernel;
mod login;
pub mod measure;
mod netdev;
mod plan;
mod route;
mod tree;
pub mod tune;

pub use asked::Asked;
pub use card::{Card, Coalescing, Queues, RingSizes};
pub use certificate::{Certificate, Drift};
pub use cpu_list::CpuList;
pub use finding::{Finding, Verdict};
pub use host::Host;
pub use plan::{Driver, HotCore, InterfacePlan, Need, Plan, Receive};
pub use tree::Tree;
