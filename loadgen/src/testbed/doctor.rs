//! What this host can generate, and what would have to change for more.
//!
//! [`doctor`] reads the host; the judgement is pure. It changes nothing but the soft descriptor limit of
//! this process. What a plan cannot do without is found again, and refused, when the run starts.

mod ceiling;
mod programs;

use std::collections::BTreeMap;
use std::path::Path;

use host::uring::{Support, Unavailable};

use super::environment::{Environment, environment};
use super::ports::{PortDemand, PortSysctls, dut_side_warning, plan_ports, port_budget};
use super::{Placement, cgroup, dut};
use crate::scenario::Plan;
use crate::scenario::plan::{DutKind, Unit, WorkloadKind};

pub use ceiling::{Calibration, connections_in};
pub use programs::DutFile;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// As it should be.
    Good,
    /// Results are lower or less certain than they could be.
    Advice,
    /// Something cannot be run at all.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How serious it is.
    pub level: Level,
    /// What was looked at, in one or two words.
    pub subject: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it; empty if it is good.
    pub advice: String,
}

/// Looks at this host, and at what a plan and DUT files need of it; with a plan, predicts its ceiling here.
pub fn doctor(plan: Option<&Plan>, files: &[DutFile], calibration: Option<Calibration>) -> Vec<Finding> {
    let facts = Facts {
        environment: environment(),
        ports: plan.map_or_else(PortSysctls::read, |plan| PortSysctls::of(plan.testbed.network)),
        hard_descriptor_limit: host::kernel::raise_descriptor_limit(),
        quota_folder: cgroup::writable_parent(),
        programs: programs::look(files),
        ring: host::uring::probe(),
        namespaces: super::netns::possible(),
    };
    let mut findings = judge(&facts, files);
    if let Some(plan) = plan {
        findings.extend(judge_plan(plan, &facts));
        findings.extend(judge_ceiling(plan, &facts, calibration));
    }
    findings
}

/// What was read of the host.
struct Facts {
    environment: Environment,
    ports: PortSysctls,
    hard_descriptor_limit: u64,
    /// Where a CPU quota can be set, if it can.
    quota_folder: Result<String, String>,
    /// Installed programs by name.
    programs: BTreeMap<String, programs::Program>,
    /// What io_uring can do.
    ring: Result<Support, Unavailable>,
    /// How network namespaces can be made, if they can.
    namespaces: Result<&'static str, String>,
}

fn good(subject: &'static str, found: String) -> Finding {
    Finding { level: Level::Good, subject, found, advice: String::new() }
}

fn advice(subject: &'static str, found: String, advice: &str) -> Finding {
    Finding { level: Level::Advice, subject, found, advice: advice.to_owned() }
}

fn problem(subject: &'static str, found: String, advice: &str) -> Finding {
    Finding { level: Level::Problem, subject, found, advice: advice.to_owned() }
}

fn judge(facts: &Facts, files: &[DutFile]) -> Vec<Finding> {
    let environment = &facts.environment;
    let mut findings = vec![
        cores(environment.cores_allowed.len()),
        descriptors(facts.hard_descriptor_limit),
        ports(facts.ports),
        listen_queue(environment),
        memory(environment.memory_available_bytes),
        governor(environment.governor.as_deref()),
        quota(&facts.quota_folder),
        ring(&facts.ring),
        namespaces(&facts.namespaces),
    ];
    findings.extend(programs::judge(&facts.programs, files));
    if let Some(clock) = &environment.clock_source
        && !["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"].contains(&clock.as_str())
    {
        findings.push(advice("clock", clock.clone(), "reading this clock is slow; prefer tsc where it is stable"));
    }
    if let Some(limit) = environment.sysctls.get("net.netfilter.nf_conntrack_max") {
        let text = format!("connection tracking is loaded, at most {limit} connections");
        findings.push(advice(
            "conntrack",
            text,
            "exempt the test traffic (NOTRACK): it costs CPU time and has a limit",
        ));
    }
    if !environment.virtualisation.is_empty() {
        let text = environment.virtualisation.join("; ");
        findings.push(advice("machine", text, "neighbours may take CPU time: look at the steal in the report"));
    }
    findings
}

fn cores(count: usize) -> Finding {
    match count {
        1 => {
            advice("cores", "1".to_owned(), "generator and DUT share it; figures are far below what the DUT can carry")
        }
        2 => advice(
            "cores",
            "2".to_owned(),
            "the generator side often saturates first: set dut.cpu_quota, or use more cores",
        ),
        _ => good("cores", count.to_string()),
    }
}

fn descriptors(limit: u64) -> Finding {
    let found = format!("{limit} per process");
    match limit {
        0..1_024 => problem("descriptors", found, "raise it: ulimit -Hn 65536, or LimitNOFILE= of the service"),
        1_024..65_536 => advice(
            "descriptors",
            found,
            "bounds the connections held at once; raise it with ulimit -Hn or LimitNOFILE=",
        ),
        _ => good("descriptors", found),
    }
}

