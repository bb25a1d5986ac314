//! Runs beside each other, DUTs in turn, and what other tools are told of a run while it goes.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Folder, LOADGEN, Run, Started, available, exclusive, has_program, output, until};

fn scenario(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios").join(name).display().to_string()
}

fn short(scenario: &str, more: &[&str]) -> Vec<String> {
    let mut arguments = vec![scenario.to_owned()];
    for key in ["init=0s", "ramp_up=200ms", "sustain=2s", "ramp_down=100ms"] {
        arguments.extend(["--set".to_owned(), format!("load.phases.{key}")]);
    }
    arguments.extend(more.iter().map(|&word| word.to_owned()));
    arguments
}

fn compare(runs: &[&Path], more: &[&str]) -> (Option<i32>, String, String) {
    output(Command::new(LOADGEN).arg("compare").args(runs).args(more))
}

#[test]
fn runs_are_compared_and_unequal_ones_are_refused_by_name() {
    let _alone = exclusive();
    let folder = Folder::new();
    let smoke = scenario("smoke.toml");
    let measured = |more: &[&str]| -> PathBuf {
        let run = Run::of(&folder, &short(&smoke, more));
        assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
        run.folder.unwrap()
    };
    let reference = measured(&[]);
    let none = measured(&["--dut", "none"]);
    let closing = measured(&["--set", "workload.close=server-fin"]);
    let out = folder.path().join("compare");
    let (code, stdout, stderr) = compare(&[&reference, &none], &["--out", out.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("reference-http") && stdout.contains("one run: no interval"), "{stdout}");
    let page = fs::read_to_string(out.join("compare.html")).unwrap();
    assert!(page.contains("equal conditions") && page.contains("CPU time of the DUT per operation"));
    let document: Value = serde_json::from_slice(&fs::read(out.join("compare.json")).unwrap()).unwrap();
    let contenders = document["comparison"]["contenders"].as_array().unwrap();
    assert_eq!((&contenders[0]["name"], &contenders[1]["name"]), (&"reference-http".into(), &"none".into()));
    let rows = csv::Reader::from_path(out.join("compare.csv")).unwrap().into_records().count();
    assert_eq!(rows, document["comparison"]["rows"].as_array().unwrap().len() * 2);

    let (code, _, stderr) = compare(&[&reference, &closing], &[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("\n  workload.close: client-fin (reference-http"), "{stderr}");
    assert!(stderr.trim_end().ends_with("--allow workload.close"), "{stderr}");
    let allow = ["--allow", "workload.close", "--out", out.to_str().unwrap()];
    let (code, stdout, _) = compare(&[&reference, &closing], &allow);
    assert_eq!(code, Some(0));
    assert!(stdout.contains("conditions differ, allowed by --allow: workload.close"), "{stdout}");
    let (code, _, stderr) = compare(&[&reference, folder.path()], &[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("begun.json; expected a run folder"), "{stderr}");
}

#[test]
fn duts_are_measured_in_turn_and_compared_round_by_round() {
    let _alone = exclusive();
    let folder = Folder::new();
    let mut duts = vec!["dut/reference-http.toml", "none"];
    if available("haproxy", has_program("haproxy")) {
        duts.insert(1, "dut/haproxy-http.toml");
    }
    let named = format!("versus.duts={}", serde_json::to_string(&duts).unwrap());
    let more = ["--set", &named, "--set", "versus.rounds=2", "--set", "load.rate=200"];
    let run = Started::of(&folder, &short(&scenario("versus.toml"), &more)).finish_clean();
    // A machine that is busy with others lets no round count; what was measured is there all the same.
    assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
    let document: Value = serde_json::from_str(&run.file("compare.json")).unwrap();
    let comparison = &document["comparison"];
    assert_eq!(comparison["pairing"], "rounds", "{run:?}");
    let contenders = comparison["contenders"].as_array().unwrap();
    assert_eq!(contenders.len(), duts.len());
    for contender in contenders {
        let name = contender["name"].as_str().unwrap();
        assert_eq!(run.file(&format!("{name}/trials.jsonl")).lines().count(), 2, "{name}");
        // On a busy machine a DUT may not carry the load in a round that counts.
        let measured = matches!(contender["standing"].as_str(), Some("sound" | "failing"));
        assert!(measured || run.code == Some(4), "{contender}");
    }
    assert!(run.stdout.contains("too few for a 95 % interval") || run.code == Some(4), "{}", run.stdout);
    assert!(run.file("compare.html").contains("<svg "));

    let twice = ["--set", "versus.duts=[\"none\", \"none\"]"];
    Run::refused(&folder, &short(&scenario("versus.toml"), &twice), 2, &["versus.duts", "\"none\" stands there twice"]);
    let searched = ["--set", "search.method=climb"];
    Run::refused(&folder, &short(&scenario("versus.toml"), &searched), 2, &["load.rate"]);
}

#[test]
fn a_missing_program_is_named_at_the_start_or_left_out() {
    let _alone = exclusive();
    let folder = Folder::new();
    let text = "kind = \"command\"\nservice = \"http://127.0.0.1:{port}\"\nstart = [\"nadare-no-such-program\", \"{port}\", \"{reflectors}\"]\npackage = \"nosuch\"\nready = { tcp = \"127.0.0.1:{port}\", within = \"1s\" }\n";
    let dut = folder.write("missing.toml", text);
    let named = format!("versus.duts=[\"none\", {:?}]", dut.display().to_string());
    let more = ["--set", &named, "--set", "versus.rounds=1"];
    let arguments = short(&scenario("versus.toml"), &more);
    let run = Run::refused(&folder, &arguments, 3, &["missing cannot take part", "--skip-missing", "nosuch"]);
    assert!(run.folder.is_none(), "{run:?}");
    let mut skipping = arguments;
    skipping.push("--skip-missing".to_owned());
    let run = Run::of(&folder, &skipping);
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.contains("missing is left out") && run.stderr.contains("a comparison needs 2"), "{run:?}");
}

#[test]
fn a_run_is_scraped_while_it_goes_and_its_exports_survive_an_interrupt() {
    let _alone = exclusive();
    let folder = Folder::new();
    let lines = folder.path().join("run.jsonl");
    let influx = folder.path().join("run.influx");
    let more = [
        "--dut",
        "none",
        "--prometheus",
        "127.0.0.1:0",
        "--json-lines",
        lines.to_str().unwrap(),
        "--influx",
        influx.to_str().unwrap(),
        "--set",
        "load.phases.sustain=60s",
    ];
    let mut run = Started::of(&folder, &short(&scenario("smoke.toml"), &more));
    run.wait_for_load();
    let stderr = fs::read_to_string(folder.path().join("stderr.txt")).unwrap();
    let address: SocketAddr =
        stderr.split("metrics: http://").nth(1).unwrap().split("/metrics").next().unwrap().parse().unwrap();
    let scraped = until(Duration::from_secs(20), || {
        let text = scrape(address);
        text.contains("\nnadare_offered_per_second ").then_some(text)
    });
    let text = scraped.expect("no rate was ever shown");
    assert!(text.contains("\nnadare_intended_load 200\n") && text.contains("dut=\"none\""), "{text}");
    let ok = text.lines().find_map(|line| line.strip_prefix("nadare_operations_total{outcome=\"ok\"} ")).unwrap();
    assert!(ok.parse::<f64>().unwrap() > 0.0);

    run.signal(host::process::Signal::INT);
    let run = run.finish_clean();
    assert_eq!(run.code, Some(130), "{run:?}");
    let text = fs::read_to_string(&lines).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["event"], "run");
    assert!(events.iter().any(|event| event["event"] == "second" && event["started"].as_u64() > Some(0)));
    let answer = events.last().unwrap();
    assert_eq!((&answer["event"], &answer["interrupted"]), (&"answer".into(), &true.into()));
    let points = fs::read_to_string(&influx).unwrap();
    assert!(points.lines().any(|line| line.starts_with("nadare_second,") && line.contains(",phase=sustain ")));
    // The run folder gives the same again.
    let mut export = Command::new(LOADGEN);
    export.arg("export").arg(run.folder.as_ref().unwrap()).args(["--format", "jsonl"]);
    let (code, again, _) = output(&mut export);
    assert_eq!((code, again.lines().count()), (Some(0), events.len()), "{again}");
}

fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
