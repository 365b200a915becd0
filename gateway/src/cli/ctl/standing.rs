//! How the whole stands, in a few words: for the first line of `ctl status` and of `top`.

use crate::control::answer::Status;

/// Whether it is ready, and whether its host is what it was.
pub(in crate::cli) fn standing(status: &Status) -> String {
    let ready = match status.is_ready {
        None => "",
        Some(true) => ", ready",
        Some(false) => ", NOT READY",
    };
    let host = match status.host_drifts {
        None => String::new(),
        Some(0) => ", host as certified".to_owned(),
        Some(drifts) => format!(", HOST DRIFTED: {drifts}"),
    };
    format!("{ready}{host}")
}
