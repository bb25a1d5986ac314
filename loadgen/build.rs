//! Tells the program how it was built: profile and commit, for the environment of a report.

#![allow(clippy::print_stdout, reason = "cargo listens on standard output")]

use std::path::Path;
use std::process::Command;

fn main() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    // Cargo says "debug" for every profile that inherits from dev.
    let profile = if variable("PROFILE") == "debug" { "dev".to_owned() } else { variable("PROFILE") };
    println!("cargo::rustc-env=NADARE_PROFILE={profile}, opt-level {}", variable("OPT_LEVEL"));

    println!("cargo::rerun-if-changed=build.rs");
    // Grows with every commit and checkout; outside a repository there is nothing to watch.
    if Path::new("../.git/logs/HEAD").exists() {
        println!("cargo::rerun-if-changed=../.git/logs/HEAD");
    }
    let commit = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output();
    let commit = commit.ok().filter(|output| output.status.success());
    if let Some(commit) = commit.and_then(|output| String::from_utf8(output.stdout).ok()) {
        println!("cargo::rustc-env=NADARE_COMMIT={}", commit.trim());
    }
}
