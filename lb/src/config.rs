//! What a configuration file says, as types that cannot be wrong: [`Config::parse`].
//!
//! The objects are virtual services, groups and real servers (load-balancer vocabulary since 2003).
//! Pure: it reads no file, no clock and no socket, so it can be used by anything that only wants to
//! know whether a file is sound. Every error shows file, line and key; see [`wire::document`].
//! Invariants: every [`VirtualService::group`] is an index into [`Config::groups`]; a group has at
//! least one real server; names are unique; an admin address is a loopback address.

mod difference;
mod file;
mod warnings;

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use difference::{Difference, GroupDifference, Unchangeable};
use serde::{Deserialize, Serialize};
use wire::document::Document;
pub use wire::document::DocumentError;
use wire::units::Span;

/// Most worker threads.
pub const WORKERS_MAX: u32 = 256;
/// Most real servers in one group.
pub const SERVERS_MAX: usize = 1024;

/// A sound configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; `None` means one per core the process may run on.
    pub workers: Option<NonZeroU32>,
    /// Cores the workers are pinned to in turn; empty means those the process may run on.
    pub cores: Vec<usize>,
    /// How long running connections may take to finish once a drain has begun.
    pub drain: Duration,
    /// Where the admin HTTP server listens, always on loopback.
    pub admin: Option<SocketAddr>,
    /// The access log.
    pub log: Option<Log>,
    /// The virtual services, in the order of the file; never empty.
    pub services: Vec<Arc<VirtualService>>,
    /// The groups, in the order of the file; never empty.
    pub groups: Vec<Arc<Group>>,
}

/// Where accesses are written to, and how.
#[derive(Clone, Debug)]
pub struct Log {
    /// The file, appended to; `None` is standard error.
    pub path: Option<PathBuf>,
    /// One line per connection (TCP), request (HTTP) or flow (UDP), as this.
    pub format: LogFormat,
}

/// What a line of the access log looks like.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// `key=value` pairs for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// An address clients connect to, and what is done with what they send.
#[derive(Clone, Debug)]
pub struct VirtualService {
    /// Unique among the services.
    pub name: String,
    /// Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// TCP, HTTP or UDP.
    pub mode: Mode,
    /// Index into [`Config::groups`].
    pub group: usize,
    /// Most client connections (UDP: flows) at a time, over all workers.
    pub max_connections: u32,
    /// Whether a server connection may carry requests of several clients (HTTP).
    pub reuse: Reuse,
    /// Whether `X-Forwarded-For` and `X-Forwarded-Proto` are added (HTTP).
    pub forwarded: bool,
    /// How many other servers are tried when a connection to the chosen one fails.
    pub retries: u32,
    /// Datagrams a server sends in answer to one of a client: with so many the flow ends, with 0 at once.
    /// `None` is not known, and only the idle timeout ends a flow (UDP).
    pub responses: Option<u32>,
    /// Datagrams of a client after which its next one begins a new flow; `None` is no limit (UDP).
    pub requests: Option<NonZeroU32>,
    /// Bounds of every wait.
    pub timeouts: Timeouts,
}

/// What a virtual service understands of its clients' bytes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Requests: the server is chosen for each of them (delayed binding).
    Http,
    /// Nothing: the server is chosen when the connection is accepted.
    Tcp,
    /// Nothing: the server is chosen for the first datagram of a flow.
    Udp,
}

/// When a request may go out on a server connection that another client's request used before.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// Always on the client's own server connection.
    Never,
    /// Not the first request of a client connection: nobody could repeat it if the server closes just then.
    #[default]
    Safe,
    /// Any request.
    Always,
}

/// The bound of every wait of a virtual service.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a whole request head, from its first byte (HTTP; 408).
    pub client_head: Duration,
    /// For the first byte of a request on an open connection (HTTP).
    pub client_idle: Duration,
    /// Between two pieces of a request body (HTTP; 408).
    pub client_body: Duration,
    /// For a connection to a server (504 when it is the last try).
    pub connect: Duration,
    /// For the head of the response, from the end of the request (HTTP; 504).
    pub response_head: Duration,
    /// Between two pieces of a response body (HTTP).
    pub response_body: Duration,
    /// Without a byte in either direction (TCP, and HTTP after an upgrade).
    pub tunnel: Duration,
    /// Without a datagram in either direction (UDP).
    pub flow_idle: Duration,
}

