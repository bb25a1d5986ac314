//! The program `loadgen` for tests: cargo gives a test the path of its own package's programs only.

use std::process::ExitCode;

fn main() -> ExitCode {
    loadgen::main()
}
