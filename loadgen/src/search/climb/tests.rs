//! Climbs against simulated devices in virtual time.

use super::*;
use crate::search::Repeated;

/// How a simulated device behaves above its capacity.
#[derive(Clone, Copy, Debug)]
enum Device {
    /// Refuses the excess; the trial is aborted early and says nothing about the capacity.
    Refusing,
    /// Queues the excess and completes at its capacity.
    Queueing,
    /// Completes less the more it is offered.
    Collapsing,
    /// Queues, and its capacity differs from trial to trial by ±1 %.
    Noisy(u64),
}

struct Walk {
    asks: Vec<Ask>,
    found: Found,
    elapsed: Duration,
}

const RAMPS: Duration = Duration::from_secs(1);
/// Waits between trials for the reflectors to see no open connection, at most.
const BETWEEN: Duration = Duration::from_millis(500);

fn noise(seed: u64, trial: u64) -> f64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(trial.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    z = (z ^ (z >> 30)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 11) as f64 / (1_u64 << 53) as f64 * 2.0 - 1.0
}

fn run(mut search: impl Search, capacity: f64, device: Device) -> Walk {
    let mut walk = Walk { asks: Vec::new(), found: search.found(), elapsed: Duration::ZERO };
    while let Some(ask) = search.next(walk.elapsed) {
        walk.asks.push(ask);
        assert!(walk.asks.len() < 400, "the search does not end");
        let carried = match device {
            Device::Noisy(seed) => capacity * (1.0 + 0.01 * noise(seed, walk.asks.len() as u64)),
            _ => capacity,
        };
        let passed = ask.load <= carried;
        let achieved = match device {
            _ if passed => ask.load,
            Device::Refusing => 0.1 * carried,
            Device::Queueing | Device::Noisy(_) => carried,
            Device::Collapsing => carried * carried / ask.load,
        };
        let aborted = !passed && matches!(device, Device::Refusing);
        walk.elapsed += RAMPS + BETWEEN + if aborted { Duration::from_secs(1) } else { ask.sustain };
        search.tell(Tell { load: ask.load, passed, achieved, ..Tell::default() });
    }
    walk.found = search.found();
    walk
}

/// `scenarios/cps.toml` with a ceiling of 20,000.
fn cps() -> ClimbSettings {
    ClimbSettings {
        steps: Steps::Climb,
        start: 2_000.0,
        descend: true,
        factor: 2.0,
        width: 0.05,
        cap: Some(20_000.0),
        grain: Grain::Fine,
        sustain: Duration::from_secs(3),
        final_sustain: Duration::from_secs(10),
        budget: Duration::from_secs(300),
    }
}

#[test]
fn the_limit_is_found_within_the_width_in_few_trials_and_under_a_minute() {
    for device in [Device::Refusing, Device::Queueing, Device::Collapsing] {
        for capacity in (2_050..20_000).step_by(37).map(f64::from) {
            let walk = run(Climb::new(cps()), capacity, device);
            let Found { lower: Some(lower), upper: Some(upper), at_least } = walk.found else {
                panic!("{device:?} at {capacity}: {:?}", walk.found)
            };
            assert!(lower <= capacity && capacity < upper, "{device:?} at {capacity}: {:?}", walk.found);
            assert!(1.0 - lower / upper <= 0.05 && !at_least, "{device:?} at {capacity}: {:?}", walk.found);
            // One more for the ceiling; a device that queues shows its capacity and needs fewer.
            let trials = walk.asks.len() + 1;
            let fewest = if matches!(device, Device::Refusing) { 8 } else { 5 };
            assert!((fewest..=11).contains(&trials), "{device:?} at {capacity}: {trials} trials");
            let ceiling = RAMPS + BETWEEN + Duration::from_secs(4);
            assert!(walk.elapsed + ceiling < Duration::from_secs(60), "{device:?} at {capacity}: {:?}", walk.elapsed);
        }
    }
}

#[test]
fn the_achieved_rate_of_a_queueing_device_saves_trials() {
    let mean = |device| {
        let trials =
            (2_050..18_000).step_by(100).map(|capacity| run(Climb::new(cps()), f64::from(capacity), device).asks.len());
        trials.sum::<usize>() as f64 / 160.0
    };
    let (refusing, queueing) = (mean(Device::Refusing), mean(Device::Queueing));
    assert!(queueing < refusing - 1.0, "{queueing} against {refusing}");
}

