//! How much the gateway's risk has to check in a run.

use std::path::Path;

use anyhow::{Context, Result};

/// Symbols that are listed, held or restricted, and that nothing in a run trades.
const OTHERS: [&str; 3] = ["ZVZZT", "ZWZZT", "ZXZZT"];

/// What is checked beside what always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checks {
    /// Limits that a run does not meet.
    #[default]
    Usual,
    /// What can be switched off is, and no limit is near.
    Least,
    /// Everything that can be switched on is: hours, lists, positions of the day before and so marked sells, repeats, own
    /// orders that would meet, rates of cancels and of rejects.
    All,
}

impl Checks {
    /// The section of a session, whose files lie in `folder`.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn section(self, session: &str, folder: &Path) -> Result<String> {
        let keys = match self {
            Self::Usual => USUAL.to_owned(),
            Self::Least => LEAST.to_owned(),
            Self::All => {
                let [held, restricted, no_short] = OTHERS;
                let path = folder.join("positions.csv");
                std::fs::write(&path, format!("{held},1000\n"))
                    .with_context(|| path.display().to_string())?;
                format!(
                    "{ALL}restricted = [\"{restricted}\"]\nno_short = [\"{no_short}\"]\npositions_file = \"{}\"\n",
                    path.display()
                )
            }
        };
        Ok(format!("[session.{session}.risk]\n{keys}"))
    }
}

const USUAL: &str = "order_qty_max = 10000\n\
     notional_max_dollars = 1000000\ncollar_bps = 500\nopen_orders_max = 1000\n\
     orders_per_second_max = 1000000\nposition_max = 100000000\n\
     gross_exposure_max_dollars = 1000000000000\nnet_exposure_max_dollars = 1000000000000\n\
     loss_max_dollars = 1000000000000\nallow_self_cross = true\nrejects_max = 0\n";

/// The rate and the orders are those of `ALL`: they bound memory, whose cost would be taken for a check's.
const LEAST: &str = "order_qty_max = 999999\n\
     notional_max_dollars = 1000000000000\ncollar_bps = 5000\nopen_orders_max = 1000\n\
     orders_per_second_max = 10000\nposition_max = 1000000000000\n\
     gross_exposure_max_dollars = 1000000000000\nnet_exposure_max_dollars = 1000000000000\n\
     loss_max_dollars = 1000000000000\nallow_self_cross = true\nrejects_max = 0\n";

/// Whoever asks for these sends its orders more than a millisecond apart: else they repeat one another.
const ALL: &str = "order_qty_max = 10000\n\
     notional_max_dollars = 1000000\ncollar_bps = 500\nopen_orders_max = 1000\n\
     orders_per_second_max = 10000\nposition_max = 100000000\n\
     gross_exposure_max_dollars = 100000000000\nnet_exposure_max_dollars = 100000000000\n\
     loss_max_dollars = 100000000000\nallow_self_cross = false\nrejects_max = 100\n\
     cancels_per_second_max = 10000\nduplicate_window_ms = 1\n\
     trading_hours = \"00:00-23:59\"\ntime_zone = \"UTC\"\n";
