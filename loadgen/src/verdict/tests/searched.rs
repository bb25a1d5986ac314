//! What is said of a search: loss, inversion, repeats, goals, a DUT that stays down.

use super::*;
use crate::search::{Details, Repeats};

fn mlr(goal: &str) -> Plan {
    plan_of("connections/s", &format!("[search]\nmethod = \"mlr\"\n{goal}"), "")
}

#[test]
fn the_loss_of_a_trial_is_what_was_planned_and_did_not_succeed() {
    let plan = mlr("");
    let calm = trial(1, Purpose::Climb, 1_000.0, CALM);
    assert_eq!(loss(&plan, &calm), 0.0);
    let mut refused = calm.clone();
    spoil(&mut refused, Outcome::ConnectRefused, 100);
    assert_eq!(loss(&plan, &refused), 0.01);
    let mut unsent = calm.clone();
    spoil(&mut unsent, Outcome::UnsentWindow, 2_000);
    assert_eq!(loss(&plan, &unsent), 0.2, "what a busy DUT kept from being sent is lost");
    // A queue: nothing has failed yet, but a tenth did not come back in time.
    let mut queued = calm.clone();
    queued.completed_in_sustain = 9_000;
    assert_eq!(loss(&plan, &queued), 0.1);
    let mut robbed = calm.clone();
    spoil(&mut robbed, Outcome::LocalError, 1);
    assert_eq!(loss(&plan, &robbed), 1.0, "the tester's own failure proves nothing good");
    let mut cut = calm;
    cut.ended_early = Some(EndedEarly::CannotPass);
    assert_eq!(loss(&plan, &cut), 1.0);
}

#[test]
fn the_limit_of_loss_is_that_of_the_expectation_or_of_the_goal() {
    assert_eq!(loss_limit(&mlr("")), 1e-5_f64.next_down(), "strictly less than 0.001%");
    assert_eq!(loss_limit(&plan_of("connections/s", "[search]\nmethod = \"mlr\"", "failed = \"<= 1%\"")), 0.01);
    let plan = mlr("[[search.goal]]\nloss = \"0.5%\"\n[[search.goal]]\nloss = \"2%\"");
    let with = |failed: u64| {
        let mut trial = trial(1, Purpose::Climb, 1_000.0, CALM);
        spoil(&mut trial, Outcome::ConnectRefused, failed);
        passes(&plan, &trial).passed
    };
    assert!(with(50) && !with(51), "the first goal decides");
    assert!(can_still_pass(&plan, 10_000, 200) && !can_still_pass(&plan, 10_000, 201), "the loosest goal ends a trial");
}

#[test]
fn a_goal_that_states_no_loss_has_that_of_the_expectation_when_trials_are_ended_early() {
    let goals = "[search]\nmethod = \"mlr\"\n[[search.goal]]\nloss = \"0.1%\"\n[[search.goal]]\nexceed = \"50%\"";
    let plan = plan_of("connections/s", goals, "failed = \"<= 1%\"");
    assert!(can_still_pass(&plan, 10_000, 100) && !can_still_pass(&plan, 10_000, 101));
}

#[test]
fn a_goal_that_may_lose_more_than_a_hundredth_agrees_with_the_verdict() {
    let plan = mlr("[[search.goal]]\nloss = \"3%\"");
    for (refused, queued) in [(0, 0), (150, 0), (300, 0), (301, 0), (0, 290), (0, 390), (250, 100), (0, 2_000)] {
        let mut record = trial(1, Purpose::Climb, 1_000.0, CALM);
        spoil(&mut record, Outcome::ConnectRefused, refused);
        record.completed_in_sustain -= queued;
        let low = loss(&plan, &record) <= 0.03;
        assert_eq!(low, passes(&plan, &record).passed, "{refused} refused, {queued} queued");
        assert_eq!(low, refused <= 300 && queued < 2_000, "{refused} refused, {queued} queued");
    }
}

#[test]
fn a_device_is_up_when_it_carries_most_of_a_probe() {
    let clean = |plan: &Plan, refused: u64| {
        let mut probe = trial(1, Purpose::Probe, 10.0, CALM);
        spoil(&mut probe, Outcome::ConnectRefused, refused);
        is_clean(plan, &probe)
    };
    assert!(clean(&cps(""), 0) && clean(&cps(""), 1) && clean(&cps(""), 10));
    assert!(!clean(&cps(""), 11) && !clean(&cps(""), 100));
    assert!(clean(&cps("failed = \"<= 20%\""), 20), "what the plan allows is not a collapse");
}

#[test]
fn connections_that_open_slowly_show_in_the_setup_rate() {
    let held = |per_second: u64| {
        let mut record = trial(1, Purpose::Climb, 1_000.0, CALM);
        record.load = TrialLoad::Held(1_000);
        let second = |index: u32| crate::measure::Second { index, opened: per_second, ..Default::default() };
        record.seconds = (0..20).map(second).collect();
        setup_rate(&record)
    };
    assert!((held(100).unwrap() - 100.0).abs() < 1e-9 && (held(2_000).unwrap() - 2_000.0).abs() < 1e-9);
    assert_eq!(held(10), None, "they were never all open");
    assert_eq!(setup_rate(&trial(1, Purpose::Climb, 1_000.0, CALM)), None);
}

