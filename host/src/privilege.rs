//! What an ordinary user needs to make network namespaces: a user namespace of his own.
//!
//! The process keeps its user and group: programs that it starts see who they are, and not a root that
//! cannot change to another user. Capabilities count inside only; they are handed to started programs as
//! ambient ones (capabilities(7), user_namespaces(7)).

use std::fs;
use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags};

/// Capabilities that started programs get: interfaces, namespaces, raw sockets, low ports.
const HANDED_ON: [CapabilitySet; 4] =
    [CapabilitySet::SYS_ADMIN, CapabilitySet::NET_ADMIN, CapabilitySet::NET_RAW, CapabilitySet::NET_BIND_SERVICE];

/// Whether this process may make network namespaces and set up interfaces as it is.
pub fn may_make_namespaces() -> bool {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN;
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Whether this process lives in a user namespace that does not have all users.
pub fn in_user_namespace() -> bool {
    // user_namespaces(7): the first one maps every id to itself.
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().ne(["0", "0", "4294967295"]))
}

/// Moves this process into a user namespace of its own, in which it may do what networks need. It has to have
/// one thread only.
///
/// # Errors
/// The kernel's reason: `EPERM` where ordinary users may have none, `EINVAL` with several threads.
pub fn enter_user_namespace() -> io::Result<()> {
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // SAFETY: the kernel refuses it to a process with several threads; no memory and no descriptor changes.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }?;
    // user_namespaces(7): without privileges outside, groups can be mapped only after this.
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    hand_on()
}

fn hand_on() -> io::Result<()> {
    // This process keeps no more than it hands on: the kernel lets a started program look at descriptors in
    // /proc, which namespaces are named by, only of processes that can do no more than itself (ptrace(2)).
    let own = HANDED_ON.into_iter().fold(CapabilitySet::empty(), |own, capability| own | capability);
    let sets = CapabilitySets { effective: own, permitted: own, inheritable: own };
    rustix::thread::set_capabilities(None, sets)?;
    for capability in HANDED_ON {
        rustix::thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}
