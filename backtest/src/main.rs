//! `tickgate-backtest`, which `tickgate backtest` runs: with the strategies that come with Tickgate.

fn main() -> std::process::ExitCode {
    backtest::cli::run(gateway::cli::built_in)
}
