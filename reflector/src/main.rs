//! The program `reflector`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    reflector::main()
}
