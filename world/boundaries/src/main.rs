//! For whoever fuzzes: lists the boundaries, writes their seeds, and runs an input that was found, with any compiler.

#![allow(clippy::print_stdout, reason = "it is a list that is asked for")]

use std::path::Path;
use std::process::ExitCode;

use boundaries::captures::{self, Captured};
use boundaries::{TARGETS, target};

const USAGE: &str =
    "tickgate-boundaries list | seeds FOLDER [FOLDER OF CAPTURES] | run BOUNDARY FILE...";

/// Each boundary's seeds in a folder of its own, and what captures give.
fn write_seeds(folder: &Path, captured: &Captured) -> std::io::Result<()> {
    for target in TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder)?;
        let write = |name: &str, seeds: &[Vec<u8>]| {
            let mut numbered = seeds.iter().enumerate();
            numbered.try_for_each(|(number, seed)| {
                std::fs::write(folder.join(format!("{name}-{number:03}")), seed)
            })
        };
        write("seed", &(target.seeds)())?;
        write("capture", captured.of(target.name))?;
    }
    Ok(())
}

fn run(name: &str, files: &[String]) -> Result<(), String> {
    let target = target(name).ok_or_else(|| format!("{name}: no boundary; `list` has them"))?;
    for file in files {
        let input = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        (target.run)(&input);
        println!("{file}: {} bytes, holds", input.len());
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["list"] => {
            TARGETS
                .iter()
                .for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["seeds", folder] => write_seeds(Path::new(folder), &Captured::default())
            .map_err(|error| format!("{folder}: {error}")),
        ["seeds", folder, captures] => captures::read(Path::new(captures))
            .map_err(|error| format!("{captures}: {error}"))
            .and_then(|captured| {
                write_seeds(Path::new(folder), &captured)
                    .map_err(|error| format!("{folder}: {error}"))
            }),
        ["run", name, _, ..] => run(name, arguments.get(2..).unwrap_or_default()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
