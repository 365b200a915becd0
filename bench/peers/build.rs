//! Builds the XDP program of the peer whose TCP is its own with clang, so that it can be embedded.

#![allow(
    clippy::print_stdout,
    clippy::panic,
    reason = "a build script talks to cargo and stops"
)]

use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "src/link.bpf.c";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=TICKGATE_CLANG");
    let clang = std::env::var("TICKGATE_CLANG").unwrap_or_else(|_| "clang".to_owned());
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("link.bpf.o");
    let built = Command::new(&clang)
        .args([
            "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-c",
        ])
        .args([SOURCE, "-o"])
        .arg(&out)
        .status();
    match built {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{clang} could not build {SOURCE} ({status})"),
        Err(error) => panic!(
            "{clang} is needed to build {SOURCE}, but: {error}. On Debian: apt-get install clang"
        ),
    }
}
