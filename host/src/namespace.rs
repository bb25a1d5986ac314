//! Network namespaces: made, entered, and gone when the last descriptor and the last process in them are.
//!
//! They have no name: nothing of them stays behind, however the program ends. A thread enters one for
//! good; [`Namespace::run`] does so on a thread of its own.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// A network namespace, kept alive by this handle. Clones are the same namespace.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<OwnedFd>);

impl Namespace {
    /// A new namespace, with a loopback interface that is down.
    ///
    /// # Errors
    /// The kernel's reason: `EPERM` without `CAP_SYS_ADMIN`.
    pub fn create() -> io::Result<Self> {
        on_own_thread(|| {
            // SAFETY: only the network namespace of this thread changes, and the thread ends right after.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
            Self::of_this_thread()
        })?
    }

    /// The namespace that the calling thread is in.
    ///
    /// # Errors
    /// The kernel's reason, for example that /proc is not there.
    pub fn of_this_thread() -> io::Result<Self> {
        Ok(Self(Arc::new(File::open("/proc/thread-self/ns/net")?.into())))
    }

    /// Moves the calling thread there, for good. Threads and processes that it starts later are there too.
    ///
    /// # Errors
    /// The kernel's reason: `EPERM` without `CAP_SYS_ADMIN`.
    pub fn enter(&self) -> io::Result<()> {
        Ok(rustix::thread::move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// Does something there, on a thread of its own, and waits for it.
    ///
    /// # Errors
    /// As [`Self::enter`], or the kernel has no thread.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_own_thread(|| self.enter().map(|()| work()))?
    }

    /// Does something there with the namespace's own `/sys`, on a thread of its own, and waits for it. Other
    /// threads keep theirs.
    ///
    /// # Errors
    /// As [`Self::run`], or the kernel lets nobody mount it.
    pub fn run_with_sysfs<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_own_thread(|| {
            self.enter()?;
            own_sysfs()?;
            Ok(work())
        })?
    }

    /// A path under which other processes find it for as long as this process has the handle.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

/// Moves the calling thread into the namespace at a path, see [`Namespace::path`].
///
/// # Errors
/// The kernel's reason, for example that the process which keeps it has ended.
pub fn enter_path(path: &str) -> io::Result<()> {
    let namespace = File::open(path)?;
    Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Replaces `/sys` for the calling thread by that of its network namespace.
fn own_sysfs() -> io::Result<()> {
    // SAFETY: the thread gets a copy of the mounts and of working directory and root; no memory and no
    // descriptor changes, and the thread ends right after its work.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
    let mount = |source: &CStr, to: &CStr, kind: &CStr, flags: libc::c_ulong| {
        // SAFETY: all strings end with a zero and outlive the call; there is no data argument.
        match unsafe { libc::mount(source.as_ptr(), to.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // Private, so that nothing of it reaches the mounts of others.
    mount(c"none", c"/", c"none", libc::MS_REC | libc::MS_PRIVATE)?;
    mount(c"sysfs", c"/sys", c"sysfs", libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC)
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, work)?;
        worker.join().map_err(|_| io::Error::other("the work in a namespace panicked"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_new_namespace_has_a_world_of_its_own() {
        let namespace = match Namespace::create() {
            Ok(namespace) => namespace,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                assert!(std::env::var_os("NADARE_REQUIRE_ALL").is_none(), "no namespaces: {error}");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        // Its loopback interface is down, that of the test is up.
        let send = || UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", "127.0.0.1:9").map(drop);
        assert!(namespace.run(send).unwrap().is_err());
        assert!(send().is_ok());
        let inside = namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
        assert_eq!(inside.lines().count(), 3, "{inside}");
        let links = || std::fs::read_dir("/sys/class/net").unwrap().count();
        let (here, there) = (links(), namespace.run_with_sysfs(links).unwrap());
        assert_eq!((there, links()), (1, here));
        let by_path = thread::spawn({
            let path = namespace.path();
            move || enter_path(&path).map(|()| send().is_err())
        });
        assert!(by_path.join().unwrap().unwrap());
    }
}
