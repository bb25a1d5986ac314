//! The comparison with peers runs and says what it measured; what it measures is judged by nobody here,
//! because a machine that runs tests is not quiet.

use std::process::Command;

use crate::harness::{Folder, available, exclusive, has_program, output};

fn peers(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peers"));
    host::process::dies_with_parent(&mut command);
    output(command.args(arguments))
}

#[test]
fn the_rows_can_be_listed_and_chosen() {
    let (code, stdout, stderr) = peers(&["--list", "generator-server", "memory"]);
    let names: Vec<_> = stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(code, Some(0), "{stderr}");
    let memory = ["memory-generator", "memory-lb-haproxy", "memory-lb-nginx", "udp-memory"];
    assert_eq!(names, [&["generator-server-fin"][..], &memory].concat());
}

#[test]
fn a_wrong_command_line_is_refused_before_anything_runs() {
    for (arguments, word) in [
        (&["no-such-row"][..], "--list"),
        (&["--round-seconds", "0.01"], "0.5 to 600"),
        (&["--rounds", "0"], "1..=1000"),
        (&["--against", "no-such-build"], "no-such-build"),
    ] {
        let (code, stdout, stderr) = peers(arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(stderr.contains(word), "{word} is missing in: {stderr}");
    }
}

#[test]
fn a_short_comparison_measures_our_programs() {
    let _exclusive = exclusive();
    if !available("nginx", has_program("nginx")) || !available("a second core", host::cpu::allowed_cores().len() > 1) {
        return;
    }
    let folder = Folder::new();
    let csv = folder.path().join("rows.csv");
    let file = csv.to_str().unwrap();
    let rows = ["generator-server-fin", "lb-keep-alive-max-nginx", "memory-lb-nginx"];
    let options = ["--rounds", "1", "--round-seconds", "0.5", "--seed", "7", "--csv", file];
    let (code, stdout, stderr) = peers(&[&rows[..], &options].concat());
    // wrk or haproxy may be missing, of which the table speaks.
    assert!(matches!(code, Some(0 | 3)), "{stdout}\n{stderr}");
    assert!(rows.iter().all(|row| stdout.contains(row)) && stdout.contains("seed 7"), "{stdout}");
    let mut reader = csv::Reader::from_path(csv.with_extension("rounds.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (who, rate) = (column("contender"), column("rate_per_s"));
    let found: Vec<_> = reader.records().map(Result::unwrap).collect();
    for contender in ["loadgen server-fin", "lb keep-alive", "nginx keep-alive"] {
        let measured = found.iter().find(|record| &record[who] == contender);
        let rate: f64 = measured.unwrap_or_else(|| panic!("{contender} is missing\n{stderr}"))[rate].parse().unwrap();
        assert!(rate > 10.0, "{contender}: {rate}");
    }
    assert!(found.iter().any(|record| &record[who] == "lb memory"), "{found:?}\n{stderr}");
}

#[test]
fn a_short_comparison_measures_senders_of_datagrams() {
    let _exclusive = exclusive();
    if !available("iperf3", has_program("iperf3")) || !available("a second core", host::cpu::allowed_cores().len() > 1)
    {
        return;
    }
    let folder = Folder::new();
    let csv = folder.path().join("rows.csv");
    let rows = ["udp-18-iperf3", "udp-1472-iperf3", "udp-memory"];
    let options = ["--rounds", "1", "--round-seconds", "0.5", "--seed", "7", "--csv", csv.to_str().unwrap()];
    let (code, stdout, stderr) = peers(&[&rows[..], &options].concat());
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    assert!(!stdout.contains("NOT MEASURED") && !stdout.contains("NaN"), "{stdout}");
    let text = std::fs::read_to_string(csv.with_extension("rounds.csv")).unwrap();
    for contender in ["loadgen udp 18 B", "iperf3 -u 18 B", "loadgen udp 1472 B", "loadgen udp memory"] {
        assert!(text.contains(contender), "{contender} is missing: {text}");
    }
}
