//! What a child does so that it never outlives its parent.

use std::io;

use rustix::process::{Pid, Signal};

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
