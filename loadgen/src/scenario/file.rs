//! `*.toml` scenario and DUT files as written: every key optional, nothing judged yet.
//!
//! Only [`super`] sees these types; everybody else gets a [`super::Plan`]. The same types give the
//! JSON schema for editors and the resolved scenario of a run folder, so the three cannot drift
//! apart. Words such as `kind` stay text here, because a word of a later version deserves a better
//! answer than "unknown variant".

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wire::units::{BitRate, Percent, Rate, Span};

use super::words::{AmountFile, CoresFile, ExpectText, PatternFile, StartFile, schema};

mod frames;

pub(super) use frames::{FramesFile, RandomFile, SuiteFile};

/// One question for a load balancer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ScenarioFile {
    /// What is asked.
    pub(super) scenario: HeadFile,
    /// Who takes part and where.
    pub(super) testbed: TestbedFile,
    /// Where connections come from.
    pub(super) clients: ClientsFile,
    /// What one operation is.
    pub(super) workload: WorkloadFile,
    /// How much load, and when.
    pub(super) load: LoadFile,
    /// Which trials answer the question.
    pub(super) search: SearchFile,
    /// What the answer is compared with.
    pub(super) expect: ExpectFile,
    /// Several DUTs, compared in rounds; takes the place of testbed.dut.
    pub(super) versus: Option<VersusFile>,
    /// Several searches over frame sizes, where one does not answer the question.
    pub(super) suite: Option<SuiteFile>,
}

/// `[versus]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VersusFile {
    /// DUT files (beside the scenario), addresses or "none"; the others are compared with the first.
    #[schemars(length(min = 2, max = 8))]
    pub(super) duts: Vec<String>,
    /// How often each is measured; 12 if left out, 6 are the fewest for an interval.
    #[schemars(range(min = 1, max = 200))]
    pub(super) rounds: Option<u32>,
}

/// `[scenario]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HeadFile {
    /// Short name, also of the folder under reports/; the file's stem if left out.
    pub(super) name: Option<String>,
    /// The question in words.
    pub(super) question: Option<String>,
    /// Fixes arrivals, payloads and tuples; 1 if left out.
    pub(super) seed: Option<u64>,
    /// Which defaults fill what the file leaves out; standard if left out.
    #[schemars(extend("enum" = ["rfc", "standard", "ci"]))]
    pub(super) profile: Option<String>,
}

/// `[testbed]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TestbedFile {
    /// Where the testbed's addresses live.
    #[schemars(extend("enum" = ["loopback", "netns", "external"]))]
    pub(super) network: Option<String>,
    /// DUT file (beside the scenario), "none", or the address of a DUT that is already there.
    pub(super) dut: Option<String>,
    /// Reflectors that the run starts.
    pub(super) reflectors: Option<u32>,
    /// Extra arguments for the reflectors, as the reflector's command line takes them.
    pub(super) reflector_arguments: Option<Vec<String>>,
    /// Cores of the generator's workers, one worker each; placed automatically if left out.
    pub(super) generator_cores: Option<Vec<usize>>,
    /// Public networks that may be loaded: "203.0.113.0/24".
    pub(super) allow_targets: Option<Vec<String>>,
    /// What the links are like (network netns).
    pub(super) links: Option<LinksFile>,
}

/// `[testbed.links]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LinksFile {
    /// Version of IP of all addresses; v4 if left out.
    #[schemars(extend("enum" = ["v4", "v6"]))]
    pub(super) ip: Option<String>,
    /// Largest IP packet in bytes; 1500 if left out.
    #[schemars(range(min = 1280, max = 65535))]
    pub(super) mtu: Option<u32>,
    /// Whether segmentation and checksums are left to the interfaces; false for workload udp, else true.
    pub(super) offloads: Option<bool>,
    /// Whether packets are received on the cores of the role they are for; true if left out.
    pub(super) receive_steering: Option<bool>,
    /// Speed that the links stand for, for the report: "1Gbit/s". Veth pairs have none.
    #[schemars(schema_with = "schema::bit_rate")]
    pub(super) speed: Option<BitRate>,
}

/// `[clients]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClientsFile {
    /// Networks or addresses that connections come from: "127.0.1.0/24"; if left out, 14 addresses of
    /// 127.0.2.0/28 for a service on IPv4 loopback, else the kernel's choice; [] leaves it to the kernel.
    pub(super) source_networks: Option<Vec<String>>,
}

