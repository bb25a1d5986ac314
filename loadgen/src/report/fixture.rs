//! A run that never happened, for the tests of the report: a DUT that carries 1,000 connections per
//! second, in front of two reflectors, on a machine with two cores. Everything follows from a seed.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use host::kernel::CoreTicks;
use serde_json::{Value, json};
use wire::ledger::Ledger;
use wire::units::{Percent, Rate};

use super::RunFolder;
use super::folder::TrialNote;
use crate::archive::Archive;
use crate::measure::record::{ConnectionsInSustain, EndedEarly, Purpose, TrialLoad};
use crate::measure::{Latencies, Latency, Outcome, Outcomes, Phase, Role, RoleSample, Sample, Second, TrialRecord};
use crate::scenario::Plan;
use crate::scenario::plan::*;
use crate::verdict::answer::{Answer, Bound, Exit, Figure, Mismatch};
use crate::verdict::{Evidence, Judged, LimitedBy, Validation, Validity, Verdict};

pub(crate) mod frames;

/// Connections per second that the DUT of the fixture carries.
const CAPACITY: f64 = 1_000.0;
const BODY: u64 = 1_024;

/// A run with all that a report needs.
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) trials: Vec<TrialRecord>,
    pub(crate) passed: Vec<Option<bool>>,
    pub(crate) reasons: Vec<Vec<String>>,
    pub(crate) answer: Answer,
    pub(crate) environment: Value,
}

/// A search that found the DUT's limit.
pub(crate) fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    RUN.get_or_init(|| {
        let steps = [
            (Purpose::Ceiling, TrialLoad::Closed(64), 3, None),
            (Purpose::Qualify, TrialLoad::Rate(430.0), 3, Some(true)),
            (Purpose::Climb, TrialLoad::Rate(860.0), 3, Some(true)),
            (Purpose::Climb, TrialLoad::Rate(1_720.0), 3, Some(false)),
            (Purpose::Bisect, TrialLoad::Rate(1_216.0), 3, Some(false)),
            (Purpose::Bisect, TrialLoad::Rate(1_023.0), 3, Some(false)),
            (Purpose::Bisect, TrialLoad::Rate(938.0), 3, Some(true)),
            (Purpose::Bisect, TrialLoad::Rate(980.0), 3, Some(true)),
            (Purpose::Confirm, TrialLoad::Rate(980.0), 10, Some(true)),
        ];
        let mut began_ns = 5_000_000_000_000;
        let mut trials = Vec::new();
        for (number, (purpose, load, sustain_s, _)) in (1..).zip(steps) {
            let record = trial(number, purpose, load, Duration::from_secs(sustain_s), began_ns);
            began_ns += record.seconds.len() as u64 * 1_000_000_000 + 300_000_000;
            trials.push(record);
        }
        let reasons = trials.iter().map(reasons_of).collect();
        Run {
            plan: plan(),
            answer: answer(&trials),
            trials,
            passed: steps.map(|(.., passed)| passed).into(),
            reasons,
            environment: environment(),
        }
    })
}

/// The same run, interrupted in its third trial, with markup in every text that a user can choose.
pub(crate) fn interrupted() -> Run {
    let whole = run();
    let mut trials = whole.trials[..3].to_vec();
    trials[2].ended_early = Some(EndedEarly::Interrupted);
    trials[2].seconds.truncate(2);
    trials[2].samples.truncate(3);
    let mut plan = plan();
    plan.question = "Is <script>alert('1')</script> & \"so on\" shown as text?".to_owned();
    plan.testbed.dut.name = "<b>dut</b>".to_owned();
    let answer = Answer {
        figures: Vec::new(),
        limited_by: None,
        validation: Validation::default(),
        evidence: Vec::new(),
        judged: vec![Judged {
            text: "cps >= 1000".to_owned(),
            measured: "nothing".to_owned(),
            verdict: Verdict::Undecided,
        }],
        books: Vec::new(),
        warnings: vec!["the run was interrupted in trial 3; run it again without interruption".to_owned()],
        label: "derived".to_owned(),
        deviations: whole.answer.deviations.clone(),
        frames: None,
        exit: Exit::Interrupted,
        reason: "interrupted by the user".to_owned(),
    };
    let reasons = whole.reasons[..3].to_vec();
    Run { plan, trials, passed: vec![None, Some(true), None], reasons, answer, environment: environment() }
}

