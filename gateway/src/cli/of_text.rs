//! Options of a configuration's text: for tests of what it comes to.

use tickgate_config::Layers;

use super::{built_in, from_settings};
use crate::options::Options;

/// What a configuration comes to.
pub(crate) fn of_text(text: &str) -> Options {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tickgate.toml");
    std::fs::write(&file, text).unwrap();
    let layers = Layers {
        file: Some(file),
        ..Layers::default()
    };
    let settings = layers.load().unwrap().settings;
    from_settings::options(&settings, built_in).unwrap()
}
