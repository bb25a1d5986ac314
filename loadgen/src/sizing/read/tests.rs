//! Run folders as a run writes them, read for a sizing.

use super::*;
use crate::report::fixture::{self, Scratch};
use crate::scenario::plan::{BodyCheck, Unit};
use crate::sizing::tests::example;
use crate::sizing::{UnlikeRuns, size};

/// A run of the fixture after a change, written, read back and seen by a sizing.
fn read(name: &str, change: impl Fn(&mut fixture::Run)) -> Run {
    let scratch = Scratch::new(name);
    let whole = fixture::run();
    let mut written = fixture::Run {
        plan: whole.plan.clone(),
        trials: whole.trials.clone(),
        passed: whole.passed.clone(),
        reasons: whole.reasons.clone(),
        answer: whole.answer.clone(),
        environment: whole.environment.clone(),
    };
    change(&mut written);
    let archive = Archive::read(&fixture::write(&written, scratch.path())).unwrap();
    let mut read = run(&format!("reports/{name}"), &archive);
    // Runs of one second have the same clocks in the fixture.
    read.identity.push_str(name);
    read
}

/// What `scenarios/tps.toml --path "/?s=…"` leaves behind.
fn transactions(written: &mut fixture::Run, object_bytes: u64) {
    written.plan.load.unit = Unit::TransactionsPerSecond;
    written.plan.workload.requests_per_connection = None;
    let WorkloadKind::Http(http) = &mut written.plan.workload.kind else { panic!("the fixture speaks HTTP") };
    http.body = BodyCheck::Table { length: object_bytes };
    for record in &mut written.trials {
        record.transactions_in_sustain = record.completed_in_sustain;
        record.body_bytes_in_sustain = record.completed_in_sustain * object_bytes;
    }
    let figure = &mut written.answer.figures[0];
    figure.name = "tps".to_owned();
    figure.value = written.trials[8].transaction_rate();
    figure.object_bytes = Some(object_bytes);
}

#[test]
fn transactions_with_large_objects_are_a_figure_of_bandwidth() {
    let runs = [
        read("read-cps", |_| ()),
        read("read-tps", |written| transactions(written, 1_024)),
        read("read-bandwidth", |written| transactions(written, 256 << 10)),
    ];
    assert_eq!(
        runs.each_ref().map(|run| run.asked),
        [Some(Resource::Cps), Some(Resource::Tps), Some(Resource::Bandwidth)]
    );
    assert_eq!(runs[2].figures[0].resource, Some(Resource::Bandwidth));
    let mut demand = example();
    demand.planning.slo_p99_s = 0.1;
    demand.services[0].cc = None;
    let sizing = size(demand.clone(), &runs, false).unwrap();
    let device = &sizing.devices[0];
    assert_eq!(device.missing, Vec::<String>::new());
    let carried: Vec<f64> = device.capacities.iter().map(|capacity| capacity.value).collect();
    let [cps, tps, bandwidth] = carried[..] else { panic!("{carried:?}") };
    assert_eq!((cps, tps), (980.0, 980.0));
    assert!((bandwidth / (980.0 * 8.0 * 262_144.0) - 1.0).abs() < 1e-9, "{bandwidth}");
    assert!(device.capacities.iter().all(|capacity| !capacity.lower));
    assert!(device.nodes.as_ref().is_some_and(|nodes| !nodes.at_most));
    // Without the large objects nothing is known of bandwidth, and nothing is said.
    let sizing = size(demand, &runs[..2], false).unwrap();
    assert!(!sizing.decided());
    assert!(sizing.devices[0].missing[0].contains("--path \"/?s=256k\""), "{:?}", sizing.devices[0].missing);
}

#[test]
fn joined_runs_that_each_started_a_device_are_no_device() {
    let joined = read("read-merged", |written| written.environment["merged"] = serde_json::json!({ "runs": [] }));
    assert!(matches!(size(example(), &[joined], false), Err(UnlikeRuns::SeveralDevices { .. })));
}

#[test]
fn what_an_answer_warns_of_is_a_doubt_of_its_figure() {
    let run = read("read-warnings", |written| written.answer.warnings = vec!["a core was shared".to_owned()]);
    assert!(run.doubts.contains(&"a core was shared".to_owned()), "{:?}", run.doubts);
}

#[test]
fn a_trial_of_full_length_counts_when_nothing_is_confirmed_once_more() {
    let run = read("read-full", |written| {
        written.trials.truncate(8);
        written.passed.truncate(8);
        written.reasons.truncate(8);
        written.trials[7].sustain = std::time::Duration::from_secs(10);
        written.answer.figures[0].trial = 8;
    });
    let confirming: Vec<u32> = run.trials.iter().filter(|trial| trial.confirming).map(|trial| trial.number).collect();
    assert_eq!(confirming, [8]);
}

#[test]
fn another_engine_is_another_place() {
    let epoll = read("read-epoll", |_| ());
    let uring = read("read-uring", |written| written.environment["engine"] = serde_json::json!({ "used": "uring" }));
    let error = size(example(), &[epoll, uring], false).unwrap_err().to_string();
    assert!(error.contains("the engine differs (epoll and uring)"), "{error}");
}
