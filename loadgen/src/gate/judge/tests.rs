//! The rule at its edges.

use super::*;
use crate::gate::Order;

/// Pairs of one metric with the given effects.
fn pairs(effects: &[f64]) -> Vec<Pair> {
    several(&[Metric::Tps], &effects.iter().map(|&effect| vec![effect]).collect::<Vec<_>>())
}

/// Pairs of several metrics; each row has one effect for each metric.
fn several(metrics: &[Metric], rows: &[Vec<f64>]) -> Vec<Pair> {
    let pair = |(at, row): (usize, &Vec<f64>)| {
        let candidate = metrics.iter().zip(row).map(|(&metric, &effect)| {
            let effect = if metric.higher_is_better() { effect } else { -effect };
            (metric, 1_000.0 * effect.exp())
        });
        Pair {
            number: at as u32 + 1,
            order: Order::BaselineFirst,
            baseline: metrics.iter().map(|&metric| (metric, 1_000.0)).collect(),
            candidate: candidate.collect(),
            discarded: None,
        }
    };
    rows.iter().enumerate().map(pair).collect()
}

fn settings(metrics: &[Metric], delta: f64) -> Settings {
    Settings::new(metrics.iter().map(|&metric| Limit { metric, delta }).collect()).unwrap()
}

fn one() -> Settings {
    settings(&[Metric::Tps], 0.05)
}

/// Effects around a middle, spread evenly over ± `spread`.
fn around(middle: f64, spread: f64, count: usize) -> Vec<f64> {
    let step = |at: usize| (at as f64 / (count - 1) as f64 - 0.5) * 2.0 * spread;
    (0..count).map(|at| middle + step(at * 5 % count)).collect()
}

#[test]
fn equal_sides_pass_at_the_first_look() {
    let found = judge(&one(), &pairs(&[0.0; 8]));
    assert_eq!((found.decision, found.look), (Decision::Pass, Some(0)));
    let finding = &found.findings[0];
    assert_eq!((finding.hodges_lehmann, finding.lower, finding.p, finding.p_adjusted), (0.0, Some(0.0), 1.0, 1.0));
    assert!(finding.text.contains("transactions per second: 0.0 % over 8 pairs"), "{}", finding.text);
}

#[test]
fn a_clear_loss_fails_at_the_first_look_and_a_clear_gain_passes() {
    let found = judge(&one(), &pairs(&around(-0.09, 0.02, 8)));
    assert_eq!((found.decision, found.look), (Decision::Fail, Some(0)));
    assert_eq!(found.findings[0].p, 1.0 / 256.0);
    let line = &found.explanation[3];
    assert!(line.contains("p 0.004: fail, surely worse and by more than is tolerated"), "{line}");
    assert!(found.findings[0].upper.unwrap() < 0.0);
    assert_eq!(judge(&one(), &pairs(&around(0.2, 0.02, 8))).decision, Decision::Pass);
}

#[test]
fn a_certain_loss_inside_the_tolerance_passes() {
    let found = judge(&one(), &pairs(&around(-0.03, 0.01, 8)));
    assert!(found.findings[0].p_adjusted <= 0.004, "the loss itself is beyond doubt");
    assert_eq!(found.decision, Decision::Pass);
}

#[test]
fn the_tolerance_ends_at_the_logarithm_of_what_may_remain() {
    // ln(1 − 0.05) = −0.051293: a certain loss just beyond it fails, just inside it passes.
    assert_eq!(judge(&one(), &pairs(&[-0.051_3; 8])).decision, Decision::Fail);
    assert_eq!(judge(&one(), &pairs(&[-0.051_2; 8])).decision, Decision::Pass);
    // A metric that grows when it gets worse: 1 / 0.95 of a size is the same loss.
    let memory = settings(&[Metric::MemoryPerConnection], 0.05);
    let of = |effect| several(&[Metric::MemoryPerConnection], &vec![vec![effect]; 8]);
    assert_eq!(judge(&memory, &of(-0.051_3)).decision, Decision::Fail);
    let found = judge(&memory, &of(-0.051_2));
    assert_eq!(found.decision, Decision::Pass);
    assert!(found.findings[0].text.contains("+5.3 % over 8 pairs"), "{}", found.findings[0].text);
}

#[test]
fn what_stays_open_gets_more_pairs_and_ends_inconclusive() {
    // Far apart around the tolerance: neither is shown.
    let effects = around(-0.05, 0.2, 20);
    for (given, until) in [(0, 8), (1, 8), (7, 8), (8, 14), (13, 14), (14, 20), (19, 20)] {
        let found = judge(&one(), &pairs(&effects[..given]));
        assert_eq!(found.decision, Decision::More { until }, "{given} pairs");
        assert_eq!(found.look.is_none(), given < 8);
    }
    let found = judge(&one(), &pairs(&effects));
    assert_eq!((found.decision, found.look), (Decision::Inconclusive, Some(2)));
    assert!(
        found
            .explanation
            .iter()
            .any(|line| line.ends_with("open, neither surely worse nor surely within what is tolerated"))
    );
    assert_eq!(found.findings[0].n, 20);
}

