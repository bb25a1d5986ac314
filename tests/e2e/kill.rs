//! A role that is killed in the middle of a run: nothing is cut off silently, every operation is
//! accounted for, the books of those who survive agree with the client's, and the death is named.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use host::process::Signal;

use crate::harness::{Folder, REFLECTOR, Run, Started, available, exclusive, has_program, until};

fn scenario(dut: &str, load: &str, rest: &str) -> String {
    format!(
        r#"
[scenario]
name = "kill"
question = "What is said when a role is killed?"
[testbed]
dut = "{dut}"
reflectors = 2
[workload]
kind = "http"
request = "/?s=1k"
requests_per_connection = 1
[load]
unit = "connections/s"
{load}
{rest}
"#
    )
}

fn fixed(dut: &str, expect: &str) -> String {
    let phases = r#"phases = { init = "0s", ramp_up = "200ms", sustain = "3s", ramp_down = "200ms" }"#;
    scenario(dut, &format!("rate = \"200/s\"\n{phases}"), &format!("[search]\nmethod = \"fixed\"\n{expect}"))
}

fn shipped(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/dut").join(name).display().to_string()
}

/// Runs a scenario and kills the process with this command line, once `purpose` has been written to
/// the timeline.
fn run_and_kill(folder: &Folder, scenario: &str, victim: impl Fn(&str) -> bool, purpose: &str) -> Run {
    let path = folder.write("kill.toml", scenario);
    let mut started = Started::of(folder, &[path]);
    started.wait_for_load();
    let timeline = started.folder().unwrap().join("timeline.csv");
    let begun = until(Duration::from_secs(30), || fs::read_to_string(&timeline).ok()?.contains(purpose).then_some(()));
    assert!(begun.is_some(), "no trial {purpose}");
    let running = started.look();
    let found = running.iter().find(|(_, line)| victim(line));
    let (pid, _) = found.unwrap_or_else(|| panic!("it is not running: {running:?}"));
    host::process::signal(*pid, Signal::KILL).unwrap();
    let run = started.finish();
    started.assert_nothing_left("a role was killed");
    run
}

/// A reflector of the run.
fn reflector(name: &str) -> impl Fn(&str) -> bool {
    move |line: &str| line.contains(&format!(" reflector -- --instance {name} "))
}

fn count(row: &std::collections::HashMap<String, String>, column: &str) -> u64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} in {row:?}"))
}

/// The trial went on to its end without r0, and what is left of the books agrees.
fn assert_went_on(run: &Run) {
    assert_eq!(run.code, Some(4), "{run:?}");
    let trials = run.csv("trials.csv");
    assert_eq!((trials.len(), trials[0]["ended_early"].as_str()), (1, ""), "{trials:?}");
    // 200 a second over 3 s; with the halves of the ramps 40 more.
    assert_eq!(count(&trials[0], "due"), 600);
    let outcomes = run.csv("outcomes.csv");
    let total = |column: &str| outcomes.iter().map(|row| count(row, column)).sum::<u64>();
    assert_eq!((total("operations_in_sustain"), total("operations_all")), (600, 640), "{outcomes:?}");
    let ok = outcomes.iter().find(|row| row["outcome"] == "ok").unwrap();
    assert!(count(ok, "operations_in_sustain") > 300, "r1 was there all the time: {outcomes:?}");

    let servers = run.csv("servers.csv");
    let of = |name: &str| servers.iter().find(|row| row["real_server"] == name).unwrap();
    let (lost, left) = (of("r0"), of("r1"));
    assert!(count(lost, "client_responses") > 0 && lost["reflector_requests"].is_empty(), "{servers:?}");
    // An operation that failed may have been under way on r1; none did before the death.
    let failed = total("operations_all") - count(ok, "operations_all");
    let (client, ledger) = (count(left, "client_responses"), count(left, "reflector_responses"));
    assert!(client <= ledger && ledger <= client + failed, "{servers:?} {outcomes:?}");
    assert_eq!(count(lost, "client_responses") + client, count(ok, "operations_all"), "{servers:?}");
    let books = run.result()["answer"]["books"].clone();
    assert!(books.as_array().unwrap().iter().all(|entry| entry["serious"] == false), "{books}");
    assert_named(run, "reflector-0", "signal 9");
}

