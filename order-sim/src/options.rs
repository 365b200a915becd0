//! What the exchange is made of, and its configuration file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// Everything, as the configuration file says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where order entry listens.
    pub address: SocketAddr,
    /// Name of the session, at most 10 characters.
    #[serde(default = "session")]
    pub session: String,
    /// Every n-th accepted order of an account is filled in full at its limit; 0: none.
    #[serde(default = "fill_every")]
    pub fill_every: u64,
    /// Messages kept for each account for clients that come back; beyond it the account is closed.
    #[serde(default = "store_max")]
    pub store_max: usize,
    /// Connections at one time.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// File of wire stamps to write arrivals into (`rt::wire_stamps`).
    #[serde(default)]
    pub wire_stamps: Option<PathBuf>,
    /// CPU to pin to.
    #[serde(default)]
    pub cpu: Option<usize>,
    /// Accounts by user name.
    pub account: BTreeMap<String, Account>,
}

/// One account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// At most 10 characters; compared without regard to case (SoupBinTCP 2.2.2).
    pub password: String,
    /// Cancel what is open when the connection goes.
    #[serde(default)]
    pub cancel_on_disconnect: bool,
}

fn session() -> String {
    "SIM0000001".to_owned()
}

fn fill_every() -> u64 {
    2
}

fn store_max() -> usize {
    10_000_000
}

fn connections_max() -> usize {
    256
}

impl Options {
    /// Reads a configuration file's text.
    ///
    /// # Errors
    /// Line, key, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let options: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text.get(..span.start)
                    .unwrap_or_default()
                    .matches('\n')
                    .count()
                    + 1
            });
            format!("line {line}: {}", error.message())
        })?;
        if options.account.is_empty() {
            return Err("no account, expected at least one [account.NAME]".to_owned());
        }
        if options.session.is_empty() || options.session.len() > 10 {
            return Err(format!(
                "session: \"{}\": expected 1 to 10 characters",
                options.session
            ));
        }
        for (name, account) in &options.account {
            if name.len() > 6 || account.password.len() > 10 {
                return Err(format!(
                    "account.{name}: expected a name of at most 6 and a password of at most 10 \
                     characters"
                ));
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_read_and_faults_are_told() {
        let good = "address = \"127.0.0.1:1\"\n[account.user]\npassword = \"p\"\n";
        assert_eq!(Options::parse(good).unwrap().fill_every, 2);
        let unknown = Options::parse(&good.replace("password", "pasword")).unwrap_err();
        assert!(
            unknown.contains("line 3") && unknown.contains("unknown field"),
            "{unknown}"
        );
        assert!(Options::parse("address = \"127.0.0.1:1\"\naccount = {}").is_err());
    }
}
