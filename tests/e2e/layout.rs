//! The invariants of the code base: who may import whom, what is pure, who prints, who starts
//! processes, where unsafe code lives.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of a folder of the workspace with their texts, test modules cut off.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(path: &Path, files: &mut Vec<PathBuf>) {
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                walk(&entry.unwrap().path(), files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path.to_owned());
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let mut files = Vec::new();
    for path in [root.join(folder), root.join(format!("{folder}.rs"))] {
        if path.exists() {
            walk(&path, &mut files);
        }
    }
    assert!(!files.is_empty(), "{folder} has no source files");
    files.sort();
    let is_test = |name: &str| name.ends_with("/tests.rs") || name.contains("/tests/") || name.ends_with("fixture.rs");
    let named = files.into_iter().map(|file| {
        let name = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).unwrap();
        (name, text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned())
    });
    named.filter(|(name, _)| !is_test(name)).collect()
}

/// Code lines without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()));
    lines.filter(|(_, line)| !line.trim().is_empty())
}

/// Every line in `folder` that has one of `words`, but in files whose name contains one of `allowed`.
fn offenders(folder: &str, words: &[&str], allowed: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources(folder) {
        if allowed.iter().any(|allowed| name.contains(allowed)) {
            continue;
        }
        for (line, code) in code(&text) {
            for word in words {
                if code.contains(word) {
                    found.push(format!("{name}:{line}: {}", code.trim()));
                }
            }
        }
    }
    found
}

#[test]
fn nobody_imports_against_the_arrows() {
    for (folder, words) in [
        ("wire/src", &["host::", "lb::", "reflector::", "loadgen::"][..]),
        ("host/src", &["wire::", "lb::", "reflector::", "loadgen::"]),
        ("lb/src", &["loadgen::", "use reflector", "reflector::start"]),
        ("reflector/src", &["loadgen::", "use lb", "lb::start"]),
    ] {
        assert_eq!(offenders(folder, words, &[]), Vec::<String>::new(), "{folder}");
    }
    let words = ["lb::", "reflector::config", "reflector::start", "reflector::main", "reflector::Reflector"];
    assert_eq!(offenders("loadgen/src", &words, &["testbed/roles.rs"]), Vec::<String>::new());
}

#[test]
fn pure_files_are_pure() {
    let impure = [
        "tokio",
        "std::fs",
        "fs::read",
        "std::net::TcpStream",
        "std::thread",
        "std::process",
        "std::time::Instant",
        "Instant::now",
        "SystemTime",
        "clock::",
        "rand::rng(",
        "std::env",
    ];
    for folder in [
        "wire/src",
        "loadgen/src/schedule",
        "loadgen/src/workload",
        "loadgen/src/scenario/frames",
        "loadgen/src/scenario/label",
        "loadgen/src/scenario/mix",
        "loadgen/src/scenario/suite",
        "loadgen/src/compare",
        "loadgen/src/measure",
        "loadgen/src/merge",
        "loadgen/src/search",
        "loadgen/src/gate",
        "loadgen/src/suite/frames/estimate",
        "loadgen/src/suite/frames/parts",
        "loadgen/src/suite/gating/answer",
        "loadgen/src/suite/gating/book",
        "loadgen/src/suite/rounds/figures",
        "loadgen/src/suite/rounds/order",
        "loadgen/src/suite/rounds/validity",
        "loadgen/src/statistics",
        "loadgen/src/verdict",
        "loadgen/src/sizing",
        "loadgen/src/testbed/netns/script",
        "lb/src/config",
        "lb/src/service/http/defect",
        "lb/src/service/http/exchange",
        "lb/src/service/http/fields",
        "lb/src/service/http/framing",
        "lb/src/service/http/grammar",
        "lb/src/service/http/head",
        "lb/src/service/http/reply",
        "lb/src/service/http/response",
        "lb/src/service/http/rewrite",
        "lb/src/service/http/scan",
        "lb/src/service/udp/table",
        "lb/src/group/balance",
        "lb/src/health/state",
        "reflector/src/behaviour",
        "reflector/src/pace",
        "reflector/src/udp/faults",
        "reflector/src/udp/held",
        "tests/src/peers/judge",
        "tests/src/peers/plan",
        "tests/src/peers/statistics",
    ] {
        assert_eq!(offenders(folder, &impure, &[]), Vec::<String>::new(), "{folder}");
    }
    // One function of `scenario.rs` reads files; the rest is given texts.
    assert_eq!(offenders("loadgen/src/scenario", &impure, &["scenario.rs"]), Vec::<String>::new());
}

#[test]
fn only_the_report_prints() {
    let printing = ["println!", "eprintln!", "print!(", "eprint!(", "io::stdout", "io::stderr"];
    // A role is a process of its own: what it logs goes to a file of the run folder.
    assert_eq!(offenders("loadgen/src", &printing, &["report", "main.rs", "testbed/roles.rs"]), Vec::<String>::new());
    // The comparison is a program of its own.
    assert_eq!(offenders("tests/src/peers", &printing, &["main.rs"]), Vec::<String>::new());
}

#[test]
fn only_the_testbed_starts_processes() {
    let starting = ["Command::new", "process::Command"];
    assert_eq!(offenders("loadgen/src", &starting, &["testbed"]), Vec::<String>::new());
    assert_eq!(offenders("lb/src", &starting, &[]), Vec::<String>::new());
    assert_eq!(offenders("reflector/src", &starting, &[]), Vec::<String>::new());
    // The comparison starts its peers itself: they are no part of a testbed.
    assert_eq!(offenders("tests/src/peers", &["Command::new"], &["process.rs"]), Vec::<String>::new());
}

/// Somebody may set the clock of a host while it measures: `CLOCK_MONOTONIC` does not follow.
#[test]
fn nothing_that_measures_asks_a_clock_that_can_jump() {
    let jumping = ["SystemTime", "ClockId::Realtime", "CLOCK_REALTIME", "Timestamp::now", "unix_ns()", "wall_clock()"];
    // The time of day stands in names of folders, in records of when a run was, and in an HTTP header.
    let telling = ["report/", "suite/gating", "command/gate"];
    assert_eq!(offenders("loadgen/src", &jumping, &telling), Vec::<String>::new());
    assert_eq!(offenders("reflector/src", &jumping, &[]), Vec::<String>::new());
}

#[test]
fn only_host_has_unsafe_code() {
    for folder in ["wire/src", "lb/src", "reflector/src", "loadgen/src", "tests/src"] {
        assert_eq!(offenders(folder, &["unsafe "], &[]), Vec::<String>::new(), "{folder}");
    }
}

#[test]
fn every_file_says_what_it_answers() {
    for folder in ["wire/src", "host/src", "lb/src", "reflector/src", "loadgen/src", "tests/e2e", "tests/src"] {
        for (name, text) in sources(folder) {
            assert!(text.starts_with("//!"), "{name} has no module header");
            let lines = text.lines().count();
            assert!(lines <= 600, "{name} has {lines} lines without tests");
        }
    }
}
