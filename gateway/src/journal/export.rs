//! Journals as Parquet files, for whoever asks with DuckDB, Polars or Spark: orders, fills, latencies.
//!
//! Path:        records of all runs -> orders, executions -> here -> table -> files
//! Invariants:  each order, fill and request is in its file once. A file has its name when all three are whole.
//! When wrong:  the first error ends it: nothing is taken after it, and no file is left.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::columns::{FILLS, LATENCIES, ORDERS};
use super::event::Event;
use super::executions::Executions;
use super::format::Header;
use super::head::Head;
use super::orders::Orders;
use super::replay::Hearer;
use super::rows::{FillRow, OrderRow, RequestRow};
use super::table::Table;

/// The file of orders.
pub const ORDERS_FILE: &str = "orders.parquet";
/// The file of executions and broken trades.
pub const FILLS_FILE: &str = "fills.parquet";
/// The file of requests and how long they took.
pub const LATENCIES_FILE: &str = "latencies.parquet";

/// An export on its way.
pub struct Export {
    orders: Orders,
    executions: Executions,
    host: Arc<str>,
    order_table: Table<OrderRow>,
    fill_table: Table<FillRow>,
    latency_table: Table<RequestRow>,
    failed: Option<io::Error>,
}

/// How many rows there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Orders.
    pub orders: u64,
    /// Executions and broken trades.
    pub fills: u64,
    /// Requests.
    pub latencies: u64,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").finish_non_exhaustive()
    }
}

impl Export {
    /// Into this folder, which is made where its parent exists.
    ///
    /// # Errors
    /// One of the files is there already, or cannot be made.
    pub fn begin(folder: &Path) -> io::Result<Self> {
        if !folder.is_dir() {
            std::fs::create_dir(folder)?;
        }
        Ok(Self {
            orders: Orders::default(),
            executions: Executions::default(),
            host: Arc::default(),
            order_table: Table::begin(folder, ORDERS_FILE, ORDERS)?,
            fill_table: Table::begin(folder, FILLS_FILE, FILLS)?,
            latency_table: Table::begin(folder, LATENCIES_FILE, LATENCIES)?,
            failed: None,
        })
    }

    /// What is wrong with messages that were left out: the exchange said others under their numbers before.
    #[must_use]
    pub fn clash(&self) -> Option<String> {
        self.executions.clash()
    }

    /// What is open is written as it stands, and the files get their names.
    ///
    /// # Errors
    /// One of them took nothing, then or before.
    pub fn finish(mut self) -> io::Result<Exported> {
        self.orders.finish();
        self.take();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let exported = Exported {
            orders: self.order_table.finish()?,
            fills: self.fill_table.finish()?,
            latencies: self.latency_table.finish()?,
        };
        self.order_table.name()?;
        self.fill_table.name()?;
        self.latency_table.name()?;
        Ok(exported)
    }

    /// Takes what is over.
    fn take(&mut self) {
        let ended = &mut self.orders.ended;
        let (orders, requests) = (ended.orders.drain(..), ended.requests.drain(..));
        let taken = self
            .order_table
            .extend(orders)
            .and_then(|()| self.latency_table.extend(requests));
        self.note(taken);
    }

    fn note(&mut self, taken: io::Result<()>) {
        if let Err(error) = taken {
            self.failed.get_or_insert(error);
        }
    }
}

impl Hearer for Export {
    fn begin_file(&mut self, head: &Head) {
        self.orders.begin_file(head.began, &head.names);
        self.executions.begin_file(head.began, &head.names);
        self.host = Arc::from(head.names.host.as_str());
    }

    fn on_record(&mut self, header: &Header, event: &Event<'_>) {
        if self.failed.is_some() {
            return;
        }
        self.orders.on_record(header, event);
        self.take();
        let execution = self.executions.on_record(header, event);
        let fill = execution.map(|execution| FillRow {
            host: Arc::clone(&self.host),
            execution,
        });
        let taken = self.fill_table.extend(fill.into_iter());
        self.note(taken);
    }
}
