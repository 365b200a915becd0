//! How far a session is, in one word. `lifecycle` has the drawing of how states follow one another.

/// How far a session is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// No connection; the next try waits.
    #[default]
    Waiting,
    /// A connection is coming about.
    Connecting,
    /// The first login asks where the past ends.
    Probing,
    /// The second login asks for what is missing.
    LoggingIn,
    /// Logged in; the past is being learnt.
    Recovering,
    /// The past is known; what an earlier run left open is being cancelled, and no order goes out.
    Settling,
    /// Orders go out.
    Open,
    /// Everything open is being cancelled; no order goes out.
    Stopping,
    /// Logged out, or without a connection, for good.
    Stopped,
    /// The connection is of no more use, and the driver closes it.
    Ending,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Connecting,
        Self::Probing,
        Self::LoggingIn,
        Self::Recovering,
        Self::Settling,
        Self::Open,
        Self::Stopping,
        Self::Stopped,
        Self::Ending,
    ];

    /// The state that a number stands for; what stands for none is no connection.
    #[must_use]
    pub fn of_code(code: u8) -> Self {
        let found = Self::ALL.into_iter().find(|state| *state as u8 == code);
        found.unwrap_or_default()
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting to connect",
            Self::Connecting => "connecting",
            Self::Probing | Self::LoggingIn => "logging in",
            Self::Recovering => "learning the past",
            Self::Settling => "cancelling what an earlier run left open",
            Self::Open => "open",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Ending => "closing",
        })
    }
}
