//! What a reflector runs on: [`Config`], whose fields hold only what can be run.
//!
//! A TOML text becomes a [`File`] (as written) and that a [`Config`]; the command line changes the
//! `File` before. It binds nothing and reads no files: the caller has the text.

mod datagrams;
mod file;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use wire::document::{Document, DocumentError};
use wire::units::Rate;

pub use crate::behaviour::{Defaults, Failures, ResetAt, Spread};
pub use crate::pace::Stall;
pub use crate::udp::{Faults, OneIn};
pub use datagrams::{Datagrams, Stalled, UdpFile};
pub use file::{CapFile, ChecksFile, File, LimitsFile, ListenerFile, SpreadFile, StallFile};

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// HTTP/1.0 and HTTP/1.1.
    #[default]
    Http,
    /// Plain TCP: what is read is sent back.
    Tcp,
    /// UDP: every datagram is sent back.
    Udp,
    /// UDP: datagrams are counted and not answered.
    UdpSink,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Http, Self::Tcp, Self::Udp, Self::UdpSink];

    /// The name in a file and before `://`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::UdpSink => "udp-sink",
        }
    }

    /// Whether it has datagrams and no connections.
    pub(crate) fn is_udp(self) -> bool {
        matches!(self, Self::Udp | Self::UdpSink)
    }
}

/// One address to accept connections or datagrams on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// IPv4 or IPv6; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// What is spoken there.
    pub kind: Kind,
}

/// What happens to what comes too fast for a rate cap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// Connections are reset at once, requests get 503, datagrams no answer.
    #[default]
    Refuse,
    /// They wait, first come first served, for their turn at exactly the capped rate.
    Queue,
}

/// What a rate cap counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CapUnit {
    /// Accepted connections, health checks included: at that time nobody can tell them apart.
    #[default]
    Connections,
    /// Requests, without health checks; plain TCP has none and is not capped.
    Requests,
    /// Datagrams; those of a sink are not capped.
    Datagrams,
}

/// A rate that is never exceeded in the long run, over all threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateCap {
    /// Connections, requests or datagrams per second.
    pub rate: Rate,
    /// What happens above it.
    pub over: Over,
    /// What it counts.
    pub unit: CapUnit,
    /// What is granted at most in a row after idle time: this long at the rate, but at least one.
    pub burst: Duration,
}

/// Bounds on what a peer may send and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest request head in bytes, 8 KiB to 1 MiB.
    pub head_bytes: usize,
    /// Largest request body in bytes.
    pub body_bytes: u64,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// From the end of a head to the last byte of its body.
    pub body_timeout: Duration,
    /// Without a byte in either direction while the peer is expected to do something.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            body_bytes: 64 << 20,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
        }
    }
}

/// Which requests count as health checks; the ledger books them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checks {
    /// A `User-Agent` that starts with one of these.
    pub user_agents: Vec<String>,
    /// A path, without its query, that is one of these.
    pub paths: Vec<String>,
}

impl Default for Checks {
    fn default() -> Self {
        Self { user_agents: vec![wire::identity::CHECK_USER_AGENT.to_owned()], paths: Vec::new() }
    }
}

/// All that a reflector runs on. Nothing checks it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Name in answers and in the ledger: 1 to 64 visible ASCII characters.
    pub instance: String,
    /// Where it accepts connections; at least one.
    pub listeners: Vec<Listener>,
    /// Operating system threads, each with its own listeners and connections.
    pub threads: NonZeroUsize,
    /// Cores to pin the threads to, in turn; empty leaves them where the scheduler puts them.
    pub cores: Vec<usize>,
    /// The one number from which every random choice derives.
    pub seed: u64,
    /// What requests get that ask for nothing else.
    pub defaults: Defaults,
    /// What is done to datagrams beside that.
    pub datagrams: Datagrams,
    /// Windows in which nothing is answered.
    pub stall: Option<Stall>,
    /// The rate cap, if any.
    pub rate_cap: Option<RateCap>,
    /// Most connections open at once, health checks included; more are reset at once.
    pub connection_cap: Option<u64>,
    /// Bounds on what a peer may do.
    pub limits: Limits,
    /// How long `stop` lets what is under way finish.
    pub drain: Duration,
    /// What counts as a health check.
    pub checks: Checks,
}

impl Config {
    /// One HTTP listener and every default.
    pub fn new(instance: impl Into<String>, address: SocketAddr) -> Self {
        Self {
            instance: instance.into(),
            listeners: vec![Listener { address, kind: Kind::Http }],
            threads: NonZeroUsize::MIN,
            cores: Vec::new(),
            seed: 1,
            defaults: Defaults::default(),
            datagrams: Datagrams::default(),
            stall: None,
            rate_cap: None,
            connection_cap: None,
            limits: Limits::default(),
            drain: Duration::from_secs(5),
            checks: Checks::default(),
        }
    }

    /// Reads a TOML text; `name` is what errors call it.
    ///
    /// # Errors
    /// [`DocumentError`] for what is not TOML, an unknown key, or a value out of range.
    pub fn from_toml(name: &str, text: &str) -> Result<Self, DocumentError> {
        let document = Document::new(name, text);
        let file: File = document.parse()?;
        Self::try_from(file).map_err(|error| document.error_at(error.key(), error.message()))
    }
}

/// Why a file cannot be run: the key, and what was found and is allowed there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct ConfigError {
    key: &'static str,
    message: String,
}

impl ConfigError {
    /// The dotted key.
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// What was found and what is allowed.
    pub fn message(&self) -> &str {
        &self.message
    }
}
