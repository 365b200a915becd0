//! An outcome as Parquet files: orders and fills. Times are ns since midnight, as the exchange counts them.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use gateway::journal::export::{FILLS_FILE, ORDERS_FILE};
use gateway::journal::table::{Column, Table};
use protocol::types::{Price4, Side, Symbol};

use crate::ledger::{Fill, Outcome};
use crate::queue::Order;

/// A fill, and of which symbol.
struct FillRow {
    symbol: Option<Symbol>,
    fill: Fill,
}

/// Both files, begun: nobody else can take their names any more.
#[derive(Debug)]
pub(crate) struct Files {
    orders: Table<Order>,
    fills: Table<FillRow>,
}

impl Files {
    /// In this folder, which is made where its parent exists.
    ///
    /// # Errors
    /// One of them is there already, or cannot be made.
    pub(crate) fn begin(folder: &Path) -> io::Result<Self> {
        if !folder.is_dir() {
            std::fs::create_dir(folder)?;
        }
        Ok(Self {
            orders: Table::begin(folder, ORDERS_FILE, ORDERS)?,
            fills: Table::begin(folder, FILLS_FILE, FILLS)?,
        })
    }

    /// Writes an outcome, and gives both their names.
    ///
    /// # Errors
    /// One of them takes nothing, or has its name already.
    pub(crate) fn write(mut self, outcome: &Outcome) -> io::Result<()> {
        self.orders.extend(outcome.orders.iter().copied())?;
        let symbol = |locate| outcome.positions.get(&locate).and_then(|it| it.symbol);
        self.fills.extend(outcome.fills.iter().map(|fill| FillRow {
            symbol: symbol(fill.locate),
            fill: *fill,
        }))?;
        self.orders.finish()?;
        self.fills.finish()?;
        self.orders.name()?;
        self.fills.name()
    }
}

const ORDERS: &[Column<Order>] = &[
    Column::count("user_ref", "OUCH's number of the order", |it| {
        Some(i64::from(it.number))
    }),
    Column::text("symbol", "symbol", |it| text(it.symbol)),
    Column::text("side", "buy, sell", |it| side(it.side)),
    Column::price(
        "price",
        "limit, dollars; of an order at any price none",
        |it| price(it.price),
    ),
    Column::count("shares", "shares open when the exchange took it", |it| {
        Some(i64::from(it.shares))
    }),
    Column::count("filled", "shares executed", |it| Some(i64::from(it.filled))),
    Column::text("outcome", "filled, canceled, replaced, open", |it| {
        Some(it.end.name().into())
    }),
    Column::count("entered_ns", "the exchange took it", |it| {
        signed(Some(it.entered_ns))
    }),
    Column::count(
        "filled_ns",
        "it first traded in the queue; what it took when it came does not count",
        |it| signed(it.filled_ns),
    ),
    Column::count("ended_ns", "it ended", |it| signed(it.ended_ns)),
    Column::count(
        "ahead_first",
        "shares before it at its price when it joined the queue; of one that never rested none",
        |it| signed(it.ahead_first),
    ),
    Column::count(
        "ahead_last",
        "the same when it was canceled or replaced, or the day ended",
        |it| signed(it.ahead_last),
    ),
];

const FILLS: &[Column<FillRow>] = &[
    Column::count("heard_ns", "the gateway heard of it", |it| {
        signed(Some(it.fill.heard_ns))
    }),
    Column::text("symbol", "symbol", |it| it.symbol.and_then(text)),
    Column::count("locate", "the symbol's number, for the day", |it| {
        Some(i64::from(it.fill.locate))
    }),
    Column::text("side", "buy, sell", |it| side(it.fill.side)),
    Column::price("price", "what each share was paid with, dollars", |it| {
        Some(u64::from(it.fill.price.0))
    }),
    Column::count("shares", "shares", |it| Some(i64::from(it.fill.qty.0))),
];

fn text(symbol: Symbol) -> Option<Cow<'static, str>> {
    Some(symbol.to_string().into())
}

fn side(side: Side) -> Option<Cow<'static, str>> {
    Some(Cow::Borrowed(match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }))
}

fn price(price: Price4) -> Option<u64> {
    (price.0 < u32::MAX).then(|| u64::from(price.0))
}

/// Days have far fewer ns than 2^63.
fn signed(number: Option<u64>) -> Option<i64> {
    number.and_then(|it| i64::try_from(it).ok())
}
