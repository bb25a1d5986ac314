//! The worked example from end to end, capacities from runs, and which runs are refused.

use super::capacity::{Capacity, Terms};
use super::demand::parse;
use super::model::Limit;
use super::runs::{Device, Figure, Spread, Trial, devices};
use super::*;

const EXAMPLE: &str = include_str!("../../../scenarios/demand.example.toml");

/// A search that ended with a figure of this value, held for 300 s.
pub(crate) fn searched(folder: &str, resource: Resource, value: f64) -> Run {
    let trial = Trial {
        number: 9,
        confirming: true,
        load: value,
        open_loop: resource != Resource::Cc,
        sustain_s: 300.0,
        passed: Some(true),
        due: 1_000_000,
        completed: 1_000_000,
        achieved_per_s: value,
        tps: value,
        goodput_bps: value * 8_192.0,
        cc_min: value,
        response_p99_s: Some(0.004),
        ..Trial::default()
    };
    Run {
        folder: folder.to_owned(),
        scenario: format!("{resource:?}").to_lowercase(),
        dut: "lb-a".to_owned(),
        place: [("the host".to_owned(), "a machine".to_owned())].into(),
        device: [("its configuration".to_owned(), "text 1".to_owned())].into(),
        workload: [("the request".to_owned(), "/?s=1k".to_owned())].into(),
        cores: Some(8.0),
        workers: Some(8),
        searched: true,
        asked: Some(resource),
        figures: vec![Figure { resource: Some(resource), value, trial: 9, ..Figure::default() }],
        limited_by: Some("dut".to_owned()),
        trials: vec![trial],
        reason: "the DUT set the maximum".to_owned(),
        label: "conditional".to_owned(),
        ..Run::default()
    }
}

/// The runs of the worked example: one device, four resources.
pub(crate) fn example_runs() -> Vec<Run> {
    let values = [(Resource::Cps, 48e3), (Resource::Tps, 210e3), (Resource::Bandwidth, 36e9), (Resource::Cc, 2e6)];
    values.into_iter().map(|(resource, value)| searched(&format!("reports/{resource:?}"), resource, value)).collect()
}

pub(crate) fn example() -> Demand {
    parse("demand.toml", EXAMPLE).unwrap()
}

fn terms() -> Terms {
    Terms { slo_p99_s: 0.01, trust_cpu_estimate: false }
}

fn capacity_of(runs: &[Run], resource: Resource) -> Result<Capacity, String> {
    let devices: Vec<Device<'_>> = devices(runs).unwrap();
    assert_eq!(devices.len(), 1);
    capacity::of(&devices[0], resource, terms())
}

#[test]
fn the_worked_example_needs_three_devices() {
    let sizing = size(example(), &example_runs(), false).unwrap();
    let planned: Vec<f64> = sizing.planned.iter().map(|(_, peak)| peak.round()).collect();
    assert_eq!(planned, [28_800.0, 86_400.0, 17.28e9, 1_296_000.0]);
    let nodes = sizing.devices[0].nodes.as_ref().unwrap();
    let [cpu, memory] = &nodes.constraints[..] else { panic!("{nodes:?}") };
    let shares: Vec<f64> = cpu.shares.iter().map(|share| (share.devices * 1e3).round() / 1e3).collect();
    assert_eq!(shares, [0.600, 0.411, 0.480]);
    assert_eq!((cpu.devices * 1e3).round(), 1_491.0);
    assert_eq!((cpu.normal, cpu.failed, cpu.nodes), (3, 3, 3));
    assert_eq!((memory.devices * 1e3).round(), 648.0);
    assert_eq!((memory.normal, memory.failed, memory.nodes), (1, 2, 2));
    assert_eq!((nodes.nodes, nodes.by_largest_share, nodes.binding), (3, 2, Limit::Cpu));
    assert_eq!((nodes.normal_use(cpu) * 100.0).round(), 50.0);
    assert_eq!((nodes.failed_use(cpu) * 100.0).round(), 75.0);
    assert!(!nodes.at_most && sizing.decided());
}