fn ports(sysctls: PortSysctls) -> Finding {
    let rate = |loopback| {
        let demand = PortDemand {
            connections_per_second: 0.0,
            at_once: 0,
            keeps_tuple: true,
            sources: 1,
            destinations: 1,
            loopback,
        };
        port_budget(&demand, sysctls).map_or(0.0, |budget| budget.rate_max)
    };
    let PortSysctls { first, last, tw_reuse, .. } = sysctls;
    let found = format!(
        "{first}-{last}, tcp_tw_reuse {tw_reuse}: per source address and destination at most {:.0} connections/s on \
         loopback, {:.0} elsewhere",
        rate(true),
        rate(false)
    );
    if rate(false) < 10_000.0 {
        return advice("ports", found, "for more: clients.source_networks, or net.ipv4.tcp_tw_reuse = 1");
    }
    good("ports", found)
}

fn listen_queue(environment: &Environment) -> Finding {
    let length = environment.sysctls.get("net.core.somaxconn").cloned().unwrap_or_else(|| "unknown".to_owned());
    if length.parse::<u64>().is_ok_and(|length| length < host::socket::BACKLOG as u64) {
        return advice("listen queue", length, "bursts are dropped early; set net.core.somaxconn = 4096");
    }
    good("listen queue", length)
}

fn memory(available: u64) -> Finding {
    let found = format!("{} MiB available", available >> 20);
    if available < 1 << 30 {
        return advice("memory", found, "many connections need more: free some, or hold fewer");
    }
    good("memory", found)
}

fn governor(governor: Option<&str>) -> Finding {
    match governor {
        Some("performance") => good("governor", "performance".to_owned()),
        Some(other) => {
            advice("governor", other.to_owned(), "the clock follows the load; set it to performance for steady figures")
        }
        None => good("governor", "not visible here".to_owned()),
    }
}

fn quota(folder: &Result<String, String>) -> Finding {
    match folder {
        Ok(folder) => good("cpu quota", format!("can be set below {folder}")),
        Err(reason) => advice("cpu quota", reason.clone(), "dut.cpu_quota needs root, or a delegated cpu controller"),
    }
}

fn ring(ring: &Result<Support, Unavailable>) -> Finding {
    match ring.as_ref().map(|support| &support.direct) {
        Ok(Ok(())) => good("io_uring", "can be used, with direct descriptors".to_owned()),
        Ok(Err(reason)) => good("io_uring", format!("can be used, with normal descriptors only: {reason}")),
        Err(reason) => advice("io_uring", reason.to_string(), "--engine uring would run over epoll, the default"),
    }
}

fn namespaces(possible: &Result<&'static str, String>) -> Finding {
    match possible {
        Ok(how) => good("namespaces", format!("can be made, {how}")),
        Err(why) => advice("namespaces", why.clone(), "network = \"netns\" does not work here until this is changed"),
    }
}

fn judge_plan(plan: &Plan, facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    match plan_ports(plan, facts.ports) {
        Ok(budget) if budget.rate_max.is_finite() => {
            findings.push(good("plan: ports", format!("enough for {:.0} connections/s", budget.rate_max)));
        }
        Ok(budget) => findings.push(good("plan: ports", format!("{} tuples, none held", budget.tuples))),
        Err(error) => findings.push(problem("plan: ports", error, "change the plan as said")),
    }
    findings.extend(
        dut_side_warning(plan, facts.ports).map(|text| advice("plan: ports", text, "raise testbed.reflectors")),
    );
    findings.extend(plan_descriptors(plan, facts.hard_descriptor_limit));
    match Placement::choose(&facts.environment.cores_allowed, &plan.testbed) {
        Ok(placement) => {
            let Placement { generator, dut, reflectors, warnings } = placement;
            let text = format!("generator {generator:?}, DUT {dut:?}, reflectors {reflectors:?}");
            findings.push(good("plan: cores", text));
            let hint = "use a host with more cores, or set cores in the plan";
            findings.extend(warnings.into_iter().map(|warning| advice("plan: cores", warning, hint)));
        }
        Err(error) => findings.push(problem("plan: cores", error.to_string(), "correct the plan")),
    }
    if let (Some(_), Err(reason)) = (plan.testbed.dut.cpu_quota, &facts.quota_folder) {
        findings.push(problem("plan: cpu quota", reason.clone(), "run as root, or leave dut.cpu_quota out"));
    }
    if let DutKind::Command { start, package, .. } = &plan.testbed.dut.kind {
        let name = start.first().map_or("", String::as_str);
        findings.push(match dut::find_program(name) {
            Some(path) => good("plan: DUT", path.display().to_string()),
            None => {
                let hint =
                    package.as_ref().map_or_else(|| "install it".to_owned(), |name| format!("apt install {name}"));
                problem("plan: DUT", format!("{name} is not installed"), &hint)
            }
        });
    }
    findings
}

