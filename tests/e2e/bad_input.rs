//! What a user gets wrong in files and on the command line: the exit code is 2, and the message names
//! the place, what was found, what is allowed and the next step. Nothing is started.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Folder, LOADGEN, Run};

/// A sound scenario that takes about a second.
const SOUND: &str = r#"
[scenario]
name = "bad-input"
[testbed]
dut = "none"
reflectors = 1
[workload]
kind = "http"
request = "/?s=200"
requests_per_connection = 1
[load]
unit = "connections/s"
rate = "20/s"
phases = { init = "0s", ramp_up = "100ms", sustain = "1s", ramp_down = "100ms" }
[search]
method = "fixed"
"#;

/// The sound scenario with one text replaced by another.
fn spoilt(from: &str, to: &str) -> String {
    assert!(SOUND.contains(from), "{from}");
    SOUND.replace(from, to)
}

/// Both `run` and `check` refuse a scenario with these words.
fn refused(text: &str, words: &[&str]) {
    let folder = Folder::new();
    let path = folder.write("wrong.toml", text);
    let run = Run::refused(&folder, &[&path], 2, words);
    assert_eq!((run.stdout.as_str(), run.folder.as_ref()), ("", None), "{run:?}");
    let (code, _, stderr) = plain(&["check", path.to_str().unwrap()]);
    assert_eq!((code, stderr), (Some(2), run.stderr), "check says the same");
}