#[test]
fn what_would_change_the_worked_example_is_stated_and_true() {
    let demand = example();
    let sizing = size(demand.clone(), &example_runs(), false).unwrap();
    let sensitivity = sizing.devices[0].sensitivity.as_ref().unwrap();
    // Three devices bear min(3 × 0.6, 2 × 0.8) = 1.6 devices' worth.
    assert!((sensitivity.demand_factor_max - 1.6 / 1.491_428_571).abs() < 1e-6, "{sensitivity:?}");
    assert!((sensitivity.capacity_loss_max - (1.0 - 1.491_428_571 / 1.6)).abs() < 1e-6);
    let count = |factor: f64| {
        let mut demand = demand.clone();
        for service in &mut demand.services {
            service.cps = service.cps.map(|peak| peak * factor);
            service.tps = service.tps.map(|peak| peak * factor);
            service.bandwidth_bps = service.bandwidth_bps.map(|peak| peak * factor);
            service.cc = service.cc.map(|peak| peak * factor);
        }
        size(demand, &example_runs(), false).unwrap().devices[0].nodes.as_ref().unwrap().nodes
    };
    assert_eq!(count(sensitivity.demand_factor_max * 0.999), 3);
    assert_eq!(count(sensitivity.demand_factor_max * 1.001), 4);
    let less = sensitivity.demand_factor_for_one_less.unwrap();
    assert_eq!((count(less * 0.999), count(less * 1.001)), (2, 3));
    let cps_alone = sensitivity.alone.iter().find(|(resource, _)| *resource == Resource::Cps).unwrap().1;
    assert!((cps_alone - (1.0 + (1.6 - 1.491_428_571) / 0.6)).abs() < 1e-6, "{cps_alone}");
    let change = |text: &str| sensitivity.changes.iter().find(|change| change.what.starts_with(text)).unwrap().nodes;
    assert_eq!(change("0 instead of 1 devices may fail"), Some(3));
    assert_eq!(change("2 instead of 1 devices may fail"), Some(4));
    assert_eq!(change("CPU planned to 50 %"), Some(3));
    assert_eq!(change("active-standby instead"), Some(4));
    assert_eq!(change("80 % instead of 100 %"), Some(4));
    assert_eq!(change("the largest share"), Some(2));
    let years: Vec<u64> = sensitivity.years.iter().map(|year| year.nodes).collect();
    assert_eq!(years, [3, 3, 3, 4, 4]);
}

#[test]
fn the_wait_is_that_of_all_workers_at_the_planned_use() {
    let sizing = size(example(), &example_runs(), false).unwrap();
    let wait = sizing.devices[0].wait.unwrap();
    assert_eq!((wait.workers, wait.per_worker, wait.operation), (8, 26_250.0, Resource::Tps));
    let expected = |busy| queueing::wait_s(8, 26_250.0, busy, 0.99).unwrap();
    assert!((wait.normal_s.unwrap() - expected(1.491_428_571 / 3.0)).abs() < 1e-9);
    assert!((wait.failed_s.unwrap() - expected(1.491_428_571 / 2.0)).abs() < 1e-9);
    assert!(wait.failed_s > wait.normal_s);
}

#[test]
fn a_lower_bound_of_a_capacity_is_an_upper_bound_of_devices() {
    let mut runs = example_runs();
    runs[0].figures[0].lower = true;
    runs[0].limited_by = Some("generator".to_owned());
    let sizing = size(example(), &runs, false).unwrap();
    // Without connections, 0.411 + 0.480 would still ask for ⌈0.891/0.8⌉ + 1 = 3: no fewer may do.
    assert!(!sizing.devices[0].nodes.as_ref().unwrap().at_most);
    runs[1].figures[0].lower = true;
    let both = size(example(), &runs, false).unwrap();
    assert!(both.devices[0].nodes.as_ref().unwrap().at_most);
    runs[1].figures[0].lower = false;
    let capacity = &sizing.devices[0].capacities[0];
    assert!(capacity.lower);
    assert!(
        capacity.flags.contains(&"a lower bound: the limit was set by generator, the device may carry more".to_owned()),
        "{capacity:?}"
    );
    // The estimate from CPU time takes its place only when that is asked for.
    runs[0].figures[0].per_core_estimate = Some(12e3);
    let asked = size(example(), &runs, true).unwrap();
    let capacity = &asked.devices[0].capacities[0];
    assert_eq!((capacity.value, capacity.lower, capacity.estimated), (96e3, false, true));
    assert_eq!(size(example(), &runs, false).unwrap().devices[0].capacities[0].value, 48e3);
}

