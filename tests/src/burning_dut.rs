//! A DUT that costs a known share more CPU per transaction: it starts a program and burns that share of
//! the CPU time which the program has used, on the same cores.
//!
//! Whoever samples the DUT with its descendants sees (1 + share) × the cost, by construction: what this
//! process needs to watch its child is part of the share. Only the child's own process counts, so the
//! program has to be one process. It ends with its child, and the kernel ends the child with it.

#![allow(clippy::print_stderr, reason = "a program of its own that says why it does not start")]

use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use wire::units::Percent;

/// How often it looks how much its child has used.
const LOOK: Duration = Duration::from_millis(20);
/// How long it burns before it lets others run.
const SLICE_NS: u64 = 200_000;

#[derive(Parser)]
struct Arguments {
    /// Share of the program's CPU time that is burnt on top: 8%
    #[arg(long)]
    share: Percent,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    program: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (program, rest) = arguments.program.split_first().expect("clap asks for at least one");
    let mut command = Command::new(program);
    host::process::dies_with_parent(command.args(rest));
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("cannot start {program}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let share = arguments.share.as_ratio();
    // Without a share there is nothing to look for but the end.
    let look = if share > 0.0 { LOOK } else { Duration::from_secs(3600) };
    while !host::process::ended_within(child.id(), look) {
        let used = host::kernel::process_cpu_ns(child.id()).unwrap_or(0);
        burn_up_to((used as f64 * share) as u64);
    }
    let code = child.wait().ok().and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Burns until this thread has used so much CPU time since it began.
fn burn_up_to(total_ns: u64) {
    loop {
        let begin = host::clock::thread_cpu_ns();
        if begin >= total_ns {
            return;
        }
        let end = total_ns.min(begin + SLICE_NS);
        while host::clock::thread_cpu_ns() < end {
            std::hint::spin_loop();
        }
        std::thread::yield_now();
    }
}