/// A run at a fixed load against a web server somewhere else: no reflectors, no CPU time to read.
pub(crate) fn external() -> Run {
    let whole = run();
    let mut record = whole.trials[8].clone();
    record.number = 1;
    record.purpose = Purpose::Fixed;
    record.ledgers.clear();
    record.responses_by_instance.clear();
    for sample in &mut record.samples {
        sample.roles.retain(|role| role.role == Role::Generator);
    }
    let mut plan = plan();
    plan.testbed.dut.kind = DutKind::External { address: "192.0.2.7:80".parse().unwrap() };
    plan.testbed.dut.name = "192.0.2.7:80".to_owned();
    plan.testbed.reflectors = 0;
    plan.scenario_text.clear();
    plan.search = SearchPlan::Fixed;
    let mut answer = answer(&whole.trials);
    answer.limited_by = None;
    answer.evidence.clear();
    answer.judged.clear();
    answer.books.clear();
    answer.figures[0] = Figure {
        trial: 1,
        failed_at: None,
        dut_cpu_us_per_operation: None,
        estimated_capacity_per_core: None,
        ceiling: None,
        object_bytes: None,
        ..answer.figures[0].clone()
    };
    answer.exit = Exit::Met;
    answer.reason = "the load was fixed and nothing was expected".to_owned();
    let trials = vec![record];
    Run { plan, trials, passed: vec![None], reasons: vec![Vec::new()], answer, environment: environment() }
}

/// Writes a run folder as a run does, second by second.
pub(crate) fn write(run: &Run, root: &Path) -> PathBuf {
    let mut folder = RunFolder::create(root, &run.plan, "name = \"cps\"\n", &run.environment).unwrap();
    for ((record, passed), reasons) in run.trials.iter().zip(&run.passed).zip(&run.reasons) {
        for (second, samples) in record.seconds.iter().zip(record.samples.windows(2)) {
            let phase = record.phase_of(second.index);
            folder.second(record.number, record.purpose, phase, second, Some((&samples[0], &samples[1]))).unwrap();
        }
        folder.trial(record, *passed, reasons).unwrap();
    }
    folder.finish(&run.plan, &run.trials, &run.answer).unwrap();
    folder.path().to_owned()
}

/// Runs of one fixed load, beginning so many nanoseconds after the first, each on a host of its own
/// with a seed of its own; read back from their folders under `root`.
pub(crate) fn side_by_side(root: &Path, after_ns: &[u64]) -> Vec<Archive> {
    let read = |(at, &after_ns): (usize, &u64)| {
        let mut run = external();
        run.plan.seed += at as u64;
        let folder = write(&run, root);
        let path = root.join(format!("part-{at}"));
        std::fs::rename(folder, &path).unwrap();
        let mut archive = Archive::read(&path).unwrap();
        // The trial begins a second after its run, which begins on a whole second.
        archive.begun.run = format!("part-{at}");
        archive.begun.began_unix_ns = 1_795_406_706_000_000_000 + after_ns;
        archive.begun.began_monotonic_ns = archive.trials[0].record.began_ns - 1_000_000_000;
        archive
    };
    after_ns.iter().enumerate().map(read).collect()
}

/// A folder of this test alone, removed afterwards.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nadare-report-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What became of the trials of a run.
pub(super) fn notes(run: &Run) -> Vec<TrialNote> {
    let verdicts = run.trials.iter().zip(&run.passed).zip(&run.reasons);
    let note = |((record, passed), reasons): ((&TrialRecord, &Option<bool>), &Vec<String>)| TrialNote {
        trial: record.number,
        passed: *passed,
        reasons: reasons.clone(),
    };
    verdicts.map(note).collect()
}

