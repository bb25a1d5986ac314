//! Nothing outlives a run, however it ends: killed, interrupted once or twice, or by itself.
//!
//! Processes are found by a mark in their environment and by having descended from the run; both,
//! because some programs overwrite their environment and some detach themselves.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use host::process::Signal;

use crate::harness::{Folder, REFLECTOR, Run, Started, available, exclusive, has_program, until};

/// A load that runs for longer than the test looks at it.
fn long(dut: &str) -> String {
    format!(
        r#"
[scenario]
name = "survive"
question = "Is anything left when the run ends in the middle?"
[testbed]
dut = "{dut}"
reflectors = 2
[workload]
kind = "http"
request = "/?s=200"
requests_per_connection = 1
[load]
unit = "connections/s"
rate = "50/s"
phases = {{ init = "0s", ramp_up = "100ms", sustain = "60s", ramp_down = "100ms" }}
[search]
method = "fixed"
"#
    )
}

fn shipped(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/dut").join(name).display().to_string()
}

/// A run in the middle of its trial.
fn under_load(folder: &Folder, dut: &str) -> Started {
    let scenario = folder.write("survive.toml", &long(dut));
    let mut started = Started::of(folder, &[scenario]);
    started.wait_for_load();
    started
}

/// Kills a run in its trial; returns the command lines that were running until then.
fn kill_under_load(dut: &str) -> String {
    let _alone = exclusive();
    let folder = Folder::new();
    let mut started = under_load(&folder, dut);
    let running: Vec<String> = started.look().into_iter().map(|(_, line)| line).collect();
    started.signal(Signal::KILL);
    assert_eq!(started.finish().code, None, "it was killed");
    started.assert_nothing_left(&format!("killed with {dut}"));
    running.join("\n")
}

/// A shipped DUT with a CPU quota, where this process may set one: its control group has to go, too.
fn with_quota(folder: &Folder, name: &str, config: &str) -> String {
    let text = fs::read_to_string(shipped(name)).unwrap();
    fs::copy(shipped(config), folder.path().join(config)).unwrap();
    let quota = if rustix::process::geteuid().is_root() { "cpu_quota = \"50%\"\n" } else { "" };
    folder.write("quota.toml", &format!("{text}{quota}")).display().to_string()
}

fn reference(folder: &Folder) -> String {
    with_quota(folder, "reference-http.toml", "reference-http.lb.toml")
}

#[test]
fn nothing_outlives_a_killed_run_with_the_reference_lb() {
    let folder = Folder::new();
    let running = kill_under_load(&reference(&folder));
    assert_eq!(
        (running.matches(" lb --config").count(), running.matches(" reflector --").count()),
        (1, 2),
        "{running}"
    );
}

#[test]
fn nothing_outlives_a_killed_run_with_haproxy() {
    if available("haproxy", has_program("haproxy")) {
        let folder = Folder::new();
        let running = kill_under_load(&with_quota(&folder, "haproxy-http.toml", "haproxy-http.cfg"));
        assert!(running.contains("haproxy -db"), "{running}");
    }
}

#[test]
fn nothing_outlives_a_killed_run_with_nginx_and_its_workers() {
    if available("nginx", has_program("nginx")) {
        let folder = Folder::new();
        let running = kill_under_load(&with_quota(&folder, "nginx-http.toml", "nginx-http.conf"));
        assert!(running.contains("master process") && running.contains("worker process"), "{running}");
    }
}

/// An interrupted run is a valid report that says so.
fn assert_interrupted(run: &Run) {
    assert_eq!(run.code, Some(130), "{run:?}");
    assert!(run.stdout.contains("INTERRUPTED"), "{run:?}");
    assert_eq!(run.result()["answer"]["exit"], "interrupted");
    assert!(run.file("report.html").to_lowercase().contains("interrupted"));
    assert_eq!(run.summary("exit_code"), "130");
    let trials = run.csv("trials.csv");
    assert_eq!((trials.len(), trials[0]["ended_early"].as_str()), (1, "interrupted"), "{trials:?}");
    // What was measured until then is there, and the reflectors' books with it.
    assert!(run.number("attempted") > 20.0, "{}", run.file("summary.csv"));
    let servers = run.csv("servers.csv");
    assert_eq!(servers.len(), 2, "{servers:?}");
    assert!(servers.iter().all(|server| server["client_responses"] == server["reflector_responses"]), "{servers:?}");
    assert_eq!(run.result()["answer"]["books"].as_array().map(Vec::len), Some(0), "{}", run.file("result.json"));
}

