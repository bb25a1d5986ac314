//! Why a testbed cannot be had on this host: each message ends with the next step.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use super::cgroup::QuotaError;

/// Why a testbed cannot be had on this host.
#[derive(Debug, thiserror::Error)]
pub enum TestbedError {
    /// The plan names cores that this process may not use.
    #[error("{key} names core {found}, but this process may run on cores {allowed:?} only")]
    Core {
        /// The key of the plan.
        key: &'static str,
        /// The core.
        found: usize,
        /// The cores there are.
        allowed: Vec<usize>,
    },
    /// The DUT could not be given its CPU quota.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// A template or a command line has something that cannot be filled in.
    #[error("{place}: {{{found}}} cannot be filled in; known are {known} (write {{{{{found}}}}} for the text itself)")]
    Placeholder {
        /// File and line, or the key.
        place: String,
        /// The name between the braces.
        found: String,
        /// What would do.
        known: String,
    },
    /// The reflectors do not take the arguments that the plan has for them.
    #[error("testbed.reflector_arguments = {found:?}: {}", message.trim())]
    ReflectorArguments {
        /// The arguments.
        found: Vec<String>,
        /// What the program `reflector` says about them.
        message: String,
    },
    /// An address of the DUT is not one.
    #[error("{key} = {found:?} is not an IP address with a port; expected for example {example:?}")]
    Address {
        /// The key of the dut file.
        key: &'static str,
        /// What was found.
        found: String,
        /// What would do.
        example: &'static str,
    },
    /// Another program listens on a fixed address of the DUT.
    #[error("{address} is in use by another program; stop that one, or write {{port}} to have a free port chosen")]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// An address that a role is to listen on is not one of this host, or may not be used.
    #[error("this host cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Nobody lets this user make network namespaces.
    #[error(
        "network = \"netns\" needs network namespaces, which this user may not make; run it as root (sudo), let ordinary \
         users have user namespaces (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu also \
         kernel.apparmor_restrict_unprivileged_userns=0), or use network = \"loopback\""
    )]
    Namespaces {
        /// The kernel's reason.
        source: io::Error,
    },
    /// A kernel is to be the DUT where the run has no namespace to make it so.
    #[error(
        "kind = \"kernel\" changes routes and filters, which the run does only in namespaces of its own; use network = \"netns\""
    )]
    KernelWithoutNamespaces,
    /// A setting of a namespace that results rely on was refused.
    #[error(
        "{name} cannot be set in the namespace {namespace} of the testbed; run it as root, or use network = \"loopback\""
    )]
    Sysctl {
        /// The sysctl.
        name: &'static str,
        /// Whose namespace.
        namespace: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A command that builds the testbed failed.
    #[error("`{line}` failed in a namespace of the testbed: {how}{log}")]
    Command {
        /// Program and arguments.
        line: String,
        /// How it ended.
        how: String,
        /// The last lines of its log, formatted.
        log: LogTail,
    },
    /// The network is not as it was built.
    #[error("the network of the testbed does not work: {how}; does another program change interfaces here?")]
    Network {
        /// What is wrong with it.
        how: String,
    },
    /// A program is not installed.
    #[error("the program {program:?} was not found in PATH; {}", install_hint(package.as_deref()))]
    Missing {
        /// First word of `start`.
        program: String,
        /// The package that has it, where the dut file says so.
        package: Option<String>,
    },
    /// A file of the run folder cannot be written.
    #[error("{path} cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A process cannot be started.
    #[error("{role} cannot be started from {program}")]
    Spawn {
        /// Name of the role.
        role: String,
        /// The executable.
        program: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The user did not want to wait any longer.
    #[error("interrupted before the testbed was ready; nothing was measured")]
    Interrupted,
    /// A role has ended, or said that it cannot serve.
    #[error("{role} did not start: {how}{log}")]
    Failed {
        /// Name of the role.
        role: String,
        /// How it ended.
        how: String,
        /// The last lines of its log, formatted; empty if it has none.
        log: LogTail,
    },
    /// A role runs but never served.
    #[error(
        "{role} was not ready within {bound:?}: {waited_for}; see what it says or give it more time with ready.within{log}"
    )]
    NotReady {
        /// Name of the role.
        role: String,
        /// How long it was waited for.
        bound: Duration,
        /// What did not happen.
        waited_for: String,
        /// The last lines of its log, formatted; empty if it has none.
        log: LogTail,
    },
}

fn install_hint(package: Option<&str>) -> String {
    match package {
        Some(package) => format!("install the package {package} (Debian, Ubuntu: apt install {package})"),
        None => "install it, or write its full path in start".to_owned(),
    }
}

/// The last lines of a role's log, for a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogTail {
    path: PathBuf,
    lines: Vec<String>,
}

impl LogTail {
    /// Most lines of a log in a message.
    const LINES_MAX: usize = 10;
    /// Most bytes of a log that are looked at.
    const BYTES_MAX: u64 = 4096;

    /// Reads the end of a log; a log that cannot be read has no lines.
    pub(super) fn read(path: &std::path::Path) -> Self {
        use std::io::{Read, Seek, SeekFrom};
        let end = || -> io::Result<Vec<u8>> {
            let mut file = std::fs::File::open(path)?;
            let skipped = file.metadata()?.len().saturating_sub(Self::BYTES_MAX);
            file.seek(SeekFrom::Start(skipped))?;
            let mut bytes = Vec::new();
            file.take(Self::BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let text = String::from_utf8_lossy(&end().unwrap_or_default()).into_owned();
        let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).map(printable).collect();
        let skip = lines.len().saturating_sub(Self::LINES_MAX);
        Self { path: path.to_path_buf(), lines: lines.into_iter().skip(skip).collect() }
    }

    /// Whether some line contains a text, whatever its case.
    pub(super) fn mentions(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.to_lowercase().contains(text))
    }
}

/// Without control characters: a log must not move the cursor of the terminal it is shown on.
fn printable(line: &str) -> String {
    line.chars().filter(|character| !character.is_control()).collect()
}

impl std::fmt::Display for LogTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.lines.is_empty() {
            return Ok(());
        }
        write!(f, "\n  last lines of {}:", self.path.display())?;
        self.lines.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}
