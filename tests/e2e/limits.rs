//! Whose limit is it? The DUT and the reflectors behind it in turn are made the narrow place, and the
//! answer has to name the right one. And what of this host would be the limit, `loadgen doctor` has to foresee.
//!
//! Answers that were undecided because this machine was disturbed may be asked for again; a decided
//! wrong one fails at once.

use std::process::Command;

use crate::harness::{Folder, LOADGEN, REFLECTOR, Run, available, exclusive, output};

/// How often a run is made that was disturbed.
const TRIES: u32 = 3;

/// A search of the maximum through the reference LB, with such reflectors.
fn search(request: &str, reflector_arguments: &str, load: &str) -> String {
    let dut = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/dut/reference-http.toml");
    format!(
        r#"
[scenario]
name = "limits"
seed = 3
[testbed]
dut = {dut:?}
reflectors = 1
reflector_arguments = [{reflector_arguments}]
[workload]
kind = "http"
request = "{request}"
requests_per_connection = 1
[load]
unit = "connections/s"
phases = {{ init = "100ms", ramp_up = "300ms", sustain = "2s", ramp_down = "200ms" }}
{load}
[search]
method = "climb"
start = 100
factor = 2
width = "5%"
final_sustain = "2s"
"#
    )
}

/// The answer has to rest on `rule`; asked for again while another rule of the tester was broken.
/// `None` on a machine whose other programs leave no undisturbed run.
fn limited_by_reflector(scenario: &str, most: f64, rule: &str) -> Option<String> {
    let folder = Folder::new();
    let path = folder.write("limits.toml", scenario);
    let mut tries = 1;
    loop {
        let run = Run::of(&folder, &[&path]);
        let answer = &run.result()["answer"];
        assert_ne!(answer["limited_by"], "dut", "{}", run.stdout);
        if let Some(figure) = answer["figures"].as_array().and_then(|figures| figures.first()) {
            assert_eq!(figure["bound"], "lower", "what the DUT did not limit is at least so much: {}", run.stdout);
            assert!(figure["value"].as_f64().unwrap() <= most, "more than was let through: {}", run.stdout);
        }
        let evidence = answer["evidence"].as_array().unwrap();
        let broken = evidence.iter().find(|evidence| evidence["rule"] == rule && evidence["holds"] == false);
        if let Some(broken) = broken.filter(|_| answer["limited_by"] == "reflector") {
            // Nothing is expected, and the maximum is not the DUT's.
            assert_eq!(run.code, Some(4), "{run:?}");
            return Some(broken["text"].as_str().unwrap().to_owned());
        }
        let disturbed = run.stdout.contains("other programs use most of it");
        if tries == TRIES && disturbed && !available("a machine without other load", false) {
            return None;
        }
        assert!(tries < TRIES, "{rule} does not name the reflector: {}", run.stdout);
        tries += 1;
        println!("once more: {}", run.stdout);
    }
}

#[test]
fn reflectors_that_serve_only_so_many_requests_are_the_limit() {
    let _alone = exclusive();
    let arguments = r#""--rate-cap", "400/s", "--over", "queue", "--unit", "requests""#;
    let text = limited_by_reflector(&search("/?s=200", arguments, ""), 400.0 * 1.05, "G1");
    let Some(text) = text else { return };
    assert!(text.ends_with("so the closed loop waited for the reflectors' answers"), "{text}");
}

#[test]
fn reflectors_that_take_their_time_fill_the_slots_and_are_the_limit() {
    let _alone = exclusive();
    // 16 slots, each taken for 50 ms: 320 connections per second, whoever stands between.
    let load = "slots = 16\nmax_lag = \"200ms\"";
    let text = limited_by_reflector(&search("/?s=200&t=50", "", load), 320.0 * 1.05, "reflector-time");
    let Some(text) = text else { return };
    assert!(text.contains("operations found every slot waiting"), "{text}");
}