/// The program without options of a run: exit code, stdout, stderr.
fn plain(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(LOADGEN).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_sound_scenario_is_one() {
    let folder = Folder::new();
    let path = folder.write("sound.toml", SOUND);
    let (code, stdout, stderr) = plain(&["check", path.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("1 of 1 files are sound"), "{stdout}");
}

#[test]
fn unknown_missing_and_contradictory_keys_are_named_with_their_place() {
    refused(&spoilt("rate =", "rat ="), &["wrong.toml:13", "load.rat", "unknown field", "did you mean `rate`?"]);
    refused(&spoilt("[workload]", "[worklaod]"), &["wrong.toml:7", "`worklaod`", "did you mean `workload`?"]);
    refused(&spoilt("rate = \"20/s\"\n", ""), &["wrong.toml:11", "load.rate", "missing", "method = \"fixed\""]);
    refused(&spoilt("kind = \"http\"\n", ""), &["workload.kind", "missing", "\"tcp\", \"http\" or \"udp\""]);
    refused(&spoilt("rate = \"20/s\"", "rate = \"20/s\"\ncount = 5"), &["wrong.toml:14", "load.count", "contradicts"]);
    refused(&spoilt("dut = \"none\"\n", ""), &["wrong.toml:4", "testbed.dut", "missing", "--dut"]);
    refused("", &["wrong.toml", "testbed.dut", "missing"]);
}

#[test]
fn wrong_values_are_named_with_what_is_allowed() {
    refused(&spoilt("\"20/s\"", "\"fast\""), &["wrong.toml:13", "load.rate", "\"fast\"", "\"10k/s\""]);
    refused(&spoilt("\"20/s\"", "0"), &["load.rate", "greater than 0"]);
    refused(&spoilt("\"1s\"", "\"5 parsecs\""), &["load.phases.sustain", "5 parsecs"]);
    refused(&spoilt("\"fixed\"", "\"climbs\""), &["search.method", "\"climbs\"", "did you mean \"climb\"?"]);
    refused(&spoilt("\"bad-input\"", "\"../../etc\""), &["scenario.name", "cannot name a folder"]);
    let arguments = "reflectors = 1\nreflector_arguments = [\"--bogus\"]";
    refused(&spoilt("reflectors = 1", arguments), &["testbed.reflector_arguments", "--bogus"]);
}

#[test]
fn what_is_not_toml_or_cannot_be_read_is_named() {
    refused("this is = = not", &["wrong.toml:1", "expected `=`"]);
    refused("[scenario]\nname = \"x\"\n[scenario]\n", &["wrong.toml:3", "duplicate key"]);
    let folder = Folder::new();
    let path = folder.path().join("bytes.toml");
    fs::write(&path, [0xff, 0xfe, 0, 1]).unwrap();
    Run::refused(&folder, &[&path], 2, &["cannot read", "bytes.toml", "UTF-8"]);
    let missing = folder.path().join("missing.toml");
    Run::refused(&folder, &[&missing], 2, &["cannot read", "missing.toml", "scenarios/cps.toml", "No such file"]);
    Run::refused(&folder, &[folder.path()], 2, &["cannot read", "Is a directory"]);
    refused(&spoilt("\"none\"", "\"no-dut.toml\""), &["cannot read", "no-dut.toml", "testbed.dut", "wrong.toml"]);
}

#[test]
fn wrong_options_are_named() {
    let folder = Folder::new();
    let path = folder.write("sound.toml", SOUND);
    let path = path.to_str().unwrap();
    let wrong = |arguments: &[&str], words: &[&str]| {
        let run = Run::refused(&folder, arguments, 2, words);
        assert_eq!((run.stdout.as_str(), run.folder.as_ref()), ("", None), "{run:?}");
    };
    wrong(&[path, "--set", "load.rat=4"], &["--set", "load.rat", "did you mean `rate`?"]);
    wrong(&[path, "--set", "nonsense"], &["--set", "\"nonsense\"", "key=value"]);
    wrong(&[path, "--dut", "no-dut.toml"], &["cannot read no-dut.toml", "--dut"]);
    wrong(&[path, "--dut", "www.example.com"], &["names are not resolved"]);
    wrong(&[path, "--bogus"], &["unexpected argument '--bogus'"]);
    wrong(&["quick", "ftp://127.0.0.1"], &["URL", "scheme \"ftp\" is not known", "http://"]);
    wrong(&["quick", "http://127.0.0.1:1", "-c", "0"], &["-c", "expected 1 or more"]);
}

#[test]
fn a_public_address_needs_a_permission() {
    let folder = Folder::new();
    let path = folder.write("sound.toml", SOUND);
    let path = path.to_str().unwrap();
    // An address of TEST-NET-3, which nobody has.
    let words = ["203.0.113.7 is a public address", "allow_targets = [\"203.0.113.7/32\"]"];
    Run::refused(&folder, &[path, "--dut", "203.0.113.7:80"], 2, &words);
    Run::refused(&folder, &["quick", "http://203.0.113.7/"], 2, &words);
    let allowed = ["check", path, "--dut", "203.0.113.7:80", "--set", "testbed.allow_targets=[\"203.0.113.0/24\"]"];
    let (code, _, stderr) = plain(&allowed);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
}

#[test]
fn check_judges_every_file_and_fails_if_one_is_broken() {
    let folder = Folder::new();
    folder.write("a.toml", SOUND);
    folder.write("b.toml", &spoilt("rate =", "rat ="));
    folder.write("c.toml", "kind = \"command\"\nservice = \"http://127.0.0.1:{port}\"\nstart = [\"x\", \"{prot}\"]\n");
    let (code, stdout, stderr) = plain(&["check", folder.path().to_str().unwrap()]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stdout.contains("1 of 3 files are sound"), "{stdout}");
    assert!(stderr.contains("b.toml:13: load.rat") && stderr.contains("c.toml"), "{stderr}");
    let empty = Folder::new();
    let (code, _, stderr) = plain(&["check", empty.path().to_str().unwrap()]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("no scenario or DUT file"), "{stderr}");
}

#[test]
fn a_reader_that_has_gone_is_no_error_and_changes_no_exit_code() {
    let folder = Folder::new();
    let wrong = folder.write("wrong.toml", &spoilt("rate =", "rat ="));
    let wrong = wrong.to_str().unwrap();
    for (arguments, code) in [
        (&["schema"][..], 0),
        (&["doctor"], 0),
        (&["completions", "bash"], 0),
        (&["--help"], 0),
        (&["check", wrong], 2),
    ] {
        let mut command = Command::new(LOADGEN);
        let mut child = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked") && (code != 0 || stderr.is_empty()), "{arguments:?}: {stderr}");
    }
}

#[test]
fn schema_completions_and_doctor_say_what_they_should() {
    let (code, stdout, stderr) = plain(&["schema"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let schema: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    for section in ["scenario", "testbed", "workload", "load", "search", "expect"] {
        assert!(schema["properties"][section].is_object(), "{section} is missing in {stdout}");
    }
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef loadgen"), ("fish", "complete -c loadgen")] {
        let (code, stdout, _) = plain(&["completions", shell]);
        assert_eq!(code, Some(0));
        assert!(stdout.contains(word) && stdout.contains("doctor"), "{shell}: {stdout}");
    }
    let (code, stdout, stderr) = plain(&["doctor"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    for subject in ["cores:", "descriptors:", "ports:", "memory:", "cpu quota:"] {
        assert!(stdout.contains(subject), "{subject} is missing in {stdout}");
    }
    let (code, stdout, _) = plain(&["--version"]);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("loadgen "), "{stdout}");
}
