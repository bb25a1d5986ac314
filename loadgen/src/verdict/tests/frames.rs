//! Trials of datagrams: no loss is tolerated, what the tester lost is nobody else's, and lost frames point at
//! the device only when no socket of the tester dropped any.

use wire::ledger::UdpLedger;

use super::*;
use crate::measure::record::{FrameCounts, FrameRecord};
use crate::scenario::plan::{DutKind, Forwarding, Profile};
use crate::verdict::answer::Figure;

/// A search for frames per second through the kernel.
fn fps(search: &str, expect: &str) -> Plan {
    let text = format!(
        "[testbed]\ndut = \"none\"\n[workload]\nkind = \"udp\"\nframes = {{ size = 64 }}\n[load]\nunit = \"frames/s\"\n\
         {search}\n[expect]\n{expect}\n"
    );
    let nothing = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let mut plan = parse("x.toml", &text, &nothing, &Overrides::default()).unwrap_or_else(|error| panic!("{error}"));
    let forwarding = Forwarding::Route;
    plan.testbed.dut.kind = DutKind::Kernel { forwarding, setup: Vec::new(), config: None, package: None };
    plan.testbed.dut.name = "nat".to_owned();
    plan
}

fn climb() -> Plan {
    fps("[search]\nmethod = \"climb\"", "")
}

/// A trial of frames of which so many were lost before the reflectors.
fn frames(number: u32, purpose: Purpose, rate: f64, lost: u64) -> TrialRecord {
    let mut trial = trial(number, purpose, rate, CALM);
    spoil(&mut trial, Outcome::Lost, lost);
    let counts = FrameCounts { sent: trial.due, answered: trial.due - lost, ..FrameCounts::default() };
    trial.frames = Some(FrameRecord { sustain: counts, all: counts, streams: 16, ..FrameRecord::default() });
    let udp = UdpLedger { received: counts.answered, sent: counts.answered, ..UdpLedger::default() };
    trial.ledgers = vec![Ledger { instance: "reflector-0".to_owned(), udp, ..Ledger::default() }];
    trial.responses_by_instance.clear();
    (trial.opened_all, trial.attempted_connections_all) = (0, 0);
    trial
}

fn record(trial: &mut TrialRecord) -> &mut FrameRecord {
    trial.frames.as_mut().unwrap()
}

#[test]
fn one_lost_frame_of_many_fails_a_trial_unless_more_may_fail() {
    let one = frames(1, Purpose::Climb, 1_000_000.0, 1);
    let passed = passes(&climb(), &one);
    assert_eq!((passed.passed, passed.decided), (false, true));
    assert_eq!(passed.reasons, ["1 of 10000000 operations failed (lost 1)"]);
    assert!(passes(&climb(), &frames(1, Purpose::Climb, 1_000_000.0, 0)).passed);
    assert!(passes(&fps("[search]\nmethod = \"climb\"", "failed = \"<= 0.1%\""), &one).passed);
    assert_eq!((loss_limit(&climb()), loss(&climb(), &one)), (0.0, 1e-7));
    assert!(!can_still_pass(&climb(), 1_000_000, 1));
}

#[test]
fn what_the_testers_own_sockets_lost_never_fails_the_device() {
    let plan = climb();
    for lose in [
        |trial: &mut TrialRecord| record(trial).own_drops = 5,
        |trial: &mut TrialRecord| trial.ledgers[0].udp.buffer_drops = 5,
        |trial: &mut TrialRecord| trial.ledgers[0].udp.overflowed = 5,
    ] {
        let mut trial = frames(1, Purpose::Climb, 10_000.0, 5);
        lose(&mut trial);
        let passed = passes(&plan, &trial);
        assert_eq!((passed.passed, passed.decided, is_testers_doing(&trial)), (false, false, true));
        assert!(
            passed.reasons[0].starts_with("5 frames were lost, and up to 5 of them by the tester itself"),
            "{passed:?}"
        );
        assert_eq!(loss(&plan, &trial), 1.0);
        // One lost frame more is none that the tester's sockets dropped.
        let mut trial = frames(1, Purpose::Climb, 10_000.0, 6);
        lose(&mut trial);
        assert!(passes(&plan, &trial).decided && !passes(&plan, &trial).passed);
    }
}

