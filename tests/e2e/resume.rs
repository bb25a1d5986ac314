//! A long search that is interrupted or killed and goes on: its finished trials are not measured
//! again, the answer has all of them, and the report says where they came from.

use std::fs;
use std::path::Path;
use std::time::Duration;

use host::process::Signal;
use serde_json::Value;

use crate::harness::{Folder, REFLECTOR, Run, Started, exclusive, until};

/// A search of some 10 trials over a DUT that refuses more than 1,200 connections per second.
fn scenario(folder: &Folder) -> std::path::PathBuf {
    folder.write(
        "dut.toml",
        &format!(
            r#"
kind = "command"
service = "http://127.0.0.1:{{port}}"
start = [{REFLECTOR:?}, "--listen", "127.0.0.1:{{port}}", "--rate-cap", "1200/s", "--over", "refuse", "--unit", "connections"]
ready = {{ tcp = "127.0.0.1:{{port}}", within = "10s" }}
"#
        ),
    );
    folder.write(
        "resume.toml",
        r#"
[scenario]
name = "resume"
seed = 3
[testbed]
dut = "dut.toml"
reflectors = 0
[workload]
kind = "http"
request = "/?s=200"
requests_per_connection = 1
[load]
unit = "connections/s"
phases = { init = "100ms", ramp_up = "200ms", sustain = "1s", ramp_down = "100ms" }
[search]
method = "mlr"
start = 100
factor = 2
width = "5%"
final_sustain = "2s"
budget = "3m"
[expect]
cps = ">= 1"
"#,
    )
}

/// The finished trials of a run folder, as far as they were written out.
fn records(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("trials.jsonl")).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str::<Value>(line).unwrap()["record"].clone()).collect()
}

/// What tells a trial apart: no two begin in the same nanosecond.
fn began(records: &[Value]) -> Vec<u64> {
    records.iter().map(|record| record["began_ns"].as_u64().unwrap()).collect()
}

fn is_resumed_after(signal: Signal) {
    let _alone = exclusive();
    let folder = Folder::new();
    let path = scenario(&folder);
    let mut started = Started::of(&folder, &[path]);
    started.wait_for_load();
    let old = started.folder().unwrap();
    // One that was given up early is among them: its record is shorter than what was asked for.
    let given_up = |record: &Value| record["ended_early"] == "cannot-pass";
    let enough = until(Duration::from_secs(60), || {
        let records = records(&old);
        (records.len() >= 4 && records.iter().any(given_up)).then_some(())
    });
    assert!(enough.is_some(), "no four trials, one given up, within a minute: {:?}", records(&old).len());
    started.signal(signal);
    started.finish();
    started.assert_nothing_left("the run was stopped");

    let was: Vec<Value> = records(&old).into_iter().filter(|record| record["ended_early"] != "interrupted").collect();
    assert!(was.len() >= 4);
    let run = Run::of(&folder, &["resume", &old.display().to_string()]);
    assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
    assert_ne!(run.folder.as_deref(), Some(old.as_path()), "the old folder stays as it is");
    let is = records(run.folder.as_ref().unwrap());
    assert!(is.len() > was.len(), "{} trials of {}", is.len(), was.len());
    assert_eq!(began(&is[..was.len()]), began(&was), "a finished trial was measured again");
    let new = &began(&is)[was.len()..];
    assert!(new.iter().all(|began_ns| !began(&was).contains(began_ns)));

    let answer = run.result()["answer"].clone();
    let said = answer["warnings"].to_string();
    let numbers: Vec<String> = (1..=was.len()).map(|number| number.to_string()).collect();
    let words = format!("trials {} were measured there", numbers.join(", "));
    assert!(said.contains("resumed from") && said.contains(&words), "{said}");
    assert!(run.file("environment.json").contains("resumed_from"));
    assert_eq!(run.csv("trials.csv").len(), is.len());
    let found = run.number("cps_mean");
    assert!((1_200.0 * 0.85..=1_200.0 * 1.03).contains(&found), "{found}: {}", run.stdout);

    let again = run.folder.unwrap().display().to_string();
    Run::refused(&folder, &["resume", &again], 2, &["has come to its end", "run it again instead"]);
}

#[test]
fn a_search_that_was_interrupted_goes_on_without_repeating_trials() {
    is_resumed_after(Signal::INT);
}

#[test]
fn a_search_that_was_killed_goes_on_without_repeating_trials() {
    is_resumed_after(Signal::KILL);
}

#[test]
fn a_folder_that_is_no_run_is_refused() {
    let folder = Folder::new();
    let empty = folder.path().display().to_string();
    Run::refused(&folder, &["resume", &empty], 2, &["begun.json", "expected a run folder"]);
}
