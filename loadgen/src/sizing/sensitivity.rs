//! What would change the answer: how far demand, capacities and rules are from another number of devices.

use serde::Serialize;

use super::Resource;
use super::demand::Demand;
use super::demand::words::Mode;
use super::model::{Carries, Limit, Nodes, Rules, nodes};

/// One change and what becomes of the answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// What changes, in words.
    pub what: String,
    /// The number of devices after it; `None` where it cannot be met.
    pub nodes: Option<u64>,
}

/// Devices at the end of one year.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Year {
    /// Years from today.
    pub year: u32,
    /// What today's peaks are multiplied with.
    pub growth: f64,
    /// Devices.
    pub nodes: u64,
}

/// How far the answer is from another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// The demand may grow by this factor, all of it together, before one more device is needed.
    pub demand_factor_max: f64,
    /// Capacities may be smaller by this share before one more device is needed: 0.2 is 20 %.
    pub capacity_loss_max: f64,
    /// For each demanded resource, the factor by which it alone may grow.
    pub alone: Vec<(Resource, f64)>,
    /// The demand would have to be this share of the planned one for one device less; `None` when no
    /// device less is possible.
    pub demand_factor_for_one_less: Option<f64>,
    /// Other rules.
    pub changes: Vec<Change>,
    /// Devices by year.
    pub years: Vec<Year>,
}

/// What the answer depends on.
pub struct Basis<'a> {
    /// The demand.
    pub demand: &'a Demand,
    /// The planned peaks.
    pub planned: &'a [(Resource, f64)],
    /// What a device carries in production.
    pub carries: &'a [Carries],
    /// The rules of the answer.
    pub rules: Rules,
    /// The answer.
    pub answer: &'a Nodes,
}

/// The sensitivity of an answer.
pub fn of(basis: &Basis<'_>) -> Sensitivity {
    let Basis { answer, rules, .. } = basis;
    let factor = |nodes: u64| {
        let factors = answer.constraints.iter().map(|c| rules.bearable(c.limit, nodes) / c.devices);
        factors.fold(f64::INFINITY, f64::min)
    };
    let demand_factor_max = factor(answer.nodes);
    // The speed of a link does not shrink with what a device carries.
    let measured = answer.constraints.iter().filter(|constraint| constraint.limit != Limit::Link);
    let bearable = measured.map(|constraint| rules.bearable(constraint.limit, answer.nodes) / constraint.devices);
    let capacity_factor = bearable.fold(f64::INFINITY, f64::min);
    let one_less = (answer.nodes > 1 + answer.tolerated_failures).then(|| factor(answer.nodes - 1));
    Sensitivity {
        demand_factor_max,
        capacity_loss_max: 1.0 - 1.0 / capacity_factor,
        alone: basis.planned.iter().map(|&(resource, _)| (resource, alone(basis, resource))).collect(),
        demand_factor_for_one_less: one_less,
        changes: changes(basis),
        years: years(basis),
    }
}

/// The factor by which the demand of one resource may grow while the others stay.
fn alone(basis: &Basis<'_>, resource: Resource) -> f64 {
    let factors = basis.answer.constraints.iter().filter_map(|constraint| {
        let share = constraint.shares.iter().find(|share| share.resource == resource)?;
        let free = basis.rules.bearable(constraint.limit, basis.answer.nodes) - constraint.devices;
        Some(1.0 + free / share.devices)
    });
    factors.fold(f64::INFINITY, f64::min)
}

fn changes(basis: &Basis<'_>) -> Vec<Change> {
    let Basis { demand, rules, .. } = basis;
    let with = |what: String, rules: &Rules| Change { what, nodes: count(basis, 1.0, 1.0, rules) };
    let mut changes = Vec::new();
    for failures in 0..=rules.tolerated_failures + 1 {
        if failures != rules.tolerated_failures {
            let what = format!("{failures} instead of {} devices may fail", rules.tolerated_failures);
            changes.push(with(what, &Rules { tolerated_failures: failures, ..*rules }));
        }
    }
    for points in [-0.1, 0.1] {
        let mut other = *rules;
        other.cpu.normal = rules.cpu.normal + points;
        if other.cpu.normal > 0.05 && other.cpu.normal <= 1.0 {
            let what = format!(
                "CPU planned to {:.0} % instead of {:.0} %",
                other.cpu.normal * 100.0,
                rules.cpu.normal * 100.0
            );
            changes.push(with(what, &other));
        }
    }
    let mode = match rules.mode {
        Mode::ActiveActive => Mode::ActiveStandby,
        Mode::ActiveStandby => Mode::ActiveActive,
    };
    changes.push(with(format!("{} instead of {}", mode.name(), rules.mode.name()), &Rules { mode, ..*rules }));
    let derate = demand.planning.derate;
    let other = if derate < 1.0 { 1.0 } else { 0.8 };
    let what = format!(
        "{:.0} % instead of {:.0} % of the measured capacities are left in production",
        other * 100.0,
        derate * 100.0
    );
    changes.push(Change { what, nodes: count(basis, 1.0, other / derate, rules) });
    let what = "the largest share of the CPU alone instead of the sum of all (not planned with)".to_owned();
    changes.push(Change { what, nodes: Some(basis.answer.by_largest_share) });
    changes
}

fn years(basis: &Basis<'_>) -> Vec<Year> {
    let demand = basis.demand;
    if demand.growth_per_year <= 0.0 {
        return Vec::new();
    }
    let planned = demand.growth_after(demand.years);
    let year = |year: u32| {
        let growth = demand.growth_after(year);
        Some(Year { year, growth, nodes: count(basis, growth / planned, 1.0, &basis.rules)? })
    };
    (0..=demand.years + 2).filter_map(year).collect()
}

/// Devices for the planned demand times `demand`, with capacities times `capacity`.
fn count(basis: &Basis<'_>, demand: f64, capacity: f64, rules: &Rules) -> Option<u64> {
    let planned: Vec<_> = basis.planned.iter().map(|&(resource, peak)| (resource, peak * demand)).collect();
    let scaled = |carries: &Carries| Carries { capacity: carries.capacity * capacity, ..*carries };
    let carries: Vec<_> = basis.carries.iter().map(scaled).collect();
    nodes(&planned, &carries, rules).ok().map(|nodes| nodes.nodes)
}
