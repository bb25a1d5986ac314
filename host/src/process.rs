//! What a child does so that it never outlives its parent.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags};

pub use rustix::process::Signal;

/// Lets a program that is not ours be killed by the kernel when the thread that starts it ends.
/// A set-user-id program loses the setting at `exec`.
pub fn dies_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let ask = move || {
        die_with_parent()?;
        // The parent may have ended between fork and the line above; then nobody would ever kill this
        // process. A parent outside of this process's PID namespace shows as 0.
        match rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u32) {
            0 => Ok(()),
            now if now == parent => Ok(()),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls and neither allocates nor locks.
    unsafe { command.pre_exec(ask) };
}

/// Waits until a process has ended, reaped or not, and says whether it has.
pub fn ended_within(pid: u32, bound: Duration) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return true };
    let handle = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(error) => return error == rustix::io::Errno::SRCH,
    };
    let deadline = crate::clock::monotonic_ns().saturating_add(bound.as_nanos() as u64);
    loop {
        let left = deadline.saturating_sub(crate::clock::monotonic_ns());
        let left = Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as i64 };
        match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.is_ok_and(|ready| ready > 0),
        }
    }
}

/// Collects one child that has ended, if there is one, with how it ended. Without a child at all, or
/// with none ended, `None`.
pub fn reap() -> Option<(u32, ExitKind)> {
    let (pid, status) = rustix::process::wait(rustix::process::WaitOptions::NOHANG).ok()??;
    let kind = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ExitKind::Code(code),
        (None, Some(signal)) => ExitKind::Signal(signal),
        (None, None) => return None,
    };
    Some((pid.as_raw_nonzero().get() as u32, kind))
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExitKind {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl std::fmt::Display for ExitKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => match Signal::from_named_raw(*signal) {
                Some(named) => {
                    let name = format!("{named:?}");
                    let name = name.trim_matches('"').trim_start_matches("Signal::");
                    write!(f, "signal {signal} (SIG{name})")
                }
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

impl From<std::process::ExitStatus> for ExitKind {
    fn from(status: std::process::ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt;
        // An ended process has either; 0 stands for neither, which does not happen.
        status.code().map_or_else(|| Self::Signal(status.signal().unwrap_or(0)), Self::Code)
    }
}

/// Asks the kernel to kill this process when the thread that started it ends; survives `exec`, not
/// `fork`.
///
/// # Errors
/// The kernel's reason.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?)
}

/// Makes this process the parent of every orphan among its descendants (`PR_SET_CHILD_SUBREAPER`),
/// so that a program that forks into the background can still be found and ended.
///
/// # Errors
/// The kernel's reason.
pub fn adopt_orphans() -> io::Result<()> {
    // The argument is any pid other than none: it switches the attribute on.
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// Puts the next children into a new PID namespace: when the first of them ends, or is killed, the
/// kernel kills all the others. Needs privileges.
///
/// # Errors
/// The kernel's reason, mostly `EPERM`.
pub fn unshare_pids() -> io::Result<()> {
    // SAFETY: CLONE_NEWPID changes only where future children go; it touches no memory and no
    // descriptor of this process.
    Ok(unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWPID) }?)
}

/// Sends a signal to one process.
///
/// # Errors
/// The kernel's reason: `ESRCH` when it is gone.
pub fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// Makes timed waits of the calling thread exact: the kernel otherwise lets them be 50 µs late to
/// batch wake-ups (`PR_SET_TIMERSLACK`).
///
/// # Errors
/// The kernel's reason.
pub fn exact_timers() -> io::Result<()> {
    Ok(rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_child_is_seen_in_time_and_its_signal_has_a_name() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        assert!(!ended_within(child.id(), Duration::from_millis(5)));
        signal(child.id(), Signal::KILL).unwrap();
        assert!(ended_within(child.id(), Duration::from_secs(5)));
        let end = ExitKind::from(child.wait().unwrap());
        assert_eq!(end, ExitKind::Signal(9));
        assert!(end.to_string().contains("9"), "{end}");
        assert_eq!(ExitKind::Code(3).to_string(), "exit status 3");
    }

    #[test]
    fn a_program_dies_with_the_thread_that_started_it() {
        let start = || {
            let mut command = Command::new("sleep");
            dies_with_parent(command.arg("100"));
            command.spawn().unwrap()
        };
        let mut child = std::thread::spawn(start).join().unwrap();
        assert!(ended_within(child.id(), Duration::from_secs(5)));
        assert_eq!(ExitKind::from(child.wait().unwrap()), ExitKind::Signal(9));
    }
}
