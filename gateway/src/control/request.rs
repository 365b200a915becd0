//! What an operator asks: one line of JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The protocol's version. Another one is refused, so that nobody is misunderstood.
pub const VERSION: u32 = 1;
/// The longest line, its end included. No request is as long; what is longer is refused.
pub const LINE_BYTES_MAX: usize = 4096;
/// The longest time that a kill is waited for, ms.
pub const WAIT_MS_MAX: u64 = 60_000;
/// How soon a guard may have to be heard again, ms.
pub const WITHIN_MS: std::ops::RangeInclusive<u64> = 500..=600_000;
/// The longest name of a guard, bytes.
pub const GUARD_BYTES_MAX: usize = 64;
/// The longest reason of a kill, bytes.
pub const REASON_BYTES_MAX: usize = 512;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What is asked for.
    pub verb: Verb,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Verb {
    /// How the gateway is.
    Status,
    /// How its sessions are.
    Sessions,
    /// Live orders, of all or of some.
    Orders(Filter),
    /// Positions, of one session's account or of each.
    Positions {
        /// The session; all where it is left out.
        #[serde(default)]
        session: Option<String>,
    },
    /// The limits in force.
    Limits,
    /// What was measured and counted so far: every histogram and every counter.
    Report,
    /// Other limits. What lets more through than before has to be confirmed.
    #[serde(rename = "set-limits")]
    SetLimits {
        /// The session; all where it is left out.
        #[serde(default)]
        session: Option<String>,
        /// New values by the configuration's names and in its units; yes is 1.
        limits: BTreeMap<String, u64>,
        /// The number of the table that it is to change, as the operator has seen it; without it limits only become
        /// tighter.
        #[serde(default)]
        confirm: Option<u32>,
    },
    /// Another row of limits, for a strategy and symbols. What lets more through than before has to be confirmed.
    #[serde(rename = "set-row")]
    SetRow {
        /// The session; the strategy's, or all where it is left out.
        #[serde(default)]
        session: Option<String>,
        /// The strategy; every one where it is left out.
        #[serde(default)]
        strategy: Option<String>,
        /// A symbol, or how symbols begin with a `*` behind it.
        symbol: String,
        /// New values by the configuration's names and in its units; null: none of its own.
        limits: BTreeMap<String, Option<u64>>,
        /// The number of the table that it is to change.
        #[serde(default)]
        confirm: Option<u32>,
    },
    /// The configuration read again, and what of it can be: all or nothing.
    Reload,
    /// No order goes out any more, open ones are cancelled.
    Kill {
        /// A word to whoever finds it killed, [`REASON_BYTES_MAX`] bytes at most.
        #[serde(default)]
        reason: String,
        /// How long the answer may wait for nothing being open, ms, [`WAIT_MS_MAX`] at most.
        #[serde(default)]
        wait_ms: u64,
    },
    /// Orders may go again.
    Resume {
        /// What is killed: `all`, the session's name, or `account NAME` where several sessions trade for it.
        scope: String,
        /// What the operator was shown, [`KillStatus::sighting`]: if something else has stopped it since, it stays.
        /// Empty: nobody looked.
        ///
        /// [`KillStatus::sighting`]: super::answer::KillStatus::sighting
        #[serde(default)]
        seen: String,
    },
    /// Cancels what is open now.
    Cancel {
        /// The session; all where it is left out.
        #[serde(default)]
        session: Option<String>,
    },
    /// Somebody watches, and says so again within this time; else trading stops.
    Guard {
        /// Who: printable, [`GUARD_BYTES_MAX`] bytes at most.
        name: String,
        /// A number of the tool's own: another one of the same name is told apart.
        token: u64,
        /// The time, ms: one of [`WITHIN_MS`].
        within_ms: u64,
    },
    /// Nobody of this name watches any more, and that is in order.
    Unguard {
        /// Who.
        name: String,
        /// The number that it came with.
        token: u64,
    },
    /// A strategy sends nothing new.
    Pause {
        /// Its name.
        strategy: String,
    },
    /// A strategy may send again.
    Unpause {
        /// Its name.
        strategy: String,
    },
}

impl Verb {
    /// Whether it changes something, rather than looks.
    #[must_use]
    pub fn steers(&self) -> bool {
        match self {
            Self::Status
            | Self::Sessions
            | Self::Orders(_)
            | Self::Positions { .. }
            | Self::Limits
            | Self::Report => false,
            // Only the first of them changes anything: the console tells it.
            Self::Guard { .. } => false,
            Self::Unguard { .. }
            | Self::SetLimits { .. }
            | Self::SetRow { .. }
            | Self::Reload
            | Self::Kill { .. }
            | Self::Resume { .. }
            | Self::Cancel { .. }
            | Self::Pause { .. }
            | Self::Unpause { .. } => true,
        }
    }
}

