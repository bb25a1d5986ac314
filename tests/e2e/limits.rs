//! Whose limit is it? The DUT and the reflectors behind it in turn are made the narrow place, and the
//! answer has to name the right one.
//!
//! Answers that were undecided because this machine was disturbed may be asked for again; a decided
//! wrong one fails at once.

use crate::harness::{Folder, Run, available, exclusive};

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