#[test]
fn between_looks_nothing_can_be_decided() {
    let effects = [around(-0.05, 0.2, 8), vec![-0.5; 5]].concat();
    let found = judge(&one(), &pairs(&effects));
    assert_eq!((found.decision, found.findings[0].n), (Decision::More { until: 14 }, 8));
}

#[test]
fn the_first_decision_stands_whatever_comes_later() {
    let effects = [vec![0.0; 8], vec![-0.5; 12]].concat();
    let found = judge(&one(), &pairs(&effects));
    assert_eq!((found.decision, found.look), (Decision::Pass, Some(0)));
    assert_eq!(found.explanation.last().unwrap(), "12 later pairs are not looked at: the first decision stands");
}

#[test]
fn the_order_of_the_list_does_not_matter() {
    let mut pairs = pairs(&[around(0.0, 0.02, 8), vec![-0.5; 12]].concat());
    let expected = judge(&one(), &pairs);
    pairs.reverse();
    assert_eq!(judge(&one(), &pairs), expected);
}

#[test]
fn only_valid_pairs_count_to_a_look() {
    let mut pairs = pairs(&[-0.09; 10]);
    pairs[1].discarded = Some("steal 7 %".to_owned());
    pairs[4].candidate[0].1 = f64::NAN;
    pairs[4].baseline.clear();
    assert_eq!(judge(&one(), &pairs[..9]).decision, Decision::More { until: 8 });
    let found = judge(&one(), &pairs);
    assert_eq!((found.decision, found.findings[0].n), (Decision::Fail, 8));
    assert!(found.explanation.contains(&"pair 2 is discarded: steal 7 %".to_owned()), "{:?}", found.explanation);
    assert!(found.explanation.iter().any(|line| line.starts_with("pair 5 is discarded: neither side has")));
}

#[test]
fn more_than_30_percent_discarded_is_unfit() {
    let discard = |count: usize, valid: usize| {
        let mut pairs = pairs(&vec![-0.09; count + valid]);
        pairs[..count].iter_mut().for_each(|pair| pair.discarded = Some("steal 7 %".to_owned()));
        judge(&one(), &pairs)
    };
    // 3 of 11 pairs are 27 %, 4 of 12 are 33 %: with the fourth the look at 8 can never be reached.
    assert_eq!(discard(3, 8).decision, Decision::Fail);
    assert_eq!(discard(3, 0).decision, Decision::More { until: 8 });
    let found = discard(4, 0);
    assert_eq!((found.decision, found.findings.len(), found.look), (Decision::Unfit, 0, None));
    assert!(!found.explanation.last().unwrap().contains("candidate"));
}

#[test]
fn a_candidate_that_gives_nothing_fails_and_a_baseline_that_gives_nothing_passes_nobody() {
    let lost = |metric: Metric, value: Option<f64>, candidate: bool| {
        let mut pairs = several(&[metric], &vec![vec![0.0]; 20]);
        for pair in &mut pairs {
            let side = if candidate { &mut pair.candidate } else { &mut pair.baseline };
            *side = value.map(|value| (metric, value)).into_iter().collect();
        }
        judge(&settings(&[metric], 0.05), &pairs)
    };
    for metric in [Metric::Tps, Metric::PRIMARY, Metric::ResponseTimeP99] {
        for value in [None, Some(0.0), Some(f64::NAN)] {
            let found = lost(metric, value, true);
            assert_eq!(found.decision, Decision::Fail, "{metric:?} {value:?}");
            assert!(found.findings[0].text.contains(": no value over 8 pairs"), "{}", found.findings[0].text);
            assert_eq!(lost(metric, value, false).decision, Decision::Inconclusive, "{metric:?} {value:?}");
        }
    }
    // Connections that the candidate did not hold are lost; memory that does not grow is none.
    assert_eq!(lost(Metric::MemoryPerConnection, None, true).decision, Decision::Fail);
    assert_eq!(lost(Metric::MemoryPerConnection, Some(-20.0), true).decision, Decision::Pass);
}

