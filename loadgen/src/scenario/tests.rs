//! Files to plans: what is shipped runs as it stands, and what cannot run is refused word for word.

use std::time::Duration;

use wire::units::Percent;

mod kernel;
mod network;

use super::plan::*;
use super::*;

const LB: &str = "kind = \"reference\"\nconfig = \"x.lb.toml\"\n";
const LB_CONFIG: &str =
    "listen = \"127.0.0.1:{port}\"\nservers = [\n{ name = \"{name}\", address = \"{address}\" },\n]\n";
const BASE: &str = "\
[testbed]
dut = \"dut/x.toml\"
[workload]
kind = \"http\"
request = \"/?s=1k\"
[load]
unit = \"connections/s\"
[search]
method = \"climb\"
";

fn files(path: &Path) -> io::Result<String> {
    match path.to_str().unwrap() {
        "s/dut/x.toml" | "x.toml" => Ok(LB.to_owned()),
        "s/dut/x.lb.toml" | "x.lb.toml" => Ok(LB_CONFIG.to_owned()),
        "s/dut/web.toml" => Ok("kind = \"command\"\nstart = [\"web\", \"--port\", \"{port}\"]\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    }
}

fn with(text: &str, overrides: &Overrides) -> Result<Plan, ScenarioError> {
    parse("s/x.toml", text, &files, overrides)
}

fn plan(text: &str) -> Plan {
    with(text, &Overrides::default()).unwrap()
}

fn error(text: &str) -> String {
    with(text, &Overrides::default()).unwrap_err().to_string()
}

fn set(assignments: &[&str]) -> Overrides {
    Overrides { set: assignments.iter().map(|text| (*text).to_owned()).collect(), ..Overrides::default() }
}

fn to_dut(dut: &str) -> Overrides {
    Overrides { dut: Some(dut.to_owned()), ..Overrides::default() }
}

/// `BASE` with one piece replaced by another.
fn changed(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from:?} is not in the base scenario");
    BASE.replace(from, to)
}

fn shipped(name: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name);
    load(&path, &Overrides::default()).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_main_scenario_means_what_it_says() {
    let plan = shipped("cps.toml");
    assert_eq!((plan.name.as_str(), plan.seed, plan.profile), ("cps", 7, Profile::Standard));
    assert_eq!((plan.testbed.network, plan.testbed.reflectors), (Network::Loopback, 2));
    assert_eq!(
        (plan.testbed.dut.name.as_str(), plan.testbed.dut.service.as_str()),
        ("reference-http", "http://{vip}:{port}")
    );
    assert!(matches!(&plan.testbed.dut.kind, DutKind::Reference { workers, config }
        if workers.get() == 1 && config.text.contains("{address}")));
    let WorkloadKind::Http(http) = &plan.workload.kind else { panic!("{:?}", plan.workload.kind) };
    assert_eq!((http.request.as_str(), http.status, http.body), ("/?s=1k", 200, BodyCheck::Table { length: 1024 }));
    assert_eq!(plan.workload.requests_per_connection.map(|n| n.get()), Some(1));
    assert_eq!((plan.load.unit, plan.load.slots.get()), (Unit::ConnectionsPerSecond, 1024));
    assert_eq!(plan.load.phases.sustain, Duration::from_secs(3));
    let SearchPlan::Mlr(mlr) = &plan.search else { panic!("{:?}", plan.search) };
    assert_eq!(mlr.start, StartLoad::OfCeiling("10%".parse().unwrap()));
    assert_eq!((mlr.factor, mlr.width.as_ratio(), mlr.final_sustain), (2.0, 0.05, Duration::from_secs(10)));
    assert_eq!((mlr.goals.len(), mlr.goals[0].loss, mlr.goals[0].exceed.as_ratio()), (1, None, 0.0));
    let texts: Vec<&str> = plan.expect.iter().map(|expectation| expectation.text.as_str()).collect();
    assert_eq!(texts, ["cps >= 1000", "failed < 0.001%"]);
}

#[test]
fn every_shipped_scenario_and_dut_file_is_sound() {
    let frames = ["imix.toml", "imix-netns.toml", "rfc2544.toml", "udp-lb.toml", "nat-baseline.toml"];
    let others = ["cc.toml", "tps.toml", "smoke.toml", "fixed-rate.toml", "self/cps.toml", "self/tps.toml"];
    for name in frames.into_iter().chain(others) {
        assert!(!shipped(name).question.is_empty(), "{name}");
    }
    let duts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/dut");
    let mut checked = 0;
    for entry in std::fs::read_dir(duts).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if is_dut_file(&text) {
            let dut = check_dut_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(dut::mentions_reflectors(&dut), "{}", path.display());
            checked += 1;
        }
    }
    assert_eq!(checked, 12 + 4 + 3, "reference, haproxy and nginx with one worker and several; the kernel");
}

