//! Every shipped DUT file carries the smoke scenario, or those for datagrams as many frames: it starts,
//! serves both reflectors, fails nothing, and is gone afterwards. One test for each, so that a missing
//! program skips its own only.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::harness::{Folder, Started, available, command_of, exclusive, has_program};

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// Shortest phases: with the DUT's start less than three seconds.
const SHORT: [&str; 8] = [
    "--set",
    "load.phases.init=0s",
    "--set",
    "load.phases.ramp_up=100ms",
    "--set",
    "load.phases.sustain=1s",
    "--set",
    "load.phases.ramp_down=100ms",
];

/// Operations of the whole trial at 200/s: ramps count half.
const OPERATIONS: f64 = 220.0;

fn carries_smoke(name: &str) {
    let _alone = exclusive();
    let folder = Folder::new();
    let (scenario, dut) = (scenarios().join("smoke.toml"), scenarios().join("dut").join(format!("{name}.toml")));
    let mut arguments = vec![scenario.to_str().unwrap(), "--dut", dut.to_str().unwrap()];
    arguments.extend(SHORT);
    // A machine that is busy with others makes the rate undecided; what is counted is not.
    let run = Started::of(&folder, &arguments).finish_clean();
    assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
    assert_eq!((run.summary("dut").as_str(), run.number("failed")), (name, 0.0), "{}", run.stdout);
    let servers = run.csv("servers.csv");
    let answered =
        |server: &std::collections::HashMap<String, String>| -> f64 { server["client_responses"].parse().unwrap() };
    assert_eq!(servers.len(), 2, "{servers:?}");
    let total: f64 = servers.iter().map(answered).sum();
    assert!(
        (OPERATIONS - 22.0..=OPERATIONS + 2.0).contains(&total),
        "{total} operations of {OPERATIONS}: {}",
        run.stdout
    );
    for server in &servers {
        assert_eq!(server["client_responses"], server["reflector_requests"], "{servers:?}");
        // Each worker has a rotation of its own, so the shares differ a little with several.
        assert!(answered(server) > total / 3.0, "{servers:?}");
    }
    assert!(run.result()["answer"]["books"].as_array().unwrap().is_empty(), "{}", run.file("result.json"));
}

/// A fixed load of frames on streams enough for both reflectors; 500 a second, of the whole trial 550.
fn frames(dut: &Path, network: &str) -> String {
    format!(
        r#"
[scenario]
name = "frames"
[testbed]
network = "{network}"
dut = "{}"
reflectors = 2
[workload]
kind = "udp"
streams = 32
[workload.frames]
size = 128
[load]
unit = "frames/s"
rate = "500/s"
phases = {{ init = "0s", ramp_up = "100ms", sustain = "1s", ramp_down = "100ms" }}
[search]
method = "fixed"
"#,
        dut.display()
    )
}

fn carries_frames(network: &str, name: &str) {
    let _alone = exclusive();
    let folder = Folder::new();
    let dut = scenarios().join("dut").join(format!("{name}.toml"));
    let path = folder.write("frames.toml", &frames(&dut.canonicalize().unwrap(), network));
    let run = Started::of(&folder, &[path]).finish_clean();
    // A machine that is busy with others makes the rate undecided; what is counted is not.
    assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
    assert_eq!(run.summary("dut"), name, "{}", run.stdout);
    let ways = &run.csv("directions.csv")[0];
    let count = |column: &str| ways[column].parse::<u64>().unwrap_or_else(|_| panic!("{column} in {ways:?}"));
    assert!((500..=552).contains(&count("client_sent")), "{ways:?}");
    for column in ["forward_lost", "return_lost", "duplicates", "corrupted", "foreign", "unreachable"] {
        assert_eq!(count(column), 0, "{column}: {ways:?}");
    }
    assert_eq!(count("answered"), count("client_sent"), "{ways:?}");
    assert!(run.result()["answer"]["books"].as_array().unwrap().is_empty(), "{}", run.file("result.json"));
}

fn carries_frames_if_there(network: &str, program: &str, name: &str) {
    let may = network == "loopback" || rustix::process::geteuid().is_root();
    if available(program, has_program(program)) && available("root, for namespaces", may) {
        carries_frames(network, name);
    }
}

fn carries_smoke_if_there(program: &str, name: &str) {
    if available(program, has_program(program)) {
        carries_smoke(name);
    }
}

