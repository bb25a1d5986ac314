//! Suites over devices that are computed: searches and sweeps in no time, and what comes of them.

use std::time::Duration;

use wire::frame::{FrameSize, IpVersion};
use wire::units::Percent;

use super::*;
use crate::measure::record::{EndedEarly, FrameCounts, FrameRecord, Purpose, SizeCount, TrialLoad};
use crate::measure::{Latencies, Latency, Outcome, Outcomes, TrialRecord};
use crate::report::fixture;
use crate::scenario::Plan;
use crate::scenario::mix::Mix;
use crate::scenario::plan::*;
use crate::search::{self, Ask, Found, Limits, Search, Sweep, SweepSettings, Tell};
use crate::suite::frames::parts;
use crate::verdict::{self, Context};

/// Frames that tester and reflectors reach without the DUT, per second.
const CEILING: f64 = 10_000.0;

fn size(frame: u32) -> FrameSize {
    FrameSize::of_frame(frame).unwrap()
}

fn percent(ratio: f64) -> Percent {
    Percent::from_ratio(ratio).unwrap()
}

fn plan(suite: SuitePlan, mix: Mix) -> Plan {
    let mut plan = fixture::run().plan.clone();
    let goal = GoalPlan {
        loss: Some(percent(0.0)),
        exceed: percent(0.0),
        final_sustain: Duration::from_secs(5),
        duration_sum: Duration::from_secs(5),
        width: percent(0.01),
    };
    let tolerant = GoalPlan { loss: Some(percent(0.005)), exceed: percent(0.5), ..goal };
    let mut maximum = plan.search.maximum().unwrap().clone();
    maximum.goals = vec![goal, tolerant];
    plan.search = SearchPlan::Mlr(maximum);
    plan.load.unit = Unit::FramesPerSecond;
    plan.workload.kind = WorkloadKind::Udp(UdpPlan {
        ip_version: IpVersion::V4,
        mix,
        streams: 16.try_into().unwrap(),
        tuples: Tuples::Sequential,
        burst: 1.try_into().unwrap(),
    });
    plan.suite = Some(suite);
    plan
}

fn rfc2544(sizes: &[u32], step: f64) -> Plan {
    let sizes: Vec<FrameSize> = sizes.iter().map(|&frame| size(frame)).collect();
    let sweep = SweepPlan { step: percent(step), sustain: Duration::from_secs(2) };
    let mix = Mix::Fixed { size: sizes[0] };
    plan(SuitePlan::Rfc2544 { sizes, sweep }, mix)
}

fn imix() -> Plan {
    let sizes = [40, 576, 1_500].map(|ip| FrameSize::of_ip(ip).unwrap()).to_vec();
    let order = b"ABAABACABAAB".map(|letter| letter - b'A').to_vec();
    let sweep = SweepPlan { step: percent(0.1), sustain: Duration::from_secs(2) };
    plan(SuitePlan::Imix(sweep), Mix::Sequence { sizes, order })
}

/// A device: what it forwards of a load of such frames, and what of that each size loses.
type Device<'a> = dyn Fn(FrameSize, f64) -> f64 + 'a;