#[test]
fn of_repeats_the_smallest_counts() {
    let runs: Vec<Run> = [50e3, 48e3, 51e3, 49e3, 52e3]
        .iter()
        .enumerate()
        .map(|(at, value)| searched(&format!("reports/cps/{at}"), Resource::Cps, *value))
        .collect();
    let capacity = capacity_of(&runs, Resource::Cps).unwrap();
    assert_eq!((capacity.value, capacity.from.as_str()), (48e3, "reports/cps/1 trial 9"));
    assert_eq!(capacity.repeats, Spread { searches: 5, lowest: 48e3, highest: 52e3 });
    assert_eq!(capacity.flags, Vec::<String>::new());
    let one = capacity_of(&runs[..1], Resource::Cps).unwrap();
    assert_eq!(one.flags, ["the smallest of 1 search; 5 show how far results stray"]);
}

#[test]
fn a_trial_that_breaks_the_terms_is_no_capacity() {
    let refusal = |change: fn(&mut Trial)| {
        let mut run = searched("reports/cps/x", Resource::Cps, 48e3);
        change(&mut run.trials[0]);
        capacity_of(&[run], Resource::Cps).unwrap_err()
    };
    let start =
        "no trial of full length carried connections per second on the terms asked for; reports/cps/x trial 9: ";
    let end = "; measure again at a lower load, or ask for less";
    for (change, why) in [
        (
            (|t| t.response_p99_s = Some(0.0123)) as fn(&mut Trial),
            "p99 of the response time is 12.3 ms, asked for is 10 ms",
        ),
        (|t| t.response_p99_s = None, "too few responses to know their p99; hold the load longer"),
        (|t| t.failed = 10, "10 of 1000000 operations failed, allowed is less than 0.001 %"),
        (|t| t.unsent_late = 1_001, "only 99.90 % of the load was offered, needed are 99.9 %"),
        (|t| t.completed = 989_999, "only 99.0 % of the operations due completed in time, needed are 99 %"),
        (|t| t.ended_early = true, "it ended early"),
    ] {
        assert_eq!(refusal(change), format!("{start}{why}{end}"));
    }
    assert!(refusal(|t| t.closed = Some(64.0)).contains("a closed loop of 64"));
    let mut run = searched("reports/cps/x", Resource::Cps, 48e3);
    run.trials[0].failed = 9;
    assert!(capacity_of(&[run], Resource::Cps).is_ok(), "9 of 1,000,000 is less than 0.001 %");
}

#[test]
fn a_step_of_a_search_is_no_capacity_but_says_what_to_confirm() {
    let mut run = searched("reports/cps/x", Resource::Cps, 48e3);
    run.trials[0].response_p99_s = Some(0.02);
    let step = Trial { number: 8, confirming: false, load: 40e3, response_p99_s: Some(0.005), ..run.trials[0].clone() };
    run.trials.push(step);
    let why = capacity_of(&[run], Resource::Cps).unwrap_err();
    assert!(why.ends_with("; confirm 40000 of trial 8 of reports/cps/x with a fixed load of full length"), "{why}");
}

/// A search that confirms at 8,000, goes up again and answers 12,000 found 12,000, not 8,000.
#[test]
fn several_confirming_trials_of_one_search_are_no_repeats() {
    let mut run = searched("reports/cps/x", Resource::Cps, 12e3);
    let first = Trial { number: 7, load: 8e3, achieved_per_s: 8e3, ..run.trials[0].clone() };
    run.trials.insert(0, first);
    let capacity = capacity_of(std::slice::from_ref(&run), Resource::Cps).unwrap();
    assert_eq!((capacity.value, capacity.repeats.searches), (12e3, 1));
    // When users wait too long at the answer, the lower load that they were content with counts.
    run.trials[1].response_p99_s = Some(0.02);
    let capacity = capacity_of(std::slice::from_ref(&run), Resource::Cps).unwrap();
    assert_eq!((capacity.value, capacity.lower), (8e3, false));
    assert!(
        capacity
            .flags
            .contains(&"reports/cps/x trial 9: p99 of the response time is 20 ms, asked for is 10 ms".to_owned())
    );
    // A late generator may have been the reason.
    run.trials[1].lag_shows = true;
    assert!(capacity_of(std::slice::from_ref(&run), Resource::Cps).unwrap().lower);
    run.trials[1].lag_shows = false;
}