/// As an operator would type it, on one line whatever is in it.
impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |session: &Option<String>| match session {
            Some(name) => format!("--session {name:?}"),
            None => "all".to_owned(),
        };
        match self {
            Self::Status => f.write_str("status"),
            Self::Sessions => f.write_str("sessions"),
            Self::Limits => f.write_str("limits"),
            Self::Report => f.write_str("report"),
            Self::Reload => f.write_str("reload"),
            Self::Orders(Filter {
                session,
                symbol,
                strategy,
            }) => {
                f.write_str("orders")?;
                let given = [
                    ("session", session),
                    ("symbol", symbol),
                    ("strategy", strategy),
                ];
                for (name, value) in given {
                    if let Some(value) = value {
                        write!(f, " --{name} {value:?}")?;
                    }
                }
                Ok(())
            }
            Self::SetLimits {
                session,
                limits,
                confirm,
            } => {
                write!(f, "limits set {}", all(session))?;
                for (key, value) in limits {
                    write!(f, " {key:?}={value}")?;
                }
                confirm.map_or(Ok(()), |number| write!(f, " --confirm {number}"))
            }
            Self::SetRow {
                session,
                strategy,
                symbol,
                limits,
                confirm,
            } => {
                write!(f, "limits set {}", all(session))?;
                if let Some(strategy) = strategy {
                    write!(f, " --strategy {strategy:?}")?;
                }
                write!(f, " --symbol {symbol:?}")?;
                for (key, value) in limits {
                    match value {
                        Some(value) => write!(f, " {key:?}={value}")?,
                        None => write!(f, " {key:?}=none")?,
                    }
                }
                confirm.map_or(Ok(()), |number| write!(f, " --confirm {number}"))
            }
            Self::Positions { session } => write!(f, "positions {}", all(session)),
            Self::Kill { reason, .. } => write!(f, "kill --reason {reason:?}"),
            Self::Resume { scope, .. } => write!(f, "resume {scope:?}"),
            Self::Cancel { session } => write!(f, "cancel {}", all(session)),
            Self::Guard {
                name, within_ms, ..
            } => write!(f, "guard {name:?} within {within_ms} ms"),
            Self::Unguard { name, .. } => write!(f, "unguard {name:?}"),
            Self::Pause { strategy } => write!(f, "pause {strategy:?}"),
            Self::Unpause { strategy } => write!(f, "unpause {strategy:?}"),
        }
    }
}

/// Which orders are meant: those that fit all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Of this session.
    #[serde(default)]
    pub session: Option<String>,
    /// Of this symbol.
    #[serde(default)]
    pub symbol: Option<String>,
    /// Of this strategy.
    #[serde(default)]
    pub strategy: Option<String>,
}

impl Request {
    /// A request of this version.
    #[must_use]
    pub fn new(verb: Verb) -> Self {
        let version = VERSION;
        Self { version, verb }
    }

