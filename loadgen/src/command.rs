//! What each subcommand does. Nothing here prints; texts go through [`crate::report`].

mod check;
mod compare;
mod doctor;
mod export;
mod gate;
mod rework;
mod run;
mod size;
mod trend;
mod versus;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command, Schema};
use crate::interrupt::Interrupt;
use crate::report;
use crate::scenario::Plan;
use crate::testbed;
use crate::verdict::answer::Exit;

/// Why a command ended without doing its work: what to say and how to exit.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }

    fn host(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Host, error: error.into() }
    }
}

/// The program: parses the command line, does what it says, returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let help = !error.use_stderr();
            let text = error.render().to_string();
            if help {
                report::say(text.trim_end());
                return ExitCode::SUCCESS;
            }
            report::complain(text.trim_end());
            return Exit::Usage.into();
        }
    };
    if let Some(Command::Role(arguments)) = &cli.command {
        return testbed::role_main(arguments);
    }
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            report::complain(&format!("error: {:#}", failure.error));
            failure.exit.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    match cli.command {
        None | Some(Command::Role(_)) => run::run(&cli.run),
        Some(Command::Run(arguments)) => run::run(&arguments),
        Some(Command::Quick(arguments)) => run::quick(&arguments),
        Some(Command::Resume(arguments)) => run::resume(&arguments),
        Some(Command::Check(arguments)) => check::check(&arguments),
        Some(Command::Doctor(arguments)) => doctor::doctor(&arguments),
        Some(Command::Trend(arguments)) => trend::trend(&arguments),
        Some(Command::Gate(arguments)) => gate::gate(&arguments),
        Some(Command::Compare(arguments)) => compare::compare(&arguments),
        Some(Command::Export(arguments)) => export::export(&arguments),
        Some(Command::Report(arguments)) => rework::report(&arguments),
        Some(Command::Merge(arguments)) => rework::merge(&arguments),
        Some(Command::Size(arguments)) => size::size(&arguments),
        Some(Command::Schema { of }) => {
            let schema = match of {
                Schema::Scenario => crate::scenario::schema(),
                Schema::Demand => crate::sizing::demand::schema(),
            };
            let schema = serde_json::to_string_pretty(&schema).map_err(Failure::host)?;
            report::say(&schema);
            Ok(Exit::Met)
        }
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "loadgen", &mut text);
            report::say(&String::from_utf8_lossy(&text));
            Ok(Exit::Met)
        }
    }
}

/// Makes this process ready for the testbeds of some plans, and listens for interrupts from then on: only
/// while it has a single thread may it move to where it can make namespaces.
fn make_ready<'a>(plans: impl IntoIterator<Item = &'a Plan>) -> Result<Interrupt, Failure> {
    for plan in plans {
        testbed::prepare_privileges(&plan.testbed).map_err(Failure::host)?;
    }
    Interrupt::listen().map_err(Failure::host)
}

/// The program that roles are started from: this one, also when its file has been replaced since.
fn own_executable() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
