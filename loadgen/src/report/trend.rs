//! A trend as text and as JSON.

use serde::Serialize;

use super::text::{amount, table};
use crate::gate::Metric;
use crate::gate::trend::ChangePoint;

/// One gate of a trend.
#[derive(Clone, Debug, Serialize)]
pub struct TrendPoint {
    /// When it began.
    pub time: String,
    /// The candidate's value: the median of its runs.
    pub value: f64,
    /// The commit of the candidate, if known.
    pub commit: Option<String>,
}

/// The values of one metric over time, and where their level changed.
#[derive(Clone, Debug, Serialize)]
pub struct Trend {
    /// The metric.
    pub metric: Metric,
    /// Name of the scenario.
    pub scenario: String,
    /// Hash of the scenario.
    pub scenario_hash: String,
    /// Id of the host.
    pub host: String,
    /// The DUT.
    pub dut: String,
    /// Gates that have no value of the metric.
    pub without_value: usize,
    /// The fewest values in which a change can be found.
    pub points_needed: usize,
    /// The values, in the order of the history.
    pub points: Vec<TrendPoint>,
    /// Change points, in order.
    #[serde(serialize_with = "changes")]
    pub changes: Vec<ChangePoint>,
}

impl Trend {
    /// Whether a change is one for the worse.
    pub fn is_worse(&self, change: &ChangePoint) -> bool {
        (change.after < change.before) == self.metric.higher_is_better()
    }
}

/// A change point as JSON, with its relative size.
fn changes<S: serde::Serializer>(changes: &[ChangePoint], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row {
        #[serde(flatten)]
        point: ChangePoint,
        change: f64,
    }
    serializer.collect_seq(changes.iter().map(|point| Row { point: *point, change: point.change() }))
}

/// The trend for people.
pub fn trend_text(trend: &Trend) -> String {
    let mut lines = vec![heading(trend)];
    if trend.without_value > 0 {
        lines.push(format!("{} further gates have no value of it", trend.without_value));
    }
    match (trend.points.len(), trend.changes.is_empty()) {
        (count, _) if count < trend.points_needed => {
            lines.push(format!("too few for a trend: {} are needed, {count} are there", trend.points_needed));
        }
        (_, true) => lines.push("no change of its level".to_owned()),
        _ => lines.extend(rows(trend)),
    }
    lines.join("\n")
}

/// The trend for programs.
pub fn trend_json(trend: &Trend) -> String {
    // Names, numbers and texts always have a JSON form.
    serde_json::to_string_pretty(trend).unwrap_or_default()
}

fn heading(trend: &Trend) -> String {
    let title = trend.metric.title();
    let (Some(first), Some(last)) = (trend.points.first(), trend.points.last()) else {
        return format!("{title}: no gate has a value of it");
    };
    format!(
        "{title} of {} in {} (scenario {}, host {}): {} gates from {} to {}",
        trend.dut,
        trend.scenario,
        trend.scenario_hash,
        trend.host,
        trend.points.len(),
        first.time,
        last.time
    )
}

fn rows(trend: &Trend) -> Vec<String> {
    let header = ["from", "commit", "before", "after", "change", "p", ""].map(str::to_owned).to_vec();
    let row = |change: &ChangePoint| {
        let point = trend.points.get(change.at)?;
        Some(vec![
            point.time.clone(),
            point.commit.clone().unwrap_or_else(|| "unknown".to_owned()),
            amount(change.before),
            amount(change.after),
            format!("{:+.1} %", change.change() * 100.0),
            format!("{:.1e}", change.p),
            if trend.is_worse(change) { "worse" } else { "better" }.to_owned(),
        ])
    };
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(trend.changes.iter().filter_map(row)).collect();
    vec![table(&rows).trim_end().to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trend(metric: Metric, changes: Vec<ChangePoint>, count: usize) -> Trend {
        let point = |at: usize| TrendPoint { time: format!("2026-01-{:02}", at + 1), value: 1_000.0, commit: None };
        Trend {
            metric,
            scenario: "cps".to_owned(),
            scenario_hash: "abc".to_owned(),
            host: "1f".to_owned(),
            dut: "haproxy".to_owned(),
            without_value: 0,
            points_needed: 8,
            points: (0..count).map(point).collect(),
            changes,
        }
    }

    #[test]
    fn a_change_says_when_how_much_and_which_way() {
        let change = ChangePoint { at: 4, before: 1_000.0, after: 930.0, p: 2e-6 };
        let text = trend_text(&trend(Metric::Cps, vec![change], 9));
        assert!(text.contains("connections per second of haproxy in cps (scenario abc, host 1f): 9 gates"), "{text}");
        let row = text.lines().last().unwrap();
        for part in ["2026-01-05", "1,000", "930", "-7.0 %", "2.0e-6", "worse"] {
            assert!(row.contains(part), "{part} is not in {row}");
        }
        let text = trend_text(&trend(Metric::MemoryPerConnection, vec![change], 9));
        assert!(text.ends_with("better"), "less memory is better: {text}");
        let json: serde_json::Value = serde_json::from_str(&trend_json(&trend(Metric::Cps, vec![change], 9))).unwrap();
        assert_eq!(json["changes"][0]["at"], 4);
        assert!((json["changes"][0]["change"].as_f64().unwrap() + 0.07).abs() < 1e-9);
    }

    #[test]
    fn too_few_values_say_how_many_are_needed() {
        assert!(
            trend_text(&trend(Metric::Cps, Vec::new(), 5)).ends_with("too few for a trend: 8 are needed, 5 are there")
        );
        assert!(trend_text(&trend(Metric::Cps, Vec::new(), 0)).contains("no gate has a value of it"));
        assert!(trend_text(&trend(Metric::Cps, Vec::new(), 8)).ends_with("no change of its level"));
    }
}
