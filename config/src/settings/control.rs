//! The operator's socket: where it is, and who may use it.

#![expect(missing_docs, reason = "default.toml is the manual of these fields")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Found;

/// Rights to write of those who are not the owner: without them they cannot connect.
const OTHERS_WRITE: u32 = 0o022;
/// Users beside the gateway's own and root.
const USERS_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    pub socket: String,
    pub mode: String,
    pub users: Vec<User>,
}

/// A user by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(untagged)]
pub enum User {
    Number(u32),
    Name(String),
}

impl Control {
    /// The rights of the socket's file; `None`: the text says none.
    #[must_use]
    pub fn mode_bits(&self) -> Option<u32> {
        let is_octal = self.mode.bytes().all(|byte| byte.is_ascii_digit());
        let bits = u32::from_str_radix(&self.mode, 8).ok()?;
        (is_octal && bits <= 0o777).then_some(bits)
    }

    /// What is out of range by itself.
    pub(crate) fn check(&self, found: &mut Vec<Found>) {
        match self.mode_bits() {
            None => {
                let text = format!("\"{}\": expected \"0600\" to \"0777\", octal", self.mode);
                found.push(("control.mode".into(), text));
            }
            Some(bits) if bits & 0o600 != 0o600 => {
                let text = format!(
                    "\"{}\": expected 6 for the owner, who could not connect",
                    self.mode
                );
                found.push(("control.mode".into(), text));
            }
            Some(bits) if !self.users.is_empty() && bits & OTHERS_WRITE == 0 => {
                let text = format!(
                    "users, but control.mode \"{}\" lets nobody but the owner connect; expected \"0660\" or \
                     \"0666\" there: whoever connects is asked for his uid",
                    self.mode
                );
                found.push(("control.users".into(), text));
            }
            Some(_) => {}
        }
        if self.users.len() > USERS_MAX {
            let text = format!("{}: expected at most {USERS_MAX}", self.users.len());
            found.push(("control.users".into(), text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(mode: &str, users: &[User]) -> Vec<String> {
        let control = Control {
            socket: String::new(),
            mode: mode.to_owned(),
            users: users.to_vec(),
        };
        let mut found = Vec::new();
        control.check(&mut found);
        found.into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn mode_that_is_none_or_keeps_out_those_who_may_is_refused() {
        let ops = [User::Name("ops".to_owned()), User::Number(1001)];
        for mode in ["", "rw", "0888", "1777", "-600", "+600", "0400"] {
            assert_eq!(faults(mode, &[]), ["control.mode"], "{mode}");
        }
        assert_eq!(faults("0600", &ops), ["control.users"]);
        for (mode, users) in [
            ("0600", &[][..]),
            ("0660", &ops),
            ("0666", &ops),
            ("777", &ops),
        ] {
            assert!(faults(mode, users).is_empty(), "{mode}");
        }
    }
}
