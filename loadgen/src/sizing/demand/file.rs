//! `demand.toml` as written: every key optional, nothing judged yet.
//!
//! Only [`super`] sees these types; everybody else gets a [`super::Demand`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::units::{Percent, Rate, Span};

use super::words::{Balancing, BitRate, Check, Count, Difference, Mode, Persistence, Protocol, Statistic};

/// What a site needs of its load balancers.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DemandFile {
    /// Whose demand it is.
    pub(super) site: SiteFile,
    /// What is offered to users, with its peaks; at least one.
    pub(super) service: Vec<ServiceFile>,
    /// Who they are and where they come from.
    pub(super) users: UsersFile,
    /// How the peaks grow.
    pub(super) growth: GrowthFile,
    /// What may fail.
    pub(super) redundancy: RedundancyFile,
    /// How the devices are watched and reached.
    pub(super) operation: OperationFile,
    /// Limits and margins.
    pub(super) planning: PlanningFile,
    /// What a device costs.
    pub(super) price: PriceFile,
}

/// `[site]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SiteFile {
    /// Name of the site, for the report.
    pub(super) name: Option<String>,
}

/// `[[service]]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServiceFile {
    /// Name of the service, for the report.
    pub(super) name: Option<String>,
    /// What it speaks; http if left out.
    pub(super) protocol: Option<Protocol>,
    /// New connections per second at the peak: "20k/s".
    #[schemars(with = "String")]
    pub(super) cps: Option<Rate>,
    /// Transactions per second at the peak, all connections together: "60k/s".
    #[schemars(with = "String")]
    pub(super) tps: Option<Rate>,
    /// Application bits per second at the peak, without headers: "12Gbit/s".
    #[schemars(with = "String")]
    pub(super) bandwidth: Option<BitRate>,
    /// Connections open at once at the peak; computed from cps and lifetime if left out.
    #[schemars(with = "String")]
    pub(super) cc: Option<Count>,
    /// What the peaks are; max-1s if left out.
    pub(super) statistic: Option<Statistic>,
    /// Highest second divided by the stated mean, when the peaks are means.
    pub(super) peak_to_mean: Option<f64>,
    /// How long a connection is in use, idle time at its end not counted.
    #[schemars(with = "String")]
    pub(super) connection_lifetime: Option<Span>,
    /// How long it then stays open idle before somebody closes it.
    #[schemars(with = "String")]
    pub(super) keepalive_idle: Option<Span>,
    /// How long the device then keeps a closed connection in its table; nothing if left out.
    #[schemars(with = "String")]
    pub(super) aging: Option<Span>,
    /// How a client has to stay with its real server; none if left out.
    pub(super) persistence: Option<Persistence>,
    /// What the requests of its clients carry that persistence could use.
    pub(super) carries: Option<Vec<Persistence>>,
    /// How requests are spread.
    pub(super) balancing: Option<Balancing>,
    /// How real servers are checked.
    pub(super) check: Option<Check>,
}

/// `[users]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UsersFile {
    /// How many there are; information, a capacity is never stated in users (RFC 2647, 3.33).
    #[schemars(with = "String")]
    pub(super) count: Option<Count>,
    /// Networks they come from.
    pub(super) networks: Vec<String>,
    /// Share that comes through few addresses (proxies, carrier NAT).
    #[schemars(with = "String")]
    pub(super) behind_proxies: Option<Percent>,
}

/// `[growth]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GrowthFile {
    /// Growth of the peaks per year: "20%"; nothing if left out.
    pub(super) per_year: Option<String>,
    /// Years that the devices have to last; 0 if left out.
    pub(super) years: Option<i64>,
}

/// `[redundancy]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RedundancyFile {
    /// Devices that may be down at once without breaking the service; 1 if left out.
    pub(super) tolerated_failures: Option<u32>,
    /// Who carries load while nothing is broken; active-active if left out.
    pub(super) mode: Option<Mode>,
    /// Whether a repaired device takes its addresses back.
    pub(super) fail_back: Option<bool>,
}

/// `[operation]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OperationFile {
    /// How the devices are watched: "snmp", "syslog", "prometheus" …
    pub(super) monitoring: Vec<String>,
    /// From where they may be managed.
    pub(super) access: Vec<String>,
}

/// `[planning]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PlanningFile {
    /// 99 % of responses have to come within this time; 10ms if left out.
    #[schemars(with = "String")]
    pub(super) slo_p99: Option<Span>,
    /// Highest use of the CPU with all devices up; 60% if left out.
    #[schemars(with = "String")]
    pub(super) cpu_normal: Option<Percent>,
    /// Highest use of the CPU while the tolerated failures last; 80% if left out.
    #[schemars(with = "String")]
    pub(super) cpu_failed: Option<Percent>,
    /// The same for the table of connections; 80% if left out.
    #[schemars(with = "String")]
    pub(super) memory_normal: Option<Percent>,
    /// 90% if left out.
    #[schemars(with = "String")]
    pub(super) memory_failed: Option<Percent>,
    /// The same for the network link; 60% if left out.
    #[schemars(with = "String")]
    pub(super) link_normal: Option<Percent>,
    /// 80% if left out.
    #[schemars(with = "String")]
    pub(super) link_failed: Option<Percent>,
    /// Speed of one device's link, where that may be the limit: "25Gbit/s".
    #[schemars(with = "String")]
    pub(super) link: Option<BitRate>,
    /// In what production differs from what was measured.
    pub(super) differs: Vec<Difference>,
    /// What is left of a measured capacity in production; 0.8 if something differs.
    pub(super) derate: Option<f64>,
    /// Workers (cores) of one device, for the estimate of waits; as measured if left out.
    pub(super) workers: Option<u32>,
    /// Workers of a device of another size, for the curve over workers (--scaling).
    pub(super) scaling_workers: Option<u32>,
    /// Fixes the resampling behind a band; 1 if left out.
    pub(super) seed: Option<u64>,
}

/// `[price]`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PriceFile {
    /// Currency of the prices: "EUR".
    pub(super) currency: Option<String>,
    /// Price of one device by the name of its DUT.
    pub(super) per_node: BTreeMap<String, f64>,
}
