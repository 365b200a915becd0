//! Folders that systemd has made for the service.

use std::ffi::OsStr;
use std::path::PathBuf;

/// The folder that this variable of the environment names (systemd.exec(5)); `None`: there is none.
pub(super) fn folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).and_then(|folders| first(&folders))
}

/// Several are joined by colons; the first is the service's own.
fn first(folders: &OsStr) -> Option<PathBuf> {
    let first = std::env::split_paths(folders).next();
    first.filter(|folder| !folder.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_of_several_folders_is_the_services_own() {
        let of = |text: &str| first(OsStr::new(text));
        assert_eq!(
            of("/var/lib/tickgate:/var/lib/more"),
            Some("/var/lib/tickgate".into())
        );
        assert_eq!(of("/var/lib/tickgate"), Some("/var/lib/tickgate".into()));
        assert_eq!(of(""), None);
    }
}
