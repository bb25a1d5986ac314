//! What this host lets a plan do: slots by descriptors, local addresses and ports, highest load.

use std::net::IpAddr;

use crate::engine::Carrier;
use crate::engine::sources::{Sources, expand};
use crate::measure::record::TrialLoad;
use crate::scenario::Plan;
use crate::scenario::plan::{Unit, WorkloadKind};
use crate::testbed::doctor::connections_in;
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
pub fn slots(plan: &Plan, load: TrialLoad, workers: u32, carrier: &Carrier) -> Result<Slots, String> {
    let (slots, descriptors) = (plan.load.slots.get(), Descriptors::read(carrier));
    match &plan.workload.kind {
        WorkloadKind::Udp(udp) => streams_within(udp.streams.get(), slots, descriptors),
        WorkloadKind::Tcp | WorkloadKind::Http(_) => slots_within(slots, load, workers, descriptors),
    }
}

/// Descriptors of this process.
#[derive(Clone, Copy, Debug)]
struct Descriptors {
    limit: u64,
    used: u64,
    /// Whether connections on their way out, of which no slot knows any more, still hold theirs.
    lingers: bool,
}

impl Descriptors {
    fn read(carrier: &Carrier) -> Self {
        let limit = host::kernel::raise_descriptor_limit();
        let used = host::kernel::process_descriptors(std::process::id()).unwrap_or(0);
        Self { limit, used, lingers: matches!(carrier, Carrier::Uring(_)) }
    }

    /// How many connections may use.
    fn left(self) -> u64 {
        self.limit.saturating_sub(self.used + RESERVED_DESCRIPTORS)
    }

    /// How many connections each of so many workers may have.
    fn of_each(self, workers: u64) -> u64 {
        let share = self.left() / workers;
        if self.lingers { host::uring::connections_within(share) } else { share }
    }
}

impl std::fmt::Display for Descriptors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limit, used, lingers } = self;
        write!(f, "{limit} (RLIMIT_NOFILE) - {used} open - {RESERVED_DESCRIPTORS} in reserve = {}", self.left())?;
        if *lingers { f.write_str(", some of which closing connections hold (io_uring)") } else { Ok(()) }
    }
}

/// Frames take no slot, but each stream has two sockets.
fn streams_within(streams: u16, slots: u32, descriptors: Descriptors) -> Result<Slots, String> {
    if 2 * u64::from(streams) > descriptors.left() {
        return Err(format!(
            "{streams} streams need twice as many descriptors, but this process has {descriptors}; raise the limit (ulimit -n, \
             LimitNOFILE=) or ask for fewer streams"
        ));
    }
    Ok(Slots { per_worker: slots, cut: None })
}

