//! The file of `tickgate mqtt`: a process of its own, so that neither the gateway nor its file knows the broker or its password.
//!
//! When wrong:  an unknown key, a value of another kind, or one that cannot work is refused: where it is, and what was expected.

#![expect(
    missing_docs,
    reason = "config/mqtt.toml is the manual of these fields"
)]

use serde::Deserialize;

const INSTANCE_BYTES_MAX: usize = 64;
const PREFIX_BYTES_MAX: usize = 128;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mqtt {
    pub instance: String,
    pub prefix: String,
    pub socket: String,
    pub journal: String,
    pub state_dir: String,
    pub status_ms: u64,
    pub report_ms: u64,
    pub broker: MqttBroker,
    pub topics: MqttTopics,
    pub commands: MqttCommands,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MqttBroker {
    pub address: String,
    pub tls: bool,
    pub ca_file: String,
    pub username: String,
    pub password_file: String,
    pub password_credential: String,
    pub client_id: String,
    pub keep_alive_s: u64,
    pub unacknowledged_max: u16,
}

/// What is promised of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// Nothing of the kind is published.
    Off,
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MqttTopics {
    pub status: Promise,
    pub alerts: Promise,
    pub orders: Promise,
    pub fills: Promise,
    pub histograms: Promise,
    pub totals: Promise,
    pub counters: Promise,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MqttCommands {
    pub enabled: bool,
    pub key_file: String,
    pub key_credential: String,
    pub window_s: u64,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            instance: "tickgate".to_owned(),
            prefix: "tickgate".to_owned(),
            socket: "/run/tickgate/control.sock".to_owned(),
            journal: String::new(),
            state_dir: String::new(),
            status_ms: 1_000,
            report_ms: 10_000,
            broker: MqttBroker::default(),
            topics: MqttTopics::default(),
            commands: MqttCommands::default(),
        }
    }
}

impl Default for MqttBroker {
    fn default() -> Self {
        Self {
            address: "localhost:8883".to_owned(),
            tls: true,
            ca_file: String::new(),
            username: String::new(),
            password_file: String::new(),
            password_credential: String::new(),
            client_id: String::new(),
            keep_alive_s: 10,
            unacknowledged_max: 128,
        }
    }
}

impl Default for MqttTopics {
    fn default() -> Self {
        Self {
            status: Promise::AtLeastOnce,
            alerts: Promise::AtLeastOnce,
            orders: Promise::AtLeastOnce,
            fills: Promise::AtLeastOnce,
            histograms: Promise::AtMostOnce,
            totals: Promise::AtMostOnce,
            counters: Promise::AtMostOnce,
        }
    }
}

impl Default for MqttCommands {
    fn default() -> Self {
        Self {
            enabled: false,
            key_file: String::new(),
            key_credential: String::new(),
            window_s: 30,
        }
    }
}

impl Mqtt {
    /// Reads the file's text.
    ///
    /// # Errors
    /// Line or key of everything that is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let read: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.unwrap_or_default().matches('\n').count() + 1;
            vec![format!("line {line}: {}", error.message())]
        })?;
        let found = read.check();
        if found.is_empty() {
            return Ok(read);
        }
        Err(found)
    }

    /// The name that the broker knows this client by.
    #[must_use]
    pub fn client_id(&self) -> String {
        if self.broker.client_id.is_empty() {
            return format!("{}-{}", self.prefix.replace('/', "-"), self.instance);
        }
        self.broker.client_id.clone()
    }

    fn check(&self) -> Vec<String> {
        let mut found = Vec::new();
        let Self {
            broker, commands, ..
        } = self;
        for (key, text, bytes_max, more) in [
            ("instance", &self.instance, INSTANCE_BYTES_MAX, ""),
            ("prefix", &self.prefix, PREFIX_BYTES_MAX, "/"),
        ] {
            let is_good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            let has_words = text.split('/').all(|word| !word.is_empty());
            if text.len() > bytes_max
                || !has_words
                || !text.chars().all(|c| is_good(c) || more.contains(c))
            {
                found.push(format!(
                    "{key} {text:?}: expected 1 to {bytes_max} letters, digits, \"-\", \"_\", \".\"{more}"
                ));
            }
        }
        if broker.host_and_port().is_none() {
            let address = &broker.address;
            found.push(format!(
                "broker.address {address:?}: expected a name or an IPv4 address and a port, as in \"broker.example:8883\""
            ));
        }
        for (key, value, range) in [
            ("status_ms", self.status_ms, 200..=60_000),
            ("report_ms", self.report_ms, 1_000..=600_000),
            ("broker.keep_alive_s", broker.keep_alive_s, 5..=600),
            (
                "broker.unacknowledged_max",
                u64::from(broker.unacknowledged_max),
                1..=1024,
            ),
            ("commands.window_s", commands.window_s, 1..=300),
        ] {
            if !range.contains(&value) {
                let (least, most) = (range.start(), range.end());
                found.push(format!("{key} {value}: expected {least} to {most}"));
            }
        }
        if !broker.ca_file.is_empty() && !broker.tls {
            found.push("broker.ca_file: broker.tls is false, so nobody asks it".to_owned());
        }
        let secrets = [
            (
                "broker.password",
                &broker.password_file,
                &broker.password_credential,
            ),
            ("commands.key", &commands.key_file, &commands.key_credential),
        ];
        for (key, file, credential) in secrets {
            if !file.is_empty() && !credential.is_empty() {
                found.push(format!("{key}_credential: {key}_file is given too"));
            }
            if credential.contains('/') || credential == "." || credential == ".." {
                found.push(format!(
                    "{key}_credential {credential:?}: expected a name, as in LoadCredential=NAME:FILE"
                ));
            }
        }
        let has_key = !commands.key_file.is_empty() || !commands.key_credential.is_empty();
        if commands.enabled && !has_key {
            found.push("commands.key_file: expected a key, for commands are enabled".to_owned());
        }
        found
    }
}