    /// Reads a line, without its end.
    ///
    /// # Errors
    /// What was found and what was expected.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        /// What any version has.
        #[derive(Deserialize)]
        struct AnyVersion {
            version: u32,
        }
        if let Ok(AnyVersion { version }) = serde_json::from_slice(line)
            && version != VERSION
        {
            return Err(format!("version {version}: expected {VERSION}"));
        }
        let request: Self = serde_json::from_slice(line).map_err(|error| {
            format!("no request: {error}; expected {{\"version\":{VERSION},\"verb\":...}}")
        })?;
        if let Verb::Kill { reason, wait_ms } = &request.verb {
            if reason.len() > REASON_BYTES_MAX {
                let len = reason.len();
                return Err(format!(
                    "reason: {len} bytes, expected at most {REASON_BYTES_MAX}"
                ));
            }
            if *wait_ms > WAIT_MS_MAX {
                return Err(format!("wait_ms {wait_ms}: expected at most {WAIT_MS_MAX}"));
            }
        }
        if let Verb::Guard {
            name, within_ms, ..
        } = &request.verb
        {
            if name.is_empty() || name.len() > GUARD_BYTES_MAX {
                let len = name.len();
                return Err(format!(
                    "name: {len} bytes, expected 1 to {GUARD_BYTES_MAX}"
                ));
            }
            if name.chars().any(char::is_control) {
                return Err(format!("name {name:?}: expected printable characters"));
            }
            if !WITHIN_MS.contains(within_ms) {
                let (min, max) = (WITHIN_MS.start(), WITHIN_MS.end());
                return Err(format!("within_ms {within_ms}: expected {min} to {max}"));
            }
        }
        Ok(request)
    }

    /// The line, with its end.
    ///
    /// # Errors
    /// It is longer than a line may be.
    pub fn line(&self) -> Result<String, String> {
        let text = serde_json::to_string(self).map_err(|error| error.to_string())?;
        let line = text + "\n";
        if line.len() > LINE_BYTES_MAX {
            let len = line.len();
            return Err(format!(
                "a request of {len} bytes: expected at most {LINE_BYTES_MAX}"
            ));
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of requests")]
    fn each_request_is_read_as_it_was_written() {
        let name = || "ouch".to_owned();
        let verbs = [
            (Verb::Status, r#""status""#),
            (Verb::Report, r#""report""#),
            (Verb::Sessions, r#""sessions""#),
            (
                Verb::Orders(Filter {
                    symbol: Some("AAPL".to_owned()),
                    ..Filter::default()
                }),
                r#"{"orders":{"symbol":"AAPL"}}"#,
            ),
            (Verb::Positions { session: None }, r#"{"positions":{}}"#),
            (Verb::Limits, r#""limits""#),
            (
                Verb::SetLimits {
                    session: Some(name()),
                    limits: [("collar_bps".to_owned(), 20)].into(),
                    confirm: Some(3),
                },
                r#"{"set-limits":{"session":"ouch","limits":{"collar_bps":20},"confirm":3}}"#,
            ),
            (
                Verb::SetRow {
                    session: None,
                    strategy: Some(name()),
                    symbol: "AB*".to_owned(),
                    limits: [
                        ("open_orders_max".to_owned(), None),
                        ("order_qty_max".to_owned(), Some(5)),
                    ]
                    .into(),
                    confirm: None,
                },
                r#"{"set-row":{"strategy":"ouch","symbol":"AB*","limits":{"open_orders_max":null,"order_qty_max":5}}}"#,
            ),
            (
                Verb::Kill {
                    reason: "a \"word\"\n".to_owned(),
                    wait_ms: 5,
                },
                r#"{"kill":{"reason":"a \"word\"\n","wait_ms":5}}"#,
            ),
            (
                Verb::Resume {
                    scope: name(),
                    seen: String::new(),
                },
                r#"{"resume":{"scope":"ouch"}}"#,
            ),
            (
                Verb::Cancel {
                    session: Some(name()),
                },
                r#"{"cancel":{"session":"ouch"}}"#,
            ),
            (
                Verb::Pause { strategy: name() },
                r#"{"pause":{"strategy":"ouch"}}"#,
            ),
            (
                Verb::Guard {
                    name: name(),
                    token: 7,
                    within_ms: 500,
                },
                r#"{"guard":{"name":"ouch","token":7,"within_ms":500}}"#,
            ),
            (
                Verb::Unguard {
                    name: name(),
                    token: 7,
                },
                r#"{"unguard":{"name":"ouch","token":7}}"#,
            ),
            (
                Verb::Unpause { strategy: name() },
                r#"{"unpause":{"strategy":"ouch"}}"#,
            ),
        ];
        for (verb, text) in verbs {
            let by_hand = format!(r#"{{"version":1,"verb":{text}}}"#);
            let read = Request::parse(by_hand.as_bytes()).unwrap();
            assert_eq!(read, Request::new(verb.clone()), "{by_hand}");
            let line = read.line().unwrap();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(Request::parse(line.as_bytes()).unwrap(), read);
        }
    }

    #[test]
    fn what_is_no_request_is_refused_with_what_was_expected() {
        let long = "x".repeat(REASON_BYTES_MAX + 1);
        let long = format!(r#"{{"version":1,"verb":{{"kill":{{"reason":"{long}"}}}}}}"#);
        for (line, expected) in [
            ("", "no request: EOF"),
            ("status", "no request: expected value"),
            ("[1]", "expected"),
            (r#"{"version":2,"verb":"dance"}"#, "version 2: expected 1"),
            (r#"{"verb":"status"}"#, "missing field `version`"),
            (
                r#"{"version":1,"verb":"dance"}"#,
                "unknown variant `dance`, expected one of `status`",
            ),
            (
                r#"{"version":1,"verb":"status","x":1}"#,
                "unknown field `x`",
            ),
            (
                r#"{"version":1,"verb":{"orders":{"symbl":"A"}}}"#,
                "unknown field `symbl`",
            ),
            (
                r#"{"version":1,"verb":{"kill":{"wait_ms":60001}}}"#,
                "wait_ms 60001: expected at most 60000",
            ),
            (
                r#"{"version":1,"verb":{"guard":{"name":"a","token":7,"within_ms":499}}}"#,
                "within_ms 499: expected 500 to 600000",
            ),
            (
                r#"{"version":1,"verb":{"guard":{"name":"","token":7,"within_ms":500}}}"#,
                "name: 0 bytes, expected 1 to 64",
            ),
            (
                r#"{"version":1,"verb":{"guard":{"name":"a\nb","token":7,"within_ms":500}}}"#,
                "expected printable characters",
            ),
            (r#"{"version":1,"verb":"status"} {}"#, "trailing characters"),
            (&long, "reason: 513 bytes, expected at most 512"),
        ] {
            let refused = Request::parse(line.as_bytes()).unwrap_err();
            assert!(refused.contains(expected), "{line}: {refused}");
        }
        assert!(Request::parse(b"\xff\xfe{").is_err());
        let deep = "[".repeat(4000);
        assert!(Request::parse(deep.as_bytes()).is_err());
    }
}