/// `[workload]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WorkloadFile {
    /// The protocol.
    #[schemars(extend("enum" = ["tcp", "http", "udp"]))]
    pub(super) kind: Option<String>,
    /// Path and query: "/?s=1k" asks a reflector for 1,024 bytes.
    pub(super) request: Option<String>,
    /// Host header; the service's address if left out.
    pub(super) host: Option<String>,
    /// Further request headers.
    pub(super) headers: Option<BTreeMap<String, String>>,
    /// Expected status; 200 if left out.
    #[schemars(range(min = 200, max = 599))]
    pub(super) status: Option<u16>,
    /// Requests on one connection; 1 for connections/s, as many as it carries for transactions.
    #[schemars(range(min = 1))]
    pub(super) requests_per_connection: Option<u32>,
    /// Who closes and how.
    #[schemars(extend("enum" = ["client-fin", "server-fin", "client-rst"]))]
    pub(super) close: Option<String>,
    /// Streams of datagrams, each with a 5-tuple of its own (kind udp); 16 if left out.
    #[schemars(range(min = 1, max = 65535))]
    pub(super) streams: Option<u32>,
    /// How the 5-tuples of streams are chosen (kind udp); random if left out, fixed for one stream.
    #[schemars(extend("enum" = ["fixed", "sequential", "random"]))]
    pub(super) tuples: Option<String>,
    /// Frames that fall due at the same moment (kind udp); 1 if left out.
    #[schemars(range(min = 1, max = 256))]
    pub(super) burst: Option<u32>,
    /// The sizes of the datagrams (kind udp).
    pub(super) frames: Option<FramesFile>,
}

/// `[load]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LoadFile {
    /// What carries the connections: epoll if left out; uring is experimental.
    #[schemars(extend("enum" = ["epoll", "uring"]))]
    pub(super) engine: Option<String>,
    /// What is counted.
    #[schemars(extend("enum" = ["connections/s", "connections", "transactions/s", "transactions", "frames/s", "bandwidth"]))]
    pub(super) unit: Option<String>,
    /// Operations per second, for units with /s and method fixed or stair: "5k/s"; bits per second for unit
    /// bandwidth: "100Mbit/s".
    pub(super) rate: Option<AmountFile>,
    /// What the bits of unit bandwidth are: l1 (with preamble and gap), l2 (frames with FCS), l3 (IP packets).
    #[schemars(extend("enum" = ["l1", "l2", "l3"]))]
    pub(super) layer: Option<String>,
    /// Operations or connections at once, for units without /s and method fixed or stair.
    #[schemars(range(min = 1))]
    pub(super) count: Option<u32>,
    /// Arrivals of an open loop.
    #[schemars(extend("enum" = ["even", "poisson"]))]
    pub(super) arrivals: Option<String>,
    /// "flat", or a table: { shape = "ramp", from = "10%" }, { shape = "stair", steps = 5 }.
    pub(super) pattern: Option<PatternFile>,
    /// Lengths of the phases of a trial.
    pub(super) phases: Option<PhasesFile>,
    /// Operations or connections at once per worker.
    #[schemars(range(min = 1))]
    pub(super) slots: Option<u32>,
    /// How late a due operation may start before it is given up; 5s if left out.
    #[schemars(schema_with = "schema::span")]
    pub(super) max_lag: Option<Span>,
    /// Limit of the handshake; 3s if left out.
    #[schemars(schema_with = "schema::span")]
    pub(super) connect_timeout: Option<Span>,
    /// Limit of one response; 10s if left out.
    #[schemars(schema_with = "schema::span")]
    pub(super) response_timeout: Option<Span>,
    /// How long operations under way may finish after the load ended; 1s if left out.
    #[schemars(schema_with = "schema::span")]
    pub(super) drain: Option<Span>,
    /// New connections per second while held connections are opened; 2k/s if left out.
    #[schemars(schema_with = "schema::rate")]
    pub(super) open_rate: Option<Rate>,
    /// Pause between two transactions on a held connection; the length of sustain if left out.
    #[schemars(schema_with = "schema::span")]
    pub(super) hold_interval: Option<Span>,
}

