//! Where a password comes from: the configuration, a private file, a credential of systemd.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tickgate_config::{Loaded, Login, Origin, PASSWORD_MAX, Settings};

/// Where systemd has put the credentials of the unit (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The password; what it is instead begins with the key at fault.
pub(super) fn of(login: &Login<'_>) -> Result<String, String> {
    if !login.password_file.is_empty() {
        let read = private(Path::new(login.password_file), PASSWORD_MAX);
        return read.map_err(|error| format!("password_file: {error}"));
    }
    if login.password_credential.is_empty() {
        return Ok(login.password.to_owned());
    }
    let folder = std::env::var_os(CREDENTIALS);
    let folder = folder.as_deref().map(Path::new);
    let read = credential(folder, login.password_credential, PASSWORD_MAX);
    read.map_err(|error| format!("password_credential: {error}"))
}

/// A secret of a file or of a credential, `None`: of neither; what is wrong begins with `file` or `credential`.
#[cfg(feature = "mqtt")]
pub(super) fn secret(file: &str, name: &str, bytes_max: usize) -> Result<Option<String>, String> {
    if !file.is_empty() {
        let read = private(Path::new(file), bytes_max);
        return read.map(Some).map_err(|error| format!("file: {error}"));
    }
    if name.is_empty() {
        return Ok(None);
    }
    let folder = std::env::var_os(CREDENTIALS);
    let read = credential(folder.as_deref().map(Path::new), name, bytes_max);
    read.map(Some)
        .map_err(|error| format!("credential: {error}"))
}

/// Settings that can be checked where systemd has not begun this process, and the keys of what is not looked at then.
pub(super) fn without_credentials(settings: &Settings) -> (Settings, Vec<String>) {
    let (mut settings, mut keys) = (settings.clone(), Vec::new());
    if std::env::var_os(CREDENTIALS).is_some() {
        return (settings, keys);
    }
    let sessions = settings.session.iter_mut();
    let sessions =
        sessions.map(|(name, it)| (format!("session.{name}"), &mut it.password_credential));
    let feeds = settings.feed.iter_mut();
    let feeds = feeds.map(|(name, it)| {
        (
            format!("feed.{name}.snapshot"),
            &mut it.snapshot.password_credential,
        )
    });
    for (key, credential) in sessions.chain(feeds) {
        if !std::mem::take(credential).is_empty() {
            keys.push(format!("{key}.password_credential"));
        }
    }
    (settings, keys)
}

/// What is wrong with the mode of each file of the configuration: one that has a password and that others than its group can read,
/// or one that others can write, or put another in the place of: whoever does that sets limits.
pub(super) fn open_files(loaded: &Loaded) -> Vec<String> {
    let mut files: BTreeMap<&Path, bool> = BTreeMap::new();
    for (key, value, origin) in loaded.effective() {
        if let Origin::File(path) = origin {
            let has_password = key.ends_with(".password") && value.len() > 2;
            *files.entry(path).or_default() |= has_password;
        }
    }
    let mut faults = Vec::new();
    for (path, has_password) in files {
        let Some(mode) = mode_of(path) else { continue };
        let why = match (mode & 0o002 != 0, mode & 0o004 != 0 && has_password) {
            (true, _) => Some("others can write it, and so set limits"),
            (false, true) => Some("others can read it, and it has a password"),
            (false, false) => None,
        };
        let shown = path.display();
        if let Some(why) = why {
            faults.push(format!(
                "{shown}: mode {:o}: {why}; chmod o= {shown}",
                mode & 0o777
            ));
        }
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        // In a folder like /tmp, with the sticky bit, a file is its owner's to replace.
        if mode_of(folder).is_some_and(|it| it & 0o002 != 0 && it & 0o1000 == 0) {
            faults.push(format!(
                "{shown}: others can write its folder, and so replace it; chmod o-w {}",
                folder.display()
            ));
        }
    }
    faults
}

fn mode_of(path: &Path) -> Option<u32> {
    Some(std::fs::metadata(path).ok()?.mode() & 0o7777)
}

/// A secret that others can read is no secret: the file must be ours alone.
fn private(path: &Path, bytes_max: usize) -> Result<String, String> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "{shown}: mode {mode:o}, expected 600 or 400: chmod 600 {shown}"
        ));
    }
    read(path, bytes_max)
}

