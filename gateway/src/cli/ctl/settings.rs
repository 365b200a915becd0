//! The operator's socket, as the configuration has it.

use std::path::PathBuf;

use tickgate_config as settings;

use crate::cli::reload::uids;
use crate::cli::systemd;
use crate::control::server::ControlOptions;

/// Where the socket is; `None`: there is none.
pub(super) fn socket(control: &settings::Control) -> Option<PathBuf> {
    if !control.socket.is_empty() {
        return Some(PathBuf::from(&control.socket));
    }
    systemd::folder("RUNTIME_DIRECTORY").map(|folder| folder.join("control.sock"))
}

/// Options of checked settings; `None`: there is no socket.
///
/// # Errors
/// A user whom this host does not know.
pub(crate) fn control(control: &settings::Control) -> Result<Option<ControlOptions>, String> {
    let Some(path) = socket(control) else {
        return Ok(None);
    };
    let mode = control.mode_bits();
    Ok(Some(ControlOptions {
        path,
        mode: mode.ok_or_else(|| format!("control.mode: \"{}\"", control.mode))?,
        users: uids(&control.users)?,
    }))
}
