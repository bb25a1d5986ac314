//! Joining runs with known counts at known offsets.

use super::*;
use crate::measure::record::EndedEarly;
use crate::measure::{Latencies, Latency, Outcome, Second};
use crate::report::fixture::{self, Scratch};

const SECOND: u64 = 1_000_000_000;

fn runs(name: &str, after_ns: &[u64]) -> Vec<Archive> {
    let scratch = Scratch::new(name);
    fixture::side_by_side(scratch.path(), after_ns)
}

/// A run whose second number n had `first + n` operations due, started and completed, each after so
/// many microseconds.
fn known(mut run: Archive, first: u64, response_us: u64) -> Archive {
    let record = &mut run.trials[0].record;
    record.latencies = Latencies::default();
    for second in &mut record.seconds {
        let count = first + u64::from(second.index);
        let mut latencies = Latencies::coarse();
        (0..count).for_each(|_| latencies.record(Latency::Response, response_us * 1_000));
        record.latencies.merge(&latencies);
        let index = second.index;
        *second = Second { index, due: count, started: count, transactions: count, opened: count, ..Second::default() };
        second.open = first;
        second.ended.add(Outcome::Ok, count);
        second.latencies = latencies;
    }
    run
}

#[test]
fn seconds_that_overlap_are_added_exactly() {
    let [one, other]: [Archive; 2] = runs("merge-sums", &[0, 2 * SECOND]).try_into().unwrap();
    let runs = [known(one, 100, 500), known(other, 1_000, 9_000)];
    let joined = join(&runs).unwrap();
    assert_eq!(joined.trials.len(), 1);
    let record = &joined.trials[0].record;
    // 13 seconds each, the second run two seconds later.
    let expected: Vec<u64> =
        (0..15).map(|at: u64| if at < 13 { 100 + at } else { 0 } + if at >= 2 { 1_000 + at - 2 } else { 0 }).collect();
    assert_eq!(record.seconds.iter().map(|second| second.due).collect::<Vec<_>>(), expected);
    assert_eq!(record.seconds.iter().map(|second| second.ended.of(Outcome::Ok)).collect::<Vec<_>>(), expected);
    assert_eq!(record.seconds[5].open, 1_100);
    assert_eq!(record.began_ns, joined.began_monotonic_ns + SECOND);

    // Sums of each run's own sustain, whatever the offset.
    let sum =
        |of: fn(&crate::measure::TrialRecord) -> u64| -> u64 { runs.iter().flat_map(Archive::records).map(of).sum() };
    assert_eq!(record.due, sum(|record| record.due));
    assert_eq!(record.outcomes.total(), sum(|record| record.outcomes.total()));
    assert_eq!(record.load.amount(), 1_960.0);

    // Sustain is seconds 1 to 10 of the one and 3 to 12 of the other: 3 to 10 are shared.
    assert_eq!(joined.shared_s, 8);
    let figure = joined.figure.unwrap();
    assert_eq!(figure.value, expected[3..=10].iter().sum::<u64>() as f64 / 8.0);
    assert_eq!(record.ramp_up.as_secs(), 3);
}

#[test]
fn percentiles_come_from_the_counts_of_all() {
    let [one, other]: [Archive; 2] = runs("merge-percentiles", &[0, 0]).try_into().unwrap();
    // 13 seconds: 100 to 112 operations after 0.5 ms, 1,000 to 1,012 after 9 ms.
    let runs = [known(one, 100, 500), known(other, 1_000, 9_000)];
    let joined = join(&runs).unwrap();
    let record = &joined.trials[0].record;
    let mut whole = Latencies::default();
    runs.iter().flat_map(Archive::records).for_each(|record| whole.merge(&record.latencies));
    assert_eq!(record.latencies.of(Latency::Response).len(), 13 * 106 + 13 * 1_006);
    for percentile in [5.0, 9.0, 10.0, 50.0, 99.0, 100.0] {
        let of = |latencies: &Latencies| latencies.percentile(Latency::Response, percentile).unwrap();
        assert_eq!(of(&record.latencies), of(&whole));
    }
    // 9.53 % of all were fast: a mean of both runs' medians would say 4.75 ms.
    let at = |percentile| record.latencies.percentile(Latency::Response, percentile).unwrap().as_micros();
    assert!((499..=505).contains(&at(9.0)), "{}", at(9.0));
    assert!((8_900..=9_100).contains(&at(10.0)), "{}", at(10.0));
    assert!((8_900..=9_100).contains(&at(50.0)));
    let second = &record.seconds[4];
    assert_eq!(second.latencies.of(Latency::Response).len(), 104 + 1_004);
}

