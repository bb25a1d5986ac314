//! The sentences and rows of a sizing, as a purchasing committee reads them.

use std::time::Duration;

use crate::report::text::{amount, count, share, span};
use crate::sizing::answer::{Price, Wait};
use crate::sizing::capacity::Capacity;
use crate::sizing::demand::words::Mode;
use crate::sizing::model::{Constraint, Nodes};
use crate::sizing::runs::Spread;
use crate::sizing::sensitivity::Sensitivity;
use crate::sizing::{Demand, DeviceAnswer, Resource};

/// An amount of a resource: `28,800 connections/s`, `17.3 Gbit/s`.
pub(super) fn quantity(resource: Resource, value: f64) -> String {
    match resource {
        Resource::Bandwidth => bits(value),
        _ => format!("{} {}", amount(value), resource.unit()),
    }
}

/// Bits per second with the multiplier that fits.
pub(super) fn bits(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v >= 1e12 => (v / 1e12, "Tbit/s"),
        v if v >= 1e9 => (v / 1e9, "Gbit/s"),
        v if v >= 1e6 => (v / 1e6, "Mbit/s"),
        v if v >= 1e3 => (v / 1e3, "kbit/s"),
        v => (v, "bit/s"),
    };
    format!("{} {unit}", amount(scaled))
}

/// The answer in one sentence.
pub(super) fn sentence(demand: &Demand, device: &DeviceAnswer) -> String {
    let Some(nodes) = &device.nodes else {
        // Only the first clause: the reasons with their next steps follow in full.
        let why = device.missing.first().and_then(|why| why.split(';').next()).unwrap_or("nothing was measured");
        return format!("No number can be stated for {}: {why}.", device.dut);
    };
    let at_most = if nodes.at_most { "at most " } else { "" };
    let when = match demand.years {
        0 => "today's peak".to_owned(),
        years => format!("the peak expected in {}", plural(years.into(), "year")),
    };
    let use_of =
        |of: &dyn Fn(&Constraint) -> f64| nodes.binding().map_or_else(String::new, |binding| share(of(binding)));
    let normal = use_of(&|binding| nodes.normal_use(binding));
    let failed = match nodes.tolerated_failures {
        0 => "none of them may fail".to_owned(),
        failures if demand.redundancy.mode == Mode::ActiveStandby => {
            format!("{failures} of them {} by and may take over", if failures == 1 { "stands" } else { "stand" })
        }
        failures => format!(
            "and at {} while {failures} of them {} down",
            use_of(&|binding| nodes.failed_use(binding)),
            is_are(failures)
        ),
    };
    let what = nodes.binding.name();
    let carry = if nodes.active == 1 { "carries" } else { "carry" };
    let who = if nodes.active == nodes.nodes { "they".to_owned() } else { count(nodes.active) };
    let who = if nodes.nodes == 1 { "it".to_owned() } else { who };
    let mut text = format!(
        "Buy {at_most}{} × {}: {who} {carry} {when} with {normal} of the {what} in use, {failed}.",
        nodes.nodes, device.dut
    );
    if nodes.at_most {
        text.push_str(" A capacity is known as a lower bound only, so fewer may do.");
    }
    if device.is_provisional() {
        text.push_str(" Provisional: it rests on short trials or on fewer searches than show how far results stray.");
    }
    text
}

fn is_are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// `1 year`, `2 years`.
pub(super) fn plural(number: u64, word: &str) -> String {
    format!("{} {word}{}", count(number), if number == 1 { "" } else { "s" })
}

/// How busy devices are: `CPU 50 % in use with all up, 75 % after 1 failure`.
pub(super) fn usage(nodes: &Nodes, constraint: &Constraint) -> String {
    let normal = share(nodes.normal_use(constraint));
    let name = constraint.limit.name();
    match nodes.tolerated_failures {
        0 => format!("{name} {normal} in use"),
        failures => {
            let failed = share(nodes.failed_use(constraint));
            format!("{name} {normal} in use with all up, {failed} after {}", plural(failures, "failure"))
        }
    }
}

/// A number of a resource whose name stands beside it.
pub(super) fn number(resource: Resource, value: f64) -> String {
    if resource == Resource::Bandwidth { bits(value) } else { amount(value) }
}

/// Which limit binds, with the numbers behind it.
pub(super) fn binding(nodes: &Nodes) -> String {
    let Some(binding) = nodes.binding() else { return String::new() };
    let parts: Vec<String> = binding
        .shares
        .iter()
        .map(|part| format!("{} {}", part.resource.words(), amount_of_devices(part.devices)))
        .collect();
    let sum = if parts.len() > 1 { format!(" = {}", amount_of_devices(binding.devices)) } else { String::new() };
    format!("{}: {}{sum} devices' worth", binding.limit.name(), parts.join(" + "))
}

