//! What pairs of the same build say about a machine: how far neighbours differ, whether the gate would
//! have failed nothing, and which δ this machine can tell.

use serde::{Deserialize, Serialize};

use super::judge::effects;
use super::{Decision, Limit, Metric, Pair, Settings, judge};
use crate::statistics::signed_rank;

/// The δ that are proposed; a finer one would promise what σ, itself an estimate, does not hold.
const GRID: [f64; 12] = [0.01, 0.02, 0.03, 0.05, 0.075, 0.10, 0.15, 0.20, 0.25, 0.30, 0.40, 0.50];
/// The most pairs that are used: the last ones, because a machine changes.
const PAIRS_MAX: usize = 500;

/// What pairs of the same build say about one metric.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MetricNoise {
    /// The metric.
    pub metric: Metric,
    /// Standard deviation of d = ln(candidate / baseline); `None` with fewer than two pairs.
    pub sd: Option<f64>,
    /// Estimated effect (Hodges and Lehmann), which should be none; `None` without a pair.
    pub hodges_lehmann: Option<f64>,
    /// Two-sided p of the exact signed-rank test: small if one side is favoured, which it must not be.
    pub p: Option<f64>,
    /// The δ in use.
    pub delta: f64,
    /// The smallest δ of a round size that is at least 2 σ / √n, n being the pairs of the first look.
    /// `None` with fewer than two pairs, or if even 50 % is too small.
    pub delta_proposed: Option<f64>,
}

/// What pairs of the same build say about a machine.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Noise {
    /// Valid pairs.
    pub n: usize,
    /// Discarded pairs.
    pub discarded: usize,
    /// Each metric, in the order of the settings.
    pub metrics: Vec<MetricNoise>,
    /// How many whole gates the pairs would have made, one after the other.
    pub gates: usize,
    /// How many of these passed.
    #[serde(default)]
    pub passed: usize,
    /// How many failed. Each is a wrong failure: both sides were the same.
    pub failed: usize,
}

/// Judges a machine by pairs of the same build.
pub fn noise(settings: &Settings, pairs: &[Pair]) -> Noise {
    let mut pairs: Vec<&Pair> = pairs.iter().collect();
    pairs.sort_by_key(|pair| pair.number);
    let pairs = &pairs[pairs.len().saturating_sub(PAIRS_MAX)..];
    let valid: Vec<Vec<Option<f64>>> = pairs.iter().filter_map(|pair| effects(settings, pair).ok()).collect();
    let of = |at: usize| valid.iter().filter_map(|effects| effects[at]).collect::<Vec<f64>>();
    let metrics = settings.limits.iter().enumerate().map(|(at, limit)| metric_noise(settings, limit, &of(at)));
    let metrics = metrics.collect();
    let [gates, passed, failed] = gates(settings, pairs);
    Noise { n: valid.len(), discarded: pairs.len() - valid.len(), metrics, gates, passed, failed }
}

fn metric_noise(settings: &Settings, limit: &Limit, effects: &[f64]) -> MetricNoise {
    let test = signed_rank(effects);
    let sd = sd(effects);
    let first = settings.looks.first().copied().unwrap_or(1);
    let smallest = sd.map(|sd| 2.0 * sd / f64::from(first).sqrt());
    let delta_proposed = smallest.and_then(|smallest| GRID.into_iter().find(|&delta| delta >= smallest));
    MetricNoise {
        metric: limit.metric,
        sd,
        hodges_lehmann: test.as_ref().map(|test| test.hodges_lehmann()),
        p: test.as_ref().map(|test| test.p_two_sided()),
        delta: limit.delta,
        delta_proposed,
    }
}

fn sd(values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt())
}

/// How many gates the pairs make one after the other, each with the pairs it needs, how many of them pass,
/// and how many fail.
fn gates(settings: &Settings, pairs: &[&Pair]) -> [usize; 3] {
    let [mut gates, mut passed, mut failed] = [0; 3];
    let mut own: Vec<Pair> = Vec::new();
    for &pair in pairs {
        own.push(pair.clone());
        let decision = judge(settings, &own).decision;
        if !matches!(decision, Decision::More { .. }) {
            gates += 1;
            passed += usize::from(decision == Decision::Pass);
            failed += usize::from(decision == Decision::Fail);
            own.clear();
        }
    }
    [gates, passed, failed]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Order;

    fn pairs(effects: impl IntoIterator<Item = f64>) -> Vec<Pair> {
        let pair = |(at, effect): (usize, f64)| Pair {
            number: at as u32,
            order: Order::BaselineFirst,
            baseline: vec![(Metric::Tps, 1_000.0)],
            candidate: vec![(Metric::Tps, 1_000.0 * effect.exp())],
            discarded: None,
        };
        effects.into_iter().enumerate().map(pair).collect()
    }

    fn settings() -> Settings {
        Settings::new(vec![Limit { metric: Metric::Tps, delta: 0.05 }]).unwrap()
    }

    #[test]
    fn the_proposed_delta_is_two_standard_errors_of_the_first_look_rounded_up() {
        // ± 6.2 % has a standard deviation of 6.4 % over 20 pairs; 2 · 6.4 % / √8 is 4.5 %.
        let found = noise(&settings(), &pairs((0..20).map(|at| if at % 2 == 0 { 0.062 } else { -0.062 })));
        let metric = &found.metrics[0];
        assert!((metric.sd.unwrap() - 0.063_6).abs() < 1e-3, "{metric:?}");
        assert_eq!((metric.delta, metric.delta_proposed), (0.05, Some(0.05)));
        assert_eq!((found.n, found.discarded), (20, 0));
        let louder = noise(&settings(), &pairs((0..20).map(|at| if at % 2 == 0 { 0.12 } else { -0.12 })));
        assert_eq!(louder.metrics[0].delta_proposed, Some(0.10));
        let hopeless = noise(&settings(), &pairs((0..20).map(|at| if at % 2 == 0 { 1.0 } else { -1.0 })));
        assert_eq!(hopeless.metrics[0].delta_proposed, None);
        let silent = noise(&settings(), &pairs([0.0; 8]));
        assert_eq!((silent.metrics[0].sd, silent.metrics[0].delta_proposed), (Some(0.0), Some(0.01)));
    }

    #[test]
    fn a_side_that_is_favoured_shows_in_p_and_fails_gates() {
        let fair = noise(&settings(), &pairs((0..24).map(|at| f64::from(at % 3 - 1) / 100.0)));
        assert!(fair.metrics[0].p.unwrap() > 0.5 && fair.metrics[0].hodges_lehmann.unwrap().abs() < 1e-12, "{fair:?}");
        assert_eq!((fair.gates, fair.failed), (3, 0));
        let favoured = noise(&settings(), &pairs((0..24).map(|at| -0.08 - f64::from(at % 3) / 100.0)));
        assert!(favoured.metrics[0].p.unwrap() < 1e-4, "{favoured:?}");
        assert_eq!((favoured.gates, favoured.failed), (3, 3));
    }

    #[test]
    fn too_few_pairs_propose_nothing() {
        let none = noise(&settings(), &[]);
        let metric = &none.metrics[0];
        assert_eq!((metric.sd, metric.hodges_lehmann, metric.p, metric.delta_proposed), (None, None, None, None));
        let mut discarded = pairs([0.1, 0.2]);
        discarded[0].discarded = Some("steal 7 %".to_owned());
        let one = noise(&settings(), &discarded);
        assert_eq!((one.n, one.discarded, one.gates, one.metrics[0].sd), (1, 1, 0, None));
    }
}
