use std::num::NonZeroU32;

use serde_json::json;

use super::*;
use crate::archive::{Begun, Kept, SCHEMA};
use crate::compare::measured::Better;
use crate::compare::relation::Relation;
use crate::report::fixture::{self, Run};
use crate::scenario;
use crate::scenario::plan::{CloseMode, DutKind, MaximumPlan, SearchPlan};
use crate::verdict::answer::Figure;

fn archive(name: &str, run: &Run) -> Archive {
    Archive {
        path: format!("reports/cps/{name}").into(),
        begun: Begun {
            schema: SCHEMA,
            run: name.to_owned(),
            version: "0.1.0".to_owned(),
            commit: Some("c0ffee".to_owned()),
            began_unix_ns: 1,
            began_monotonic_ns: 1,
            scenario: scenario::fingerprint(&run.plan),
            plan: run.plan.clone(),
        },
        trials: run
            .trials
            .iter()
            .zip(&run.passed)
            .map(|(record, passed)| Kept { passed: *passed, reasons: Vec::new(), record: record.clone() })
            .collect(),
        answer: Some(run.answer.clone()),
        environment: json!({ "kernel": "Linux 6.18", "cores": 2, "engine": { "used": "epoll" } }),
        warnings: Vec::new(),
    }
}

/// Two sound runs of the same scenario; the second is another DUT that carries a tenth more.
fn two() -> [Archive; 2] {
    let mut first = archive("one", fixture::run());
    first.answer.as_mut().unwrap().exit = Exit::Met;
    let mut second = first.clone();
    second.path = "reports/cps/two".into();
    second.begun.run = "two".to_owned();
    second.begun.plan.testbed.dut.name = "haproxy-http".to_owned();
    let figure = &mut second.answer.as_mut().unwrap().figures[0];
    *figure =
        Figure { value: 1_078.0, failed_at: Some(1_120.0), dut_cpu_us_per_operation: Some(200.0), ..figure.clone() };
    [first, second]
}

fn entrants(runs: &[Archive]) -> Vec<Entrant<'_>> {
    runs.iter().map(|run| Entrant { runs: vec![run] }).collect()
}

fn done(runs: &[Archive], allow: &[&str]) -> Result<Comparison, CompareError> {
    let allow: Vec<String> = allow.iter().map(|&key| key.to_owned()).collect();
    compare(&entrants(runs), Pairing::Runs, &allow)
}

fn row<'a>(comparison: &'a Comparison, key: &str) -> &'a Row {
    let found = comparison.rows.iter().find(|row| row.quantity.key == key);
    found.unwrap_or_else(|| {
        panic!("no {key}: {:?}", comparison.rows.iter().map(|r| &r.quantity.key).collect::<Vec<_>>())
    })
}

#[test]
fn equal_conditions_give_a_table_with_ratios() {
    let comparison = done(&two(), &[]).unwrap();
    let names: Vec<_> = comparison.contenders.iter().map(|contender| contender.name.as_str()).collect();
    assert_eq!(names, ["reference-http", "haproxy-http"]);
    let cps = row(&comparison, "cps");
    assert_eq!(cps.cells[0].as_ref().unwrap().failed_at, Some(1_023.0));
    let ratio = cps.ratios[1].as_ref().unwrap();
    assert_eq!((ratio.value, ratio.relation, ratio.better), (Some(1.1), Relation::Larger, Some(true)));
    assert!(ratio.basis.starts_with("one run: no interval"), "{}", ratio.basis);
    let cpu = row(&comparison, "dut_cpu_us_per_operation").ratios[1].clone().unwrap();
    assert_eq!((cpu.value, cpu.relation), (Some(200.0 / 247.0), Relation::NotDecided));
    // Every load of the fixture's search was tried in both runs; 980/s twice, of two lengths.
    assert!(row(&comparison, "response_time_us_p99@1216").cells.iter().all(Option::is_some));
    let memory = row(&comparison, "dut_memory_bytes_max");
    assert_eq!(memory.cells[1].as_ref().unwrap().value, f64::from(14 << 20));
    assert_eq!(row(&comparison, "failed_ratio").cells[0].as_ref().unwrap().note, "0 of 9800");
    assert_eq!(row(&comparison, "response_time_us_p99@figure").ratios, [None, None]);
    assert_eq!(row(&comparison, "tps_mean").quantity.better, Better::Neither);
}

