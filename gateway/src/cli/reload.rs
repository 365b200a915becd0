//! The configuration read again: the same layers as at the start, and what differs from what is in force.
//!
//! Thread:      the control socket's
//! Invariants:  environment, `--set` and CPUs are those of the start: only files can say something else. No password is read again.

use tickgate_config::{Difference, Layers, LogLevel, Reload, Settings, User, differences};

use super::password;
use crate::control::peer::uid_of;
use crate::service::configuration::{Change, Configuration, Wish};

/// What says which lines the log has, before any configuration.
const RUST_LOG: &str = "RUST_LOG";

/// The configuration of this process.
#[derive(Debug)]
pub(super) struct Reader {
    layers: Layers,
    in_force: Settings,
    /// What was read last.
    read: Option<Settings>,
}

impl Reader {
    /// Of these layers, which were read as these settings.
    pub(super) fn new(layers: Layers, in_force: Settings) -> Self {
        Self {
            layers,
            in_force,
            read: None,
        }
    }
}

impl Configuration for Reader {
    fn read(&mut self) -> Result<Vec<Change>, Vec<String>> {
        self.read = None;
        let loaded = self.layers.load();
        let now =
            loaded.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let open_files = password::open_files(&now);
        if !open_files.is_empty() {
            return Err(open_files);
        }
        let now = now.settings;
        let differences = differences(&self.in_force, &now).into_iter();
        let changes = differences
            .map(|it| change(it, &now))
            .collect::<Result<_, _>>();
        let changes = changes.map_err(|error: String| vec![error])?;
        self.read = Some(now);
        Ok(changes)
    }

    fn keep(&mut self) {
        if let Some(read) = self.read.take() {
            if read.telemetry.log_level != self.in_force.telemetry.log_level {
                log_as(read.telemetry.log_level);
            }
            self.in_force = read;
        }
    }
}

/// From now on the log has these lines, unless the environment says which.
pub(super) fn log_as(level: LogLevel) {
    if !is_log_the_environments() {
        log::set_max_level(match level {
            LogLevel::Error => log::LevelFilter::Error,
            LogLevel::Warn => log::LevelFilter::Warn,
            LogLevel::Info => log::LevelFilter::Info,
            LogLevel::Debug => log::LevelFilter::Debug,
            LogLevel::Trace => log::LevelFilter::Trace,
        });
    }
}

/// Whether the environment says which lines the log has.
pub(super) fn is_log_the_environments() -> bool {
    std::env::var_os(RUST_LOG).is_some()
}

/// A difference in the gateway's terms.
fn change(difference: Difference, now: &Settings) -> Result<Change, String> {
    let Difference {
        key,
        before,
        now: text,
        reload,
    } = difference;
    let wish = match reload {
        Reload::Limit {
            session,
            limit,
            value,
        } => Wish::Limit {
            session,
            limit,
            value,
        },
        Reload::Row {
            session,
            strategy,
            symbol,
            limit,
            value,
        } => Wish::Row {
            session,
            strategy: (strategy != "*").then_some(strategy),
            symbol,
            limit,
            value,
        },
        Reload::Users => Wish::Users(uids(&now.control.users)?),
        Reload::LogLevel if is_log_the_environments() => Wish::Impossible(format!(
            "needs a restart without {RUST_LOG}, which is in the environment"
        )),
        Reload::LogLevel => Wish::Own,
        Reload::Restart(why) => Wish::Impossible(format!("needs a restart: {why}")),
    };
    Ok(Change {
        key,
        before,
        now: text,
        wish,
    })
}

/// Users by number.
///
/// # Errors
/// One that this host does not know.
pub(super) fn uids(users: &[User]) -> Result<Vec<u32>, String> {
    let uid = |user: &User| match user {
        User::Number(uid) => Ok(*uid),
        User::Name(name) => uid_of(name).map_err(|error| format!("control.users: {error}")),
    };
    users.iter().map(uid).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn layers(file: &Path) -> Layers {
        Layers {
            file: Some(file.to_owned()),
            environment: Vec::new(),
            sets: vec!["session.ouch.risk.rejects_max=7".to_owned()],
            cpus: vec![0, 1],
        }
    }

    #[test]
    fn files_that_say_something_else_are_compared_with_what_is_in_force_until_it_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tickgate.toml");
        let first = include_str!("../../../config/first.toml");
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        write(first);
        let layers = layers(&file);
        let settings = layers.load().unwrap().settings;
        let mut reader = Reader::new(layers, settings);
        assert_eq!(reader.read(), Ok(Vec::new()));
        write(&first.replace("collar_bps = 500", "collar_bps = 400\nrejects_max = 3"));
        let expected = Change {
            key: "session.ouch.risk.collar_bps".to_owned(),
            before: "500".to_owned(),
            now: "400".to_owned(),
            wish: Wish::Limit {
                session: "ouch".to_owned(),
                limit: "collar_bps".to_owned(),
                value: 400,
            },
        };
        // What --set says is said again.
        assert_eq!(reader.read(), Ok(vec![expected.clone()]));
        assert_eq!(reader.read(), Ok(vec![expected]), "nothing was kept");
        reader.keep();
        assert_eq!(reader.read(), Ok(Vec::new()));
        write("[session.ouch.risk]\ncollar_bps = \"wide\"\n");
        let faults = reader.read().unwrap_err();
        assert!(faults[0].contains("session.ouch.risk"), "{faults:?}");
        // What could not be read is not kept.
        reader.keep();
        write(first);
        let mode = |mode| Permissions::from_mode(mode);
        std::fs::set_permissions(&file, mode(0o666)).unwrap();
        let faults = reader.read().unwrap_err();
        assert!(faults[0].contains("others can write it"), "{faults:?}");
        std::fs::set_permissions(&file, mode(0o640)).unwrap();
        let changes = reader.read().unwrap();
        assert_eq!(changes[0].to_owned().now, "500");
    }

    #[test]
    fn user_that_the_host_does_not_know_is_a_fault_and_users_are_numbers() {
        let of = |users: &[&str]| {
            let users = users.iter().map(|it| User::Name((*it).to_owned()));
            uids(&users.collect::<Vec<_>>())
        };
        assert_eq!(of(&["root"]), Ok(vec![0]));
        assert!(
            of(&["root", "no such user"])
                .unwrap_err()
                .starts_with("control.users:")
        );
    }
}
