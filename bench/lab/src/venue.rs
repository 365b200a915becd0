//! Whose formats the feed of a run has, as gateway and exchange are told.

/// Whose formats a feed has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Venue {
    /// ITCH in MoldUDP64.
    #[default]
    Nasdaq,
    /// DEEP+ in IEX-TP.
    Iex,
}

impl Venue {
    /// As gateway and exchange are told it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Nasdaq => "nasdaq",
            Self::Iex => "iex",
        }
    }
}
