//! Which gateway is meant: its socket, said outright or by its configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use super::settings;
use crate::cli::{OptionalSource, WRONG_USAGE, fail, with_settings};

/// Where the packaged unit's gateway listens.
const PACKAGED: &str = "/run/tickgate/control.sock";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Whom {
    /// The running gateway's socket [default: the configuration's, else /run/tickgate/control.sock].
    #[arg(long, value_name = "PATH", global = true)]
    socket: Option<PathBuf>,
    /// The running gateway's configuration file, which names the socket.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// Set one value, after all files.
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    sets: Vec<String>,
}

impl Whom {
    /// Goes on with its socket.
    pub(in crate::cli) fn with(self, at: impl FnOnce(PathBuf) -> ExitCode) -> ExitCode {
        let source = OptionalSource {
            config: self.config,
            sets: self.sets,
        };
        match (self.socket, source.config) {
            (Some(socket), _) => at(socket),
            (None, None) => at(PathBuf::from(PACKAGED)),
            (None, config) => with_settings(config, source.sets, |loaded| {
                match settings::socket(&loaded.settings.control) {
                    Some(socket) => at(socket),
                    None => {
                        let text = "no socket: expected control.socket in the configuration, \
                                    RUNTIME_DIRECTORY in the environment (systemd: /run/tickgate), or --socket";
                        fail(WRONG_USAGE, text)
                    }
                }
            }),
        }
    }
}
