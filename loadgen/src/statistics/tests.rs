//! The published and independently computed values of `tests/vectors/statistics.json`.

use hdrhistogram::Histogram;
use serde_json::Value;

use super::*;

fn vectors(key: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("../../tests/vectors/statistics.json")).unwrap();
    let found = all.get(key).cloned().unwrap();
    assert!(found.as_array().is_none_or(|all| !all.is_empty()) && found.as_object().is_none_or(|all| !all.is_empty()));
    found
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-10 * expected.abs().max(1e-300), "{what}: {found}, expected {expected}");
}

#[test]
fn quantiles_are_those_of_the_vectors() {
    let vector = vectors("quantile_nearest_rank");
    let values = numbers(&vector["x"]);
    for (q, expected) in vector["q"].as_object().unwrap() {
        assert_eq!(quantile(&values, q.parse().unwrap()), expected.as_f64(), "{q}");
    }
}

#[test]
fn ranks_of_quantile_intervals_are_those_of_the_vectors() {
    for vector in vectors("quantile_ci_ranks").as_array().unwrap() {
        let found = quantile_ranks(vector["n"].as_u64().unwrap(), number(&vector["q"]), number(&vector["conf"]));
        let expected = Ranks { lower: vector["ranks"][0].as_u64(), upper: vector["ranks"][1].as_u64() };
        assert_eq!(found, expected, "{vector}");
    }
}

#[test]
fn samples_that_an_upper_rank_needs_are_those_of_the_vectors() {
    for (q, expected) in vectors("min_n_for_upper_ci").as_object().unwrap() {
        assert_eq!(samples_for_upper_rank(q.parse().unwrap(), 0.95), expected.as_u64(), "{q}");
    }
}

#[test]
fn bounds_of_failure_ratios_are_those_of_the_vectors() {
    for vector in vectors("failure_ratio_upper95").as_array().unwrap() {
        let (failed, attempted) = (vector["failed"].as_u64().unwrap(), vector["attempted"].as_u64().unwrap());
        near(failure_ratio_upper(failed, attempted, 0.95), number(&vector["upper"]), &vector.to_string());
    }
}

#[test]
fn the_mann_whitney_test_is_that_of_the_vectors() {
    for vector in vectors("mann_whitney").as_array().unwrap() {
        let found = mann_whitney(&numbers(&vector["a"]), &numbers(&vector["b"])).unwrap();
        assert_eq!(found.u, number(&vector["U_a"]));
        near(found.p_two_sided(), number(&vector["p_two_sided"]), &vector.to_string());
    }
    for (count, expected) in vectors("mann_whitney_min_p_two_sided").as_object().unwrap() {
        let count: usize = count.parse().unwrap();
        let values: Vec<f64> = (0..2 * count).map(|at| at as f64).collect();
        let found = mann_whitney(&values[..count], &values[count..]).unwrap();
        near(found.p_two_sided(), number(expected), &format!("{count} values"));
    }
}

#[test]
fn the_signed_rank_test_is_that_of_the_vectors() {
    for vector in vectors("signed_rank").as_array().unwrap() {
        let (differences, alpha) = (numbers(&vector["d"]), number(&vector["alpha"]));
        let found = signed_rank(&differences).unwrap();
        assert_eq!(found.t_plus() as f64, number(&vector["T_plus"]));
        assert_eq!(Some(found.rank(alpha) as u64), vector["k"].as_u64());
        near(found.p_less(), number(&vector["p_one_sided_less"]), "p");
        near(found.hodges_lehmann(), number(&vector["hodges_lehmann"]), "estimate");
        assert_eq!(hodges_lehmann(&differences), Some(found.hodges_lehmann()));
        for (bound, expected) in [(found.upper(alpha), &vector["upper"]), (found.lower(alpha), &vector["lower"])] {
            assert_eq!(bound.is_some(), !expected.is_null(), "{vector}");
            bound.into_iter().for_each(|bound| near(bound, number(expected), "bound"));
        }
    }
    for (count, expected) in vectors("signed_rank_min_p").as_object().unwrap() {
        let differences: Vec<f64> = (1..=count.parse().unwrap()).map(|at| -f64::from(at)).collect();
        near(signed_rank(&differences).unwrap().p_less(), number(expected), &format!("{count} pairs"));
    }
}

/// What a histogram says, with the names of the vectors.
fn compare(histogram: &Histogram<u64>, expected: &Value) {
    assert_eq!(Some(histogram.len()), expected["n"].as_u64());
    // Values are known to 0.1 % and quantiles to the bucket.
    let close = |found: f64, name: &str| {
        let expected = number(&expected[name]);
        assert!((found / expected - 1.0).abs() < 1e-3, "{name}: {found}, expected {expected}");
    };
    close(histogram.mean(), "mean");
    for (name, q) in [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
        close(histogram.value_at_quantile(q) as f64, name);
    }
}

#[test]
fn a_stall_shows_only_when_time_counts_from_when_it_was_due() {
    let vector = vectors("coordinated_omission_ms");
    let empty = || Histogram::<u64>::new(3).unwrap();
    // A request each 10 ms for 100 s, answered in 1 ms; then one answer that takes 100 s.
    let (mut closed, mut corrected, mut open) = (empty(), empty(), empty());
    for _ in 0..10_000 {
        closed.record(1).unwrap();
        corrected.record_correct(1, 10).unwrap();
        open.record(1).unwrap();
    }
    closed.record(100_000).unwrap();
    corrected.record_correct(100_000, 10).unwrap();
    // Due 10 ms apart during the stall, answered when it ends.
    (0..10_000).for_each(|due| open.record(100_000 - due * 10).unwrap());
    compare(&closed, &vector["naive_closed_loop"]);
    compare(&corrected, &vector["hdr_record_correct"]);
    compare(&open, &vector["open_loop_intended_start"]);
}

#[test]
fn three_digits_tell_values_apart_as_finely_as_said() {
    let histogram = Histogram::<u64>::new(3).unwrap();
    for (value, width) in vectors("hdr3_unit_width").as_object().unwrap() {
        let value: u64 = value.parse().unwrap();
        let (low, high) = (histogram.lowest_equivalent(value), histogram.highest_equivalent(value));
        assert_eq!(Some(high - low + 1), width.as_u64(), "{value}");
    }
}
