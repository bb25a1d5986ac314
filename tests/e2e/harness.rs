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

/// Whether a program is on the path.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|folder| folder.join(name).is_file())
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
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (code, stdout, stderr) = wait(command.spawn().unwrap());
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

fn wait(mut child: Child) -> (Option<i32>, String, String) {
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
