//! What is set in the namespaces besides addresses: sysctls, offloads, receive steering; and read back.
//!
//! New namespaces begin with the kernel's defaults and not with the host's settings, so what tests rely on is
//! set here. Frame tests have offloads off: with them a large packet crosses veth as one frame.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use host::interfaces::{Interfaces, Offload};
use host::namespace::Namespace;
use wire::frame::IpVersion;

use crate::scenario::plan::Forwarding;
use crate::testbed::ports::PortSysctls;

/// Sysctls that are recorded: those that are set, and those that move results and are the kernel's choice.
const RECORDED: [&str; 15] = [
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
    "net.ipv6.conf.all.forwarding",
    "net.netfilter.nf_conntrack_max",
];

/// One sysctl to set.
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// Whether results would be wrong without it.
    pub(super) needed: bool,
}

fn setting(name: &'static str, value: impl ToString, needed: bool) -> Setting {
    Setting { name, value: value.to_string(), needed }
}

/// The sysctls of every namespace of the testbed, to be set before it has interfaces, which inherit them.
pub(super) fn common(version: IpVersion) -> Vec<Setting> {
    let PortSysctls { first, last, tw_reuse, .. } = PortSysctls::OF_OWN_NAMESPACES;
    let mut settings = vec![
        setting("net.ipv4.ip_local_port_range", format!("{first} {last}"), true),
        setting("net.ipv4.tcp_tw_reuse", tw_reuse, true),
        setting("net.core.somaxconn", host::socket::BACKLOG, false),
        // Clients have addresses of many networks behind one link.
        setting("net.ipv4.conf.all.rp_filter", 0, true),
        setting("net.ipv4.conf.default.rp_filter", 0, true),
    ];
    match version {
        // Nothing but the test's own frames on the links: no router solicitations, no group reports.
        IpVersion::V4 => settings.push(setting("net.ipv6.conf.default.disable_ipv6", 1, false)),
        IpVersion::V6 => settings.extend([
            setting("net.ipv6.conf.default.accept_dad", 0, true),
            setting("net.ipv6.conf.default.accept_ra", 0, false),
            setting("net.ipv6.conf.default.router_solicitations", 0, false),
            // AnyIP: with IPv6 a socket may otherwise not have an address of a local route.
            setting("net.ipv6.ip_nonlocal_bind", 1, true),
        ]),
    }
    settings
}

/// The sysctls of a DUT that is a kernel.
pub(super) fn of_kernel(forwarding: Forwarding, version: IpVersion) -> Vec<Setting> {
    match (forwarding, version) {
        (Forwarding::Bridge, _) => Vec::new(),
        (Forwarding::Route, IpVersion::V4) => vec![setting("net.ipv4.ip_forward", 1, true)],
        (Forwarding::Route, IpVersion::V6) => vec![setting("net.ipv6.conf.all.forwarding", 1, true)],
    }
}

/// Sets sysctls where the calling thread is; returns what could not be set although it is not needed.
///
/// # Errors
/// The first needed one that could not be set, with the kernel's reason.
pub(super) fn apply(settings: &[Setting]) -> Result<Vec<String>, (&'static str, io::Error)> {
    let mut refused = Vec::new();
    for Setting { name, value, needed } in settings {
        match fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value) {
            Ok(()) => {}
            Err(error) if *needed => return Err((name, error)),
            // Without IPv6 there is nothing to switch off.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => refused.push(format!("{name} could not be set to {value} ({error})")),
        }
    }
    Ok(refused)
}

/// The sysctls as they are where the calling thread is.
pub(super) fn read() -> BTreeMap<String, String> {
    let value = |name: &&str| Some(((*name).to_owned(), host::kernel::sysctl(name)?));
    RECORDED.iter().filter_map(value).collect()
}

/// Switches the offloads of an interface off; what stays on is said by [`offloads`].
pub(super) fn without_offloads(interfaces: &Interfaces, link: &str) {
    for offload in Offload::ALL {
        // Refused for what cannot be changed: that is read back, and told where it is on.
        let _ = interfaces.set_offload(link, offload, false);
    }
}

/// The offloads of an interface as they are; what nobody can tell is left out.
pub(super) fn offloads(interfaces: &Interfaces, link: &str) -> BTreeMap<String, bool> {
    let value = |offload: Offload| Some((offload.name().to_owned(), interfaces.offload(link, offload).ok()?));
    Offload::ALL.into_iter().filter_map(value).collect()
}

/// Lets what arrives over some links be received on some cores (RPS): `link -> mask` as the kernel has it then.
///
/// # Errors
/// The kernel's reason; without privileges outside it may refuse.
pub(super) fn steer(namespace: &Namespace, links: &[(&str, &[usize])]) -> io::Result<BTreeMap<String, String>> {
    namespace.run_with_sysfs(|| {
        let mut masks = BTreeMap::new();
        for (link, cores) in links.iter().filter(|(_, cores)| !cores.is_empty()) {
            let path = format!("/sys/class/net/{link}/queues/rx-0/rps_cpus");
            fs::write(&path, mask(cores))?;
            masks.insert((*link).to_owned(), fs::read_to_string(&path)?.trim().to_owned());
        }
        Ok(masks)
    })?
}

/// A bit for each core, in hexadecimal words of 32 bits, the highest first (kernel: scaling.rst).
fn mask(cores: &[usize]) -> String {
    let words = cores.iter().max().map_or(1, |last| last / 32 + 1);
    let word =
        |at: usize| cores.iter().filter(|core| **core / 32 == at).fold(0_u32, |bits, core| bits | 1 << (core % 32));
    (0..words).rev().map(|at| format!("{:08x}", word(at))).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_a_bit_for_each_core() {
        assert_eq!(mask(&[1]), "00000002");
        assert_eq!(mask(&[0, 3, 31]), "80000009");
        assert_eq!(mask(&[0, 33, 64]), "00000001,00000002,00000001");
    }

    #[test]
    fn only_the_kernel_of_a_router_forwards() {
        let names =
            |forwarding| of_kernel(forwarding, IpVersion::V4).iter().map(|setting| setting.name).collect::<Vec<_>>();
        assert_eq!(names(Forwarding::Route), ["net.ipv4.ip_forward"]);
        assert!(names(Forwarding::Bridge).is_empty());
        assert!(common(IpVersion::V6).iter().all(|setting| setting.name != "net.ipv4.ip_forward"));
    }
}
