//! `loadgen trend`: where the history of a gate changed its level.
//!
//! Values are comparable only with the same scenario on the same host and for the same DUT: where the
//! file has several, one has to be chosen. It alerts and does not gate; `--strict` makes the last
//! change point decide.

use std::fs;

use anyhow::{Context as _, anyhow};

use super::Failure;
use crate::cli::TrendArgs;
use crate::gate::history::{self, Record};
use crate::gate::trend::{POINTS_MIN, Sensitivity, change_points};
use crate::gate::{Limit, Metric};
use crate::report::{self, Trend, TrendPoint};
use crate::verdict::answer::Exit;

/// The largest history that is read: some hundred thousand gates.
const BYTES_MAX: u64 = 1 << 30;

pub(super) fn trend(arguments: &TrendArgs) -> Result<Exit, Failure> {
    let sensitivity = Sensitivity::new(arguments.window, arguments.p, arguments.magnitude.as_ratio());
    let sensitivity = sensitivity.map_err(Failure::usage)?;
    let path = arguments.history.display();
    let text = read(arguments).with_context(|| format!("cannot read {path}")).map_err(Failure::usage)?;
    let history = history::parse(&text).with_context(|| path.to_string()).map_err(Failure::usage)?;
    if let Some(warning) = &history.warning {
        report::complain(&format!("warning: {path}: {warning}"));
    }
    let chosen: Vec<&Record> = history.records.iter().filter(|record| wanted(record, arguments)).collect();
    one_group(&chosen).map_err(Failure::usage)?;
    let trend = measure(&chosen, arguments, &sensitivity).map_err(Failure::usage)?;
    report::say(&if arguments.json { report::trend_json(&trend) } else { report::trend_text(&trend) });
    Ok(exit(&trend, arguments.strict))
}

/// A gate without enough evidence is no failure unless the caller is strict; a trend neither.
fn exit(trend: &Trend, strict: bool) -> Exit {
    let regression = trend.changes.last().is_some_and(|change| trend.is_worse(change));
    match () {
        () if !strict => Exit::Met,
        () if trend.points.len() < POINTS_MIN => Exit::Undecided,
        () if regression => Exit::Missed,
        () => Exit::Met,
    }
}

fn read(arguments: &TrendArgs) -> anyhow::Result<String> {
    let size = fs::metadata(&arguments.history)?.len();
    if size > BYTES_MAX {
        return Err(anyhow!(
            "it has {size} bytes, at most {BYTES_MAX} are read; keep the newer lines in a file of their own"
        ));
    }
    // A last line may be cut off within a character; that must not hide the lines before it.
    Ok(String::from_utf8_lossy(&fs::read(&arguments.history)?).into_owned())
}

fn wanted(record: &Record, arguments: &TrendArgs) -> bool {
    let scenario = |wanted: &String| record.scenario == *wanted || record.scenario_hash.starts_with(wanted);
    arguments.scenario.as_ref().is_none_or(scenario)
        && arguments.host.as_ref().is_none_or(|wanted| record.host_id().starts_with(wanted))
        && arguments.dut.as_ref().is_none_or(|wanted| record.candidate.name == *wanted)
        && arguments.label.as_ref().is_none_or(|wanted| record.label.as_ref() == Some(wanted))
}

/// # Errors
/// More than one scenario, host or DUT, with what there is to choose from; or nothing at all.
fn one_group(records: &[&Record]) -> anyhow::Result<()> {
    let mut groups: Vec<(String, usize)> = Vec::new();
    for record in records {
        let Record { scenario, scenario_hash, candidate, .. } = record;
        let name =
            format!("--scenario {scenario_hash} ({scenario}) --host {} --dut {}", record.host_id(), candidate.name);
        match groups.iter_mut().find(|(found, _)| *found == name) {
            Some((_, count)) => *count += 1,
            None => groups.push((name, 1)),
        }
    }
    if groups.len() > 1 {
        let listed: Vec<String> = groups.iter().map(|(name, count)| format!("\n  {name}: {count} gates")).collect();
        let kinds = groups.len();
        return Err(anyhow!(
            "the history has {kinds} kinds of gates, whose values cannot be compared; choose one:{}",
            listed.concat()
        ));
    }
    Ok(())
}

fn measure(records: &[&Record], arguments: &TrendArgs, sensitivity: &Sensitivity) -> anyhow::Result<Trend> {
    let metric = metric(records, arguments.metric.as_deref())?;
    let point = |record: &&Record| {
        let value = record.value(metric)?;
        Some(TrendPoint { time: record.time.clone(), value, commit: record.candidate.commit.clone() })
    };
    let points: Vec<TrendPoint> = records.iter().filter_map(point).collect();
    let series: Vec<f64> = points.iter().map(|point| point.value).collect();
    let first = records.first();
    Ok(Trend {
        metric,
        scenario: first.map(|record| record.scenario.clone()).unwrap_or_default(),
        scenario_hash: first.map(|record| record.scenario_hash.clone()).unwrap_or_default(),
        host: first.map(|record| record.host_id()).unwrap_or_default(),
        dut: first.map(|record| record.candidate.name.clone()).unwrap_or_default(),
        without_value: records.len() - points.len(),
        points_needed: POINTS_MIN,
        changes: change_points(&series, sensitivity),
        points,
    })
}

/// The metric asked for, or the one that was gated; of several the primary one.
fn metric(records: &[&Record], wanted: Option<&str>) -> anyhow::Result<Metric> {
    let names = || Metric::ALL.map(Metric::name).join(", ");
    if let Some(wanted) = wanted {
        return Metric::named(wanted)
            .with_context(|| format!("no metric is called {wanted:?}; expected one of {}", names()));
    }
    let gated = |metric: &Metric| {
        records.iter().any(|record| record.settings.limits.iter().any(|limit: &Limit| limit.metric == *metric))
    };
    Ok(Metric::ALL.into_iter().find(gated).unwrap_or(Metric::PRIMARY))
}