/// The folder is closed to others; a file's own mode may show the bits of an access list that lets our user in.
fn credential(folder: Option<&Path>, name: &str, bytes_max: usize) -> Result<String, String> {
    let folder = folder.ok_or_else(|| {
        format!(
            "\"{name}\": {CREDENTIALS} is not set; expected systemd to start this, with \
             LoadCredential={name}:FILE in its unit"
        )
    })?;
    read(&folder.join(name), bytes_max)
}

fn read(path: &Path, bytes_max: usize) -> Result<String, String> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let password = text.trim_end_matches(['\n', '\r']);
    if password.len() > bytes_max {
        return Err(format!(
            "{shown}: {} characters, expected at most {bytes_max}",
            password.len()
        ));
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tickgate_config::Layers;

    use super::*;

    #[test]
    fn password_file_that_others_may_read_is_refused_and_told_how_to_close() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ouch");
        std::fs::write(&path, "secret\n").unwrap();
        let read = |mode| {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            private(&path, PASSWORD_MAX)
        };
        for mode in [0o600, 0o400] {
            assert_eq!(read(mode), Ok("secret".to_owned()));
        }
        for mode in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601] {
            let refused = read(mode).unwrap_err();
            let shown = path.display();
            let told = format!("{shown}: mode {mode:o}, expected 600 or 400: chmod 600 {shown}");
            assert_eq!(refused, told);
        }
    }

    #[test]
    fn credential_is_a_file_in_systemds_folder_whatever_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ouch");
        std::fs::write(&path, "secret\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o440)).unwrap();
        let read = |name| credential(Some(folder.path()), name, PASSWORD_MAX);
        assert_eq!(read("ouch"), Ok("secret".to_owned()));
        let missing = read("other").unwrap_err();
        assert!(missing.contains("other: No such file"), "{missing}");
        std::fs::write(&path, "longer than it may be").unwrap();
        let long = read("ouch").unwrap_err();
        assert!(
            long.ends_with("21 characters, expected at most 10"),
            "{long}"
        );
    }

    #[test]
    fn configuration_with_a_password_that_others_can_read_is_told_and_one_that_they_can_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tickgate.toml");
        let told = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let layers = Layers {
                file: Some(path.clone()),
                cpus: vec![0, 1],
                ..Layers::default()
            };
            open_files(&layers.load().unwrap())
        };
        let bare = "[host]\nlock_memory = false\n";
        let feed = "[feed.a]\nlines = [{ address = \"127.0.0.1:1\", interface = \"lo\" }]\n\
                    [feed.a.snapshot]\nservers = [\"127.0.0.1:2\"]\nusername = \"u\"\npassword = \"sesame\"\n";
        for (text, mode, why) in [
            (bare, 0o644, None),
            (bare, 0o646, Some("others can write it")),
            (feed, 0o640, None),
            (
                feed,
                0o644,
                Some("others can read it, and it has a password"),
            ),
            (feed, 0o642, Some("others can write it")),
        ] {
            let found = told(text, mode);
            assert_eq!(
                found.len(),
                usize::from(why.is_some()),
                "{mode:o} {found:?}"
            );
            let is_it = |found: &String| {
                found.contains(why.unwrap_or_default()) && !found.contains("sesame")
            };
            assert!(found.iter().all(is_it), "{mode:o} {found:?}");
        }
    }

    #[test]
    fn configuration_in_a_folder_that_others_can_write_is_told_unless_only_its_owner_can_replace_it()
     {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tickgate.toml");
        std::fs::write(&path, "[host]\nlock_memory = false\n").unwrap();
        let layers = Layers {
            file: Some(path),
            cpus: vec![0, 1],
            ..Layers::default()
        };
        for (mode, is_told) in [(0o755, false), (0o777, true), (0o1777, false)] {
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).unwrap();
            let found = open_files(&layers.load().unwrap());
            let is_it = |it: &String| it.contains("others can write its folder");
            assert_eq!(found.iter().any(is_it), is_told, "{mode:o} {found:?}");
        }
    }

    #[test]
    fn credential_without_systemd_says_what_to_do() {
        let told = credential(None, "ouch", PASSWORD_MAX).unwrap_err();
        assert!(told.contains("LoadCredential=ouch:FILE"), "{told}");
    }
}
