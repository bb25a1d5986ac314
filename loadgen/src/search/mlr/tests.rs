//! The vectors of RFC 9971, and our controller against simulated devices.

use wire::hash::{SplitMix64, share};

use super::simulated::{Device, GoalVector, Searched, loss, vectors};
use super::*;

fn goal_of(vector: &GoalVector) -> Goal {
    Goal {
        final_seconds: vector.final_trial_duration,
        sum_seconds: vector.duration_sum,
        loss: vector.loss_ratio,
        exceed: vector.exceed_ratio,
    }
}

#[test]
fn every_classification_is_that_of_the_code_of_the_rfc() {
    let cases = vectors().classification;
    assert_eq!(cases.len(), 99);
    for case in cases {
        let goal = goal_of(&case.goal);
        let mut trials = Vec::new();
        for (times, seconds, loss) in case.trials_rle {
            trials.extend((0..times).map(|_| Measured { load: case.load, seconds, loss }));
        }
        let (tally, expected) = (goal.tally(trials.iter().copied()), case.expected);
        assert_eq!(
            [tally.full_low, tally.full_high, tally.short_low, tally.short_high],
            [
                expected.full_length_low_loss_s,
                expected.full_length_high_loss_s,
                expected.short_low_loss_s,
                expected.short_high_loss_s
            ],
            "{}",
            case.name
        );
        let estimates = (expected.optimistic_is_lower, expected.pessimistic_is_lower);
        assert_eq!(goal.estimates(tally), estimates, "{}", case.name);
        let class = match goal.classify(trials.iter().copied()) {
            Class::Lower => "lower",
            Class::Upper => "upper",
            Class::Undecided => "undecided",
        };
        assert_eq!(class, expected.classification, "{}", case.name);
        assert_eq!(goal.quantile_loss(trials), expected.quantile_loss_ratio, "{}", case.name);
    }
}

#[test]
fn the_bounds_of_every_trace_are_those_of_the_library() {
    let searches = vectors().search;
    assert_eq!(searches.len(), 12);
    for search in searches {
        let warmups = usize::from(search.warmup_duration.is_some());
        let trials: Vec<Measured> = search.trace[warmups..]
            .iter()
            .map(|&(seconds, load, offered, forwarded)| Measured { load, seconds, loss: loss(offered, forwarded) })
            .collect();
        for expected in &search.goals {
            let goal = goal_of(&expected.goal);
            let bounds = goal.bounds(&trials);
            let wanted = Bounds { lower: expected.relevant_lower_bound, upper: expected.relevant_upper_bound };
            assert_eq!(bounds, wanted, "{}", search.name);
            let regular = bounds.lower.zip(bounds.upper);
            let regular = regular.is_some_and(|(lower, upper)| 1.0 - lower / upper <= expected.goal.relative_width);
            assert_eq!(regular, expected.regular, "{}", search.name);
            assert_eq!(goal.conditional_throughput(&trials), expected.conditional_throughput, "{}", search.name);
        }
    }
}

#[test]
fn the_simulated_devices_are_those_of_the_vectors() {
    let vectors = vectors();
    let mut random = SplitMix64::new(vectors.splitmix64.seed);
    let first: Vec<String> = vectors.splitmix64.first_u64.iter().map(|_| random.number().to_string()).collect();
    assert_eq!(first, vectors.splitmix64.first_u64);
    let mut random = SplitMix64::new(vectors.splitmix64.seed);
    let units: Vec<f64> = vectors.splitmix64.first_unit.iter().map(|_| share(random.number())).collect();
    assert_eq!(units, vectors.splitmix64.first_unit);
    for search in &vectors.search {
        let mut device = Device::new(search);
        for (at, &(seconds, load, offered, forwarded)) in search.trace.iter().enumerate() {
            assert_eq!(device.measure(seconds, load), (offered, forwarded), "{} trial {at}", search.name);
        }
    }
}

fn settings_of(search: &Searched) -> MlrSettings {
    let goal = |vector: &GoalVector| MlrGoal { goal: goal_of(vector), width: vector.relative_width };
    MlrSettings {
        start: search.min_load.max(search.max_load / 10.0),
        descend: true,
        floor: Some(search.min_load),
        factor: 2.0,
        cap: Some(search.max_load),
        grain: Grain::Exact,
        initial: Duration::from_secs_f64(search.goals[0].goal.initial_trial_duration),
        goals: search.goals.iter().map(|expected| goal(&expected.goal)).collect(),
        budget: Duration::MAX,
    }
}

/// Runs a search against a device; the asks, and the seconds of traffic.
fn run(search: &mut Mlr, device: &mut Device<'_>) -> (Vec<Ask>, f64) {
    let (mut asks, mut seconds) = (Vec::new(), 0.0);
    while let Some(ask) = search.next(Duration::from_secs_f64(seconds)) {
        let sustain = ask.sustain.as_secs_f64();
        let (offered, forwarded) = device.measure(sustain, ask.load);
        let loss = loss(offered, forwarded);
        seconds += sustain;
        search.tell(Tell {
            load: ask.load,
            passed: loss <= 0.0,
            achieved: forwarded as f64 / sustain,
            loss,
            duration: ask.sustain,
            setup_rate: None,
        });
        asks.push(ask);
        assert!(asks.len() <= 400, "the search does not end");
    }
    (asks, seconds)
}

