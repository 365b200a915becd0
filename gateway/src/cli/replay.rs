//! `tickgate replay`: a day again, bit for bit.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{
    FAILED, Factory, Source, WRONG_USAGE, fail, from_settings, password, risk, with_settings,
};
use crate::options::Options;
use crate::service::replay::{Wanted, began_ns, replay};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// A journal of the run, or the folder with its journals: then the newest run. Without it the configuration's folder.
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,
    /// A capture of the run, or a folder of captures; may be given several times. Without it the configuration's folders.
    #[arg(long = "capture", value_name = "PATH")]
    captures: Vec<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments, factory: Factory) -> ExitCode {
    let Arguments {
        source,
        journal,
        captures,
        json,
    } = arguments;
    with_settings(Some(source.config), source.sets, |loaded| {
        // Nobody logs in.
        let (settings, _) = password::without_credentials(&loaded.settings);
        let options = match from_settings::options(&settings, factory) {
            Ok(options) => options,
            Err(error) => return fail(WRONG_USAGE, &error),
        };
        let mut options = options;
        let wanted = match wanted(&options, journal, captures) {
            Ok(wanted) => wanted,
            Err(error) => return fail(WRONG_USAGE, &error),
        };
        let began = began_ns(&wanted.journal).and_then(|began_ns| {
            for session in &mut options.sessions {
                if let Some(of) = settings.session.get(&session.name) {
                    session.day.began_ns = risk::day_began_ns(&of.risk, began_ns)?;
                }
            }
            Ok(())
        });
        match began.and_then(|()| replay(options, &wanted)) {
            Ok(replayed) => {
                if json {
                    print(&format!("{}\n", replayed.json()));
                } else {
                    print(&replayed.text());
                }
                ExitCode::from(if replayed.is_identical() { 0 } else { FAILED })
            }
            Err(error) => fail(FAILED, &error),
        }
    })
}

/// What is not said is where the configuration says.
fn wanted(
    options: &Options,
    journal: Option<PathBuf>,
    captures: Vec<PathBuf>,
) -> Result<Wanted, String> {
    let configured = options.journal.as_ref().map(|it| it.folder.clone());
    if configured.is_none() {
        return Err("this configuration keeps no journal; expected the run's".to_owned());
    }
    let journal = journal.or(configured);
    let journal = journal.ok_or("expected --journal PATH")?;
    let captures = if captures.is_empty() {
        let of_feeds = options
            .feeds
            .iter()
            .filter_map(|feed| feed.capture.as_ref());
        of_feeds.map(|capture| capture.folder.clone()).collect()
    } else {
        captures
    };
    Ok(Wanted { journal, captures })
}

#[expect(clippy::print_stdout, reason = "what this command prints")]
fn print(text: &str) {
    print!("{text}");
}
