//! The testbed over real processes: what it starts serves, is measured, and never outlives the run.
//!
//! Programs that must be gone are found by an argument that no other process of the host has.

#![allow(clippy::unwrap_used, reason = "what a test calls fails like the test itself")]

mod programs;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use loadgen::interrupt::Interrupt;
use loadgen::measure::Role;
use loadgen::scenario::plan::*;
use loadgen::testbed::ports::{dut_side_warning, plan_ports};
use loadgen::testbed::{self, PortSysctls, Signal, TestbedError};
use wire::units::{Percent, Rate};

const LOADGEN: &str = env!("CARGO_BIN_EXE_loadgen");
const BOUND: Duration = Duration::from_secs(10);

fn number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A duration that no other `sleep` on this host was given.
fn marker() -> String {
    format!("1000.0{:06}{:03}", std::process::id(), number())
}

fn run_dir() -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("testbed-{}-{}", std::process::id(), number()));
    fs::create_dir_all(&path).unwrap();
    path
}

/// The command lines of this host that contain the marker.
fn marked_lines(marker: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.map(|entry| fs::read(entry.path().join("cmdline")).unwrap_or_default());
    let texts = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    texts.filter(|text| text.contains(marker)).collect()
}

/// How many processes have the marker in their command line.
fn marked(marker: &str) -> usize {
    marked_lines(marker).len()
}

/// How many processes are a `sleep` with the marker.
fn sleeping(marker: &str) -> usize {
    marked_lines(marker).iter().filter(|line| line.starts_with("sleep ")).count()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < BOUND, "not within {BOUND:?}: {what}");
        std::thread::yield_now();
    }
}

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|word| (*word).to_owned()).collect()
}

fn command(start: Vec<String>, ready: &str) -> DutKind {
    DutKind::Command {
        start,
        config: None,
        ready: Ready { check: ReadyCheck::Tcp(ready.to_owned()), within: Duration::from_secs(3) },
        admin: None,
        package: None,
        workers: None,
    }
}

fn plan(kind: DutKind) -> Plan {
    let dut = Dut {
        name: "x".to_owned(),
        kind,
        service: "http://127.0.0.1:{port}".to_owned(),
        cores: vec![],
        cpu_quota: None,
        file_text: String::new(),
    };
    let second = Duration::from_secs(1);
    Plan {
        name: "x".to_owned(),
        question: String::new(),
        seed: 1,
        profile: Profile::Standard,
        scenario_text: String::new(),
        testbed: TestbedPlan {
            network: Network::Loopback,
            links: Default::default(),
            dut,
            reflectors: 0,
            remote_reflectors: vec![],
            reflector_arguments: vec![],
            generator_cores: vec![],
            allow_targets: vec![],
            source_networks: vec![],
        },
        workload: Workload { kind: WorkloadKind::Tcp, requests_per_connection: None, close: CloseMode::ClientFin },
        load: LoadPlan {
            engine: Engine::Epoll,
            unit: Unit::ConnectionsPerSecond,
            rate: None,
            count: None,
            arrivals: Arrivals::Even,
            pattern: Pattern::Flat,
            phases: Phases { init: second, ramp_up: second, sustain: second, ramp_down: second },
            slots: NonZeroU32::MIN,
            max_lag: second,
            connect_timeout: second,
            response_timeout: second,
            drain: second,
            open_rate: Rate::per_second(1.0).unwrap(),
            hold_interval: second,
        },
        search: SearchPlan::Fixed,
        expect: vec![],
        suite: None,
    }
}

/// A plan whose DUT counts as ready as soon as it runs.
fn running(start: Vec<String>) -> (Plan, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ready = listener.local_addr().unwrap().to_string();
    (plan(command(start, &ready)), listener)
}

fn start(plan: &Plan) -> Result<testbed::Testbed, TestbedError> {
    testbed::start(plan, &run_dir(), Path::new(LOADGEN), &Interrupt::default())
}

fn error(plan: &Plan) -> String {
    start(plan).err().expect("the testbed must not start").to_string()
}

