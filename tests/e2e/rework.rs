//! What is made of runs that are over: their pages again from the files alone, and runs joined.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Folder, LOADGEN, Run, Started, exclusive, output, straight};

/// A fixed load of a few seconds.
fn scenario(folder: &Folder, seed: u32) -> std::path::PathBuf {
    let load = "phases = { init = \"0s\", ramp_up = \"1s\", sustain = \"3s\", ramp_down = \"1s\" }";
    folder.write("side.toml", &straight("side", seed, ["40/s", "/?s=200", "", load]))
}

fn loadgen(arguments: &[&Path]) -> (Option<i32>, String, String) {
    output(Command::new(LOADGEN).args(arguments))
}

/// The sum of a column over all rows.
fn sum(rows: &[HashMap<String, String>], column: &str) -> u64 {
    rows.iter().map(|row| row[column].parse::<u64>().unwrap()).sum()
}

#[test]
fn real_runs_are_rebuilt_byte_by_byte_and_joined_to_the_last_operation() {
    let _alone = exclusive();
    let folders = [Folder::new(), Folder::new()];
    let mut started: Vec<Started> =
        (1..).zip(&folders).map(|(seed, folder)| Started::of(folder, &[scenario(folder, seed)])).collect();
    let runs: Vec<Run> = started.iter_mut().map(Started::finish_clean).collect();
    let paths: Vec<&Path> = runs.iter().map(|run| run.folder.as_deref().unwrap_or_else(|| panic!("{run:?}"))).collect();

    for (run, path) in runs.iter().zip(&paths) {
        let drawn = ["report.html", "rate.svg", "latency.png", "latency_curve.png"];
        let before = drawn.map(|name| fs::read(path.join(name)).unwrap());
        drawn.iter().for_each(|name| fs::remove_file(path.join(name)).unwrap());
        let (code, stdout, stderr) = loadgen(&[Path::new("report"), path]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{run:?}");
        assert!(stdout.trim_end().ends_with("report.html"), "{stdout}");
        let after = drawn.map(|name| fs::read(path.join(name)).unwrap());
        for (name, (one, other)) in drawn.iter().zip(before.iter().zip(&after)) {
            assert!(one == other, "{name} differs in {}", path.display());
        }
    }

    let out = folders[0].path().join("joined");
    let (code, _, stderr) = loadgen(&[Path::new("merge"), paths[0], paths[1], Path::new("--out"), &out]);
    assert_eq!(code, Some(0), "{stderr}");
    let joined = Run { code, stdout: String::new(), stderr, folder: Some(out) };
    for (file, columns) in [
        ("trials.csv", ["due", "ok", "failed", "transactions_all", "opened_all"]),
        ("timeline.csv", ["due", "started", "ok", "transactions", "opened"]),
    ] {
        for column in columns {
            let parts: u64 = runs.iter().map(|run| sum(&run.csv(file), column)).sum();
            assert_eq!(sum(&joined.csv(file), column), parts, "{column} of {file}");
        }
    }
    assert!(sum(&joined.csv("trials.csv"), "due") > 0);
    assert!(joined.file("report.html").contains("Joined runs"));
}

#[test]
fn folders_that_are_no_runs_or_cannot_be_joined_are_refused() {
    let folder = Folder::new();
    let nothing = folder.path().join("nothing");
    let (code, stdout, stderr) = loadgen(&[Path::new("report"), &nothing]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    assert!(stderr.contains("begun.json; expected a run folder such as"), "{stderr}");
    let (code, _, stderr) = loadgen(&[Path::new("merge"), &nothing, &nothing]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.starts_with("error: cannot read ") && stderr.contains("begun.json"), "{stderr}");
}
