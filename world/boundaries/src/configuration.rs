//! Configuration: the gateway's layers (a file, the environment, `--set`), the simulator's file, the MQTT command's. Any
//! text, and the commented defaults in which lines turn. What is accepted differs in nothing from itself.

use std::path::PathBuf;

use tickgate_config::{Layers, Mqtt, differences};

use crate::input::Input;
use crate::scratch::with_file;

/// What operators begin with.
const TEXTS: [&str; 4] = [
    include_str!("../../../config/first.toml"),
    include_str!("../../../config/sim.toml"),
    include_str!("../../../config/mqtt.toml"),
    include_str!("../../../config/default.toml"),
];
/// What stands instead of a value.
const VALUES: [&str; 16] = [
    "0",
    "-1",
    "1",
    "65535",
    "65536",
    "4294967296",
    "9223372036854775807",
    "1e308",
    "\"\"",
    "\"x\"",
    "\"127.0.0.1:65536\"",
    "[]",
    "[[]]",
    "{}",
    "true",
    "\"\\u0000\"",
];

/// A text with a few of its lines out, twice, out of a comment, or with another value.
fn turned(text: &str, input: &mut Input<'_>) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    while !input.0.is_empty() && !lines.is_empty() {
        let (what, value) = (input.byte(), usize::from(input.byte()));
        let at = input.number() % lines.len();
        match what % 6 {
            0 => {
                lines.remove(at);
            }
            1 if lines.len() < 1000 => lines.insert(at, lines[at].clone()),
            2 | 3 => {
                if let Some((key, _)) = lines[at].split_once('=') {
                    lines[at] = format!("{key}= {}", VALUES[value % VALUES.len()]);
                }
            }
            4 => lines[at] = lines[at].trim_start_matches(['#', ' ']).to_owned(),
            _ => {
                let other = value * 7 % lines.len();
                lines.swap(at, other);
            }
        }
    }
    lines.join("\n")
}

fn load(file: Option<PathBuf>, environment: Vec<(String, String)>, sets: Vec<String>) {
    let layers = Layers {
        file,
        environment,
        sets,
        cpus: vec![0, 1, 2, 3],
    };
    match layers.load() {
        Ok(loaded) => {
            let same = differences(&loaded.settings, &loaded.settings);
            assert_eq!(same.len(), 0, "a configuration is itself");
            let _ = (loaded.warnings().len(), loaded.effective().count());
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "why not?");
            assert!(faults.iter().all(|fault| !fault.to_string().is_empty()));
        }
    }
}

fn look(text: &str) {
    with_file(text.as_bytes(), |path| {
        load(Some(path.to_owned()), Vec::new(), Vec::new())
    });
    let is_wrong = |error: &String| !error.is_empty();
    assert!(
        order_sim::file::parse(text)
            .err()
            .is_none_or(|error| is_wrong(&error))
    );
    assert!(
        Mqtt::parse(text)
            .err()
            .is_none_or(|errors| errors.iter().all(is_wrong) && !errors.is_empty())
    );
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    match choice % 4 {
        0 => look(&String::from_utf8_lossy(data)),
        1 => {
            let text = String::from_utf8_lossy(data).into_owned();
            let (name, value) = text
                .split_once('=')
                .unwrap_or(("SESSION__X__LIMITS__ORDER_QTY_MAX", &text));
            load(
                None,
                vec![(format!("TICKGATE__{name}"), value.to_owned())],
                vec![text.clone()],
            );
        }
        _ => {
            let text = TEXTS[usize::from(choice >> 2) % TEXTS.len()];
            look(&turned(text, &mut Input(data)));
        }
    }
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = (0..4)
        .map(|text| vec![2 | text << 2, 2, 1, 0, 40, 4, 0, 0, 90])
        .collect();
    seeds.extend([
        b"\x00[layout]\nkind = \"inline\"\n".to_vec(),
        b"\x01layout.kind=pipeline".to_vec(),
        b"\x01FEED__X__VENUE=iex".to_vec(),
    ]);
    seeds
}
