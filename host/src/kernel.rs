//! Counters and limits as the kernel reports them: `/proc`, sysctls, resource limits.
//!
//! Reading only; what they mean for a result is decided elsewhere.

use std::fs;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// Raises the soft limit of open descriptors to the hard one and returns what then holds.
pub fn raise_descriptor_limit() -> u64 {
    raise_descriptor_limit_to(u64::MAX)
}

/// Raises the soft limit of open descriptors as far as the hard one and `most` allow, and returns what
/// then holds; it never lowers it. Programs that size tables by their limit need a bound.
pub fn raise_descriptor_limit_to(most: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(most, |hard| hard.min(most));
    if limit.current.is_some_and(|current| current < wanted) {
        // `most` is no bound for us where there is none at all.
        let wanted = Some(wanted).filter(|&wanted| wanted != u64::MAX);
        // A refusal leaves the soft limit as it was, which the next line reads.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The limit of open descriptors of a process, from `/proc/PID/limits`.
pub fn descriptor_limit(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// CPU time of a process in nanoseconds: all its threads, those that have ended included. It is the
/// scheduler's own sum, which counts what tick accounting of short, paced work misses.
///
/// # Errors
/// `NotFound` when the process is gone.
pub fn process_cpu_ns(pid: u32) -> io::Result<u64> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::ErrorKind::NotFound)?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: the kernel writes one clock id into a live integer.
    if unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } != 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec into a live one; a clock whose process has ended meanwhile
    // is refused with EINVAL.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
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
    let folder = format!("/proc/{pid}/fd");
    // Since Linux 6.2 the folder's size is the number: listing 20,000 entries every second would cost
    // more than the rest of a sample. A process always has a descriptor here, so 0 means an older kernel.
    match fs::metadata(&folder).ok()?.len() {
        0 => Some(fs::read_dir(&folder).ok()?.count() as u64),
        count => Some(count),
    }
}

/// Memory of the host in bytes: what could be used without swapping, and all of it.
pub fn memory() -> (u64, u64) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
    };
    (field("MemAvailable:").unwrap_or(0), field("MemTotal:").unwrap_or(0))
}

/// The short name of a process (`/proc/PID/comm`), at most 15 bytes.
pub fn process_name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// The processes that one process started and that have not been reaped, in ascending order of thread.
pub fn children(parent: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let list = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).unwrap_or_default();
    let pids = |text: String| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>();
    tasks.flatten().map(list).flat_map(pids).collect()
}

/// The processes that descend from one process, children before grandchildren, itself left out.
pub fn descendants(root: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        let born = children(parent);
        found.extend(&born);
        parents.extend(born);
    }
    found
}

/// Most cores that are told apart.
const CORES_MAX: usize = 4096;

/// Time one core has spent, in clock ticks (`/proc/stat`).
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
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
    by_core(&stat, |ticks| {
        // proc_stat(5): user nice system idle iowait irq softirq steal guest guest_nice; the guest columns
        // are already part of user and nice.
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        CoreTicks { idle: at(3) + at(4), steal: at(7), total: ticks.iter().take(8).sum() }
    })
}

/// Something about each core in /proc/stat, by the core's number; a core that is offline has no line there and
/// gets nothing.
fn by_core<T: Clone + Default>(stat: &str, of: impl Fn(&[u64]) -> T) -> Vec<T> {
    let mut cores = Vec::new();
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        let number = words.next().and_then(|name| name.strip_prefix("cpu")?.parse::<usize>().ok());
        let Some(number) = number.filter(|number| *number < CORES_MAX) else { continue };
        if cores.len() <= number {
            cores.resize(number + 1, T::default());
        }
        cores[number] = of(&words.filter_map(|ticks| ticks.parse().ok()).collect::<Vec<u64>>());
    }
    cores
}

/// Datagrams with a wrong UDP checksum that the network namespace of the calling thread has received, IPv4 and
/// IPv6 together, since it was made (`UdpInCsumErrors`).
pub fn udp_checksum_errors() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").ok()?;
    let mut udp = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (udp.next()?, udp.next()?);
    let at = names.split(' ').position(|name| name == "InCsumErrors")?;
    let v4: u64 = values.split(' ').nth(at)?.parse().ok()?;
    // Without IPv6 there is no such file.
    let text = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap_or_default();
    let v6 = text.lines().find_map(|line| line.strip_prefix("Udp6InCsumErrors")?.trim().parse::<u64>().ok());
    Some(v4 + v6.unwrap_or(0))
}

/// The clock ticks (hundredths of a second) that every core has spent with interrupts, by core number: also with
/// packets that it received or forwarded, which no process is charged with.
pub fn interrupt_ticks() -> Vec<u64> {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    interrupts(&stat)
}

fn interrupts(stat: &str) -> Vec<u64> {
    // proc_stat(5): user nice system idle iowait irq softirq.
    by_core(stat, |ticks| ticks.iter().skip(5).take(2).sum())
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
    fn wrong_checksums_are_counted_by_namespace() {
        // Nothing has arrived in a fresh one; that of the test may have seen anything.
        assert!(udp_checksum_errors().is_some());
        match crate::namespace::Namespace::create() {
            Ok(fresh) => assert_eq!(fresh.run(udp_checksum_errors).unwrap(), Some(0)),
            Err(error) => assert!(std::env::var_os("NADARE_REQUIRE_ALL").is_none(), "no namespaces: {error}"),
        }
    }

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(process_cpu_ns(pid).unwrap() > 0);
        let (anonymous, whole) = process_memory(pid).unwrap();
        assert!(0 < anonymous && anonymous <= whole);
        assert!(process_descriptors(pid).unwrap() >= 3);
        assert!((1..=15).contains(&process_name(pid).unwrap().len()));
        let (available, total) = memory();
        assert!(0 < available && available <= total);
        assert!(descriptor_limit(pid).unwrap() > 0);
        assert!(process_cpu_ns(u32::MAX).is_err());
    }

    #[test]
    fn the_cpu_time_of_a_thread_that_has_ended_still_counts() {
        let used = std::thread::spawn(|| {
            while crate::clock::thread_cpu_ns() < 20_000_000 {}
            crate::clock::thread_cpu_ns()
        });
        let used = used.join().unwrap();
        assert!(process_cpu_ns(std::process::id()).unwrap() >= used);
    }

    #[test]
    fn the_descriptor_limit_is_raised_but_never_lowered() {
        let raised = raise_descriptor_limit();
        assert_eq!(raise_descriptor_limit_to(16), raised);
        assert_eq!(descriptor_limit(std::process::id()), Some(raised));
    }

    #[test]
    fn interrupts_are_hard_and_soft_ones_of_each_core() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 4 5 60 7 8 9 10\ncpu1 0 0 0 0 0 0 3 0 0 0\nintr 5\n";
        assert_eq!(interrupts(stat), [67, 3]);
        // A core that is offline has no line, and those after it keep their numbers.
        assert_eq!(interrupts("cpu 0\ncpu0 0 0 0 0 0 1 2\ncpu2 0 0 0 0 0 3 4\nintr 9\n"), [3, 0, 7]);
        assert_eq!(interrupt_ticks().len(), core_ticks().len());
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
