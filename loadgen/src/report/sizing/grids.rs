//! The tables of a sizing.

use super::words;
use crate::report::tables::Grid;
use crate::report::text::{NOTHING, amount, share};
use crate::sizing::answer::DeviceAnswer;
use crate::sizing::demand::Limits;
use crate::sizing::{Demand, Resource, Sizing};

pub(super) fn demand(sizing: &Sizing) -> Grid {
    let demand = &sizing.demand;
    let mut grid = Grid::new(&["at the peak", "today", "planned for"]).text(&[0]);
    for (resource, peak) in &sizing.planned {
        let today = demand.today(*resource).unwrap_or(*peak);
        grid.row(vec![resource.words().to_owned(), words::number(*resource, today), words::number(*resource, *peak)]);
    }
    grid
}

pub(super) fn services(demand: &Demand) -> Grid {
    let head = [
        "service",
        "protocol",
        "connections/s",
        "transactions/s",
        "bandwidth",
        "connections at once",
        "persistence",
        "balancing",
        "check",
        "how the peaks were found",
    ];
    let mut grid = Grid::new(&head).text(&[0, 1, 6, 7, 8]).words(&[9]);
    for service in &demand.services {
        let number = |value: Option<f64>| value.map_or_else(|| NOTHING.to_owned(), amount);
        let ratio = if service.peak_to_mean > 1.0 { format!(" × {}", service.peak_to_mean) } else { String::new() };
        grid.row(vec![
            service.name.clone(),
            service.protocol.name().to_owned(),
            number(service.cps),
            number(service.tps),
            service.bandwidth_bps.map_or_else(|| NOTHING.to_owned(), words::bits),
            number(service.cc),
            service.persistence.name().to_owned(),
            service.balancing.map_or(NOTHING, |balancing| balancing.name()).to_owned(),
            service.check.map_or(NOTHING, |check| check.name()).to_owned(),
            format!("{}{ratio}; connections at once: {}", service.statistic.name(), service.cc_from),
        ]);
    }
    grid
}

/// The rest of the requirement sheet.
pub(super) fn sheet(demand: &Demand) -> Grid {
    let mut grid = Grid::new(&["requirement", "stated"]).text(&[0]).words(&[1]);
    let list = |items: &[String]| if items.is_empty() { "not stated".to_owned() } else { items.join(", ") };
    let planning = &demand.planning;
    let users = demand.users.count.map_or_else(|| "not stated".to_owned(), amount);
    let proxies = demand.users.behind_proxies.map_or_else(
        || "share behind proxies not stated".to_owned(),
        |ratio| format!("{} behind proxies", share(ratio)),
    );
    let differs: Vec<&str> = planning.differs.iter().map(|difference| difference.name()).collect();
    let production = if differs.is_empty() {
        "like the measurement".to_owned()
    } else {
        format!("differs in {}; {} of a measured capacity is counted", differs.join(", "), share(planning.derate))
    };
    let fail_back = match demand.redundancy.fail_back {
        None => "fail-back not stated",
        Some(true) => "fail-back wanted",
        Some(false) => "no fail-back",
    };
    let redundancy = format!(
        "{}; {}; {fail_back}",
        words::plural(demand.redundancy.tolerated_failures.into(), "failure") + " tolerated",
        demand.redundancy.mode.name()
    );
    for (name, text) in [
        (
            "growth",
            format!("{} a year for {}", share(demand.growth_per_year), words::plural(demand.years.into(), "year")),
        ),
        ("redundancy", redundancy),
        ("response time", format!("99 % within {}", words::seconds(Some(planning.slo_p99_s)))),
        ("production", production),
        ("users (information)", format!("{users}; {proxies}; networks: {}", list(&demand.users.networks))),
        ("monitoring", list(&demand.monitoring)),
        ("management access", list(&demand.access)),
    ] {
        grid.row(vec![name.to_owned(), text]);
    }
    grid
}

pub(super) fn capacity(demand: &Demand, device: &DeviceAnswer) -> Grid {
    let mut grid =
        Grid::new(&["one device carries", "measured", "counted", "repeats", "p99", "held", "limited by", "from"])
            .text(&[0, 6, 7]);
    for capacity in &device.capacities {
        grid.row(vec![
            capacity.resource.words().to_owned(),
            words::capacity_number(capacity),
            words::number(capacity.resource, capacity.value * demand.planning.derate),
            words::spread(capacity),
            capacity.response_p99_s.map_or_else(|| NOTHING.to_owned(), |p99| words::seconds(Some(p99))),
            format!("{} s", amount(capacity.sustain_s)),
            capacity.limited_by.clone().unwrap_or_else(|| NOTHING.to_owned()),
            capacity.from.clone(),
        ]);
        grid.note(capacity.flags.join("; "));
    }
    grid
}

