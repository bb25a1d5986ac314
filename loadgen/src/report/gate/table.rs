//! The figures of a gate as rows of text, the same for every form of its report.

pub(super) use crate::gate::change;
use crate::gate::failures::{self, Broken, Failures};
use crate::gate::{self, Decision, Finding, Limit, Metric, MetricNoise, Pair};
use crate::report::text::{NOTHING, amount, share};
use crate::statistics::median;

use super::GateReport;

/// Columns of the findings.
pub(super) const FINDINGS: [&str; 9] =
    ["metric", "baseline", "candidate", "change", "at worst", "at best", "tolerated", "p adjusted", "says"];
/// Columns of the noise of a machine.
pub(super) const NOISE: [&str; 6] = ["metric", "noise of a pair", "bias", "p of the bias", "δ in use", "δ proposed"];

/// One row for each gated metric.
pub(super) fn findings(report: &GateReport<'_>) -> Vec<[String; 9]> {
    let of = |limit: &Limit| {
        let metric = limit.metric;
        let found = report.answer.judgement.findings.iter().find(|finding| finding.metric == metric);
        let effect = |effect: Option<f64>| effect.map_or_else(|| NOTHING.to_owned(), |effect| change(metric, effect));
        let pairs = valid(report);
        [
            metric.title().to_owned(),
            level(metric, pairs.iter().map(|pair| &pair.baseline)),
            level(metric, pairs.iter().map(|pair| &pair.candidate)),
            effect(found.map(|found| found.hodges_lehmann)),
            bound(effect(found.and_then(|found| found.lower)), Some(0.95)),
            bound(effect(found.and_then(|found| found.upper)), found.map(|found| found.upper_confidence)),
            change(metric, limit.tolerated()),
            found.map_or_else(|| NOTHING.to_owned(), |found| p(found.p_adjusted)),
            found.map_or("–", |found| said(found.decision)).to_owned(),
        ]
    };
    report.begun.settings.limits.iter().map(of).chain([failed(report)]).collect()
}

/// What failed in the pairs that count.
fn failed(report: &GateReport<'_>) -> [String; 9] {
    let counted = report.pairs.iter().filter(|kept| !kept.warm_up && gate::counts(&report.begun.settings, &kept.pair));
    let pairs: Vec<[Failures; 2]> = counted.map(|kept| kept.failures).collect();
    let text = |side: usize| {
        let all = pairs.iter().map(|pair| pair[side]).fold(Failures::default(), Failures::and);
        let broken = pairs.iter().filter(|pair| pair[side].broken).count();
        format!("{} of {} (too many in {broken} pairs)", all.failed, all.attempted)
    };
    let says = match failures::broken(&report.begun.settings, &pairs) {
        _ if pairs.is_empty() => "–",
        Broken::NotMore => "pass",
        Broken::Perhaps(_) => "open",
        Broken::Surely(_) => "fail",
    };
    let nothing = || NOTHING.to_owned();
    let (first, last) = ("failed operations".to_owned(), says.to_owned());
    [first, text(0), text(1), nothing(), nothing(), nothing(), nothing(), nothing(), last]
}

/// One row for each metric of a machine's noise.
pub(super) fn noise(metrics: &[MetricNoise]) -> Vec<[String; 6]> {
    let of = |noise: &MetricNoise| {
        let maybe = |value: Option<f64>, text: &dyn Fn(f64) -> String| value.map_or_else(|| NOTHING.to_owned(), text);
        [
            noise.metric.title().to_owned(),
            maybe(noise.sd, &|sd| format!("± {}", share(sd))),
            maybe(noise.hodges_lehmann, &|effect| change(noise.metric, effect)),
            maybe(noise.p, &p),
            share(noise.delta),
            maybe(noise.delta_proposed, &share),
        ]
    };
    metrics.iter().map(of).collect()
}

/// The pairs that count.
fn valid<'a>(report: &GateReport<'a>) -> Vec<&'a Pair> {
    let counts = |pair: &&Pair| gate::counts(&report.begun.settings, pair);
    report.pairs.iter().filter(|kept| !kept.warm_up).map(|kept| &kept.pair).filter(counts).collect()
}

/// The median of one side with its unit.
fn level<'a>(metric: Metric, sides: impl Iterator<Item = &'a Vec<(Metric, f64)>>) -> String {
    let find = |values: &Vec<(Metric, f64)>| values.iter().find(|(found, _)| *found == metric).map(|(_, value)| *value);
    let values: Vec<f64> = sides.filter_map(find).filter(|value| value.is_finite()).collect();
    let Some(median) = median(&values) else { return NOTHING.to_owned() };
    match metric {
        Metric::TransactionsPerCpuSecond | Metric::Cps | Metric::Tps => format!("{}/s", amount(median)),
        Metric::ResponseTimeP99 => format!("{} ms", amount(median / 1e3)),
        Metric::MemoryPerConnection => format!("{} B", amount(median)),
    }
}

fn bound(text: String, confidence: Option<f64>) -> String {
    match confidence {
        Some(confidence) if text != NOTHING => format!("{text} ({} sure)", Percent(confidence)),
        _ => text,
    }
}

/// A share in percent with as many digits as it needs, at most four.
struct Percent(f64);

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = format!("{:.4}", self.0 * 100.0);
        write!(f, "{} %", digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

fn p(p: f64) -> String {
    if p < 0.001 { format!("{p:.1e}") } else { format!("{p:.3}") }
}

/// A decision in a word.
pub(super) fn said(decision: Decision) -> &'static str {
    match decision {
        Decision::More { .. } => "open",
        Decision::Pass => "pass",
        Decision::Fail => "fail",
        Decision::Inconclusive => "inconclusive",
        Decision::Unfit => "unfit",
    }
}

/// The finding of one metric, if there is one.
pub(super) fn finding_of<'a>(report: &GateReport<'a>, metric: Metric) -> Option<&'a Finding> {
    report.answer.judgement.findings.iter().find(|finding| finding.metric == metric)
}

/// `12 valid pairs, 1 discarded, seed 7`.
pub(super) fn facts(report: &GateReport<'_>) -> String {
    let answer = report.answer;
    format!(
        "{} valid pairs, {} discarded, order from seed {}, scenario {} ({})",
        answer.pairs - answer.discarded,
        answer.discarded,
        report.begun.seed,
        report.begun.name,
        report.begun.scenario
    )
}

/// Who is compared with whom.
pub(super) fn sides(report: &GateReport<'_>) -> String {
    let [baseline, candidate] = &report.begun.sides;
    if report.begun.same {
        return format!("{} against itself", baseline.spec);
    }
    format!("candidate {} against baseline {}", candidate.spec, baseline.spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_that_of_the_metric_and_a_bound_says_how_sure() {
        assert_eq!(change(Metric::Cps, 0.9_f64.ln()), "-10.0 %");
        assert_eq!(change(Metric::ResponseTimeP99, 0.8_f64.ln()), "+25.0 %");
        assert_eq!(change(Metric::Tps, 1e-9), "0.0 %");
        assert_eq!(bound("+1.0 %".to_owned(), Some(0.996)), "+1.0 % (99.6 % sure)");
    }
}
