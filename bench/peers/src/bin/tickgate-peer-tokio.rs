//! Peer: one tokio task that waits for packets and answers. Arguments as in `peer.h`.

use anyhow::{Context, Result};
use lab::peer::{Arguments, Order, is_trigger, seq_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    rt::cpu::pin(arguments.cpu)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(run(&arguments))
}

async fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { group, .. } = arguments;
    let mut order = Order::new(arguments.order.clone());
    let feed = UdpSocket::bind(group).await.context("the group's port")?;
    feed.join_multicast_v4(*group.ip(), arguments.own)?;
    socket2::SockRef::from(&feed).set_recv_buffer_size(8 << 20)?;
    let mut tries = 0;
    let mut exchange = loop {
        match TcpStream::connect(arguments.exchange).await {
            Ok(stream) => break stream,
            Err(error) if tries == 250 => return Err(error).context("the exchange"),
            Err(_) => {
                tries += 1;
                std::thread::park_timeout(std::time::Duration::from_millis(20));
            }
        }
    };
    exchange.set_nodelay(true)?;
    exchange.write_all(&arguments.login).await?;
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
                if is_trigger(packet, arguments.locate) {
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