/// How many searches a run made is what it says: a search may begin with any number of trials.
#[test]
fn the_searches_of_a_run_are_those_it_counted() {
    let mut run = searched("reports/cps/x", Resource::Cps, 12e3);
    let spread = Spread { searches: 5, lowest: 12e3, highest: 13e3 };
    run.figures[0].repeats = Some(spread);
    let capacity = capacity_of(std::slice::from_ref(&run), Resource::Cps).unwrap();
    assert_eq!((capacity.value, capacity.repeats), (12e3, spread));
    assert_eq!(capacity.flags, Vec::<String>::new());
    run.figures[0].repeats = Some(Spread { lowest: 0.0, ..spread });
    assert!(capacity_of(&[run], Resource::Cps).is_err(), "one of its searches found nothing");
}

#[test]
fn a_repeat_that_found_nothing_is_not_left_out() {
    let mut nothing = searched("reports/cps/2", Resource::Cps, 48e3);
    nothing.figures.clear();
    nothing.trials[0].passed = Some(false);
    nothing.reason = "not even 5000 connections/s were carried".to_owned();
    let runs = [searched("reports/cps/1", Resource::Cps, 48e3), nothing];
    let why = capacity_of(&runs, Resource::Cps).unwrap_err();
    assert_eq!(
        why,
        concat!(
            "reports/cps/2 is a repeat that found nothing, and of repeats the smallest counts: ",
            "no trial of full length carried connections per second on the terms asked for; ",
            "reports/cps/2 has no figure: not even 5000 connections/s were carried; ",
            "measure again at a lower load, or ask for less"
        )
    );
}

/// Ten requests on each connection: its transactions are no measurement of a device's transactions.
#[test]
fn only_what_a_run_asked_for_is_more_than_a_lower_bound() {
    let mut run = searched("reports/cps/1", Resource::Cps, 12e3);
    run.trials[0].tps = 120e3;
    run.figures.push(Figure { resource: Some(Resource::Tps), value: 120e3, trial: 9, ..Figure::default() });
    let runs = [run, searched("reports/tps/1", Resource::Tps, 210e3)];
    let tps = capacity_of(&runs[..1], Resource::Tps).unwrap();
    assert!(tps.lower && tps.value == 120e3, "{tps:?}");
    let tps = capacity_of(&runs, Resource::Tps).unwrap();
    assert_eq!((tps.value, tps.lower, tps.repeats.searches), (210e3, false, 1));
}

#[test]
fn runs_of_several_devices_and_the_same_run_by_another_path_are_refused() {
    let mut runs = example_runs();
    runs[1].several_devices = true;
    let error = size(example(), &runs, false).unwrap_err().to_string();
    assert!(error.starts_with("reports/Tps joins runs that each started a device of their own: "), "{error}");
    runs.truncate(1);
    runs[0].identity = "20261123-061341 1 2".to_owned();
    runs.push(Run { folder: "./reports/Cps/".to_owned(), ..runs[0].clone() });
    let error = size(example(), &runs, false).unwrap_err().to_string();
    assert_eq!(error, "./reports/Cps/ is given twice; a run is no repeat of itself");
    let error = scaling::of(&runs, terms(), None, 1).unwrap_err().to_string();
    assert_eq!(error, "./reports/Cps/ is given twice; a run is no repeat of itself");
}

