//! From a demand and the capacities of one device to a number of devices.
//!
//! What costs CPU time adds up: u = Σ demand / capacity over connections, transactions and bits per
//! second (the utilisation law; conservative, because a connection's figure contains a transaction
//! already). The table of connections and the link are limits of their own. For each of them
//! n = max(⌈u / U_normal⌉, ⌈u / U_failed⌉ + f), f devices being allowed to fail, and the largest n is
//! the answer. Stand-ins that wait carry nothing: n = ⌈u / U_normal⌉ + f.
//!
//! Taken for granted: equal devices, an even spread over them, and a mix that costs what its parts
//! cost. A test of the mix, with one device killed at the peak, is what proves it.

use serde::Serialize;

use super::Resource;
use super::demand::words::Mode;
use super::demand::{Demand, Limits};

/// Bytes of a full frame on an Ethernet link, preamble and gap included, for each byte of TCP payload:
/// 1,538 B carry 1,448 B (MTU 1,500, IPv4 20 B, TCP with timestamps 32 B).
const WIRE: f64 = 1_538.0 / 1_448.0;
/// What rounding of the inputs may not turn into another device.
const TINY: f64 = 1e-9;

/// What limits a device.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// CPU time.
    Cpu,
    /// The table of connections.
    Memory,
    /// The network link.
    Link,
}

impl Limit {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "connection table",
            Self::Link => "link",
        }
    }
}

/// What one demanded resource takes of one device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Of what.
    pub resource: Resource,
    /// At the planned peak.
    pub demand: f64,
    /// Of one device in production: derated.
    pub capacity: f64,
    /// demand / capacity: devices' worth of it.
    pub devices: f64,
    /// Whether the capacity is only a lower bound.
    pub lower: bool,
}

/// One limit and how many devices it asks for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Constraint {
    /// Which.
    pub limit: Limit,
    /// What adds up to its use.
    pub shares: Vec<Share>,
    /// Their sum: devices' worth of the demand.
    pub devices: f64,
    /// Highest use allowed.
    pub limits: Limits,
    /// Devices with all of them up: ⌈u / U_normal⌉.
    pub normal: u64,
    /// Devices while the tolerated failures last, those included: ⌈u / U_failed⌉ + f.
    pub failed: u64,
    /// The larger one.
    pub nodes: u64,
}

/// How many devices, and how busy they are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Nodes {
    /// How many to have.
    pub nodes: u64,
    /// Those of them that carry load while nothing is broken.
    pub active: u64,
    /// Those that may fail.
    pub tolerated_failures: u64,
    /// The limit that asks for the most devices; of several, the busiest.
    pub binding: Limit,
    /// All limits.
    pub constraints: Vec<Constraint>,
    /// What the largest share alone, instead of the sum, would ask for.
    pub by_largest_share: u64,
    /// Whether fewer devices may do, because a capacity is only a lower bound: were it without end, the
    /// others would ask for fewer.
    pub at_most: bool,
}

/// What a device carries of one resource in production.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Carries {
    /// Of what.
    pub resource: Resource,
    /// How much, derated.
    pub capacity: f64,
    /// Whether it may be more.
    pub lower: bool,
}

/// The rules of one computation, so that another one can change them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Devices that may fail.
    pub tolerated_failures: u64,
    /// Who carries load.
    pub mode: Mode,
    /// Of the CPU.
    pub cpu: Limits,
    /// Of the table of connections.
    pub memory: Limits,
    /// Of the link.
    pub link: Limits,
    /// Speed of one device's link in bits per second.
    pub link_bps: Option<f64>,
}

impl Rules {
    /// The rules of a demand.
    pub fn of(demand: &Demand) -> Self {
        Self {
            tolerated_failures: demand.redundancy.tolerated_failures.into(),
            mode: demand.redundancy.mode,
            cpu: demand.planning.cpu,
            memory: demand.planning.memory,
            link: demand.planning.link,
            link_bps: demand.planning.link_bps,
        }
    }

    fn limits(&self, limit: Limit) -> Limits {
        match limit {
            Limit::Cpu => self.cpu,
            Limit::Memory => self.memory,
            Limit::Link => self.link,
        }
    }

    /// Devices with all up, and those with the failures, for so many devices' worth of demand.
    fn counts(&self, limit: Limit, devices: f64) -> (u64, u64) {
        let Limits { normal, failed } = self.limits(limit);
        let spare = self.tolerated_failures;
        match self.mode {
            Mode::ActiveActive => (whole(devices / normal), whole(devices / failed).saturating_add(spare)),
            // A stand-in takes over what its fallen neighbour carried: the use stays as it was.
            Mode::ActiveStandby => {
                let all = whole(devices / normal).saturating_add(spare);
                (all, all)
            }
        }
    }