/// Bytes of base64 text, padding and all.
pub(super) fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut width) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes().filter(|&letter| letter != b'=') {
        let digit = DIGITS.iter().position(|&known| known == letter).unwrap();
        bits = (bits << 6) | digit as u32;
        width += 6;
        if width >= 8 {
            width -= 8;
            bytes.push((bits >> width) as u8);
        }
    }
    bytes
}

fn plan() -> Plan {
    let template =
        Template { path: "scenarios/dut/reference-http.lb.toml".into(), text: "# the template\n".to_owned() };
    Plan {
        suite: None,
        name: "cps".to_owned(),
        question: "How many new HTTP connections per second does the load balancer carry without a failure?".to_owned(),
        seed: 7,
        profile: Profile::Standard,
        scenario_text: "[scenario]\nname = \"cps\"\n".to_owned(),
        testbed: TestbedPlan {
            network: Network::Loopback,
            links: Default::default(),
            dut: Dut {
                name: "reference-http".to_owned(),
                kind: DutKind::Reference { config: template, workers: 1.try_into().unwrap() },
                service: "http://127.0.0.1:{port}".to_owned(),
                cores: vec![1],
                cpu_quota: Some(Percent::from_ratio(0.25).unwrap()),
                file_text: "kind = \"reference\"\n".to_owned(),
            },
            reflectors: 2,
            remote_reflectors: Vec::new(),
            reflector_arguments: Vec::new(),
            generator_cores: vec![0],
            allow_targets: Vec::new(),
            source_networks: Vec::new(),
        },
        workload: Workload {
            kind: WorkloadKind::Http(HttpPlan {
                request: "/?s=1k".to_owned(),
                host: String::new(),
                headers: Vec::new(),
                status: 200,
                body: BodyCheck::Table { length: BODY },
            }),
            requests_per_connection: Some(1.try_into().unwrap()),
            close: CloseMode::ClientFin,
        },
        load: load(),
        search: SearchPlan::Climb(MaximumPlan {
            start: StartLoad::OfCeiling(Percent::from_ratio(0.1).unwrap()),
            factor: 2.0,
            width: Percent::from_ratio(0.05).unwrap(),
            final_sustain: Duration::from_secs(10),
            max: None,
            budget: Duration::from_secs(60),
            repeats: 1.try_into().unwrap(),
            curve: None,
            goals: Vec::new(),
        }),
        expect: Vec::new(),
    }
}

fn load() -> LoadPlan {
    LoadPlan {
        engine: Engine::Epoll,
        unit: Unit::ConnectionsPerSecond,
        rate: None,
        count: None,
        arrivals: Arrivals::Even,
        pattern: Pattern::Flat,
        phases: Phases {
            init: Duration::from_secs(1),
            ramp_up: Duration::from_secs(1),
            sustain: Duration::from_secs(3),
            ramp_down: Duration::from_secs(1),
        },
        slots: 1_024.try_into().unwrap(),
        max_lag: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(3),
        response_timeout: Duration::from_secs(10),
        drain: Duration::from_secs(1),
        open_rate: Rate::per_second(1_000.0).unwrap(),
        hold_interval: Duration::from_secs(1),
    }
}

/// What a trial carries straight to the reflectors, or through the DUT.
fn limit_of(purpose: Purpose) -> f64 {
    if purpose == Purpose::Ceiling { 4_300.0 } else { CAPACITY }
}

