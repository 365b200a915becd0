//! What a feed does about messages that no line brought. Each key's range stands beside it.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use std::net::SocketAddrV4;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::login::{Login, hidden};
use super::{Found, power_of_two};

/// More servers than any venue has.
const SERVERS_MAX: usize = 8;

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    pub servers: Vec<SocketAddrV4>,
    pub request_timeout_ms: u64,
    pub requests_max: u64,
    pub request_interval_us: u64,
    pub messages_max: u64,
    pub tries_max: u64,
    pub give_up_ms: u64,
    pub held_packets_max: u64,
}

impl Recovery {
    /// What is out of range by itself, under the key of this section.
    pub(crate) fn check(&self, key: &str, found: &mut Vec<Found>) {
        servers(key, &self.servers, found);
        let values = [
            ("request_timeout_ms", self.request_timeout_ms, 1, 10_000),
            ("requests_max", self.requests_max, 1, 256),
            (
                "request_interval_us",
                self.request_interval_us,
                0,
                1_000_000,
            ),
            // Fewer would be more pieces than a hole may have.
            ("messages_max", self.messages_max, 16, 65_000),
            ("tries_max", self.tries_max, 1, 1_000),
            ("give_up_ms", self.give_up_ms, 1, 60_000),
            ("held_packets_max", self.held_packets_max, 64, 1 << 20),
        ];
        for (name, value, min, max) in values {
            if !(min..=max).contains(&value) {
                let text = format!("{value}: expected {min} to {max}");
                found.push((format!("{key}.{name}"), text));
            }
        }
        if self.give_up_ms < self.request_timeout_ms {
            let text = format!(
                "{}: expected at least request_timeout_ms = {}",
                self.give_up_ms, self.request_timeout_ms
            );
            found.push((format!("{key}.give_up_ms"), text));
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    pub servers: Vec<SocketAddrV4>,
    pub username: String,
    pub password_file: String,
    pub password_credential: String,
    #[serde(serialize_with = "hidden")]
    pub password: String,
    pub silence_ms: u64,
    pub timeout_ms: u64,
    pub pause_ms: u64,
    pub tries_max: u64,
    pub live_messages_max: u64,
}

impl Snapshot {
    /// Who logs in.
    #[must_use]
    pub fn login(&self) -> Login<'_> {
        Login {
            username: &self.username,
            password: &self.password,
            password_file: &self.password_file,
            password_credential: &self.password_credential,
        }
    }

    /// What is out of range by itself, under the key of this section.
    pub(crate) fn check(&self, key: &str, found: &mut Vec<Found>) {
        servers(key, &self.servers, found);
        self.login().check(key, found);
        if !self.servers.is_empty() && self.username.is_empty() {
            let text = "empty: expected a user name, or no servers";
            found.push((format!("{key}.username"), text.into()));
        }
        let values = [
            ("silence_ms", self.silence_ms, 1_000, 300_000),
            ("timeout_ms", self.timeout_ms, 1_000, 3_600_000),
            ("pause_ms", self.pause_ms, 1, 10_000),
            ("tries_max", self.tries_max, 1, 1_000_000),
            (
                "live_messages_max",
                self.live_messages_max,
                1 << 10,
                1 << 26,
            ),
        ];
        for (name, value, min, max) in values {
            if !(min..=max).contains(&value) {
                let text = format!("{value}: expected {min} to {max}");
                found.push((format!("{key}.{name}"), text));
            }
        }
        power_of_two(
            &format!("{key}.live_messages_max"),
            self.live_messages_max,
            found,
        );
    }
}

fn servers(key: &str, servers: &[SocketAddrV4], found: &mut Vec<Found>) {
    if servers.len() > SERVERS_MAX {
        let text = format!("{} servers: expected at most {SERVERS_MAX}", servers.len());
        found.push((format!("{key}.servers"), text));
    }
    for (at, server) in servers.iter().enumerate() {
        if servers.iter().take(at).any(|other| other == server) {
            let text = format!("{server}: given twice, expected it once");
            found.push((format!("{key}.servers"), text));
        }
    }
}