#[test]
fn the_ports_of_a_plan_are_judged_on_both_sides_of_the_dut() {
    let sysctls = PortSysctls { first: 32_768, last: 60_999, tw_reuse: 2, timestamps: true };
    let mut plan = plan(DutKind::External { address: "127.0.0.1:80".parse().unwrap() });
    plan.load.rate = Some(Rate::per_second(50_000.0).unwrap());
    let error = plan_ports(&plan, sysctls).unwrap_err();
    assert!(error.contains("50000 connections/s") && error.contains("1 destinations"), "{error}");
    plan.testbed.source_networks = words(&["127.0.1.0/24", "127.0.9.1"]);
    assert_eq!(plan_ports(&plan, sysctls).unwrap().tuples, 255 * 28_232);
    // The DUT has one address: with one reflector behind it, it runs out of ports where clients do not.
    plan.testbed.reflectors = 1;
    assert!(dut_side_warning(&plan, sysctls).unwrap().contains("reflectors"));
    plan.testbed.reflectors = 2;
    assert_eq!(dut_side_warning(&plan, sysctls), None);
    // Held connections count as they are, and a close by the server leaves the client no tuple to keep.
    plan.load.unit = Unit::Connections;
    plan.load.rate = None;
    plan.load.count = NonZeroU32::new(60_000);
    plan.testbed.source_networks.clear();
    assert!(plan_ports(&plan, sysctls).unwrap_err().contains("60000 open at once"));
    plan.load.unit = Unit::ConnectionsPerSecond;
    plan.workload.close = CloseMode::ServerFin;
    assert_eq!(plan_ports(&plan, sysctls).unwrap().hold_s, 0.0);
}

#[test]
fn stopping_ends_a_program_and_what_it_has_forked() {
    let marker = marker();
    let script = format!("sleep {marker} & setsid sleep {marker} & exec sleep {marker}");
    let (plan, _ready) = running(words(&["sh", "-c", &script]));
    let testbed = start(&plan).unwrap();
    wait_until("three sleeps run", || sleeping(&marker) == 3);
    let began = Instant::now();
    let report = testbed.stop();
    assert!(report.unclean.is_empty(), "{report:?}");
    assert!(began.elapsed() < Duration::from_secs(2), "SIGTERM was enough, but took {:?}", began.elapsed());
    assert_eq!(marked(&marker), 0);
}

#[test]
fn a_program_that_ignores_sigterm_is_killed() {
    let marker = marker();
    let script = format!("trap '' TERM; while :; do sleep {marker}; done");
    let (plan, _ready) = running(words(&["sh", "-c", &script]));
    let testbed = start(&plan).unwrap();
    wait_until("it sleeps", || sleeping(&marker) == 1);
    let report = testbed.stop();
    assert!(report.unclean[0].1.contains("ignored SIGTERM"), "{report:?}");
    assert_eq!(marked(&marker), 0);
}

#[test]
fn a_program_in_the_background_runs_until_it_is_stopped() {
    let marker = marker();
    let script = format!("setsid sleep {marker} & exit 0");
    let (plan, _ready) = running(words(&["sh", "-c", &script]));
    let mut testbed = start(&plan).unwrap();
    wait_until("only the daemon is left", || sleeping(&marker) == 1 && marked(&marker) == 2);
    assert_eq!(testbed.failures(), []);
    assert!(testbed.sample().role(Role::Dut).unwrap().rss_anon_bytes > 0);
    testbed.stop();
    assert_eq!(marked(&marker), 0);
}

#[test]
fn the_end_of_a_dut_is_told_with_its_signal_and_its_last_words() {
    let marker = marker();
    let script = format!("echo last words; exec sleep {marker}");
    let (plan, _ready) = running(words(&["sh", "-c", &script]));
    let mut testbed = start(&plan).unwrap();
    wait_until("it sleeps", || sleeping(&marker) == 1);
    assert_eq!(testbed.failures(), []);
    testbed.signal_dut(Signal::KILL);
    let mut failures = Vec::new();
    wait_until("the end is seen", || {
        failures = testbed.failures();
        !failures.is_empty()
    });
    let (role, text) = &failures[0];
    assert_eq!(*role, Role::Dut);
    assert!(text.contains("signal 9") && text.contains("last words"), "{text}");
    testbed.stop();
    assert_eq!(marked(&marker), 0);
}

