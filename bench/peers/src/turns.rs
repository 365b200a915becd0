//! What the peers do that receive by AF_XDP and poll: wait for a packet, compare two bytes, hand a constant order to a TCP.
//! They differ in whose TCP it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use feed_handler::source::PacketSource;
use lab::peer::{Arguments, is_trigger, seq_of};

use crate::feed;

/// Idle turns between two looks for the exchange's answers.
const TURNS_BETWEEN_READS: u32 = 16;

/// A connection that orders leave by.
pub trait Exchange: Sized {
    /// Connects and logs in.
    ///
    /// # Errors
    /// There is no exchange.
    fn connect(arguments: &Arguments) -> Result<Self>;

    /// Makes an order ready for the trigger of this number.
    fn push(&mut self, seq: u64);

    /// Sends what was pushed.
    ///
    /// # Errors
    /// TCP does not take it.
    fn submit(&mut self) -> Result<()>;

    /// Takes answers, which nobody reads; `false`: the exchange has closed, the day is over.
    ///
    /// # Errors
    /// The connection broke.
    fn read(&mut self) -> Result<bool>;

    /// Orders that were pushed.
    fn orders(&self) -> u32;

    /// Tells the exchange that this is the end.
    fn close(&mut self) {}
}

/// Runs a peer until SIGINT or SIGTERM, or until the exchange closes.
///
/// # Errors
/// No feed, no exchange, or sending failed.
pub fn run<E: Exchange>() -> Result<()> {
    let arguments = Arguments::read()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    rt::cpu::pin(arguments.cpu).context("CPU")?;
    let (mut source, _watch) = feed::open(&arguments)?;
    let mut exchange = E::connect(&arguments)?;
    eprintln!("ready");
    let mut packets = 0u64;
    let mut idle = 0u32;
    while !stop.load(Ordering::Relaxed) {
        let taken = source.acquire();
        if taken == 0 {
            idle = idle.wrapping_add(1);
            if idle.is_multiple_of(TURNS_BETWEEN_READS) && !exchange.read()? {
                break;
            }
            continue;
        }
        packets += taken as u64;
        source.each(|packet| {
            if is_trigger(packet.payload, arguments.locate) {
                exchange.push(seq_of(packet.payload));
            }
        });
        exchange.submit()?;
        source.release();
    }
    eprintln!("packets {packets} orders {}", exchange.orders());
    exchange.close();
    Ok(())
}