#[test]
fn few_operations_and_failed_loads_below_are_told() {
    let mut run = searched("reports/cps/x", Resource::Cps, 12e3);
    run.trials[0].due = 9_800;
    run.trials[0].completed = 9_800;
    let flags = capacity_of(std::slice::from_ref(&run), Resource::Cps).unwrap().flags;
    let few = "9800 operations without a failure do not show a share below 0.001 % with 95 % confidence; 299573 would";
    assert!(flags.contains(&few.to_owned()), "{flags:?}");
    // A fixed load in a band where the device fails hides no lower failure.
    let mut stair = run;
    stair.searched = false;
    stair.trials.insert(0, Trial { number: 3, load: 6e3, failed: 50, ..stair.trials[0].clone() });
    stair.trials.insert(0, Trial { number: 2, load: 3e3, achieved_per_s: 3e3, failed: 0, ..stair.trials[0].clone() });
    stair.figures.clear();
    let capacity = capacity_of(&[stair], Resource::Cps).unwrap();
    assert_eq!(capacity.value, 3e3);
}

#[test]
fn a_fixed_load_counts_only_without_a_search_and_as_a_lower_bound() {
    let mut fixed = searched("reports/fixed-rate/1", Resource::Cps, 1_000.0);
    fixed.searched = false;
    let both = [searched("reports/cps/1", Resource::Cps, 48e3), fixed.clone()];
    assert_eq!(capacity_of(&both, Resource::Cps).unwrap().value, 48e3);
    let alone = capacity_of(&[fixed], Resource::Cps).unwrap();
    assert!(alone.lower && alone.value == 1_000.0, "{alone:?}");
    assert!(alone.flags.contains(&"from a fixed load, not from a search: the device may carry more".to_owned()));
}

#[test]
fn what_was_carried_beside_another_question_is_a_lower_bound() {
    let runs = [searched("reports/cps/1", Resource::Cps, 48e3)];
    let tps = capacity_of(&runs, Resource::Tps).unwrap();
    assert!(tps.lower && tps.value == 48e3, "{tps:?}");
    assert_eq!(
        tps.flags,
        ["a lower bound: carried beside another question (scenario cps); run scenarios/tps.toml to know it"]
    );
    // Objects of 1 KiB show what a device does with requests, not what it passes on in bits.
    assert_eq!(
        capacity_of(&runs, Resource::Bandwidth).unwrap_err(),
        "no run of lb-a measured bandwidth; run scenarios/tps.toml with large objects (--path \"/?s=256k\") against it and give its folder as well"
    );
    let mut large = runs.clone();
    large[0].trials[0].goodput_bps = 48e3 * 8.0 * LARGE_OBJECT_BYTES;
    let bandwidth = capacity_of(&large, Resource::Bandwidth).unwrap();
    assert!(bandwidth.lower && bandwidth.value == 48e3 * 8.0 * LARGE_OBJECT_BYTES, "{bandwidth:?}");
    assert!(capacity_of(&large, Resource::Tps).is_err(), "large objects say nothing of transactions");
    assert_eq!(
        capacity_of(&runs, Resource::Cc).unwrap_err(),
        "no run of lb-a measured connections at once; run scenarios/cc.toml against it and give its folder as well"
    );
}

#[test]
fn a_run_without_a_figure_gives_no_answer_and_says_why() {
    let mut runs = example_runs();
    runs[0].figures.clear();
    runs[0].trials[0].passed = Some(false);
    runs[0].reason = "the DUT died".to_owned();
    let sizing = size(example(), &runs, false).unwrap();
    assert!(!sizing.decided() && sizing.devices[0].nodes.is_none());
    assert_eq!(
        sizing.devices[0].missing,
        [concat!(
            "no trial of full length carried connections per second on the terms asked for; ",
            "reports/Cps has no figure: the DUT died; measure again at a lower load, or ask for less"
        )]
    );
}