fn record(number: u32, plan: &Plan, ask: Ask, load: TrialLoad, forwards: &dyn Fn(f64) -> f64) -> TrialRecord {
    let mut record = fixture::run().trials[8].clone();
    let seconds = ask.sustain.as_secs_f64();
    let WorkloadKind::Udp(udp) = &plan.workload.kind else { panic!("{plan:?}") };
    let due = (ask.load * seconds).round() as u64;
    let ok = ((forwards(ask.load) * seconds).round() as u64).min(due);
    (record.number, record.purpose, record.load, record.sustain) = (number, ask.purpose, load, ask.sustain);
    (record.due, record.completed_in_sustain, record.transactions_in_sustain) = (due, ok, ok);
    record.outcomes = Outcomes::default();
    record.outcomes.add(Outcome::Ok, ok);
    record.outcomes.add(Outcome::Lost, due - ok);
    (record.outcomes_all, record.transactions_all) = (record.outcomes, ok);
    record.ledgers.clear();
    record.responses_by_instance.clear();
    record.latencies = Latencies::default();
    for at in 0..ok {
        record.latencies.record(Latency::Service, 50_000 + at % 1_000);
    }
    let sizes = match &udp.mix {
        Mix::Sequence { sizes, .. } => sizes.clone(),
        other => vec![other.range().0],
    };
    let (last, others) = sizes.split_last().unwrap();
    let share = due / sizes.len() as u64;
    let whole = |size: &FrameSize| SizeCount { size: *size, due: share, sent: share, answered: share };
    let mut counts: Vec<_> = others.iter().map(whole).collect();
    // Only the largest frames are lost.
    let rest = due - share * others.len() as u64;
    counts.push(SizeCount { size: *last, due: rest, sent: rest, answered: rest - (due - ok).min(rest) });
    let sustain = FrameCounts { sent: due, answered: ok, reordered: 3, duplicates: 2, ..FrameCounts::default() };
    record.frames = Some(FrameRecord { sizes: counts, sustain, all: sustain, streams: 16, ..FrameRecord::default() });
    record
}

/// The trials of one part in their order, as a run makes them.
fn walk(part: &Plan, first: u32, forwards: &dyn Fn(f64) -> f64) -> (Vec<TrialRecord>, Found, search::Details) {
    let closed = Ask { purpose: Purpose::Ceiling, load: CEILING, sustain: Duration::from_secs(3) };
    let mut trials = vec![record(first, part, closed, TrialLoad::Closed(64), &|load| load)];
    let limits = Limits { ceiling: Some(CEILING), loss: verdict::loss_limit(part) };
    let mut search = search::search(part, limits);
    drive(part, first, search.as_mut(), forwards, &mut trials);
    let found = search.found();
    if let (Some(SuitePlan::Imix(_)), Some(lower)) = (&part.suite, found.lower) {
        let half = Ask { purpose: Purpose::Curve, load: lower / 2.0, sustain: Duration::from_secs(3) };
        let number = first + trials.len() as u32;
        trials.push(record(number, part, half, TrialLoad::Rate(half.load), forwards));
    }
    let sweep = crate::suite::frames::sweep_of(part).unwrap();
    let settings =
        SweepSettings { max: CEILING, step: sweep.step.as_ratio(), sustain: sweep.sustain, grain: search::Grain::Fine };
    drive(part, first, &mut Sweep::new(settings), forwards, &mut trials);
    (trials, found, search.details())
}

fn drive(
    part: &Plan,
    first: u32,
    search: &mut dyn Search,
    forwards: &dyn Fn(f64) -> f64,
    trials: &mut Vec<TrialRecord>,
) {
    while let Some(ask) = search.next(Duration::ZERO) {
        let number = first + trials.len() as u32;
        let trial = record(number, part, ask, TrialLoad::Rate(ask.load), forwards);
        search.tell(Tell {
            load: ask.load,
            passed: verdict::passes(part, &trial).passed,
            achieved: verdict::achieved(part, &trial),
            loss: verdict::loss(part, &trial),
            duration: ask.sustain,
            setup_rate: None,
        });
        trials.push(trial);
        assert!(trials.len() < 400, "it does not end");
    }
}

/// The answer of a whole suite over a device.
fn answer_of(plan: &Plan, device: &Device<'_>) -> verdict::answer::Answer {
    let plans = parts::of(plan);
    let mut first = 1;
    let mut walked = Vec::new();
    for part in &plans {
        let size = parts::size(part).unwrap_or_else(|| size(64));
        let (trials, found, details) = walk(part, first, &|load| device(size, load));
        first += trials.len() as u32;
        walked.push((trials, found, Context { details, ..Context::default() }));
    }
    let parts: Vec<Part<'_>> = plans
        .iter()
        .zip(&walked)
        .map(|(plan, (trials, found, context))| Part {
            plan,
            trials,
            found: Some(*found),
            ceiling: trials.first(),
            context: context.clone(),
        })
        .collect();
    answer(plan, &parts, vec!["of the run".to_owned()]).unwrap()
}