/// Real servers that a virtual service spreads over.
#[derive(Clone, Debug)]
pub struct Group {
    /// Unique among the groups.
    pub name: String,
    /// How a server is chosen.
    pub balance: Balance,
    /// The real servers; from 1 to [`SERVERS_MAX`].
    pub servers: Vec<Arc<RealServer>>,
    /// How the servers are checked; without it they are always up.
    pub health: Option<Health>,
}

/// How a server of a group is chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Each in turn; weights are ignored.
    #[default]
    RoundRobin,
    /// Each in turn, in proportion to the weights, spread as evenly as they allow.
    WeightedRoundRobin,
    /// The one with the fewest open connections (TCP), running requests (HTTP) or flows (UDP) per weight.
    LeastConnections,
}

/// A server behind the load balancer.
#[derive(Clone, Debug, PartialEq)]
pub struct RealServer {
    /// Unique in its group.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its share in weighted algorithms, from 0 (takes no new work) to 1,000.
    pub weight: u32,
    /// Most connections (TCP), requests (HTTP) or flows (UDP) at a time, over all workers; `None` is no limit.
    pub max_connections: Option<NonZeroU32>,
}

/// How the servers of a group are checked.
#[derive(Clone, Debug)]
pub struct Health {
    /// What is tried.
    pub check: Check,
    /// Where it is tried; `None` is the port of the real server.
    pub port: Option<NonZeroU16>,
    /// From the start of one check of a server to the start of the next.
    pub interval: Duration,
    /// For the whole check; at most the interval.
    pub timeout: Duration,
    /// Good checks in a row that bring a server up.
    pub rise: u32,
    /// Failed checks in a row that take a server down.
    pub fall: u32,
}

/// What a health check tries.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// A connection can be made.
    Tcp,
    /// A GET is answered as expected.
    Http {
        /// Path and query.
        path: String,
        /// The `Host` header.
        host: String,
        /// The status it must have.
        status: StatusSet,
        /// What the first 64 KiB of the body must contain.
        content: Option<String>,
    },
}

/// Status codes as the inclusive ranges they were written in: `"200"`, `"200,204"`, `"200-299,304"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusSet(Vec<(u16, u16)>);

impl StatusSet {
    /// Whether a status is one of the set.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|&(first, last)| (first..=last).contains(&status))
    }
}

impl std::str::FromStr for StatusSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((status(first)?, status(last)?)).filter(|(first, last)| first <= last)
        };
        text.split(',').map(range).collect::<Option<Vec<_>>>().map(Self).ok_or_else(|| {
            format!("{text:?} is not a set of status codes; expected codes from 100 to 599: \"200\", \"200,204\", \"200-299\"")
        })
    }
}

impl Config {
    /// Reads a configuration; `name` is what errors call the file.
    ///
    /// # Errors
    /// [`DocumentError`] with line and key for the first thing that is wrong.
    pub fn parse(name: &str, text: &str) -> Result<Self, DocumentError> {
        let document = Document::new(name, text);
        document.parse::<file::ConfigFile>()?.into_config(&document)
    }

    /// This configuration with the number of its workers, which is `cores` if it says none; it is what
    /// two configurations have to be compared by.
    #[must_use]
    pub fn resolved(mut self, cores: usize) -> Self {
        let cores = u32::try_from(cores).ok().and_then(NonZeroU32::new);
        self.workers = self.workers.or(cores);
        self
    }

    /// What is allowed but probably not meant, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        warnings::of(self)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            client_head: Duration::from_secs(10),
            client_idle: Duration::from_secs(60),
            client_body: Duration::from_secs(30),
            connect: Duration::from_secs(3),
            response_head: Duration::from_secs(30),
            response_body: Duration::from_secs(30),
            tunnel: Duration::from_secs(300),
            flow_idle: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests;
