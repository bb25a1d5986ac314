//! What this host can reach with a scenario, by what limits it, and the one change that raises it most.
//!
//! Pure: facts of the host and a short calibration without the DUT come in. Each limit is an upper bound
//! of its own; the lowest binds, and only a remedy against that one raises the ceiling, at most to the
//! next. CPU by the utilisation law: cores over the CPU time of one operation. It leaves out what the DUT
//! itself can carry; a run finds that.

use std::num::NonZeroU32;

use crate::scenario::Plan;
use crate::scenario::plan::{DutKind, StartLoad, Unit};
use crate::testbed::Placement;
use crate::testbed::ports::{PortSysctls, plan_ports};

/// Descriptors that a program keeps for files and control channels.
const RESERVED: u64 = 64;
/// Descriptors that a remedy asks for.
const DESCRIPTORS_WANTED: u64 = 65_536;
/// By how much a remedy raises the slots of a plan.
const TWICE: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);
/// Memory of one held connection on a host that has all of its four ends: kernel sockets, buffers of the
/// proxy, slots. An estimate on the safe side.
const BYTES_PER_CONNECTION: u64 = 24 << 10;
/// Share of the available memory that connections may take.
const MEMORY_SHARE: f64 = 0.7;
/// Share of what the CPU allows below which a calibration was bound by something else.
const CPU_BOUND_SHARE: f64 = 0.5;
/// Operations at once of the calibration, per worker.
const CALIBRATED_AT_ONCE: f64 = 64.0;

/// What a short closed loop straight to the reflectors showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibration {
    /// Operations per second, in the unit of the load.
    pub per_second: f64,
    /// CPU time of the generator for one operation in microseconds.
    pub generator_us: f64,
    /// CPU time of the reflectors for one operation in microseconds.
    pub reflectors_us: f64,
}

/// What was read of the host.
#[derive(Clone, Debug)]
pub(super) struct HostFacts {
    pub(super) allowed: Vec<usize>,
    pub(super) ports: PortSysctls,
    /// Open descriptors that a process may have.
    pub(super) descriptors: u64,
    pub(super) memory_bytes: u64,
}

/// One upper bound of the load.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Limit {
    /// What runs out.
    pub(super) what: &'static str,
    /// The bound, in the unit of the load.
    pub(super) most: f64,
    /// How it comes about.
    pub(super) why: String,
    /// What raises it.
    pub(super) remedy: String,
    /// The bound after that.
    pub(super) after: f64,
}

/// All limits that can be told, the binding one first.
pub(super) fn predict(plan: &Plan, host: &HostFacts, calibration: Option<Calibration>) -> Vec<Limit> {
    let mut limits = Vec::new();
    if let Some(calibration) = calibration.filter(|_| plan.load.unit != Unit::Connections) {
        limits.extend(processors(plan, host, calibration));
        limits.extend(measured(&limits, calibration));
    }
    limits.extend(link(plan));
    limits.extend(ports(plan, host));
    limits.extend(descriptors(plan, host, calibration));
    limits.extend(memory(plan, host));
    limits.sort_by(|a, b| a.most.total_cmp(&b.most));
    limits
}

/// The ceiling after the remedy against the binding limit: its own new bound, or the next limit.
pub(super) fn after_the_change(limits: &[Limit]) -> Option<(&Limit, f64, Option<&Limit>)> {
    let first = limits.first()?;
    let next = limits.get(1).filter(|next| next.most < first.after);
    Some((first, next.map_or(first.after, |next| next.most), next))
}

/// The load that the scenario names itself, and that the host has to reach.
pub(super) fn asked(plan: &Plan) -> Option<f64> {
    let stated = plan.load.rate.map(wire::units::Rate::as_f64);
    let stated = stated.or_else(|| plan.load.count.map(|count| f64::from(count.get())));
    match plan.search.maximum().map(|maximum| maximum.start) {
        Some(StartLoad::Absolute(load)) => Some(load),
        Some(StartLoad::OfCeiling(_)) => None,
        None => stated,
    }
}