#[test]
fn each_size_has_its_own_throughput_and_loss_curve() {
    let mut plan = rfc2544(&[64, 512, 1_518], 0.1);
    plan.testbed.links.speed_bps = Some(10_000_000);
    let capacity = |size: FrameSize| 1e7 / size.bits(Layer::L3) as f64;
    let whole = answer_of(&plan, &|size, load| load.min(capacity(size)));
    let frames = whole.frames.as_ref().unwrap();
    assert_eq!((frames.suite, frames.link_bps, frames.results.len()), (FrameSuite::Rfc2544, Some(10_000_000), 3));
    let mut numbers: Vec<u32> = Vec::new();
    for (result, bytes) in frames.results.iter().zip([64, 512, 1_518]) {
        let size = size(bytes);
        let (limit, found) = (capacity(size).min(CEILING), result.lower_fps.unwrap());
        assert!(found <= limit && found >= limit * 0.98, "{bytes}: {found} of {limit}");
        assert_eq!(result.frames.size, Some(size));
        assert_eq!(result.frames.payload, size.payload(IpVersion::V4));
        assert_eq!(result.theoretical_fps, Some(size.max_fps(10_000_000) as f64));
        assert_eq!(result.mol_fps, Some(CEILING));
        let bits = result.bits_per_s.unwrap();
        assert!((bits.l1 - bits.l3 - result.fps.unwrap() * f64::from(8 * 38)).abs() < 1.0, "{bits:?}");
        assert_eq!(result.sweep.len(), 10);
        assert!(result.per_size_at_throughput.is_none() && result.per_size_at_upper.is_none(), "one size is no mix");
        for point in &result.sweep {
            let lost = (point.iload_fps * 2.0).round() - (point.iload_fps.min(capacity(size)) * 2.0).round();
            assert_eq!((point.lost as f64, point.valid, point.reordered), (lost, true, 3), "{point:?}");
            assert!((point.load_pct - point.iload_fps / size.max_fps(10_000_000) as f64 * 100.0).abs() < 1e-9);
        }
        numbers.extend(&result.trials);
    }
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u32), "trials are numbered on: {numbers:?}");
    let figures: Vec<_> = whole.figures.iter().map(|figure| (figure.name.as_str(), figure.frame_size)).collect();
    assert_eq!(figures, [64, 512, 1_518].map(|bytes| ("fps", Some(size(bytes)))));
    assert_eq!(whole.warnings[0], "of the run");
}

#[test]
fn strict_and_tolerant_goal_stand_beside_each_other() {
    // One frame in 500 is lost above 3,000/s: too much for RFC 2544, little enough for the other goal.
    let whole = answer_of(&rfc2544(&[64], 0.1), &|_, load| {
        let carried = load.min(5_000.0);
        if load > 3_000.0 { carried * 0.998 } else { carried }
    });
    let result = &whole.frames.unwrap().results[0];
    let [strict, tolerant] = result.goals.as_slice() else { panic!("{:?}", result.goals) };
    let (strict, tolerant) = (strict.lower.unwrap(), tolerant.lower.unwrap());
    assert!((2_970.0..=3_000.0).contains(&strict), "{strict}");
    assert!((4_940.0..=5_040.0).contains(&tolerant), "{tolerant}");
    assert_eq!(result.lower_fps, Some(strict));
    let loss = result.loss_at_upper.unwrap();
    assert!((loss - 0.002).abs() < 2e-4, "{loss}");
}