#[test]
fn an_interrupted_run_ends_in_order_and_leaves_a_marked_report() {
    let _alone = exclusive();
    for signal in [Signal::INT, Signal::TERM] {
        let folder = Folder::new();
        let mut started = under_load(&folder, &reference(&folder));
        started.signal(signal);
        let run = started.finish();
        assert_interrupted(&run);
        started.assert_nothing_left(&format!("{signal:?}"));
    }
}

/// A DUT of a shell script; `start` is TOML.
fn scripted(folder: &Folder, start: &str) -> String {
    let ready = "ready = { tcp = \"127.0.0.1:{port}\", within = \"10s\" }";
    let text = format!("kind = \"command\"\nservice = \"http://127.0.0.1:{{port}}\"\nstart = [{start}]\n{ready}\n");
    folder.write("scripted.toml", &text).display().to_string()
}

#[test]
fn the_load_ends_before_the_dut_and_the_dut_before_the_reflectors() {
    let _alone = exclusive();
    let folder = Folder::new();
    let seen = folder.path().join("seen.txt");
    // Asked to stop, the DUT looks whether the trial is in the books and a reflector still answers.
    let script = format!(
        "told() {{ r=${{1%%,*}}; tail -n +2 $2/trials.csv | cut -d, -f1,2 >{0}; \
         (exec 3<>/dev/tcp/${{r%:*}}/${{r#*:}}) && echo reflector answers >>{0}; kill $!; exit 0; }}; \
         trap 'told $1 $2' TERM; {REFLECTOR} --listen 127.0.0.1:$3 & wait",
        seen.display()
    );
    let dut = scripted(
        &folder,
        &format!("\"bash\", \"-c\", {script:?}, \"x\", \"{{reflectors}}\", \"{{run}}\", \"{{port}}\""),
    );
    let mut started = under_load(&folder, &dut);
    started.signal(Signal::HUP);
    let run = started.finish();
    assert_eq!(run.code, Some(130), "{run:?}");
    let seen = fs::read_to_string(seen).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    assert_eq!(seen, "1,fixed\nreflector answers\n");
    started.assert_nothing_left("hung up");
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    let _alone = exclusive();
    let folder = Folder::new();
    // It takes its time to stop, so that there is a moment to interrupt again.
    let script = format!("trap '' TERM; {REFLECTOR} --listen 127.0.0.1:$1; sleep 1000");
    let dut = scripted(&folder, &format!("\"sh\", \"-c\", {script:?}, \"x\", \"{{port}}\""));
    let mut started = under_load(&folder, &dut);
    started.signal(Signal::INT);
    let trials = started.folder().unwrap().join("trials.csv");
    let kept = until(Duration::from_secs(10), || (fs::read_to_string(&trials).ok()?.lines().count() > 1).then_some(()));
    assert!(kept.is_some(), "the interrupted trial is written down first");
    started.signal(Signal::INT);
    let run = started.finish();
    assert_eq!(run.code, Some(130), "{run:?}");
    assert!(!run.folder.as_ref().unwrap().join("result.json").exists(), "the second signal was waited out");
    started.assert_nothing_left("interrupted twice");
}

#[test]
fn an_interrupt_is_heard_while_the_dut_gets_ready() {
    let folder = Folder::new();
    let text = "kind = \"command\"\nservice = \"http://127.0.0.1:{port}\"\nstart = [\"sleep\", \"1000\", \"{port}\"]\n\
                ready = { tcp = \"127.0.0.1:{port}\", within = \"10m\" }\n";
    let dut = folder.write("never.toml", text).display().to_string();
    let scenario = folder.write("survive.toml", &long(&dut));
    let mut started = Started::of(&folder, &[scenario]);
    let sleeps =
        || started.look().iter().any(|(_, line)| line.contains("sleep 1000") && !line.contains(" role ")).then_some(());
    assert!(until(Duration::from_secs(10), sleeps).is_some(), "the DUT is not started");
    started.signal(Signal::INT);
    let run = started.finish_clean();
    run.assert_refused(130, &["interrupted", "nothing was measured"]);
}

#[test]
fn an_interrupt_is_heard_while_the_first_answer_is_waited_for() {
    let folder = Folder::new();
    // Connections are accepted by the kernel, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let scenario = folder.write("survive.toml", &long("none").replace("reflectors = 2", ""));
    let arguments = [scenario.to_str().unwrap(), "--dut", &address, "--set", "load.response_timeout=10m"];
    let mut started = Started::of(&folder, &arguments);
    let _held = silent.accept().unwrap();
    started.signal(Signal::INT);
    let run = started.finish_clean();
    assert_eq!((run.code, run.result()["answer"]["exit"].as_str()), (Some(130), Some("interrupted")), "{run:?}");
    assert!(run.stdout.contains("INTERRUPTED"), "{run:?}");
}
