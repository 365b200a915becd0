//! `floor`: AF_XDP in, a constant order out. Started by the laboratory.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::AtomicBool;

use anyhow::Result;
use peers::floor;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    group: Ipv4Addr,
    port: u16,
    own: Ipv4Addr,
    exchange: Ipv4Addr,
    exchange_port: u16,
    locate: u16,
    cpu: usize,
    login: String,
    order: String,
}

pub(crate) fn run(arguments: &Arguments, stop: &AtomicBool) -> Result<()> {
    let options = floor::Options {
        group: SocketAddrV4::new(arguments.group, arguments.port),
        own: arguments.own,
        exchange: SocketAddrV4::new(arguments.exchange, arguments.exchange_port),
        locate: arguments.locate,
        cpu: arguments.cpu,
        login: arguments.login.clone(),
        order: arguments.order.clone(),
    };
    floor::run(&options, stop)
}