/// The reason of the exit code says who died and how, for a person and for a program.
fn assert_named(run: &Run, who: &str, how: &str) {
    let reason = run.result()["answer"]["reason"].as_str().unwrap().to_owned();
    for text in [reason.as_str(), &run.stdout, &run.file("report.html")] {
        assert!(text.contains(who) && text.contains("died in trial") && text.contains(how), "{text}");
    }
}

#[test]
fn a_run_goes_on_without_a_killed_reflector_behind_the_reference_lb() {
    let _alone = exclusive();
    let folder = Folder::new();
    let scenario = fixed(&shipped("reference-http.toml"), "[expect]\nfailed = \"< 60%\"\ncps = \">= 1\"");
    let run = run_and_kill(&folder, &scenario, reflector("r0"), "sustain");
    assert_went_on(&run);
    let judged = run.result()["answer"]["judged"].clone();
    assert!(judged.as_array().unwrap().iter().all(|judged| judged["verdict"] == "undecided"), "{judged}");
}

#[test]
fn a_run_goes_on_without_a_killed_reflector_behind_haproxy() {
    if !available("haproxy", has_program("haproxy")) {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    let run = run_and_kill(&folder, &fixed(&shipped("haproxy-http.toml"), ""), reflector("r0"), "sustain");
    assert_went_on(&run);
}

#[test]
fn a_search_ends_with_the_trial_in_which_a_reflector_died() {
    let _alone = exclusive();
    let folder = Folder::new();
    let phases = r#"phases = { init = "0s", ramp_up = "200ms", sustain = "2s", ramp_down = "200ms" }"#;
    let search = "[search]\nmethod = \"climb\"\nstart = 50\nfactor = 2\nwidth = \"5%\"\nfinal_sustain = \"3s\"";
    let scenario = scenario(&shipped("reference-http.toml"), phases, search);
    let run = run_and_kill(&folder, &scenario, reflector("r1"), "qualify");
    assert_eq!(run.code, Some(4), "{run:?}");
    let trials = run.csv("trials.csv");
    let purposes: Vec<&str> = trials.iter().map(|trial| trial["purpose"].as_str()).collect();
    assert_eq!(purposes[..2], ["ceiling", "qualify"], "{trials:?}");
    // The kill may hit the trial after the one that was seen.
    assert!(trials.len() <= 3, "{trials:?}");
    assert_named(&run, "reflector-1", "signal 9");
}

#[test]
fn a_run_ends_with_its_dut_and_repeats_its_last_words() {
    let _alone = exclusive();
    let folder = Folder::new();
    let script = format!("{REFLECTOR} --listen 127.0.0.1:$1 >/dev/null & echo the licence has expired; wait; exit 7");
    let start = format!("\"sh\", \"-c\", {script:?}, \"x\", \"{{port}}\"");
    let ready = "ready = { tcp = \"127.0.0.1:{port}\", within = \"10s\" }";
    let text = format!("kind = \"command\"\nservice = \"http://127.0.0.1:{{port}}\"\nstart = [{start}]\n{ready}\n");
    let dut = folder.write("dying.toml", &text);
    let began = std::time::Instant::now();
    let scenario = fixed(&dut.display().to_string(), "").replace("sustain = \"3s\"", "sustain = \"60s\"");
    // The program that serves is killed, and the one that the run has started ends with a status.
    let run = run_and_kill(&folder, &scenario, |line| line.starts_with(REFLECTOR), "sustain");
    assert!(began.elapsed() < Duration::from_secs(30), "the trial went on without its DUT");
    assert_eq!(run.code, Some(4), "{run:?}");
    assert_named(&run, "the DUT", "exit status 7");
    assert!(run.stdout.contains("the licence has expired"), "{run:?}");
    let trials = run.csv("trials.csv");
    assert!(trials[0]["ended_early"].contains("the DUT died") && count(&trials[0], "ok") > 0, "{trials:?}");
}