fn trial(number: u32, purpose: Purpose, load: TrialLoad, sustain: Duration, began_ns: u64) -> TrialRecord {
    let ramp = Duration::from_secs(1);
    let limit = limit_of(purpose);
    let rate = if let TrialLoad::Rate(rate) = load { rate } else { limit };
    let mut record = blank(number, purpose, load, sustain, began_ns);
    (record.ramp_up, record.ramp_down) = (ramp, ramp);
    record.samples.push(sample(began_ns, None, 0.0, 0.0));
    let whole_s = sustain.as_secs() as u32 + 3;
    let mut random = Random(u64::from(number));
    let mut backlog = 0.0;
    for index in 0..whole_s {
        let phase = record.phase_of(index);
        let due = match phase {
            Phase::RampUp | Phase::RampDown => rate / 2.0,
            Phase::Sustain => rate,
            Phase::Drain => 0.0,
        };
        let done = (due + backlog).min(limit).round();
        backlog += due - done;
        let measured = phase == Phase::Sustain;
        let second = second(index, due as u64, done as u64, backlog / limit, done / limit, &mut random);
        if measured {
            record.latencies.merge(&second.latencies);
            record.completed_in_sustain += done as u64;
            record.due += due as u64;
        }
        let before = record.samples.last().cloned();
        record.samples.push(sample(began_ns + u64::from(index + 1) * 1_000_000_000, before.as_ref(), done, limit));
        record.seconds.push(second);
    }
    close_books(&mut record, backlog as u64);
    record
}

fn second(index: u32, due: u64, done: u64, wait_s: f64, busy: f64, random: &mut Random) -> Second {
    let mut second = Second {
        index,
        due,
        started: due,
        transactions: done,
        opened: done,
        open: (wait_s * 1_000.0) as u64 + done / 700,
        body_bytes: done * BODY,
        ..Second::default()
    };
    second.ended.add(Outcome::Ok, done);
    for _ in 0..done {
        // The tail grows as the DUT gets busier, and once in a thousand a timer fires.
        let tail = -random.share().max(1e-9).ln() * 90e3 / (1.02 - busy.min(1.0)).max(0.05);
        let stall = if random.share() < 0.001 { 11e6 } else { 0.0 };
        let service = 240e3 + tail + stall;
        let lag = 15e3 + random.share() * 40e3;
        let values = [90e3 + tail / 3.0, service - 20e3, service, wait_s * 1e9 + service + lag, service, lag];
        for (latency, value) in Latency::ALL.into_iter().zip(values) {
            second.latencies.record(latency, value as u64);
        }
    }
    second
}

/// Counters one second later, from how busy the testbed was in it.
fn sample(at_ns: u64, before: Option<&Sample>, done: f64, limit: f64) -> Sample {
    let roles = [
        (Role::Generator, 0, None, done * 95e3),
        (Role::Dut, 1, Some(0.25), if limit > CAPACITY { 0.0 } else { done * 247e3 }),
        (Role::Reflector(0), 0, None, done * 30e3),
        (Role::Reflector(1), 0, None, done * 28e3),
    ];
    let role = |(role, core, quota_cores, cpu_ns): (Role, usize, Option<f64>, f64)| RoleSample {
        role,
        cores: vec![core],
        quota_cores,
        cpu_ns: before.and_then(|sample| sample.role(role)).map_or(0, |role| role.cpu_ns) + cpu_ns as u64,
        rss_anon_bytes: 14 << 20,
        descriptors: 120,
        descriptor_limit: 20_000,
        socket_drops: 0,
        throttled: 0,
    };
    let core = |number: usize, busy: f64| {
        let before = before.and_then(|sample| sample.cores.get(number)).copied().unwrap_or_default();
        let busy = (busy * 100.0).min(100.0) as u64;
        CoreTicks { idle: before.idle + 100 - busy, steal: before.steal, total: before.total + 100 }
    };
    Sample {
        at_ns,
        roles: roles.map(role).into(),
        cores: vec![core(0, done * 160e-6), core(1, if limit > CAPACITY { 0.02 } else { done * 260e-6 })],
        links: Vec::new(),
        memory_available_bytes: 3 << 30,
    }
}

