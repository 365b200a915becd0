//! Opens a feed's receiver, down the ladder where it must, and says what it got.

use std::sync::Arc;

use feed_handler::udp::{UdpCounters, UdpSource};
use feed_handler::xdp::{self, Rung, StepDown, Watch, XdpSource};

use crate::options::Feed;

/// What a feed receives with.
pub(super) enum Receiver {
    Xdp(XdpSource, Vec<Watch>),
    Udp(UdpSource, Arc<UdpCounters>),
}

/// Opens the receiver. Lines on several interfaces stand on the same kind of rung: when one interface
/// falls to kernel sockets, all do.
pub(super) fn open(feed: &Feed) -> Result<Receiver, String> {
    let mut all: Option<XdpSource> = None;
    let mut watches = Vec::new();
    for options in &feed.xdp {
        let opened = xdp::open(options).map_err(|error| format!("feed {}: {error}", feed.name))?;
        let interface = &options.interface;
        for step in &opened.steps {
            warn_step(&feed.name, interface, step);
        }
        log::info!(
            "feed {}: {interface} (driver {}): {}, trial {:?}, packet memory on {} pages",
            feed.name,
            opened.driver,
            opened.rung,
            opened.trial,
            if opened.huge_pages { "huge" } else { "normal" }
        );
        match opened.source {
            Some((source, watch)) => {
                match &mut all {
                    Some(all) => all.append(source),
                    None => all = Some(source),
                }
                watches.push(watch);
            }
            None => {
                debug_assert_eq!(opened.rung, Rung::KernelSocket);
                return open_udp(feed);
            }
        }
    }
    match all {
        Some(source) => Ok(Receiver::Xdp(source, watches)),
        None => open_udp(feed),
    }
}

fn open_udp(feed: &Feed) -> Result<Receiver, String> {
    let counters = Arc::new(UdpCounters::default());
    let source = UdpSource::open(&feed.udp, Arc::clone(&counters)).map_err(|error| {
        let lines: Vec<String> = feed
            .udp
            .lines
            .iter()
            .map(|l| l.address.to_string())
            .collect();
        format!(
            "feed {}: kernel socket on {}: {error}",
            feed.name,
            lines.join(", ")
        )
    })?;
    log::info!("feed {}: kernel sockets", feed.name);
    Ok(Receiver::Udp(source, counters))
}

fn warn_step(feed: &str, interface: &str, step: &StepDown) {
    log::warn!(
        "feed {feed}: {interface} (driver {}): {} did not hold: {} ({})",
        step.driver,
        step.from,
        step.why,
        step.hint
    );
}