/// `load.phases`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PhasesFile {
    /// Once per run, before the first trial: no load.
    #[schemars(schema_with = "schema::span")]
    pub(super) init: Option<Span>,
    /// Load rises; not measured.
    #[schemars(schema_with = "schema::span")]
    pub(super) ramp_up: Option<Span>,
    /// The measured phase.
    #[schemars(schema_with = "schema::span")]
    pub(super) sustain: Option<Span>,
    /// Load falls; not measured.
    #[schemars(schema_with = "schema::span")]
    pub(super) ramp_down: Option<Span>,
}

/// `[search]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SearchFile {
    /// fixed if left out.
    #[schemars(extend("enum" = ["fixed", "stair", "climb", "mlr", "bisect", "goal-seek", "cc"]))]
    pub(super) method: Option<String>,
    /// First load, or the lower end of a bisection: "10%" of the ceiling found without the DUT, or the
    /// load itself.
    pub(super) start: Option<StartFile>,
    /// Factor between two loads while they pass.
    #[schemars(range(max = 10))]
    pub(super) factor: Option<f64>,
    /// Relative distance at which pass and fail count as one.
    #[schemars(schema_with = "schema::percent")]
    pub(super) width: Option<Percent>,
    /// Length of the confirming trial's sustain.
    #[schemars(schema_with = "schema::span")]
    pub(super) final_sustain: Option<Span>,
    /// Highest load tried.
    pub(super) max: Option<AmountFile>,
    /// Wall time after which only the confirming trial may begin.
    #[schemars(schema_with = "schema::span")]
    pub(super) budget: Option<Span>,
    /// How often the whole search is done; the lowest answer counts.
    #[schemars(range(min = 1, max = 100))]
    pub(super) repeats: Option<u32>,
    /// Steps of a stair.
    #[schemars(range(min = 2, max = 100))]
    pub(super) steps: Option<u32>,
    /// Walk 10, 20 … 110 % of the answer afterwards, each step for so long: the curve of latency over
    /// load.
    #[schemars(schema_with = "schema::span")]
    pub(super) curve: Option<Span>,
    /// Goals of method mlr; the first gives the answer. What one leaves out, the keys above say.
    pub(super) goal: Option<Vec<GoalFile>>,
}

/// `[[search.goal]]` (RFC 9971).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GoalFile {
    /// Failed share that a low-loss trial may have; the limit of `[expect] failed` if left out.
    #[schemars(schema_with = "schema::percent")]
    pub(super) loss: Option<Percent>,
    /// Share of the time that may lose more; 0% if left out.
    #[schemars(schema_with = "schema::percent")]
    pub(super) exceed: Option<Percent>,
    /// Sustain of a full-length trial; search.final_sustain if left out.
    #[schemars(schema_with = "schema::span")]
    pub(super) final_sustain: Option<Span>,
    /// Full-length trials that decide a load, together; if left out, one, or with exceed as many as make
    /// one of them the share that may lose more.
    #[schemars(schema_with = "schema::span")]
    pub(super) duration_sum: Option<Span>,
    /// Relative distance of the bounds that suffices; search.width if left out.
    #[schemars(schema_with = "schema::percent")]
    pub(super) width: Option<Percent>,
}

/// `[expect]`: each value a comparison, such as ">= 1000".
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExpectFile {
    /// Connections per second: ">= 1000".
    pub(super) cps: Option<ExpectText>,
    /// Transactions per second: ">= 5k".
    pub(super) tps: Option<ExpectText>,
    /// Concurrent connections: ">= 5000".
    pub(super) cc: Option<ExpectText>,
    /// Frames per second: ">= 100k".
    pub(super) fps: Option<ExpectText>,
    /// Failed share of the operations: "< 0.001%".
    pub(super) failed: Option<ExpectText>,
    /// Due to last body byte, median: "< 10ms".
    pub(super) response_time_p50: Option<ExpectText>,
    /// The same, 90th percentile.
    pub(super) response_time_p90: Option<ExpectText>,
    /// The same, 99th percentile.
    pub(super) response_time_p99: Option<ExpectText>,
    /// The same, 99.9th percentile.
    pub(super) response_time_p999: Option<ExpectText>,
    /// Time to first byte, median: "< 10ms".
    pub(super) ttfb_p50: Option<ExpectText>,
    /// The same, 90th percentile.
    pub(super) ttfb_p90: Option<ExpectText>,
    /// The same, 99th percentile.
    pub(super) ttfb_p99: Option<ExpectText>,
    /// The same, 99.9th percentile.
    pub(super) ttfb_p999: Option<ExpectText>,
}