#[test]
fn trials_move_to_the_nearest_whole_second_and_it_is_said_how_far() {
    for (after_ns, begins, moved_ns) in [(400_000_000, 1, 400_000_000), (600_000_000, 2, 400_000_000)] {
        let joined = join(&runs("merge-moved", &[0, after_ns])).unwrap();
        assert_eq!(joined.parts[0].moved_ns, 0);
        assert_eq!(joined.parts[1].moved_ns, moved_ns);
        let seconds = &joined.trials[0].record.seconds;
        assert_eq!(seconds.len(), 13 + begins - 1);
    }
}

#[test]
fn runs_one_after_the_other_are_not_added() {
    let runs = runs("merge-apart", &[0, 60 * SECOND]);
    let joined = join(&runs).unwrap();
    assert_eq!(joined.trials.len(), 2);
    assert!(joined.figure.is_none());
    assert_eq!(joined.trials[1].record.due, runs[1].trials[0].record.due);
    assert_eq!(joined.trials[1].record.began_ns - joined.trials[0].record.began_ns, 60 * SECOND);
    assert_eq!(
        joined.warnings.iter().filter(|warning| warning.contains("share no second of sustain")).count(),
        1,
        "{:?}",
        joined.warnings
    );
}

#[test]
fn what_is_not_one_load_is_refused_with_the_next_step() {
    let refused = |change: &dyn Fn(&mut Vec<Archive>)| {
        let mut runs = runs("merge-refused", &[0, 0]);
        change(&mut runs);
        join(&runs).unwrap_err().to_string()
    };
    for (change, text) in [
        (
            &(|runs: &mut Vec<Archive>| runs.truncate(1)) as &dyn Fn(&mut Vec<Archive>),
            "1 run is given; expected at least two",
        ),
        (&|runs| runs[1] = runs[0].clone(), "run part-0 is given twice"),
        (&|runs| runs[1].begun.version = "9.9.9".to_owned(), "has version 9.9.9"),
        (&|runs| runs[1].begun.plan.load.max_lag *= 2, "run all parts from one scenario file"),
        (&|runs| runs[1].begun.plan.testbed.dut.name = "other".to_owned(), "has DUT other"),
        (&|runs| runs[1].trials[0].record.began_ns = 0, "began before its run"),
        (&|runs| runs[1].trials[0].record.sustain /= 2, "unlike the trial it shares its time with"),
        (
            &|runs| {
                for (at, run) in runs.iter_mut().enumerate() {
                    run.environment["boot_id"] = "one".into();
                    run.begun.began_unix_ns += at as u64 * 2 * SECOND;
                }
            },
            "the wall clock was set by 2000 ms",
        ),
        (
            &|runs| {
                let mut again = runs[1].trials[0].clone();
                again.record.began_ns += 5 * SECOND;
                runs[1].trials.push(again);
            },
            "shares its time with more than one trial",
        ),
    ] {
        let error = refused(change);
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn parts_with_one_seed_or_a_failed_trial_are_told() {
    let mut runs = runs("merge-seeds", &[0, 0]);
    runs[1].begun.plan.seed = runs[0].begun.plan.seed;
    runs[1].trials[0].passed = Some(false);
    runs[1].trials[0].reasons = vec!["too many failures".to_owned()];
    runs[1].trials[0].record.ended_early = Some(EndedEarly::CannotPass);
    let joined = join(&runs).unwrap();
    assert!(joined.warnings.iter().any(|warning| warning.contains("the same seed")), "{:?}", joined.warnings);
    let kept = &joined.trials[0];
    assert_eq!(kept.passed, Some(false));
    assert_eq!(kept.reasons, ["part-1: too many failures"]);
    assert_eq!(kept.record.ended_early, Some(EndedEarly::CannotPass));
}

#[test]
fn parts_of_another_device_or_build_are_refused_by_what_differs() {
    let refusal = |name: &str, change: fn(&mut Archive)| {
        let mut both = runs(name, &[0, 0]);
        change(&mut both[1]);
        join(&both).unwrap_err().to_string()
    };
    let commit = refusal("merge-commit", |run| run.begun.commit = Some("abc".to_owned()));
    assert!(commit.contains("has commit abc, the first run unknown"), "{commit}");
    let service = refusal("merge-service", |run| run.begun.plan.testbed.dut.service = "http://192.0.2.9:80".to_owned());
    assert!(service.contains("has DUT address http://192.0.2.9:80"), "{service}");
    let kind = refusal("merge-kind", |run| {
        run.begun.plan.testbed.dut.kind = DutKind::External { address: "192.0.2.9:80".parse().unwrap() };
    });
    assert!(kind.contains("has DUT configuration ") && kind.contains("192.0.2.9:80"), "{kind}");
    let file = refusal("merge-file", |run| run.begun.plan.testbed.dut.file_text.push_str("# another rule\n"));
    assert!(file.contains("has DUT configuration "), "{file}");
}
