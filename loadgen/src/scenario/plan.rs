//! A scenario as the program runs on it: every key resolved, every range in its type.
//!
//! A [`Plan`] is made from files by [`crate::scenario`] and checked by nobody else.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wire::frame::{FrameSize, IpVersion};
use wire::units::{Percent, Rate};

use super::mix::Mix;

mod dut;

pub use dut::{Dut, DutKind, Forwarding, Ready, ReadyCheck, Template};

/// One question, resolved.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Plan {
    /// Short name; also the name of the folder under `reports/`.
    pub name: String,
    /// The question in words.
    pub question: String,
    /// Fixes arrivals, payloads and tuples.
    pub seed: u64,
    /// Which defaults filled what the file leaves out.
    pub profile: Profile,
    /// The file as written, for the run folder; empty for `quick`.
    #[serde(skip)]
    pub scenario_text: String,
    /// Who takes part and where.
    pub testbed: TestbedPlan,
    /// What one operation is.
    pub workload: Workload,
    /// How much and when.
    pub load: LoadPlan,
    /// Which trials.
    pub search: SearchPlan,
    /// What the answer is compared with.
    pub expect: Vec<Expectation>,
    /// Several searches over frame sizes, if the question needs more than one.
    #[serde(default)]
    pub suite: Option<SuitePlan>,
}

/// Which searches one run does, where a single one does not answer the question.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum SuitePlan {
    /// Throughput of a mix with its delay and the loss of each size (RFC 6985).
    Imix(SweepPlan),
    /// For each frame size the throughput and the frame loss rate (RFC 2544, 26.1 and 26.3).
    Rfc2544 {
        /// Frame sizes, in the order of the trials.
        sizes: Vec<FrameSize>,
        /// The sweep of each size.
        sweep: SweepPlan,
    },
}

/// The loss sweep after a search (RFC 2544, 26.3): from the highest load down.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct SweepPlan {
    /// Distance of two loads as a share of the highest, at most 10 %; 0 % = no sweep.
    pub step: Percent,
    /// Sustain of each load.
    pub sustain: Duration,
}

/// Which defaults fill what a scenario leaves out.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The durations and waits that the RFCs ask for.
    Rfc,
    /// Shorter trials; results are labelled `derived`.
    #[default]
    Standard,
    /// Shortest; for comparing builds, not for absolute numbers.
    Ci,
}

/// Who takes part and where.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TestbedPlan {
    /// `loopback`, `netns`, or `external` when the DUT is somewhere else.
    pub network: Network,
    /// What the links of a `netns` testbed are like.
    #[serde(default)]
    pub links: LinksPlan,
    /// The load balancer under test.
    pub dut: Dut,
    /// Reflectors that the run starts, 0 or more.
    pub reflectors: u32,
    /// Reflectors that are there already (`--reflector`), asked over TCP control where they have it.
    pub remote_reflectors: Vec<SocketAddr>,
    /// Extra arguments for the reflectors of this run, as the `reflector` command line takes them.
    pub reflector_arguments: Vec<String>,
    /// Cores of the generator's workers, one worker each; empty = placed automatically.
    pub generator_cores: Vec<usize>,
    /// Networks outside loopback and private use that the user allows as targets (CIDR).
    pub allow_targets: Vec<String>,
    /// Client addresses: networks or single addresses that connections come from; empty = the
    /// kernel's choice.
    pub source_networks: Vec<String>,
}

impl TestbedPlan {
    /// The DUT's address towards the clients, which `{vip}` stands for.
    pub fn vip(&self) -> IpAddr {
        super::network::vip(self.network, self.links.ip_version)
    }
}

/// Where the testbed's addresses live.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// 127.0.0.0/8 and ::1.
    Loopback,
    /// Namespaces for clients, DUT and servers, made by the run and joined by veth pairs.
    Netns,
    /// Addresses the user named.
    External,
}

impl Network {
    /// The word in scenarios and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Netns => "netns",
            Self::External => "external",
        }
    }
}

/// The links of a `netns` testbed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LinksPlan {
    /// Version of IP of all addresses.
    pub ip_version: IpVersion,
    /// Largest IP packet in bytes, 1,280 to 65,535.
    pub mtu: u32,
    /// Whether segmentation, merging and checksums are left to the (virtual) interfaces. They fake packet
    /// rates on veth, so frame tests have them off.
    pub offloads: bool,
    /// Whether what arrives in a namespace is received on the cores of its role instead of the sender's.
    pub receive_steering: bool,
    /// Speed that the links stand for, in bits per second, if one is declared: veth has none.
    pub speed_bps: Option<u64>,
}

impl Default for LinksPlan {
    fn default() -> Self {
        Self { ip_version: IpVersion::V4, mtu: 1_500, offloads: true, receive_steering: true, speed_bps: None }
    }
}

/// What one operation is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Workload {
    /// The protocol.
    pub kind: WorkloadKind,
    /// Requests on one connection before it is closed; `None` = as many as it will carry.
    pub requests_per_connection: Option<NonZeroU32>,
    /// Who closes and how.
    pub close: CloseMode,
}