fn close_books(record: &mut TrialRecord, unfinished: u64) {
    record.outcomes.add(Outcome::Ok, record.due - unfinished.min(record.due));
    record.outcomes.add(Outcome::Unfinished, unfinished.min(record.due));
    for second in &record.seconds {
        record.outcomes_all.merge(&second.ended);
        record.opened_all += second.opened;
    }
    record.outcomes_all.add(Outcome::Unfinished, unfinished);
    record.transactions_in_sustain = record.completed_in_sustain;
    record.transactions_all = record.opened_all;
    record.attempted_connections_all = record.opened_all + unfinished;
    record.body_bytes_in_sustain = record.completed_in_sustain * BODY;
    let open: Vec<u64> = record.seconds.iter().map(|second| second.open).collect();
    record.open_peak = open.iter().copied().max().unwrap_or(0);
    record.open_min_in_sustain = open[1];
    record.open_mean_in_sustain = open.iter().sum::<u64>() as f64 / open.len() as f64;
    let half = record.transactions_all / 2;
    let halves = [("reflector-0", half), ("reflector-1", record.transactions_all - half)];
    record.responses_by_instance = halves.map(|(name, responses)| (name.to_owned(), responses)).into();
    record.ledgers = halves.map(|(name, requests)| ledger(name, requests)).into();
    if unfinished > 0 {
        record.first_failures.push((Outcome::Unfinished, "no answer yet when the drain ended".to_owned()));
    }
}

fn ledger(name: &str, requests: u64) -> Ledger {
    Ledger {
        instance: name.to_owned(),
        opened: 64,
        closed_by_peer: 60,
        requests,
        responses: requests,
        responses_by_class: [0, requests, 0, 0, 0],
        check_requests: 4,
        check_connections: 4,
        open_peak: 64,
        bytes_in: requests * 80,
        bytes_out: requests * (BODY + 200),
        ..Ledger::default()
    }
}

fn blank(number: u32, purpose: Purpose, load: TrialLoad, sustain: Duration, began_ns: u64) -> TrialRecord {
    TrialRecord {
        frames: None,
        number,
        purpose,
        load,
        began_ns,
        ramp_up: Duration::ZERO,
        sustain,
        ramp_down: Duration::ZERO,
        due: 0,
        outcomes: Outcomes::default(),
        outcomes_all: Outcomes::default(),
        completed_in_sustain: 0,
        transactions_in_sustain: 0,
        transactions_all: 0,
        opened_all: 0,
        attempted_connections_all: 0,
        connections_in_sustain: ConnectionsInSustain::default(),
        body_bytes_in_sustain: 0,
        open_peak: 0,
        open_min_in_sustain: 0,
        open_mean_in_sustain: 0.0,
        waited_for_slot: 0,
        latencies: Latencies::default(),
        seconds: Vec::new(),
        samples: Vec::new(),
        ledgers: Vec::new(),
        responses_by_instance: Vec::new(),
        slots: 1_024,
        slots_cut: None,
        ended_early: None,
        reflector_deaths: Vec::new(),
        first_failures: Vec::new(),
        warnings: Vec::new(),
    }
}

fn reasons_of(record: &TrialRecord) -> Vec<String> {
    let mut reasons = Vec::new();
    if record.outcomes.failed() > 0 {
        reasons.push(format!(
            "{} of {} operations failed, allowed less than 0.001 %",
            record.outcomes.failed(),
            record.due
        ));
    }
    let completed = record.completed_in_sustain as f64 / record.due as f64;
    if completed < 0.99 {
        reasons.push(format!(
            "{:.1} % of the operations due completed in sustain, at least 99 % needed",
            completed * 100.0
        ));
    }
    reasons
}