#[test]
fn a_pass_above_a_fail_is_warned_of() {
    let inverted = Run::of_dut().with(|run| run.trials.push(trial(5, Purpose::Curve, 3_000.0, DUT_BUSY)));
    let answer = inverted.answer(&cps("cps = \">= 1000\""));
    let warning = answer.warnings.iter().find(|text| text.starts_with("loss inversion")).unwrap();
    assert!(warning.contains("trial 3 failed at 2100 connections/s, although trial 5 passed at 3000"), "{warning}");
    assert!(warning.contains("search.method = \"stair\""), "{warning}");
    assert!(!warning.contains("varies between searches"), "{warning}");
    let several = inverted.with(|run| run.context.details.repeats = Repeats::of(3, vec![2_000.0, 3_000.0]));
    let answers = several.answer(&cps("")).warnings;
    assert!(answers.iter().any(|text| text.contains("or it varies between searches")), "{answers:?}");
    assert_eq!(answer.figures[0].value, 2_000.0, "a curve does not choose the answer");
    let straight = Run::of_dut().answer(&cps(""));
    assert!(!straight.warnings.iter().any(|text| text.contains("inversion")), "{:?}", straight.warnings);
}

#[test]
fn a_dut_that_stays_down_leaves_the_answer_undecided() {
    let how = "the DUT collapsed in trial 3 at 2100 connections/s and stayed down";
    let run = Run::of_dut().with(|run| run.context.collapsed = Some(how.to_owned()));
    let answer = run.answer(&cps("cps = \">= 1000\""));
    assert_eq!((answer.exit, answer.reason), (Exit::Undecided, format!("undecided: {how}")));
    assert!(
        answer.warnings.iter().any(|text| text.contains(how) && text.contains("search.max")),
        "{:?}",
        answer.warnings
    );
    assert_eq!(answer.figures[0].bound, Bound::Lower);
}

#[test]
fn a_probe_is_neither_the_answer_nor_the_failing_trial() {
    let run = Run::of_dut().with(|run| {
        let mut probe = trial(5, Purpose::Probe, 2_050.0, DUT_BUSY);
        spoil(&mut probe, Outcome::ConnectRefused, 5_000);
        run.trials.push(probe);
    });
    let (with, without) = (run.answer(&cps("")), Run::of_dut().answer(&cps("")));
    assert_eq!((with.exit, with.figures[0].value), (without.exit, without.figures[0].value));
    assert_eq!(with.evidence.len(), without.evidence.len());
}

#[test]
fn the_spread_of_repeats_stands_beside_the_figure() {
    let with = |values: &[f64], asked: u32| {
        let repeats = Repeats::of(asked, values.to_vec());
        Run::of_dut().with(|run| run.context.details = Details { repeats, goals: Vec::new() })
    };
    let answer = with(&[2_000.0, 2_400.0, 2_100.0], 5).answer(&cps(""));
    let repeats = answer.figures[0].repeats.as_ref().unwrap();
    assert_eq!((repeats.n, repeats.min, repeats.median, repeats.max), (3, 2_000.0, 2_100.0, 2_400.0));
    assert_eq!(repeats.values, [2_000.0, 2_400.0, 2_100.0]);
    assert!(answer.warnings.iter().any(|text| text.starts_with("3 of 5 searches")), "{:?}", answer.warnings);
    let nothing = with(&[0.0, 2_000.0], 2).with(|run| {
        run.found = Found { lower: None, upper: Some(500.0), at_least: false };
    });
    let answer = nothing.answer(&cps("cps = \">= 1000\""));
    assert_eq!((answer.exit, answer.figures.len()), (Exit::Undecided, 0));
    assert!(answer.reason.contains("of 2 searches at least one found no load that is carried"), "{}", answer.reason);
    assert!(answer.warnings.iter().any(|text| text.contains("the worst nothing at all")), "{:?}", answer.warnings);
}

#[test]
fn a_trial_that_says_nothing_spoils_no_figure_and_is_no_reason_for_more_budget() {
    const ROBBED: Cpu = Cpu { steal: 0.2, ..CALM };
    let repeats = Repeats::of(3, vec![2_000.0]);
    let run = Run::of_dut().with(|run| {
        run.context.details = Details { repeats, goals: Vec::new() };
        run.trials.push(trial(5, Purpose::Climb, 2_050.0, ROBBED));
    });
    let (answer, clean) = (run.answer(&cps("")), Run::of_dut().answer(&cps("")));
    assert_eq!((answer.exit, answer.figures[0].bound), (clean.exit, clean.figures[0].bound), "{}", answer.reason);
    let said = |what: &str| answer.warnings.iter().any(|text| text.contains(what));
    assert!(said("the search ended at trial 5") && !said("search.budget"), "{:?}", answer.warnings);
    let nothing_else = Run::of_dut().with(|run| {
        run.trials = vec![trial(1, Purpose::Qualify, 500.0, ROBBED)];
        run.found = Found { lower: None, upper: None, at_least: false };
    });
    assert!(nothing_else.answer(&cps("")).reason.contains("hypervisor"));
}

#[test]
fn goal_seek_never_gives_an_exact_figure() {
    let plan = plan_of("connections/s", "[search]\nmethod = \"goal-seek\"", "");
    let run = Run::of_dut().with(|run| run.found = Found { lower: Some(2_000.0), upper: None, at_least: true });
    let answer = run.answer(&plan);
    assert_eq!((answer.figures[0].bound, answer.exit), (Bound::Lower, Exit::Undecided));
    assert!(answer.reason.contains("goal-seek brackets no upper bound"), "{}", answer.reason);
    assert!(answer.deviations.iter().any(|text| text.contains("no upper bound")), "{:?}", answer.deviations);
}

#[test]
fn a_full_length_trial_of_mlr_is_the_figure_whatever_it_was_for() {
    // Where initial and final trials are equally long, none is called confirming.
    let plan = mlr("final_sustain = \"3s\"");
    let run = Run::of_dut().with(|run| run.trials[CONFIRM].purpose = Purpose::Bisect);
    assert_eq!(run.answer(&plan).figures[0].trial, 4);
}
