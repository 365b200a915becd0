//! `flood`: packets as fast as they go. Started by the laboratory.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;
use bench::flood;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    to: SocketAddrV4,
    from: Ipv4Addr,
    packets: u64,
    pack: u16,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let took_ns = flood::send(&flood::Options {
        to: arguments.to,
        from: arguments.from,
        packets: arguments.packets,
        pack: arguments.pack,
    })?;
    eprintln!("took_ns {took_ns}");
    Ok(())
}