#[test]
fn a_lossy_band_below_the_throughput_is_shown() {
    let band = |load: f64| if (6_400.0..=6_600.0).contains(&load) { load * 0.99 } else { load.min(9_000.0) };
    let whole = answer_of(&rfc2544(&[64], 0.02), &|_, load| band(load));
    let result = &whole.frames.as_ref().unwrap().results[0];
    assert!(result.lower_fps.unwrap() > 8_800.0, "the search jumps over the band: {:?}", result.lower_fps);
    let [found] = result.lossy_bands.as_slice() else { panic!("{:?}", result.lossy_bands) };
    assert_eq!((found.low_fps, found.high_fps, found.clean_above_fps), (6_400.0, 6_600.0, 6_800.0));
    assert!((found.loss_pct - 1.0).abs() < 0.05, "{found:?}");
    assert_eq!(result.two_clean_from_fps, Some(9_000.0));
    let words = "lost up to 1.000% between 6400 and 6600 frames/s, although 6800 frames/s lost nothing";
    assert!(whole.warnings.iter().any(|warning| warning.contains(words)), "{:?}", whole.warnings);
    assert!(result.warnings.iter().any(|warning| warning.contains(words)), "{:?}", result.warnings);
}

#[test]
fn a_load_of_the_sweep_that_lost_below_what_the_search_found_is_a_band() {
    // The sweep has no load between the band and the limit.
    let band = |load: f64| if (5_900.0..=6_050.0).contains(&load) { load * 0.9 } else { load.min(6_700.0) };
    let whole = answer_of(&rfc2544(&[64], 0.1), &|_, load| band(load));
    let result = &whole.frames.as_ref().unwrap().results[0];
    let lower = result.lower_fps.unwrap();
    assert!(lower > 6_600.0, "{lower}");
    let [found] = result.lossy_bands.as_slice() else { panic!("{:?}", result.lossy_bands) };
    assert_eq!((found.low_fps, found.high_fps, found.clean_above_fps), (6_000.0, 6_000.0, lower));
}

#[test]
fn a_device_without_a_band_has_none() {
    let whole = answer_of(&rfc2544(&[64], 0.02), &|_, load| load.min(6_700.0));
    let result = &whole.frames.as_ref().unwrap().results[0];
    assert_eq!(result.lossy_bands, []);
    assert!(result.sweep.iter().any(|point| point.lost > 0), "{:?}", result.sweep);
}

#[test]
fn a_mix_has_its_delays_and_the_loss_of_each_size() {
    let whole = answer_of(&imix(), &|_, load| load.min(4_000.0));
    let frames = whole.frames.as_ref().unwrap();
    let [result] = frames.results.as_slice() else { panic!("{frames:?}") };
    assert_eq!(result.frames.genome.as_deref(), Some("ABAABACABAAB"));
    assert!((result.frames.mean_ip - 340.333).abs() < 0.001 && (result.frames.mean_frame - 361.833).abs() < 0.001);
    let shares: Vec<_> = result.delays.iter().map(|delay| (delay.of_throughput * 100.0).round()).collect();
    assert_eq!(shares, [100.0, 50.0]);
    assert!(result.delays.iter().all(|delay| (50.0..52.0).contains(&delay.p50_us.unwrap())), "{:?}", result.delays);
    let (at_throughput, above) =
        (result.per_size_at_throughput.as_ref().unwrap(), result.per_size_at_upper.as_ref().unwrap());
    assert!(at_throughput.sizes.iter().all(|size| size.lost == 0 && size.sent > 0));
    let lost: Vec<bool> = above.sizes.iter().map(|size| size.lost > 0).collect();
    assert_eq!(lost, [false, false, true]);
    assert!(result.sweep.iter().all(|point| point.sizes.len() == 3));
}