impl MqttBroker {
    /// A name or an IPv4 address, and a port; `None`: the address is none. The client cannot write IPv6 addresses, only names of them.
    #[must_use]
    pub fn host_and_port(&self) -> Option<(&str, u16)> {
        let (host, port) = self.address.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let is_name = !host.is_empty() && !host.contains(['[', ']', ':', '/']);
        is_name.then_some((host, port))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const MANUAL: &str = include_str!("../mqtt.toml");

    /// The manual with the comment marks taken from its keys.
    fn manual_in_force() -> String {
        let is_key = |line: &str| {
            let key = line.split(" = ").next().unwrap_or_default();
            line.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        let lines = MANUAL.lines().map(|line| match line.strip_prefix("# ") {
            Some(rest) if is_key(rest) => rest,
            _ => line,
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn manual_states_the_defaults_and_names_every_key() {
        let stated = Mqtt::parse(&manual_in_force()).unwrap();
        assert_eq!(stated, Mqtt::default());
        assert_eq!(Mqtt::parse(MANUAL).unwrap(), Mqtt::default());
        let keys = manual_in_force();
        let keys: Vec<&str> = keys.lines().filter(|line| line.contains(" = ")).collect();
        assert_eq!(keys.len(), 27, "a key without its line: {keys:?}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        for (text, expected) in [
            ("instance = \"a/b\"", "instance"),
            ("instance = \"\"", "instance"),
            ("instance = \"a+\"", "instance"),
            ("prefix = \"desk//x\"", "prefix"),
            ("status_ms = 10", "status_ms 10: expected 200 to 60000"),
            ("[broker]\naddress = \"there\"", "broker.address"),
            ("[broker]\naddress = \"there:0\"", "broker.address"),
            ("[broker]\nkeep_alive_s = 4", "broker.keep_alive_s 4"),
            ("[broker]\ntls = false\nca_file = \"x\"", "broker.ca_file"),
            (
                "[broker]\npassword_file = \"a\"\npassword_credential = \"b\"",
                "broker.password_credential",
            ),
            (
                "[broker]\npassword_credential = \"../b\"",
                "expected a name",
            ),
            ("[commands]\nenabled = true", "commands.key_file"),
            ("\n[topics]\norders = \"twice\"", "line 3: unknown variant"),
            ("[broker]\npassword = \"x\"", "line 2: unknown field"),
        ] {
            let refused = Mqtt::parse(text).unwrap_err().join("; ");
            assert!(refused.contains(expected), "{text}: {refused}");
        }
    }

    #[test]
    fn broker_has_a_name_and_a_port() {
        let at = |address: &str| MqttBroker {
            address: address.to_owned(),
            ..MqttBroker::default()
        };
        assert_eq!(at("a.example:1").host_and_port(), Some(("a.example", 1)));
        assert_eq!(
            at("10.0.0.1:8883").host_and_port(),
            Some(("10.0.0.1", 8883))
        );
        assert_eq!(at("[::1]:8883").host_and_port(), None);
    }
}