#[test]
fn the_engine_is_epoll_unless_somebody_asks_for_another() {
    assert_eq!(plan(BASE).load.engine, Engine::Epoll);
    let asked = BASE.replace("[load]\n", "[load]\nengine = \"uring\"\n");
    assert_eq!(plan(&asked).load.engine, Engine::Uring);
    let overrides = Overrides { engine: Some("epoll".to_owned()), ..Overrides::default() };
    assert_eq!(with(&asked, &overrides).unwrap().load.engine, Engine::Epoll);
    let words = summary(&plan(&asked));
    assert!(words.contains("; engine uring (experimental)"), "{words}");
}

#[test]
fn a_profile_fills_what_the_file_leaves_out() {
    let with_profile = |profile: &str| plan(&format!("[scenario]\nprofile = \"{profile}\"\n{BASE}"));
    let rfc = with_profile("rfc");
    let SearchPlan::Climb(climb) = &rfc.search else { panic!("{:?}", rfc.search) };
    assert_eq!((rfc.load.phases.init, rfc.load.phases.ramp_up), (Duration::from_secs(5), Duration::from_secs(10)));
    assert_eq!((climb.width.as_ratio(), climb.final_sustain), (0.02, Duration::from_secs(300)));
    assert_eq!(compliance(&rfc).label, "conditional");
    let standard = with_profile("standard");
    assert_eq!(standard.load.phases.sustain, Duration::from_secs(3));
    let ci = with_profile("ci");
    assert!(ci.load.phases.sustain < standard.load.phases.sustain);
    assert_eq!(compliance(&ci).label, "derived");
}

#[test]
fn deviations_are_computed_from_the_plan() {
    let text = changed("[load]", "close = \"client-rst\"\n[load]");
    let compliance = compliance(&plan(&text));
    assert_eq!(compliance.label, "derived");
    for expected in [
        "sustain is 10s instead of at least 300s (RFC 9411, 4.3.4)",
        "init is 1s instead of at least 5s (RFC 9411, 4.3.4)",
        "connections end with RST instead of FIN: not RFC 9411 (4.3.1.1)",
        "tester, DUT and reflectors share one host (RFC 8172, 3.4 advises against it)",
    ] {
        assert!(compliance.deviations.iter().any(|found| found == expected), "{expected}: {:?}", compliance.deviations);
    }
}

#[test]
fn unknown_keys_and_words_are_refused_with_the_nearest_known_one() {
    assert_eq!(
        error(&changed("kind = \"http\"", "kind = \"htp\"")),
        "s/x.toml:4: workload.kind: \"htp\" is not known; expected one of \"tcp\", \"http\", \"udp\"; did you mean \"http\"?"
    );
    let message = error(&changed("unit =", "uint ="));
    assert!(message.starts_with("s/x.toml:7: load.uint: unknown field `uint`"), "{message}");
    assert!(message.ends_with("did you mean `unit`?"), "{message}");
}

#[test]
fn words_of_later_versions_are_refused_as_such() {
    assert_eq!(
        error(&changed("kind = \"http\"", "kind = \"journey\"")),
        "s/x.toml:4: workload.kind: \"journey\" is not built yet; what works now: \"tcp\", \"http\", \"udp\""
    );
    assert_eq!(
        error(&changed("\"climb\"", "\"mrl\"")),
        "s/x.toml:9: search.method: \"mrl\" is not known; expected one of \"fixed\", \"stair\", \"climb\", \"mlr\", \
         \"bisect\", \"goal-seek\", \"cc\"; did you mean \"mlr\"?"
    );
    for (from, to, later) in [
        ("connections/s", "users/s", "\"users/s\" is not built yet"),
        ("[load]", "[load]\npattern = \"burst\"", "\"burst\" is not built yet"),
    ] {
        let message = error(&changed(from, to));
        assert!(message.contains(later), "{message}");
    }
}