/// The protocol of a workload.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// Connect and close; or, when connections are held, connect, hold, close. No bytes.
    Tcp,
    /// HTTP/1.1 requests.
    Http(HttpPlan),
    /// Datagrams with a signature, which come back as they are.
    Udp(UdpPlan),
}

/// The datagrams of a UDP workload: one operation is one frame and its echo.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct UdpPlan {
    /// Version of IP that carries them.
    pub ip_version: IpVersion,
    /// Their sizes, and in which order they follow each other.
    pub mix: Mix,
    /// Streams, each with a 5-tuple of its own.
    pub streams: NonZeroU16,
    /// How the 5-tuples are chosen.
    pub tuples: Tuples,
    /// Frames that fall due at the same moment (RFC 2544, 21); 1 = each at its own.
    pub burst: NonZeroU32,
}

/// How the 5-tuples of streams are chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tuples {
    /// One 5-tuple (RFC 2544, C.2.6.4: source port 49,184).
    Fixed,
    /// Ports and addresses count up.
    #[default]
    Sequential,
    /// Uniform from the seed (RFC 4814, 4): source ports 1,024 to 65,535, any address of the clients.
    Random,
}

/// The requests of an HTTP workload.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct HttpPlan {
    /// Path and query: `/?s=1k`.
    pub request: String,
    /// `Host` header; empty = the service's address.
    pub host: String,
    /// Further request headers, as written.
    pub headers: Vec<(String, String)>,
    /// Expected status.
    pub status: u16,
    /// What the body must be.
    pub body: BodyCheck,
}

/// What a response body must be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BodyCheck {
    /// So many bytes of the reflectors' table, at the offset of the request's nonce.
    Table {
        /// Length in bytes.
        length: u64,
    },
    /// Any bytes, but as many as the first correct answer had: for servers that are not ours.
    LengthOfFirst,
}

/// Who closes a connection and how.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloseMode {
    /// The client sends the first FIN (RFC 9411).
    #[default]
    ClientFin,
    /// The client asks for `Connection: close` and waits for the server's FIN.
    ServerFin,
    /// The client resets; not RFC 9411.
    ClientRst,
}

/// How much load, and when.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct LoadPlan {
    /// What carries the connections.
    pub engine: Engine,
    /// What is counted.
    pub unit: Unit,
    /// Operations per second (units with `/s`) for method `fixed` and the foot of a stair.
    pub rate: Option<Rate>,
    /// Operations or connections at once (units without `/s`) for method `fixed`.
    pub count: Option<NonZeroU32>,
    /// Arrival process of an open loop.
    pub arrivals: Arrivals,
    /// Shape of the load over sustain.
    pub pattern: Pattern,
    /// Lengths of the phases.
    pub phases: Phases,
    /// Slots per worker: operations or connections at once.
    pub slots: NonZeroU32,
    /// How late a due operation may start before it is given up.
    pub max_lag: Duration,
    /// Limit of the handshake.
    pub connect_timeout: Duration,
    /// Limit of one response.
    pub response_timeout: Duration,
    /// How long operations under way may finish after ramp-down.
    pub drain: Duration,
    /// New connections per second while held connections are opened (unit `connections`).
    pub open_rate: Rate,
    /// Pause between two transactions on a held connection (unit `connections`).
    pub hold_interval: Duration,
}

/// What carries the connections of the generator.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Non-blocking sockets and epoll.
    #[default]
    Epoll,
    /// io_uring; experimental.
    Uring,
}

impl Engine {
    /// The word in scenarios and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Uring => "uring",
        }
    }
}

/// What a load is counted in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Unit {
    /// New connections per second: CPS.
    #[serde(rename = "connections/s")]
    ConnectionsPerSecond,
    /// Connections held at once: CC.
    #[serde(rename = "connections")]
    Connections,
    /// Transactions per second: TPS.
    #[serde(rename = "transactions/s")]
    TransactionsPerSecond,
    /// Transactions under way at once: a closed loop.
    #[serde(rename = "transactions")]
    Transactions,
    /// Frames per second.
    #[serde(rename = "frames/s")]
    FramesPerSecond,
}

impl Unit {
    /// The name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConnectionsPerSecond => "connections/s",
            Self::Connections => "connections",
            Self::TransactionsPerSecond => "transactions/s",
            Self::Transactions => "transactions",
            Self::FramesPerSecond => "frames/s",
        }
    }

    /// The figure it gives: `cps`, `cc`, `tps` or `fps`.
    pub fn figure(self) -> &'static str {
        match self {
            Self::ConnectionsPerSecond => "cps",
            Self::Connections => "cc",
            Self::TransactionsPerSecond | Self::Transactions => "tps",
            Self::FramesPerSecond => "fps",
        }
    }
}

/// Arrival process of an open loop.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Equal gaps.
    #[default]
    Even,
    /// Independent users: exponential gaps, from the seed.
    Poisson,
}

/// Shape of the load over sustain.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "shape", rename_all = "kebab-case")]
pub enum Pattern {
    /// The intended load throughout.
    Flat,
    /// From `from` (share of the intended load) to the intended load in a straight line.
    Ramp {
        /// Share at the beginning, 0 to 1.
        from: f64,
    },
    /// Equal steps up to the intended load.
    Stair {
        /// Number of steps, at least 2.
        steps: NonZeroU32,
    },
}

