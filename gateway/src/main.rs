//! `tickgate`: the gateway with the strategies that come with it.

fn main() -> std::process::ExitCode {
    gateway::cli::run(gateway::cli::built_in)
}
