//! Scenarios as text, runs of the real program, and what they wrote.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const LOADGEN: &str = env!("CARGO_BIN_EXE_loadgen-under-test");
/// The reflector alone, to be started as a DUT.
pub(crate) const REFLECTOR: &str = env!("CARGO_BIN_EXE_reflector-under-test");
/// The reference LB alone.
pub(crate) const LB: &str = env!("CARGO_BIN_EXE_lb-under-test");
/// Longest run of a test before it counts as hanging.
const RUN_MAX: Duration = Duration::from_secs(180);

/// One measuring run at a time: they share the cores of the machine.
pub(crate) fn exclusive() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether something the test needs is there; in the gate everything has to be, elsewhere the test
/// says loudly that it was skipped.
pub(crate) fn available(what: &str, there: bool) -> bool {
    if !there {
        assert!(std::env::var_os("NADARE_REQUIRE_ALL").is_none(), "{what} is missing, and this run may skip nothing");
        println!("SKIPPED: {what} is missing");
    }
    there
}

/// Whether a program is on the path, or where administrators' programs are.
pub(crate) fn has_program(name: &str) -> bool {
    find_program(name).is_some()
}

/// A command of a program that [`has_program`] found, and that dies with the thread that starts it.
pub(crate) fn command_of(name: &str) -> Command {
    let program = find_program(name).unwrap_or_else(|| panic!("{name} is missing"));
    let mut command = Command::new(program);
    host::process::dies_with_parent(&mut command);
    command
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// A scenario with one open-loop trial of one-request connections straight to one reflector, which
/// close with our FIN; `load` are further lines of `[load]`.
pub(crate) fn straight(name: &str, seed: u32, [rate, request, arguments, load]: [&str; 4]) -> String {
    format!(
        r#"
[scenario]
name = "{name}"
seed = {seed}
[testbed]
dut = "none"
reflectors = 1
reflector_arguments = [{arguments}]
[workload]
kind = "http"
request = "{request}"
requests_per_connection = 1
[load]
unit = "connections/s"
rate = "{rate}"
{load}
[search]
method = "fixed"
"#
    )
}

/// A folder that is removed at the end, unless the test fails.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("nadare-e2e-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("kept for a look: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// What a run of the program left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The run folder, if one was made.
    pub(crate) folder: Option<PathBuf>,
}

impl Run {
    /// The program with these arguments and `--reports` in `folder`.
    pub(crate) fn of<S: AsRef<OsStr>>(folder: &Folder, arguments: &[S]) -> Self {
        let reports = folder.path().join("reports");
        let mut command = Command::new(LOADGEN);
        command.args(arguments).arg("--quiet").arg("--reports").arg(&reports);
        Self::finish(command, &reports)
    }

    /// Any command to its end, with the run folder below `reports` it may have made.
    pub(crate) fn finish(mut command: Command, reports: &Path) -> Self {
        let (code, stdout, stderr) = output(&mut command);
        Self { code, stdout, stderr, folder: newest(reports) }
    }

    /// A file of the run folder.
    pub(crate) fn file(&self, name: &str) -> String {
        let folder = self.folder.as_ref().unwrap_or_else(|| panic!("no run folder: {self:?}"));
        fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}; {self:?}"))
    }

    /// A CSV of the run folder as rows by column name.
    pub(crate) fn csv(&self, name: &str) -> Vec<HashMap<String, String>> {
        let text = self.file(name);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        reader.deserialize().collect::<Result<_, _>>().unwrap()
    }

    /// A column of the first row of `summary.csv`.
    pub(crate) fn summary(&self, column: &str) -> String {
        let rows = self.csv("summary.csv");
        rows[0].get(column).unwrap_or_else(|| panic!("no column {column}: {:?}", rows[0])).clone()
    }

    /// The same as a number.
    pub(crate) fn number(&self, column: &str) -> f64 {
        let text = self.summary(column);
        text.parse().unwrap_or_else(|_| panic!("{column} is {text:?}: {self:?}"))
    }

    /// `result.json`.
    pub(crate) fn result(&self) -> serde_json::Value {
        serde_json::from_str(&self.file("result.json")).unwrap()
    }
}

/// Set in the environment of a started run, so that all that descends from it can be found.
const MARK: &str = "NADARE_E2E_MARK";

/// A run under way, to be watched, signalled or killed. Dropping it kills it.
pub(crate) struct Started {
    child: Child,
    mark: String,
    reports: PathBuf,
    output: [PathBuf; 2],
    /// Processes that were seen, with their start times: some programs overwrite their environment.
    seen: HashMap<u32, u64>,
}

impl Started {
    /// The program with these arguments and `--reports` in `folder`.
    pub(crate) fn of<S: AsRef<OsStr>>(folder: &Folder, arguments: &[S]) -> Self {
        Self::by(&[], folder, arguments)
    }

    /// The same, started by another program that executes it: `taskset -c 0`.
    pub(crate) fn by<S: AsRef<OsStr>>(by: &[&str], folder: &Folder, arguments: &[S]) -> Self {
        Self::program(Path::new(LOADGEN), by, folder, arguments)
    }

    /// The same with a copy of the program elsewhere.
    pub(crate) fn program<S: AsRef<OsStr>>(program: &Path, by: &[&str], folder: &Folder, arguments: &[S]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{MARK}={}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let reports = folder.path().join("reports");
        let output = ["stdout.txt", "stderr.txt"].map(|name| folder.write(name, ""));
        let mut line = by.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(line.next().unwrap());
        command.args(line).args(arguments).arg("--quiet").arg("--reports").arg(&reports).stdin(Stdio::null());
        let (name, value) = mark.split_once('=').unwrap();
        command.env(name, value).stdout(fs::File::create(&output[0]).unwrap());
        let child = command.stderr(fs::File::create(&output[1]).unwrap()).spawn().unwrap();
        Self { child, mark, reports, output, seen: HashMap::new() }
    }