/// Bounds of generator and reflectors on some cores; one for both where they share them.
fn cpu(plan: &Plan, allowed: &[usize], calibration: Calibration) -> Vec<(&'static str, f64, String)> {
    let Ok(placement) = Placement::choose(allowed, &plan.testbed) else { return Vec::new() };
    let Calibration { generator_us, reflectors_us, .. } = calibration;
    let (generator, reflectors) = (placement.generator.len() as f64, placement.reflectors.len());
    let rate = |cores: f64, cost: f64| cores * 1e6 / cost.max(f64::MIN_POSITIVE);
    if placement.generator.iter().any(|core| placement.reflectors.contains(core)) {
        let why = format!(
            "{generator} core(s) shared; one operation takes {generator_us:.1} µs of the generator and \
             {reflectors_us:.1} µs of the reflectors"
        );
        return vec![("CPU of generator and reflectors", rate(generator, generator_us + reflectors_us), why)];
    }
    let why = format!("{generator} core(s), {generator_us:.1} µs for one operation");
    let mut bounds = vec![("CPU of the generator", rate(generator, generator_us), why)];
    let used = reflectors.min(plan.testbed.reflectors as usize) as f64;
    if used > 0.0 && reflectors_us > 0.0 {
        let why = format!("{used} core(s), {reflectors_us:.1} µs for one operation");
        bounds.push(("CPU of the reflectors", rate(used, reflectors_us), why));
    }
    bounds
}

fn processors(plan: &Plan, host: &HostFacts, calibration: Calibration) -> Vec<Limit> {
    let mut more = host.allowed.clone();
    more.push(host.allowed.iter().max().map_or(0, |core| core + 1));
    let with_more = cpu(plan, &more, calibration);
    let lowest_with_more = with_more.iter().map(|(_, most, _)| *most).fold(f64::INFINITY, f64::min);
    let limits = cpu(plan, &host.allowed, calibration).into_iter().map(|(what, most, why)| {
        let same = with_more.iter().find(|(other, ..)| *other == what).map(|(_, most, _)| *most);
        // Roles that shared a core and then do not are bounded by the narrower of both.
        let after = same.unwrap_or(lowest_with_more).max(most);
        let cores = host.allowed.len();
        let remedy = if after > most {
            format!("a host with {} cores instead of {cores}", cores + 1)
        } else {
            "other cores: generator_cores and dut.cores of the plan leave a new one unused".to_owned()
        };
        Limit { what, most, why, remedy, after }
    });
    limits.collect()
}

/// What was measured, where the processors could have done far more: something binds that no fact of the
/// host tells, such as a delay or a cap of the reflectors.
fn measured(processors: &[Limit], calibration: Calibration) -> Option<Limit> {
    let by_cpu = processors.iter().map(|limit| limit.most).reduce(f64::min)?;
    let most = calibration.per_second;
    let why = format!("measured without the DUT, while the CPU would have sufficed for {by_cpu:.0}");
    let remedy = "reflectors without a cap or delay (testbed.reflectors, their own options)".to_owned();
    (most < by_cpu * CPU_BOUND_SHARE).then_some(Limit { what: "the reflectors", most, why, remedy, after: by_cpu })
}

/// What links of a declared speed carry.
fn link(plan: &Plan) -> Option<Limit> {
    let most = crate::verdict::frames::theoretical_fps(plan)?;
    let why = "the speed that testbed.links declares, preamble and gaps included".to_owned();
    let remedy = "twice the speed (testbed.links.speed)".to_owned();
    Some(Limit { what: "the declared links", most, why, remedy, after: 2.0 * most })
}

fn ports(plan: &Plan, host: &HostFacts) -> Option<Limit> {
    // A plan that names more than there is has been refused with the arithmetic.
    let budget = plan_ports(plan, host.ports).ok()?;
    let per_connection = plan.workload.requests_per_connection.map_or(f64::INFINITY, |count| f64::from(count.get()));
    let most = match plan.load.unit {
        Unit::ConnectionsPerSecond => budget.rate_max,
        Unit::TransactionsPerSecond => budget.rate_max * per_connection,
        Unit::Connections => budget.tuples as f64,
        Unit::Transactions | Unit::FramesPerSecond => return None,
    };
    let slow = budget.hold_s > 1.0;
    let (remedy, factor) = match (plan.load.unit, slow) {
        (Unit::Connections, _) | (_, false) => ("twice as many client addresses (clients.source_networks)", 2.0),
        (_, true) => ("net.ipv4.tcp_tw_reuse = 1", budget.hold_s),
    };
    let why = format!("{} addresses and ports, each held for {} s after its connection", budget.tuples, budget.hold_s);
    most.is_finite().then(|| Limit { what: "ports", most, why, remedy: remedy.to_owned(), after: most * factor })
}

