//! How a gate says what it did: the sentences of findings and explanations.

use super::pair::LOST;
use super::{Decision, Finding, Metric, Settings};

/// The rule, before any pair.
pub(super) fn rule(settings: &Settings) -> Vec<String> {
    let looks: Vec<String> = settings.looks.iter().map(u32::to_string).collect();
    let alpha: Vec<String> = settings.alpha.iter().map(|&alpha| percent(alpha)).collect();
    let mut lines = vec![format!("looks at {} valid pairs, alpha {}", looks.join(", "), alpha.join(", "))];
    for limit in &settings.limits {
        let tolerated = change(limit.metric, limit.tolerated());
        lines.push(format!("{}: {tolerated} is tolerated (delta {})", limit.metric.title(), percent(limit.delta)));
    }
    lines
}

/// Every finding of a look.
pub(super) fn look(settings: &Settings, look: usize, findings: &[Finding]) -> Vec<String> {
    let pairs = settings.looks.get(look).copied().unwrap_or_default();
    let alpha = settings.alpha.get(look).copied().unwrap_or(0.0);
    let mut lines = vec![format!("look {} at {pairs} valid pairs, alpha {}", look + 1, percent(alpha))];
    for finding in findings {
        let corrected = match findings.len() {
            1 => format!("p {}", chance(finding.p)),
            _ => format!("p {}, after Holm {}", chance(finding.p), chance(finding.p_adjusted)),
        };
        lines.push(format!("  {}; {corrected}: {}", finding.text, reason(finding, alpha)));
    }
    lines
}

/// One finding in a sentence.
pub(super) fn finding(finding: &Finding, confidence: f64) -> String {
    let of = |effect: Option<f64>| effect.map_or_else(|| "unknown".to_owned(), |effect| change(finding.metric, effect));
    format!(
        "{}: {} over {} pairs; at worst {} ({} sure), at best {} ({} sure); {} tolerated",
        finding.metric.title(),
        change(finding.metric, finding.hodges_lehmann),
        finding.n,
        of(finding.lower),
        percent(confidence),
        of(finding.upper),
        percent(finding.upper_confidence),
        change(finding.metric, (-finding.delta).ln_1p()),
    )
}

/// What a look leads to.
pub(super) fn decision(decision: Decision, findings: &[Finding]) -> String {
    let titles = |wanted: fn(Decision) -> bool| -> String {
        let found = findings.iter().filter(|finding| wanted(finding.decision));
        found.map(|finding| finding.metric.title()).collect::<Vec<_>>().join(", ")
    };
    match decision {
        Decision::Pass => "pass: no metric is worse than tolerated".to_owned(),
        Decision::Fail => format!("fail: worse than tolerated: {}", titles(|found| found == Decision::Fail)),
        _ => format!("open: {}", titles(|found| found != Decision::Pass)),
    }
}

/// Why nothing is said about the builds.
pub(super) fn unfit(settings: &Settings, (valid, discarded): (u32, u32), until: u32) -> String {
    let most = percent(settings.discarded_max);
    format!(
        "unfit: {discarded} of {} pairs are discarded; a look at {until} valid pairs allows {most} at most, \
         so this machine is too restless for a gate now",
        valid + discarded
    )
}

/// A metric that the baseline does not have cannot be lost.
pub(super) fn not_gated(metric: Metric, pairs: u32, valid: u32) -> String {
    let title = metric.title();
    format!("{title} is not gated: only in {pairs} of {valid} pairs the baseline's is above 0")
}

/// What is missing.
pub(super) fn more(valid: u32, until: u32) -> String {
    format!("{} more valid pairs are needed for the look at {until}", until.saturating_sub(valid))
}

/// What a look says of one metric, and why.
fn reason(finding: &Finding, alpha: f64) -> &'static str {
    let surely_worse = finding.p_adjusted <= alpha;
    match finding.decision {
        Decision::Pass => "pass, even the worst is tolerated",
        Decision::Fail => "fail, surely worse and by more than is tolerated",
        Decision::Unfit => "unfit",
        _ if finding.hodges_lehmann > LOST => "open, the baseline gives nothing to compare with",
        _ if surely_worse => "open, surely worse, but perhaps by no more than is tolerated",
        _ => "open, neither surely worse nor surely within what is tolerated",
    }
}

/// A probability as a person reads it.
fn chance(p: f64) -> String {
    if p < 0.000_95 { format!("{p:.1e}") } else { format!("{p:.3}") }
}

/// The change of a metric itself that an effect stands for: a rate falls when it gets worse, a time grows.
/// What stands for nothing on one side is said in words.
pub fn change(metric: Metric, effect: f64) -> String {
    if effect.abs() > LOST {
        return if effect < 0.0 { "no value" } else { "beyond comparison" }.to_owned();
    }
    let effect = if metric.higher_is_better() { effect } else { -effect };
    let percent = effect.exp_m1() * 100.0;
    // No "-0.0 %": what rounds to nothing has no direction.
    if percent.abs() < 0.05 { "0.0 %".to_owned() } else { format!("{percent:+.1} %") }
}

fn percent(share: f64) -> String {
    // Enough for any share of an alpha, and hides the noise of binary fractions.
    let digits = format!("{:.3}", share * 100.0);
    format!("{} %", digits.trim_end_matches('0').trim_end_matches('.'))
}