#[test]
fn every_difference_but_the_dut_is_refused_by_name_and_allowed_by_name() {
    type Change = fn(&mut Archive);
    let cases: [(&str, &str, &str, Change); 9] = [
        ("version", "version", "0.2.0", |run| run.begun.version = "0.2.0".to_owned()),
        ("commit", "commit", "unknown", |run| run.begun.commit = None),
        ("workload.close", "workload", "server-fin", |run| run.begun.plan.workload.close = CloseMode::ServerFin),
        ("seed", "seed", "8", |run| run.begun.plan.seed = 8),
        ("host.kernel", "host", "Linux 6.19", |run| run.environment["kernel"] = "Linux 6.19".into()),
        ("engine", "engine", "uring", |run| run.environment["engine"]["used"] = "uring".into()),
        ("build_profile", "build_profile", "dev", |run| run.environment["build_profile"] = "dev".into()),
        ("dut.cpu_quota", "dut", "none", |run| run.begun.plan.testbed.dut.cpu_quota = None),
        ("dut.protocol", "dut.protocol", "tcp", |run| run.begun.plan.testbed.dut.service = "tcp://x".to_owned()),
    ];
    for (key, group, value, change) in cases {
        let mut runs = two();
        change(&mut runs[1]);
        runs[1].begun.scenario = scenario::fingerprint(&runs[1].begun.plan);
        let error = done(&runs, &[]).unwrap_err();
        let CompareError::Unequal { differences, first, .. } = &error else { panic!("{error}") };
        assert_eq!((differences.len(), first.as_str()), (1, key), "{error}");
        assert_eq!(differences[0].values[1], ("haproxy-http".to_owned(), value.to_owned()));
        let text = error.to_string();
        assert!(text.contains(&format!("\n  {key}: ")) && text.ends_with(&format!("--allow {key}")), "{text}");
        let allowed = done(&runs, &[group]).unwrap().allowed;
        assert_eq!(allowed.iter().map(|difference| difference.key.as_str()).collect::<Vec<_>>(), [key]);
    }
}

#[test]
fn all_differences_are_named_at_once() {
    let mut runs = two();
    runs[1].begun.plan.seed = 8;
    runs[1].begun.version = "0.2.0".to_owned();
    runs[1].begun.scenario = scenario::fingerprint(&runs[1].begun.plan);
    let error = done(&runs, &["seed"]).unwrap_err();
    let CompareError::Unequal { differences, .. } = &error else { panic!("{error}") };
    assert_eq!(differences.iter().map(|difference| difference.key.as_str()).collect::<Vec<_>>(), ["version"]);
    // A form of the plan that no key shows still counts.
    let mut runs = two();
    runs[1].begun.scenario = "0".to_owned();
    assert!(done(&runs, &[]).unwrap_err().to_string().contains("\n  scenario: "));
    let unneeded = done(&two(), &["seed"]).unwrap().notes;
    assert!(unneeded.iter().any(|note| note.starts_with("--allow seed: nothing")), "{unneeded:?}");
}

#[test]
fn no_dut_shares_no_condition_of_the_host() {
    let mut runs = two();
    runs[1].begun.plan.testbed.dut.kind = DutKind::None;
    runs[1].begun.plan.testbed.dut.cpu_quota = None;
    runs[1].begun.plan.testbed.dut.service = String::new();
    assert_eq!(done(&runs, &[]).unwrap().allowed, []);
}