#[test]
fn loads_that_contradict_unit_or_method_are_refused() {
    let cases = [
        (
            "unit = \"connections/s\"",
            "unit = \"connections\"\nrate = \"5k/s\"",
            "s/x.toml:8: load.rate: contradicts unit = \"connections\", which is a number at once; expected load.count",
        ),
        (
            "unit = \"connections/s\"",
            "unit = \"connections/s\"\ncount = 5",
            "s/x.toml:8: load.count: contradicts unit = \"connections/s\", which is a rate; expected load.rate",
        ),
        (
            "unit = \"connections/s\"",
            "unit = \"connections/s\"\nrate = 500",
            "s/x.toml:8: load.rate: contradicts method = \"climb\", which chooses its loads; expected search.start, or method = \"fixed\"",
        ),
        (
            "\"climb\"",
            "\"fixed\"",
            "s/x.toml:6: load.rate: missing; method = \"fixed\" and unit = \"connections/s\" need it (or search.method = \"climb\")",
        ),
        (
            "method = \"climb\"",
            "start = 5",
            "s/x.toml:9: search.start: has no meaning for method = \"fixed\"; it belongs to \"climb\", \"mlr\", \
             \"bisect\", \"goal-seek\", \"cc\"",
        ),
        (
            "\"climb\"",
            "\"goal-seek\"\nwidth = \"2%\"",
            "s/x.toml:10: search.width: has no meaning for method = \"goal-seek\"; it belongs to \"climb\", \"mlr\", \
             \"bisect\", \"cc\"",
        ),
        (
            "\"climb\"",
            "\"goal-seek\"\nfactor = 1.1",
            "s/x.toml:10: search.factor: 1.1 cannot gain the 20% that the first steps ask for; expected 1.25 to 10",
        ),
        (
            "\"climb\"",
            "\"cc\"",
            "s/x.toml:9: search.method: \"cc\" counts connections held at once, not connections/s; expected unit = \
             \"connections\", or method = \"mlr\"",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(error(&changed(from, to)), expected);
    }
}

#[test]
fn every_method_fills_its_keys_from_the_profile() {
    for (method, profile, width, final_s, repeats) in [
        ("mlr", "rfc", 0.02, 300, 5),
        ("mlr", "standard", 0.05, 10, 1),
        ("bisect", "ci", 0.10, 5, 1),
        ("goal-seek", "standard", 0.05, 10, 1),
    ] {
        let text =
            format!("[scenario]\nprofile = \"{profile}\"\n{BASE}").replace("\"climb\"", &format!("\"{method}\""));
        let plan = plan(&text);
        let maximum = plan.search.maximum().unwrap_or_else(|| panic!("{method}"));
        let found = (maximum.width.as_ratio(), maximum.final_sustain.as_secs(), maximum.repeats.get());
        assert_eq!((plan.search.method(), found), (method, (width, final_s, repeats)));
    }
    let held = BASE.replace("connections/s", "connections").replace("\"climb\"", "\"cc\"\nstart = 1000");
    let SearchPlan::Cc(cc) = plan(&held).search else { panic!("not cc") };
    assert_eq!((cc.width.as_ratio(), cc.factor), (0.02, 2.0));
}

#[test]
fn goals_of_mlr_are_one_by_default_and_tables_if_written() {
    let mlr = BASE.replace("\"climb\"", "\"mlr\"\nfinal_sustain = \"20s\"");
    let whole = Percent::default();
    let seconds = Duration::from_secs;
    let width = Percent::from_ratio(0.05).unwrap();
    let one = GoalPlan { loss: None, exceed: whole, final_sustain: seconds(20), duration_sum: seconds(20), width };
    assert_eq!(plan(&mlr).search.maximum().unwrap().goals, [one]);
    let two = format!(
        "{mlr}[[search.goal]]\nexceed = \"50%\"\n[[search.goal]]\nloss = \"0.5%\"\nfinal_sustain = \"5s\"\nduration_sum = \
         \"15s\"\nwidth = \"1%\"\n"
    );
    let plan_of_two = plan(&two);
    let goals = &plan_of_two.search.maximum().unwrap().goals;
    assert_eq!(goals[0], GoalPlan { exceed: "50%".parse().unwrap(), duration_sum: seconds(40), ..one });
    assert_eq!(
        (goals[1].loss, goals[1].final_sustain, goals[1].duration_sum),
        ("0.5%".parse().ok(), seconds(5), seconds(15))
    );
    let label = compliance(&plan_of_two);
    assert!(label.deviations.iter().any(|text| text.contains("50% of the time may lose more")), "{label:?}");
    let refused = |goal: &str| error(&format!("{mlr}[[search.goal]]\n{goal}\n"));
    for (goal, words) in [
        ("exceed = \"100%\"", "exceed: 100% is out of range; expected 0% to 95%"),
        ("loss = \"10%\"", "width: 5% is out of range; expected at least the loss of 10%"),
        ("duration_sum = \"10s\"", "duration_sum: 10s is out of range; expected 1 to 100 times final_sustain"),
        ("width = \"0%\"", "width: 0% is out of range; expected 0.1% to 50%"),
    ] {
        let message = refused(goal);
        assert!(message.contains("search.goal: ") && message.contains(words), "{message}");
    }
    let strict = error(&format!("{mlr}[[search.goal]]\nloss = \"1%\"\n[expect]\nfailed = \"< 0.1%\"\n"));
    assert!(strict.contains("its loss of 1% contradicts failed < 0.1%"), "{strict}");
    assert!(error(&format!("{mlr}[[search.goal]]\nlos = \"1%\"\n")).contains("los"));
}

#[test]
fn a_bisection_needs_an_upper_end() {
    let text = BASE.replace("\"climb\"", "\"bisect\"").replace("[testbed]", "[testbed]\nreflectors = 0");
    let text = text.replace("dut/x.toml", "http://127.0.0.1:80");
    assert!(
        error(&text).contains("search.max: missing; method = \"bisect\" begins at the highest load"),
        "{}",
        error(&text)
    );
    assert!(matches!(plan(&format!("{text}max = 500\n")).search, SearchPlan::Bisect(_)));
}

#[test]
fn workloads_and_testbeds_that_contradict_themselves_are_refused() {
    let cases = [
        (
            "kind = \"http\"",
            "kind = \"tcp\"",
            "s/x.toml:5: workload.request: has no meaning for kind = \"tcp\", which sends no bytes; expected kind = \"http\"",
        ),
        (
            "kind = \"http\"\nrequest = \"/?s=1k\"",
            "kind = \"tcp\"\nrequests_per_connection = 2",
            "s/x.toml:5: workload.requests_per_connection: has no meaning for kind = \"tcp\", which sends no bytes; leave it out",
        ),
        (
            "kind = \"http\"\nrequest = \"/?s=1k\"",
            "kind = \"tcp\"\nclose = \"server-fin\"",
            "s/x.toml:5: workload.close: \"server-fin\" contradicts kind = \"tcp\": without a request no server knows when to close",
        ),
        (
            "[load]\nunit = \"connections/s\"",
            "close = \"server-fin\"\n[load]\nunit = \"transactions/s\"",
            "s/x.toml:6: workload.close: \"server-fin\" needs workload.requests_per_connection: the last request asks the server to close",
        ),
        (
            "[load]\nunit = \"connections/s\"",
            "requests_per_connection = 3\n[load]\nunit = \"connections\"",
            "s/x.toml:6: workload.requests_per_connection: contradicts unit = \"connections\": a held connection carries a request every load.hold_interval",
        ),
        (
            "dut = \"dut/x.toml\"",
            "dut = \"none\"\nreflectors = 0",
            "s/x.toml:3: testbed.reflectors: 0 and no DUT leave nobody to connect to; expected 1 or more, or --reflector",
        ),
        (
            "dut = \"dut/x.toml\"",
            "dut = \"dut/x.toml\"\nreflectors = 0",
            "s/x.toml:3: testbed.reflectors: 0, but the configuration of x names reflectors; expected 1 or more, or --reflector",
        ),
        (
            "unit = \"connections/s\"",
            "unit = \"connections/s\"\nhold_interval = \"1s\"",
            "s/x.toml:8: load.hold_interval: has no meaning for unit = \"connections/s\"; it belongs to \"connections\"",
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(error(&changed(from, to)), expected);
    }
}

#[test]
fn a_value_out_of_range_shows_what_is_allowed() {
    let search = |line: &str| error(&format!("{BASE}{line}\n"));
    assert_eq!(search("factor = 1"), "s/x.toml:10: search.factor: 1 is out of range; expected more than 1, at most 10");
    assert_eq!(search("width = \"0%\""), "s/x.toml:10: search.width: 0% is out of range; expected 0.1% to 50%");
    assert_eq!(
        search("start = \"fast\""),
        "s/x.toml:10: search.start: \"fast\" is not a start; expected a share of the ceiling (\"10%\") or a load greater than 0 (500, \"2k/s\")"
    );
    assert_eq!(
        error(&changed("request = \"/?s=1k\"", "request = \"?s=1k\"")),
        "s/x.toml:5: workload.request: \"?s=1k\" is not a path; expected / and up to 8 KiB of printable ASCII, no blanks"
    );
    assert_eq!(
        error(&changed("s=1k", "s=1kr")),
        "s/x.toml:5: workload.request: s=1kr is not a size that can be verified; expected whole bytes with k, m or g for 1,024: s=20k"
    );
    assert_eq!(
        error(&changed("[load]", "[load]\nphases = { sustain = \"10ms\" }")),
        "s/x.toml:7: load.phases.sustain: 10ms is too short to measure anything; expected at least 1s"
    );
}

#[test]
fn expectations_are_comparisons_of_what_is_measured() {
    let expect = |line: &str| error(&format!("{BASE}[expect]\n{line}\n"));
    assert_eq!(
        expect("cps = \"1000\""),
        "s/x.toml:11: expect.cps: \"1000\" is not a comparison; expected such as \">= 1000\""
    );
    assert!(expect("cps = 1000").contains("a comparison in quotes such as \">= 1000\""), "{}", expect("cps = 1000"));
    assert_eq!(
        expect("tps = \">= 5\""),
        "s/x.toml:11: expect.tps: unit = \"connections/s\" measures cps, not tps; expected expect.cps"
    );
    assert_eq!(
        expect("failed = \"> 1%\""),
        "s/x.toml:11: expect.failed: \"> 1%\" asks for more of it; expected < or <=, such as \"< 0.001%\""
    );
    assert_eq!(
        expect("failed = \"< 0%\""),
        "s/x.toml:11: expect.failed: \"< 0%\" can never be met; \"<= 0%\" means without any failure"
    );
    let plan = plan(&format!("{BASE}[expect]\nresponse_time_p999 = \"<= 20ms\"\ncps = \"> 1.5k\"\n"));
    assert_eq!(plan.expect[0].value, 1500.0);
    assert_eq!((plan.expect[1].metric, plan.expect[1].value), (Metric::ResponseTime { percentile_e2: 9_990 }, 0.02));
}

#[test]
fn an_expectation_above_every_load_of_the_scenario_is_refused() {
    let text =
        changed("\"climb\"", "\"fixed\"\n[expect]\ncps = \">= 1000\"").replace("[search]", "rate = 500\n[search]");
    assert_eq!(
        error(&text),
        "s/x.toml:12: expect.cps: cps >= 1000 can never be met: the highest load of this scenario is 500 connections/s"
    );
}

#[test]
fn a_set_value_meets_the_same_checks_and_its_errors_name_set() {
    let changed =
        with(BASE, &set(&["load.phases.sustain=7s", "workload.request=/?s=64", "search.width=\"1%\""])).unwrap();
    assert_eq!(changed.load.phases.sustain, Duration::from_secs(7));
    assert!(matches!(&changed.workload.kind, WorkloadKind::Http(http) if http.body == BodyCheck::Table { length: 64 }));
    let error = |assignment: &str| with(BASE, &set(&[assignment])).unwrap_err().to_string();
    assert_eq!(error("search.factor=11"), "--set: search.factor: 11 is out of range; expected more than 1, at most 10");
    let message = error("load.rat=5");
    assert!(message.starts_with("--set: load.rat: unknown field `rat`"), "{message}");
    let message = error("load.phases.sustain=soon");
    assert!(message.starts_with("--set: load.phases.sustain: \"soon\" is not a duration"), "{message}");
    assert_eq!(error("load"), "--set \"load\": expected key=value, such as load.phases.sustain=5s");
    assert_eq!(
        error("load.count=5"),
        "--set: load.count: contradicts unit = \"connections/s\", which is a rate; expected load.rate"
    );
}

#[test]
fn a_dut_given_as_an_address_is_external_and_takes_no_reflectors() {
    let plan = with(BASE, &to_dut("10.0.0.5:80")).unwrap();
    assert!(
        matches!(plan.testbed.dut.kind, DutKind::External { address } if address == "10.0.0.5:80".parse().unwrap())
    );
    assert_eq!((plan.testbed.reflectors, plan.testbed.network), (0, Network::External));
    assert!(matches!(&plan.workload.kind, WorkloadKind::Http(http) if http.body == BodyCheck::LengthOfFirst));
    // Nobody can measure a ceiling without reflectors, so the start cannot be a share of it.
    assert!(matches!(&plan.search, SearchPlan::Climb(climb) if climb.start == StartLoad::Absolute(100.0)));

    let overrides = Overrides { reflectors: vec!["10.0.0.7:8080".to_owned()], ..to_dut("http://10.0.0.5/?s=2k") };
    let plan = with(BASE, &overrides).unwrap();
    assert_eq!(plan.testbed.remote_reflectors, ["10.0.0.7:8080".parse().unwrap()]);
    assert!(matches!(&plan.workload.kind, WorkloadKind::Http(http) if http.body == BodyCheck::Table { length: 2048 }));

    let overrides = Overrides { path: Some("index.html".to_owned()), ..to_dut("127.0.0.1:80") };
    assert_eq!(
        with(BASE, &overrides).unwrap_err().to_string(),
        "--path: workload.request: \"index.html\" is not a path; expected / and up to 8 KiB of printable ASCII, no blanks"
    );
    let overrides = Overrides { path: Some("/index.html".to_owned()), ..to_dut("127.0.0.1:80") };
    let plan = with(BASE, &overrides).unwrap();
    assert_eq!(plan.testbed.network, Network::Loopback);
    assert!(matches!(&plan.workload.kind, WorkloadKind::Http(http) if http.request == "/index.html"));
}

#[test]
fn a_public_address_needs_permission() {
    assert_eq!(
        with(BASE, &to_dut("203.0.113.9:80")).unwrap_err().to_string(),
        "--dut \"203.0.113.9:80\": 203.0.113.9 is a public address; if you may load it, say so: \
         [testbed] allow_targets = [\"203.0.113.9/32\"] or --set 'testbed.allow_targets=[\"203.0.113.9/32\"]'"
    );
    let allowed =
        Overrides { dut: Some("203.0.113.9".to_owned()), ..set(&["testbed.allow_targets=[\"203.0.113.0/24\"]"]) };
    assert!(with(BASE, &allowed).is_ok());
    let message = error(&changed("dut/x.toml", "203.0.113.9"));
    assert!(message.starts_with("s/x.toml:2: testbed.dut: 203.0.113.9 is a public address"), "{message}");
}

#[test]
fn a_program_that_serves_on_its_own_needs_no_reflector() {
    let plan = plan(&changed("dut/x.toml", "dut/web.toml"));
    assert_eq!(plan.testbed.reflectors, 0);
    let DutKind::Command { ready, .. } = &plan.testbed.dut.kind else { panic!("{:?}", plan.testbed.dut) };
    assert_eq!(
        (ready.check.clone(), ready.within),
        (ReadyCheck::Tcp("{vip}:{port}".to_owned()), Duration::from_secs(5))
    );
}

#[test]
fn a_missing_file_is_named_with_who_asked_for_it() {
    assert_eq!(error(&changed("dut/x.toml", "dut/y.toml")), "cannot read s/dut/y.toml, the testbed.dut of s/x.toml");
    assert_eq!(with(BASE, &to_dut("y.toml")).unwrap_err().to_string(), "cannot read y.toml (--dut)");
    let missing = load(Path::new("no/such.toml"), &Overrides::default()).unwrap_err();
    assert_eq!(missing.to_string(), "cannot read no/such.toml; expected a scenario such as scenarios/cps.toml");
    assert_eq!(
        error(&changed("dut = \"dut/x.toml\"", "")),
        "s/x.toml:1: testbed.dut: missing; expected a DUT file such as \"dut/reference-http.toml\", an address, or \"none\" (or --dut)"
    );
}

#[test]
fn a_dut_file_is_judged_with_line_and_key() {
    let dut_error = |text: &str| {
        let text = text.to_owned();
        let resolve = move |path: &Path| {
            if path.ends_with("x.lb.toml") { Ok(LB_CONFIG.to_owned()) } else { Ok(text.clone()) }
        };
        dut::read(Path::new("d.toml"), "", &resolve).unwrap_err().to_string()
    };
    assert_eq!(
        dut_error("kind = \"refrence\"\n"),
        "d.toml:1: kind: \"refrence\" is not known; expected one of \"reference\", \"command\", \"kernel\", \"external\", \"none\"; did you mean \"reference\"?"
    );
    assert_eq!(
        dut_error("kind = \"reference\"\nconfig = \"x.lb.toml\"\nstart = [\"x\"]\n"),
        "d.toml:3: start: has no meaning for kind = \"reference\"; it belongs to kind \"command\""
    );
    assert_eq!(
        dut_error("kind = \"command\"\nstart = [\"web\"]\n"),
        "d.toml: service: uses {port}, but neither start nor config does: the program would not learn its port"
    );
    assert_eq!(
        dut_error("kind = \"command\"\nstart = [\"web\", \"{port}\"]\nworkers = 2\n"),
        "d.toml:3: workers: neither start nor config uses {workers}: the program would not learn it"
    );
    // What is a literal for the template is one here, too.
    let literal = dut_error("kind = \"command\"\nstart = [\"web\", \"{{port}}\"]\n");
    assert!(literal.contains("the program would not learn its port"), "{literal}");
    let literal = dut_error("kind = \"command\"\nstart = [\"web\", \"{port}\", \"{{workers}}\"]\nworkers = 2\n");
    assert!(literal.contains("the program would not learn it"), "{literal}");
    assert_eq!(
        dut_error("kind = \"command\"\nstart = [\"web\", \"{port}\", \"{workers}\"]\nworkers = 0\n"),
        "d.toml:3: workers: 0 is not a number of threads; expected 1 to 1024"
    );
    assert_eq!(
        dut_error("kind = \"reference\"\nservice = \"http://10.0.0.1:{port}\"\nconfig = \"x.lb.toml\"\n"),
        "d.toml:2: service: 10.0.0.1 is not on loopback, but the run starts this DUT on this host; \
         expected \"http://{vip}:{port}\", \"tcp://{vip}:{port}\" or \"udp://{vip}:{port}\""
    );
    assert_eq!(
        dut_error("kind = \"external\"\nservice = \"http://lb.example\"\n"),
        "d.toml:2: service: \"lb.example\" is not an address; expected ADDRESS[:PORT] or http://ADDRESS[:PORT][/PATH]; \
         names are not resolved, give the IP address"
    );
    let message = dut_error("kind = \"reference\"\ncpu_quota = 25\n");
    assert!(message.starts_with("d.toml:2: cpu_quota: \"25\" is not a share; expected"), "{message}");
}

#[test]
fn a_quick_run_is_a_closed_loop_or_an_open_one_with_a_rate() {
    let options = QuickOptions {
        url: "http://127.0.0.1:8080/x".to_owned(),
        connections: 64,
        duration: Duration::from_secs(10),
        rate: None,
        engine: None,
        set: Vec::new(),
    };
    let closed = quick(&options).unwrap();
    assert_eq!((closed.load.unit, closed.load.count.map(|n| n.get())), (Unit::Transactions, Some(64)));
    assert_eq!((closed.load.phases.sustain, closed.search.clone()), (Duration::from_secs(10), SearchPlan::Fixed));
    assert_eq!(closed.external_address(), Some("127.0.0.1:8080".parse().unwrap()));
    assert!(matches!(&closed.workload.kind, WorkloadKind::Http(http) if http.request == "/x"));
    let open = quick(&QuickOptions { rate: Some("5k/s".parse().unwrap()), ..options.clone() }).unwrap();
    assert_eq!((open.load.unit, open.load.rate.map(|rate| rate.as_f64())), (Unit::TransactionsPerSecond, Some(5000.0)));
    let error = |options: &QuickOptions| quick(options).unwrap_err().to_string();
    let message = error(&QuickOptions { url: "http://8.8.8.8/".to_owned(), ..options.clone() });
    assert!(message.starts_with("URL \"http://8.8.8.8/\": 8.8.8.8 is a public address"), "{message}");
    assert_eq!(
        error(&QuickOptions { connections: 0, ..options.clone() }),
        "-c \"0\": no connection carries no request; expected 1 or more"
    );
    let engine = |engine: &str| QuickOptions { engine: Some(engine.to_owned()), ..options.clone() };
    assert_eq!(quick(&engine("uring")).unwrap().load.engine, Engine::Uring);
    let message = error(&engine("urinq"));
    assert!(message.starts_with("--engine: load.engine: ") && message.contains("did you mean \"uring\"?"), "{message}");
    let udp = QuickOptions { url: "udp://10.0.0.5:53".to_owned(), ..options.clone() };
    assert_eq!(error(&udp), "URL \"udp://10.0.0.5:53\": datagrams are sent at a rate; expected -R, such as -R 10k");
    let udp = quick(&QuickOptions { rate: Some("10k/s".parse().unwrap()), ..udp }).unwrap();
    let WorkloadKind::Udp(frames) = &udp.workload.kind else { panic!("{:?}", udp.workload.kind) };
    assert_eq!((frames.streams.get(), udp.load.unit), (64, Unit::FramesPerSecond));
    let short = QuickOptions { duration: Duration::from_millis(5), ..options };
    assert_eq!(error(&short), "-d: load.phases.sustain: 5ms is too short to measure anything; expected at least 1s");
}

#[test]
fn the_resolved_plan_is_a_scenario_that_resolves_to_itself() {
    for name in ["cps.toml", "cc.toml", "tps.toml", "fixed-rate.toml", "self/tps.toml"] {
        let first = shipped(name);
        let text = plan_text(&first);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/dut/plan.toml");
        let again = parse(folder.to_str().unwrap(), &text, &read_file, &Overrides::default())
            .unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
        assert_eq!(plan_text(&again), text);
        assert_eq!((again.load.phases, again.search, again.expect), (first.load.phases, first.search, first.expect));
    }
}

#[test]
fn the_summary_names_question_load_and_label() {
    let text = summary(&shipped("cps.toml"));
    for expected in [
        "cps: How many new HTTP connections per second",
        "loopback; reference-http (reference LB, 1 worker(s)); 2 reflector(s)",
        "mlr from 10% of the ceiling found without the DUT by 2 to a width of 5%; confirmed over 10s; budget 50s",
        "cps >= 1000, failed < 0.001%",
        "derived",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
}

#[test]
fn the_schema_knows_every_section_and_describes_units_as_text() {
    let schema = schema();
    let text = schema.to_string();
    for key in ["hold_interval", "requests_per_connection", "response_time_p999", "source_networks", "cpu_quota"] {
        assert!(text.contains(&format!("\"{key}\"")), "{key}");
    }
    let definitions = schema["$defs"].as_object().unwrap();
    assert!(definitions.contains_key("Dut") && definitions.contains_key("ReadyFile"), "{:?}", definitions.keys());
    assert_eq!(definitions["LoadFile"]["additionalProperties"], false);
    assert!(definitions["LoadFile"]["required"].is_null(), "every key may be left out");
    let pattern = definitions["LoadFile"]["properties"]["max_lag"]["pattern"].as_str().unwrap();
    assert!(pattern.contains("ms"), "{pattern}");
}

#[test]
fn broken_text_never_panics() {
    let texts = ["", "[", "x", "[load]\nunit = 5", "[[load]]", "a.b.c = 1", "[expect]\ncps = \">=\"", "\u{0}"];
    for text in texts {
        assert!(with(text, &Overrides::default()).is_err(), "{text:?}");
    }
    for cut in 0..BASE.len() {
        let _ = with(&BASE[..cut], &Overrides::default());
    }
}

#[test]
fn another_build_of_the_reference_lb_has_the_configuration_of_the_scenarios_own() {
    let dut = with(BASE, &to_dut("reference:/opt/old/lb")).unwrap().testbed.dut;
    let own = plan(BASE).testbed.dut;
    assert_eq!((dut.name.as_str(), dut.service.as_str()), ("x-lb", own.service.as_str()));
    let DutKind::Command { start, config: Some(config), ready, .. } = &dut.kind else { panic!("{dut:?}") };
    assert_eq!(start[..], ["/opt/old/lb", "--config", "{config}"]);
    assert_eq!(ready.check, ReadyCheck::Tcp("{vip}:{port}".to_owned()));
    assert_eq!(config.text, format!("workers = 1\n{LB_CONFIG}"));
    // What the run folder keeps is a DUT file that starts the same.
    let kept = dut.file_text.clone();
    let again = |path: &Path| if path.ends_with("kept.toml") { Ok(kept.clone()) } else { files(path) };
    let read = parse("s/x.toml", BASE, &again, &to_dut("kept.toml")).unwrap().testbed.dut;
    assert!(matches!(&read.kind, DutKind::Command { start: again, .. } if again == start), "{read:?}");

    let refused = |text: &str, dut: &str| with(text, &to_dut(dut)).unwrap_err().to_string();
    assert!(refused(BASE, "reference:").contains("names no program; expected such as reference:target/release/lb"));
    for other in ["none", "dut/web.toml"] {
        let text = changed("dut/x.toml", other);
        assert!(refused(&text, "reference:lb").contains("needs a scenario whose own testbed.dut is"), "{other}");
    }
}
