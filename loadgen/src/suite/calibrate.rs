//! What tester and reflectors reach on this host, in two seconds: the trial without the DUT, shortened.
//!
//! The DUT is not started, but its cores stay free, so that the roles stand where they stand in a run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{Options, RunError, prepare};
use crate::interrupt::Interrupt;
use crate::measure::{Role, TrialRecord};
use crate::report::export::ExportOptions;
use crate::scenario::Plan;
use crate::scenario::plan::{DutKind, Phases, Unit};
use crate::testbed::{Placement, doctor::Calibration};

const PHASES: Phases = Phases {
    init: Duration::ZERO,
    ramp_up: Duration::from_millis(300),
    sustain: Duration::from_millis(1_500),
    ramp_down: Duration::from_millis(100),
};

/// Runs a short closed loop straight to reflectors of the plan.
///
/// # Errors
/// [`RunError`]: this host cannot run the reflectors of the plan.
pub fn calibrate(plan: &Plan, executable: &Path, interrupt: &Interrupt) -> Result<Calibration, RunError> {
    let placement = Placement::choose(&host::cpu::allowed_cores(), &plan.testbed)?;
    // Of several frame sizes the first one stands for all: what a frame costs hardly depends on its size.
    let mut bare = super::frames::parts::of(plan).into_iter().next().unwrap_or_else(|| plan.clone());
    bare.testbed.dut.kind = DutKind::None;
    (bare.testbed.dut.cores, bare.testbed.dut.cpu_quota) = (placement.dut, None);
    bare.load.phases = PHASES;
    let reports = std::env::temp_dir().join(format!("nadare-doctor-{}", std::process::id()));
    let options = Options {
        executable: executable.to_owned(),
        reports: reports.clone(),
        quiet: true,
        exports: ExportOptions::default(),
    };
    let outcome = one_trial(&bare, &options, interrupt);
    // What is left of it is of no use to anybody.
    let _ = fs::remove_dir_all(&reports);
    Ok(of_trial(plan, &outcome?))
}

fn one_trial(plan: &Plan, options: &Options, interrupt: &Interrupt) -> Result<TrialRecord, RunError> {
    let mut run = prepare(plan, options, interrupt, None)?;
    let outcome = run.learn_body().and_then(|()| run.ceiling());
    run.testbed.stop();
    let at = outcome?;
    Ok(run.trials.swap_remove(at))
}

fn of_trial(plan: &Plan, trial: &TrialRecord) -> Calibration {
    let (per_second, operations) = match plan.load.unit {
        Unit::ConnectionsPerSecond | Unit::FramesPerSecond => {
            (trial.achieved_rate(), trial.outcomes_all.of(crate::measure::Outcome::Ok))
        }
        _ => (trial.transaction_rate(), trial.transactions_all),
    };
    let used = |is_wanted: fn(Role) -> bool| {
        let (Some(first), Some(last)) = (trial.samples.first(), trial.samples.last()) else { return 0.0 };
        let roles = last.roles.iter().filter(|after| is_wanted(after.role));
        let spent = roles.filter_map(|after| Some(after.cpu_ns.saturating_sub(first.role(after.role)?.cpu_ns)));
        spent.sum::<u64>() as f64 / 1e3 / operations.max(1) as f64
    };
    Calibration {
        per_second,
        generator_us: used(|role| role == Role::Generator),
        reflectors_us: used(|role| matches!(role, Role::Reflector(_))),
    }
}