/// Lengths of the phases of a trial.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Phases {
    /// Once per run, before the first trial: no load.
    pub init: Duration,
    /// Load rises; not measured.
    pub ramp_up: Duration,
    /// The measured phase.
    pub sustain: Duration,
    /// Load falls; not measured.
    pub ramp_down: Duration,
}

/// Which trials answer the question.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum SearchPlan {
    /// One trial at the load of `[load]`.
    Fixed,
    /// Several fixed trials, in equal steps up to the load of `[load]`.
    Stair {
        /// Number of steps, at least 2.
        steps: NonZeroU32,
    },
    /// The highest load that passes: raise by `factor` until a fail, bisect, confirm.
    Climb(MaximumPlan),
    /// The same for several goals, each with its own loss and length (RFC 9971).
    Mlr(MaximumPlan),
    /// The highest load that passes: the middle between the highest and the first load, and so on.
    Bisect(MaximumPlan),
    /// Up while the achieved rate gains; no upper bound.
    GoalSeek(MaximumPlan),
    /// The most connections at once: doubled until a fail, then the middle (RFC 9693).
    Cc(MaximumPlan),
}

impl SearchPlan {
    /// The plan of a search for the highest load; `None` where the loads are fixed.
    pub fn maximum(&self) -> Option<&MaximumPlan> {
        match self {
            Self::Fixed | Self::Stair { .. } => None,
            Self::Climb(maximum)
            | Self::Mlr(maximum)
            | Self::Bisect(maximum)
            | Self::GoalSeek(maximum)
            | Self::Cc(maximum) => Some(maximum),
        }
    }

    /// The word in scenario files and reports.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Stair { .. } => "stair",
            Self::Climb(_) => "climb",
            Self::Mlr(_) => "mlr",
            Self::Bisect(_) => "bisect",
            Self::GoalSeek(_) => "goal-seek",
            Self::Cc(_) => "cc",
        }
    }
}

/// The highest load that passes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct MaximumPlan {
    /// First load; of a bisection the lower end.
    pub start: StartLoad,
    /// Factor between two loads while they pass; greater than 1, at most 10.
    pub factor: f64,
    /// Relative distance at which pass and fail count as one: 1 − pass/fail.
    pub width: Percent,
    /// Length of the confirming trial's sustain.
    pub final_sustain: Duration,
    /// Highest load tried, if bounded by the user.
    pub max: Option<f64>,
    /// Wall time after which no further trial begins but the confirming one.
    pub budget: Duration,
    /// How often the whole search is done.
    pub repeats: NonZeroU32,
    /// Sustain of each step of the curve that is walked around the answer, if one is wanted.
    pub curve: Option<Duration>,
    /// Goals of method `mlr`, at least one; the first gives the answer. Empty for the other methods.
    pub goals: Vec<GoalPlan>,
}

/// One goal of method `mlr` (RFC 9971).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct GoalPlan {
    /// Failed share up to which (inclusive) a trial is low-loss; `None` = what the trials of the
    /// scenario may fail: `[expect] failed`, or less than 0.001 %.
    pub loss: Option<Percent>,
    /// Share of the time that may lose more; below 1.
    pub exceed: Percent,
    /// Sustain from which on a trial counts as full-length.
    pub final_sustain: Duration,
    /// Full-length trials that decide a load, together.
    pub duration_sum: Duration,
    /// Relative distance of the bounds that suffices: 1 − lower/upper.
    pub width: Percent,
}

/// First load of a climb.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartLoad {
    /// Share of the ceiling found without the DUT.
    OfCeiling(Percent),
    /// The load itself, in the unit of `[load]`.
    Absolute(f64),
}

/// One line of `[expect]`: `cps = ">= 1000"`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Expectation {
    /// What is compared.
    pub metric: Metric,
    /// How.
    pub comparison: Comparison,
    /// With what: per second, connections, ratio (0 to 1) or seconds, as the metric says.
    pub value: f64,
    /// As written, for messages: `cps >= 1000`.
    pub text: String,
}

/// What an expectation compares.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Connections per second.
    Cps,
    /// Transactions per second.
    Tps,
    /// Concurrent connections.
    Cc,
    /// Frames per second.
    Fps,
    /// Failed share of the operations due in sustain, as a ratio.
    Failed,
    /// Percentile of the response time, in seconds. In hundredths of a percent: 9,900 is p99.
    ResponseTime {
        /// 5,000 for p50, 9,900 for p99, 9,990 for p99.9.
        percentile_e2: u16,
    },
    /// Percentile of the time to first byte, in seconds.
    Ttfb {
        /// As above.
        percentile_e2: u16,
    },
}

/// How an expectation compares.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Comparison {
    /// `<`
    #[serde(rename = "<")]
    Less,
    /// `<=`
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `>`
    #[serde(rename = ">")]
    Greater,
    /// `>=`
    #[serde(rename = ">=")]
    GreaterOrEqual,
}
