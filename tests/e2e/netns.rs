//! Runs over namespaces: any DUT, no privileges, a kill, an interface that is taken away.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use host::namespace::Namespace;
use host::process::Signal;

use crate::harness::{Folder, Run, Started, available, exclusive, has_program, until};

fn scenarios() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

fn shipped(name: &str) -> String {
    scenarios().join("dut").join(name).display().to_string()
}

/// Whether this user may make a testbed of namespaces.
fn has_namespaces() -> bool {
    available("the right to make network namespaces", Namespace::create().is_ok())
        && available("ip (iproute2)", has_program("ip"))
}

/// The smoke scenario over namespaces.
fn smoke(folder: &Folder, dut: &str, more: &[&str]) -> Run {
    let scenario = scenarios().join("smoke.toml").display().to_string();
    let line = [&[scenario.as_str(), "--network", "netns", "--dut", dut][..], more].concat();
    Started::of(folder, &line).finish_clean()
}

fn environment(run: &Run) -> serde_json::Value {
    serde_json::from_str(&run.file("environment.json")).unwrap()
}

fn assert_smoke(run: &Run) {
    assert_eq!(run.code, Some(0), "{run:?}");
    let failed =
        run.csv("outcomes.csv").iter().filter(|row| row["outcome"] != "ok").any(|row| row["operations_all"] != "0");
    assert!(!failed, "{run:?}");
    let network = environment(run)["network"].clone();
    assert_eq!(network["sysctls"]["clients"]["net.ipv4.tcp_tw_reuse"], "1", "{network}");
    assert_eq!(network["links"].as_array().unwrap().len(), 6, "{network}");
}

/// A fixed load of connections for as long as the test needs.
fn long(dut: &str, sustain: &str) -> String {
    format!(
        r#"
[scenario]
name = "netns"
question = "What is said when somebody changes the network?"
[testbed]
network = "netns"
dut = "{dut}"
reflectors = 2
[workload]
kind = "http"
request = "/?s=200"
requests_per_connection = 1
[load]
unit = "connections/s"
rate = "100/s"
phases = {{ init = "0s", ramp_up = "100ms", sustain = "{sustain}", ramp_down = "100ms" }}
[search]
method = "fixed"
"#
    )
}

fn under_load(folder: &Folder, dut: &str) -> Started {
    let scenario = folder.write("netns.toml", &long(dut, "60s"));
    let mut started = Started::of(folder, &[scenario]);
    started.wait_for_load();
    started
}

/// The network namespaces of all threads of some processes.
fn namespaces(pids: &[u32]) -> HashSet<PathBuf> {
    let of_process = |pid: &u32| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let tasks = pids.iter().flat_map(of_process);
    tasks.filter_map(|task| fs::read_link(task.path().join("ns/net")).ok()).collect()
}

fn all_processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[test]
fn the_smoke_scenario_runs_over_namespaces_without_a_dut() {
    if !has_namespaces() {
        return;
    }
    let _alone = exclusive();
    assert_smoke(&smoke(&Folder::new(), "none", &[]));
}