#[test]
fn a_rate_above_what_the_host_can_send_is_undecided_and_says_what_it_can() {
    let plan = fps("rate = 10000\n[search]\nmethod = \"fixed\"", "");
    let mut trial = frames(1, Purpose::Fixed, 8_000.0, 0);
    // What was asked for is more than what left.
    trial.due = 100_000;
    trial.outcomes.add(Outcome::UnsentLate, 20_000);
    trial.outcomes_all = trial.outcomes;
    let passed = passes(&plan, &trial);
    assert_eq!((passed.decided, passed.passed), (false, false));
    let reason = "it sent 8000 frames/s where 10000 were asked for";
    assert!(passed.reasons[0].ends_with(reason), "{passed:?}");
    let unsent = trial.clone();
    let answer = one_fixed(&plan, trial);
    assert_eq!(answer.exit, Exit::Undecided, "{}", answer.reason);
    let reach = "; without the DUT, tester and reflectors reach 8500 frames/s";
    assert!(!answer.reason.contains(reach), "{}", answer.reason);
    let trials = [unsent, frames(2, Purpose::Ceiling, 8_500.0, 0)];
    let named = super::answer(&plan, &trials, None, None, &Context::default());
    assert!(named.exit == Exit::Undecided && named.reason.ends_with(reach), "{}", named.reason);
    assert_eq!(named.figures[0].ceiling, Some(8_500.0));
    let rule = answer.validation.rule("offered-load").unwrap();
    assert_eq!((rule.value, rule.holds), (Some(0.2), Some(false)));
    assert!(answer.validation.observed.iter().any(|text| text.ends_with("(RFC 2285, 3.5)")), "{:?}", answer.validation);
}

#[test]
fn a_load_is_confirmed_by_all_of_its_frames() {
    // 100,000/s for 10 s, of which 900 frames, less than 0.1 %, never left the tester.
    let unsent = |purpose| {
        let mut trial = frames(3, purpose, 99_910.0, 0);
        (trial.due, trial.load) = (1_000_000, TrialLoad::Rate(100_000.0));
        trial.outcomes.add(Outcome::UnsentLate, 900);
        trial.outcomes_all = trial.outcomes;
        trial
    };
    let confirm = unsent(Purpose::Confirm);
    let passed = passes(&climb(), &confirm);
    assert_eq!((passed.passed, passed.decided, is_testers_doing(&confirm)), (false, false, true));
    let reason = "900 of 1000000 frames were never sent, which the load's loss does not allow: it sent 99910 frames/s";
    assert!(passed.reasons[0].starts_with(reason), "{passed:?}");
    assert_eq!(loss(&climb(), &confirm), 0.0009);
    // A goal that allows as much counts them as lost.
    for (limit, expected) in [("0.05%", (false, false)), ("0.1%", (true, true))] {
        let tolerant = fps("[search]\nmethod = \"climb\"", &format!("failed = \"<= {limit}\""));
        let passed = passes(&tolerant, &confirm);
        assert_eq!((passed.passed, passed.decided), expected, "{limit}");
        assert_eq!(loss(&tolerant, &confirm), 0.0009);
    }
    // The sweep states the loss among the frames that were sent.
    assert!(passes(&climb(), &unsent(Purpose::Sweep)).decided);
    let answer = run(|trial| *trial = unsent(Purpose::Bisect));
    assert_eq!(answer.limited_by, Some(LimitedBy::Generator), "{}", answer.reason);
}

