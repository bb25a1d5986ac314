//! Whether there are enough local ports for a plan.
//!
//! Pure: sysctls come in as read. A connection is a 4-tuple; towards one destination a source address
//! has as many as the port range. The side that closes first keeps a tuple in TIME_WAIT for 60 s, but
//! with `tcp_tw_reuse` and timestamps the kernel may use it again after 1 s. So a rate needs
//! `rate × hold` tuples besides those open at once. Going round this by resets would break RFC 9411.

use std::net::IpAddr;

use crate::scenario::Plan;
use crate::scenario::plan::{CloseMode, Network, StartLoad, Unit, WorkloadKind};

/// How long Linux keeps a tuple in TIME_WAIT, in seconds (`TCP_TIMEWAIT_LEN`).
const TIME_WAIT_S: f64 = 60.0;

/// After how many seconds `tcp_tw_reuse` gives a tuple back (tcp_twsk_unique).
const REUSE_S: f64 = 1.0;

/// The sysctls that decide, as read where the connections are made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PortSysctls {
    /// First port of `net.ipv4.ip_local_port_range`.
    pub first: u16,
    /// Last port of it, included.
    pub last: u16,
    /// `net.ipv4.tcp_tw_reuse`: 0 never, 1 always, 2 on loopback.
    pub tw_reuse: u8,
    /// `net.ipv4.tcp_timestamps` is on; without it nothing is reused early.
    pub timestamps: bool,
}

impl PortSysctls {
    /// Those of the namespaces that a run makes: it sets them.
    pub const OF_OWN_NAMESPACES: Self = Self { first: 1_024, last: 65_535, tw_reuse: 1, timestamps: true };

    /// Those that decide for a network: of namespaces that the run makes, or of this process.
    pub fn of(network: Network) -> Self {
        match network {
            Network::Netns => Self::OF_OWN_NAMESPACES,
            Network::Loopback | Network::External => Self::read(),
        }
    }

    /// Reads them for the network namespace of this process.
    pub fn read() -> Self {
        let number = |name: &str| host::kernel::sysctl(name).and_then(|text| text.parse::<u8>().ok());
        let (first, last) = host::kernel::local_port_range();
        // Unreadable in a sandbox: the kernel's defaults.
        let tw_reuse = number("net.ipv4.tcp_tw_reuse").unwrap_or(2);
        Self { first, last, tw_reuse, timestamps: number("net.ipv4.tcp_timestamps").unwrap_or(1) != 0 }
    }

    fn ports(self) -> u64 {
        u64::from(self.last.saturating_sub(self.first)) + 1
    }

    /// For how many seconds a tuple cannot be used again after this side has closed first.
    fn hold_s(self, loopback: bool) -> f64 {
        let reuses = self.timestamps && (self.tw_reuse == 1 || self.tw_reuse == 2 && loopback);
        if reuses { REUSE_S } else { TIME_WAIT_S }
    }
}

/// What is asked of the local ports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PortDemand {
    /// New connections per second, 0 or more.
    pub connections_per_second: f64,
    /// Connections open at once.
    pub at_once: u64,
    /// Whether the connecting side closes first, with a FIN, and so keeps the tuple.
    pub keeps_tuple: bool,
    /// Source addresses.
    pub sources: u64,
    /// Destinations: addresses with port.
    pub destinations: u64,
    /// Whether all of it stays on loopback.
    pub loopback: bool,
}

/// What the local ports allow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PortBudget {
    /// 4-tuples: sources × destinations × ports.
    pub tuples: u64,
    /// For how many seconds a tuple cannot be used again after its connection; 0 if the other side
    /// keeps it.
    pub hold_s: f64,
    /// Highest rate of new connections per second beside those open at once; infinite without hold.
    pub rate_max: f64,
}