#[test]
fn what_the_tester_dropped_itself_is_no_loss_of_the_dut() {
    let plan = parts::of(&imix()).remove(0);
    let ask = |purpose, load| Ask { purpose, load, sustain: Duration::from_secs(5) };
    let trial = |number, purpose, load: f64, own_drops| {
        let mut trial = record(number, &plan, ask(purpose, load), TrialLoad::Rate(load), &|load| load.min(2_000.0));
        trial.frames.as_mut().unwrap().own_drops = own_drops;
        trial
    };
    let result = |own_drops| {
        let trials = [
            trial(1, Purpose::Bisect, 4_000.0, own_drops),
            trial(2, Purpose::Confirm, 2_000.0, 0),
            trial(3, Purpose::Sweep, 4_000.0, own_drops),
        ];
        let found = Some(Found { lower: Some(2_000.0), upper: Some(4_000.0), at_least: false });
        let part = Part { plan: &plan, trials: &trials, found, ceiling: None, context: Context::default() };
        answer(&plan, &[part], Vec::new()).unwrap().frames.unwrap().results.remove(0)
    };
    // The device lost ten frames more than the tester, so the trial failed and is decided.
    let (dropped, clean) = (result(9_990), result(0));
    assert_eq!((clean.loss_at_upper, clean.per_size_at_upper.is_some(), clean.sweep[0].valid), (Some(0.5), true, true));
    assert_eq!(
        (dropped.loss_at_upper, dropped.per_size_at_upper.is_some(), dropped.sweep[0].valid),
        (None, false, false)
    );
}

#[test]
fn the_loss_of_a_trial_that_ended_early_is_not_stated() {
    let plan = parts::of(&imix()).remove(0);
    let result = |ended_early| {
        let ask = |purpose, load| Ask { purpose, load, sustain: Duration::from_secs(5) };
        let trial = |number, purpose, load: f64| {
            record(number, &plan, ask(purpose, load), TrialLoad::Rate(load), &|load| load.min(2_000.0))
        };
        let mut trials = [trial(1, Purpose::Bisect, 4_000.0), trial(2, Purpose::Confirm, 2_000.0)];
        trials[0].ended_early = ended_early;
        let found = Some(Found { lower: Some(2_000.0), upper: Some(4_000.0), at_least: false });
        let part = Part { plan: &plan, trials: &trials, found, ceiling: None, context: Context::default() };
        answer(&plan, &[part], Vec::new()).unwrap().frames.unwrap().results.remove(0)
    };
    let whole = result(None);
    assert_eq!((whole.loss_at_upper, whole.per_size_at_upper.is_some()), (Some(0.5), true));
    // Its last losses had no time to be counted, neither in the whole nor by size.
    let early = result(Some(EndedEarly::CannotPass));
    assert_eq!((early.loss_at_upper, early.per_size_at_upper.is_some(), early.upper_fps), (None, false, Some(4_000.0)));
}

#[test]
fn a_delay_has_its_loss_and_is_none_of_a_load_that_failed() {
    let mut plan = imix();
    let SearchPlan::Mlr(maximum) = &mut plan.search else { panic!("{plan:?}") };
    // 0.2 % are lost at every load, which the tolerant goal allows.
    maximum.goals.remove(0);
    let lossy = |load: f64| load.min(4_000.0) * 0.998;
    let delays = answer_of(&plan, &|_, load| lossy(load)).frames.unwrap().results.remove(0).delays;
    assert_eq!(delays.len(), 2);
    assert!(delays.iter().all(|delay| (delay.loss_pct - 0.2).abs() < 0.02), "{delays:?}");
    let part = parts::of(&plan).remove(0);
    let (mut trials, found, details) = walk(&part, 1, &lossy);
    let half = trials.iter_mut().find(|trial| trial.purpose == Purpose::Curve).unwrap();
    half.outcomes.add(Outcome::Lost, half.due);
    let context = Context { details, ..Context::default() };
    let part = Part { plan: &part, trials: &trials, found: Some(found), ceiling: trials.first(), context };
    let delays = answer(&plan, &[part], Vec::new()).unwrap().frames.unwrap().results.remove(0).delays;
    assert_eq!(delays.iter().map(|delay| delay.of_throughput).collect::<Vec<_>>(), [1.0]);
}

