//! Whose a counter or a histogram is: the kind of thing that counts, and its name in the configuration.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What can count or measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A feed: its packets, messages and books.
    Feed,
    /// A line of a feed, by the feed's name and its place in the configuration, as in `itch.1`.
    Line,
    /// The sockets of a feed, AF_XDP or the kernel's, by the feed's name.
    Socket,
    /// What a feed's recovery core did: re-requests and snapshots, by the feed's name.
    Recovery,
    /// What became of the packets that a feed captures, by the feed's name.
    Capture,
    /// The XDP program of an interface, and its AF_XDP sockets over all feeds.
    Interface,
    /// A strategy.
    Strategy,
    /// A session with an exchange: its orders.
    Session,
    /// The journal of a session, by the session's name; its writer, by "journal".
    Journal,
    /// A hot core.
    Core,
    /// The operator's door: what came to its socket.
    Control,
}

impl Kind {
    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Line => "line",
            Self::Socket => "socket",
            Self::Recovery => "recovery",
            Self::Capture => "capture",
            Self::Interface => "interface",
            Self::Strategy => "strategy",
            Self::Session => "session",
            Self::Journal => "journal",
            Self::Core => "core",
            Self::Control => "control",
        }
    }
}

/// One of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// What it is.
    pub kind: Kind,
    /// Its name, as the configuration has it.
    pub name: String,
}

/// Something of each of a kind, by kind and name.
pub type ByLabel<T> = BTreeMap<Kind, BTreeMap<String, T>>;

impl Label {
    /// The one of that name.
    #[must_use]
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    /// `KIND.NAME` as part of a file's name.
    #[must_use]
    pub fn file_stem(&self) -> String {
        format!("{}.{}", self.kind.name(), self.file_name())
    }

    /// The name as part of a file's. Names are the operator's and may hold anything: what is neither
    /// a letter, a digit nor one of `-_.` becomes `%` and two hexadecimal digits, so that no two meet.
    #[must_use]
    pub fn file_name(&self) -> String {
        let mut out = String::new();
        for byte in self.name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                    out.push(char::from(byte));
                }
                other => out.push_str(&format!("%{other:02X}")),
            }
        }
        out
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind.name(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_stay_in_their_folder_and_apart() {
        let stem = |name: &str| Label::new(Kind::Session, name).file_stem();
        assert_eq!(stem("ouch-1"), "session.ouch-1");
        assert_eq!(stem("../a b"), "session...%2Fa%20b");
        assert_ne!(stem("a/b"), stem("a%2Fb"));
    }

    #[test]
    fn kinds_are_written_as_they_are_spoken_of() {
        for kind in [
            Kind::Feed,
            Kind::Line,
            Kind::Socket,
            Kind::Recovery,
            Kind::Capture,
            Kind::Interface,
            Kind::Strategy,
            Kind::Session,
            Kind::Journal,
            Kind::Core,
        ] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
