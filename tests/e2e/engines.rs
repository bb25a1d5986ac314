//! The engines side by side: the same truth has to come out of each, within the same bounds; and an
//! engine that cannot be had is replaced loudly.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Command;

use crate::harness::{Folder, LOADGEN, Run, available, exclusive, has_program, straight};

/// The engines of this host.
fn engines() -> Vec<&'static str> {
    let ring = host::uring::probe();
    if available(&format!("io_uring ({ring:?})"), ring.is_ok()) { vec!["epoll", "uring"] } else { vec!["epoll"] }
}

fn fixed(rate: &str, request: &str, arguments: &str, load: &str) -> String {
    straight("engines", 5, [rate, request, arguments, load])
}

const PHASES: &str = r#"phases = { init = "100ms", ramp_up = "200ms", sustain = "2s", ramp_down = "200ms" }"#;

/// Runs a scenario over one engine, which has to be the one that was used.
fn run(engine: &str, scenario: &str, more: &[&str]) -> (Folder, Run) {
    let folder = Folder::new();
    let path = folder.write("engines.toml", scenario).display().to_string();
    let run = Run::of(&folder, &[&[path.as_str(), "--engine", engine], more].concat());
    let environment: serde_json::Value = serde_json::from_str(&run.file("environment.json")).unwrap();
    assert_eq!(environment["engine"]["used"], engine, "{run:?}");
    (folder, run)
}

/// The measured operations by outcome, without those that did not happen.
fn outcomes(run: &Run) -> BTreeMap<String, u64> {
    let trial = &run.result()["trials"][0];
    let counts = trial["outcomes"].as_object().unwrap();
    let count = |value: &serde_json::Value| value.as_u64().unwrap();
    counts.iter().filter(|(_, n)| count(n) > 0).map(|(kind, n)| (kind.clone(), count(n))).collect()
}

fn percentile(run: &Run, latency: &str, column: &str) -> f64 {
    run.number(&format!("{latency}_us_{column}")) / 1000.0
}

/// The books of client and reflector have no difference.
fn books_agree(run: &Run) {
    assert!(run.result()["answer"]["books"].as_array().unwrap().is_empty(), "{}", run.file("result.json"));
}

#[test]
fn each_engine_reports_a_known_delay_with_each_close() {
    let _alone = exclusive();
    for engine in engines() {
        for close in ["client-fin", "server-fin", "client-rst"] {
            let (_folder, run) = run(
                engine,
                &fixed("100/s", "/?s=200&t=20", "", PHASES),
                &["--set", &format!("workload.close={close}")],
            );
            assert_eq!(run.code, Some(0), "{run:?}");
            assert_eq!(outcomes(&run), BTreeMap::from([("ok".to_owned(), 200)]), "{engine} {close}");
            for latency in ["service_time", "response_time", "ttfb", "ttlb"] {
                let p50 = percentile(&run, latency, "p50");
                assert!((20.0..=28.0).contains(&p50), "{engine} {close}: {latency} p50 is {p50} ms, the delay 20 ms");
            }
            books_agree(&run);
        }
    }
}

