//! G7: the lowest failing load with one generator worker more.

use super::*;

/// The DUT's run, then the control and the trial with one worker more, each completing so much.
fn answer_of(control: Option<u64>, more: u64) -> Answer {
    let beside = |number: u32, purpose: Purpose, completed: u64| {
        let mut trial = trial(number, purpose, 2_100.0, DUT_BUSY);
        trial.completed_in_sustain = completed;
        trial
    };
    let run = Run::of_dut().with(|run| {
        run.trials.extend(control.map(|completed| beside(5, Purpose::Control, completed)));
        run.trials.push(beside(6, Purpose::MoreWorkers, more));
    });
    run.answer(&cps(""))
}

fn g7(answer: &Answer) -> (bool, &str) {
    let evidence = answer.evidence.iter().find(|evidence| evidence.rule == "G7").unwrap();
    (evidence.holds, evidence.text.as_str())
}

#[test]
fn more_success_with_one_worker_more_is_the_generators_limit() {
    let answer = answer_of(Some(10_000), 12_000);
    let text = "trial 6 with one worker more completed 1200/s, trial 5 1000/s of the same load: +20.0% (limit 2%)";
    assert_eq!((answer.limited_by, g7(&answer)), (Some(LimitedBy::Generator), (false, text)));
    assert_eq!(answer.figures[0].bound, Bound::Lower);
    // Neither trial is one of the search.
    assert_eq!((answer.figures[0].trial, answer.figures[0].failed_at), (4, Some(2_100.0)));
}

#[test]
fn as_much_success_as_before_leaves_the_dut_the_limit() {
    for more in [9_000, 10_000, 10_200] {
        let answer = answer_of(Some(10_000), more);
        assert_eq!((answer.limited_by, g7(&answer).0), (Some(LimitedBy::Dut), true), "{:?}", g7(&answer));
    }
    let answer = answer_of(Some(1_000), 1_050);
    assert!(g7(&answer).0, "5% of 1,000 are 50: as much as chance, {:?}", g7(&answer));
}

#[test]
fn a_failing_trial_that_ran_to_its_end_is_its_own_control() {
    // It completed 19,400 of 21,000.
    let answer = answer_of(None, 21_000);
    assert!(!g7(&answer).0 && g7(&answer).1.contains("trial 3 1940/s"), "{:?}", g7(&answer));
    assert_eq!(g7(&Run::of_dut().answer(&cps(""))).1, "not applied: no core was free for another worker");
    let told = Run::of_dut().with(|run| run.context.no_more_workers = Some("no load failed".to_owned()));
    assert_eq!(g7(&told.answer(&cps(""))).1, "not applied: no load failed");
}
