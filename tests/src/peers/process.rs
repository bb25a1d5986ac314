//! Programs of a comparison: started on one core, watched, ended.
//!
//! None outlives this process: a program is one process (nginx included) that the kernel kills with
//! its parent. What programs say goes to files, of which the end is quoted when one fails.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use host::process::Signal;

use super::trouble::Trouble;

/// How long a program may take to serve.
const READY: Duration = Duration::from_secs(5);
/// How long a program may take to end when asked.
const END: Duration = Duration::from_secs(5);
/// Most of its output that is quoted.
const QUOTED: usize = 300;

/// A running program.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// What to start.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    /// Name in messages and of the files that take its output.
    pub(crate) name: &'a str,
    /// Program and arguments.
    pub(crate) command: Command,
    /// What to install if the program is missing.
    pub(crate) package: &'static str,
    /// The core that it runs on.
    pub(crate) core: usize,
    /// Where its output goes.
    pub(crate) folder: &'a Path,
}

/// A program found by its name.
pub(crate) fn command<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    // Servers live where the path of most users does not lead.
    let system = Path::new("/usr/sbin").join(program);
    let mut command = if system.exists() { Command::new(system) } else { Command::new(program) };
    command.args(arguments);
    command
}

/// One of our own programs, played by an executable that becomes it by the name it is called by.
pub(crate) fn own<S: AsRef<OsStr>>(executable: &Path, role: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(executable);
    command.arg0(role).args(arguments);
    command
}

impl Program {
    /// Starts a program on its core.
    pub(crate) fn start(start: Start<'_>) -> Result<Self, Trouble> {
        let core = start.core;
        Self::start_on(start, &[core])
    }

    /// Starts a program that places its own threads, on these cores.
    pub(crate) fn start_on(start: Start<'_>, on: &[usize]) -> Result<Self, Trouble> {
        let Start { name, mut command, package, folder, .. } = start;
        let file = |kind: &str| {
            let path = folder.join(format!("{name}.{kind}"));
            File::create(&path).map(|file| (path.clone(), file)).map_err(|source| Trouble::File { path, source })
        };
        let ((out, stdout), (err, stderr)) = (file("out")?, file("err")?);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        host::process::dies_with_parent(&mut command);
        // A child inherits the cores of the thread that starts it.
        let cores = host::cpu::allowed_cores();
        let pin = |cores: &[usize]| {
            host::cpu::pin_current_thread(cores)
                .map_err(|source| Trouble::Counter { what: "the cores of this thread", source })
        };
        pin(on)?;
        let child = command.spawn();
        pin(&cores)?;
        let name = name.to_owned();
        match child {
            Ok(child) => Ok(Self { name, child, out, err }),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                Err(Trouble::Missing { program: command.get_program().to_string_lossy().into_owned(), package })
            }
            Err(source) => Err(Trouble::Start { program: name, source }),
        }
    }

    /// Waits until it accepts connections.
    pub(crate) fn ready(mut self, address: SocketAddr) -> Result<Self, Trouble> {
        let connected = || TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
        self.until(READY, "accepted no connection", |_| connected())?;
        Ok(self)
    }

    /// Asks every 5 ms until there is an answer; a program that ends meanwhile, or takes too long, is an
    /// error.
    pub(crate) fn until<T>(
        &mut self,
        bound: Duration,
        what: &'static str,
        mut ask: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, Trouble> {
        let deadline = Instant::now() + bound;
        loop {
            self.check()?;
            if let Some(answer) = ask(self) {
                return Ok(answer);
            }
            if Instant::now() >= deadline {
                let text = self.quote();
                return Err(Trouble::Late { program: self.name.clone(), what, bound_s: bound.as_secs_f64(), text });
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// That it still runs.
    pub(crate) fn check(&mut self) -> Result<(), Trouble> {
        match self.child.try_wait() {
            Ok(Some(status)) => {
                Err(Trouble::Ended { program: self.name.clone(), how: status.to_string(), text: self.quote() })
            }
            _ => Ok(()),
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time that it has used, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> Result<u64, Trouble> {
        host::kernel::process_cpu_ns(self.pid())
            .map_err(|source| Trouble::Counter { what: "the CPU time of a program", source })
    }

    /// Its user memory in bytes (`RssAnon`).
    pub(crate) fn memory(&self) -> Option<u64> {
        host::kernel::process_memory(self.pid()).map(|(anonymous, _)| anonymous)
    }

    /// Interrupts it, as ctrl-c does, so that it says what it found.
    pub(crate) fn interrupt(&self) {
        // It may have ended by itself.
        let _ = host::process::signal(self.pid(), Signal::INT);
    }

    /// Waits for its end and returns what it printed.
    pub(crate) fn finish(mut self, bound: Duration) -> Result<String, Trouble> {
        if !host::process::ended_within(self.pid(), bound) {
            let (program, text) = (self.name.clone(), self.quote());
            return Err(Trouble::Late { program, what: "did not end", bound_s: bound.as_secs_f64(), text });
        }
        // It has ended: this only collects it.
        let _ = self.child.wait();
        Ok(fs::read_to_string(&self.out).unwrap_or_default())
    }

    /// The name it was started under.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The end of what it said, in one line.
    pub(crate) fn quote(&self) -> String {
        let text = [&self.out, &self.err].map(|path| fs::read_to_string(path).unwrap_or_default()).concat();
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let from = line.char_indices().rev().nth(QUOTED).map_or(0, |(at, _)| at);
        line[from..].to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // A process that has been collected has no number any more that is safely its own.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = host::process::signal(self.pid(), Signal::TERM);
            if !host::process::ended_within(self.pid(), END) {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
    }
}

/// An address of this host on which nobody listens now.
pub(crate) fn free_address() -> Result<SocketAddr, Trouble> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map_err(|source| Trouble::Counter { what: "a free port", source })
}

/// Waits so long, on the monotonic clock.
pub(crate) fn pass(time: Duration) {
    let deadline = Instant::now() + time;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // May return early, hence the loop.
        std::thread::park_timeout(left);
    }
}

/// A folder that goes with its owner.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes a new one for this process.
    pub(crate) fn create() -> Result<Self, Trouble> {
        let path = std::env::temp_dir().join(format!("nadare-peers-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|source| Trouble::File { path: path.clone(), source })?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in it.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Trouble> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(|source| Trouble::File { path: path.clone(), source })?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in a folder for temporary files is not worth failing for.
        let _ = fs::remove_dir_all(&self.0);
    }
}
