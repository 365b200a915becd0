//! Opens a feed's receiver, down the ladder where it must, and says what it got.
//!
//! Feeds are opened one after the other; those on one interface share its program, and none changes what
//! another has.

use std::sync::Arc;

use feed_handler::udp::{UdpCounters, UdpSource};
use feed_handler::xdp::{Interfaces, Options, Rung, StepDown, Watch, XdpSource};

use crate::options::Feed;

/// What a feed receives with.
pub(super) enum Receiver {
    Xdp(XdpSource, Vec<InterfaceWatch>),
    Udp(UdpSource, Arc<UdpCounters>),
}

/// A feed on one interface as housekeeping sees it.
#[derive(Debug)]
pub(super) struct InterfaceWatch {
    pub(super) feed: String,
    pub(super) watch: Watch,
    /// How often a queue was found standing still.
    pub(super) stalls: u64,
}

/// The interfaces of all feeds, none of them open yet.
pub(super) fn interfaces(feeds: &[Feed]) -> Interfaces {
    Interfaces::for_feeds(feeds.iter().flat_map(|feed| &feed.xdp))
}

/// Opens the receiver. Lines on several interfaces stand on the same kind of rung: when one interface
/// falls to kernel sockets, all do.
pub(super) fn open(feed: &Feed, interfaces: &mut Interfaces) -> Result<Receiver, String> {
    let mut all: Option<XdpSource> = None;
    let mut watches = Vec::new();
    for options in &feed.xdp {
        let Some((source, watch)) = open_xdp(feed, options, interfaces)? else {
            // Those before this one, which are as many as have a watch.
            for opened in feed.xdp.iter().take(watches.len()) {
                interfaces.withdraw(opened);
            }
            return open_udp(feed);
        };
        match &mut all {
            Some(all) => all.append(source),
            None => all = Some(source),
        }
        let feed = feed.name.clone();
        let stalls = 0;
        watches.push(InterfaceWatch {
            feed,
            watch,
            stalls,
        });
    }
    match all {
        Some(source) => Ok(Receiver::Xdp(source, watches)),
        None => open_udp(feed),
    }
}

/// Opens one of the feed's interfaces and says what it got; `None`: kernel sockets are the rung that holds.
fn open_xdp(
    feed: &Feed,
    options: &Options,
    interfaces: &mut Interfaces,
) -> Result<Option<(XdpSource, Watch)>, String> {
    let interface = &options.interface;
    let opened = interfaces
        .open(options)
        .map_err(|error| format!("feed {}: {interface}: {error}", feed.name))?;
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
    debug_assert_eq!(opened.source.is_none(), opened.rung == Rung::KernelSocket);
    Ok(opened.source)
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
