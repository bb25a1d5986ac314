//! How long operations wait for a free worker, and how many are turned away: Erlang's formulae.
//!
//! A sanity check of a planned utilisation, not a forecast: arrivals are taken as Poisson and service
//! times as exponential (M/M/c), which is kinder than bursts and harsher than even arrivals; with
//! other variances the wait changes by about (ca² + cs²)/2 (Allen and Cunneen).
//! Source: A. K. Erlang 1917; the recursion B(k) = a·B(k−1)/(k + a·B(k−1)) is exact and overflows
//! nowhere, unlike factorials.

/// Most workers that are computed with; more are taken as so many.
pub const WORKERS_MAX: u32 = 1 << 20;

/// Share of arrivals that find all `workers` busy and are turned away (Erlang B), at an offered load
/// of `load` workers (arrival rate over service rate, 0 or more). 1 without workers.
pub fn blocked(workers: u32, load: f64) -> f64 {
    (1..=workers.min(WORKERS_MAX)).fold(1.0, |share, k| load * share / (f64::from(k) + load * share))
}

/// Share of arrivals that have to wait (Erlang C); 1 when the workers cannot keep up.
pub fn delayed(workers: u32, load: f64) -> f64 {
    let busy = load / f64::from(workers);
    if workers == 0 || busy >= 1.0 {
        return 1.0;
    }
    let blocked = blocked(workers, load);
    blocked / (1.0 - busy + busy * blocked)
}

/// The wait in seconds that a share `quantile` (0 to 1) of all arrivals does not exceed, with `workers`
/// that do `per_worker` operations per second each and are busy for the share `busy` of the time.
/// `None` when they cannot keep up: the queue has no end.
pub fn wait_s(workers: u32, per_worker: f64, busy: f64, quantile: f64) -> Option<f64> {
    if workers == 0 || !(0.0..1.0).contains(&busy) {
        return None;
    }
    let workers_f = f64::from(workers);
    let delayed = delayed(workers, busy * workers_f);
    let tail = 1.0 - quantile;
    if delayed <= tail {
        return Some(0.0);
    }
    Some((delayed / tail).ln() / (workers_f * per_worker * (1.0 - busy)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_and_delayed_shares_are_those_of_the_vectors() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/statistics.json")).unwrap();
        let cases = vectors["erlang"].as_array().unwrap();
        assert_eq!(cases.len(), 7);
        for case in cases {
            let number = |key: &str| case[key].as_f64().unwrap();
            let (workers, load) = (number("c") as u32, number("a"));
            assert!((blocked(workers, load) - number("B")).abs() < 1e-12, "{case}");
            assert!((delayed(workers, load) - number("C")).abs() < 1e-12, "{case}");
        }
    }

    #[test]
    fn the_wait_grows_without_end_towards_full_use() {
        let us = |busy| (wait_s(8, 6_000.0, busy, 0.99).unwrap() * 1e6).round();
        assert_eq!([0.6, 0.7, 0.8, 0.9, 0.95].map(us), [137.0, 229.0, 398.0, 886.0, 1_848.0]);
        assert_eq!(wait_s(8, 6_000.0, 0.01, 0.99), Some(0.0));
        assert_eq!(wait_s(8, 6_000.0, 1.0, 0.99), None);
        assert_eq!(wait_s(0, 6_000.0, 0.5, 0.99), None);
        assert_eq!((blocked(0, 5.0), delayed(4, 4.0)), (1.0, 1.0));
    }
}
