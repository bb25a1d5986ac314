//! Pairs of runs, and which build runs first in them.

use serde::{Deserialize, Serialize};
use wire::hash;

use super::Metric;

/// Which build of a pair runs first.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The baseline, then the candidate.
    BaselineFirst,
    /// The candidate, then the baseline.
    CandidateFirst,
}

/// The order inside a pair: random, the same for the same seed and number on every machine.
///
/// Each pair is decided on its own (not as a permutation of equal shares), so that nobody who knows the
/// first orders knows the last one.
pub fn order(seed: u64, pair_number: u32) -> Order {
    // The n-th number of splitmix64 , which can be had without the ones before.
    let mixed = hash::mixed(seed.wrapping_add(u64::from(pair_number).wrapping_mul(hash::GOLDEN)));
    if mixed >> 63 == 0 { Order::BaselineFirst } else { Order::CandidateFirst }
}

/// Two runs that were neighbours in time, one of each build.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Its number, rising with time. The warm-up pair is not among the pairs.
    pub number: u32,
    /// Which build ran first.
    pub order: Order,
    /// What the baseline's run measured.
    #[serde(with = "values")]
    pub baseline: Vec<(Metric, f64)>,
    /// What the candidate's run measured.
    #[serde(with = "values")]
    pub candidate: Vec<(Metric, f64)>,
    /// Why the pair does not count: one of its runs was invalid. Decided from the validity of the runs
    /// and never from their values, or the gate would choose its evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discarded: Option<String>,
}

impl Pair {
    /// d = ln(candidate / baseline) of one metric, with the sign turned so that negative is worse.
    ///
    /// # Errors
    /// Why the pair has no such figure: a side did not measure the metric, or its value has no logarithm.
    pub fn effect(&self, metric: Metric) -> Result<f64, String> {
        let value = |side: &str, values: &[(Metric, f64)]| {
            let found = values.iter().find(|(found, _)| *found == metric).map(|(_, value)| *value);
            match found {
                Some(value) if value.is_finite() && value > 0.0 => Ok(value),
                Some(value) => Err(format!("{} of the {side} is {value}, which has no ratio", metric.name())),
                None => Err(format!("the {side} has no {}", metric.name())),
            }
        };
        let (baseline, candidate) = (value("baseline", &self.baseline)?, value("candidate", &self.candidate)?);
        // A difference of logarithms, because the quotient of two finite numbers may overflow.
        let effect = candidate.ln() - baseline.ln();
        Ok(if metric.higher_is_better() { effect } else { -effect })
    }

    /// The effect that is judged. A side that gives nothing where the other one gives a value is worse than
    /// by any ratio, the same way for both sides: a pair must not be left out for what it shows. The test goes by
    /// ranks, so that the size of the number that stands for it does not matter.
    ///
    /// `Ok(None)`: the pair says nothing of the metric, because memory of the baseline does not grow.
    ///
    /// # Errors
    /// Neither side gives a value: the pair does not count.
    pub(super) fn evidence(&self, metric: Metric) -> Result<Option<f64>, String> {
        let of = |values: &[(Metric, f64)]| values.iter().find(|(found, _)| *found == metric).map(|(_, value)| *value);
        let usable = |value: Option<f64>| value.filter(|value| value.is_finite() && *value > 0.0);
        let (baseline, candidate) = (usable(of(&self.baseline)), usable(of(&self.candidate)));
        let is_memory = metric == Metric::MemoryPerConnection;
        match (baseline, candidate) {
            (Some(_), Some(_)) => self.effect(metric).map(Some),
            (None, _) if is_memory => Ok(None),
            // Memory that does not grow is as good as none: a byte, which has a logarithm.
            (Some(bytes), None) if is_memory && of(&self.candidate).is_some_and(f64::is_finite) => Ok(Some(bytes.ln())),
            (Some(_), None) => Ok(Some(-2.0 * LOST)),
            (None, Some(_)) => Ok(Some(2.0 * LOST)),
            (None, None) => Err(format!("neither side has a value of {}", metric.name())),
        }
    }
}