pub(super) fn rules(demand: &Demand, device: &DeviceAnswer) -> Grid {
    let mut grid = Grid::new(&["limit", "devices' worth", "all up", "failures last", "how", "devices"]).text(&[0, 4]);
    for constraint in device.nodes.iter().flat_map(|nodes| &nodes.constraints) {
        let Some(nodes) = &device.nodes else { continue };
        grid.row(vec![
            constraint.limit.name().to_owned(),
            format!("{:.3}", constraint.devices),
            format!("{} of {}", share(nodes.normal_use(constraint)), share(constraint.limits.normal)),
            format!("{} of {}", share(nodes.failed_use(constraint)), share(constraint.limits.failed)),
            words::rule(nodes, constraint, demand.redundancy.mode),
            constraint.nodes.to_string(),
        ]);
    }
    grid
}

pub(super) fn changes(device: &DeviceAnswer) -> Grid {
    let mut grid = Grid::new(&["if", "devices"]).words(&[0]);
    if let (Some(nodes), Some(sensitivity)) = (&device.nodes, &device.sensitivity) {
        words::changes(nodes, sensitivity).into_iter().for_each(|row| grid.row(row.into()));
    }
    grid
}

pub(super) fn years(device: &DeviceAnswer) -> Grid {
    let mut grid = Grid::new(&["in years", "demand", "devices"]);
    for year in device.sensitivity.iter().flat_map(|sensitivity| &sensitivity.years) {
        grid.row(vec![year.year.to_string(), format!("× {:.2}", year.growth), year.nodes.to_string()]);
    }
    grid
}

pub(super) fn runs(device: &DeviceAnswer) -> Grid {
    let mut grid = Grid::new(&["run", "scenario", "label", "what was measured"]).text(&[0, 1, 2]).words(&[3]);
    for run in &device.runs {
        let workload: Vec<String> = run.workload.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        grid.row(vec![run.folder.clone(), run.scenario.clone(), run.label.clone(), workload.join("; ")]);
    }
    grid
}

/// Names and values.
pub(super) fn facts(facts: &[(String, String)]) -> Grid {
    let mut grid = Grid::new(&["what", "value"]).text(&[0]).words(&[1]);
    for (name, value) in facts {
        grid.row(vec![name.clone(), value.clone()]);
    }
    grid
}

/// How the answer comes about, and how far it holds.
pub(super) fn method(demand: &Demand) -> Grid {
    let planning = &demand.planning;
    let slo = words::seconds(Some(planning.slo_p99_s));
    let limits =
        |limits: Limits| format!("{} with all up, {} with failures", share(limits.normal), share(limits.failed));
    let mut grid = Grid::new(&["rule", "in words"]).text(&[0]).words(&[1]);
    for (name, text) in [
        ("a capacity", format!("the highest load of a trial of full length with failures below 0.001 % (RFC 9411, 7.2), 99 % of responses within {slo} of when they were due, and at least 99.9 % of the load really offered; the smallest of repeats")),
        ("CPU time adds up", "use = Σ demand / capacity over connections, transactions and bytes: on the safe side, because a connection's figure contains a transaction. The connection table and the link are limits of their own".to_owned()),
        ("devices", "the larger of ⌈use / limit with all up⌉ and ⌈use / limit with failures⌉ + failures; stand-ins that wait carry nothing".to_owned()),
        ("limit of the CPU", limits(planning.cpu)),
        ("limit of the connection table", limits(planning.memory)),
        ("limit of the link", limits(planning.link)),
        ("how far it holds", "for these versions, this configuration, these requests and object sizes, and this hardware; for others, measure again".to_owned()),
        ("proof", "run the mix of the site at its peak and kill as many devices as may fail: response times must hold".to_owned()),
    ] {
        grid.row(vec![name.to_owned(), text]);
    }
    grid
}

/// Several devices beside each other.
pub(super) fn columns(demand: &Demand, devices: &[DeviceAnswer]) -> Grid {
    let mut head = vec![""];
    head.extend(devices.iter().map(|device| device.dut.as_str()));
    let mut grid = Grid::new(&head);
    let mut row = |name: &str, of: &dyn Fn(&DeviceAnswer) -> Option<String>| {
        let cells = devices.iter().map(|device| of(device).unwrap_or_else(|| NOTHING.to_owned()));
        grid.row(std::iter::once(name.to_owned()).chain(cells).collect());
    };
    row("devices", &|device| {
        device.nodes.as_ref().map(|nodes| format!("{}{}", if nodes.at_most { "≤ " } else { "" }, nodes.nodes))
    });
    row("binding", &|device| device.nodes.as_ref().map(|nodes| nodes.binding.name().to_owned()));
    for resource in Resource::ALL {
        if demand.today(resource).is_some() {
            row(resource.words(), &|device| {
                device.capacities.iter().find(|capacity| capacity.resource == resource).map(words::capacity_number)
            });
        }
    }
    if !demand.prices.is_empty() {
        row("price", &|device| Some(words::price(demand, device.nodes.as_ref()?, device.price?).join(" = ")));
    }
    grid
}
