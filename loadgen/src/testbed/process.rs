//! One child process of a run, as its parent sees it: started, asked whether it is ready, ended.
//!
//! Children are started by a thread of their own, the [`Launcher`], because the kernel ties "die with
//! your parent" to the *thread* that forked: a child of a thread pool would be killed as soon as the
//! pool retires that thread.

use std::fs::OpenOptions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use host::process::{ExitKind, Signal};
use wire::control::{Command as Order, Event};

use super::channel::{Channel, ChannelError};
use super::error::{LogTail, TestbedError};
use super::netns::Netns;
use crate::interrupt::Interrupt;
use crate::measure::Role;

/// How long the kernel may take to end a process after SIGKILL.
const KILL_BOUND: Duration = Duration::from_secs(2);

/// Starts processes from a thread that lives as long as it does. When it is dropped, the kernel kills
/// what is still running of them.
pub(super) struct Launcher {
    requests: mpsc::Sender<Request>,
}

type Request = (Command, mpsc::Sender<io::Result<Child>>);

impl Launcher {
    /// # Errors
    /// The kernel's reason for not starting a thread.
    pub(super) fn start() -> io::Result<Self> {
        let (requests, inbox) = mpsc::channel::<Request>();
        std::thread::Builder::new().name("launcher".to_owned()).spawn(move || {
            for (mut command, answer) in inbox {
                // A caller that has gone away wants no answer; its child ends with its lifeline.
                let _ = answer.send(command.spawn());
            }
        })?;
        Ok(Self { requests })
    }

    fn spawn(&self, command: Command) -> io::Result<Child> {
        let (answer, result) = mpsc::channel();
        let gone = || io::Error::other("the launcher has ended");
        self.requests.send((command, answer)).map_err(|_| gone())?;
        result.recv().map_err(|_| gone())?
    }
}

/// What all processes of a run have in common.
pub(super) struct Context<'a> {
    /// Starts them.
    pub(super) launcher: &'a Launcher,
    /// The namespaces they live in, if the run has made some.
    pub(super) network: Option<&'a Netns>,
    /// The executable that has the roles.
    pub(super) executable: &'a Path,
    /// Where logs and configurations go.
    pub(super) run_dir: &'a Path,
    /// Whether the user has lost patience with one that does not get ready.
    pub(super) interrupt: &'a Interrupt,
}

/// One child process.
pub(super) struct RoleProcess {
    role: Role,
    child: Child,
    channel: Channel,
    log: PathBuf,
    /// How it ended, once that is known.
    end: Option<String>,
}

/// What a role said when it became ready.
pub(super) struct ReadyLine {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) warnings: Vec<String>,
}

impl RoleProcess {
    /// Starts a role in a process group of its own, so that Ctrl-C reaches only its parent.
    pub(super) fn spawn(context: &Context<'_>, role: Role, arguments: &[String]) -> Result<Self, TestbedError> {
        let log = context.run_dir.join(format!("{}.log", role.name()));
        let write_error = |source| TestbedError::Write { path: log.clone(), source };
        let output = OpenOptions::new().create(true).append(true).open(&log).map_err(write_error)?;
        let errors = output.try_clone().map_err(write_error)?;
        let start = || -> io::Result<(Child, Channel)> {
            let (ours, theirs) = UnixStream::pair()?;
            let mut command = Command::new(context.executable);
            command.arg("role");
            if let Some(network) = context.network {
                command.args(["--namespace", &network.of(role).path()]);
            }
            command.args(arguments).process_group(0);
            command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(output).stderr(errors);
            Ok((context.launcher.spawn(command)?, Channel::new(ours)))
        };
        let (child, channel) = start().map_err(|source| TestbedError::Spawn {
            role: role.name(),
            program: context.executable.to_path_buf(),
            source,
        })?;
        Ok(Self { role, child, channel, log, end: None })
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    /// The last lines it has written.
    pub(super) fn log(&self) -> LogTail {
        LogTail::read(&self.log)
    }

    /// Waits for the ready line.
    pub(super) fn ready(&mut self, bound: Duration) -> Result<ReadyLine, TestbedError> {
        match self.channel.receive::<Event>(bound) {
            Ok(Event::Ready { addresses, admin, warnings }) => Ok(ReadyLine { addresses, admin, warnings }),
            Ok(Event::Failed { message }) => Err(self.failed(message)),
            Ok(Event::Ledger { .. }) => Err(self.failed("it sent a ledger instead of a ready line".to_owned())),
            Err(ChannelError::Malformed(text)) => Err(self.failed(format!("its ready line is garbage: {text}"))),
            Err(ChannelError::Late(bound)) => Err(self.not_ready(bound, "no ready line came".to_owned())),
            Err(ChannelError::Closed) => {
                host::process::ended_within(self.pid(), KILL_BOUND);
                let how = self.failure().unwrap_or_else(|| "it closed its control channel".to_owned());
                Err(self.failed(how))
            }
        }
    }

    /// Waits for its failure, at most `bound`, and says how it failed.
    pub(super) fn failure_within(&mut self, bound: Duration) -> Option<String> {
        if self.end.is_none() {
            match self.channel.receive::<Event>(bound) {
                Ok(Event::Failed { message }) => self.end = Some(message),
                Err(ChannelError::Closed) => drop(host::process::ended_within(self.pid(), KILL_BOUND)),
                _ => {}
            }
        }
        self.failure()
    }

    /// How it ended, if it has. The last words of the role itself say more than its exit status.
    pub(super) fn failure(&mut self) -> Option<String> {
        if self.end.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            let said = self.last_words();
            self.end = Some(said.unwrap_or_else(|| format!("it ended with {}", ExitKind::from(status))));
        }
        self.end.clone()
    }

    pub(super) fn failed(&self, how: String) -> TestbedError {
        TestbedError::Failed { role: self.role.name(), how, log: self.log() }
    }

    pub(super) fn not_ready(&self, bound: Duration, waited_for: String) -> TestbedError {
        TestbedError::NotReady { role: self.role.name(), bound, waited_for, log: self.log() }
    }

    /// Asks it to stop, waits, and kills it with all that descends from it if it does not. Says what
    /// had to be killed, if anything, or how it had ended before.
    pub(super) fn stop(&mut self, bound: Duration) -> Option<String> {
        let before = self.failure();
        // A role that has ended cannot read it.
        let _ = self.channel.send(&Order::Stop);
        let late = !host::process::ended_within(self.pid(), bound);
        if late {
            self.kill();
        }
        // It has ended: this collects its status and its last words.
        let _ = self.child.try_wait();
        if before.is_some() {
            return before;
        }
        if late { Some(format!("it did not stop within {bound:?} and was killed")) } else { self.last_words() }
    }

    fn last_words(&mut self) -> Option<String> {
        let said = std::iter::from_fn(|| self.channel.receive::<Event>(Duration::ZERO).ok());
        said.take(8).find_map(|event| match event {
            Event::Failed { message } => Some(message),
            _ => None,
        })
    }

    fn kill(&mut self) {
        let descendants = host::kernel::descendants(self.pid());
        let _ = self.child.kill();
        for pid in descendants {
            let _ = host::process::signal(pid, Signal::KILL);
        }
        host::process::ended_within(self.pid(), KILL_BOUND);
    }
}

impl Drop for RoleProcess {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
            let _ = self.child.try_wait();
        }
    }
}