#[test]
fn unlike_runs_are_refused_by_name() {
    let runs = example_runs();
    let refusal = |change: fn(&mut Run)| {
        let mut runs = runs.clone();
        change(&mut runs[1]);
        size(example(), &runs, false).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(|run| *run.place.get_mut("the host").unwrap() = "another machine".to_owned()),
        "reports/Cps and reports/Tps cannot be put together: the host differs (a machine and another machine); measure all devices on one host with one version of this program"
    );
    assert_eq!(
        refusal(|run| *run.device.get_mut("its configuration").unwrap() = "text 2".to_owned()),
        "reports/Cps and reports/Tps cannot be put together: its configuration differs (text 1 and text 2); a device is one configuration: give the other one a name of its own, or leave its runs out"
    );
    assert_eq!(
        refusal(|run| run.dut = "none".to_owned()),
        "reports/Tps has no DUT: it measured the testbed, not a device; give runs through a device"
    );
    assert_eq!(
        refusal(|run| run.folder = "reports/Cps".to_owned()),
        "reports/Cps is given twice; a run is no repeat of itself"
    );
    let other_request = refusal(|run| {
        *run = searched("reports/cps/2", Resource::Cps, 50e3);
        *run.workload.get_mut("the request").unwrap() = "/?s=64k".to_owned();
    });
    assert!(
        other_request.contains("the request differs (/?s=1k and /?s=64k); repeats ask the same question"),
        "{other_request}"
    );
    assert!(size(example(), &[], false).unwrap_err().to_string().starts_with("no run is given"));
}

#[test]
fn several_devices_are_answered_beside_each_other() {
    let mut runs = example_runs();
    let mut others = example_runs();
    for run in &mut others {
        run.dut = "lb-b".to_owned();
        run.folder.push_str("-b");
        run.figures[0].value *= 2.0;
        run.device.insert("its configuration".to_owned(), "text 2".to_owned());
    }
    runs.extend(others);
    let mut demand = example();
    demand.prices = [("lb-a".to_owned(), 10_000.0), ("lb-b".to_owned(), 25_000.0)].into();
    let sizing = size(demand, &runs, false).unwrap();
    let answers: Vec<_> = sizing
        .devices
        .iter()
        .map(|device| (device.dut.as_str(), device.nodes.as_ref().unwrap().nodes, device.price.unwrap().total))
        .collect();
    assert_eq!(answers, [("lb-a", 3, 30_000.0), ("lb-b", 2, 50_000.0)]);
    assert_eq!(sizing.demand.warnings, Vec::<String>::new());
}

#[test]
fn a_price_of_no_measured_device_and_a_version_nobody_recorded_are_told() {
    let mut demand = example();
    demand.prices = [("lb-x".to_owned(), 10_000.0)].into();
    let mut runs = example_runs();
    for run in &mut runs {
        run.device.insert("its version".to_owned(), "not recorded".to_owned());
    }
    let sizing = size(demand, &runs, false).unwrap();
    assert_eq!(
        sizing.demand.warnings,
        ["price.per_node names lb-x, but no run is of it: its price is not used; names are those of the runs (lb-a)"]
    );
    let warnings = &sizing.devices[0].warnings;
    assert!(warnings.iter().any(|warning| warning.starts_with("the version of lb-a was not recorded")), "{warnings:?}");
}

#[test]
fn an_answer_on_short_or_single_measurements_says_so_before_buying() {
    let mut runs = example_runs();
    for run in &mut runs {
        run.figures[0].repeats = Some(Spread { searches: 5, lowest: run.figures[0].value, highest: 1e12 });
    }
    let proven = size(example(), &runs, false).unwrap();
    assert!(!proven.devices[0].is_provisional());
    runs[0].trials[0].sustain_s = 10.0;
    let short = size(example(), &runs, false).unwrap();
    let warning = "trials shorter than 300 s: connections per second (10 s); an answer to buy by needs full length (RFC 9411, 4.3.4)";
    assert!(short.devices[0].is_provisional());
    assert!(short.devices[0].warnings.contains(&warning.to_owned()), "{:?}", short.devices[0].warnings);
    let single = size(example(), &example_runs(), false).unwrap();
    let rare = "fewer than 5 searches: connections per second (1), transactions per second (1), bandwidth (1), connections at once (1); repeat them to know how far results stray";
    assert!(single.devices[0].warnings.contains(&rare.to_owned()), "{:?}", single.devices[0].warnings);
}