    /// The number of the program's process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The run folder, if there is one yet.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        newest(&self.reports)
    }

    /// Waits until the first seconds of a trial are in the timeline, and remembers who is running.
    pub(crate) fn wait_for_load(&mut self) {
        let measured = || {
            let text = fs::read_to_string(newest(&self.reports)?.join("timeline.csv")).ok()?;
            (text.lines().count() > 1).then_some(())
        };
        let begun = until(Duration::from_secs(30), measured);
        assert!(begun.is_some(), "no load within 30 s: {:?}", self.texts());
        self.look();
    }

    /// All processes of the run that are alive: their numbers and command lines.
    pub(crate) fn look(&mut self) -> Vec<(u32, String)> {
        for pid in host::kernel::descendants(self.child.id()) {
            if let Some(born) = start_time(pid) {
                self.seen.insert(pid, born);
            }
        }
        let is_marked = |pid: u32| {
            let text = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            text.split(|byte| *byte == 0).any(|entry| entry == self.mark.as_bytes())
        };
        let pids =
            fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let alive = pids.filter(|pid| {
            let born = start_time(*pid);
            let was_seen = born.is_some() && born == self.seen.get(pid).copied();
            *pid != self.child.id() && born.is_some() && (was_seen || is_marked(*pid))
        });
        let line = |pid| {
            String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).replace('\0', " ")
        };
        alive.map(|pid| (pid, line(pid))).collect()
    }

    /// Asserts that nothing of the run is left, not even a control group, after a bounded wait.
    pub(crate) fn assert_nothing_left(&mut self, why: &str) {
        let gone = until(Duration::from_secs(10), || self.look().is_empty().then_some(()));
        assert!(gone.is_some(), "{why}: these are left: {:?}", self.look());
        let group = format!("nadare-{}-dut", self.child.id());
        let no_group = || groups().iter().all(|path| !path.ends_with(&group)).then_some(());
        assert!(until(Duration::from_secs(5), no_group).is_some(), "{why}: {group} is left in {:?}", groups());
    }

    pub(crate) fn signal(&self, signal: host::process::Signal) {
        host::process::signal(self.child.id(), signal).unwrap();
    }

    /// Waits for the end of the program, and asserts that nothing else of it is left.
    pub(crate) fn finish_clean(&mut self) -> Run {
        self.look();
        let run = self.finish();
        self.assert_nothing_left(&format!("{run:?}"));
        run
    }

    /// Waits for the end of the program.
    pub(crate) fn finish(&mut self) -> Run {
        let status = until(RUN_MAX, || self.child.try_wait().unwrap());
        let (stdout, stderr) = self.texts();
        let Some(status) = status else { panic!("the run hangs; it printed\n{stdout}\n{stderr}") };
        Run { code: status.code(), stdout, stderr, folder: self.folder() }
    }

    fn texts(&self) -> (String, String) {
        let [stdout, stderr] = self.output.each_ref().map(|path| fs::read_to_string(path).unwrap_or_default());
        (stdout, stderr)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// When a process was started, in clock ticks; `None` if it has ended, reaped or not.
fn start_time(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may contain anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields[0], "Z" | "X") { None } else { fields[19].parse().ok() }
}

/// The control groups of all runs.
fn groups() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<(PathBuf, u32)> = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && depth < 4 {
                let is_ours = entry.file_name().to_string_lossy().starts_with("nadare-");
                if is_ours { found.push(entry.path()) } else { folders.push((entry.path(), depth + 1)) }
            }
        }
    }
    found
}

impl Run {
    /// The program with these arguments refuses with this exit code and a text that has all these
    /// words; it says nothing else and leaves nothing running.
    pub(crate) fn refused<S: AsRef<OsStr>>(folder: &Folder, arguments: &[S], code: i32, words: &[&str]) -> Self {
        let run = Started::of(folder, arguments).finish_clean();
        run.assert_refused(code, words);
        run
    }

    pub(crate) fn assert_refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.starts_with("error: ") && !self.stderr.contains("panicked"), "{self:?}");
        let missing: Vec<_> = words.iter().filter(|word| !self.stderr.contains(**word)).collect();
        assert!(missing.is_empty(), "{missing:?} is missing in: {}", self.stderr);
    }
}

/// Runs a command to its end, which has to come in time: its exit code and what it wrote.
pub(crate) fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text).unwrap_or_default()
    });
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text).unwrap_or_default()
    });
    let ended = until(RUN_MAX, || child.try_wait().unwrap());
    if ended.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (stdout, stderr) = (reader.join().unwrap(), errors.join().unwrap());
    let Some(status) = ended else { panic!("the run hangs; it printed\n{stdout}\n{stderr}") };
    (status.code(), stdout, stderr)
}

/// Asks until there is an answer, at most for so long.
pub(crate) fn until<T>(bound: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// The last run folder below a reports folder.
fn newest(reports: &Path) -> Option<PathBuf> {
    let scenario = fs::read_dir(reports).ok()?.flatten().map(|entry| entry.path()).max()?;
    fs::read_dir(scenario).ok()?.flatten().map(|entry| entry.path()).max()
}
