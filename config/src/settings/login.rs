//! A login of SoupBinTCP: an exchange's order entry and its snapshots ask for the same.

use super::Found;

/// SoupBinTCP 3.00, login request.
const USERNAME_MAX: usize = 6;
/// SoupBinTCP 3.00, login request.
pub const PASSWORD_MAX: usize = 10;

/// Who logs in, and where the password is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Login<'a> {
    /// At most 6 characters.
    pub username: &'a str,
    /// Written into the configuration itself.
    pub password: &'a str,
    /// A file that only its owner can read.
    pub password_file: &'a str,
    /// A credential of systemd.
    pub password_credential: &'a str,
}

impl Login<'_> {
    /// What is out of range by itself, under the key of its section.
    pub(super) fn check(&self, key: &str, found: &mut Vec<Found>) {
        for (name, value, max) in [
            ("username", self.username, USERNAME_MAX),
            ("password", self.password, PASSWORD_MAX),
        ] {
            if value.len() > max || !value.is_ascii() {
                let text = format!("{} characters: expected at most {max}, ASCII", value.len());
                found.push((format!("{key}.{name}"), text));
            }
        }
        let places = [
            ("password", self.password),
            ("password_file", self.password_file),
            ("password_credential", self.password_credential),
        ];
        let mut given = places.iter().filter(|(_, value)| !value.is_empty());
        if let (Some((first, _)), Some((name, _))) = (given.next(), given.next()) {
            let text = format!("{first} is given too; expected one of them");
            found.push((format!("{key}.{name}"), text));
        }
        // The name of a file in systemd's folder, and nothing that leads out of it.
        let credential = self.password_credential;
        if credential.contains('/') || credential == "." || credential == ".." {
            let text = format!("{credential:?}: expected a name, as in LoadCredential=NAME:FILE");
            found.push((format!("{key}.password_credential"), text));
        }
    }
}

/// Writes that there is a password, and not which.
pub(super) fn hidden<S: serde::Serializer>(
    password: &str,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if password.is_empty() { "" } else { "(hidden)" })
}