#[test]
fn a_noisy_device_is_never_credited_with_more_than_its_best() {
    for seed in 0..500 {
        let capacity = 3_000.0 + 30.0 * seed as f64;
        let walk = run(Climb::new(cps()), capacity, Device::Noisy(seed));
        let lower = walk.found.lower.unwrap_or_else(|| panic!("seed {seed}: nothing confirmed"));
        assert!(lower <= 1.01 * capacity && lower >= 0.93 * capacity, "seed {seed}: {lower} of {capacity}");
        assert!(walk.found.upper.is_none_or(|upper| upper > lower), "seed {seed}: {:?}", walk.found);
        let confirming = walk.asks.iter().filter(|ask| ask.purpose == Purpose::Confirm).count();
        assert!((1..=CONFIRMS_MAX as usize).contains(&confirming));
        assert_eq!(walk.asks.last().map(|ask| (ask.purpose, ask.load)), Some((Purpose::Confirm, lower)));
    }
}

#[test]
fn the_same_answers_give_the_same_questions() {
    let asks = |seed| run(Climb::new(cps()), 7_000.0, Device::Noisy(seed)).asks;
    assert_eq!(asks(3), asks(3));
}

#[test]
fn a_device_that_carries_the_cap_is_at_least_that_good() {
    let walk = run(Climb::new(cps()), 50_000.0, Device::Queueing);
    assert_eq!(walk.found, Found { lower: Some(20_000.0), upper: None, at_least: true });
    let loads: Vec<f64> = walk.asks.iter().map(|ask| ask.load).collect();
    assert_eq!(loads, [2_000.0, 4_000.0, 8_000.0, 16_000.0, 20_000.0, 20_000.0]);
    let small = ClimbSettings { cap: Some(500.0), ..cps() };
    assert_eq!(run(Climb::new(small), 50_000.0, Device::Queueing).asks[0].load, 500.0);
}

#[test]
fn a_first_load_that_the_user_named_decides_and_a_guessed_one_goes_down() {
    let named = run(Climb::new(ClimbSettings { descend: false, ..cps() }), 150.0, Device::Refusing);
    assert_eq!((named.asks.len(), named.found.lower, named.found.upper), (1, None, Some(2_000.0)));
    let guessed = run(Climb::new(cps()), 150.0, Device::Refusing);
    let lower = guessed.found.lower.unwrap();
    assert!((0.95 * 150.0..=150.0).contains(&lower), "{lower}");
    assert!(guessed.asks.iter().take(3).map(|ask| ask.load).eq([2_000.0, 200.0, 20.0]));
    let dead = run(Climb::new(cps()), 0.0, Device::Refusing);
    assert_eq!((dead.asks.len(), dead.found.lower, dead.found.upper), (3, None, Some(20.0)));
}

#[test]
fn a_failed_confirmation_is_a_new_upper_bound() {
    let mut search = Climb::new(cps());
    let mut first_confirm = None;
    let mut asks = 0;
    // Short trials pass to 10,000; at full length the device carries 8,500.
    while let Some(ask) = search.next(Duration::ZERO) {
        asks += 1;
        let confirming = ask.purpose == Purpose::Confirm;
        if confirming && first_confirm.is_none() {
            first_confirm = Some(ask.load);
        }
        if let Some(refuted) = first_confirm.filter(|_| !confirming) {
            assert!(ask.load < refuted, "{} was asked after {refuted} was refuted", ask.load);
        }
        let passed = ask.load <= if confirming { 8_500.0 } else { 10_000.0 };
        search.tell(Tell { load: ask.load, passed, achieved: 0.0, ..Tell::default() });
    }
    let found = search.found();
    assert!(first_confirm.unwrap() > 8_500.0);
    assert!(found.lower.unwrap() <= 8_500.0 && found.upper.unwrap() > found.lower.unwrap(), "{found:?}");
    assert!(1.0 - found.lower.unwrap() / found.upper.unwrap() <= 0.05, "{found:?}");
    assert!(asks < 20, "{asks}");
}