/// nginx with its stream module, which Debian has in a package of its own.
fn nginx_has_streams() -> bool {
    let folder = Folder::new();
    let place = folder.path().display();
    let text = format!(
        "include /etc/nginx/modules-enabled/*.conf;\ninclude /usr/share/nginx/modules/*.conf;\n\
         pid {place}/nginx.pid;\nerror_log {place}/error.log;\nevents {{}}\nstream {{}}\n"
    );
    let config = folder.write("nginx.conf", &text);
    let mut command = command_of("nginx");
    command.args(["-t", "-q", "-e", "stderr", "-c"]).arg(config).stdin(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn carries_smoke_over_nginx_streams(name: &str) {
    if available("nginx with its stream module", nginx_has_streams()) {
        carries_smoke(name);
    }
}

#[test]
fn the_limit_of_connections_that_nginx_has_is_the_one_that_is_told() {
    let read = |name: &str| std::fs::read_to_string(scenarios().join("dut").join(name)).unwrap();
    let told = read("README.md");
    for name in ["nginx-http.conf", "nginx-tcp.conf"] {
        let text = read(name);
        let line = text.lines().find_map(|line| line.trim().strip_prefix("worker_connections ")).unwrap();
        let limit = line.split(';').next().unwrap();
        assert!(told.contains(&format!("a worker has {limit}\n")), "{name}: {limit}");
    }
}

#[test]
fn haproxy_http_carries_smoke() {
    carries_smoke_if_there("haproxy", "haproxy-http");
}

#[test]
fn haproxy_http_with_several_threads_carries_smoke() {
    carries_smoke_if_there("haproxy", "haproxy-http-workers");
}

#[test]
fn haproxy_tcp_carries_smoke() {
    carries_smoke_if_there("haproxy", "haproxy-tcp");
}

#[test]
fn haproxy_tcp_with_several_threads_carries_smoke() {
    carries_smoke_if_there("haproxy", "haproxy-tcp-workers");
}

#[test]
fn nginx_http_carries_smoke() {
    carries_smoke_if_there("nginx", "nginx-http");
}

#[test]
fn nginx_http_with_several_workers_carries_smoke() {
    carries_smoke_if_there("nginx", "nginx-http-workers");
}

#[test]
fn nginx_tcp_carries_smoke() {
    carries_smoke_over_nginx_streams("nginx-tcp");
}

#[test]
fn nginx_tcp_with_several_workers_carries_smoke() {
    carries_smoke_over_nginx_streams("nginx-tcp-workers");
}

#[test]
fn reference_http_carries_smoke() {
    carries_smoke("reference-http");
}

#[test]
fn reference_http_with_several_workers_carries_smoke() {
    carries_smoke("reference-http-workers");
}

#[test]
fn reference_tcp_carries_smoke() {
    carries_smoke("reference-tcp");
}

#[test]
fn reference_tcp_with_several_workers_carries_smoke() {
    carries_smoke("reference-tcp-workers");
}

#[test]
fn reference_udp_carries_frames() {
    carries_frames("loopback", "reference-udp");
}

#[test]
fn reference_udp_with_several_workers_carries_frames() {
    carries_frames("loopback", "reference-udp-workers");
}

#[test]
fn nginx_udp_carries_frames() {
    if available("nginx with its stream module", nginx_has_streams()) {
        carries_frames("loopback", "nginx-udp");
    }
}

#[test]
fn nginx_udp_with_several_workers_carries_frames_over_namespaces() {
    if available("nginx with its stream module", nginx_has_streams()) {
        carries_frames_if_there("netns", "ip", "nginx-udp-workers");
    }
}

#[test]
fn the_kernel_carries_frames_as_a_router() {
    carries_frames_if_there("netns", "ip", "kernel-route");
}

#[test]
fn the_kernel_carries_frames_as_a_bridge() {
    carries_frames_if_there("netns", "ip", "kernel-bridge");
}

#[test]
fn the_kernel_carries_frames_and_connections_that_it_translates() {
    carries_frames_if_there("netns", "nft", "kernel-nat");
    if has_program("nft") && rustix::process::geteuid().is_root() {
        let _alone = exclusive();
        let folder = Folder::new();
        let path = |name: &str| scenarios().join(name).display().to_string();
        let mut arguments = vec![path("smoke.toml"), "--dut".to_owned(), path("dut/kernel-nat.toml")];
        arguments.extend(["--network", "netns"].into_iter().chain(SHORT).map(str::to_owned));
        let run = Started::of(&folder, &arguments).finish_clean();
        assert!(matches!(run.code, Some(0 | 4)) && run.number("failed") == 0.0, "{run:?}");
        assert!(run.number("attempted") >= 180.0, "{run:?}");
    }
}

#[test]
fn every_shipped_dut_file_has_a_test_here() {
    let text = include_str!("duts.rs");
    let files = std::fs::read_dir(scenarios().join("dut")).unwrap().map(|entry| entry.unwrap().file_name());
    let names = files.filter_map(|file| Some(file.to_str()?.strip_suffix(".toml")?.to_owned()));
    for name in names.filter(|name| !name.ends_with(".lb")) {
        let call = [&format!("(\"{name}\")"), &format!(", \"{name}\")")].map(|call| text.contains(call.as_str()));
        assert!(call.contains(&true), "{name} has none");
    }
}
