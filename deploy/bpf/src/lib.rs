//! Compiles a BPF program with clang, for build scripts that embed it.
//!
//! Invariants:  the same source and the same clang have the same bytes wherever the source lies. Otherwise its folder would be
//!              in the object's debug information and in its BTF, and so in the program that embeds it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every program is compiled with. The folder that debug information names is the source's own, under any name.
const ARGUMENTS: [&str; 11] = [
    "-target",
    "bpf",
    "-mcpu=v3",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fdebug-compilation-dir",
    ".",
    "-c",
];

/// Compiles `NAME.bpf.c`, a path within the package that is being built, to `NAME.bpf.o` in `OUT_DIR`. The clang is that of
/// `TICKGATE_CLANG`, or `clang`.
///
/// # Panics
/// There is no clang, or it refuses the source: cargo shows what a build script says when it stops.
#[allow(
    clippy::print_stdout,
    clippy::panic,
    reason = "called by build scripts, which talk to cargo and stop"
)]
pub fn build(source: &str) {
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-env-changed=TICKGATE_CLANG");
    let folder = |name: &str| PathBuf::from(std::env::var_os(name).unwrap_or_default());
    let program = Program {
        clang: std::env::var("TICKGATE_CLANG").unwrap_or_else(|_| "clang".to_owned()),
        folder: folder("CARGO_MANIFEST_DIR"),
        source: source.to_owned(),
    };
    let name = Path::new(source).with_extension("o");
    let out = folder("OUT_DIR").join(name.file_name().unwrap_or_else(|| OsStr::new("bpf.o")));
    if let Err(why) = program.compile(&out) {
        panic!("{why}");
    }
}

/// What is compiled, and with what.
struct Program {
    clang: String,
    /// The package.
    folder: PathBuf,
    /// The file in it.
    source: String,
}

impl Program {
    fn compile(&self, out: &Path) -> Result<(), String> {
        let Self {
            clang,
            folder,
            source,
        } = self;
        let built = Command::new(clang)
            .current_dir(folder)
            .args(ARGUMENTS)
            .args([source.as_str(), "-o"])
            .arg(out)
            .status();
        match built {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("{clang} could not build {source} ({status})")),
            Err(error) => Err(format!(
                "{clang} is needed to build {source}, but: {error}. On Debian: apt-get install clang"
            )),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SOURCE: &str = "pass.bpf.c";
    const TEXT: &str = "__attribute__((section(\"xdp\"), used)) int pass(void *frame)\n{\n\treturn frame ? 2 : 1;\n}\n";

    /// The source in a folder of its own, and what it is compiled to.
    fn compiled(clang: &str, text: &str) -> Result<(tempfile::TempDir, Vec<u8>), String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(SOURCE), text).unwrap();
        let out = folder.path().join("pass.bpf.o");
        let program = Program {
            clang: clang.to_owned(),
            folder: folder.path().to_owned(),
            source: SOURCE.to_owned(),
        };
        program.compile(&out)?;
        let object = std::fs::read(out).unwrap();
        Ok((folder, object))
    }

    #[test]
    fn program_has_the_same_bytes_wherever_its_source_lies() {
        let (here, first) = compiled("clang", TEXT).unwrap();
        let (there, second) = compiled("clang", TEXT).unwrap();
        assert_ne!(here.path(), there.path());
        assert!(first.starts_with(b"\x7fELF"));
        assert_eq!(first, second);
    }

    #[test]
    fn what_cannot_be_built_is_told_with_its_name() {
        let refused = compiled("clang", "int pass(void) { return frame; }\n").unwrap_err();
        assert!(
            refused.starts_with("clang could not build pass.bpf.c"),
            "{refused}"
        );
        let missing = compiled("no-such-clang", TEXT).unwrap_err();
        assert!(missing.ends_with("apt-get install clang"), "{missing}");
    }
}
