//! Reads what every role uses, once a second, in well under a millisecond.
//!
//! Counters of a role only grow: the CPU time of a process that has ended stays in the sum, and a
//! process that appears adds what it has used so far. What a process used between its last sample and
//! its end is lost, and so is one that lived between two samples.

use std::collections::HashMap;

use host::kernel;

use super::exec::INIT_NAME;
use crate::measure::{Role, RoleSample};

/// Which processes belong to a role.
#[derive(Clone, Copy, Debug)]
pub(super) enum Family {
    /// One process without its descendants.
    Alone(u32),
    /// One process and its descendants.
    Whole(u32),
    /// The descendants of a supervisor without itself and the first process of its namespace.
    Supervised(u32),
    /// The kernel itself, on cores that nobody else is placed on.
    Kernel,
}

impl Family {
    fn members(self) -> Vec<u32> {
        match self {
            Self::Alone(root) => vec![root],
            Self::Kernel => Vec::new(),
            Self::Whole(root) => {
                let mut members = vec![root];
                members.extend(kernel::descendants(root));
                members
            }
            Self::Supervised(supervisor) => {
                let mut members = kernel::descendants(supervisor);
                members.retain(|&pid| kernel::process_name(pid).is_none_or(|name| name != INIT_NAME));
                members
            }
        }
    }

    /// The program itself: the first process of the family.
    pub(super) fn program(self) -> Option<u32> {
        match self {
            Self::Alone(root) | Self::Whole(root) => Some(root),
            Self::Supervised(_) => self.members().into_iter().next(),
            Self::Kernel => None,
        }
    }
}

/// What is known of one role from sample to sample.
#[derive(Debug)]
pub(super) struct RoleSampler {
    role: Role,
    cores: Vec<usize>,
    quota_cores: Option<f64>,
    family: Family,
    cpu: CpuSum,
}

impl RoleSampler {
    pub(super) fn new(role: Role, cores: Vec<usize>, quota_cores: Option<f64>, family: Family) -> Self {
        Self { role, cores, quota_cores, family, cpu: CpuSum::default() }
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// The role now. A role that has ended keeps its CPU time and has nothing else.
    pub(super) fn sample(&mut self, socket_drops: u64, throttled: u64) -> RoleSample {
        let members = self.family.members();
        let reading = members.iter().filter_map(|&pid| Some((pid, kernel::process_cpu_ns(pid).ok()?)));
        let cpu_ns = match self.family {
            Family::Kernel => interrupts_ns(&kernel::interrupt_ticks(), &self.cores),
            _ => self.cpu.update(reading),
        };
        let memory = members.iter().filter_map(|&pid| kernel::process_memory(pid));
        let descriptors = members.iter().filter_map(|&pid| kernel::process_descriptors(pid));
        let limit = members.iter().find_map(|&pid| kernel::descriptor_limit(pid));
        RoleSample {
            role: self.role,
            cores: self.cores.clone(),
            quota_cores: self.quota_cores,
            cpu_ns,
            rss_anon_bytes: memory.map(|(anonymous, _)| anonymous).sum(),
            // The limit is one per process, so the process that is nearest to it counts.
            descriptors: descriptors.max().unwrap_or(0),
            descriptor_limit: limit.unwrap_or(0),
            socket_drops,
            throttled,
        }
    }
}

/// What some cores have spent with interrupts since the host started, in nanoseconds: there a kernel forwards, and
/// no process is charged with it. What other programs do on these cores is not in it.
fn interrupts_ns(ticks: &[u64], cores: &[usize]) -> u64 {
    // proc_stat(5): the fields count in hundredths of a second (USER_HZ), whatever the kernel's own tick is.
    const TICK_NS: u64 = 10_000_000;
    cores.iter().filter_map(|core| ticks.get(*core)).sum::<u64>() * TICK_NS
}

/// CPU time of a changing set of processes.
#[derive(Debug, Default)]
struct CpuSum {
    total: u64,
    last: HashMap<u32, u64>,
}

impl CpuSum {
    fn update(&mut self, reading: impl Iterator<Item = (u32, u64)>) -> u64 {
        // Only those of this reading are remembered: the number of one that has ended may come again.
        let mut last = HashMap::with_capacity(self.last.len());
        for (pid, now) in reading {
            let before = self.last.get(&pid).copied().unwrap_or(0);
            // Less than before is a new process with an old number.
            self.total += now.checked_sub(before).unwrap_or(now);
            last.insert(pid, now);
        }
        self.last = last;
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_never_falls_when_processes_end_or_numbers_come_again() {
        let mut sum = CpuSum::default();
        assert_eq!(sum.update([(1, 100), (2, 50)].into_iter()), 150);
        assert_eq!(sum.update([(1, 130)].into_iter()), 180);
        assert_eq!(sum.update([(1, 130), (2, 10)].into_iter()), 190);
        assert_eq!(sum.update([(1, 5)].into_iter()), 195);
        assert_eq!(sum.update([].into_iter()), 195);
    }

    #[test]
    fn a_kernel_is_busy_where_its_cores_are() {
        assert_eq!(interrupts_ns(&[1_000, 8, 100], &[1, 2, 9]), 108 * 10_000_000);
    }

    #[test]
    fn this_process_is_sampled_with_its_children() {
        let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
        let family = Family::Whole(std::process::id());
        assert!(family.members().contains(&child.id()));
        let mut sampler = RoleSampler::new(Role::Generator, vec![0], None, family);
        let first = sampler.sample(0, 0);
        assert!(first.cpu_ns > 0 && first.rss_anon_bytes > 0 && first.descriptors >= 3);
        assert!(first.descriptor_limit >= first.descriptors);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(sampler.sample(0, 0).cpu_ns >= first.cpu_ns);
    }
}