/// G7 needs a core that nobody uses: generator and DUT share the first one here.
#[test]
fn one_worker_more_on_a_free_core_changes_nothing_where_the_dut_is_the_limit() {
    let cores = host::cpu::allowed_cores();
    if !available("a second core", cores.len() > 1) {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    let first = cores[0];
    folder.write(
        "dut.toml",
        &format!(
            "kind = \"command\"\nservice = \"http://127.0.0.1:{{port}}\"\ncores = [{first}]\nstart = [{REFLECTOR:?}, \
             \"--listen\", \"127.0.0.1:{{port}}\", \"--rate-cap\", \"600/s\", \"--over\", \"refuse\"]\n\
             ready = {{ tcp = \"127.0.0.1:{{port}}\", within = \"10s\" }}\n"
        ),
    );
    let scenario = search("/?s=200", "", "");
    let lines = scenario.lines().map(|line| match line {
        line if line.starts_with("dut = ") => "dut = \"dut.toml\"".to_owned(),
        "reflectors = 1" => format!("reflectors = 0\ngenerator_cores = [{first}]"),
        line if line.starts_with("reflector_arguments") => String::new(),
        line => line.to_owned(),
    });
    let path = folder.write("limits.toml", &lines.collect::<Vec<_>>().join("\n"));
    let run = Run::of(&folder, &[&path]);
    let trials = run.csv("trials.csv");
    let last = trials.last().unwrap();
    assert_eq!(last["purpose"], "more-workers", "{}", run.stdout);
    // The load is the lowest that failed, offered to its end.
    let failed = trials.iter().filter(|trial| trial["passed"] == "false");
    let lowest = failed.map(|trial| trial["load"].parse::<f64>().unwrap()).fold(f64::INFINITY, f64::min);
    assert_eq!((last["load"].parse::<f64>().unwrap(), last["ended_early"].as_str()), (lowest, ""));
    let result = run.result();
    let evidence = result["answer"]["evidence"].as_array().unwrap();
    let g7 = evidence.iter().find(|evidence| evidence["rule"] == "G7").unwrap();
    assert!(g7["text"].as_str().unwrap().contains("with one worker more completed"), "{g7}");
    assert_eq!(g7["holds"], true, "a cap of 600/s does not grow: {g7}");
    let figure = result["answer"]["figures"][0]["value"].as_f64().unwrap();
    assert!(figure <= 600.0 * 1.03, "{figure}");
}

/// What `loadgen doctor` says of a shipped scenario, with a limit of descriptors.
fn doctor(descriptors: Option<u32>, arguments: &[&str]) -> (Option<i32>, String) {
    let scenarios = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let limit = descriptors.map(|limit| format!("ulimit -n {limit}; ")).unwrap_or_default();
    let line = format!("{limit}exec {LOADGEN:?} doctor {}", arguments.join(" "));
    let (code, stdout, stderr) = output(Command::new("sh").args(["-c", &line]).current_dir(scenarios));
    assert_eq!(stderr, "", "{stdout}");
    (code, stdout)
}

#[test]
fn the_doctor_predicts_a_ceiling_and_names_what_binds_it() {
    let _alone = exclusive();
    let (code, text) = doctor(None, &["cps.toml"]);
    let ceiling = text.lines().find(|line| line.contains("  ceiling: about ")).unwrap_or_else(|| panic!("{text}"));
    let number = ceiling.split_whitespace().find_map(|word| word.parse::<f64>().ok()).unwrap();
    assert!(number >= 100.0 && ceiling.contains("connections/s without the DUT, bound by "), "{ceiling}");
    assert!(text.contains("the one change that raises it most: "), "{text}");
    assert!(text.contains("limit: CPU of ") && text.contains(" µs "), "{text}");
    assert_eq!(code == Some(3), text.contains("problem"), "{text}");

    let (_, text) = doctor(None, &["cps.toml", "--no-probe"]);
    assert!(!text.contains("limit: CPU of ") && text.contains("limit: CPU: not measured"), "{text}");
}

#[test]
fn few_descriptors_bind_held_connections_and_the_doctor_says_what_raises_them() {
    let (code, text) = doctor(Some(256), &["cc.toml"]);
    assert_eq!(code, Some(3), "{text}");
    let found = "problem  ceiling: about 96 connections, bound by descriptors, but the scenario asks for 1000\n         \
        the one change that raises it most: 65536 descriptors instead of 256 (ulimit -Hn, LimitNOFILE=): about ";
    assert!(text.contains(found), "{text}");
    // Twice as many descriptors: 512 less 64 in reserve, two for each connection.
    assert!(doctor(Some(512), &["cc.toml"]).1.contains("about 224 connections, bound by descriptors"));
}
