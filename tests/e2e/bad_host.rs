//! What a host does not have: descriptors, cores, ports, permissions, space for the report. The
//! run is refused with exit code 3 and the arithmetic, or measures what it can and says who limited it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Folder, LOADGEN, Run, Started, available, exclusive, has_program};

/// A shell that lowers both limits of descriptors before it becomes the program.
const FEW_DESCRIPTORS: &str = "ulimit -n 256 && exec \"$@\"";

fn shipped(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios/dut").join(name).display().to_string()
}

/// A short load far below what any machine carries.
fn small(dut: &str, load: &str, rest: &str) -> String {
    format!(
        r#"
[scenario]
name = "bad-host"
[testbed]
dut = "{dut}"
reflectors = 1
[workload]
kind = "http"
request = "/?s=1k"
[load]
{load}
{rest}
"#
    )
}

fn rate(dut: &str) -> String {
    let phases = r#"phases = { init = "0s", ramp_up = "100ms", sustain = "1s", ramp_down = "100ms" }"#;
    let load = format!("unit = \"connections/s\"\nrate = \"50/s\"\n{phases}");
    small(dut, &load, "[search]\nmethod = \"fixed\"").replace("[load]", "requests_per_connection = 1\n[load]")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn with_few_descriptors_a_small_load_still_runs() {
    let _alone = exclusive();
    let folder = Folder::new();
    let path = folder.write("small.toml", &rate(&shipped("reference-http.toml")));
    let run = Started::by(&["sh", "-c", FEW_DESCRIPTORS, "sh"], &folder, &[path]).finish_clean();
    assert_eq!((run.code, run.number("failed"), run.number("attempted")), (Some(0), 0.0, 50.0), "{run:?}");
}

#[test]
fn with_few_descriptors_the_host_limits_the_connections_held() {
    let _alone = exclusive();
    let folder = Folder::new();
    let load = r#"unit = "connections"
open_rate = "500/s"
hold_interval = "300ms"
phases = { init = "0s", ramp_up = "300ms", sustain = "1s", ramp_down = "200ms" }"#;
    let search = "[search]\nmethod = \"climb\"\nstart = 100\nfactor = 2\nwidth = \"20%\"\nfinal_sustain = \"1s\"";
    let expect = "[expect]\ncc = \">= 5000\"";
    let path = folder.write("cc.toml", &small(&shipped("reference-http.toml"), load, &format!("{search}\n{expect}")));
    let run = Started::by(&["sh", "-c", FEW_DESCRIPTORS, "sh"], &folder, &[&path]).finish_clean();
    assert_eq!((run.code, run.summary("limited_by").as_str()), (Some(4), "host"), "{run:?}");
    assert_eq!(run.summary("bound"), "lower");
    // Tester and DUT need some of their 256 for themselves.
    let held = run.number("cc_mean");
    assert!((100.0..=192.0).contains(&held), "{held}: {}", run.stdout);
    assert!(run.stdout.contains("descriptors"), "{}", run.stdout);

    let fixed = "[search]\nmethod = \"fixed\"";
    let load = format!("{load}\ncount = 5000");
    let path = folder.write("cc.toml", &small("none", &load, fixed));
    let run = Started::by(&["sh", "-c", FEW_DESCRIPTORS, "sh"], &folder, &[&path]).finish_clean();
    run.assert_refused(3, &["5000 connections at once", "256 (RLIMIT_NOFILE)", "in reserve =", "ulimit -n"]);
}

#[test]
fn a_plan_that_needs_more_ports_than_there_are_is_refused_with_the_arithmetic() {
    let folder = Folder::new();
    let scenario = rate(&shipped("reference-http.toml")).replace("50/s", "100k/s");
    let scenario = format!("{scenario}\n[clients]\nsource_networks = [\"127.0.0.1/32\"]\n");
    for profile in ["rfc", "standard"] {
        let text = scenario.replace("name = \"bad-host\"", &format!("name = \"bad-host\"\nprofile = \"{profile}\""));
        let path = folder.write("ports.toml", &text);
        let words =
            ["100000 connections/s × ", "1 source addresses × 1 destinations × ", "ip_local_port_range", "give "];
        let run = Run::refused(&folder, &[&path], 3, &words);
        assert_eq!((run.stdout.as_str(), run.folder.as_ref()), ("", None), "{run:?}");
    }
}

#[test]
fn a_core_that_does_not_exist_is_refused_with_those_that_do() {
    let folder = Folder::new();
    let path =
        folder.write("core.toml", &rate("none").replace("reflectors = 1", "reflectors = 1\ngenerator_cores = [4095]"));
    let first = host::cpu::allowed_cores()[0].to_string();
    Run::refused(&folder, &[&path], 3, &["testbed.generator_cores", "4095", "may run on cores", &first]);
}

#[test]
fn one_core_carries_a_run_and_the_sharing_is_said() {
    let _alone = exclusive();
    let folder = Folder::new();
    let core = host::cpu::allowed_cores()[0].to_string();
    let path = folder.write("one.toml", &rate(&shipped("reference-http.toml")));
    let run = Started::by(&["taskset", "-c", &core], &folder, &[&path]).finish_clean();
    assert_eq!((run.code, run.number("failed"), run.number("attempted")), (Some(0), 0.0, 50.0), "{run:?}");
    assert!(run.stdout.contains(&format!("the generator shares core {core} with the DUT")), "{}", run.stdout);
}

/// The program where everybody may execute it, and a folder where everybody may write.
fn for_nobody(folder: &Folder) -> PathBuf {
    let program = folder.path().join("loadgen");
    fs::copy(LOADGEN, &program).unwrap();
    for path in [folder.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    program
}

/// Becomes a user without privileges.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

#[test]
fn without_permission_a_quota_is_refused_and_all_else_works_and_ends() {
    if !available("root, to become nobody", is_root() && has_program("setpriv")) {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    let program = for_nobody(&folder);
    let text = fs::read_to_string(shipped("reference-http.toml")).unwrap();
    fs::copy(shipped("reference-http.lb.toml"), folder.path().join("reference-http.lb.toml")).unwrap();
    folder.write("quota.toml", &format!("{text}\ncpu_quota = \"50%\"\n"));
    let path = folder.write("quota-run.toml", &rate("quota.toml"));
    let run = as_nobody(&program, &folder, &path).finish_clean();
    run.assert_refused(3, &["cpu_quota", "control group", "run as root", "Delegate=cpu", "ermission denied"]);
    assert_eq!(run.stderr.matches("ermission denied").count(), 1, "{}", run.stderr);

    folder.write("plain.toml", &text);
    let path = folder.write("plain-run.toml", &rate("plain.toml"));
    let run = as_nobody(&program, &folder, &path).finish_clean();
    assert_eq!((run.code, run.number("failed")), (Some(0), 0.0), "{run:?}");
}

/// Without privileges there is no PID namespace: descendants have to be found one by one.
#[test]
fn nothing_outlives_an_unprivileged_run_that_is_killed() {
    if !available("root, to become nobody, and haproxy", is_root() && has_program("setpriv") && has_program("haproxy"))
    {
        return;
    }
    let _alone = exclusive();
    let folder = Folder::new();
    let program = for_nobody(&folder);
    for name in ["haproxy-http.toml", "haproxy-http.cfg"] {
        fs::copy(shipped(name), folder.path().join(name)).unwrap();
    }
    let path =
        folder.write("haproxy.toml", &rate("haproxy-http.toml").replace("sustain = \"1s\"", "sustain = \"60s\""));
    let mut started = as_nobody(&program, &folder, &path);
    started.wait_for_load();
    assert!(started.look().iter().any(|(_, line)| line.contains("haproxy -db")), "{:?}", started.look());
    started.signal(host::process::Signal::KILL);
    assert_eq!(started.finish_clean().code, None);
}

fn as_nobody(program: &Path, folder: &Folder, scenario: &Path) -> Started {
    Started::program(program, &NOBODY, folder, &[scenario])
}

#[test]
fn a_reports_folder_that_cannot_be_made_is_refused() {
    let folder = Folder::new();
    let path = folder.write("sound.toml", &rate("none"));
    folder.write("reports", "this is a file\n");
    let run = Run::refused(&folder, &[&path], 3, &["cannot make", "reports/bad-host", "--reports", "Not a directory"]);
    assert_eq!(run.stdout, "", "nothing was measured");
    if available("root, to become nobody", is_root() && has_program("setpriv")) {
        let folder = Folder::new();
        let program = for_nobody(&folder);
        let path = folder.write("sound.toml", &rate("none"));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let run = as_nobody(&program, &folder, &path).finish_clean();
        run.assert_refused(3, &["cannot make", "--reports", "Permission denied"]);
    }
}

/// A file system of a few kilobytes, until it is dropped.
struct Tight(PathBuf);

impl Tight {
    fn mount(path: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={size},mode=777");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for Tight {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_run_and_keeps_what_was_written() {
    let _alone = exclusive();
    let folder = Folder::new();
    let path = folder.write("full.toml", &rate(&shipped("reference-http.toml")));
    // Room for the numbers and not for the pictures; then not even for the first files.
    for size in ["300k", "8k"] {
        let tight = Tight::mount(folder.path().join("reports"), size);
        if !available("root, to mount a small file system", tight.is_some()) {
            return;
        }
        let run = Started::of(&folder, &[&path]).finish_clean();
        run.assert_refused(3, &["no space left for", "what was written so far is kept", "another disk"]);
        if size == "300k" {
            assert!(run.file("scenario.toml").contains("bad-host") && run.file("timeline.csv").lines().count() > 1);
            assert_eq!((run.csv("trials.csv").len(), run.summary("attempted").as_str()), (1, "50"), "{run:?}");
        }
    }
}
