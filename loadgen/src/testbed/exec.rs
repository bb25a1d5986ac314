//! Supervises one program that is not ours: starts it, watches it, and ends all of its descendants.
//!
//! The supervisor is a process of its own (`loadgen role exec -- program …`) and has one thread: after
//! `unshare` the kernel refuses it another one. What keeps a program from outliving the run:
//! - end of file on the lifeline (the run was killed) ends program and descendants as a stop does;
//! - the kernel kills the program when the supervisor itself is killed;
//! - with privileges all of it lives in a PID namespace whose first process is a small one of ours.
//!   When that one dies, the kernel kills the rest, however far they have forked. Being second, the
//!   program keeps the usual meaning of signals, which process 1 of a namespace does not have;
//! - without privileges the supervisor adopts orphans and kills what it finds.
//!
//! A program that goes into the background (its first process ends with status 0 and leaves others)
//! counts as running until the last of them has ended.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use host::clock::monotonic_ns;
use host::kernel::descendants;
use host::process::{ExitKind, Signal};
use wire::control::{Command as Order, Event};

use super::channel::{Channel, ChannelError, readable};

/// Name of the first process of a namespace, by which samples leave it out.
pub(super) const INIT_NAME: &str = "nadare-init";

/// How long a program may take to end after SIGTERM.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// How long a parent waits for a supervisor that it has asked to stop.
pub(super) const STOP_BOUND: Duration = Duration::from_secs(5);

/// How long the kernel may take to end everything after SIGKILL.
const KILL_BOUND: Duration = Duration::from_secs(2);

/// How long the first process of a namespace may take to start.
const INIT_BOUND: Duration = Duration::from_secs(5);

/// How often the supervisor looks at its program; also the delay with which it notices its end.
const TICK: Duration = Duration::from_millis(50);

/// Runs the program until it ends or the parent says stop.
pub(super) fn supervise(
    mut channel: Channel,
    program: &[String],
    group: Option<&Path>,
    mut warnings: Vec<String>,
) -> ExitCode {
    if let Err(error) = host::process::adopt_orphans() {
        warnings.push(format!("cannot adopt orphans ({error}): a program that forks may leave some behind"));
    }
    let mut supervisor = match Supervisor::start(program) {
        Ok(supervisor) => supervisor,
        Err(error) => {
            let message = format!("{} cannot be started: {error}", program.first().map_or("", String::as_str));
            // If the parent is gone too, nobody is left to be told.
            let _ = channel.send(&Event::Failed { message });
            return ExitCode::FAILURE;
        }
    };
    warnings.extend(supervisor.warning.take());
    let ready = Event::Ready { addresses: Vec::new(), admin: None, warnings };
    let _ = channel.send(&ready);
    let end = supervisor.watch(&mut channel);
    let killed = supervisor.end_all();
    if let Some(group) = group {
        super::cgroup::leave(group);
    }
    match end.or(killed) {
        None => ExitCode::SUCCESS,
        Some(message) => {
            let _ = channel.send(&Event::Failed { message });
            ExitCode::FAILURE
        }
    }
}

/// The first process of a PID namespace: reaps what is left to it until its parent closes its input.
pub(super) fn init() -> ExitCode {
    let named = rustix::thread::set_name(c"nadare-init");
    let Ok(mut parent) = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from) else {
        return ExitCode::FAILURE;
    };
    if named.is_err() || parent.write_all(b"\n").is_err() {
        return ExitCode::FAILURE;
    }
    while !readable(&parent, Duration::from_secs(1)) {
        while host::process::reap().is_some() {}
    }
    ExitCode::SUCCESS
}

struct Supervisor {
    name: String,
    program: u32,
    /// First process of the namespace and its lifeline; without privileges there is none.
    init: Option<(Child, UnixStream)>,
    program_end: Option<ExitKind>,
    warning: Option<String>,
}