fn validation() -> Validation {
    let rule = |rule: &str, value: f64, limit: f64, text: &str| Validity {
        rule: rule.to_owned(),
        value: Some(value),
        limit,
        window_s: None,
        holds: Some(value < limit),
        text: text.to_owned(),
    };
    let why = "not applied: 10 whole seconds of sustain hold 9800 completions, two windows of 5000 need at least 12 s";
    Validation {
        rules: vec![
            rule("V-a", 0.0, 1e-5, "0 of 9800 transactions failed (limit: fewer than 1 in 100000)"),
            rule(
                "V-b",
                0.0,
                1e-5,
                "0 of 9800 connections ended with an unexpected RST (limit: fewer than 1 in 100000)",
            ),
            Validity { value: None, holds: None, ..rule("V-c", 0.0, 0.05, why) },
            Validity { window_s: Some(1), ..rule("V-d", 0.12, 0.1, "the connections open at once deviate by 12.0%") },
        ],
        resolution: None,
        observed: vec![format!("V-c {why} (RFC 9411, 7.2.3.3)")],
    }
}

fn answer(trials: &[TrialRecord]) -> Answer {
    let evidence = |rule: &str, holds, text: &str| Evidence { rule: rule.to_owned(), holds, text: text.to_owned() };
    let judged =
        |text: &str, measured: &str, verdict| Judged { text: text.to_owned(), measured: measured.to_owned(), verdict };
    let confirm = &trials[8];
    Answer {
        figures: vec![Figure {
            name: "cps".to_owned(),
            value: confirm.achieved_rate(),
            bound: Bound::Exact,
            trial: 9,
            failed_at: Some(1_023.0),
            object_bytes: Some(BODY),
            frame_size: None,
            dut_cpu_us_per_operation: Some(247.0),
            estimated_capacity_per_core: Some(4_048.6),
            ceiling: Some(4_300.0),
            repeats: None,
            goals: Vec::new(),
        }],
        limited_by: Some(LimitedBy::Dut),
        validation: validation(),
        evidence: vec![
            evidence("steal", true, "at most 0 % of a core went to somebody else (limit 5 %)"),
            evidence("G1", true, "980/s is 23 % of the 4,300/s reached without the DUT (limit 90 %)"),
            evidence("G2", true, "0 operations were not sent because the generator was late"),
            evidence("G3", true, "schedule lag p99 55 µs (limit 10 ms)"),
            evidence("G4", true, "busiest generator or reflector core 16 % (limit 90 %)"),
            evidence("G5", true, "0 system calls of the generator failed"),
            evidence("G6", true, "0 drops at the tester's or the reflectors' own sockets"),
            evidence("G7", true, "not applied: no free core to run one more worker on"),
            evidence("G8", true, "the DUT used 97 % of its quota of 0.25 cores in trial 9, 99 % in trial 6"),
        ],
        judged: vec![
            judged("cps >= 900", "980", Verdict::Pass),
            judged("failed < 0.001%", "0 of 9,800", Verdict::Pass),
            judged("response_time_p99 < 1ms", "≥ 1.6 ms", Verdict::Undecided),
        ],
        books: vec![Mismatch {
            trial: 4,
            text: "the client counts 4,516 responses, the reflectors 4,520: 4 answers were on their way when the trial ended".to_owned(),
            serious: false,
        }],
        warnings: vec!["generator and DUT share one machine; use a second machine for absolute numbers".to_owned()],
        label: "derived".to_owned(),
        deviations: vec![
            "sustain is 10 s; RFC 9411 asks for 300 s".to_owned(),
            "one search; RFC 9411 asks for several".to_owned(),
        ],
        frames: None,
        exit: Exit::Undecided,
        reason: "one expectation is not decided".to_owned(),
    }
}

fn environment() -> Value {
    json!({
        "command": "loadgen scenarios/cps.toml",
        "version": "0.1.0",
        "profile": "dev (opt-level 3)",
        "host": { "kernel": "6.18.44", "cpu": "AMD EPYC <7B13>", "cores": 2, "memory_bytes": 4_123_168_768_u64 },
        "sysctls": { "net.ipv4.ip_local_port_range": "32768\t60999", "net.ipv4.tcp_tw_reuse": "2" },
        "co_located": true,
    })
}

/// A small generator of reproducible numbers (SplitMix64).
struct Random(u64);

impl Random {
    /// The next number, from 0 to 1.
    fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }
}