#[test]
fn a_mix_without_a_throughput_has_no_sizes_at_one() {
    let whole = answer_of(&imix(), &|_, load| load * 0.5);
    let result = &whole.frames.as_ref().unwrap().results[0];
    assert_eq!(result.lower_fps, None);
    assert_eq!((result.fps, &result.per_size_at_throughput), (None, &None), "{}", whole.reason);
    let failed = result.per_size_at_upper.as_ref().unwrap();
    assert!((failed.load_fps - result.upper_fps.unwrap()).abs() < 1e-6, "{failed:?}");
}

#[test]
fn frames_that_were_never_sent_are_no_loss() {
    let plan = parts::of(&rfc2544(&[64], 0.1)).remove(0);
    let ask = Ask { purpose: Purpose::Sweep, load: 1_000.0, sustain: Duration::from_secs(2) };
    let mut trial = record(1, &plan, ask, TrialLoad::Rate(1_000.0), &|load| load);
    trial.outcomes = Outcomes::default();
    for (outcome, frames) in [(Outcome::Ok, 1_400), (Outcome::Lost, 100), (Outcome::UnsentLate, 500)] {
        trial.outcomes.add(outcome, frames);
    }
    let trials = [trial];
    let part = Part { plan: &plan, trials: &trials, found: None, ceiling: None, context: Context::default() };
    let whole = answer(&plan, &[part], Vec::new()).unwrap();
    let point = &whole.frames.unwrap().results[0].sweep[0];
    assert_eq!((point.sent, point.lost, point.unsent, point.valid), (1_500, 100, 500, false));
    assert!((point.loss_pct - 100.0 / 15.0).abs() < 1e-9 && (point.oload_fps - 750.0).abs() < 1e-9, "{point:?}");
}

#[test]
fn a_size_that_was_not_measured_leaves_the_whole_undecided_but_keeps_the_others() {
    let plan = rfc2544(&[64, 512], 0.1);
    let plans = parts::of(&plan);
    let (trials, found, details) = walk(&plans[0], 1, &|load| load.min(4_000.0));
    let done = Part {
        plan: &plans[0],
        trials: &trials,
        found: Some(found),
        ceiling: trials.first(),
        context: Context { details, ..Context::default() },
    };
    let left_out = |context| Part { plan: &plans[1], trials: &[], found: None, ceiling: None, context };
    let collapsed = Context { collapsed: Some("not measured, because …".to_owned()), ..Context::default() };
    let whole = answer(&plan, &[done.clone(), left_out(collapsed)], Vec::new()).unwrap();
    assert_eq!((whole.exit, whole.figures.len()), (Exit::Undecided, 1));
    assert!(whole.reason.contains("512 B: undecided: not measured, because …"), "{}", whole.reason);
    let results = whole.frames.unwrap().results;
    assert!(results[0].fps.is_some() && results[1].fps.is_none() && results[1].trials.is_empty());
    let interrupted = Context { interrupted: true, ..Context::default() };
    let whole = answer(&plan, &[done, left_out(interrupted)], Vec::new()).unwrap();
    assert_eq!((whole.exit, whole.figures.len()), (Exit::Interrupted, 1));
}

#[test]
fn what_was_seen_of_each_size_stands_in_the_answer_of_the_whole() {
    let plan = rfc2544(&[64, 512], 0.1);
    let plans = parts::of(&plan);
    let mut walked: Vec<_> = plans.iter().map(|part| walk(part, 1, &|load| load.min(4_000.0))).collect();
    for trial in &mut walked[1].0 {
        // Of 512 B too few were sent.
        trial.frames.as_mut().unwrap().sustain.sent -= trial.due / 100;
    }
    let part = |at: usize| Part {
        plan: &plans[at],
        trials: &walked[at].0,
        found: Some(walked[at].1),
        ceiling: None,
        context: Context::default(),
    };
    let whole = answer(&plan, &[part(0), part(1)], Vec::new()).unwrap();
    let held: Vec<_> = whole.validation.rules.iter().map(|rule| (rule.rule.as_str(), rule.holds)).collect();
    assert_eq!(held, [("64 B: offered-load", Some(true)), ("512 B: offered-load", Some(false))]);
    let observed = &whole.validation.observed;
    assert!(observed.iter().any(|text| text.starts_with("512 B: offered-load: ")), "{observed:?}");
    let results = whole.frames.unwrap().results;
    assert_eq!(
        results.iter().map(|result| result.validation.is_valid()).collect::<Vec<_>>(),
        [Some(true), Some(false)]
    );
    let own = results.iter().map(|result| result.validation.observed.len()).sum::<usize>();
    assert_eq!(own, observed.len());
}