#[test]
fn each_engine_reports_a_known_share_of_failures_and_a_known_stall() {
    let _alone = exclusive();
    // 250 operations per second over 4 s: 2 % fail, and a quarter of them wait for what is left of a
    // stall of 1 s, so their response times are spread evenly from 0 to 1 s.
    let arguments = r#""--failure-share", "2%", "--failure-status", "503", "--stall-at", "2s", "--stall-for", "1s""#;
    let load = r#"phases = { init = "100ms", ramp_up = "200ms", sustain = "4s", ramp_down = "200ms" }
drain = "3s""#;
    for engine in engines() {
        let (_folder, run) = run(engine, &fixed("250/s", "/?s=200", arguments, load), &[]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let expected = [("bad_status".to_owned(), 20), ("ok".to_owned(), 980)];
        assert_eq!(outcomes(&run), BTreeMap::from(expected), "{engine}");
        let (p90, p99) = (percentile(&run, "response_time", "p90"), percentile(&run, "response_time", "p99"));
        assert!((600.0 - 15.0..=700.0).contains(&p90), "{engine}: p90 is {p90} ms; 10 % of 4 s are 40 % of the stall");
        assert!((960.0 - 15.0..=1_100.0).contains(&p99), "{engine}: p99 is {p99} ms; 1 % of 4 s are 4 % of the stall");
        books_agree(&run);
    }
}

#[test]
fn each_engine_gives_up_at_the_response_timeout() {
    let _alone = exclusive();
    let load = format!("{PHASES}\nresponse_timeout = \"300ms\"");
    for engine in engines() {
        let (_folder, run) = run(engine, &fixed("50/s", "/?s=200&t=1500", "", &load), &[]);
        assert_eq!(outcomes(&run), BTreeMap::from([("response_timeout".to_owned(), 100)]), "{engine}");
        let p50 = percentile(&run, "service_time", "p50");
        assert!((300.0..=340.0).contains(&p50), "{engine}: p50 is {p50} ms with a limit of 300 ms");
    }
}

#[test]
fn each_engine_counts_refused_connections() {
    let _alone = exclusive();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let scenario = fixed("100/s", "/", "", PHASES)
        .replace("dut = \"none\"\nreflectors = 1\nreflector_arguments = []", &format!("dut = \"{nobody}\""))
        .replace("kind = \"http\"\nrequest = \"/\"\nrequests_per_connection = 1", "kind = \"tcp\"");
    for engine in engines() {
        let (_folder, run) = run(engine, &scenario, &[]);
        assert_eq!(outcomes(&run), BTreeMap::from([("connect_refused".to_owned(), 200)]), "{engine}: {run:?}");
    }
}

#[test]
fn each_engine_holds_connections() {
    let _alone = exclusive();
    let scenario = fixed("1/s", "/?s=200", "", PHASES)
        .replace(
            "unit = \"connections/s\"\nrate = \"1/s\"",
            "unit = \"connections\"\ncount = 300\nopen_rate = \"1k/s\"",
        )
        .replace("requests_per_connection = 1\n", "");
    for engine in engines() {
        let (_folder, run) = run(engine, &scenario, &[]);
        assert_eq!(outcomes(&run), BTreeMap::from([("ok".to_owned(), 300)]), "{engine}: {run:?}");
        assert_eq!(run.result()["trials"][0]["cc_min"], 300, "{engine}");
        books_agree(&run);
    }
}

/// Starts a program in which `io_uring_setup` (425 on every architecture) fails as in a container whose
/// seccomp filter knows nothing of it.
const WITHOUT_URING: &str = "
import ctypes, os, struct, sys
op = lambda code, jt, jf, k: struct.pack('HBBI', code, jt, jf, k)
code = op(0x20, 0, 0, 0) + op(0x15, 0, 1, 425) + op(0x06, 0, 0, 0x00050001) + op(0x06, 0, 0, 0x7fff0000)
body = ctypes.create_string_buffer(code, len(code))
program = struct.pack('HxxxxxxP', 4, ctypes.addressof(body))
libc = ctypes.CDLL(None, use_errno=True)
for arguments in ((38, 1, 0, 0, 0), (22, 2, program, 0, 0)):
    if libc.prctl(*arguments) != 0:
        sys.exit('prctl: ' + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn a_blocked_ring_is_replaced_loudly() {
    if !available("python3", has_program("python3")) {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    let path = folder.write("engines.toml", &fixed("100/s", "/?s=200", "", PHASES));
    let reports = folder.path().join("reports");
    let mut command = Command::new("python3");
    command.args(["-c", WITHOUT_URING, LOADGEN]).arg(&path);
    command.args(["--engine", "uring", "--quiet", "--reports"]).arg(&reports);
    let run = Run::finish(command, &reports);
    let words = "engine uring cannot be used here, all trials ran over epoll: io_uring is blocked";
    assert!(run.stderr.contains(&format!("warning: {words}")), "{run:?}");
    let answer = &run.result()["answer"];
    let warnings = answer["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning.as_str().unwrap().starts_with(words)), "{warnings:?}");
    assert!(run.stdout.contains(words), "{}", run.stdout);
    let environment: serde_json::Value = serde_json::from_str(&run.file("environment.json")).unwrap();
    assert_eq!((&environment["engine"]["asked"], &environment["engine"]["used"]), (&"uring".into(), &"epoll".into()));
    assert_eq!(outcomes(&run), BTreeMap::from([("ok".to_owned(), 200)]), "{run:?}");
}