fn slots_within(wanted: u32, load: TrialLoad, workers: u32, descriptors: Descriptors) -> Result<Slots, String> {
    let at_once = match load {
        TrialLoad::Rate(_) => None,
        TrialLoad::Closed(count) | TrialLoad::Held(count) => Some(count),
    };
    let wanted = at_once.map_or(wanted, |count| count.div_ceil(workers));
    let most = u32::try_from(descriptors.of_each(workers.into())).unwrap_or(u32::MAX);
    if most == 0 || at_once.is_some() && most < wanted {
        let needed = at_once.map_or_else(|| u64::from(workers), |_| u64::from(wanted) * u64::from(workers));
        return Err(format!(
            "{needed} connections at once need as many descriptors, but this process has {descriptors}; raise the limit \
             (ulimit -n, LimitNOFILE=) or ask for fewer"
        ));
    }
    let cut = (most < wanted).then(|| {
        format!("{most} slots per worker instead of {wanted} ({workers} workers), descriptors: {descriptors}")
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

/// The highest load that may be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Most {
    /// In the unit of the load.
    pub load: f64,
    /// What of this host bounds it, if it is not the ceiling of tester and reflectors.
    pub by_host: Option<String>,
}

/// The highest load that may be tried: what the ceiling and the ports allow, or for held connections
/// what descriptors and ports allow. `None` when nothing bounds it.
///
/// # Errors
/// The arithmetic, when the loads that the plan names need more ports than there are.
pub fn most(plan: &Plan, cores: &[usize], ceiling: Option<f64>, carrier: &Carrier) -> Result<Option<Most>, String> {
    let ports = plan_ports(plan, PortSysctls::of(plan.testbed.network))?;
    Ok(match plan.load.unit {
        Unit::Connections => {
            let workers = cores.len().max(1) as u64;
            let descriptors = Descriptors::read(carrier);
            let by_descriptors = descriptors.of_each(workers) * workers;
            let why = format!("descriptors of the generator: {descriptors}");
            Some(held((by_descriptors, why), ports.tuples, host::kernel::memory().0))
        }
        Unit::ConnectionsPerSecond => ceiling.map(|ceiling| Most {
            load: ceiling.min(ports.rate_max),
            by_host: (ports.rate_max < ceiling)
                .then(|| format!("{} local addresses and ports, each held for {} s", ports.tuples, ports.hold_s)),
        }),
        Unit::TransactionsPerSecond | Unit::Transactions => ceiling.map(|load| Most { load, by_host: None }),
        Unit::FramesPerSecond => {
            let declared = crate::verdict::frames::theoretical_fps(plan);
            let bounds = [ceiling, declared].into_iter().flatten();
            bounds.reduce(f64::min).map(|load| Most { load, by_host: None })
        }
    })
}

/// The narrowest of what bounds held connections; memory of which nothing is known bounds nothing.
fn held(by_descriptors: (u64, String), tuples: u64, memory_bytes: u64) -> Most {
    let ports = (tuples, format!("{tuples} local addresses and ports"));
    let fits = connections_in(memory_bytes);
    let memory = (fits, format!("memory: {} MiB available have room for about {fits} connections", memory_bytes >> 20));
    let memory = Some(memory).filter(|_| memory_bytes > 0);
    let narrower = |a: (u64, String), b: (u64, String)| if b.0 < a.0 { b } else { a };
    let (load, by_host) = [Some(ports), memory].into_iter().flatten().fold(by_descriptors, narrower);
    Most { load: load as f64, by_host: Some(by_host) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_cut_by_descriptors_and_say_so() {
        let slots = |load, limit| slots_within(1_024, load, 2, Descriptors { limit, used: 10, lingers: false });
        assert_eq!(slots(TrialLoad::Rate(9.0), 5_074).unwrap(), Slots { per_worker: 1_024, cut: None });
        let cut = slots(TrialLoad::Rate(9.0), 274).unwrap();
        assert_eq!(cut.per_worker, 100);
        assert_eq!(
            cut.cut.unwrap(),
            "100 slots per worker instead of 1024 (2 workers), descriptors: 274 (RLIMIT_NOFILE) - 10 open - 64 in \
             reserve = 200"
        );
        assert_eq!(slots(TrialLoad::Held(7), 274).unwrap().per_worker, 4);
        let refused = slots(TrialLoad::Held(5_000), 274).unwrap_err();
        assert!(refused.starts_with("5000 connections at once need as many descriptors"), "{refused}");
        assert!(refused.contains("274 (RLIMIT_NOFILE) - 10 open - 64 in reserve = 200"), "{refused}");
        // A rate is refused only when there is no place for a single connection of each worker.
        let refused = slots(TrialLoad::Rate(9.0), 75).unwrap_err();
        assert!(refused.starts_with("2 connections at once") && refused.contains("= 1;"), "{refused}");
    }

    #[test]
    fn streams_without_descriptors_are_refused() {
        let descriptors = Descriptors { limit: 2_074, used: 10, lingers: false };
        assert_eq!(streams_within(1_000, 64, descriptors).unwrap(), Slots { per_worker: 64, cut: None });
        let refused = streams_within(1_001, 64, descriptors).unwrap_err();
        assert!(
            refused.starts_with("1001 streams need twice as many descriptors") && refused.contains("= 2000;"),
            "{refused}"
        );
    }

    #[test]
    fn held_connections_are_bounded_by_the_narrowest_of_three() {
        let bound = |descriptors, tuples, memory| {
            let most = held((descriptors, "descriptors".to_owned()), tuples, memory);
            (most.load, most.by_host.unwrap())
        };
        assert_eq!(bound(1_000, 5_000, 1 << 40), (1_000.0, "descriptors".to_owned()));
        assert_eq!(bound(9_000, 5_000, 1 << 40), (5_000.0, "5000 local addresses and ports".to_owned()));
        // 70 % of 1 GiB in parts of 24 KiB.
        let (load, by_host) = bound(1 << 20, 1 << 20, 1 << 30);
        assert_eq!(load, 30_583.0);
        assert!(by_host.starts_with("memory: 1024 MiB available"), "{by_host}");
        assert_eq!(bound(1_000, 5_000, 0).0, 1_000.0);
    }

    #[test]
    fn connections_that_are_closing_have_their_share_over_io_uring() {
        let slots =
            |limit| slots_within(1_024, TrialLoad::Rate(9.0), 2, Descriptors { limit, used: 10, lingers: true });
        assert_eq!(slots(274).unwrap().per_worker, 50);
        // 1,536 for each worker: 1,024 and the 512 that may be closing.
        assert_eq!(slots(3_146).unwrap(), Slots { per_worker: 1_024, cut: None });
        let cut = slots(3_144).unwrap();
        assert_eq!(cut.per_worker, 1_023);
        assert!(cut.cut.unwrap().ends_with("= 3070, some of which closing connections hold (io_uring)"));
    }
}
