//! What this host lets a plan do: slots by descriptors, local addresses and ports, highest load.

use std::net::IpAddr;

use crate::engine::sources::{Sources, expand};
use crate::measure::record::TrialLoad;
use crate::scenario::Plan;
use crate::scenario::plan::Unit;
use crate::testbed::ports::{PortSysctls, plan_ports};

/// Descriptors left for files, control channels and the report.
const RESERVED_DESCRIPTORS: u64 = 64;

/// Slots of one trial.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Slots {
    /// Slots of each worker.
    pub per_worker: u32,
    /// Why there are fewer than the plan wants, if there are.
    pub cut: Option<String>,
}

/// The slots of a trial; a plan that asks for more connections than there are descriptors is refused.
///
/// # Errors
/// The arithmetic, for a person.
pub fn slots(plan: &Plan, load: TrialLoad, workers: u32) -> Result<Slots, String> {
    slots_within(plan.load.slots.get(), load, workers, descriptors())
}

/// Descriptors that connections may use.
fn descriptors() -> u64 {
    let limit = host::kernel::raise_descriptor_limit();
    let used = host::kernel::process_descriptors(std::process::id()).unwrap_or(0);
    limit.saturating_sub(used + RESERVED_DESCRIPTORS)
}

fn slots_within(wanted: u32, load: TrialLoad, workers: u32, descriptors: u64) -> Result<Slots, String> {
    let at_once = match load {
        TrialLoad::Rate(_) => None,
        TrialLoad::Closed(count) | TrialLoad::Held(count) => Some(count),
    };
    let wanted = at_once.map_or(wanted, |count| count.div_ceil(workers));
    let most = u32::try_from(descriptors / u64::from(workers)).unwrap_or(u32::MAX);
    if most == 0 || at_once.is_some() && most < wanted {
        return Err(format!(
            "{} connections at once need as many descriptors, but this process has {descriptors} left of its limit \
             (RLIMIT_NOFILE) after {RESERVED_DESCRIPTORS} in reserve; raise the limit (ulimit -n) or ask for less",
            u64::from(wanted) * u64::from(workers)
        ));
    }
    let cut = (most < wanted).then(|| {
        format!("{most} slots per worker instead of {wanted}: {descriptors} descriptors are left for {workers} workers")
    });
    Ok(Slots { per_worker: wanted.min(most), cut })
}

/// Where connections come from.
///
/// # Errors
/// What is wrong with the plan's networks.
pub fn sources(plan: &Plan) -> Result<Sources, String> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for network in &plan.testbed.source_networks {
        addresses.extend(expand(network)?);
    }
    Ok(Sources::new(addresses))
}

/// The highest load that may be tried: what the ceiling and the ports allow, or for held connections
/// what descriptors and ports allow. `None` when nothing bounds it.
///
/// # Errors
/// The arithmetic, when the loads that the plan names need more ports than there are.
pub fn most(plan: &Plan, cores: &[usize], ceiling: Option<f64>) -> Result<Option<f64>, String> {
    let ports = plan_ports(plan, PortSysctls::read())?;
    Ok(match plan.load.unit {
        Unit::Connections => {
            let workers = cores.len().max(1) as u64;
            Some(((descriptors() / workers * workers).min(ports.tuples)) as f64)
        }
        Unit::ConnectionsPerSecond => ceiling.map(|ceiling| ceiling.min(ports.rate_max)),
        Unit::TransactionsPerSecond | Unit::Transactions => ceiling,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_cut_by_descriptors_and_say_so() {
        let slots = |load, descriptors| slots_within(1_024, load, 2, descriptors);
        assert_eq!(slots(TrialLoad::Rate(9.0), 5_000).unwrap(), Slots { per_worker: 1_024, cut: None });
        let cut = slots(TrialLoad::Rate(9.0), 200).unwrap();
        assert_eq!(cut.per_worker, 100);
        assert_eq!(cut.cut.unwrap(), "100 slots per worker instead of 1024: 200 descriptors are left for 2 workers");
        assert_eq!(slots(TrialLoad::Held(7), 200).unwrap().per_worker, 4);
        let refused = slots(TrialLoad::Held(5_000), 200).unwrap_err();
        assert!(refused.starts_with("5000 connections at once need as many descriptors"), "{refused}");
    }
}
