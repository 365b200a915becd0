//! A line of a page, and what lines are made of.

use crate::telemetry::grouped;

/// How a line is to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    /// A heading.
    Head,
    /// Worth a look.
    Warn,
    /// Trading is stopped, or nothing is known.
    Bad,
}

/// A line of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) tone: Tone,
}

pub(super) fn plain(text: impl Into<String>) -> Line {
    let text = text.into();
    Line {
        text,
        tone: Tone::Plain,
    }
}

pub(super) fn head(text: &str) -> Line {
    Line {
        text: text.to_owned(),
        tone: Tone::Head,
    }
}

pub(super) fn toned(text: String, tone: Tone) -> Line {
    Line { text, tone }
}

pub(super) fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), grouped)
}

/// A number that may lie below zero.
pub(super) fn signed(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", grouped(value.unsigned_abs()))
}

/// As much of a text as fits.
pub(super) fn cut(text: &str, width: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { '?' } else { c });
    clean.take(width).collect()
}