#[test]
fn the_smoke_scenario_runs_over_namespaces_with_the_reference_lb() {
    if !has_namespaces() {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    assert_smoke(&smoke(&folder, &shipped("reference-http.toml"), &[]));
    let v6 = smoke(&folder, &shipped("reference-http.toml"), &["--set", "testbed.links.ip=\"v6\""]);
    assert_smoke(&v6);
    assert_eq!(environment(&v6)["network"]["addresses"]["dut"], "2001:2::1");
}

#[test]
fn the_smoke_scenario_runs_over_namespaces_with_haproxy() {
    if !has_namespaces() || !available("haproxy", has_program("haproxy")) {
        return;
    }
    let _alone = exclusive();
    assert_smoke(&smoke(&Folder::new(), &shipped("haproxy-http.toml"), &[]));
}

#[test]
fn a_maximum_is_found_over_a_router_and_a_bridge() {
    if !has_namespaces() {
        return;
    }
    let _alone = exclusive();
    for forwarding in ["route", "bridge"] {
        let folder = Folder::new();
        let text = format!("kind = \"kernel\"\nforwarding = \"{forwarding}\"\nservice = \"http://reflectors\"\n");
        let dut = folder.write("kernel.toml", &text).display().to_string();
        let scenario = scenarios().join("cps.toml").display().to_string();
        // Loads that any machine carries: the question is whether the way through the kernel works.
        let short = [
            "--set",
            "search.method=\"climb\"",
            "--set",
            "search.start=50",
            "--set",
            "search.max=200",
            "--set",
            "search.final_sustain=\"2s\"",
            "--set",
            "load.phases.sustain=\"1s\"",
            "--set",
            "expect={}",
        ];
        let line = [&[scenario.as_str(), "--network", "netns", "--dut", &dut][..], &short].concat();
        let run = Started::of(&folder, &line).finish_clean();
        let trials = run.csv("trials.csv");
        assert_eq!(trials[0]["purpose"], "ceiling", "{run:?}");
        let searched: Vec<_> = trials[1..].iter().filter(|trial| trial["ok"] != "0").collect();
        assert!(!searched.is_empty() && searched.len() == trials.len() - 1, "{run:?}");
        let books = run.result()["answer"]["books"].clone();
        assert!(books.as_array().unwrap().iter().all(|entry| entry["serious"] == false), "{books}");
    }
}

#[test]
fn an_ordinary_user_has_namespaces_of_his_own() {
    let by = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let allowed = || Command::new(by[0]).args(&by[1..]).args(["unshare", "-Urn", "true"]).status();
    let is_root = rustix::process::geteuid().is_root();
    if !available("root, setpriv and user namespaces", is_root && allowed().is_ok_and(|status| status.success())) {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let scenario = scenarios().join("smoke.toml").display().to_string();
    let run = Started::by(&by, &folder, &[scenario.as_str(), "--network", "netns"]).finish_clean();
    assert_smoke(&run);
    assert_eq!(environment(&run)["network"]["user_namespace"], true);
}

#[test]
fn where_no_namespaces_may_be_made_the_way_out_is_said() {
    let by = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let is_root = rustix::process::geteuid().is_root();
    if !available("root, setpriv and unshare", is_root && has_program("setpriv") && has_program("unshare")) {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let scenario = scenarios().join("smoke.toml").display().to_string();
    // A user namespace in which nobody may make another one.
    let script =
        "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$@\"";
    let inner = [&["unshare", "-Ur", "sh", "-c", script, "sh"][..]].concat();
    let line = [&by[..], &inner].concat();
    let run = Started::by(&line, &folder, &[scenario.as_str(), "--network", "netns"]).finish_clean();
    run.assert_refused(3, &["network namespaces", "sudo", "kernel.unprivileged_userns_clone=1", "loopback"]);
}

#[test]
fn no_namespace_outlives_a_killed_run() {
    if !has_namespaces() {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    let mut started = under_load(&folder, &shipped("reference-http.toml"));
    let pids: Vec<u32> = started.look().into_iter().map(|(pid, _)| pid).collect();
    let mut used = namespaces(&pids);
    used.retain(|namespace| !namespaces(&[std::process::id()]).contains(namespace));
    assert_eq!(used.len(), 2, "the DUT's and the servers': {used:?}");
    started.signal(Signal::KILL);
    assert_eq!(started.finish().code, None, "it was killed");
    started.assert_nothing_left("killed over namespaces");
    let unused = || namespaces(&all_processes()).is_disjoint(&used).then_some(());
    assert!(until(Duration::from_secs(10), unused).is_some(), "somebody still lives in {used:?}");
    // They have no names under which they or their interfaces could stay.
    let names = Command::new("ip").args(["-brief", "link"]).output().unwrap();
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    assert!(["c0", "c1", "d0", "d1", "s0", "s1"].iter().all(|link| !names.contains(&format!("{link}@"))), "{names}");
}

/// Takes an interface down in the middle of a run, from outside, and returns what the run says.
fn without_interface(folder: &Folder, link: &str) -> Run {
    let mut started = under_load(folder, &shipped("reference-http.toml"));
    let namespace = match link.as_bytes()[0] {
        b'c' => generator_namespace(&started),
        _ => {
            let running = started.look();
            let reflector = running.iter().find(|(_, line)| line.contains(" reflector -- "));
            format!("/proc/{}/ns/net", reflector.unwrap().0)
        }
    };
    let status =
        Command::new("nsenter").arg(format!("--net={namespace}")).args(["ip", "link", "set", link, "down"]).status();
    assert!(status.unwrap().success());
    let run = started.finish();
    started.assert_nothing_left("an interface was taken down");
    run
}

/// The namespace of the generator's first worker.
fn generator_namespace(started: &Started) -> String {
    let tasks = fs::read_dir(format!("/proc/{}/task", started.pid())).unwrap().flatten();
    let worker = tasks
        .map(|task| task.path())
        .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "generator-0"));
    worker.expect("a generator under load").join("ns/net").display().to_string()
}

#[test]
fn an_interface_that_is_taken_down_ends_the_run_and_is_named() {
    if !has_namespaces() || !available("nsenter", has_program("nsenter")) {
        return;
    }
    let _alone = exclusive();
    for link in ["c0", "s0"] {
        let began = std::time::Instant::now();
        let folder = Folder::new();
        let run = without_interface(&folder, link);
        assert!(began.elapsed() < Duration::from_secs(45), "the trial went on without {link}");
        assert_eq!(run.code, Some(4), "{run:?}");
        let reason = run.result()["answer"]["reason"].as_str().unwrap().to_owned();
        for text in [reason.as_str(), &run.stdout, &run.file("report.html")] {
            assert!(
                text.contains("the host broke the network") && text.contains(&format!("interface {link} ")),
                "{text}"
            );
            assert!(!text.contains("DUT died"), "{text}");
        }
        let trials = run.csv("trials.csv");
        assert_eq!(trials.len(), 1, "{trials:?}");
        assert!(trials[0]["ended_early"].contains("the network broke"), "{trials:?}");
    }
}