#[test]
fn our_controller_finds_the_limit_of_every_simulated_device() {
    for vector in &vectors().search {
        let (mut search, mut device) = (Mlr::new(settings_of(vector)), Device::new(vector));
        let (asks, seconds) = run(&mut search, &mut device);
        let name = &vector.name;
        for (found, expected) in search.goals().iter().zip(&vector.goals) {
            assert_eq!(found.regular, expected.regular, "{name}: {found:?}");
            // Reproducible from the list of trials, by the goal alone.
            assert_eq!(found.goal.goal.bounds(search.trials()), found.bounds, "{name}");
            let Bounds { lower, upper } = found.bounds;
            assert_eq!(lower.is_some(), expected.relevant_lower_bound.is_some(), "{name}: {found:?}");
            if let Some((lower, upper)) = lower.zip(upper) {
                assert!(1.0 - lower / upper <= found.goal.width, "{name}: {found:?}");
            }
            if let Some(lower) = lower.filter(|_| device.is_deterministic()) {
                // A buffer adds its size over the length of the trial.
                let buffer = vector.params.get("B").copied().unwrap_or(0.0) / found.goal.goal.final_seconds;
                let most = (vector.params["C"] + buffer) / (1.0 - found.goal.goal.loss);
                assert!(lower <= most * (1.0 + 1e-5), "{name}: {lower} is above {most}");
                let reached = upper.is_none_or(|upper| upper > vector.params["C"] * (1.0 - found.goal.width));
                assert!(reached, "{name}: {found:?}");
            }
        }
        // It qualifies and climbs before it bisects, and walks one goal after another.
        let most = 2 * vector.trials + 5;
        assert!(asks.len() <= most, "{name}: {} trials, the library took {}", asks.len(), vector.trials);
        assert!(seconds <= vector.traffic_seconds * 2.0 + 60.0, "{name}: {seconds} s of {}", vector.traffic_seconds);
    }
}

/// `scenarios/cps.toml` with a ceiling of 20,000.
fn cps() -> MlrSettings {
    let goal = Goal { final_seconds: 10.0, sum_seconds: 10.0, loss: 1e-5, exceed: 0.0 };
    MlrSettings {
        start: 2_000.0,
        descend: true,
        floor: None,
        factor: 2.0,
        cap: Some(20_000.0),
        grain: Grain::Fine,
        initial: Duration::from_secs(3),
        goals: vec![MlrGoal { goal, width: 0.05 }],
        budget: Duration::from_secs(300),
    }
}

/// Answers from a rule instead of a device: the loss at a load over a length.
fn walk(settings: MlrSettings, loss_of: impl Fn(&Ask) -> f64) -> (Mlr, Vec<Ask>) {
    let (mut search, mut asks, mut elapsed) = (Mlr::new(settings), Vec::new(), Duration::ZERO);
    while let Some(ask) = search.next(elapsed) {
        let loss = loss_of(&ask);
        elapsed += ask.sustain;
        asks.push(ask);
        assert!(asks.len() < 200, "the search does not end");
        let (load, duration) = (ask.load, ask.sustain);
        search.tell(Tell {
            load,
            passed: loss == 0.0,
            loss,
            duration,
            achieved: load * (1.0 - loss),
            setup_rate: None,
        });
    }
    (search, asks)
}

fn above(limit: f64, load: f64) -> f64 {
    if load > limit { 1.0 - limit / load } else { 0.0 }
}

#[test]
fn one_goal_is_searched_with_short_trials_and_proven_with_one_long_one() {
    for limit in (2_050..20_000).step_by(37).map(f64::from) {
        let (search, asks) = walk(cps(), |ask| above(limit, ask.load));
        let found = search.found();
        let (lower, upper) = (found.lower.unwrap(), found.upper.unwrap());
        assert!(lower <= limit && limit < upper && 1.0 - lower / upper <= 0.05, "{limit}: {found:?}");
        assert!(!found.at_least && asks.len() <= 9, "{limit}: {found:?} {asks:?}");
        let confirming: Vec<&Ask> = asks.iter().filter(|ask| ask.purpose == Purpose::Confirm).collect();
        assert_eq!((confirming.len(), confirming[0].load), (1, lower), "{limit}: {asks:?}");
        assert_eq!(asks[0].purpose, Purpose::Qualify);
    }
}

#[test]
fn a_long_trial_that_refutes_short_ones_moves_the_search_to_full_length() {
    let (search, asks) =
        walk(cps(), |ask| above(if ask.sustain.as_secs() < 10 { 10_000.0 } else { 8_500.0 }, ask.load));
    let found = search.found();
    let (lower, upper) = (found.lower.unwrap(), found.upper.unwrap());
    assert!(lower <= 8_500.0 && upper > 8_500.0 && 1.0 - lower / upper <= 0.05, "{found:?}");
    let refuted = asks.iter().position(|ask| ask.purpose == Purpose::Confirm).unwrap();
    assert!(asks[refuted].load > 8_500.0);
    assert!(asks[refuted..].iter().all(|ask| ask.purpose == Purpose::Confirm), "{asks:?}");
    assert!(asks.len() < 20, "{asks:?}");
}

