//! `[expect]` to comparisons.
//!
//! Each line is a comparison of one metric with one value. A figure may be compared both ways, a
//! share or a latency only downwards: "at least so much failure" is no expectation.

use wire::units::{Percent, Rate, Span};

use super::error::{Origin, ScenarioError};
use super::file::ExpectFile;
use super::plan::{Comparison, Expectation, LoadPlan, Metric, SearchPlan, Unit};

pub(super) fn resolve(file: &ExpectFile, load: &LoadPlan, origin: &Origin) -> Result<Vec<Expectation>, ScenarioError> {
    file.lines().into_iter().map(|(key, text)| line(key, text, load.unit, origin)).collect()
}

/// A load that never reaches an expectation cannot judge it.
pub(super) fn require_reachable(
    expect: &[Expectation],
    load: &LoadPlan,
    search: &SearchPlan,
    origin: &Origin,
) -> Result<(), ScenarioError> {
    let highest = match search.maximum() {
        Some(maximum) => maximum.max,
        None => match load.unit {
            Unit::ConnectionsPerSecond | Unit::TransactionsPerSecond | Unit::FramesPerSecond => {
                load.rate.map(Rate::as_f64)
            }
            Unit::Connections => load.count.map(|count| f64::from(count.get())),
            Unit::Transactions => None,
        },
    };
    let Some(highest) = highest else { return Ok(()) };
    for expectation in expect.iter().filter(|expectation| name(expectation.metric) == load.unit.figure()) {
        let wanted = expectation.value;
        let out_of_reach = match expectation.comparison {
            Comparison::GreaterOrEqual => highest < wanted,
            Comparison::Greater => highest <= wanted,
            Comparison::Less | Comparison::LessOrEqual => false,
        };
        if out_of_reach {
            let key = format!("expect.{}", load.unit.figure());
            let message = format!(
                "{} can never be met: the highest load of this scenario is {highest} {}",
                expectation.text,
                load.unit.name()
            );
            return Err(origin.error(&key, message));
        }
    }
    Ok(())
}

fn line(key: &'static str, text: &str, unit: Unit, origin: &Origin) -> Result<Expectation, ScenarioError> {
    let full_key = format!("expect.{key}");
    let refuse = |message: String| origin.error(&full_key, message);
    let metric = metric(key);
    let (comparison, rest) = comparison(text)
        .ok_or_else(|| refuse(format!("{text:?} is not a comparison; expected such as \"{}\"", example(metric))))?;
    let value = value(metric, rest).map_err(|message| refuse(format!("{text:?}: {message}")))?;
    let is_figure = matches!(metric, Metric::Cps | Metric::Tps | Metric::Cc | Metric::Fps);
    if is_figure && !measures(unit, metric) {
        let measured = unit.figure();
        let message = format!("unit = \"{}\" measures {measured}, not {key}; expected expect.{measured}", unit.name());
        return Err(refuse(message));
    }
    if !is_figure && !matches!(comparison, Comparison::Less | Comparison::LessOrEqual) {
        return Err(refuse(format!("{text:?} asks for more of it; expected < or <=, such as \"{}\"", example(metric))));
    }
    if matches!(metric, Metric::Ttfb { .. }) && unit == Unit::FramesPerSecond {
        let message = "a datagram has no first byte of an answer; expected response_time, such as response_time_p99";
        return Err(refuse(message.to_owned()));
    }
    if metric == Metric::Failed && comparison == Comparison::Less && value == 0.0 {
        return Err(refuse("\"< 0%\" can never be met; \"<= 0%\" means without any failure".to_owned()));
    }
    Ok(Expectation { metric, comparison, value, text: format!("{key} {}", text.trim()) })
}

/// Whether a run in this unit gives the figure.
fn measures(unit: Unit, metric: Metric) -> bool {
    name(metric) == unit.figure()
}

fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Cps => "cps",
        Metric::Tps => "tps",
        Metric::Cc => "cc",
        Metric::Fps => "fps",
        Metric::Failed => "failed",
        Metric::ResponseTime { .. } => "response_time",
        Metric::Ttfb { .. } => "ttfb",
    }
}

fn metric(key: &str) -> Metric {
    let percentile_e2 = match key.rsplit_once("_p") {
        Some((_, "50")) => 5_000,
        Some((_, "90")) => 9_000,
        Some((_, "999")) => 9_990,
        _ => 9_900,
    };
    match key {
        "cps" => Metric::Cps,
        "tps" => Metric::Tps,
        "cc" => Metric::Cc,
        "fps" => Metric::Fps,
        "failed" => Metric::Failed,
        _ if key.starts_with("ttfb") => Metric::Ttfb { percentile_e2 },
        _ => Metric::ResponseTime { percentile_e2 },
    }
}

fn example(metric: Metric) -> &'static str {
    match metric {
        Metric::Cps | Metric::Tps | Metric::Cc | Metric::Fps => ">= 1000",
        Metric::Failed => "< 0.001%",
        Metric::ResponseTime { .. } | Metric::Ttfb { .. } => "< 10ms",
    }
}

fn comparison(text: &str) -> Option<(Comparison, &str)> {
    let text = text.trim();
    // The longer signs first: "<" is also the beginning of "<=".
    let signs = [
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    signs.into_iter().find_map(|(sign, comparison)| Some((comparison, text.strip_prefix(sign)?.trim())))
}

fn value(metric: Metric, text: &str) -> Result<f64, String> {
    match metric {
        Metric::Cps | Metric::Tps | Metric::Cc | Metric::Fps => {
            text.parse::<Rate>().map(Rate::as_f64).map_err(|error| error.to_string())
        }
        Metric::Failed => text.parse::<Percent>().map(Percent::as_ratio).map_err(|error| error.to_string()),
        Metric::ResponseTime { .. } | Metric::Ttfb { .. } => {
            text.parse::<Span>().map(|span| span.0.as_secs_f64()).map_err(|error| error.to_string())
        }
    }
}
