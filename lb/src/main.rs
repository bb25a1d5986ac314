//! The program `lb`: everything is in the library, so that other programs can contain it.

fn main() -> std::process::ExitCode {
    lb::main()
}