#[test]
fn a_device_that_no_full_length_confirms_ends_without_an_answer() {
    let mut search = Climb::new(cps());
    let mut confirms = 0;
    let mut asks = 0;
    while let Some(ask) = search.next(Duration::ZERO) {
        asks += 1;
        confirms += u32::from(ask.purpose == Purpose::Confirm);
        let passed = ask.purpose != Purpose::Confirm && ask.load < 9_000.0;
        search.tell(Tell { load: ask.load, passed, achieved: 0.0, ..Tell::default() });
    }
    assert_eq!((search.found().lower, confirms), (None, CONFIRMS_MAX));
    assert!(asks <= (TRIALS_MAX + CONFIRMS_MAX) as usize, "{asks}");
}

#[test]
fn a_spent_budget_goes_straight_to_the_confirmation() {
    let budget = |seconds| {
        run(Climb::new(ClimbSettings { budget: Duration::from_secs(seconds), ..cps() }), 11_000.0, Device::Refusing)
    };
    // Two trials of 4.5 s, then 8,000 is confirmed although nothing failed yet.
    let walk = budget(9);
    let purposes: Vec<Purpose> = walk.asks.iter().map(|ask| ask.purpose).collect();
    assert_eq!(purposes, [Purpose::Qualify, Purpose::Climb, Purpose::Confirm]);
    assert_eq!(walk.found, Found { lower: Some(4_000.0), upper: None, at_least: true });
    // A fail is known, but not near enough.
    let walk = budget(15);
    assert_eq!(walk.found, Found { lower: Some(8_000.0), upper: Some(16_000.0), at_least: true });
}

#[test]
fn connections_are_whole_numbers_down_to_the_last_one() {
    for limit in [1.0, 2.0, 3.0, 7.0, 8.0, 100.0, 4_999.0] {
        let settings = ClimbSettings { start: 1.0, grain: Grain::Whole, width: 0.001, cap: None, ..cps() };
        let walk = run(Climb::new(settings), limit, Device::Refusing);
        assert!(walk.asks.iter().all(|ask| ask.load.fract() == 0.0 && ask.load >= 1.0), "{:?}", walk.asks);
        let lower = walk.found.lower.unwrap();
        assert!(lower <= limit && lower >= limit * 0.999, "{lower} of {limit}");
    }
    let slow = ClimbSettings { start: 2.0, factor: 1.01, grain: Grain::Whole, cap: None, ..cps() };
    assert_eq!(run(Climb::new(slow), 5.0, Device::Refusing).found.lower, Some(5.0));
}

#[test]
fn the_lowest_of_several_searches_counts() {
    let settings = ClimbSettings { budget: Duration::from_secs(3_600), ..cps() };
    let make = Box::new(move || -> Box<dyn Search + Send> { Box::new(Climb::new(settings.clone())) });
    let mut search = Repeated::new(make, 5.try_into().unwrap(), Duration::from_secs(3_600));
    let walk = run(&mut search, 7_000.0, Device::Noisy(11));
    let repeats = search.details().repeats.unwrap();
    assert_eq!((repeats.n, Some(repeats.min)), (5, walk.found.lower));
    assert!(repeats.min <= repeats.median && repeats.median <= repeats.max, "{repeats:?}");
    let confirmed = walk.asks.iter().filter(|ask| ask.purpose == Purpose::Confirm).map(|ask| ask.load);
    assert!(confirmed.into_iter().any(|load| Some(load) == walk.found.lower));
}

fn vector(kind: &str) -> Vec<serde_json::Value> {
    let text = include_str!("../../../tests/vectors/mlrsearch.json");
    let vectors: serde_json::Value = serde_json::from_str(text).unwrap();
    vectors["simple_search"][kind].as_array().unwrap().clone()
}

/// The loads that a search asks for before it confirms, and what it found.
fn loads(settings: ClimbSettings, limit: f64) -> (Vec<f64>, Found) {
    let walk = run(Climb::new(settings), limit, Device::Refusing);
    let searching = walk.asks.iter().filter(|ask| ask.purpose != Purpose::Confirm);
    (searching.map(|ask| ask.load).collect(), walk.found)
}

