//! Runs the program and turns what came of it into an exit code.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
enum Cli {
    #[command(hide = true)]
    Role(loadgen::testbed::RoleArgs),
}

fn main() -> ExitCode {
    match Cli::parse() {
        Cli::Role(args) => loadgen::testbed::role_main(&args),
    }
}
