//! How often a trend is right: steps at known places, drifts, and noise without any change.

use loadgen::gate::trend::{ChangePoint, Sensitivity, change_points};

use crate::model::Random;

/// Noise of one night.
const NOISE: f64 = 0.02;
/// Histories of each kind.
const HISTORIES: u64 = 1_000;

/// A history with noise of 2 % around what `level` says.
fn history(seed: u64, count: usize, level: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..count).map(|at| 1_000.0 * level(at) * (1.0 + NOISE * random.normal())).collect()
}

/// The share of histories of which something holds.
fn share(
    count: usize,
    level: impl Fn(usize) -> f64,
    sensitivity: &Sensitivity,
    holds: impl Fn(&[ChangePoint]) -> bool,
) -> f64 {
    let found = (0..HISTORIES).filter(|&seed| holds(&change_points(&history(seed, count, &level), sensitivity)));
    found.count() as f64 / HISTORIES as f64
}

#[test]
fn a_step_of_a_few_percent_is_found_where_it_is() {
    for (step, at_least) in [(0.95, 0.98), (0.97, 0.75)] {
        let level = |at: usize| if at < 60 { 1.0 } else { step };
        let near = |points: &[ChangePoint]| {
            points.iter().any(|point| point.at.abs_diff(60) <= 3 && point.after < point.before)
        };
        let found = share(100, level, &Sensitivity::default(), near);
        println!("a step to {step} at 60 of 100 is found within 3 places in {:.1} %", found * 100.0);
        assert!(found >= at_least, "{found}");
    }
}

#[test]
fn noise_alone_seldom_shows_a_change() {
    for (magnitude, count, at_most) in [(0.0, 50, 0.03), (0.0, 200, 0.08), (0.02, 50, 0.02), (0.02, 200, 0.06)] {
        let sensitivity = Sensitivity::new(50, 0.001, magnitude).unwrap();
        let found = share(count, |_| 1.0, &sensitivity, |points| !points.is_empty());
        println!("noise alone shows a change in {:.1} % of {count} values, magnitude {magnitude}", found * 100.0);
        assert!(found <= at_most, "{found}");
    }
}

#[test]
fn a_slow_drift_that_no_gate_sees_is_found() {
    // 0.1 % a night: a twentieth of the noise, 10 % after 100 nights.
    let worse = |points: &[ChangePoint]| points.last().is_some_and(|point| point.after < point.before);
    let found = share(100, |at| 1.0 - 0.001 * at as f64, &Sensitivity::default(), worse);
    println!("a drift of 0.1 % a night is found after 100 nights in {:.1} %", found * 100.0);
    assert!(found >= 0.99, "{found}");
}
