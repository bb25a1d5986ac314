//! What a child process of a run does: the hidden subcommand `loadgen role …`.
//!
//! A role finds its control channel at file descriptor 0. It enters its namespace, pins itself and joins its
//! control group before it starts anything, says that it is ready, answers orders, and ends at a stop or when the
//! channel ends. This is the only file of the crate that imports `lb` and `reflector`.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use wire::control::{Command, Event};
use wire::ledger::Ledger;

use super::channel::{Channel, ChannelError};
use super::exec;

/// Descriptor limit that a program which is not ours gets, if the host allows as many. Some size their
/// tables by it, and containers often allow a thousand times more.
const FOREIGN_DESCRIPTORS: u64 = 1 << 20;

/// How long a role waits for an order before it waits again.
const IDLE: Duration = Duration::from_secs(60);

/// The arguments after `loadgen role`.
#[derive(Clone, Debug, clap::Args)]
pub struct RoleArgs {
    /// Cores that the role and all it starts run on; empty = where the parent runs.
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
    /// Network namespace that the role lives in.
    #[arg(long)]
    namespace: Option<String>,
    /// Control group that the role joins.
    #[arg(long)]
    group: Option<PathBuf>,
    #[command(subcommand)]
    kind: RoleKind,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum RoleKind {
    /// A reflector, with the arguments of the program `reflector`.
    Reflector {
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// The reference LB.
    Lb {
        #[arg(long)]
        config: PathBuf,
        #[arg(long)]
        workers: NonZeroU32,
    },
    /// A supervised program.
    Exec {
        #[arg(last = true, required = true)]
        program: Vec<String>,
    },
    /// The first process of a supervised program's namespace.
    Init,
}

/// Plays a role until the parent ends it.
pub fn role_main(args: &RoleArgs) -> ExitCode {
    if matches!(args.kind, RoleKind::Init) {
        return exec::init();
    }
    let Ok(input) = std::io::stdin().as_fd().try_clone_to_owned() else { return ExitCode::FAILURE };
    let channel = Channel::new(input);
    let warnings = match prepare(args) {
        Ok(warnings) => warnings,
        Err(message) => return failed(&channel, message),
    };
    match &args.kind {
        RoleKind::Exec { program } => exec::supervise(channel, program, args.group.as_deref(), warnings),
        RoleKind::Reflector { arguments } => reflector(channel, arguments, warnings),
        RoleKind::Lb { config, workers } => lb(channel, config, *workers, args, warnings),
        RoleKind::Init => ExitCode::SUCCESS,
    }
}

/// Places this process. A quota that does not hold would falsify the result, so it is an error; a core
/// is a warning.
fn prepare(args: &RoleArgs) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    if let Some(path) = &args.namespace {
        // Before there is another thread: each has a namespace of its own.
        let entered = host::namespace::enter_path(path);
        entered.map_err(|error| format!("cannot enter the network namespace {path}: {error}"))?;
    }
    // Who has a control group stays alive to clean up after a killed parent, and so does the supervisor;
    // they see the channel's end.
    if args.group.is_none()
        && !matches!(args.kind, RoleKind::Exec { .. })
        && let Err(error) = host::process::die_with_parent()
    {
        warnings.push(format!("this role may outlive a killed parent ({error})"));
    }
    if matches!(args.kind, RoleKind::Exec { .. }) {
        host::kernel::raise_descriptor_limit_to(FOREIGN_DESCRIPTORS);
    } else {
        host::kernel::raise_descriptor_limit();
        log_to_stderr();
    }
    if let Some(group) = &args.group {
        super::cgroup::join(group).map_err(|error| format!("cannot join {}: {error}", group.display()))?;
    }
    if !args.cores.is_empty()
        && let Err(error) = host::cpu::pin_current_thread(&args.cores)
    {
        warnings.push(format!("cannot run on cores {:?} only ({error}): other roles may disturb this one", args.cores));
    }
    Ok(warnings)
}

/// Serves as the reference LB.
fn lb(mut channel: Channel, path: &Path, workers: NonZeroU32, args: &RoleArgs, warnings: Vec<String>) -> ExitCode {
    let start = || -> Result<lb::Lb, String> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name} cannot be read: {error}"))?;
        let mut config = lb::config::Config::parse(&name, &text).map_err(|error| error.to_string())?;
        config.workers = Some(workers);
        config.cores = args.cores.clone();
        // The load is over when a run stops its DUT.
        config.drain = config.drain.min(exec::GRACE);
        lb::start(config).map_err(|error| chain(&error))
    };
    let lb = match start() {
        Ok(lb) => lb,
        Err(message) => return failed(&channel, message),
    };
    let warnings = [warnings, lb.warnings()].concat();
    let ready = Event::Ready { addresses: lb.addresses(), admin: lb.admin(), warnings };
    let end = serve(&mut channel, &ready, |_| None);
    if let (End::Orphaned, Some(group)) = (end, &args.group) {
        // Nobody else is left to remove the group, and nobody to drain for.
        super::cgroup::leave(group);
        return ExitCode::FAILURE;
    }
    lb.drain();
    lb.wait();
    ExitCode::SUCCESS
}

/// Serves as a reflector.
fn reflector(mut channel: Channel, arguments: &[OsString], warnings: Vec<String>) -> ExitCode {
    let config = reflector::config_of(arguments);
    let reflector = match config.and_then(|config| reflector::start(config).map_err(|error| chain(&error))) {
        Ok(reflector) => reflector,
        Err(message) => return failed(&channel, message),
    };
    let warnings = [&warnings, reflector.warnings()].concat();
    let ready = Event::Ready { addresses: reflector.addresses().to_vec(), admin: None, warnings };
    serve(&mut channel, &ready, |reset_peak| Some(reflector.ledger(reset_peak)));
    reflector.stop();
    ExitCode::SUCCESS
}

/// Why a role is to stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// The parent said so.
    Asked,
    /// The parent has gone without a word.
    Orphaned,
}

/// Whether the program `reflector` takes these arguments.
pub(super) fn check_reflector(arguments: &[String]) -> Result<(), String> {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    reflector::config_of(&arguments).map(drop)
}

/// Says that the role is ready and answers orders until it is to stop.
fn serve(channel: &mut Channel, ready: &Event, ledger: impl Fn(bool) -> Option<Ledger>) -> End {
    if channel.send(ready).is_err() {
        return End::Orphaned;
    }
    loop {
        match channel.receive::<Command>(IDLE) {
            Ok(Command::Ledger { reset_peak }) => {
                let event = ledger(reset_peak).map(|ledger| Event::Ledger { ledger: Box::new(ledger) });
                if event.is_some_and(|event| channel.send(&event).is_err()) {
                    return End::Orphaned;
                }
            }
            Ok(Command::Stop) => return End::Asked,
            Err(ChannelError::Closed) => return End::Orphaned,
            Err(ChannelError::Late(_)) => {}
            Err(error @ ChannelError::Malformed(_)) => tracing::warn!("order ignored: {error}"),
        }
    }
}

fn failed(channel: &Channel, message: String) -> ExitCode {
    // Without a parent nobody is left to be told.
    let _ = channel.send(&Event::Failed { message });
    ExitCode::FAILURE
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_env_filter(filter);
    // A process plays one role, so nobody has set another one.
    let _ = log.try_init();
}
