//! `loadgen trend` as a user meets it: what it prints, what it refuses, how it exits.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use loadgen::gate::history::{Build, Record, SCHEMA, line};
use loadgen::gate::{Decision, Limit, Metric, Order, Pair, Settings};

/// A history on disk, removed with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nadare-trend-{}-{name}.jsonl", std::process::id()));
        fs::write(&path, text).expect("the folder for temporary files can be written");
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A line of one night.
fn night(at: usize, value: f64, host: &str) -> String {
    let metric = Metric::PRIMARY;
    let build = |name: &str, commit: Option<String>| Build { name: name.to_owned(), version: None, commit };
    let record = Record {
        schema: SCHEMA,
        time: format!("2026-01-01T{:02}:{:02}:00Z", at / 60, at % 60),
        tool: build("loadgen", None),
        baseline: build("haproxy", None),
        candidate: build("haproxy", Some(format!("commit{at}"))),
        scenario: "cps".to_owned(),
        scenario_hash: "5ce0".to_owned(),
        seed: 1,
        host: BTreeMap::from([("cpu".to_owned(), host.to_owned())]),
        settings: Settings::new(vec![Limit::of(metric)]).expect("the default limit is sound"),
        pairs: vec![Pair {
            number: 1,
            order: Order::BaselineFirst,
            baseline: vec![(metric, 1_000.0)],
            candidate: vec![(metric, value)],
            discarded: None,
        }],
        decision: Decision::Pass,
        label: at.is_multiple_of(2).then(|| "nightly".to_owned()),
    };
    line(&record).expect("a record has a JSON form")
}

/// Nights on one host, worse by 10 % from the 13th.
fn nights(count: usize) -> String {
    let value = |at: usize| (if at < 12 { 1_000.0 } else { 900.0 }) + (at * 7 % 5) as f64;
    (0..count).map(|at| night(at, value(at), "one")).collect()
}

fn trend(file: &File, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.arg("trend").arg(&file.0).args(arguments).output().expect("loadgen can be started")
}

/// Exit code, stdout and stderr.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_regression_is_shown_and_decides_only_when_asked_to() {
    let file = File::new("regression", &nights(24));
    let (code, out, error) = said(&trend(&file, &[]));
    assert_eq!((code, error.as_str()), (Some(0), ""));
    for part in ["transactions per DUT CPU-second of haproxy in cps", "24 gates", "commit12", "-10.0 %", "worse"] {
        assert!(out.contains(part), "{part} is not in {out}");
    }
    assert_eq!(said(&trend(&file, &["--strict"])).0, Some(1));
    let (_, out, _) = said(&trend(&file, &["--json"]));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["changes"][0]["at"], json["points"].as_array().unwrap().len()), (&12.into(), 24));
    let (_, out, _) = said(&trend(&file, &["--label", "nightly"]));
    assert!(out.contains("12 gates") && out.contains("commit12"), "{out}");
    // The level before the step only: nothing to tell, and nothing to be strict about.
    let file = File::new("calm", &nights(12));
    let (code, out, _) = said(&trend(&file, &["--strict"]));
    assert!(code == Some(0) && out.contains("no change of its level"), "{out}");
}

#[test]
fn too_few_gates_say_how_many_are_needed() {
    let file = File::new("few", &nights(5));
    let (code, out, _) = said(&trend(&file, &[]));
    assert!(code == Some(0) && out.contains("8 are needed, 5 are there"), "{out}");
    assert_eq!(said(&trend(&file, &["--strict"])).0, Some(4));
    let empty = File::new("empty", "");
    assert!(said(&trend(&empty, &[])).1.contains("0 are there"));
}

#[test]
fn hosts_are_not_mixed_unless_one_is_chosen() {
    let other: String = (0..10).map(|at| night(at, 500.0, "two")).collect();
    let file = File::new("mixed", &(nights(12) + &other));
    let (code, out, error) = said(&trend(&file, &[]));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(error.contains("2 kinds of gates") && error.contains("12 gates") && error.contains("10 gates"), "{error}");
    // What it offers is what it takes.
    let offered = error.lines().find(|line| line.contains("10 gates")).unwrap();
    let host = offered.split("--host ").nth(1).unwrap().split(' ').next().unwrap();
    let (code, out, _) = said(&trend(&file, &["--host", host, "--scenario", "cps", "--dut", "haproxy"]));
    assert!(code == Some(0) && out.contains("10 gates"), "{out}");
    let (_, out, _) = said(&trend(&file, &["--host", "nowhere"]));
    assert!(out.contains("no gate has a value of it"), "{out}");
}

#[test]
fn a_damaged_history_is_named_where_it_is_damaged() {
    let whole = nights(10);
    let cut = File::new("cut", &(whole.clone() + &whole[..50]));
    let (code, out, error) = said(&trend(&cut, &[]));
    assert!(code == Some(0) && out.contains("10 gates"), "{out}");
    assert!(error.contains("line 11, the last one, is cut off after 50 bytes"), "{error}");
    let damaged = File::new("damaged", &whole.replacen("\"seed\":1", "\"seed\":one", 1));
    let (code, _, error) = said(&trend(&damaged, &[]));
    assert!(code == Some(2) && error.contains("line 1 is not a gate"), "{error}");
}

#[test]
fn what_cannot_be_is_refused_with_what_can() {
    let file = File::new("refused", &nights(10));
    for (arguments, part) in [
        (&["--metric", "rps"][..], "expected one of transactions-per-cpu-second, cps"),
        (&["--window", "3"], "expected 8 to 1000 values"),
        (&["--p", "2"], "expected a number between 0 and 1"),
        (&["--magnitude", "5"], "percent sign"),
    ] {
        let (code, _, error) = said(&trend(&file, arguments));
        assert!(code == Some(2) && error.contains(part), "{arguments:?}: {error}");
    }
    let missing = File(std::env::temp_dir().join("nadare-no-such-history.jsonl"));
    let (code, _, error) = said(&trend(&missing, &[]));
    assert!(code == Some(2) && error.contains("cannot read") && error.contains("no-such-history"), "{error}");
    // A metric that the gates did not measure has no trend, which is said.
    let (_, out, _) = said(&trend(&file, &["--metric", "cps"]));
    assert!(out.contains("no gate has a value of it") && out.contains("10 further gates"), "{out}");
}