#[test]
fn texts_about_frames_cite_what_their_test_follows() {
    let mut plan = fps("rate = 10000\n[search]\nmethod = \"fixed\"", "");
    plan.profile = Profile::Rfc;
    let mut trial = frames(1, Purpose::Fixed, 9_995.0, 0);
    trial.due = 100_000;
    trial.outcomes.add(Outcome::UnsentLate, 50);
    trial.outcomes_all = trial.outcomes;
    for _ in 0..1_000 {
        trial.latencies.record(Latency::Lag, 1_000_000);
    }
    let passed = passes(&plan, &trial);
    let figure = run(|_| ()).figures.remove(0);
    let figures = [Figure { value: 4_000.0, ceiling: Some(5_000.0), ..figure }];
    let warnings = warning::of(&plan, &trial, &passed, &figures);
    assert!(warnings.iter().any(|text| text.starts_with("delays carry the generator's own lateness")), "{warnings:?}");
    assert!(warnings.iter().any(|text| text.contains("maximum offered load: RFC 2285, 3.5.3")), "{warnings:?}");
    assert!(warnings.iter().all(|text| !text.contains("latenc") && !text.contains("RFC 9411")), "{warnings:?}");
    // Few enough never left in the outcomes, too many by the count of what was sent.
    let mut trial = frames(1, Purpose::Fixed, 10_000.0, 0);
    record(&mut trial).sustain.sent -= 1_000;
    trial.sustain = crate::scenario::final_sustain(&plan);
    let answer = one_fixed(&plan, trial);
    assert!(answer.reason.contains("by RFC 2285, 3.5 no valid result"), "{}", answer.reason);
    assert!(!answer.reason.contains("RFC 9411"), "{}", answer.reason);
}

/// Ceiling 50,000, qualified at 1,000, failed at 21,000 with lost frames, confirmed at 20,000.
fn run(change: impl FnOnce(&mut TrialRecord)) -> Answer {
    let mut failing = frames(3, Purpose::Bisect, 21_000.0, 700);
    change(&mut failing);
    let trials = vec![
        frames(1, Purpose::Ceiling, 50_000.0, 0),
        frames(2, Purpose::Qualify, 1_000.0, 0),
        failing,
        frames(4, Purpose::Confirm, 20_000.0, 0),
    ];
    let found = Found { lower: Some(20_000.0), upper: Some(21_000.0), at_least: false };
    answer(&climb(), &trials, Some(found), None, &Context::default())
}

fn evidence<'a>(answer: &'a Answer, rule: &str) -> &'a Evidence {
    answer.evidence.iter().find(|evidence| evidence.rule == rule).unwrap()
}

#[test]
fn frames_that_nobody_elses_socket_dropped_were_lost_by_the_device() {
    let answer = run(|_| ());
    assert_eq!((answer.limited_by, answer.exit), (Some(LimitedBy::Dut), Exit::Met), "{}", answer.reason);
    let figure = &answer.figures[0];
    assert_eq!((figure.name.as_str(), figure.value, figure.bound), ("fps", 20_000.0, Bound::Exact));
    let g8 = &evidence(&answer, "G8").text;
    assert!(g8.contains("700 of 210000 towards the reflectors, 0 of 209300 answers on the way back"), "{g8}");
    assert_eq!(answer.books, []);
}

#[test]
fn drops_at_the_testers_own_sockets_blame_who_dropped() {
    let answer = run(|trial| record(trial).own_drops = 700);
    assert_eq!(answer.limited_by, Some(LimitedBy::Generator), "{}", answer.reason);
    assert!(evidence(&answer, "G6").text.contains("generator 700, reflectors 0"));
    assert_eq!(answer.figures[0].bound, Bound::Lower);
    let answer = run(|trial| trial.ledgers[0].udp.buffer_drops = 700);
    assert_eq!(answer.limited_by, Some(LimitedBy::Reflector), "{}", answer.reason);
    assert!(evidence(&answer, "G8").text.contains("but tester and reflectors dropped 700 themselves"));
}

#[test]
fn faults_that_a_reflector_makes_on_purpose_are_its_own() {
    let answer = run(|trial| {
        let udp = &mut trial.ledgers[0].udp;
        (udp.received, udp.dropped) = (210_000, 700);
    });
    assert_eq!(answer.limited_by, Some(LimitedBy::Reflector), "{}", answer.reason);
    let text = &evidence(&answer, "reflector-failures").text;
    assert!(text.contains("reflectors made 700 failures, clients saw 700"), "{text}");
}