#[test]
fn signals_reach_the_handlers_of_the_program() {
    let marker = marker();
    let script = format!("trap 'echo got it; exit 7' TERM; sleep {marker} & wait");
    let (plan, _ready) = running(words(&["sh", "-c", &script]));
    let mut testbed = start(&plan).unwrap();
    wait_until("it sleeps", || sleeping(&marker) == 1);
    testbed.signal_dut(Signal::TERM);
    let mut failures = Vec::new();
    wait_until("the end is seen", || {
        failures = testbed.failures();
        !failures.is_empty()
    });
    assert!(failures[0].1.contains("exit status 7") && failures[0].1.contains("got it"), "{failures:?}");
    assert_eq!(marked(&marker), 0);
}

#[test]
fn a_dut_that_cannot_serve_is_an_error_with_its_last_words() {
    let mut plan = plan(command(words(&["sh", "-c", "echo no licence; exit 3"]), "127.0.0.1:{port}"));
    let text = error(&plan);
    assert!(text.contains("exit status 3") && text.contains("no licence"), "{text}");

    let marker = marker();
    let never = command(words(&["sh", "-c", &format!("echo thinking; sleep {marker}")]), "127.0.0.1:{port}");
    plan.testbed.dut.kind = never;
    if let DutKind::Command { ready, .. } = &mut plan.testbed.dut.kind {
        ready.within = Duration::from_millis(200);
    }
    let text = error(&plan);
    assert!(text.contains("200ms") && text.contains("thinking") && text.contains("ready.within"), "{text}");
    assert_eq!(marked(&marker), 0);

    plan.testbed.dut.kind = command(words(&["no-such-program"]), "127.0.0.1:{port}");
    assert!(error(&plan).contains("no-such-program"));
}

#[test]
fn a_fixed_port_that_is_in_use_is_refused() {
    let (mut plan, ready) = running(words(&["sleep", "1000"]));
    let taken = ready.local_addr().unwrap();
    plan.testbed.dut.service = format!("http://{taken}");
    let text = error(&plan);
    assert!(text.contains(&taken.to_string()) && text.contains("in use"), "{text}");
}

#[test]
fn a_cpu_quota_holds_and_its_throttling_is_counted() {
    let (mut plan, _ready) = running(words(&["sh", "-c", "while :; do :; done"]));
    plan.testbed.dut.cpu_quota = Some(Percent::from_ratio(0.2).unwrap());
    let mut testbed = match start(&plan) {
        Ok(testbed) => testbed,
        Err(error @ TestbedError::Quota(_)) => {
            assert!(error.to_string().contains("cpu_quota") && error.to_string().contains("root"), "{error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let first = testbed.sample();
    let mut last = first.clone();
    wait_until("half a second has passed", || {
        last = testbed.sample();
        last.at_ns - first.at_ns > 500_000_000
    });
    let used = last.role(Role::Dut).unwrap().cpu_ns - first.role(Role::Dut).unwrap().cpu_ns;
    let share = used as f64 / (last.at_ns - first.at_ns) as f64;
    // A busy host may give less, and the kernel lets a slice per period through.
    assert!(share < 0.3, "a DUT with a fifth of a core used {share:.3}");
    assert!(used > 0);
    assert!(last.role(Role::Dut).unwrap().throttled > first.role(Role::Dut).unwrap().throttled);
    testbed.stop();
    assert_eq!(groups_of(std::process::id()), Vec::<PathBuf>::new());
}

/// The control groups that a run has left behind.
fn groups_of(pid: u32) -> Vec<PathBuf> {
    let folders = ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"].map(PathBuf::from);
    folders.into_iter().map(|folder| folder.join(format!("nadare-{pid}-dut"))).filter(|path| path.exists()).collect()
}

#[test]
fn nothing_outlives_a_killed_supervisor_or_its_lifeline() {
    for kill in [true, false] {
        let marker = marker();
        let script = format!("trap '' TERM; setsid sleep {marker} & sleep {marker}; sleep {marker}");
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut supervisor = Command::new(LOADGEN)
            .args(["role", "exec", "--", "sh", "-c", &script])
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()
            .unwrap();
        wait_until("the program has forked", || sleeping(&marker) == 2);
        let (kept, closed) = if kill { (Some(ours), None) } else { (None, Some(ours)) };
        drop(closed);
        if kill {
            supervisor.kill().unwrap();
        }
        // Without a namespace a killed supervisor leaves what has left the program's own process.
        let is_root = fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0);
        if kill && !is_root {
            wait_until("the program itself is gone", || marked(&marker) == sleeping(&marker));
            let left = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
                let line = fs::read(entry.path().join("cmdline")).ok()?;
                let is_left = String::from_utf8_lossy(&line).contains(&marker);
                is_left.then(|| entry.file_name().to_str()?.parse::<u32>().ok())?
            });
            left.for_each(|pid| host::process::signal(pid, Signal::KILL).unwrap());
        }
        wait_until("nothing is left", || marked(&marker) == 0);
        drop(kept);
        supervisor.wait().unwrap();
    }
}

