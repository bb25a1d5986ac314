//! How busy roles and cores were between two samples. Pure arithmetic.
//!
//! A role's busy share is the CPU time it used, divided by what its placement allows: its quota, or
//! the cores it is placed on. A core's busy share is computed from its idle time.

use crate::measure::{Role, RoleSample, Sample, TrialRecord};

/// How busy a role was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// CPU time per wall time, in cores, from 0.
    pub cores: f64,
    /// Share of what its placement allows, from 0; 1 = all of it.
    pub busy: f64,
}

/// How busy one role was between two samples; `None` where it cannot be seen.
pub fn role(before: &Sample, after: &Sample, role: Role) -> Option<Usage> {
    roles(before, after, |sample| sample.role == role)
}

/// How busy all reflectors of the run were together; `None` without any.
pub fn reflectors(before: &Sample, after: &Sample) -> Option<Usage> {
    roles(before, after, |sample| matches!(sample.role, Role::Reflector(_)))
}

/// Busy share of every core: all that was not idle, what the hypervisor took included; `None` for a
/// core without ticks between the samples.
pub fn cores(before: &Sample, after: &Sample) -> Vec<Option<f64>> {
    per_core(before, after, |idle, _, total| 1.0 - idle / total)
}

/// Largest share that the hypervisor took from a core for somebody else.
pub fn steal(before: &Sample, after: &Sample) -> Option<f64> {
    per_core(before, after, |_, steal, total| steal / total).into_iter().flatten().reduce(f64::max)
}

/// The samples next to the beginning and the end of sustain.
pub fn sustain(record: &TrialRecord) -> Option<(&Sample, &Sample)> {
    let begin_ns = record.began_ns + record.ramp_up.as_nanos() as u64;
    let end_ns = begin_ns + record.sustain.as_nanos() as u64;
    let nearest = |to: u64| record.samples.iter().min_by_key(|sample| sample.at_ns.abs_diff(to));
    let (first, last) = (nearest(begin_ns)?, nearest(end_ns)?);
    (first.at_ns < last.at_ns).then_some((first, last))
}

fn roles(before: &Sample, after: &Sample, wanted: impl Fn(&RoleSample) -> bool) -> Option<Usage> {
    let wall_ns = after.at_ns.checked_sub(before.at_ns).filter(|&ns| ns > 0)?;
    let (mut used_ns, mut quota, mut placed) = (0_u64, 0.0, Vec::<usize>::new());
    for late in after.roles.iter().filter(|sample| wanted(sample)) {
        let early = before.role(late.role)?;
        // A counter that fell means that a process ended in between: its time cannot be known.
        used_ns += late.cpu_ns.checked_sub(early.cpu_ns)?;
        match late.quota_cores {
            Some(cores) => quota += cores,
            None => placed.extend(&late.cores),
        }
    }
    placed.sort_unstable();
    placed.dedup();
    let capacity = quota + placed.len() as f64;
    let cores = used_ns as f64 / wall_ns as f64;
    (capacity > 0.0).then(|| Usage { cores, busy: cores / capacity })
}

fn per_core(before: &Sample, after: &Sample, share: impl Fn(f64, f64, f64) -> f64) -> Vec<Option<f64>> {
    let pairs = before.cores.iter().zip(&after.cores);
    pairs
        .map(|(early, late)| {
            let total = late.total.saturating_sub(early.total);
            let idle = late.idle.saturating_sub(early.idle) as f64;
            let steal = late.steal.saturating_sub(early.steal) as f64;
            (total > 0).then(|| share(idle, steal, total as f64).clamp(0.0, 1.0))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::kernel::CoreTicks;

    fn role_sample(role: Role, cores: &[usize], quota_cores: Option<f64>, cpu_ns: u64) -> RoleSample {
        RoleSample {
            role,
            cores: cores.to_vec(),
            quota_cores,
            cpu_ns,
            rss_anon_bytes: 0,
            descriptors: 0,
            descriptor_limit: 0,
            socket_drops: 0,
            throttled: 0,
        }
    }

    #[test]
    fn a_role_is_as_busy_as_its_placement_allows() {
        let at = |at_ns, dut_ns, reflector_ns| Sample {
            links: Vec::new(),
            at_ns,
            roles: vec![
                role_sample(Role::Dut, &[1], Some(0.25), dut_ns),
                role_sample(Role::Reflector(0), &[0], None, reflector_ns),
                role_sample(Role::Reflector(1), &[0], None, reflector_ns),
            ],
            cores: vec![CoreTicks { idle: at_ns / 20_000_000, steal: 0, total: at_ns / 10_000_000 }],
            memory_available_bytes: 0,
        };
        let (before, after) = (at(1_000_000_000, 0, 0), at(3_000_000_000, 500_000_000, 400_000_000));
        assert_eq!(role(&before, &after, Role::Dut), Some(Usage { cores: 0.25, busy: 1.0 }));
        // Two reflectors on one core share it: 2 × 0.2 cores of one.
        assert_eq!(reflectors(&before, &after), Some(Usage { cores: 0.4, busy: 0.4 }));
        assert_eq!(role(&before, &after, Role::Generator), None);
        assert_eq!(role(&after, &before, Role::Dut), None);
        assert_eq!(cores(&before, &after), [Some(0.5)]);
        assert_eq!(steal(&before, &after), Some(0.0));
    }

    #[test]
    fn a_counter_that_fell_gives_no_share() {
        let sample = |at_ns, cpu_ns| Sample {
            at_ns,
            roles: vec![role_sample(Role::Dut, &[1], None, cpu_ns)],
            ..Sample::default()
        };
        assert_eq!(role(&sample(1, 500), &sample(1_000, 100), Role::Dut), None);
    }
}
