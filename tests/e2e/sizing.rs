//! `loadgen size` as a user meets it: exit codes, and what is said about wrong files.

use std::process::{Command, Stdio};

use crate::harness::{Folder, LOADGEN};

const DEMAND: &str = "[[service]]\nname = \"shop\"\ncps = \"2k/s\"\nconnection_lifetime = \"5s\"\n";

/// Exit code, stdout and stderr of the program.
fn said(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(LOADGEN).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn wrong_runs_and_demands_exit_with_2_and_name_the_file() {
    let folder = Folder::new();
    let refused = |demand: &str, words: &[&str]| {
        let demand = folder.write("demand.toml", demand);
        let run = folder.path().join("no-run");
        let arguments = ["size", "--from", run.to_str().unwrap(), "--demand", demand.to_str().unwrap()];
        let (code, stdout, stderr) = said(&arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        for word in words {
            assert!(stderr.contains(word), "{word} is missing in {stderr}");
        }
    };
    refused(DEMAND, &["no-run/begun.json", "expected a run folder such as reports/cps/", "No such file"]);
    refused(
        "[[service]]\nname = \"shop\"\n",
        &["demand.toml:1: service.0: has no peak; expected cps, tps, bandwidth or cc"],
    );
    refused(
        &format!("{DEMAND}[growth]\nper_year = \"-5%\"\n"),
        &["demand.toml:6: growth.per_year: \"-5%\" is negative"],
    );
    refused(&DEMAND.replace("cps =", "cpss ="), &["demand.toml:3: service.0.cpss", "did you mean `cps`?"]);
    let (code, _, stderr) = said(&["size", "--demand", "demand.toml"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--from"), "{stderr}");
}

#[test]
fn check_and_schema_know_demand_files() {
    let folder = Folder::new();
    let demand = folder.write("demand.toml", DEMAND);
    let (code, stdout, stderr) = said(&["check", demand.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.contains("demand of the site, 1 service") && stdout.contains("1 of 1 files are sound"), "{stdout}");
    let wrong = folder.write("wrong.toml", &DEMAND.replace("\"2k/s\"", "0"));
    let (code, _, stderr) = said(&["check", wrong.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("wrong.toml:3: service.0.cps"), "{stderr}");
    let (code, stdout, _) = said(&["schema", "demand"]);
    let schema: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, schema["title"].as_str()), (Some(0), Some("Nadare demand")));
    assert!(schema["properties"]["service"].is_object(), "{stdout}");
}
