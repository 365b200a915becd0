//! Man pages and shell completions, made of a program's own command line, so that they say what it does.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

/// The shells that are completed for, and where below a prefix each looks.
const SHELLS: [(Shell, &str); 2] = [
    (Shell::Bash, "share/bash-completion/completions"),
    (Shell::Zsh, "share/zsh/site-functions"),
];
const MAN: &str = "share/man/man1";

/// Writes a man page for the program and each of its commands, and what bash and zsh complete, into the folders
/// below `prefix` where man and the shells look.
///
/// # Errors
/// A folder or file that cannot be written.
pub fn write(command: &Command, prefix: &Path) -> io::Result<()> {
    let folder = prefix.join(MAN);
    fs::create_dir_all(&folder)?;
    // `help` explains the others; a page of its own would be about help.
    let command = command.clone().disable_help_subcommand(true);
    clap_mangen::generate_to(command.clone(), folder)?;
    for (shell, place) in SHELLS {
        let folder = prefix.join(place);
        fs::create_dir_all(&folder)?;
        let name = command.get_name().to_owned();
        let written = clap_complete::generate_to(shell, &mut command.clone(), &name, &folder)?;
        if shell == Shell::Bash {
            // bash-completion looks for a file that is called as the program.
            fs::rename(written, folder.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_is_completed() {
        let folder = tempfile::tempdir().unwrap();
        let command = Command::new("gate")
            .subcommand(Command::new("open").about("Opens it."))
            .subcommand(Command::new("shut").subcommand(Command::new("hard")));
        write(&command, folder.path()).unwrap();
        for page in ["gate", "gate-open", "gate-shut", "gate-shut-hard"] {
            let page = folder.path().join(MAN).join(format!("{page}.1"));
            assert!(
                fs::read_to_string(&page).unwrap().contains(".TH"),
                "{page:?}"
            );
        }
        for file in [
            "share/bash-completion/completions/gate",
            "share/zsh/site-functions/_gate",
        ] {
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(text.contains("open") && text.contains("hard"), "{file}");
        }
    }
}
