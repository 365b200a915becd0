//! Peer: one tokio task that waits for packets and answers. Arguments as in `peer.h`.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result, bail};
use lab::peer::{Order, is_trigger, seq_of, unhex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [
        group,
        port,
        own,
        exchange,
        exchange_port,
        locate,
        cpu,
        login,
        order,
    ] = &arguments[..]
    else {
        bail!("expected 9 arguments, got {}: see peer.h", arguments.len());
    };
    rt::cpu::pin(cpu.parse()?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let group = SocketAddrV4::new(group.parse()?, port.parse()?);
    let exchange = SocketAddrV4::new(exchange.parse()?, exchange_port.parse()?);
    let order = Order::new(unhex(order)?);
    runtime.block_on(run(
        (group, own.parse()?, locate.parse()?),
        (exchange, unhex(login)?),
        order,
    ))
}

async fn run(
    (group, own, locate): (SocketAddrV4, Ipv4Addr, u16),
    (exchange, login): (SocketAddrV4, Vec<u8>),
    mut order: Order,
) -> Result<()> {
    let feed = UdpSocket::bind(group).await.context("the group's port")?;
    feed.join_multicast_v4(*group.ip(), own)?;
    socket2::SockRef::from(&feed).set_recv_buffer_size(8 << 20)?;
    let mut tries = 0;
    let mut exchange = loop {
        match TcpStream::connect(exchange).await {
            Ok(stream) => break stream,
            Err(error) if tries == 250 => return Err(error).context("the exchange"),
            Err(_) => {
                tries += 1;
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            }
        }
    };
    exchange.set_nodelay(true)?;
    exchange.write_all(&login).await?;
    let (mut answers, mut orders) = exchange.into_split();
    let mut ended = signal(SignalKind::terminate())?;
    eprintln!("ready");
    let (mut packet, mut answer) = ([0; 2048], [0; 4096]);
    let mut packets = 0u64;
    loop {
        tokio::select! {
            len = feed.recv(&mut packet) => {
                packets += 1;
                let packet = packet.get(..len?).unwrap_or_default();
                if is_trigger(packet, locate) {
                    orders.write_all(order.next(seq_of(packet))).await?;
                }
            }
            len = answers.read(&mut answer) => {
                if len? == 0 {
                    // The exchange has closed: the day is over.
                    break;
                }
            }
            _ = ended.recv() => break,
        }
    }
    eprintln!("packets {packets} orders {}", order.count());
    Ok(())
}