/// Not a test of its own: the parent that the next test kills.
#[test]
#[ignore = "run by nothing_outlives_a_killed_run"]
fn a_run_to_be_killed() {
    let Ok(marker) = std::env::var("NADARE_TEST_MARKER") else { return };
    let script = format!("setsid sleep {marker} & exec sleep {marker}");
    let (mut plan, _ready) = running(words(&["sh", "-c", &script]));
    if std::env::var_os("NADARE_TEST_HAPROXY").is_some() {
        plan.testbed.dut = haproxy_dut(&format!("haproxy-{marker}.cfg"), words(&["haproxy", "-db", "-f", "{config}"]));
    }
    plan.testbed.reflectors = 1;
    plan.testbed.reflector_arguments = words(&["--seed", &seed_of(&marker)]);
    let _testbed = start(&plan).unwrap();
    loop {
        std::thread::park();
    }
}

fn seed_of(marker: &str) -> String {
    marker.replace('.', "")
}

#[test]
fn nothing_outlives_a_killed_run() {
    for with_haproxy in [false, true] {
        if with_haproxy && !is_installed("haproxy") {
            return;
        }
        let marker = marker();
        let mut run = Command::new(std::env::current_exe().unwrap());
        run.args(["--ignored", "--exact", "a_run_to_be_killed"]);
        run.env("NADARE_TEST_MARKER", &marker).stdout(Stdio::null());
        if with_haproxy {
            run.env("NADARE_TEST_HAPROXY", "1");
        }
        let mut run = run.spawn().unwrap();
        let serves = || match with_haproxy {
            true => marked_lines(&marker).iter().any(|line| line.contains("haproxy -db")),
            false => sleeping(&marker) == 2,
        };
        wait_until("the run has started", || serves() && marked(&seed_of(&marker)) == 1);
        run.kill().unwrap();
        run.wait().unwrap();
        wait_until("nothing is left", || marked(&marker) + marked(&seed_of(&marker)) == 0);
    }
}

/// haproxy in TCP mode in front of all reflectors.
fn haproxy_dut(config: &str, start: Vec<String>) -> Dut {
    let text = "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n\
                listen main\n  bind 127.0.0.1:{port}\n  server {name} {address}\n";
    let kind = DutKind::Command {
        start,
        config: Some(Template { path: PathBuf::from(config), text: text.to_owned() }),
        ready: Ready { check: ReadyCheck::Tcp("127.0.0.1:{port}".to_owned()), within: Duration::from_secs(5) },
        admin: Some(("haproxy_socket".to_owned(), "{run}/haproxy.sock".to_owned())),
        package: Some("haproxy".to_owned()),
        workers: None,
    };
    plan(kind).testbed.dut
}

#[test]
fn a_port_that_turns_out_to_be_taken_is_replaced_by_another() {
    if !is_installed("haproxy") {
        return;
    }
    let script = "echo {port} >>{run}/ports; \
                  [ $(wc -l <{run}/ports) = 2 ] || { echo Address already in use; exit 1; }; \
                  PATH=$PATH:/usr/sbin:/usr/local/sbin exec haproxy -db -f {config}";
    let mut plan = plan(DutKind::None);
    plan.testbed.dut = haproxy_dut("haproxy.cfg", words(&["sh", "-c", script]));
    let run_dir = run_dir();
    let testbed = testbed::start(&plan, &run_dir, Path::new(LOADGEN), &Interrupt::default()).unwrap();
    let ports = fs::read_to_string(run_dir.join("ports")).unwrap();
    let ports: Vec<u16> = ports.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(ports.len(), 2);
    assert_eq!(testbed.service()[0].port(), ports[1]);
    assert!(testbed.stop().unclean.is_empty());
}

fn is_installed(program: &str) -> bool {
    ["/usr/sbin", "/usr/local/sbin", "/usr/bin"].iter().any(|folder| Path::new(folder).join(program).exists())
}
