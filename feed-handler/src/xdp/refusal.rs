//! Why the kernel did not take a program, with what its verifier said last.
//!
//! Thread:      start-up only

use std::error::Error;
use std::io;

use aya::programs::ProgramError as LoadError;

/// What is kept of the verifier's log: its last lines, in which it names the instruction and the rule.
const LINES: usize = 4;
/// Bytes of a line at most: registers in full can be long.
const LINE_BYTES_MAX: usize = 200;

/// Why a program is not there.
#[derive(Debug)]
pub struct ProgramError {
    /// What was being done.
    pub doing: &'static str,
    /// What the kernel or the loader said.
    pub said: String,
    /// The kernel's error number, where there is one.
    pub errno: Option<i32>,
    /// Whether the kernel's verifier refused it: no lack of rights, whatever the number.
    pub is_verdict: bool,
}

/// What an operator can do about a verdict.
pub const VERDICT_HINT: &str =
    "not known of this kernel: please report its version with these words";

impl ProgramError {
    /// From what a loader returned.
    #[must_use]
    pub fn new(doing: &'static str, error: &(dyn Error + 'static)) -> Self {
        let mut source = Some(error);
        let mut said = error.to_string();
        let mut errno = None;
        let mut verdict = None;
        while let Some(inner) = source {
            if let Some(LoadError::LoadError { verifier_log, .. }) = inner.downcast_ref() {
                verdict = last_lines(&verifier_log.to_string());
            }
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                errno = io.raw_os_error();
                said = io.to_string();
            }
            source = inner.source();
        }
        let is_verdict = verdict.is_some();
        if let Some(verdict) = verdict {
            said = format!("{said}; the kernel's verifier: {verdict}");
        }
        Self {
            doing,
            said,
            errno,
            is_verdict,
        }
    }

    /// What the loader itself found.
    #[must_use]
    pub fn said(doing: &'static str, said: &str) -> Self {
        Self {
            doing,
            said: said.to_owned(),
            errno: None,
            is_verdict: false,
        }
    }
}

/// The end of a log on one line; `None`: it is empty, so the kernel refused before it looked at the program.
fn last_lines(log: &str) -> Option<String> {
    let is_told = |line: &&str| !line.is_empty() && !line.starts_with("processed ");
    let mut lines: Vec<&str> = log
        .lines()
        .rev()
        .map(str::trim)
        .filter(is_told)
        .take(LINES)
        .map(|line| {
            line.get(..line.floor_char_boundary(LINE_BYTES_MAX))
                .unwrap_or(line)
        })
        .collect();
    lines.reverse();
    (!lines.is_empty()).then(|| lines.join(" | "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, clippy::print_stdout, reason = "tests")]

    use std::process::Command;

    use aya::Ebpf;
    use aya::programs::Xdp;

    use super::*;

    #[test]
    fn the_end_of_a_log_is_kept_without_its_figures() {
        let log = "0: one\n1: two\n2: three\n3: four\nR3 is outside\nprocessed 208 insns\n\n";
        let kept = last_lines(log).expect("something was said");
        assert_eq!(kept, "1: two | 2: three | 3: four | R3 is outside");
        assert_eq!(last_lines("\n \n"), None);
        let long = "é".repeat(LINE_BYTES_MAX);
        assert_eq!(
            last_lines(&long).map(|kept| kept.len()),
            Some(LINE_BYTES_MAX)
        );
    }

    #[test]
    fn program_that_reads_past_a_frame_is_refused_in_the_verifiers_words() {
        const SOURCE: &str = r#"
            struct xdp_md { unsigned data, data_end; };
            __attribute__((section("xdp"), used)) int reads(struct xdp_md *ctx)
            { return *(unsigned char *)(long)ctx->data; }
            char _license[] __attribute__((section("license"), used)) = "Dual MIT/GPL";
        "#;
        let folder = tempfile::tempdir().expect("a folder");
        let [source, object] = ["reads.c", "reads.o"].map(|name| folder.path().join(name));
        std::fs::write(&source, SOURCE).expect("written");
        let mut clang =
            Command::new(std::env::var("TICKGATE_CLANG").unwrap_or_else(|_| "clang".into()));
        clang.args(["-target", "bpf", "-O2", "-g", "-c"]);
        let built = clang.arg(&source).arg("-o").arg(&object).status();
        assert!(built.expect("what builds this crate").success());
        let code = std::fs::read(&object).expect("built");
        let mut ebpf = Ebpf::load(&code).expect("it has no maps");
        let program: &mut Xdp = ebpf
            .program_mut("reads")
            .expect("named so")
            .try_into()
            .expect("an XDP program");
        let error = program
            .load()
            .expect_err("it reads where a frame may not be");
        let refused = ProgramError::new("loading", &error);
        if refused.errno == Some(libc::EPERM) {
            return println!("SKIPPED: the kernel's verifier is asked as root alone");
        }
        assert_eq!(refused.errno, Some(libc::EACCES));
        assert!(refused.is_verdict);
        let said = &refused.said;
        assert!(said.contains("invalid access to packet"), "{said}");
    }
}