#[test]
fn a_device_that_no_long_trial_confirms_ends_without_a_lower_bound() {
    let (search, asks) = walk(cps(), |ask| if ask.sustain.as_secs() >= 10 { 0.5 } else { above(9_000.0, ask.load) });
    assert_eq!(search.found().lower, None, "{:?}", search.found());
    assert!(asks.len() <= TRIALS_MAX + CONFIRMS_MAX, "{asks:?}");
}

#[test]
fn a_device_that_carries_the_highest_load_is_at_least_that_good() {
    let (search, asks) = walk(cps(), |_| 0.0);
    assert_eq!(search.found(), Found { lower: Some(20_000.0), upper: None, at_least: true });
    let loads: Vec<f64> = asks.iter().map(|ask| ask.load).collect();
    assert_eq!(loads, [2_000.0, 4_000.0, 8_000.0, 16_000.0, 20_000.0, 20_000.0]);
    assert!(!search.goals()[0].regular);
}

#[test]
fn a_guessed_first_load_goes_down_and_a_named_one_decides() {
    let (search, asks) = walk(cps(), |ask| above(150.0, ask.load));
    let lower = search.found().lower.unwrap();
    assert!((0.95 * 150.0..=150.0).contains(&lower), "{lower} {asks:?}");
    let (dead, asks) = walk(cps(), |_| 1.0);
    assert_eq!((asks.len(), dead.found().lower, dead.found().upper), (3, None, Some(20.0)));
    let (named, asks) = walk(MlrSettings { descend: false, ..cps() }, |_| 1.0);
    assert_eq!((asks.len(), named.found().lower, named.found().upper), (1, None, Some(2_000.0)));
}

#[test]
fn a_spent_budget_proves_what_has_passed_and_marks_it() {
    let settings = MlrSettings { budget: Duration::from_secs(6), ..cps() };
    let (search, asks) = walk(settings, |ask| above(11_000.0, ask.load));
    let purposes: Vec<Purpose> = asks.iter().map(|ask| ask.purpose).collect();
    assert_eq!(purposes, [Purpose::Qualify, Purpose::Climb, Purpose::Confirm]);
    assert_eq!(search.found(), Found { lower: Some(4_000.0), upper: None, at_least: true });
    let settings = MlrSettings { budget: Duration::from_secs(12), ..cps() };
    let (search, _) = walk(settings, |ask| above(11_000.0, ask.load));
    assert_eq!(search.found(), Found { lower: Some(8_000.0), upper: Some(16_000.0), at_least: true });
}

#[test]
fn whole_numbers_are_bracketed_down_to_the_last_one() {
    for limit in [1.0, 2.0, 3.0, 7.0, 8.0, 100.0, 4_999.0] {
        let goals = vec![MlrGoal { width: 0.001, ..cps().goals[0] }];
        let settings = MlrSettings { start: 1.0, grain: Grain::Whole, cap: None, goals, ..cps() };
        let (search, asks) = walk(settings, |ask| above(limit, ask.load));
        assert!(asks.iter().all(|ask| ask.load.fract() == 0.0 && ask.load >= 1.0), "{asks:?}");
        let lower = search.found().lower.unwrap();
        assert!(lower <= limit && lower >= limit * 0.999, "{lower} of {limit}");
    }
}

#[test]
fn an_allowed_excess_forgives_a_rare_loss_that_a_strict_goal_does_not() {
    // Every fourth trial above 5,000 loses a little.
    let count = std::cell::Cell::new(0);
    let rare = |ask: &Ask| {
        count.set(count.get() + 1);
        let stalls = ask.load > 5_000.0 && count.get() % 4 == 0;
        if stalls { 0.001 } else { above(9_000.0, ask.load) }
    };
    let strict = walk(cps(), rare).0.found().lower.unwrap();
    count.set(0);
    let goal = Goal { sum_seconds: 40.0, exceed: 0.5, ..cps().goals[0].goal };
    let (search, _) = walk(MlrSettings { goals: vec![MlrGoal { goal, width: 0.05 }], ..cps() }, rare);
    let found = search.goals()[0];
    let forgiving = found.bounds.lower.unwrap();
    assert!(found.regular && forgiving > 8_500.0 && forgiving <= 9_000.0, "{found:?}");
    assert!(strict < forgiving, "{strict} {forgiving}");
    assert_eq!(found.conditional_throughput, Some(forgiving));
}

#[test]
fn the_same_answers_give_the_same_questions() {
    let vectors = vectors();
    let vector = vectors.search.iter().find(|search| search.model == "noisy").unwrap();
    let asks = || run(&mut Mlr::new(settings_of(vector)), &mut Device::new(vector)).0;
    assert_eq!(asks(), asks());
}
