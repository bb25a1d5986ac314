//! What a child process of a run does: the hidden subcommand `loadgen role …`.
//!
//! A role finds its control channel at file descriptor 0. It pins itself and joins its control group
//! before it starts anything, says that it is ready, answers orders, and ends at a stop or when the
//! channel ends. This is the only file of the crate that imports `lb` and `reflector`.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wire::control::Event;

use super::channel::Channel;
use super::exec;

/// The arguments after `loadgen role`.
#[derive(Clone, Debug, clap::Args)]
pub struct RoleArgs {
    /// Cores that the role and all it starts run on; empty = where the parent runs.
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
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
        #[arg(long)]
        instance: String,
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// The reference LB.
    Lb {
        #[arg(long)]
        config: PathBuf,
        #[arg(long)]
        workers: std::num::NonZeroU32,
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
        Err(message) => {
            // Without a parent nobody is left to be told.
            let _ = channel.send(&Event::Failed { message });
            return ExitCode::FAILURE;
        }
    };
    match &args.kind {
        RoleKind::Exec { program } => exec::supervise(channel, program, args.group.as_deref(), warnings),
        RoleKind::Reflector { instance, arguments } => programs::reflector(channel, instance, arguments, warnings),
        RoleKind::Lb { config, workers } => programs::lb(channel, config, *workers, &args.cores, warnings),
        RoleKind::Init => ExitCode::SUCCESS,
    }
}

/// Places this process. A quota that does not hold would falsify the result, so it is an error; a core
/// is a warning.
fn prepare(args: &RoleArgs) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    // The supervisor stays alive to clean up after a killed parent; it sees the channel's end.
    if !matches!(args.kind, RoleKind::Exec { .. })
        && let Err(error) = host::process::die_with_parent()
    {
        warnings.push(format!("this role may outlive a killed parent ({error})"));
    }
    host::kernel::raise_descriptor_limit();
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

/// Stand-ins until the programs are linked.
mod programs {
    use super::*;

    pub(super) fn reflector(channel: Channel, _: &str, _: &[OsString], _: Vec<String>) -> ExitCode {
        let _ = channel.send(&Event::Failed { message: "no reflector in this build".to_owned() });
        ExitCode::FAILURE
    }

    pub(super) fn lb(channel: Channel, _: &Path, _: std::num::NonZeroU32, _: &[usize], _: Vec<String>) -> ExitCode {
        let _ = channel.send(&Event::Failed { message: "no reference LB in this build".to_owned() });
        ExitCode::FAILURE
    }
}
