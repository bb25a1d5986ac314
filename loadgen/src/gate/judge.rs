//! The decision: pairs in the order in which they ran, looks at planned numbers, one answer.
//!
//! At a look with n valid pairs and its share α of wrong failures:
//! - **Fail** if for any metric the one-sided upper bound of the effect is below 0 *and* its estimate
//!   (Hodges and Lehmann) is below ln(1 − δ). With m metrics the bounds are those of Holm (1979): the
//!   smallest p has to reach α / m, the next α / (m − 1), and so on.
//! - **Pass** if for every metric the 95 % lower bound is above ln(1 − δ). All have to pass, so that
//!   no correction for their number is needed.
//! - Otherwise more pairs; undecided at the last look is **Inconclusive**.
//!
//! Where one side gives nothing, the other one is better than by any ratio; a baseline without values
//! passes nobody. Memory is left out, by name, unless the baseline's grows in more than half of the pairs.
//!
//! Only valid pairs count towards a look. When more than 30 % of the pairs tried are discarded, or the
//! next look cannot be reached with fewer, the machine is **Unfit** and nothing is said of the builds.
//! The first decision stands: pairs after it are not looked at.

use serde::{Deserialize, Serialize};

use super::pair::LOST;
use super::words;
use super::{Limit, Metric, Pair, Settings};
use crate::statistics::{SignedRank, signed_rank};

/// What a gate says, of one metric or of all.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Not decided yet: more pairs are needed.
    More {
        /// The number of *valid* pairs at the next look.
        until: u32,
    },
    /// Not worse than tolerated, with 95 % confidence.
    Pass,
    /// Worse, by more than is tolerated.
    Fail,
    /// Neither could be shown with all planned pairs.
    Inconclusive,
    /// Too many pairs were discarded: the machine is too restless for a gate.
    Unfit,
}

/// What the gate found of one metric at a look. Effects are d = ln(candidate / baseline), with the sign
/// turned so that negative is worse.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Finding {
    /// The metric.
    pub metric: Metric,
    /// Its tolerated relative loss.
    pub delta: f64,
    /// Valid pairs.
    pub n: usize,
    /// The estimated effect.
    pub hodges_lehmann: f64,
    /// The effect is above this with 95 % confidence (one-sided). `None` with too few pairs.
    pub lower: Option<f64>,
    /// The effect is below this with `upper_confidence` (one-sided). `None` with too few pairs.
    pub upper: Option<f64>,
    /// Confidence of `upper`: 1 − α of the look, after Holm.
    pub upper_confidence: f64,
    /// One-sided p of the exact signed-rank test for "worse".
    pub p: f64,
    /// The same after Holm's correction; at most α where worse is shown.
    pub p_adjusted: f64,
    /// What the look says of this metric alone.
    pub decision: Decision,
    /// The finding in one sentence.
    pub text: String,
}

/// The answer of a gate.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Judgement {
    /// The answer.
    pub decision: Decision,
    /// What the last look found, one for each limit in the order of the settings; empty before the
    /// first look and when the machine is unfit.
    pub findings: Vec<Finding>,
    /// The last look that was taken, counted from 0.
    pub look: Option<usize>,
    /// How the gate came to its answer, line by line.
    pub explanation: Vec<String>,
}

/// Judges pairs; they may be given in any order and are taken by number.
///
/// To be called after every pair: it answers [`Decision::More`] until there are enough. The answer is
/// the same when it is called once with all of them.
pub fn judge(settings: &Settings, pairs: &[Pair]) -> Judgement {
    let mut pairs: Vec<&Pair> = pairs.iter().collect();
    pairs.sort_by_key(|pair| pair.number);
    let mut course = Course::new(settings);
    for (at, pair) in pairs.iter().enumerate() {
        course.take(pair);
        if !matches!(course.decision, Decision::More { .. }) {
            course.leave(pairs.len() - at - 1);
            break;
        }
    }
    course.finish()
}

/// A gate on its way.
struct Course<'a> {
    settings: &'a Settings,
    /// Effects of the valid pairs, for each limit.
    effects: Vec<Vec<f64>>,
    valid: u32,
    discarded: u32,
    findings: Vec<Finding>,
    look: Option<usize>,
    decision: Decision,
    explanation: Vec<String>,
}

impl<'a> Course<'a> {
    fn new(settings: &'a Settings) -> Self {
        let decision = settings.looks.first().map_or(Decision::Inconclusive, |&until| Decision::More { until });
        Self {
            settings,
            effects: vec![Vec::new(); settings.limits.len()],
            valid: 0,
            discarded: 0,
            findings: Vec::new(),
            look: None,
            decision,
            explanation: words::rule(settings),
        }
    }

    fn next_look(&self) -> usize {
        self.look.map_or(0, |look| look + 1)
    }

    fn take(&mut self, pair: &Pair) {
        match effects(self.settings, pair) {
            Ok(effects) => {
                self.valid += 1;
                self.effects.iter_mut().zip(effects).for_each(|(all, effect)| all.extend(effect));
            }
            Err(reason) => {
                self.discarded += 1;
                self.explanation.push(format!("pair {} is discarded: {reason}", pair.number));
            }
        }
        let Some(&until) = self.settings.looks.get(self.next_look()) else { return };
        if f64::from(self.discarded) > self.settings.discarded_max * f64::from(until + self.discarded) {
            self.unfit(until);
        } else if self.valid == until {
            self.look();
        }
    }

