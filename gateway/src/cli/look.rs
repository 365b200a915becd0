//! A look at a running gateway through its control socket: what `top` shows and `metrics` tells Prometheus.

use std::path::Path;

use rt::clock::monotonic_ns;

use crate::control::answer::{Body, LimitsRow, Orders, Positions, Status};
use crate::control::client;
use crate::control::request::{Filter, Verb};
use crate::telemetry::Run;

/// One look.
#[derive(Clone, Debug, Default)]
pub(super) struct Look {
    /// When the report was here, ns.
    pub(super) at_ns: u64,
    pub(super) status: Status,
    pub(super) run: Run,
    /// The report was asked for and did not come.
    pub(super) is_report_late: bool,
    /// Live orders, where they were asked for.
    pub(super) orders: Orders,
    pub(super) positions: Positions,
    pub(super) limits: Vec<LimitsRow>,
}

impl Look {
    /// What a scrape tells: without the report where that alone is late, since status and limits are worth having then.
    pub(super) fn for_scrape(socket: &Path) -> Result<Self, String> {
        let mut look = Self::default();
        [
            Verb::Status,
            Verb::Positions { session: None },
            Verb::Limits,
        ]
        .into_iter()
        .try_for_each(|verb| look.ask(socket, verb))?;
        if let Err(error) = look.ask(socket, Verb::Report) {
            log::warn!("no report: {error}");
            look.is_report_late = true;
        }
        Ok(look)
    }

    /// Everything but the orders, as of one moment as nearly as several questions are.
    pub(super) fn at(socket: &Path) -> Result<Self, String> {
        let mut look = Self::default();
        let verbs = [
            Verb::Report,
            Verb::Status,
            Verb::Positions { session: None },
            Verb::Limits,
        ];
        verbs
            .into_iter()
            .try_for_each(|verb| look.ask(socket, verb))?;
        Ok(look)
    }

    /// The same, and the orders.
    pub(super) fn with_orders(socket: &Path) -> Result<Self, String> {
        let mut look = Self::at(socket)?;
        look.ask(socket, Verb::Orders(Filter::default()))?;
        Ok(look)
    }

    fn ask(&mut self, socket: &Path, verb: Verb) -> Result<(), String> {
        match client::ask(socket, verb)? {
            Body::Report(run) => {
                self.run = *run;
                self.at_ns = monotonic_ns();
            }
            Body::Status(status) => self.status = status,
            Body::Orders(orders) => self.orders = orders,
            Body::Positions(positions) => self.positions = positions,
            Body::Limits(limits) => self.limits = limits,
            Body::Refused(refused) => return Err(refused.error),
            _ => return Err("an answer to something else".to_owned()),
        }
        Ok(())
    }
}
