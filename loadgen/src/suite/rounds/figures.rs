//! What a run of one contender gives for each gated metric. Pure arithmetic over trial records.

use super::HELD;
use crate::gate::Metric;
use crate::measure::record::TrialLoad;
use crate::measure::{Latency, Role, Sample, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::{DutKind, Unit, WorkloadKind};
use crate::verdict;

/// The metrics that a scenario is gated by when nothing else is asked for: the primary one and the
/// guards it measures. A guard that would be another one's figure a second time is left out.
pub fn applicable(plan: &Plan) -> Vec<Metric> {
    let twice = plan.load.unit == Unit::ConnectionsPerSecond
        && plan.workload.requests_per_connection.is_none_or(|requests| requests.get() == 1);
    let wanted = |metric: &Metric| unmeasured(plan, *metric).is_none() && !(twice && *metric == Metric::Tps);
    Metric::ALL.into_iter().filter(wanted).collect()
}

/// Why a scenario does not measure a metric, if it does not.
pub fn unmeasured(plan: &Plan, metric: Metric) -> Option<&'static str> {
    let seen = matches!(plan.testbed.dut.kind, DutKind::Reference { .. } | DutKind::Command { .. });
    match metric {
        Metric::TransactionsPerCpuSecond | Metric::MemoryPerConnection if !seen => {
            Some("needs a DUT that this run starts: of one that is there already neither CPU nor memory can be seen")
        }
        Metric::Cps if plan.load.unit != Unit::ConnectionsPerSecond => {
            Some("needs load.unit = \"connections/s\": kept connections are opened once")
        }
        Metric::Tps if matches!(plan.workload.kind, WorkloadKind::Tcp) => {
            Some("needs workload.kind = \"http\": without requests there are no transactions")
        }
        _ => None,
    }
}

/// What the trials of one run gave for each metric that they measured.
pub fn values(plan: &Plan, trials: &[TrialRecord], metrics: &[Metric]) -> Vec<(Metric, f64)> {
    let fixed = trials.iter().find(|trial| matches!(trial.load, TrialLoad::Rate(_)));
    let value = |metric: Metric| match metric {
        Metric::TransactionsPerCpuSecond => per_cpu_second(plan, fixed?),
        Metric::Cps => Some(fixed?.achieved_rate()),
        Metric::Tps => Some(fixed?.transaction_rate()),
        Metric::ResponseTimeP99 => Some(fixed?.latencies.percentile(Latency::Response, 99.0)?.as_nanos() as f64 / 1e3),
        Metric::MemoryPerConnection => memory_per_connection(trials),
    };
    metrics.iter().filter_map(|&metric| Some((metric, value(metric)?))).collect()
}

/// Utilisation law: throughput divided by the cores in use is operations per core-second. Both are taken
/// over sustain, where the load is steady.
fn per_cpu_second(plan: &Plan, trial: &TrialRecord) -> Option<f64> {
    let rate = match plan.workload.kind {
        WorkloadKind::Tcp | WorkloadKind::Udp(_) => trial.achieved_rate(),
        WorkloadKind::Http(_) => trial.transaction_rate(),
    };
    if rate == 0.0 {
        return Some(0.0);
    }
    let cores = verdict::dut_cores(trial)?;
    (cores > 0.0).then(|| rate / cores)
}

/// The slope of the DUT's anonymous memory between two numbers of held connections, in bytes. What a
/// process needs once, with or without connections, is in neither.
fn memory_per_connection(trials: &[TrialRecord]) -> Option<f64> {
    let held = |count: u32| trials.iter().find(|trial| trial.load == TrialLoad::Held(count));
    let (few, many) = (held(HELD[0])?, held(HELD[1])?);
    // Fewer connections than asked for would be taken for a smaller need of memory.
    let all = |trial: &TrialRecord| trial.open_min_in_sustain as f64 >= trial.load.amount();
    if !all(few) || !all(many) {
        return None;
    }
    Some((memory_in_sustain(many)? - memory_in_sustain(few)?) / f64::from(HELD[1] - HELD[0]))
}

fn memory_in_sustain(trial: &TrialRecord) -> Option<f64> {
    let begin = trial.began_ns + trial.ramp_up.as_nanos() as u64;
    let end = begin + trial.sustain.as_nanos() as u64;
    let mut inside = trial.samples.iter().filter(|sample: &&Sample| (begin..=end).contains(&sample.at_ns));
    let last = inside.next_back()?;
    Some(last.role(Role::Dut)?.rss_anon_bytes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    /// A trial of the fixture with so many connections held, and so much memory in its DUT throughout.
    fn held(count: u32, bytes: u64) -> TrialRecord {
        let mut record = fixture::run().trials[4].clone();
        record.load = TrialLoad::Held(count);
        record.open_min_in_sustain = count.into();
        let roles = record.samples.iter_mut().flat_map(|sample| &mut sample.roles);
        roles.filter(|role| role.role == Role::Dut).for_each(|role| role.rss_anon_bytes = bytes);
        record
    }

    #[test]
    fn memory_per_connection_is_a_slope_and_knows_when_connections_were_lost() {
        let memory = |trials: &[TrialRecord]| values(&fixture::run().plan, trials, &[Metric::MemoryPerConnection]);
        let trials = [held(HELD[0], 5_000_000), held(HELD[1], 7_000_000)];
        assert_eq!(memory(&trials), [(Metric::MemoryPerConnection, 2_000.0)]);
        let mut lost = trials.clone();
        lost[1].open_min_in_sustain -= 1;
        assert_eq!(memory(&lost), []);
        assert_eq!(memory(&trials[..1]), []);
    }

    #[test]
    fn transactions_per_cpu_second_follow_the_utilisation_law() {
        let run = fixture::run();
        let trial = &run.trials[4];
        let cores = verdict::dut_cores(trial).unwrap();
        let metrics = [Metric::TransactionsPerCpuSecond, Metric::Tps];
        let found = values(&run.plan, std::slice::from_ref(trial), &metrics);
        assert_eq!(found[0].1, found[1].1 / cores);
        assert!(cores > 0.0 && found[0].1 > 0.0);
    }

    #[test]
    fn a_scenario_is_gated_by_what_it_measures_once() {
        let mut plan = fixture::run().plan.clone();
        let names = |plan: &Plan| applicable(plan).iter().map(|metric| metric.name()).collect::<Vec<_>>().join(" ");
        assert_eq!(names(&plan), "transactions-per-cpu-second cps response-time-p99 memory-per-connection");
        plan.workload.requests_per_connection = std::num::NonZeroU32::new(4);
        assert_eq!(names(&plan), "transactions-per-cpu-second cps tps response-time-p99 memory-per-connection");
        plan.load.unit = Unit::TransactionsPerSecond;
        assert_eq!(names(&plan), "transactions-per-cpu-second tps response-time-p99 memory-per-connection");
        plan.testbed.dut.kind = DutKind::None;
        assert_eq!(names(&plan), "tps response-time-p99");
    }
}