#[test]
fn memory_is_gated_only_where_that_of_the_baseline_grows() {
    let both = [Metric::Tps, Metric::MemoryPerConnection];
    let with = |flat: usize| {
        let mut pairs = several(&both, &vec![vec![0.0, -0.5]; 12]);
        pairs[..flat].iter_mut().for_each(|pair| pair.baseline[1].1 = -3.0);
        judge(&settings(&both, 0.05), &pairs)
    };
    assert_eq!(with(0).decision, Decision::Fail);
    let flat = with(6);
    assert_eq!((flat.decision, flat.findings.len()), (Decision::Pass, 1));
    let named = "memory per connection is not gated: only in 6 of 12 pairs the baseline's is above 0";
    assert!(flat.explanation.iter().any(|line| line == named), "{:?}", flat.explanation);
}

#[test]
fn one_bad_metric_of_five_fails_the_gate_and_is_named() {
    let mut rows = vec![vec![0.0; 5]; 12];
    rows.iter_mut().zip(around(-0.12, 0.03, 12)).for_each(|(row, effect)| row[4] = effect);
    let found = judge(&settings(&Metric::ALL, 0.05), &several(&Metric::ALL, &rows));
    assert_eq!((found.decision, found.look), (Decision::Fail, Some(0)));
    let decisions: Vec<Decision> = found.findings.iter().map(|finding| finding.decision).collect();
    assert_eq!(decisions[..4], [Decision::Pass; 4]);
    let last = &found.findings[4];
    // The smallest of five p has to reach α / 5.
    assert_eq!((last.decision, last.p_adjusted), (Decision::Fail, 5.0 / 4_096.0));
    assert!((last.upper_confidence - (1.0 - 0.004 / 5.0)).abs() < 1e-12);
    assert!(found.explanation.last().unwrap().contains("memory per connection"), "{:?}", found.explanation);
}

#[test]
fn holm_asks_more_of_the_first_than_one_metric_would() {
    // p = 2/4096 = 0.00049 fails alone, and with four others that are equal on both sides does so, too;
    // p = 5/4096 = 0.0012 fails alone only.
    let with = |effects: Vec<f64>, metrics: &[Metric]| {
        let rows: Vec<Vec<f64>> =
            effects.iter().map(|&effect| [vec![effect], vec![0.0; metrics.len() - 1]].concat()).collect();
        let limits = metrics.iter().map(|&metric| Limit { metric, delta: 0.05 }).collect();
        let settings = Settings::with_looks(limits, vec![12], vec![0.004]).unwrap();
        judge(&settings, &several(metrics, &rows)).decision
    };
    let slightly: Vec<f64> = (0..12).map(|at| if at == 0 { 0.001 } else { -0.1 - f64::from(at) / 1_000.0 }).collect();
    let more: Vec<f64> = slightly.iter().enumerate().map(|(at, &d)| if at == 1 { 0.101_5 } else { d }).collect();
    for (effects, t_plus) in [(&slightly, 1), (&more, 3)] {
        assert_eq!(signed_rank(effects).unwrap().t_plus(), t_plus);
        assert_eq!(with(effects.clone(), &Metric::ALL[..1]), Decision::Fail);
    }
    assert_eq!(with(slightly, &Metric::ALL), Decision::Fail);
    assert_eq!(with(more, &Metric::ALL), Decision::Inconclusive);
}

#[test]
fn holm_is_that_of_its_paper() {
    // Holm 1979: ordered p times m, m − 1, …, never falling, at most 1.
    let found = holm(&[0.01, 0.04, 0.03, 0.005]);
    let expected = [(3, 0.03), (1, 0.06), (2, 0.06), (4, 0.02)];
    for ((share, p), (expected_share, expected_p)) in found.iter().zip(expected) {
        assert!(*share == expected_share && (p - expected_p).abs() < 1e-12, "{found:?}");
    }
    assert_eq!(holm(&[0.7, 0.9]), [(2, 1.0), (1, 1.0)]);
}

#[test]
fn without_a_metric_nothing_passes() {
    let empty = Settings { limits: Vec::new(), ..one() };
    assert_eq!(judge(&empty, &pairs(&[0.0; 20])).decision, Decision::Inconclusive);
    let blind = Settings { looks: Vec::new(), ..one() };
    assert_eq!(judge(&blind, &pairs(&[0.0; 20])).decision, Decision::Inconclusive);
}

#[test]
fn a_judgement_comes_back_from_its_json() {
    let found = judge(&one(), &pairs(&around(-0.09, 0.02, 8)));
    let text = serde_json::to_string(&found).unwrap();
    assert!(text.contains(r#""decision":"fail""#), "{text}");
    assert_eq!(serde_json::from_str::<Judgement>(&text).unwrap(), found);
    let text = serde_json::to_string(&Decision::More { until: 14 }).unwrap();
    assert_eq!(text, r#"{"more":{"until":14}}"#);
}