#[test]
fn what_no_run_spoke_is_not_guessed() {
    let mut demand = example();
    demand.services[0].protocol = demand::words::Protocol::Https;
    let sizing = size(demand.clone(), &example_runs(), false).unwrap();
    assert_eq!(
        sizing.devices[0].missing,
        [
            "service shop speaks https, but no run of lb-a used TLS; measure with TLS, or take the risk with planning.differs = [\"tls\"]"
        ]
    );
    demand.planning.differs = vec![demand::words::Difference::Tls];
    demand.planning.derate = 0.8;
    let sizing = size(demand, &example_runs(), false).unwrap();
    let device = &sizing.devices[0];
    assert_eq!(device.nodes.as_ref().unwrap().nodes, 4);
    assert!(device.warnings.iter().any(|warning| warning.starts_with("TLS was not measured")), "{device:?}");
}

#[test]
fn a_link_is_a_limit_of_its_own_and_standbys_carry_nothing() {
    let mut demand = example();
    demand.planning.link_bps = Some(10e9);
    let sizing = size(demand.clone(), &example_runs(), false).unwrap();
    let nodes = sizing.devices[0].nodes.as_ref().unwrap();
    // A device that carries less has the same link: three devices' worth of CPU bear a loss, four more.
    let loss = sizing.devices[0].sensitivity.as_ref().unwrap().capacity_loss_max;
    assert!((loss - (1.0 - 1.491_428_571 / 2.4)).abs() < 1e-6, "{loss}");
    // 17.28 Gbit/s are 18.35 Gbit/s on the wire: ⌈1.835/0.6⌉ = 4, ⌈1.835/0.8⌉ + 1 = 4.
    assert_eq!((nodes.nodes, nodes.binding), (4, Limit::Link));
    demand.planning.link_bps = None;
    demand.redundancy.mode = demand::words::Mode::ActiveStandby;
    let sizing = size(demand, &example_runs(), false).unwrap();
    let nodes = sizing.devices[0].nodes.as_ref().unwrap();
    assert_eq!((nodes.nodes, nodes.active), (4, 3));
    assert_eq!(nodes.normal_use(&nodes.constraints[0]), nodes.failed_use(&nodes.constraints[0]));
}

#[test]
fn a_curve_over_workers_says_what_another_size_carries_and_no_more() {
    let law = usl::Law { lambda: 10e3, alpha: 0.03, beta: 0.0005 };
    let run = |workers: u32| {
        let mut run = searched(&format!("reports/cps/{workers}"), Resource::Cps, law.throughput(workers.into()));
        run.workers = Some(workers);
        run.device.insert("its cores".to_owned(), workers.to_string());
        run
    };
    let runs: Vec<Run> = [1, 2, 3, 4, 6, 8].map(run).into();
    let curve = scaling::of(&runs, terms(), Some(16), 1).unwrap();
    assert_eq!(curve.duts, ["lb-a"]);
    // The law's peak is at √(0.97/0.0005) = 44 workers, beyond twice the largest measured.
    assert_eq!(curve.fit.peak, None);
    let said = curve.asked.unwrap().unwrap();
    assert!(said.extrapolated && (said.x / law.throughput(16.0) - 1.0).abs() < 1e-6, "{said:?}");
    let far = scaling::of(&runs, terms(), Some(17), 1).unwrap().asked.unwrap().unwrap_err();
    assert_eq!(far, "N = 17 lies beyond 2 × the largest measured N (8): no prediction; measure at 9 workers or more");
    let few = scaling::of(&runs[..5], terms(), None, 1).unwrap_err().to_string();
    assert_eq!(
        few,
        "too few points for a fit: 5, at least 6 with different N are needed; measure at more numbers of workers"
    );
    let mut lower = runs.clone();
    lower[5].figures[0].lower = true;
    lower[5].limited_by = Some("generator".to_owned());
    assert_eq!(
        scaling::of(&lower, terms(), None, 1).unwrap_err().to_string(),
        "reports/cps/8 gives no point of the curve: its figure is a lower bound (limited by: generator); let the device set the limit"
    );
    let mut other = runs;
    other[2].place.insert("the host".to_owned(), "another machine".to_owned());
    assert_eq!(
        scaling::of(&other, terms(), None, 1).unwrap_err().to_string(),
        "reports/cps/3 differs from the others in more than its workers: the host; a curve needs one variable"
    );
}
