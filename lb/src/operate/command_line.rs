//! The command line of the program `lb`: `lb -c FILE` serves, `lb check FILE...` only reads.
//!
//! Exit codes: 0 is success, 2 a wrong command line or configuration, 3 says that this machine cannot
//! run it (a port is taken, a thread cannot be started), 130 that a second signal cut the drain short.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use wire::document::Document;

use crate::config::Config;
use crate::control::ReloadError;
use crate::run::{Lb, start};

const USAGE: u8 = 2;
const CANNOT_RUN: u8 = 3;
const CUT_SHORT: u8 = 130;

/// The reference load balancer.
#[derive(Debug, Parser)]
#[command(name = "lb", version, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read configurations, report errors and what is probably not meant, and serve nothing.
    Check {
        /// Configuration files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Args, Debug)]
struct ServeArguments {
    /// Serve as this file says, until SIGTERM or SIGINT; read it again at SIGHUP.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the program `lb` with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed standard error leaves nobody to tell.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match (arguments.command, arguments.serve.config) {
        (Some(Command::Check { files }), _) => check(&files),
        (None, Some(file)) => serve(&file),
        // clap shows the help before it comes to this.
        (None, None) => ExitCode::from(USAGE),
    }
}

fn check(files: &[PathBuf]) -> ExitCode {
    let mut sound = true;
    for file in files {
        let text = match read(file) {
            Ok(config) => {
                let warnings = config.warnings();
                let mut text = format!("{}: ok, {} warnings\n", file.display(), warnings.len());
                for warning in warnings {
                    text.push_str(&format!("{}: warning: {warning}\n", file.display()));
                }
                text
            }
            Err(error) => {
                sound = false;
                complain(&error);
                continue;
            }
        };
        // A reader that has gone is a quiet end.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    ExitCode::from(if sound { 0 } else { USAGE })
}

fn read(file: &Path) -> Result<Config, String> {
    let (name, text) = read_text(file)?;
    Config::parse(&name, &text).map_err(|error| error.to_string())
}

fn read_text(file: &Path) -> Result<(String, String), String> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    Ok((name, text))
}

fn complain(error: &str) {
    let _ = writeln!(std::io::stderr(), "error: {error}");
}

fn serve(file: &Path) -> ExitCode {
    let config = match read(file) {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return ExitCode::from(USAGE);
        }
    };
    log_to_stderr();
    match run(config, file) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::from(CANNOT_RUN)
        }
    }
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::INFO.into())
        .from_env_lossy();
    // It fails when the process that contains us has its own logging, which is as good.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().try_init();
}

/// Serves until a signal, drains, and returns when the drain is over or a second signal comes.
fn run(config: Config, file: &Path) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the start, so that a signal never meets the default action.
        let mut signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut hangup = signal(SignalKind::hangup())?;
        let services: Vec<_> = config.services.iter().map(|service| service.name.clone()).collect();
        let bound = config.drain;
        let lb = start(config)?;
        announce(&lb, &services);
        tokio::select! {
            () = either(&mut signals) => {}
            () = reload_at(&mut hangup, &lb, file) => {}
        }
        tracing::info!(?bound, "draining; a second signal ends at once");
        lb.drain();
        let (ended, end) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("lb-wait".to_owned()).spawn(move || {
            lb.wait();
            // The receiver is gone when a second signal has come.
            let _ = ended.send(());
        })?;
        Ok(tokio::select! {
            _ = end => ExitCode::SUCCESS,
            () = either(&mut signals) => ExitCode::from(CUT_SHORT),
        })
    })
}

async fn either((terminate, interrupt): &mut (Signal, Signal)) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Reloads the file at every signal, for ever. Signals that come during a reload are one more reload.
async fn reload_at(hangup: &mut Signal, lb: &Lb, file: &Path) {
    // There is no end of signals.
    while hangup.recv().await.is_some() {
        let name = file.display();
        match reload(lb, file).await {
            Ok(changes) => tracing::info!("{name} reloaded: {changes}"),
            Err(error) => tracing::error!("reload refused, what was running goes on: {error}"),
        }
    }
}

async fn reload(lb: &Lb, file: &Path) -> Result<String, String> {
    let (name, text) = read_text(file)?;
    let wanted = Config::parse(&name, &text).map_err(|error| error.to_string())?;
    let warnings = wanted.warnings();
    let changes = lb.reload(wanted).await.map_err(|error| match error {
        ReloadError::Unchangeable(what) => Document::new(&name, &text).error_at(&what.key, what.values()).to_string(),
        ending @ ReloadError::Ending => ending.to_string(),
    })?;
    if !changes.is_empty() {
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    Ok(changes.to_string())
}

fn announce(lb: &Lb, services: &[String]) {
    for warning in lb.warnings() {
        tracing::warn!("{warning}");
    }
    for (service, address) in services.iter().zip(lb.addresses()) {
        tracing::info!(service, %address, "virtual service listens");
    }
    if let Some(address) = lb.admin() {
        tracing::info!(%address, "admin listens");
    }
}
