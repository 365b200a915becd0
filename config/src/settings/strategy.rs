//! A strategy: what runs, on which feed and session, on which symbols.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Found;

/// What a row of the table of levels holds.
const DEPTH_MAX: usize = 10;
/// Orders of a strategy's own books: what the books of a whole market may hold.
const BOOK_ORDERS_MAX: u32 = 1 << 24;

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    pub kind: String,
    pub feed: String,
    pub session: String,
    pub symbols: Vec<String>,
    pub events: Events,
    pub depth: usize,
    pub book: Book,
    pub book_orders: u32,
    pub trade_on_stale: bool,
    #[serde(default)]
    pub parameters: Parameters,
}

/// On which way a strategy hears events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Events {
    Auto,
    Shared,
    Own,
}

/// Whether a strategy has books of its own, and what they are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Book {
    None,
    Events,
}

impl Strategy {
    /// What is out of range by itself, under the key of this section.
    pub(crate) fn check(&self, key: &str, found: &mut Vec<Found>) {
        if self.depth > DEPTH_MAX {
            let text = format!("{}: expected 0 to {DEPTH_MAX} levels", self.depth);
            found.push((format!("{key}.depth"), text));
        }
        if self.book_orders == 0 || self.book_orders > BOOK_ORDERS_MAX {
            let text = format!(
                "{}: expected 1 to {BOOK_ORDERS_MAX} orders",
                self.book_orders
            );
            found.push((format!("{key}.book_orders"), text));
        }
        for symbol in &self.symbols {
            if symbol.is_empty()
                || symbol.len() > 8
                || !symbol.bytes().all(|b| b.is_ascii_graphic())
            {
                let text = format!("\"{symbol}\": expected 1 to 8 printable characters");
                found.push((format!("{key}.symbols"), text));
            }
        }
    }
}

/// A strategy's own parameters; what they mean is the strategy's business.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(transparent)]
pub struct Parameters(serde_json::Map<String, serde_json::Value>);

impl Parameters {
    /// Reads the parameters into a strategy's own type.
    ///
    /// # Errors
    /// Which key is wrong and what would be right.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        let value = serde_json::Value::Object(self.0.clone());
        serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string() {
            path if path == "." => error.inner().to_string(),
            path => format!("{path}: {}", error.inner()),
        })
    }
}