impl ExpectFile {
    /// The lines that are written, with their keys, in the order of a report.
    pub(super) fn lines(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("cps", &self.cps),
            ("tps", &self.tps),
            ("cc", &self.cc),
            ("fps", &self.fps),
            ("failed", &self.failed),
            ("response_time_p50", &self.response_time_p50),
            ("response_time_p90", &self.response_time_p90),
            ("response_time_p99", &self.response_time_p99),
            ("response_time_p999", &self.response_time_p999),
            ("ttfb_p50", &self.ttfb_p50),
            ("ttfb_p90", &self.ttfb_p90),
            ("ttfb_p99", &self.ttfb_p99),
            ("ttfb_p999", &self.ttfb_p999),
        ];
        all.into_iter().filter_map(|(key, text)| Some((key, text.as_ref()?.0.as_str()))).collect()
    }
}

impl ExpectFile {
    /// Where the value of a key stands.
    pub(super) fn place(&mut self, key: &str) -> Option<&mut Option<ExpectText>> {
        Some(match key {
            "cps" => &mut self.cps,
            "tps" => &mut self.tps,
            "cc" => &mut self.cc,
            "fps" => &mut self.fps,
            "failed" => &mut self.failed,
            "response_time_p50" => &mut self.response_time_p50,
            "response_time_p90" => &mut self.response_time_p90,
            "response_time_p99" => &mut self.response_time_p99,
            "response_time_p999" => &mut self.response_time_p999,
            "ttfb_p50" => &mut self.ttfb_p50,
            "ttfb_p90" => &mut self.ttfb_p90,
            "ttfb_p99" => &mut self.ttfb_p99,
            "ttfb_p999" => &mut self.ttfb_p999,
            _ => return None,
        })
    }
}

/// A DUT file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DutFile {
    /// How the DUT comes to be.
    #[schemars(extend("enum" = ["reference", "command", "kernel", "external", "none"]))]
    pub(super) kind: Option<String>,
    /// What clients connect to: "http://{vip}:{port}", or with tcp:// or udp://; {vip} is the address of the
    /// DUT on the network of the scenario. "udp://reflectors" for a kernel that only forwards.
    pub(super) service: Option<String>,
    /// Template of its configuration, beside the DUT file.
    pub(super) config: Option<String>,
    /// Program and arguments (kind command).
    pub(super) start: Option<Vec<String>>,
    /// How the two links of its namespace are joined (kind kernel); route if left out.
    #[schemars(extend("enum" = ["route", "bridge"]))]
    pub(super) forwarding: Option<String>,
    /// Commands run once in its namespace, each a program and its arguments (kind kernel).
    pub(super) setup: Option<Vec<Vec<String>>>,
    /// When it counts as ready (kind command).
    pub(super) ready: Option<ReadyFile>,
    /// Its own admin access, one entry: { haproxy_socket = "{run}/haproxy.sock" }.
    pub(super) admin: Option<BTreeMap<String, String>>,
    /// What to install when the program is missing.
    pub(super) package: Option<String>,
    /// Worker threads or processes, {workers} for kind command; 1 if left out.
    #[schemars(range(min = 1, max = 1024))]
    pub(super) workers: Option<u32>,
    /// "dut" for automatic placement, or a list of cores.
    pub(super) cores: Option<CoresFile>,
    /// CPU quota as a share of one core: "25%".
    #[schemars(schema_with = "schema::percent")]
    pub(super) cpu_quota: Option<Percent>,
}

/// `ready` of a DUT file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReadyFile {
    /// Address that must accept a TCP connection; the service's if left out, unless that is udp://.
    pub(super) tcp: Option<String>,
    /// Address that must send a datagram back; the service's if left out and udp://.
    pub(super) udp: Option<String>,
    /// How long it may take; 5s if left out.
    #[schemars(schema_with = "schema::span")]
    pub(super) within: Option<Span>,
}