#[test]
fn a_size_that_misses_what_was_expected_makes_the_whole_miss_it() {
    let mut plan = rfc2544(&[64, 1_518], 0.1);
    plan.expect = vec![Expectation {
        metric: Metric::Fps,
        comparison: Comparison::GreaterOrEqual,
        value: 2_000.0,
        text: "fps >= 2000".to_owned(),
    }];
    let whole = answer_of(&plan, &|size, load| load.min(if size.frame() > 1_000 { 1_000.0 } else { 5_000.0 }));
    let exits: Vec<_> = whole.frames.as_ref().unwrap().results.iter().map(|result| result.exit).collect();
    assert_eq!(exits[0], Exit::Met, "{}", whole.frames.unwrap().results[0].reason);
    let texts: Vec<_> = whole.judged.iter().map(|judged| judged.text.as_str()).collect();
    assert_eq!(texts, ["64 B: fps >= 2000", "1518 B: fps >= 2000"]);
    // A figure that nobody showed to be the DUT's is only "at least": then a miss is not proven.
    assert_eq!(whole.exit, exits[1]);
    assert!(matches!(whole.exit, Exit::Missed | Exit::Undecided), "{:?}", whole.exit);
    assert!(whole.reason.contains("1518 B") && !whole.reason.contains("64 B"), "{}", whole.reason);
}

#[test]
fn an_interrupted_trial_says_nothing_about_the_dut() {
    let plan = parts::of(&rfc2544(&[64], 0.1)).remove(0);
    let ask = Ask { purpose: Purpose::Sweep, load: 1_000.0, sustain: Duration::from_secs(2) };
    let mut trial = record(1, &plan, ask, TrialLoad::Rate(1_000.0), &|load| load / 2.0);
    trial.ended_early = Some(EndedEarly::Interrupted);
    let trials = [trial];
    let context = Context { interrupted: true, ..Context::default() };
    let part = Part { plan: &plan, trials: &trials, found: None, ceiling: None, context };
    let whole = answer(&plan, &[part], Vec::new()).unwrap();
    assert!(!whole.frames.unwrap().results[0].sweep[0].valid);
    assert_eq!(whole.exit, Exit::Interrupted);
}

#[test]
fn an_answer_is_read_back_as_it_was_written() {
    let whole = answer_of(&imix(), &|_, load| load.min(4_000.0));
    let text = serde_json::to_string(&whole).unwrap();
    let again: verdict::answer::Answer = serde_json::from_str(&text).unwrap();
    assert_eq!(again.frames, whole.frames);
    assert!(again.frames.is_some());
}

#[test]
fn what_a_suite_takes_is_told_beforehand() {
    let plan = rfc2544(&[64, 512, 1_518], 0.1);
    let told = crate::suite::frames::estimate(&plan).unwrap();
    let (walked, ..) = walk(&parts::of(&plan)[0], 1, &|load| load.min(6_180.3));
    assert_eq!(told.parts, 3);
    // A walk has no probes; there is at most one for each trial of the search that fails.
    let each = told.trials / 3;
    assert!((walked.len()..2 * walked.len()).contains(&each), "{each} told, {} walked", walked.len());
    assert!(told.typical <= told.longest && told.typical > Duration::from_secs(3 * 10 * 2), "{told:?}");
    assert_eq!(crate::suite::frames::estimate(&fixture::run().plan), None);
}