#[test]
fn what_is_not_sound_is_shown_and_never_ranked() {
    let undecided = |run: &mut Archive| run.answer.as_mut().unwrap().exit = Exit::Undecided;
    type Change<'a> = &'a dyn Fn(&mut Archive);
    let cases: [(Change<'_>, Standing); 6] = [
        (&|run| run.answer.as_mut().unwrap().exit = Exit::Interrupted, Standing::Interrupted),
        (&|run| run.answer = None, Standing::Unfinished),
        (&undecided, Standing::Undecided),
        // "At least" holds although the run is undecided, unless the trial behind it is doubtful.
        (
            &|run| {
                undecided(run);
                run.answer.as_mut().unwrap().figures[0].bound = Bound::Lower;
            },
            Standing::Sound,
        ),
        (
            &|run| {
                undecided(run);
                let answer = run.answer.as_mut().unwrap();
                answer.figures[0].bound = Bound::Lower;
                answer.books[0].serious = true;
            },
            Standing::Undecided,
        ),
        (
            &|run| {
                undecided(run);
                run.answer.as_mut().unwrap().figures[0].bound = Bound::Lower;
                run.trials[3].record.reflector_deaths.push("reflector-0: killed".to_owned());
            },
            Standing::Undecided,
        ),
    ];
    for (change, expected) in cases {
        let mut runs = two();
        change(&mut runs[1]);
        let comparison = done(&runs, &[]).unwrap();
        assert_eq!(comparison.contenders[1].standing, expected);
        let decided = comparison.rows.iter().filter_map(|row| row.ratios[1].as_ref());
        let ranked = decided.filter(|ratio| ratio.relation != Relation::NotDecided).count();
        assert_eq!(ranked > 0, expected == Standing::Sound, "{expected:?}");
        // Its latencies are still there.
        assert!(row(&comparison, "response_time_us_p99@1216").cells[1].is_some());
    }
}

#[test]
fn each_search_of_a_run_is_one_repeat_however_many_loads_it_confirmed() {
    let mut runs = two();
    for (run, factor) in runs.iter_mut().zip([1.0, 2.0]) {
        // Another confirming trial of the same search, which is no repeat.
        let confirm = run.trials.last().unwrap().clone();
        run.trials.push(confirm);
        let found = (0..4).map(|more| factor * (980.0 + f64::from(more))).collect();
        let figure = &mut run.answer.as_mut().unwrap().figures[0];
        figure.repeats = crate::search::Repeats::of(4, found);
        figure.value *= factor;
    }
    let comparison = done(&runs, &[]).unwrap();
    let cps = row(&comparison, "cps");
    assert_eq!(cps.cells[0].as_ref().unwrap().spread().unwrap().count, 4);
    let ratio = cps.ratios[1].as_ref().unwrap();
    assert!(ratio.basis.starts_with("4 and 4 repeats") && ratio.interval.is_some(), "{ratio:?}");
    assert_eq!(ratio.relation, Relation::Larger);
}

#[test]
fn the_figure_of_every_search_is_ranked_and_that_of_a_fixed_load_is_not() {
    let maximum = fixture::run().plan.search.maximum().unwrap();
    let searches: [fn(MaximumPlan) -> SearchPlan; 5] =
        [SearchPlan::Climb, SearchPlan::Mlr, SearchPlan::Bisect, SearchPlan::GoalSeek, SearchPlan::Cc];
    let steps = NonZeroU32::new(2).unwrap();
    let fixed = [SearchPlan::Fixed, SearchPlan::Stair { steps }].map(|plan| (plan, Better::Neither));
    for (search, better) in searches.map(|of| (of(maximum.clone()), Better::Larger)).into_iter().chain(fixed) {
        let mut runs = two();
        runs.iter_mut().for_each(|run| run.begun.plan.search = search.clone());
        let comparison = done(&runs, &[]).unwrap();
        assert_eq!(row(&comparison, "cps").quantity.better, better, "{}", search.method());
    }
}

#[test]
fn a_contender_that_fails_its_fixed_load_is_not_ranked() {
    let mut runs = two();
    for run in &mut runs {
        run.begun.plan.search = SearchPlan::Fixed;
        run.trials.iter_mut().for_each(|kept| kept.passed = Some(true));
    }
    assert_eq!(done(&runs, &[]).unwrap().contenders[1].standing, Standing::Sound);
    runs[1].trials[0].passed = Some(false);
    let comparison = done(&runs, &[]).unwrap();
    assert_eq!(comparison.contenders[1].standing, Standing::Failing);
    let ratios = comparison.rows.iter().filter_map(|row| row.ratios[1].as_ref());
    assert!(ratios.into_iter().all(|ratio| ratio.relation == Relation::NotDecided));
}

#[test]
fn rounds_become_one_contender_each() {
    let [first, second] = two();
    let round = |run: &Archive, number: usize| {
        let mut run = run.clone();
        run.path = format!("{}-{number}", run.path.display()).into();
        *run.answer.as_mut().unwrap().figures[0].dut_cpu_us_per_operation.as_mut().unwrap() += number as f64;
        run
    };
    let firsts: Vec<_> = (0..6).map(|number| round(&first, number)).collect();
    let seconds: Vec<_> = (0..6).map(|number| round(&second, number)).collect();
    let entrants = [Entrant { runs: firsts.iter().collect() }, Entrant { runs: seconds.iter().collect() }];
    let comparison = compare(&entrants, Pairing::Rounds, &[]).unwrap();
    let cpu = row(&comparison, "dut_cpu_us_per_operation");
    assert_eq!(cpu.cells[0].as_ref().unwrap().value, 249.5);
    let ratio = cpu.ratios[1].as_ref().unwrap();
    assert_eq!((ratio.relation, ratio.better), (Relation::Smaller, Some(true)));
    assert!(ratio.interval.is_some() && ratio.basis.starts_with("6 rounds"), "{ratio:?}");
}

#[test]
fn too_few_too_many_and_twins_are_refused() {
    let [one, _] = two();
    let alone = compare(&entrants(std::slice::from_ref(&one)), Pairing::Runs, &[]).unwrap_err();
    assert_eq!(alone.to_string(), "1 runs were given; expected 2 to 8");
    let twins = done(&[one.clone(), one.clone()], &[]).unwrap_err();
    assert_eq!(twins.to_string(), "reports/cps/one was given twice; a run compared with itself says nothing");
    let mut other = one.clone();
    other.path = "reports/cps/two".into();
    other.begun.run = "two".to_owned();
    let names = done(&[one, other], &[]).unwrap().contenders.into_iter().map(|contender| contender.name);
    assert_eq!(names.collect::<Vec<_>>(), ["reference-http (one)", "reference-http (two)"]);
}

#[test]
fn suites_of_frames_are_compared_size_by_size() {
    let first = archive("one", fixture::frames::rfc2544());
    let mut second = archive("two", fixture::frames::rfc2544());
    second.begun.plan.testbed.dut.name = "other".to_owned();
    let results = &mut second.answer.as_mut().unwrap().frames.as_mut().unwrap().results;
    // The other one carries more of the smallest frames, and was not asked for the largest.
    results[0].fps = Some(3_300.0);
    results.pop();
    let comparison = done(&[first, second], &[]).unwrap();
    let keys: Vec<_> = comparison.rows.iter().map(|row| row.quantity.key.as_str()).collect();
    assert_eq!(keys[..4], ["fps@64", "delay_us_p50@64", "delay_us_p99@64", "fps@512"]);
    let values = |key: &str| {
        let cells = &row(&comparison, key).cells;
        cells.iter().map(|cell| cell.as_ref().map(|cell| cell.value)).collect::<Vec<_>>()
    };
    assert_eq!(values("fps@64"), [Some(3_000.0), Some(3_300.0)]);
    assert_eq!(values("fps@512"), [Some(3_000.0); 2]);
    assert_eq!(values("fps@1518"), [Some(3_000.0), None]);
    assert_eq!(row(&comparison, "delay_us_p99@64").quantity.better, Better::Neither);
}
