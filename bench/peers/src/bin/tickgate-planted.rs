//! A gateway with a fault planted in its strategy: what the slow-order recorder has to find.
//!
//! `planted` sends an order on every change of the best price of its symbol, as `probe` does, and at
//! regular intervals it touches pages for the first time before it decides.

use std::process::ExitCode;

use feed_handler::event::MarketEvent;
use gateway::cli::built_in;
use gateway::message::execution::ExecutionEvent;
use gateway::strategy::{Context, Probe, ProbeParameters, Strategy};
use rt::mem::{Pages, Want};
use serde::Deserialize;

const PAGE_BYTES: usize = 4096;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// The only symbol that counts.
    symbol: String,
    /// An order on every this many changes.
    every: u64,
    /// Pages to touch before every hundredth event of the symbol.
    pages: usize,
}

struct Planted {
    probe: Probe,
    memory: Pages<u8>,
    pages: usize,
    next: usize,
    events: u64,
}

impl Planted {
    fn new(parameters: &Parameters) -> Result<Self, String> {
        let probe = Probe::new(&ProbeParameters {
            every: parameters.every,
            symbol: parameters.symbol.clone(),
            ..ProbeParameters::default()
        })?;
        // Enough for the longest run; none of it is there before it is touched.
        let memory = Pages::zeroed(PAGE_BYTES << 16, Want::LAZY).map_err(|e| e.to_string())?;
        Ok(Self {
            probe,
            memory,
            pages: parameters.pages,
            next: 0,
            events: 0,
        })
    }
}

impl Strategy for Planted {
    fn on_event(&mut self, event: &MarketEvent, context: &mut Context<'_>) {
        if event.locate == feeds::triggers::LOCATE {
            self.events += 1;
            if self.events.is_multiple_of(100) {
                for _ in 0..self.pages {
                    if let Some(byte) = self.memory.get_mut(self.next) {
                        *byte = 1;
                    }
                    self.next += PAGE_BYTES;
                }
            }
        }
        self.probe.on_event(event, context);
    }

    fn on_execution(&mut self, execution: &ExecutionEvent, context: &mut Context<'_>) {
        self.probe.on_execution(execution, context);
    }
}

fn main() -> ExitCode {
    gateway::cli::run(|kind, parameters| match kind {
        "planted" => Ok(Box::new(Planted::new(&parameters.read()?)?)),
        _ => built_in(kind, parameters),
    })
}