/// What descriptors allow: connections held by the narrowest role, or a rate by the slots they leave. Where
/// the plan itself asks for fewer slots, those are the limit, and more descriptors change nothing.
fn descriptors(plan: &Plan, host: &HostFacts, calibration: Option<Calibration>) -> Option<Limit> {
    if plan.load.unit == Unit::FramesPerSecond {
        // Each stream has one descriptor, however many frames are under way.
        return None;
    }
    let (slots, workers) = (plan.load.slots, generator_workers(plan, host));
    let are_enough = u64::from(slots.get()) * workers <= host.descriptors.saturating_sub(RESERVED);
    if plan.load.unit != Unit::Connections && are_enough {
        let (most, why) = descriptors_allow(plan, host, calibration, host.descriptors)?;
        let mut wider = plan.clone();
        wider.load.slots = slots.saturating_mul(TWICE);
        let (after, _) = descriptors_allow(&wider, host, calibration, host.descriptors)?;
        let remedy = format!("load.slots = {} instead of {slots}", wider.load.slots);
        return Some(Limit { what: "load.slots", most, why, remedy, after });
    }
    let wanted = DESCRIPTORS_WANTED.max(host.descriptors.saturating_mul(4));
    let (most, why) = descriptors_allow(plan, host, calibration, host.descriptors)?;
    let (after, _) = descriptors_allow(plan, host, calibration, wanted)?;
    let remedy = format!("{wanted} descriptors instead of {} (ulimit -Hn, LimitNOFILE=)", host.descriptors);
    Some(Limit { what: "descriptors", most, why, remedy, after })
}

fn descriptors_allow(
    plan: &Plan,
    host: &HostFacts,
    calibration: Option<Calibration>,
    limit: u64,
) -> Option<(f64, String)> {
    let left = limit.saturating_sub(RESERVED);
    if plan.load.unit == Unit::Connections {
        let proxied = matches!(plan.testbed.dut.kind, DutKind::Reference { .. } | DutKind::Command { .. });
        // A proxy has two for each connection, the one to the real server included.
        let most = if proxied { left / 2 } else { left };
        let of = if proxied { "two in the DUT for each connection" } else { "one in the generator for each" };
        return Some((most as f64, format!("{limit} per process, {RESERVED} in reserve, {of}")));
    }
    let calibration = calibration?;
    let workers = generator_workers(plan, host);
    let slots = left.min(u64::from(plan.load.slots.get()).saturating_mul(workers));
    let at_once = CALIBRATED_AT_ONCE * workers as f64;
    let why = format!("{slots} operations at once, as long as one takes without the DUT under {at_once:.0}");
    Some((slots as f64 * calibration.per_second / at_once, why))
}

fn generator_workers(plan: &Plan, host: &HostFacts) -> u64 {
    Placement::choose(&host.allowed, &plan.testbed).map_or(1, |placement| placement.generator.len().max(1) as u64)
}

fn memory(plan: &Plan, host: &HostFacts) -> Option<Limit> {
    if plan.load.unit != Unit::Connections {
        return None;
    }
    let most = connections_in(host.memory_bytes) as f64;
    let (mib, each) = (host.memory_bytes >> 20, BYTES_PER_CONNECTION >> 10);
    let why = format!("{mib} MiB available, about {each} KiB for each connection and all its ends");
    let remedy = "twice the memory, or the DUT on another host".to_owned();
    Some(Limit { what: "memory", most, why, remedy, after: most * 2.0 })
}

/// How many held connections, with all their ends, so much available memory has room for.
pub fn connections_in(memory_bytes: u64) -> u64 {
    (memory_bytes as f64 * MEMORY_SHARE / BYTES_PER_CONNECTION as f64) as u64
}

#[cfg(test)]
mod tests;