/// Compares a demand with what there is.
///
/// # Errors
/// The arithmetic with the sysctls as read, and what would help.
pub fn port_budget(demand: &PortDemand, sysctls: PortSysctls) -> Result<PortBudget, String> {
    let per_source = demand.destinations.max(1).saturating_mul(sysctls.ports());
    let tuples = demand.sources.max(1).saturating_mul(per_source);
    let hold_s = if demand.keeps_tuple { sysctls.hold_s(demand.loopback) } else { 0.0 };
    let needed = demand.connections_per_second * hold_s + demand.at_once as f64;
    let left = tuples.saturating_sub(demand.at_once) as f64;
    let rate_max = if hold_s > 0.0 { left / hold_s } else { f64::INFINITY };
    if needed <= tuples as f64 {
        return Ok(PortBudget { tuples, hold_s, rate_max });
    }
    let sources_needed = (needed / per_source as f64).ceil() as u64;
    let network = if demand.loopback { " (on loopback for example \"127.0.1.0/24\")" } else { "" };
    let lower = match demand.connections_per_second {
        0.0 => format!("at most {tuples} connections at once"),
        _ if left > 0.0 => format!("at most {rate_max:.0} connections/s"),
        _ => format!("fewer than {} connections at once", demand.at_once),
    };
    Err(format!(
        "not enough local ports: {rate:.0} connections/s × {hold_s:.0} s until a port may be used again + {at_once} open \
         at once = {needed:.0}, but {sources} source addresses × {destinations} destinations × {ports} ports = {tuples} \
         (net.ipv4.ip_local_port_range = {first} {last}, net.ipv4.tcp_tw_reuse = {reuse}, net.ipv4.tcp_timestamps = \
         {timestamps}); give {sources_needed} source addresses{network}, or {lower}{advice}",
        rate = demand.connections_per_second,
        at_once = demand.at_once,
        sources = demand.sources.max(1),
        destinations = demand.destinations.max(1),
        ports = sysctls.ports(),
        first = sysctls.first,
        last = sysctls.last,
        reuse = sysctls.tw_reuse,
        timestamps = u8::from(sysctls.timestamps),
        advice = reuse_advice(hold_s),
    ))
}

fn reuse_advice(hold_s: f64) -> &'static str {
    if hold_s > REUSE_S { ", or set net.ipv4.tcp_tw_reuse = 1" } else { "" }
}

/// What the ports of this host allow for the loads that a plan names: those of `[load]`, the first
/// and the highest of a search. Loads that only the search finds are bounded by
/// [`PortBudget::rate_max`].
///
/// # Errors
/// As [`port_budget`].
pub fn plan_ports(plan: &Plan, sysctls: PortSysctls) -> Result<PortBudget, String> {
    port_budget(&client_demand(plan), sysctls)
}

/// What the DUT needs towards the reflectors, if the plan's connections each make it open one: it has
/// one source address. Only a warning, as a DUT may well use its connections again.
pub fn dut_side_warning(plan: &Plan, sysctls: PortSysctls) -> Option<String> {
    let client = client_demand(plan);
    let destinations = u64::from(plan.testbed.reflectors) + plan.testbed.remote_reflectors.len() as u64;
    if destinations == 0 || matches!(plan.testbed.dut.kind, crate::scenario::plan::DutKind::None) {
        return None;
    }
    let demand = PortDemand { sources: 1, destinations, keeps_tuple: true, ..client };
    let error = port_budget(&demand, sysctls).err()?;
    Some(format!(
        "between the DUT and the reflectors, if it opens a connection for each of the client's: {error}; more reflectors help as well"
    ))
}

fn client_demand(plan: &Plan) -> PortDemand {
    let load = &plan.load;
    let named = load.rate.map(wire::units::Rate::as_f64).or_else(|| load.count.map(|count| f64::from(count.get())));
    let searched = plan.search.maximum().map_or(0.0, |maximum| {
        let start = match maximum.start {
            StartLoad::Absolute(load) => load,
            StartLoad::OfCeiling(_) => 0.0,
        };
        maximum.max.unwrap_or(start).max(start)
    });
    let highest = named.unwrap_or(0.0).max(searched);
    let per_connection = plan.workload.requests_per_connection.map_or(f64::INFINITY, |count| f64::from(count.get()));
    let (rate, at_once) = match load.unit {
        Unit::ConnectionsPerSecond => (highest, 0.0),
        Unit::TransactionsPerSecond => (highest / per_connection, 0.0),
        // A stream keeps its 5-tuple, and UDP has no TIME_WAIT.
        Unit::FramesPerSecond => (0.0, f64::from(streams(plan))),
        Unit::Connections | Unit::Transactions => (0.0, highest),
    };
    let reflectors = u64::from(plan.testbed.reflectors) + plan.testbed.remote_reflectors.len() as u64;
    let is_direct = matches!(plan.testbed.dut.kind, crate::scenario::plan::DutKind::None);
    PortDemand {
        connections_per_second: rate,
        at_once: at_once as u64,
        keeps_tuple: plan.workload.close == CloseMode::ClientFin && load.unit != Unit::FramesPerSecond,
        sources: plan.testbed.source_networks.iter().map(|network| address_count(network)).fold(0, u64::saturating_add),
        destinations: if is_direct { reflectors } else { 1 },
        loopback: plan.testbed.network == Network::Loopback,
    }
}

