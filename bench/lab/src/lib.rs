//! The laboratory: exchange, gateway, sender and peers as processes in namespaces of their own, run once.
//!
//! Path:        netns, process -> exchange, gateway, peer -> run -> demo
//! Must not know: how the gateway works inside (it is started as its users start it); who is measured
//!              against whom, and how figures are shown.

pub mod netns;
pub mod process;

pub mod exchange;
pub mod traffic;

pub mod gateway;
pub mod peer;

pub mod run;

pub mod demo;

pub mod command;
