//! Counters and limits as the kernel reports them: `/proc`, sysctls, resource limits.
//!
//! Reading only; what they mean for a result is decided elsewhere.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open descriptors to the hard one and returns what then holds.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        // A refusal leaves the soft limit as it was, which the next line reads.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The limit of open descriptors of a process, from `/proc/PID/limits`.
pub fn descriptor_limit(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// CPU time of a process in nanoseconds: the sum over its threads of `/proc/PID/task/*/schedstat`,
/// which counts what tick accounting of short, paced work misses. Threads that have ended are lost.
///
/// # Errors
/// `NotFound` when the process is gone.
pub fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading.
        if let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) {
            total += text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(total)
}

/// Resident memory of a process in bytes, anonymous part (`RssAnon`) and whole (`VmRSS`).
pub fn process_memory(pid: u32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    };
    Some((field("RssAnon:")?, field("VmRSS:")?))
}

/// How many descriptors a process has open.
pub fn process_descriptors(pid: u32) -> Option<u64> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64)
}

/// The processes that descend from one process, children before grandchildren, itself left out.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                found.push(child);
                parents.push(child);
            }
        }
    }
    found
}

/// Time one core has spent, in clock ticks (`/proc/stat`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreTicks {
    /// Idle, waiting for disk included.
    pub idle: u64,
    /// Taken by the hypervisor for somebody else.
    pub steal: u64,
    /// All of it, idle and steal included.
    pub total: u64,
}

/// The ticks of every core, by core number.
pub fn core_ticks() -> Vec<CoreTicks> {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stat.lines()
        .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
        .map(|line| {
            // proc_stat(5): user nice system idle iowait irq softirq steal guest guest_nice; the
            // guest columns are already part of user and nice.
            let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).filter_map(|t| t.parse().ok()).collect();
            let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
            CoreTicks { idle: at(3) + at(4), steal: at(7), total: ticks.iter().sum() }
        })
        .collect()
}

/// A sysctl as text, by its dotted name: `net.ipv4.ip_local_port_range`.
pub fn sysctl(name: &str) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?.trim().to_owned())
}

/// First and last port that `connect` chooses from (`net.ipv4.ip_local_port_range`).
pub fn local_port_range() -> (u16, u16) {
    let text = sysctl("net.ipv4.ip_local_port_range").unwrap_or_default();
    let mut ports = text.split_whitespace().filter_map(|port| port.parse().ok());
    match (ports.next(), ports.next()) {
        (Some(first), Some(last)) => (first, last),
        // The kernel's default, for a sandbox that hides the sysctl.
        _ => (32_768, 60_999),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(process_cpu_ns(pid).unwrap() > 0);
        let (anonymous, whole) = process_memory(pid).unwrap();
        assert!(0 < anonymous && anonymous <= whole);
        assert!(process_descriptors(pid).unwrap() >= 3);
        assert!(descriptor_limit(pid).unwrap() > 0);
        assert!(process_cpu_ns(u32::MAX).is_err());
    }

    #[test]
    fn every_core_has_ticks() {
        let cores = core_ticks();
        assert!(!cores.is_empty());
        assert!(cores.iter().all(|core| core.total >= core.idle));
    }

    #[test]
    fn the_port_range_is_not_empty() {
        let (first, last) = local_port_range();
        assert!(0 < first && first < last);
    }
}