fn streams(plan: &Plan) -> u16 {
    match &plan.workload.kind {
        WorkloadKind::Udp(udp) => udp.streams.get(),
        WorkloadKind::Tcp | WorkloadKind::Http(_) => 0,
    }
}

/// How many addresses a network (`10.0.0.0/24`) or a single address has for clients; 0 if it is
/// neither.
pub fn address_count(network: &str) -> u64 {
    let (address, prefix) = network.split_once('/').map_or((network, None), |(ip, prefix)| (ip, Some(prefix)));
    let Ok(ip) = address.trim().parse::<IpAddr>() else { return 0 };
    let bits: u32 = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.map_or(Ok(bits), |text| text.trim().parse());
    let Some(host_bits) = prefix.ok().and_then(|prefix| bits.checked_sub(prefix)) else { return 0 };
    match (ip, host_bits) {
        // The first address of an IPv4 network names it and the last is its broadcast address.
        (IpAddr::V4(_), 2..) => (1_u64 << host_bits) - 2,
        (_, host_bits) => 1_u64.checked_shl(host_bits).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: PortSysctls = PortSysctls { first: 32_768, last: 60_999, tw_reuse: 2, timestamps: true };

    fn demand(rate: f64, at_once: u64, loopback: bool) -> PortDemand {
        PortDemand { connections_per_second: rate, at_once, keeps_tuple: true, sources: 1, destinations: 1, loopback }
    }

    #[test]
    fn a_tuple_is_held_for_a_second_on_loopback_and_for_a_minute_elsewhere() {
        let loopback = port_budget(&demand(28_000.0, 0, true), DEFAULTS).unwrap();
        assert_eq!(loopback, PortBudget { tuples: 28_232, hold_s: 1.0, rate_max: 28_232.0 });
        let remote = port_budget(&demand(470.0, 0, false), DEFAULTS).unwrap();
        assert_eq!((remote.hold_s, remote.rate_max.floor()), (60.0, 470.0));
        assert!(port_budget(&demand(471.0, 0, false), DEFAULTS).is_err());
        let reuse = PortSysctls { tw_reuse: 1, ..DEFAULTS };
        assert!(port_budget(&demand(28_000.0, 0, false), reuse).is_ok());
        // Without timestamps the kernel cannot tell old segments from new ones and reuses nothing.
        let bare = PortSysctls { timestamps: false, ..DEFAULTS };
        assert_eq!(port_budget(&demand(1.0, 0, true), bare).unwrap().hold_s, 60.0);
    }

    #[test]
    fn an_infeasible_demand_is_refused_with_the_arithmetic_and_the_sysctls() {
        let error = port_budget(&demand(50_000.0, 10_000, true), DEFAULTS).unwrap_err();
        for part in [
            "50000 connections/s × 1 s",
            "+ 10000 open at once = 60000",
            "1 source addresses × 1 destinations × 28232 ports = 28232",
            "ip_local_port_range = 32768 60999",
            "tcp_tw_reuse = 2",
            "give 3 source addresses",
            "at most 18232 connections/s",
        ] {
            assert!(error.contains(part), "{part:?} is missing in {error}");
        }
        let error = port_budget(&demand(0.0, 30_000, false), DEFAULTS).unwrap_err();
        assert!(error.contains("at most 28232 connections at once"), "{error}");
    }

    #[test]
    fn more_sources_or_destinations_and_a_close_by_the_other_side_help() {
        let many = PortDemand { sources: 254, ..demand(1_000_000.0, 0, true) };
        assert_eq!(port_budget(&many, DEFAULTS).unwrap().tuples, 254 * 28_232);
        let two = PortDemand { destinations: 2, ..demand(50_000.0, 0, true) };
        assert!(port_budget(&two, DEFAULTS).is_ok());
        let server_closes = PortDemand { keeps_tuple: false, ..demand(1e6, 100, false) };
        assert_eq!(port_budget(&server_closes, DEFAULTS).unwrap().rate_max, f64::INFINITY);
    }

    #[test]
    fn networks_have_as_many_addresses_as_clients_can_use() {
        let counts =
            ["127.0.0.0/8", "10.0.0.0/24", "10.0.0.1", "10.0.0.0/31", "fd00::/120", "fd00::/32"].map(address_count);
        assert_eq!(counts, [16_777_214, 254, 1, 2, 256, u64::MAX]);
        assert_eq!(["x", "10.0.0.0/33", "10.0.0.0/x"].map(address_count), [0, 0, 0]);
    }
}