/// The predicted ceiling with every limit, the binding one first, and the one change that raises it most.
fn judge_ceiling(plan: &Plan, facts: &Facts, calibration: Option<Calibration>) -> Vec<Finding> {
    let host = ceiling::HostFacts {
        allowed: facts.environment.cores_allowed.clone(),
        ports: facts.ports,
        descriptors: facts.hard_descriptor_limit,
        memory_bytes: facts.environment.memory_available_bytes,
    };
    let limits = ceiling::predict(plan, &host, calibration);
    let unit = plan.load.unit.name();
    let Some((first, after, next)) = ceiling::after_the_change(&limits) else {
        return vec![advice(
            "ceiling",
            "nothing is known that limits this plan".to_owned(),
            "calibrate: without --no-probe",
        )];
    };
    let of = if plan.load.unit == Unit::Connections { "" } else { " without the DUT" };
    let found = format!("about {:.0} {unit}{of}, bound by {}", first.most, first.what);
    let then = next.map(|next| format!(", then bound by {}", next.what)).unwrap_or_default();
    let change = format!("the one change that raises it most: {}: about {after:.0} {unit}{then}", first.remedy);
    let mut findings = vec![match ceiling::asked(plan).filter(|asked| *asked > first.most) {
        Some(asked) => problem("ceiling", format!("{found}, but the scenario asks for {asked:.0}"), &change),
        None => Finding { level: Level::Good, subject: "ceiling", found, advice: change },
    }];
    let line = |limit: &ceiling::Limit| format!("{} {:.0} {unit}: {}", limit.what, limit.most, limit.why);
    findings.extend(limits.iter().map(|limit| good("limit", line(limit))));
    if calibration.is_none() && plan.load.unit != Unit::Connections {
        let hint = "run without --no-probe, with reflectors in the plan";
        findings.push(advice("limit", "CPU: not measured, the ceiling may be lower".to_owned(), hint));
    }
    findings
}

/// Held connections and streams cost the generator one descriptor each, and a proxying DUT two.
fn plan_descriptors(plan: &Plan, limit: u64) -> Option<Finding> {
    let (count, what) = match &plan.workload.kind {
        WorkloadKind::Udp(udp) => (u64::from(udp.streams.get()), "streams"),
        _ => (u64::from(plan.load.count.filter(|_| plan.load.unit == Unit::Connections)?.get()), "connections"),
    };
    let is_direct = matches!(plan.testbed.dut.kind, DutKind::None);
    let needed = count * if is_direct { 1 } else { 2 };
    let found = format!("{count} {what} need up to {needed} descriptors in one process, the limit is {limit}");
    Some(match needed < limit {
        true => good("plan: descriptors", found),
        false => advice("plan: descriptors", found, "the figure will be limited by the host; raise the limit"),
    })
}

/// Whether a folder may be written, without writing.
pub(super) fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let environment =
            Environment { cores_allowed: vec![0, 1, 2, 3], memory_available_bytes: 8 << 30, ..Environment::default() };
        Facts {
            environment,
            ports: PortSysctls { first: 1_024, last: 65_535, tw_reuse: 1, timestamps: true },
            hard_descriptor_limit: 1 << 20,
            quota_folder: Ok("/sys/fs/cgroup".to_owned()),
            programs: BTreeMap::from([("haproxy".to_owned(), programs::Program::default())]),
            ring: Ok(Support { direct: Ok(()) }),
            namespaces: Ok("as root"),
        }
    }

    #[test]
    fn a_good_host_needs_no_advice() {
        let findings = judge(&facts(), &[]);
        assert!(
            findings.iter().all(|finding| finding.level == Level::Good && finding.advice.is_empty()),
            "{findings:?}"
        );
    }

    #[test]
    fn what_is_missing_comes_with_advice() {
        let mut facts = facts();
        facts.hard_descriptor_limit = 256;
        facts.environment.cores_allowed = vec![0];
        facts.environment.governor = Some("powersave".to_owned());
        facts.ports.tw_reuse = 0;
        facts.quota_folder = Err("not mounted".to_owned());
        facts.ring = Err(Unavailable::because("blocked"));
        facts.namespaces = Err("no ip".to_owned());
        let findings = judge(&facts, &[]);
        let level = |subject| findings.iter().find(|finding| finding.subject == subject).unwrap().level;
        assert_eq!(level("descriptors"), Level::Problem);
        for subject in ["cores", "governor", "ports", "cpu quota", "io_uring", "namespaces"] {
            assert_eq!(level(subject), Level::Advice, "{subject}");
        }
        assert!(findings.iter().all(|finding| finding.advice.is_empty() == (finding.level == Level::Good)));
    }

    #[test]
    fn this_host_can_be_looked_at() {
        assert!(doctor(None, &[], None).iter().any(|finding| finding.subject == "ports"));
    }
}
