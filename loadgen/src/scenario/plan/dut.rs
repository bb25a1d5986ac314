//! The load balancer of a plan: how it comes to be, and when it counts as ready.
//!
//! Texts keep their placeholders: ports and addresses are known when the testbed starts.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::units::Percent;

/// The load balancer under test.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Dut {
    /// Name in reports: the stem of its file, `none`, or the address.
    pub name: String,
    /// How it comes to be.
    pub kind: DutKind,
    /// What clients connect to, as written: `http://{vip}:{port}`, `tcp://…`.
    pub service: String,
    /// Cores, or automatic placement.
    pub cores: Vec<usize>,
    /// CPU quota as a share of one core: 25 % is a quarter of a core.
    pub cpu_quota: Option<Percent>,
    /// The file as written, for the run folder.
    #[serde(skip)]
    pub file_text: String,
}

/// How a DUT comes to be.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum DutKind {
    /// The reference LB, as a child process.
    Reference {
        /// Template of its configuration.
        config: Template,
        /// Worker threads.
        workers: NonZeroU32,
    },
    /// Any program, started from a command line.
    Command {
        /// Program and arguments; `{config}`, `{port}`, `{run}`, `{reflectors}` … are filled in.
        start: Vec<String>,
        /// Template of its configuration, if it has one.
        config: Option<Template>,
        /// When it counts as ready.
        ready: Ready,
        /// Its own admin access, if it has one: `haproxy_socket = "{run}/haproxy.sock"`.
        admin: Option<(String, String)>,
        /// What to install when the program is missing.
        package: Option<String>,
        /// Threads or processes it is told to work with by `{workers}`; `None` if it is told nothing.
        workers: Option<NonZeroU32>,
    },
    /// The kernel of the DUT's namespace: routes, address translation, a bridge (network `netns` only).
    Kernel {
        /// How the two links of the namespace are joined.
        forwarding: Forwarding,
        /// Commands that are run once in the namespace, each a program and its arguments.
        setup: Vec<Vec<String>>,
        /// Template of their configuration, if they have one.
        config: Option<Template>,
        /// What to install when a program is missing.
        package: Option<String>,
    },
    /// Somewhere else; only its address is known.
    External {
        /// The address.
        address: SocketAddr,
    },
    /// No DUT: clients connect straight to the reflectors, in turn.
    None,
}

/// How the kernel of a DUT's namespace joins its two links.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forwarding {
    /// As a router: `ip_forward`, one hop.
    #[default]
    Route,
    /// As a bridge: by MAC address.
    Bridge,
}

/// A configuration template: `{vip}`, `{port}`, `{admin}`, `{reflectors}`, `{run}`, `{workers}` are filled in, and
/// a line with `{name}` or `{address}` is repeated for each reflector.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Template {
    /// File it came from.
    pub path: PathBuf,
    /// Its text.
    #[serde(skip)]
    pub text: String,
}

/// When a started program counts as ready.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Ready {
    /// What must work.
    #[serde(flatten)]
    pub check: ReadyCheck,
    /// How long it may take.
    pub within: Duration,
}

/// What must work before a program counts as ready; placeholders of the address are filled in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadyCheck {
    /// An address accepts a connection.
    Tcp(String),
    /// A signed datagram to an address comes back as it is.
    Udp(String),
}

impl ReadyCheck {
    /// The key in DUT files.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "ready.tcp",
            Self::Udp(_) => "ready.udp",
        }
    }

    /// The address, as written.
    pub fn address(&self) -> &str {
        match self {
            Self::Tcp(address) | Self::Udp(address) => address,
        }
    }
}