fn amount_of_devices(devices: f64) -> String {
    format!("{devices:.3}")
}

/// How a limit came to its number of devices.
pub(super) fn rule(nodes: &Nodes, constraint: &Constraint, mode: Mode) -> String {
    let u = amount_of_devices(constraint.devices);
    let failures = nodes.tolerated_failures;
    let normal = format!("⌈{u} / {}⌉", constraint.limits.normal);
    match mode {
        Mode::ActiveStandby => format!("{normal} + {failures} = {}", constraint.nodes),
        Mode::ActiveActive => format!(
            "max({normal} = {}, ⌈{u} / {}⌉ + {failures} = {})",
            constraint.normal, constraint.limits.failed, constraint.failed
        ),
    }
}

/// A capacity with its bound: `≥ 15,032 connections/s`.
pub(super) fn capacity(capacity: &Capacity) -> String {
    format!("{}{}", bound(capacity), quantity(capacity.resource, capacity.value))
}

/// The same without the unit, where the resource's name stands beside it.
pub(super) fn capacity_number(capacity: &Capacity) -> String {
    format!("{}{}", bound(capacity), number(capacity.resource, capacity.value))
}

fn bound(capacity: &Capacity) -> &'static str {
    match (capacity.estimated, capacity.lower) {
        (true, _) => "about ",
        (false, true) => "≥ ",
        (false, false) => "",
    }
}

/// Smallest to largest of the repeats, where there are several.
pub(super) fn spread(capacity: &Capacity) -> String {
    let Spread { searches, lowest, highest } = capacity.repeats;
    match searches {
        0 | 1 => "one search".to_owned(),
        _ => {
            let of = |value| number(capacity.resource, value);
            format!("{} to {} in {} searches", of(lowest), of(highest), count(searches.into()))
        }
    }
}

/// Seconds as a time.
pub(super) fn seconds(value: Option<f64>) -> String {
    let time = value.and_then(|value| Duration::try_from_secs_f64(value).ok());
    time.map_or_else(|| "without end".to_owned(), span)
}

/// What would change the answer, one row each: what, and what becomes of it.
pub(super) fn changes(nodes: &Nodes, sensitivity: &Sensitivity) -> Vec<[String; 2]> {
    let (now, more) = (nodes.nodes, format!("{} or more", nodes.nodes.saturating_add(1)));
    let mut rows = vec![[
        format!("all of the demand is more than {} above plan", room(sensitivity.demand_factor_max - 1.0)),
        more.clone(),
    ]];
    for (resource, factor) in sensitivity.alone.iter().filter(|_| sensitivity.alone.len() > 1) {
        let what = format!("{} alone: more than {} above plan", resource.words(), room(factor - 1.0));
        rows.push([what, more.clone()]);
    }
    let what = format!("a device carries more than {} less than counted", room(sensitivity.capacity_loss_max));
    rows.push([what, more]);
    if let Some(factor) = sensitivity.demand_factor_for_one_less {
        let what = format!("all of the demand is at most {} of the planned one", room(factor));
        rows.push([what, format!("{} or fewer", now - 1)]);
    }
    for change in &sensitivity.changes {
        let becomes = change.nodes.map_or_else(|| "cannot be met".to_owned(), |nodes| nodes.to_string());
        rows.push([change.what.clone(), becomes]);
    }
    rows
}

/// A share that holds up to a bound, never rounded beyond it.
fn room(ratio: f64) -> String {
    format!("{} %", (ratio.max(0.0) * 1_000.0 + 1e-6).floor() / 10.0)
}

/// Price of all devices, and how it comes about.
pub(super) fn price(demand: &Demand, nodes: &Nodes, price: Price) -> [String; 2] {
    let at_most = if nodes.at_most { "at most " } else { "" };
    let total = format!("{at_most}{} {}", amount(price.total), demand.currency);
    [total, format!("{} × {} {}", nodes.nodes, amount(price.node), demand.currency)]
}

/// Waits for a free worker.
pub(super) fn wait(wait: &Wait) -> String {
    format!(
        "p99 of the wait for a free worker (Erlang C, {} doing {} {} each): {} with all devices up, {} while the tolerated failures last",
        plural(wait.workers.into(), "worker"),
        amount(wait.per_worker),
        wait.operation.unit(),
        seconds(wait.normal_s),
        seconds(wait.failed_s)
    )
}