/// Half of the effect that stands for nothing: no two sides that work differ so much.
pub(super) const LOST: f64 = 10.0;

/// Values by metric as a JSON object. JSON has no word for what is not finite: it becomes `null` and
/// comes back as NaN, so that the pair stays discarded.
mod values {
    use serde::de::Deserializer;
    use serde::ser::Serializer;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    use super::Metric;

    pub(super) fn serialize<S: Serializer>(values: &[(Metric, f64)], serializer: S) -> Result<S::Ok, S::Error> {
        let finite = |value: f64| value.is_finite().then_some(value);
        let map: BTreeMap<Metric, Option<f64>> =
            values.iter().map(|&(metric, value)| (metric, finite(value))).collect();
        map.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Metric, f64)>, D::Error> {
        let map = BTreeMap::<Metric, Option<f64>>::deserialize(deserializer)?;
        Ok(map.into_iter().map(|(metric, value)| (metric, value.unwrap_or(f64::NAN))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(baseline: f64, candidate: f64) -> Pair {
        let of = |value| Metric::ALL.map(|metric| (metric, value)).to_vec();
        let (baseline, candidate) = (of(baseline), of(candidate));
        Pair { number: 1, order: Order::BaselineFirst, baseline, candidate, discarded: None }
    }

    #[test]
    fn worse_is_negative_whichever_way_a_metric_counts() {
        for metric in Metric::ALL {
            let better = if metric.higher_is_better() { 1.0 } else { -1.0 };
            let effect = pair(100.0, 90.0).effect(metric).unwrap();
            assert!((effect - better * 0.9_f64.ln()).abs() < 1e-12, "{metric:?}: {effect}");
            assert_eq!(pair(7.0, 7.0).effect(metric), Ok(0.0));
        }
    }

    #[test]
    fn values_without_a_ratio_are_named() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = pair(1.0, bad).effect(Metric::Cps).unwrap_err();
            assert_eq!(error, format!("cps of the candidate is {bad}, which has no ratio"));
        }
        let mut missing = pair(1.0, 1.0);
        missing.baseline.clear();
        assert_eq!(missing.effect(Metric::Tps), Err("the baseline has no tps".to_owned()));
        assert!(pair(1e-300, 1e300).effect(Metric::Tps).unwrap().is_finite());
    }

    #[test]
    fn a_pair_comes_back_from_its_json() {
        let mut before = pair(100.0, 90.0);
        before.discarded = Some("steal 7 %".to_owned());
        let text = serde_json::to_string(&before).unwrap();
        assert!(text.contains(r#""order":"baseline-first""#) && text.contains(r#""cps":90.0"#), "{text}");
        assert_eq!(serde_json::from_str::<Pair>(&text).unwrap(), before);
        // What is not a number stays none, and does not spoil the file.
        let text = serde_json::to_string(&pair(1.0, f64::NAN)).unwrap();
        assert!(serde_json::from_str::<Pair>(&text).unwrap().effect(Metric::Cps).is_err(), "{text}");
    }

    #[test]
    fn the_order_is_fixed_by_the_seed_and_is_a_fair_coin() {
        let orders = |seed| (0..10_000).map(move |number| order(seed, number) == Order::CandidateFirst);
        assert!(orders(1).eq(orders(1)));
        assert!(!orders(1).take(64).eq(orders(2).take(64)));
        let heads = orders(7).filter(|candidate| *candidate).count();
        // Five standard deviations of a fair coin are 250.
        assert!((4_750..=5_250).contains(&heads), "{heads}");
        let turns = orders(7).zip(orders(7).skip(1)).filter(|(one, next)| one != next).count();
        assert!((4_750..=5_250).contains(&turns), "{turns}");
    }
}
