//! Records of made-up trials to verdicts: each rule alone, their order, bounds and exit codes.

use std::io;
use std::path::Path;
use std::time::Duration;

use host::kernel::CoreTicks;
use wire::ledger::Ledger;

use super::answer::{Answer, Bound, Exit};
use super::*;
use crate::measure::record::{ConnectionsInSustain, EndedEarly, Purpose, TrialLoad};
use crate::measure::sample::LinkSample;
use crate::measure::{Latencies, Latency, Outcome, Outcomes, Role, RoleSample, Sample, TrialRecord};
use crate::scenario::{Overrides, Plan, parse};
use crate::search::Found;

mod frames;
mod validity;
mod workers;

const SUSTAIN_S: u64 = 10;
const SECOND_NS: u64 = 1_000_000_000;

fn plan_of(unit: &str, search: &str, expect: &str) -> Plan {
    plan_with("dut.toml", unit, search, expect)
}

fn plan_with(dut: &str, unit: &str, search: &str, expect: &str) -> Plan {
    let text = format!(
        "[testbed]\ndut = \"{dut}\"\n[workload]\nkind = \"http\"\nrequest = \"/?s=1k\"\n[load]\nunit = \"{unit}\"\n{search}\n[expect]\n{expect}\n"
    );
    let files = |path: &Path| match path.to_str() {
        Some("dut.toml") => Ok("kind = \"reference\"\nconfig = \"lb.toml\"\n".to_owned()),
        Some("lb.toml") => Ok("listen = \"127.0.0.1:{port}\" # {address}".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    parse("x.toml", &text, &files, &Overrides::default()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A climb for connections per second.
fn cps(expect: &str) -> Plan {
    plan_of("connections/s", "[search]\nmethod = \"climb\"", expect)
}

fn fixed(rate: u32, expect: &str) -> Plan {
    plan_of("connections/s", &format!("rate = {rate}\n[search]\nmethod = \"fixed\""), expect)
}

/// CPU use of a made-up testbed, in cores; the DUT is alone on core 1.
#[derive(Clone, Copy)]
struct Cpu {
    generator: f64,
    reflectors: f64,
    dut: f64,
    steal: f64,
}

const CALM: Cpu = Cpu { generator: 0.4, reflectors: 0.2, dut: 0.5, steal: 0.0 };
const DUT_BUSY: Cpu = Cpu { dut: 0.97, ..CALM };
/// As without a DUT, where a closed loop takes all the CPU there is.
const TESTER_BUSY: Cpu = Cpu { generator: 0.7, reflectors: 0.25, dut: 0.0, steal: 0.0 };

fn role(role: Role, cores: &[usize], used: f64, at_s: u64) -> RoleSample {
    RoleSample {
        role,
        cores: cores.to_vec(),
        quota_cores: None,
        cpu_ns: (used * (at_s * SECOND_NS) as f64) as u64,
        rss_anon_bytes: 0,
        descriptors: 100,
        descriptor_limit: 20_000,
        socket_drops: 0,
        throttled: 0,
    }
}

fn sample(cpu: Cpu, at_s: u64) -> Sample {
    let core = |busy: f64| {
        let ticks = |share: f64| (share * 10_000.0 * at_s as f64).round() as u64;
        CoreTicks { idle: ticks(1.0 - busy - cpu.steal), steal: ticks(cpu.steal), total: ticks(1.0) }
    };
    Sample {
        at_ns: at_s * SECOND_NS,
        roles: vec![
            role(Role::Generator, &[0], cpu.generator, at_s),
            role(Role::Dut, &[1], cpu.dut, at_s),
            role(Role::Reflector(0), &[0], cpu.reflectors, at_s),
        ],
        cores: vec![core(cpu.generator + cpu.reflectors), core(cpu.dut)],
        links: Vec::new(),
        memory_available_bytes: 1 << 30,
    }
}

/// A trial at which everything went well.
fn trial(number: u32, purpose: Purpose, rate: f64, cpu: Cpu) -> TrialRecord {
    let due = (rate * SUSTAIN_S as f64) as u64;
    let mut outcomes = Outcomes::default();
    outcomes.add(Outcome::Ok, due);
    let mut latencies = Latencies::default();
    for _ in 0..1000 {
        latencies.record(Latency::Service, 1_000_000);
        latencies.record(Latency::Response, 1_100_000);
        latencies.record(Latency::Lag, 20_000);
    }
    let ledger = Ledger {
        instance: "reflector-0".to_owned(),
        opened: due,
        requests: due,
        responses: due,
        responses_by_class: [0, due, 0, 0, 0],
        ..Ledger::default()
    };
    TrialRecord {
        frames: None,
        number,
        purpose,
        load: TrialLoad::Rate(rate),
        began_ns: SECOND_NS,
        ramp_up: Duration::from_secs(1),
        sustain: Duration::from_secs(SUSTAIN_S),
        ramp_down: Duration::from_secs(1),
        due,
        outcomes,
        outcomes_all: outcomes,
        completed_in_sustain: due,
        transactions_in_sustain: due,
        transactions_all: due,
        opened_all: due,
        attempted_connections_all: due,
        connections_in_sustain: ConnectionsInSustain::default(),
        body_bytes_in_sustain: due * 1024,
        open_peak: 10,
        open_min_in_sustain: 0,
        open_mean_in_sustain: 1.0,
        waited_for_slot: 0,
        latencies,
        seconds: Vec::new(),
        samples: (1..=14).map(|at_s| sample(cpu, at_s)).collect(),
        ledgers: vec![ledger],
        responses_by_instance: vec![("reflector-0".to_owned(), due)],
        slots: 1024,
        slots_cut: None,
        ended_early: None,
        reflector_deaths: Vec::new(),
        first_failures: Vec::new(),
        warnings: Vec::new(),
    }
}

/// Some operations of a trial end otherwise than well, before they reach a reflector.
fn spoil(trial: &mut TrialRecord, outcome: Outcome, operations: u64) {
    let mut outcomes = Outcomes::default();
    outcomes.add(Outcome::Ok, trial.outcomes.of(Outcome::Ok) - operations);
    for (kind, count) in trial.outcomes.iter().filter(|(kind, _)| *kind != Outcome::Ok) {
        outcomes.add(kind, count);
    }
    outcomes.add(outcome, operations);
    (trial.outcomes, trial.outcomes_all) = (outcomes, outcomes);
    trial.completed_in_sustain -= operations;
    trial.transactions_in_sustain -= operations;
    trial.transactions_all -= operations;
    trial.responses_by_instance[0].1 -= operations;
    trial.ledgers[0].responses -= operations;
}

/// A run of a climb: ceiling 5,000, qualified at 500, confirmed at 2,000, failed at 2,100.
struct Run {
    trials: Vec<TrialRecord>,
    found: Found,
    context: Context,
}

const CONFIRM: usize = 3;
const FAILING: usize = 2;

impl Run {
    /// The DUT refuses what is beyond its CPU.
    fn of_dut() -> Self {
        let mut run = Self::of(DUT_BUSY);
        spoil(&mut run.trials[FAILING], Outcome::ConnectRefused, 800);
        run
    }

    /// Nobody shows that the failing load is theirs: it completes too little, and that is all.
    fn of(cpu: Cpu) -> Self {
        let mut run = Self {
            trials: vec![
                trial(1, Purpose::Ceiling, 5_000.0, TESTER_BUSY),
                trial(2, Purpose::Qualify, 500.0, CALM),
                trial(3, Purpose::Bisect, 2_100.0, cpu),
                trial(4, Purpose::Confirm, 2_000.0, cpu),
            ],
            found: Found { lower: Some(2_000.0), upper: Some(2_100.0), at_least: false },
            context: Context::default(),
        };
        run.trials[FAILING].completed_in_sustain -= 800;
        run
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn answer(&self, plan: &Plan) -> Answer {
        answer(plan, &self.trials, Some(self.found), None, &self.context)
    }
}

fn one_fixed(plan: &Plan, trial: TrialRecord) -> Answer {
    answer(plan, &[trial], None, None, &Context::default())
}

#[test]
fn failures_are_compared_in_integers() {
    let plan = fixed(1_000, "");
    let with = |attempted: u64, failed: u64| {
        let mut trial = trial(1, Purpose::Fixed, attempted as f64 / SUSTAIN_S as f64, CALM);
        spoil(&mut trial, Outcome::ResetLater, failed);
        passes(&plan, &trial)
    };
    assert!(!with(100_000, 1).passed, "1 of 100,000 is not less than 0.001%");
    assert!(with(100_010, 1).passed);
    assert!(!with(200_000, 2).passed && with(200_010, 2).passed);
    assert_eq!(with(1_000, 1).reasons, ["1 of 1000 operations failed (reset_later 1)"]);
    let loose = fixed(1_000, "failed = \"<= 1%\"");
    let mut trial = trial(1, Purpose::Fixed, 1_000.0, CALM);
    spoil(&mut trial, Outcome::BadStatus, 100);
    assert!(passes(&loose, &trial).passed, "exactly 1% is within <= 1%");
    spoil(&mut trial, Outcome::BadStatus, 1);
    assert!(!passes(&loose, &trial).passed);
}

#[test]
fn a_trial_is_given_up_once_it_cannot_pass() {
    let plan = fixed(1_000, "");
    assert!(can_still_pass(&plan, 30_000, 0) && !can_still_pass(&plan, 30_000, 1));
    assert!(can_still_pass(&plan, 1_000_000, 9) && !can_still_pass(&plan, 1_000_000, 10));
    assert!(can_still_pass(&plan, 0, 0), "nothing due yet is no failure");
    assert!(can_still_pass(&fixed(1_000, "failed = \"<= 0%\""), 100, 0));
}

#[test]
fn a_queueing_device_fails_without_a_single_failure() {
    let plan = cps("");
    let mut trial = trial(1, Purpose::Climb, 1_000.0, CALM);
    trial.completed_in_sustain = 9_900;
    assert!(passes(&plan, &trial).passed, "99% is enough");
    trial.completed_in_sustain = 9_899;
    let passed = passes(&plan, &trial);
    assert!(!passed.passed && passed.decided);
    assert_eq!(passed.reasons, ["9899 operations completed in sustain, 99.0% of the 10000 due in it"]);
}

#[test]
fn the_testers_own_failures_make_a_trial_undecided_never_failed() {
    let plan = cps("");
    let mut late = trial(1, Purpose::Climb, 1_000.0, CALM);
    spoil(&mut late, Outcome::UnsentLate, 10);
    assert!(passes(&plan, &late).passed, "0.1% is tolerated");
    spoil(&mut late, Outcome::UnsentLate, 1);
    let passed = passes(&plan, &late);
    assert!(!passed.passed && !passed.decided, "{passed:?}");
    let mut local = trial(1, Purpose::Climb, 1_000.0, CALM);
    spoil(&mut local, Outcome::LocalError, 1);
    local.first_failures = vec![(Outcome::LocalError, "EMFILE".to_owned())];
    let passed = passes(&plan, &local);
    assert!(!passed.passed && !passed.decided);
    assert_eq!(passed.reasons, ["1 operations failed in the tester itself (EMFILE)"]);
    let stolen = trial(1, Purpose::Climb, 1_000.0, Cpu { steal: 0.06, ..CALM });
    assert!(!passes(&plan, &stolen).decided);
    let mut died = trial(1, Purpose::Climb, 1_000.0, CALM);
    died.ended_early = Some(EndedEarly::DutDied("signal 9".to_owned()));
    assert!(!passes(&plan, &died).decided);
    let mut alone = trial(1, Purpose::Climb, 1_000.0, CALM);
    alone.reflector_deaths = vec!["reflector-0: signal 9".to_owned()];
    let passed = passes(&plan, &alone);
    assert!(!passed.decided && passed.reasons == ["a reflector died: reflector-0: signal 9"], "{passed:?}");
    died.ended_early = Some(EndedEarly::CannotPass);
    let passed = passes(&plan, &died);
    assert!(passed.decided && !passed.passed);
}

#[test]
fn held_connections_must_all_live_to_the_end() {
    let plan = plan_of("connections", "[search]\nmethod = \"climb\"\nstart = 100", "");
    let mut held = trial(1, Purpose::Climb, 500.0, CALM);
    held.load = TrialLoad::Held(500);
    (held.open_min_in_sustain, held.open_mean_in_sustain) = (500, 500.0);
    assert!(passes(&plan, &held).passed);
    assert_eq!(achieved(&plan, &held), 500.0);
    held.open_min_in_sustain = 499;
    assert_eq!(passes(&plan, &held).reasons, ["499 connections were open throughout sustain instead of 500"]);
    held.open_min_in_sustain = 500;
    held.outcomes_all.add(Outcome::HoldLost, 1);
    assert_eq!(passes(&plan, &held).reasons, ["1 held connections were lost"]);
}

#[test]
fn a_dut_at_its_limit_gives_an_exact_figure_with_its_cost() {
    let answer = Run::of_dut().answer(&cps("cps = \">= 1000\"\nfailed = \"< 0.001%\""));
    assert_eq!((answer.limited_by, answer.exit), (Some(LimitedBy::Dut), Exit::Met), "{answer:#?}");
    let figure = &answer.figures[0];
    assert_eq!((figure.name.as_str(), figure.value, figure.bound, figure.trial), ("cps", 2_000.0, Bound::Exact, 4));
    assert_eq!((figure.failed_at, figure.ceiling, figure.object_bytes), (Some(2_100.0), Some(5_000.0), Some(1024)));
    let cpu = figure.dut_cpu_us_per_operation.unwrap();
    assert!((cpu - 485.0).abs() < 0.1, "0.97 cores over 2,000/s is 485 µs, found {cpu}");
    assert!((figure.estimated_capacity_per_core.unwrap() - 2_061.9).abs() < 1.0);
    let measured: Vec<_> = answer.judged.iter().map(|judged| (judged.verdict, judged.measured.as_str())).collect();
    assert_eq!(measured, [(Verdict::Pass, "2000"), (Verdict::Pass, "0 of 20000 (0.0000%)")]);
    assert_eq!(answer.reason, "every expectation is met: cps >= 1000, failed < 0.001%");
    assert!(answer.books.is_empty(), "{:?}", answer.books);
}

#[test]
fn evidence_names_rule_trial_and_numbers() {
    let answer = Run::of_dut().answer(&cps(""));
    let rules: Vec<&str> = answer.evidence.iter().map(|evidence| evidence.rule.as_str()).collect();
    assert_eq!(
        rules,
        [
            "steal",
            "descriptors",
            "link",
            "G2",
            "G3",
            "G4",
            "G5",
            "G6",
            "G7",
            "reflector-failures",
            "reflector-time",
            "G1",
            "G8",
            "Little"
        ]
    );
    let text = |rule: &str| answer.evidence.iter().find(|evidence| evidence.rule == rule).unwrap().text.as_str();
    assert!(text("G4").starts_with(
        "trial 4 (confirm): busiest core of the tester (0) 60% busy (limit 90%); generator 40%, reflectors 20% of a core"
    ), "{}", text("G4"));
    assert_eq!(text("G1"), "2000/s is 40% of the 5000/s reached without the DUT (limit 90%)");
    assert!(
        text("G8").contains(
            "trial 3 (bisect): DUT uses 97% of its cores, core 1 97% busy (limit 90%), it turned 800 operations away"
        ),
        "{}",
        text("G8")
    );
    assert!(answer.evidence.iter().all(|evidence| evidence.holds), "{:#?}", answer.evidence);
}

/// Each rule of the tester wins over a DUT that is just as clearly at its limit.
#[test]
fn a_tester_that_does_not_keep_up_is_never_mistaken_for_the_dut() {
    type Change = fn(&mut TrialRecord);
    let cases: [(&str, LimitedBy, Change); 11] = [
        ("late", LimitedBy::Generator, |trial| spoil(trial, Outcome::UnsentLate, 100)),
        ("lag", LimitedBy::Generator, |trial| {
            (0..1000).for_each(|_| trial.latencies.record(Latency::Lag, 20_000_000));
        }),
        ("quota", LimitedBy::Generator, |trial| trial.samples[13].roles[0].throttled = 3),
        ("reflector quota", LimitedBy::Reflector, |trial| trial.samples[13].roles[2].throttled = 3),
        ("local error", LimitedBy::Generator, |trial| spoil(trial, Outcome::LocalError, 1)),
        ("drops", LimitedBy::Generator, |trial| trial.samples[13].roles[0].socket_drops = 1),
        ("reflector drops", LimitedBy::Reflector, |trial| trial.ledgers[0].accept_queue_drops = 1),
        ("generator core", LimitedBy::Generator, |trial| {
            trial.samples =
                (1..=14).map(|at| sample(Cpu { generator: 0.7, reflectors: 0.25, ..DUT_BUSY }, at)).collect();
        }),
        ("reflector core", LimitedBy::Reflector, |trial| {
            trial.samples =
                (1..=14).map(|at| sample(Cpu { generator: 0.2, reflectors: 0.75, ..DUT_BUSY }, at)).collect();
        }),
        ("descriptors", LimitedBy::Host, |trial| trial.samples[5].roles[1].descriptors = 19_900),
        ("ports", LimitedBy::Host, |trial| {
            spoil(trial, Outcome::LocalError, 1);
            trial.first_failures = vec![(Outcome::LocalError, "connect: EADDRNOTAVAIL".to_owned())];
        }),
    ];
    for (name, expected, change) in cases {
        let run = Run::of_dut().with(|run| change(&mut run.trials[FAILING]));
        let found = run.answer(&cps("cps = \">= 3000\""));
        assert_eq!(found.limited_by, Some(expected), "{name}: {:#?}", found.evidence);
        assert_eq!(found.figures[0].bound, Bound::Lower, "{name}");
        assert_eq!((found.judged[0].verdict, found.exit), (Verdict::Undecided, Exit::Undecided), "{name}");
        assert_eq!(found.judged[0].measured, "≥ 2000", "{name}");
    }
}

#[test]
fn an_interface_at_its_declared_speed_is_the_limit() {
    let with = |speed_bps: Option<u64>, used_bps: u64| {
        let run = Run::of_dut().with(|run| {
            for (at_s, sample) in (1..).zip(&mut run.trials[FAILING].samples) {
                let bits = host::link::LinkBits { received: used_bps * at_s, sent: 0 };
                sample.links = vec![LinkSample { name: "eth0".to_owned(), speed_bps, bits }];
            }
        });
        let answer = run.answer(&cps(""));
        let text = answer.evidence.iter().find(|evidence| evidence.rule == "link").unwrap().text.clone();
        (answer.limited_by, text.rsplit_once(": ").unwrap().1.to_owned())
    };
    let speed = Some(1_000_000_000);
    let full = "eth0 carries 95.0% of its declared speed (limit 95%)".to_owned();
    assert_eq!(with(speed, 950_000_000), (Some(LimitedBy::Link), full));
    assert_eq!(with(speed, 940_000_000).0, Some(LimitedBy::Dut));
    assert_eq!(with(None, 950_000_000), (Some(LimitedBy::Dut), "eth0 declare(s) no speed".to_owned()));
}

#[test]
fn what_bounded_the_load_on_this_host_decides() {
    let cut = |why: Option<&str>| {
        let run = Run::of_dut().with(|run| run.trials[FAILING].slots_cut = why.map(str::to_owned));
        run.answer(&cps("")).limited_by
    };
    let why = Some("256 descriptors allow 200");
    assert_eq!((cut(None), cut(why)), (Some(LimitedBy::Dut), Some(LimitedBy::Host)));
}

#[test]
fn a_figure_near_the_ceiling_is_the_testbeds() {
    let with = |ceiling: f64, cpu: Cpu| {
        let run = Run::of_dut().with(|run| run.trials[0] = trial(1, Purpose::Ceiling, ceiling, cpu));
        run.answer(&cps("cps = \">= 1000\""))
    };
    let near = |ceiling: f64| with(ceiling, TESTER_BUSY);
    let limited_by = |cpu: Cpu| with(2_200.0, cpu).limited_by;
    assert_eq!(limited_by(Cpu { generator: 0.3, reflectors: 0.65, ..CALM }), Some(LimitedBy::Reflector));
    assert_eq!(limited_by(CALM), Some(LimitedBy::Reflector), "neither was short of CPU: the loop waited for answers");
    let answer = near(2_200.0);
    assert_eq!((answer.limited_by, answer.exit), (Some(LimitedBy::Generator), Exit::Met), "≥ 2000 meets >= 1000");
    assert_eq!(answer.figures[0].bound, Bound::Lower);
    let answer = near(2_500.0);
    assert_eq!(answer.limited_by, Some(LimitedBy::Dut));
    assert!(
        answer.warnings.iter().any(|text| text.starts_with("little margin: the figure is 80%")),
        "{:?}",
        answer.warnings
    );
}

#[test]
fn each_kind_of_evidence_points_at_the_dut_and_none_at_nobody() {
    let limited_by = |run: Run| run.answer(&cps("")).limited_by;
    assert_eq!(limited_by(Run::of(CALM)), Some(LimitedBy::Unexplained));
    assert_eq!(limited_by(Run::of(DUT_BUSY)), Some(LimitedBy::Dut));
    assert_eq!(
        limited_by(Run::of(CALM).with(|run| spoil(&mut run.trials[FAILING], Outcome::UnsentWindow, 50))),
        Some(LimitedBy::Dut)
    );
    assert_eq!(
        limited_by(Run::of(CALM).with(|run| spoil(&mut run.trials[FAILING], Outcome::ResetLater, 50))),
        Some(LimitedBy::Dut)
    );
    let slow = Run::of(CALM).with(|run| {
        (0..1000).for_each(|_| run.trials[FAILING].latencies.record(Latency::Service, 3_100_000));
    });
    assert_eq!(limited_by(slow), Some(LimitedBy::Dut));
    let quota = Run::of(CALM).with(|run| {
        for at in &mut run.trials[CONFIRM].samples {
            at.roles[1].quota_cores = Some(0.5);
        }
    });
    assert_eq!(limited_by(quota), Some(LimitedBy::Dut), "0.5 cores of a quota of 0.5");
}

#[test]
fn failures_that_the_reflectors_made_are_not_the_duts() {
    let run = Run::of(CALM).with(|run| {
        spoil(&mut run.trials[FAILING], Outcome::BadStatus, 60);
        run.trials[FAILING].ledgers[0].responses_by_class[4] = 60;
    });
    assert_eq!(run.answer(&cps("")).limited_by, Some(LimitedBy::Reflector));
}

/// Slots that wait point at the DUT, unless the answers take as long without it.
#[test]
fn slots_that_wait_for_the_reflectors_are_not_the_duts() {
    let slow = |trial: &mut TrialRecord, milliseconds: u64| {
        trial.latencies = Latencies::default();
        (0..1000).for_each(|_| trial.latencies.record(Latency::Service, milliseconds * 1_000_000));
    };
    let limited_by = |own_ms: u64, through_ms: u64, cpu: Cpu| {
        let run = Run::of(cpu).with(|run| {
            run.trials[0] = trial(1, Purpose::Ceiling, 5_000.0, CALM);
            slow(&mut run.trials[0], own_ms);
            spoil(&mut run.trials[FAILING], Outcome::UnsentWindow, 50);
            slow(&mut run.trials[FAILING], through_ms);
        });
        run.answer(&cps("")).limited_by
    };
    assert_eq!(limited_by(100, 101, CALM), Some(LimitedBy::Reflector));
    assert_eq!(limited_by(100, 151, CALM), Some(LimitedBy::Dut), "it adds half of their time and more");
    assert_eq!(limited_by(1, 100, CALM), Some(LimitedBy::Dut));
    assert_eq!(limited_by(100, 101, DUT_BUSY), Some(LimitedBy::Dut), "its CPU is used up");
}

#[test]
fn a_robbed_host_decides_nothing() {
    let run = Run::of_dut()
        .with(|run| run.trials[FAILING] = trial(3, Purpose::Bisect, 2_100.0, Cpu { steal: 0.2, dut: 0.7, ..CALM }));
    let answer = run.answer(&cps("cps = \">= 1000\""));
    assert_eq!((answer.exit, answer.judged[0].verdict), (Exit::Undecided, Verdict::Undecided));
    assert_eq!(answer.limited_by, Some(LimitedBy::Unexplained));
    assert_eq!(answer.reason, "undecided: the hypervisor took too much CPU away (more than 5%)");
}

#[test]
fn exit_codes_of_a_search() {
    let exit = |run: Run, expect: &str| {
        let answer = run.answer(&cps(expect));
        (answer.exit, answer.reason)
    };
    let (code, reason) = exit(Run::of_dut(), "cps = \">= 3000\"");
    assert_eq!((code, reason.as_str()), (Exit::Missed, "missed: cps >= 3000 (measured 2000)"));
    let (code, reason) = exit(Run::of_dut(), "");
    assert_eq!((code, reason.as_str()), (Exit::Met, "nothing was expected, and the DUT set the maximum"));
    let (code, reason) = exit(Run::of(CALM), "");
    let expected = "undecided: nothing was expected, and not the DUT set the maximum: unexplained";
    assert_eq!((code, reason.as_str()), (Exit::Undecided, expected));
    let (code, reason) = exit(Run::of(CALM), "cps = \">= 2100\"");
    let expected = "undecided: cps >= 2100: the figure is only a lower bound, limited by unexplained";
    assert_eq!((code, reason.as_str()), (Exit::Undecided, expected));
    assert_eq!(exit(Run::of(CALM), "cps = \">= 2000\"").0, Exit::Met, "≥ x meets >= x");
    assert_eq!(exit(Run::of(CALM), "cps = \"> 2000\"").0, Exit::Undecided);
    assert_eq!(exit(Run::of(CALM), "cps = \"< 3000\"").0, Exit::Undecided, "a lower bound proves no upper one");
    let interrupted = Run::of_dut().with(|run| run.context.interrupted = true);
    assert_eq!(exit(interrupted, "cps = \">= 1000\"").0, Exit::Interrupted);
    let died = Run::of_dut().with(|run| run.context.dut_exit = Some("exit status 1".to_owned()));
    let (code, reason) = exit(died, "cps = \">= 1000\"");
    assert_eq!((code, reason.as_str()), (Exit::Undecided, "undecided: the DUT died: exit status 1"));
}

#[test]
fn a_search_that_met_its_cap_is_at_least() {
    let run = |limited: Cpu| {
        let mut run = Run::of(limited);
        run.trials.remove(FAILING);
        run.found = Found { lower: Some(2_000.0), upper: None, at_least: true };
        run
    };
    let answer = run(DUT_BUSY).answer(&cps("cps = \">= 1000\""));
    assert_eq!((answer.figures[0].bound, answer.exit), (Bound::Lower, Exit::Met));
    let answer = run(DUT_BUSY).answer(&cps(""));
    assert_eq!(answer.exit, Exit::Undecided);
}

#[test]
fn a_dut_that_does_not_qualify_misses_what_lies_above() {
    let run = |at: f64, outcome: Outcome| {
        let mut failed = trial(2, Purpose::Qualify, at, CALM);
        spoil(&mut failed, outcome, 500);
        Run {
            trials: vec![trial(1, Purpose::Ceiling, 5_000.0, CALM), failed],
            found: Found { lower: None, upper: Some(at), at_least: false },
            context: Context::default(),
        }
    };
    let answer = run(500.0, Outcome::BadStatus).answer(&cps("cps = \">= 1000\""));
    assert_eq!((answer.exit, answer.figures.len()), (Exit::Missed, 0));
    assert_eq!(answer.reason, "missed: cps >= 1000 (measured failed at 500)");
    let answer = run(500.0, Outcome::BadStatus).answer(&cps(""));
    assert_eq!(answer.exit, Exit::Missed);
    assert_eq!(
        answer.reason,
        "not even 500 connections/s were carried: 500 of 5000 operations failed (bad_status 500); \
        4500 operations completed in sustain, 90.0% of the 5000 due in it"
    );
    let answer = run(1_500.0, Outcome::BadStatus).answer(&cps("cps = \">= 1000\""));
    assert_eq!((answer.exit, answer.judged[0].verdict), (Exit::Undecided, Verdict::Undecided), "it may carry 1000");
    let answer = run(500.0, Outcome::UnsentLate).answer(&cps("cps = \">= 1000\""));
    assert_eq!((answer.exit, answer.limited_by), (Exit::Undecided, Some(LimitedBy::Generator)));
}

#[test]
fn a_load_that_nothing_confirms_is_undecided() {
    let run = Run::of_dut().with(|run| {
        spoil(&mut run.trials[CONFIRM], Outcome::ResetLater, 10);
        run.found = Found { lower: None, upper: Some(2_000.0), at_least: false };
    });
    let answer = run.answer(&cps("cps = \">= 1000\""));
    assert_eq!((answer.exit, answer.figures.len()), (Exit::Undecided, 0));
    assert_eq!(answer.reason, "undecided: loads passed short trials, but none was confirmed at full length");
}

#[test]
fn a_fixed_load_has_no_limit_but_its_expectations_are_judged() {
    let answer = one_fixed(&fixed(1_000, ""), trial(1, Purpose::Fixed, 1_000.0, CALM));
    assert_eq!((answer.limited_by, answer.exit), (None, Exit::Met));
    assert_eq!((answer.figures[0].value, answer.figures[0].bound), (1_000.0, Bound::Exact));

    let mut slow = trial(1, Purpose::Fixed, 1_000.0, CALM);
    slow.completed_in_sustain = 9_000;
    let answer = one_fixed(&fixed(1_000, "cps = \">= 950\""), slow.clone());
    assert_eq!((answer.exit, answer.judged[0].verdict), (Exit::Missed, Verdict::Fail));
    assert!(
        answer.warnings.iter().any(|text| text.starts_with("the load was not carried: 9000 operations completed")),
        "{:?}",
        answer.warnings
    );
    // The same miss by a generator at its limit says nothing about the DUT.
    slow.samples = (1..=14).map(|at| sample(Cpu { generator: 0.95, reflectors: 0.0, ..CALM }, at)).collect();
    let answer = one_fixed(&fixed(1_000, "cps = \">= 950\""), slow);
    assert_eq!((answer.exit, answer.judged[0].verdict), (Exit::Undecided, Verdict::Undecided));
    assert!(answer.reason.starts_with("undecided: cps >= 950: G4: trial 1 (fixed): "), "{}", answer.reason);

    let mut failing = trial(1, Purpose::Fixed, 1_000.0, CALM);
    spoil(&mut failing, Outcome::BadPayload, 100);
    let answer = one_fixed(&fixed(1_000, "failed = \"< 0.5%\""), failing);
    assert_eq!((answer.exit, answer.judged[0].measured.as_str()), (Exit::Missed, "100 of 10000 (1.0000%)"));
}

#[test]
fn latencies_are_judged_only_with_enough_samples_and_little_lag() {
    let judge = |change: fn(&mut TrialRecord), expect: &str| {
        let mut trial = trial(1, Purpose::Fixed, 1_000.0, CALM);
        change(&mut trial);
        let answer = one_fixed(&fixed(1_000, expect), trial);
        (answer.judged[0].verdict, answer.judged[0].measured.clone())
    };
    assert_eq!(judge(|_| (), "response_time_p99 = \"< 2ms\""), (Verdict::Pass, "1.101 ms".to_owned()));
    assert_eq!(judge(|_| (), "response_time_p99 = \"< 1ms\"").0, Verdict::Fail);
    let few = judge(|_| (), "response_time_p999 = \"< 2ms\"");
    assert_eq!(few, (Verdict::Undecided, "1000 samples, 3688 needed".to_owned()));
    let laggy: fn(&mut TrialRecord) = |trial| (0..1000).for_each(|_| trial.latencies.record(Latency::Lag, 1_000_000));
    assert_eq!(judge(laggy, "response_time_p99 = \"< 1ms\"").0, Verdict::Undecided);
    assert_eq!(judge(laggy, "response_time_p99 = \"< 2ms\"").0, Verdict::Pass);
}

#[test]
fn without_a_dut_the_figure_is_the_testbeds_own() {
    let plan = plan_with("none", "connections/s", "[search]\nmethod = \"climb\"", "");
    let mut run = Run::of(Cpu { generator: 0.8, reflectors: 0.15, dut: 0.0, steal: 0.0 });
    for trial in &mut run.trials {
        trial.samples.iter_mut().for_each(|sample| sample.roles.retain(|role| role.role != Role::Dut));
    }
    let answer = run.answer(&plan);
    assert_eq!((answer.exit, answer.limited_by), (Exit::Met, Some(LimitedBy::Generator)));
    assert_eq!((answer.figures[0].bound, answer.figures[0].dut_cpu_us_per_operation), (Bound::Exact, None));
}

#[test]
fn books_that_disagree_make_the_figure_doubtful() {
    let run = Run::of_dut().with(|run| run.trials[CONFIRM].ledgers[0].responses -= 5);
    let answer = run.answer(&cps("cps = \">= 1000\""));
    assert_eq!((answer.exit, answer.judged[0].verdict), (Exit::Undecided, Verdict::Undecided));
    assert_eq!(answer.reason, "undecided: the books of client and reflectors disagree");
    assert_eq!((answer.books[0].trial, answer.books[0].serious), (4, true));
}

#[test]
fn too_few_operations_to_resolve_the_limit_are_said() {
    let answer = Run::of_dut().answer(&cps(""));
    let warning = answer.warnings.iter().find(|text| text.starts_with("resolution_limited")).unwrap();
    let expected = "resolution_limited: 0 of 20000 operations failed, which shows with 95% confidence only that fewer than \
        0.0150% fail; the limit of failures is shown from 299572 operations on (below 100001 a single failure breaks it): \
        lengthen sustain (search.final_sustain) to show it";
    assert_eq!(warning, expected);
}

#[test]
fn a_run_without_trials_ends_undecided() {
    let answer = answer(&cps("cps = \">= 1\""), &[], None, None, &Context::default());
    assert_eq!((answer.exit, answer.figures.len(), answer.limited_by), (Exit::Undecided, 0, None));
    assert_eq!(answer.reason, "undecided: no trial was completed");
}

mod searched;