    fn unfit(&mut self, until: u32) {
        self.decision = Decision::Unfit;
        self.findings.clear();
        self.explanation.push(words::unfit(self.settings, (self.valid, self.discarded), until));
    }

    fn look(&mut self) {
        let look = self.next_look();
        let next = self.settings.looks.get(look + 1).copied();
        let open = next.map_or(Decision::Inconclusive, |until| Decision::More { until });
        self.look = Some(look);
        self.findings = look_at(self.settings, &self.effects, look, open);
        for (limit, effects) in self.settings.limits.iter().zip(&self.effects) {
            if !is_gated(effects, self.settings, look) {
                self.explanation.push(words::not_gated(limit.metric, effects.len() as u32, self.valid));
            }
        }
        // Without a metric nothing is shown.
        let all =
            |decision| !self.findings.is_empty() && self.findings.iter().all(|finding| finding.decision == decision);
        let failed = self.findings.iter().any(|finding| finding.decision == Decision::Fail);
        self.decision = match () {
            () if failed => Decision::Fail,
            () if all(Decision::Pass) => Decision::Pass,
            () => open,
        };
        if failed {
            // No more pairs will come for those that are still open.
            let open = self.findings.iter_mut().filter(|finding| matches!(finding.decision, Decision::More { .. }));
            open.for_each(|finding| finding.decision = Decision::Inconclusive);
        }
        self.explanation.extend(words::look(self.settings, look, &self.findings));
        self.explanation.push(words::decision(self.decision, &self.findings));
    }

    fn leave(&mut self, count: usize) {
        if count > 0 {
            self.explanation.push(format!("{count} later pairs are not looked at: the first decision stands"));
        }
    }

    fn finish(mut self) -> Judgement {
        if let Decision::More { until } = self.decision {
            self.explanation.push(words::more(self.valid, until));
        }
        Judgement { decision: self.decision, findings: self.findings, look: self.look, explanation: self.explanation }
    }
}

/// The effect of a pair for each limit, or why it does not count.
/// An effect is `None` where the pair says nothing of the metric.
pub(super) fn effects(settings: &Settings, pair: &Pair) -> Result<Vec<Option<f64>>, String> {
    match &pair.discarded {
        Some(reason) => Err(reason.clone()),
        None => settings.limits.iter().map(|limit| pair.evidence(limit.metric)).collect(),
    }
}

/// Whether a pair counts towards the looks of a gate.
pub fn counts(settings: &Settings, pair: &Pair) -> bool {
    effects(settings, pair).is_ok()
}

/// Whether enough pairs of a look say something of a metric: more than half.
fn is_gated(effects: &[f64], settings: &Settings, look: usize) -> bool {
    settings.looks.get(look).is_some_and(|&pairs| 2 * effects.len() > pairs as usize)
}

/// What a look finds, for each limit. `open` is the decision where neither pass nor fail is shown.
fn look_at(settings: &Settings, effects: &[Vec<f64>], look: usize, open: Decision) -> Vec<Finding> {
    let alpha = settings.alpha.get(look).copied().unwrap_or(0.0);
    let gated = settings.limits.iter().zip(effects).filter(|(_, effects)| is_gated(effects, settings, look));
    let gated: Vec<(&Limit, usize, SignedRank)> =
        gated.filter_map(|(limit, effects)| Some((limit, effects.len(), signed_rank(effects)?))).collect();
    let p: Vec<f64> = gated.iter().map(|(_, _, test)| test.p_less()).collect();
    let findings = gated.iter().zip(holm(&p)).map(|((limit, n, test), (share, p_adjusted))| {
        let alpha_own = alpha / share as f64;
        let estimate = test.hodges_lehmann();
        let (lower, upper) = (test.lower(1.0 - settings.confidence), test.upper(alpha_own));
        let tolerated = limit.tolerated();
        let decision = match () {
            () if p_adjusted <= alpha && estimate < tolerated => Decision::Fail,
            () if lower.is_some_and(|lower| lower > tolerated) && estimate <= LOST => Decision::Pass,
            () => open,
        };
        let Limit { metric, delta } = **limit;
        let mut finding = Finding {
            metric,
            delta,
            n: *n,
            hodges_lehmann: estimate,
            lower,
            upper,
            upper_confidence: 1.0 - alpha_own,
            p: test.p_less(),
            p_adjusted,
            decision,
            text: String::new(),
        };
        finding.text = words::finding(&finding, settings.confidence);
        finding
    });
    findings.collect()
}

/// Holm's step-down correction (1979): for each p the number that shares α at its turn, and the
/// adjusted p, in the order given.
pub(super) fn holm(p: &[f64]) -> Vec<(usize, f64)> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&one, &other| p[one].total_cmp(&p[other]));
    let mut adjusted = vec![(1, 1.0); p.len()];
    let mut largest: f64 = 0.0;
    for (turn, &at) in order.iter().enumerate() {
        let share = p.len() - turn;
        largest = largest.max((p[at] * share as f64).min(1.0));
        adjusted[at] = (share, largest);
    }
    adjusted
}

#[cfg(test)]
mod tests;
