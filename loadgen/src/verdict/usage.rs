//! What processors and descriptors did during the measured part of a trial, from its samples.
//!
//! Shares come from counters: CPU clocks of processes and idle time of cores, between the first and
//! last sample inside sustain. A trial too short to have two samples there is judged as a whole.

use crate::measure::{Role, Sample, TrialRecord};

/// Shortest stretch inside sustain that is worth a share.
const SHORTEST_NS: u64 = 500_000_000;

/// The testbed during one trial.
#[derive(Clone, Debug)]
pub(super) struct Usage {
    roles: Vec<RoleUsage>,
    cores: Vec<CoreUsage>,
    links: Vec<LinkUsage>,
}

/// One role during one trial.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RoleUsage {
    pub(super) role: Role,
    /// Cores it is placed on.
    pub(super) cores: Vec<usize>,
    /// CPU time per time: 1 is one core, fully used.
    pub(super) used: f64,
    pub(super) quota_cores: Option<f64>,
    /// How often its quota stopped it in the whole trial.
    pub(super) throttled: u64,
    /// What its own sockets dropped in the whole trial.
    pub(super) drops: u64,
    pub(super) descriptors_peak: u64,
    pub(super) descriptor_limit: u64,
}

/// One interface during one trial.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LinkUsage {
    pub(super) name: String,
    pub(super) speed_bps: Option<u64>,
    /// Bits per second of the busier direction.
    pub(super) used_bps: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct CoreUsage {
    busy: f64,
    steal: f64,
}

impl Usage {
    /// `None` without two samples to compare.
    pub(super) fn of(trial: &TrialRecord) -> Option<Self> {
        let (first, last) = window(trial)?;
        let whole_first = trial.samples.first()?;
        let whole_last = trial.samples.last()?;
        let elapsed = (last.at_ns - first.at_ns) as f64;
        let role = |after: &crate::measure::RoleSample| {
            let before = first.role(after.role)?;
            let (began, ended) = (whole_first.role(after.role)?, whole_last.role(after.role)?);
            let of_role = trial.samples.iter().filter_map(|sample| sample.role(after.role));
            Some(RoleUsage {
                role: after.role,
                cores: after.cores.clone(),
                used: after.cpu_ns.saturating_sub(before.cpu_ns) as f64 / elapsed,
                quota_cores: after.quota_cores,
                throttled: ended.throttled.saturating_sub(began.throttled),
                drops: ended.socket_drops.saturating_sub(began.socket_drops),
                descriptors_peak: of_role.map(|sample| sample.descriptors).max().unwrap_or(0),
                descriptor_limit: after.descriptor_limit,
            })
        };
        let core = |(before, after): (&host::kernel::CoreTicks, &host::kernel::CoreTicks)| {
            let total = after.total.saturating_sub(before.total).max(1) as f64;
            let share = |ticks: u64| (ticks as f64 / total).clamp(0.0, 1.0);
            let idle = after.idle.saturating_sub(before.idle);
            // A core whose counters stand still shows nothing, least of all that it is busy.
            let busy = if after.total > before.total { 1.0 - share(idle) } else { 0.0 };
            CoreUsage { busy, steal: share(after.steal.saturating_sub(before.steal)) }
        };
        Some(Self {
            roles: last.roles.iter().filter_map(role).collect(),
            cores: first.cores.iter().zip(&last.cores).map(core).collect(),
            links: links(first, last),
        })
    }

    pub(super) fn links(&self) -> &[LinkUsage] {
        &self.links
    }

    pub(super) fn roles(&self) -> &[RoleUsage] {
        &self.roles
    }

    pub(super) fn role(&self, role: Role) -> Option<&RoleUsage> {
        self.roles.iter().find(|usage| usage.role == role)
    }

    /// Generator and reflectors: everything but the DUT.
    pub(super) fn testers(&self) -> impl Iterator<Item = &RoleUsage> {
        self.roles.iter().filter(|usage| usage.role != Role::Dut)
    }

    /// Cores that all reflectors together use.
    pub(super) fn reflectors_used(&self) -> f64 {
        let reflectors = self.roles.iter().filter(|usage| matches!(usage.role, Role::Reflector(_)));
        reflectors.map(|usage| usage.used).sum()
    }

    pub(super) fn generator_used(&self) -> f64 {
        self.role(Role::Generator).map_or(0.0, |usage| usage.used)
    }

    /// The busiest of some cores, and how busy it is, 0 to 1.
    pub(super) fn busiest(&self, cores: impl IntoIterator<Item = usize>) -> Option<(usize, f64)> {
        let busy = |core: usize| Some((core, self.cores.get(core)?.busy));
        cores.into_iter().filter_map(busy).max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The largest share that the hypervisor took of any core in use.
    pub(super) fn steal(&self) -> f64 {
        let used = |core: &usize| self.roles.is_empty() || self.roles.iter().any(|usage| usage.cores.contains(core));
        let cores = self.cores.iter().enumerate().filter(|(core, _)| used(core));
        cores.map(|(_, core)| core.steal).fold(0.0, f64::max)
    }

    /// Number of cores of the host.
    pub(super) fn host_cores(&self) -> usize {
        self.cores.len().max(1)
    }
}

impl RoleUsage {
    /// Share of what the role may use, 0 to 1: of its quota, or of its cores. `threads` bounds it,
    /// because a single-threaded program is at its limit with one core of four.
    pub(super) fn busy(&self, host_cores: usize, threads: Option<usize>) -> f64 {
        let placed = if self.cores.is_empty() { host_cores } else { self.cores.len() };
        let cores = placed.min(threads.unwrap_or(placed)).max(1) as f64;
        self.used / self.quota_cores.map_or(cores, |quota| quota.min(cores)).max(f64::MIN_POSITIVE)
    }
}

fn links(first: &Sample, last: &Sample) -> Vec<LinkUsage> {
    let seconds = (last.at_ns - first.at_ns) as f64 / 1e9;
    let pairs = last.links.iter().filter_map(|after| {
        let before = first.links.iter().find(|before| before.name == after.name)?;
        let received = after.bits.received.saturating_sub(before.bits.received);
        let sent = after.bits.sent.saturating_sub(before.bits.sent);
        let used_bps = received.max(sent) as f64 / seconds;
        Some(LinkUsage { name: after.name.clone(), speed_bps: after.speed_bps, used_bps })
    });
    pairs.collect()
}

/// Cores that the DUT used during a trial; `None` without two samples to compare, or if it is not seen.
pub fn dut_cores(trial: &TrialRecord) -> Option<f64> {
    Some(Usage::of(trial)?.role(Role::Dut)?.used)
}

/// The samples between which shares are taken.
fn window(trial: &TrialRecord) -> Option<(&Sample, &Sample)> {
    let begin = trial.began_ns + trial.ramp_up.as_nanos() as u64;
    let end = begin + trial.sustain.as_nanos() as u64;
    let mut inside = trial.samples.iter().filter(|sample| (begin..=end).contains(&sample.at_ns));
    let first = inside.next();
    let pair = first.zip(inside.next_back());
    let pair = pair.filter(|(first, last)| last.at_ns - first.at_ns >= SHORTEST_NS);
    pair.or_else(|| trial.samples.first().zip(trial.samples.last())).filter(|(first, last)| last.at_ns > first.at_ns)
}
