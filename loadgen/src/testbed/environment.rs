//! What a result must be read with: the host, its kernel and settings, and how this program was built.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

/// The sysctls that move results of TCP tests.
const SYSCTLS: [&str; 17] = [
    "kernel.pid_max",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
    "net.netfilter.nf_conntrack_max",
];

/// The host and this build, for `environment.json`. What cannot be read is left out, not guessed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Environment {
    /// Version of this program.
    pub version: String,
    /// Commit it was built from, if the build knew it (`NADARE_COMMIT`).
    pub commit: Option<String>,
    /// `dev` or `release`; both are optimised.
    pub build_profile: String,
    /// System and release of the kernel.
    pub kernel: String,
    /// Architecture.
    pub architecture: String,
    /// Model of the processor.
    pub cpu_model: Option<String>,
    /// Cores of the host.
    pub cores: usize,
    /// Cores that this process may use.
    pub cores_allowed: Vec<usize>,
    /// Frequency governor of the first core.
    pub governor: Option<String>,
    /// What the kernel tells time with.
    pub clock_source: Option<String>,
    /// Which boot of the host this is: runs of one boot share a monotonic clock.
    pub boot_id: Option<String>,
    /// What hints at a virtual machine or a container.
    pub virtualisation: Vec<String>,
    /// Memory of the host in bytes.
    pub memory_total_bytes: u64,
    /// Memory available at the time of reading in bytes.
    pub memory_available_bytes: u64,
    /// Open descriptors that this process may have.
    pub descriptor_limit: Option<u64>,
    /// Sysctls as read in the namespaces of this process.
    pub sysctls: BTreeMap<String, String>,
}

/// Reads the environment.
pub fn environment() -> Environment {
    let system = rustix::system::uname();
    let text = |value: &std::ffi::CStr| value.to_string_lossy().into_owned();
    let (memory_available_bytes, memory_total_bytes) = host::kernel::memory();
    let sysctl = |name: &&str| Some(((*name).to_owned(), host::kernel::sysctl(name)?));
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: option_env!("NADARE_COMMIT").map(str::to_owned),
        build_profile: env!("NADARE_PROFILE").to_owned(),
        kernel: format!("{} {}", text(system.sysname()), text(system.release())),
        architecture: text(system.machine()),
        cpu_model: cpu_field(&cpu, "model name").or_else(|| cpu_field(&cpu, "CPU part")),
        cores: host::kernel::core_ticks().len(),
        cores_allowed: host::cpu::allowed_cores(),
        governor: line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        clock_source: line_of("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        boot_id: line_of("/proc/sys/kernel/random/boot_id"),
        virtualisation: virtualisation(&cpu),
        memory_total_bytes,
        memory_available_bytes,
        descriptor_limit: host::kernel::descriptor_limit(std::process::id()),
        sysctls: SYSCTLS.iter().filter_map(sysctl).collect(),
    }
}

fn line_of(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn cpu_field(cpu: &str, name: &str) -> Option<String> {
    let line = cpu.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn virtualisation(cpu: &str) -> Vec<String> {
    let mut hints = Vec::new();
    if cpu_field(cpu, "flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")) {
        hints.push("the processor reports a hypervisor".to_owned());
    }
    hints.extend(line_of("/sys/hypervisor/type").map(|kind| format!("hypervisor {kind}")));
    for name in ["sys_vendor", "product_name"] {
        hints.extend(line_of(&format!("/sys/class/dmi/id/{name}")).map(|value| format!("{name} {value}")));
    }
    let containers = ["/.dockerenv", "/run/.containerenv"].into_iter().filter(|path| fs::exists(path).unwrap_or(false));
    hints.extend(containers.map(|path| format!("container: {path} exists")));
    hints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_this_host_survives_the_way_through_json() {
        let environment = environment();
        assert!(environment.kernel.starts_with("Linux "), "{environment:?}");
        assert!(environment.cores >= environment.cores_allowed.len() && environment.memory_total_bytes > 0);
        assert!(environment.sysctls.contains_key("net.ipv4.ip_local_port_range"));
        let text = serde_json::to_string(&environment).unwrap();
        assert_eq!(serde_json::from_str::<Environment>(&text).unwrap(), environment);
    }

    #[test]
    fn a_hypervisor_is_read_from_the_processors_flags() {
        let cpu = "model name\t: Fast CPU\nflags\t\t: fpu hypervisor lm\n";
        assert_eq!(cpu_field(cpu, "model name").unwrap(), "Fast CPU");
        assert!(virtualisation(cpu)[0].contains("hypervisor"));
    }
}