impl Supervisor {
    fn start(program: &[String]) -> io::Result<Self> {
        let (name, arguments) = program.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let (init, warning) = match host::process::unshare_pids() {
            // From here on nothing can be started without a first process.
            Ok(()) => (Some(start_init()?), None),
            // Without privileges this is normal and needs no warning.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => (None, None),
            Err(error) => (None, Some(format!("no PID namespace ({error}): orphans are looked for instead"))),
        };
        let mut command = Command::new(name);
        host::process::dies_with_parent(command.args(arguments).stdin(Stdio::null()));
        let program = command.spawn()?.id();
        Ok(Self { name: name.clone(), program, init, program_end: None, warning })
    }

    /// Returns when the parent wants the end (`None`) or the program has ended (how).
    fn watch(&mut self, channel: &mut Channel) -> Option<String> {
        loop {
            match channel.receive::<Order>(TICK) {
                Ok(Order::Stop) | Err(ChannelError::Closed) => return None,
                // A program keeps no ledger, and a line we do not know is no reason to end it.
                Ok(Order::Ledger { .. }) | Err(ChannelError::Late(_) | ChannelError::Malformed(_)) => {}
            }
            self.reap();
            match self.program_end {
                None => {}
                Some(ExitKind::Code(0)) if !self.left().is_empty() => {}
                Some(end) => return Some(format!("{} ended with {end}", self.name)),
            }
        }
    }

    /// SIGTERM to the program, a bounded wait, SIGKILL to whatever is left. Says so if the program
    /// itself had to be killed.
    fn end_all(&mut self) -> Option<String> {
        let in_background = self.program_end == Some(ExitKind::Code(0));
        match self.program_end {
            None => drop(host::process::signal(self.program, Signal::TERM)),
            Some(_) if in_background => {
                self.left().into_iter().for_each(|pid| drop(host::process::signal(pid, Signal::TERM)));
            }
            Some(_) => {}
        }
        let running = |this: &mut Self| {
            this.reap();
            this.program_end.is_none() || in_background && !this.left().is_empty()
        };
        self.wait_while(GRACE, running);
        let ignored = running(self).then(|| format!("{} ignored SIGTERM for {GRACE:?} and was killed", self.name));
        if let Some((init, _)) = &mut self.init {
            // The kernel now kills the whole namespace.
            drop(init.kill());
        }
        self.wait_while(KILL_BOUND, |this| {
            this.reap();
            let left = descendants(std::process::id());
            left.iter().for_each(|&pid| drop(host::process::signal(pid, Signal::KILL)));
            !left.is_empty()
        });
        ignored
    }

    fn wait_while(&mut self, bound: Duration, mut condition: impl FnMut(&mut Self) -> bool) {
        let deadline = monotonic_ns() + bound.as_nanos() as u64;
        while condition(self) && monotonic_ns() < deadline {
            match self.program_end {
                None => drop(host::process::ended_within(self.program, TICK / 10)),
                // Descendants that are not our children tell nobody of their end: look again shortly.
                Some(_) => drop(rustix::event::poll(&mut [], Some(&five_milliseconds()))),
            }
        }
    }

    fn reap(&mut self) {
        while let Some((pid, end)) = host::process::reap() {
            if pid == self.program {
                self.program_end = Some(end);
            }
            if self.init.as_ref().is_some_and(|(init, _)| init.id() == pid) {
                // Its number may now belong to somebody else.
                self.init = None;
            }
        }
    }

    /// What descends from the program, or from what it has left behind.
    fn left(&self) -> Vec<u32> {
        let init = self.init.as_ref().map(|(init, _)| init.id());
        let mut left = descendants(std::process::id());
        left.retain(|&pid| Some(pid) != init);
        left
    }
}

fn five_milliseconds() -> rustix::event::Timespec {
    rustix::event::Timespec { tv_sec: 0, tv_nsec: 5_000_000 }
}

/// Starts the first process of the namespace that the next children live in.
fn start_init() -> io::Result<(Child, UnixStream)> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.args(["role", "init"]).stdin(Stdio::from(OwnedFd::from(theirs)));
    host::process::dies_with_parent(&mut command);
    let child = command.spawn()?;
    // Its copy of the other end; while it is open the end of the child would not be seen.
    drop(command);
    // Only once it has its name can samples and signals tell it from the program.
    if !readable(&ours, INIT_BOUND) || ours.read(&mut [0])? == 0 {
        return Err(io::Error::other("the first process of its PID namespace did not start"));
    }
    Ok((child, ours))
}
