//! What measuring gives: figures, what may be said of them, and how they are shown.
//!
//! ```text
//!  lab::run ──Outcome──> entry (rounds, samples) ──> model::Report ──> text, JSON, page with plots, hgrm
//!                                  │                      │
//!                             statistics          two of them ──> comparison
//! ```
//!
//! Must not know: who is measured against whom, under which load, and what would be enough.

mod entry;
mod model;
pub mod statistics;

mod comparison;
mod hgrm;
mod page;
mod plots;
mod text;

pub use comparison::compare;
pub use entry::{Entry, Round, Sample};
pub use hgrm::write_histograms;
pub use model::{Aim, Flood, Point, RatePoint, Report, Word};
pub use page::html;
pub use text::text;