    /// The devices' worth of demand that so many devices carry; 0 when none is left.
    pub fn bearable(&self, limit: Limit, nodes: u64) -> f64 {
        let Limits { normal, failed } = self.limits(limit);
        let left = nodes.saturating_sub(self.tolerated_failures) as f64;
        match self.mode {
            Mode::ActiveActive => (nodes as f64 * normal).min(left * failed),
            Mode::ActiveStandby => left * normal,
        }
    }
}

impl Nodes {
    /// Use of a limit with all devices up, as a ratio.
    pub fn normal_use(&self, constraint: &Constraint) -> f64 {
        constraint.devices / self.active as f64
    }

    /// Use of it while the tolerated failures last.
    pub fn failed_use(&self, constraint: &Constraint) -> f64 {
        constraint.devices / (self.nodes - self.tolerated_failures) as f64
    }

    /// The limit that binds.
    pub fn binding(&self) -> Option<&Constraint> {
        self.constraints.iter().find(|constraint| constraint.limit == self.binding)
    }
}

/// How many devices carry the planned peak. `planned` is the demand of each resource, `carries` what a
/// device carries of it; a resource that is not demanded costs nothing.
///
/// # Errors
/// The resources that are demanded but were not measured, if there are any.
pub fn nodes(planned: &[(Resource, f64)], carries: &[Carries], rules: &Rules) -> Result<Nodes, Vec<Resource>> {
    let shares = shares(planned, carries)?;
    let constraints = constraints(&shares, rules);
    let needed = constraints.iter().map(|constraint| constraint.nodes).max().unwrap_or(0);
    let nodes = needed.max(1 + rules.tolerated_failures);
    // However much a device carries of what has a lower bound, the rest has to be carried.
    let exact = |share: &Share| Share { devices: if share.lower { 0.0 } else { share.devices }, ..*share };
    let exact: Vec<Share> = shares.iter().map(exact).collect();
    let fewest = self::constraints(&exact, rules);
    let fewest = fewest.iter().map(|constraint| constraint.nodes).max().unwrap_or(0);
    let active = match rules.mode {
        Mode::ActiveActive => nodes,
        Mode::ActiveStandby => nodes - rules.tolerated_failures,
    };
    // Of limits that ask for equally many, the one nearest to its limit will ask for more first.
    let margin = |constraint: &Constraint| rules.bearable(constraint.limit, nodes) / constraint.devices;
    let binding = constraints.iter().min_by(|a, b| b.nodes.cmp(&a.nodes).then(margin(a).total_cmp(&margin(b))));
    let largest = constraints.iter().map(|constraint| {
        let largest = constraint.shares.iter().map(|share| share.devices).fold(0.0, f64::max);
        let (normal, failed) = rules.counts(constraint.limit, largest);
        normal.max(failed)
    });
    Ok(Nodes {
        nodes,
        active,
        tolerated_failures: rules.tolerated_failures,
        binding: binding.map_or(Limit::Cpu, |constraint| constraint.limit),
        by_largest_share: largest.max().unwrap_or(0).max(1 + rules.tolerated_failures),
        at_most: fewest.max(1 + rules.tolerated_failures) < nodes,
        constraints,
    })
}

fn shares(planned: &[(Resource, f64)], carries: &[Carries]) -> Result<Vec<Share>, Vec<Resource>> {
    let mut shares = Vec::new();
    let mut missing = Vec::new();
    for &(resource, demand) in planned {
        match carries.iter().find(|carries| carries.resource == resource && carries.capacity > 0.0) {
            Some(&Carries { capacity, lower, .. }) => {
                shares.push(Share { resource, demand, capacity, devices: demand / capacity, lower });
            }
            None => missing.push(resource),
        }
    }
    if missing.is_empty() { Ok(shares) } else { Err(missing) }
}

fn constraints(shares: &[Share], rules: &Rules) -> Vec<Constraint> {
    let of = |limit: Limit, shares: Vec<Share>| {
        let devices = shares.iter().map(|share| share.devices).sum();
        let (normal, failed) = rules.counts(limit, devices);
        Constraint { limit, shares, devices, limits: rules.limits(limit), normal, failed, nodes: normal.max(failed) }
    };
    let (memory, cpu): (Vec<Share>, Vec<Share>) = shares.iter().partition(|share| share.resource == Resource::Cc);
    let link = rules.link_bps.and_then(|capacity| {
        let bandwidth = shares.iter().find(|share| share.resource == Resource::Bandwidth)?;
        let demand = bandwidth.demand * WIRE;
        Some(Share { demand, capacity, devices: demand / capacity, lower: false, ..*bandwidth })
    });
    [(Limit::Cpu, cpu), (Limit::Memory, memory), (Limit::Link, link.into_iter().collect())]
        .into_iter()
        .filter(|(_, shares)| !shares.is_empty())
        .map(|(limit, shares)| of(limit, shares))
        .collect()
}

fn whole(devices: f64) -> u64 {
    (devices * (1.0 - TINY)).ceil() as u64
}