#[test]
fn the_vectors_of_plain_bisection_are_met() {
    let cases = vector("binary");
    assert_eq!(cases.len(), 2);
    for case in cases {
        let number = |key: &str| case[key].as_f64().unwrap();
        let settings = ClimbSettings {
            steps: Steps::Bisect,
            start: number("lo"),
            descend: false,
            cap: Some(number("hi")),
            width: number("width"),
            grain: Grain::Exact,
            budget: Duration::MAX,
            ..cps()
        };
        let (sequence, found) = loads(settings, number("C"));
        let expected = &case["result"];
        assert_eq!(serde_json::json!(sequence), expected["sequence"]);
        assert_eq!((found.lower, found.upper), (expected["lower"].as_f64(), expected["upper"].as_f64()));
        assert_eq!(found.at_least, expected["upper"].is_null());
    }
}

#[test]
fn plain_bisection_gives_up_where_the_lowest_load_fails() {
    let settings = ClimbSettings { steps: Steps::Bisect, start: 1_000.0, descend: false, ..cps() };
    let (sequence, found) = loads(settings.clone(), 900.0);
    assert_eq!((sequence.as_slice(), found.lower, found.upper), (&[20_000.0, 1_000.0][..], None, Some(1_000.0)));
    for limit in (1_050..20_000).step_by(97).map(f64::from) {
        let (sequence, found) = loads(ClimbSettings { budget: Duration::MAX, ..settings.clone() }, limit);
        let (lower, upper) = (found.lower.unwrap(), found.upper.unwrap());
        assert!(lower <= limit && limit < upper && 1.0 - lower / upper <= 0.05, "{limit}: {found:?}");
        assert!(sequence.len() <= 11, "{limit}: {sequence:?}");
    }
}

fn connections(error: f64) -> ClimbSettings {
    ClimbSettings {
        steps: Steps::Connections { error },
        start: 1_000.0,
        width: 0.02,
        cap: None,
        grain: Grain::Whole,
        budget: Duration::MAX,
        ..cps()
    }
}

#[test]
fn the_vectors_of_connections_at_once_are_met() {
    let cases = vector("cc");
    assert_eq!(cases.len(), 1);
    for case in cases {
        let number = |key: &str| case[key].as_f64().unwrap();
        let settings = ClimbSettings { start: number("c0"), ..connections(number("E")) };
        let (sequence, found) = loads(settings, number("true_capacity"));
        let whole: Vec<u64> = sequence.iter().map(|load| *load as u64).collect();
        assert_eq!(serde_json::json!(whole), case["result"]["sequence"]);
        assert_eq!(found.lower, case["result"]["capacity_lower"].as_f64());
        assert_eq!(found.upper, case["result"]["capacity_upper"].as_f64());
        assert!(!found.at_least);
    }
}

#[test]
fn a_few_connections_are_bracketed_by_share_and_many_by_number() {
    for limit in [1_200.0, 1_999.0, 5_000.0, 49_000.0, 400_000.0] {
        let (_, found) = loads(connections(1_000.0), limit);
        let (lower, upper) = (found.lower.unwrap(), found.upper.unwrap());
        let error = (0.02 * upper).min(1_000.0);
        assert!(lower <= limit && limit < upper && upper - lower <= error, "{limit}: {found:?}");
    }
}

#[test]
fn connections_that_can_only_be_opened_slowly_count_as_failed() {
    // Above 10,000 everything is accepted, but the rate of opening collapses.
    let walk = |slow: f64| {
        let mut search = Climb::new(ClimbSettings { cap: Some(64_000.0), ..connections(1_000.0) });
        while let Some(ask) = search.next(Duration::ZERO) {
            let rate = if ask.load > 10_000.0 { slow * 2_000.0 } else { 2_000.0 };
            let setup_rate = Some(rate);
            search.tell(Tell { load: ask.load, passed: true, achieved: ask.load, setup_rate, ..Tell::default() });
        }
        search.found()
    };
    let found = walk(0.09);
    assert!(found.lower.unwrap() <= 10_000.0 && found.upper.unwrap() <= 10_250.0, "{found:?}");
    // Half the rate is tolerated on the way up, and a fifth is no reason to stop there either.
    assert_eq!(walk(0.2), Found { lower: Some(64_000.0), upper: None, at_least: true });
}

impl<S: Search> Search for &mut S {
    fn next(&mut self, elapsed: Duration) -> Option<Ask> {
        (**self).next(elapsed)
    }

    fn tell(&mut self, result: Tell) {
        (**self).tell(result);
    }

    fn found(&self) -> Found {
        (**self).found()
    }
}
