//! The answer of a sizing: how many of which device, why, and what to know before buying.

use serde::Serialize;

use super::Resource;
use super::capacity::{self, Capacity, REPEATS_MIN, SUSTAIN_S, Terms};
use super::demand::Demand;
use super::demand::words::{Difference, Protocol};
use super::model::{self, Carries, Nodes, Rules};
use super::queueing;
use super::runs::{Device, Run, UnlikeRuns, devices};
use super::sensitivity::{self, Sensitivity};

/// The answer for every device that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Sizing {
    /// The demand.
    pub demand: Demand,
    /// The planned peaks: today's, grown.
    pub planned: Vec<(Resource, f64)>,
    /// One answer per device, in the order of the runs.
    pub devices: Vec<DeviceAnswer>,
    /// Where all of it was measured.
    pub place: Vec<(String, String)>,
}

/// The answer for one device.
#[derive(Clone, Debug, Serialize)]
pub struct DeviceAnswer {
    /// Its name.
    pub dut: String,
    /// What it carries, of every demanded resource that was measured.
    pub capacities: Vec<Capacity>,
    /// Why there is no answer, each with the next step; empty when there is one.
    pub missing: Vec<String>,
    /// How many.
    pub nodes: Option<Nodes>,
    /// What would change that.
    pub sensitivity: Option<Sensitivity>,
    /// Price of one, and of all.
    pub price: Option<Price>,
    /// How long operations wait for a free worker.
    pub wait: Option<Wait>,
    /// What to know before buying, each with the next step.
    pub warnings: Vec<String>,
    /// What the answer goes beyond what was measured.
    pub extrapolated: Vec<String>,
    /// The runs and what each asked, for whoever wants to look.
    pub runs: Vec<RunNote>,
    /// The device as it was measured.
    pub configuration: Vec<(String, String)>,
}

/// A run in a few words.
#[derive(Clone, Debug, Serialize)]
pub struct RunNote {
    /// Its folder.
    pub folder: String,
    /// Its scenario.
    pub scenario: String,
    /// How far it kept to the RFCs.
    pub label: String,
    /// What one operation was.
    pub workload: Vec<(String, String)>,
}

/// What devices cost, in the demand's currency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Price {
    /// One.
    pub node: f64,
    /// All.
    pub total: f64,
}

/// Waits for a free worker by Erlang C; 99 % of operations wait no longer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Wait {
    /// Workers of one device.
    pub workers: u32,
    /// Operations per second of one worker.
    pub per_worker: f64,
    /// What an operation is.
    pub operation: Resource,
    /// Seconds with all devices up.
    pub normal_s: Option<f64>,
    /// Seconds while the tolerated failures last.
    pub failed_s: Option<f64>,
}

/// Answers the demand from the runs.
///
/// # Errors
/// [`UnlikeRuns`] when the runs cannot be put together.
pub fn size(demand: Demand, runs: &[Run], trust_cpu_estimate: bool) -> Result<Sizing, UnlikeRuns> {
    let devices = devices(runs)?;
    let planned: Vec<(Resource, f64)> =
        Resource::ALL.into_iter().filter_map(|resource| Some((resource, demand.planned(resource)?))).collect();
    let terms = Terms { slo_p99_s: demand.planning.slo_p99_s, trust_cpu_estimate };
    let answers = devices.iter().map(|device| Case { demand: &demand, planned: &planned, device, terms }.answer());
    let answers: Vec<DeviceAnswer> = answers.collect();
    let mut demand = demand;
    demand.warnings.extend(unused_prices(&demand, &devices));
    let place = runs.first().map(|run| run.place.clone().into_iter().collect()).unwrap_or_default();
    Ok(Sizing { planned, devices: answers, place, demand })
}

impl DeviceAnswer {
    /// Whether it rests on short trials or on too few searches.
    pub fn is_provisional(&self) -> bool {
        self.capacities.iter().any(|capacity| !capacity.is_held_long() || capacity.is_rarely_repeated())
    }
}

/// Prices whose names are those of no device.
fn unused_prices(demand: &Demand, devices: &[Device<'_>]) -> Vec<String> {
    let measured: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
    let unused = demand.prices.keys().filter(|name| !measured.contains(&name.as_str()));
    let told = |name: &String| {
        format!(
            "price.per_node names {name}, but no run is of it: its price is not used; names are those of the runs ({})",
            measured.join(", ")
        )
    };
    unused.map(told).collect()
}

impl Sizing {
    /// Whether every device has an answer.
    pub fn decided(&self) -> bool {
        self.devices.iter().all(|device| device.nodes.is_some())
    }
}

struct Case<'a> {
    demand: &'a Demand,
    planned: &'a [(Resource, f64)],
    device: &'a Device<'a>,
    terms: Terms,
}

impl Case<'_> {
    fn answer(&self) -> DeviceAnswer {
        let Self { demand, planned, device, terms } = self;
        let (mut capacities, mut missing) = (Vec::new(), self.unmeasured_protocols());
        for &(resource, _) in *planned {
            match capacity::of(device, resource, *terms) {
                Ok(capacity) => capacities.push(capacity),
                Err(why) => missing.push(why),
            }
        }
        let derate = demand.planning.derate;
        let carries = |capacity: &Capacity| Carries {
            resource: capacity.resource,
            capacity: capacity.value * derate,
            lower: capacity.lower,
        };
        let carries: Vec<Carries> = capacities.iter().map(carries).collect();
        let rules = Rules::of(demand);
        let nodes = if missing.is_empty() { model::nodes(planned, &carries, &rules).ok() } else { None };
        let sensitivity = nodes
            .as_ref()
            .map(|answer| sensitivity::of(&sensitivity::Basis { demand, planned, carries: &carries, rules, answer }));
        let price = demand.prices.get(&device.name).zip(nodes.as_ref());
        let wait = nodes.as_ref().and_then(|nodes| self.wait(nodes, &carries));
        DeviceAnswer {
            dut: device.name.clone(),
            warnings: [self.provisional(&capacities), self.warnings(nodes.as_ref(), wait.as_ref())].concat(),
            extrapolated: self.extrapolated(&capacities, nodes.as_ref()),
            price: price.map(|(&node, nodes)| Price { node, total: node * nodes.nodes as f64 }),
            runs: device.runs.iter().map(|run| note(run)).collect(),
            configuration: device.runs.first().map(|run| run.device.clone().into_iter().collect()).unwrap_or_default(),
            capacities,
            missing,
            nodes,
            sensitivity,
            wait,
        }
    }

    /// Services that speak what no run spoke. TLS may be declared as a difference; datagrams may not.
    fn unmeasured_protocols(&self) -> Vec<String> {
        let tls_measured = self.device.runs.iter().any(|run| run.tls);
        let tls_declared = self.demand.planning.differs.contains(&Difference::Tls);
        let mut missing = Vec::new();
        for service in &self.demand.services {
            let name = &service.name;
            match service.protocol {
                Protocol::Https if !tls_measured && !tls_declared => missing.push(format!(
                    "service {name} speaks https, but no run of {} used TLS; measure with TLS, or take the risk with planning.differs = [\"tls\"]",
                    self.device.name
                )),
                Protocol::Udp => missing.push(format!(
                    "service {name} speaks udp, but the runs of {} carried TCP; leave it out and size it apart",
                    self.device.name
                )),
                _ => {}
            }
        }
        missing
    }

    fn wait(&self, nodes: &Nodes, carries: &[Carries]) -> Option<Wait> {
        let cpu = nodes.constraints.iter().find(|constraint| constraint.limit == model::Limit::Cpu)?;
        let of = |resource| carries.iter().find(|carries| carries.resource == resource);
        let operation = of(Resource::Tps).or_else(|| of(Resource::Cps))?;
        let known =
            self.device.runs.iter().find_map(|run| run.workers.or_else(|| run.cores.map(|cores| cores.ceil() as u32)));
        let workers = self.demand.planning.workers.or(known)?.max(1);
        let per_worker = operation.capacity / f64::from(workers);
        let wait = |busy| queueing::wait_s(workers, per_worker, busy, 0.99);
        Some(Wait {
            workers,
            per_worker,
            operation: operation.resource,
            normal_s: wait(nodes.normal_use(cpu)),
            failed_s: wait(nodes.failed_use(cpu)),
        })
    }

    fn warnings(&self, nodes: Option<&Nodes>, wait: Option<&Wait>) -> Vec<String> {
        let planning = &self.demand.planning;
        let mut warnings = Vec::new();
        let co_located = self.device.runs.iter().any(|run| run.co_located);
        if co_located && !planning.differs.contains(&Difference::Hardware) {
            warnings.push("tester and device shared one host, where absolute numbers hold for comparisons only (RFC 8172, 3.4): measure the device itself, or state planning.differs = [\"hardware\"]".to_owned());
        }
        if planning.differs.contains(&Difference::Tls) && !self.device.runs.iter().any(|run| run.tls) {
            warnings.push(format!(
                "TLS was not measured: a full handshake costs several times what a connection in the clear does, and {:.0} % of a capacity may not cover it; measure with TLS before buying",
                planning.derate * 100.0
            ));
        }
        if nodes.is_some_and(|nodes| nodes.by_largest_share < nodes.nodes) {
            warnings.push("the costs of connections, transactions and bytes are added up; the largest alone would ask for fewer devices. Measure the mix of the site to know which is right".to_owned());
        }
        let slow = wait.and_then(|wait| wait.failed_s.filter(|wait| *wait > planning.slo_p99_s));
        if let Some(slow) = slow {
            warnings.push(format!(
                "while a failure lasts, 99 % of operations wait up to {:.1} ms for a free worker (Erlang C), more than the {:.1} ms asked for; plan a lower cpu_failed",
                slow * 1e3,
                planning.slo_p99_s * 1e3
            ));
        }
        if self.demand.services.iter().any(|service| service.protocol == Protocol::Tcp) && !self.carried_plain_tcp() {
            warnings.push("a service is passed on as plain TCP, but every run balanced HTTP; measure one of the tcp configurations too".to_owned());
        }
        warnings
    }

    /// Why the answer is not yet one to buy by.
    fn provisional(&self, capacities: &[Capacity]) -> Vec<String> {
        let list = |counts: &dyn Fn(&Capacity) -> bool, of: &dyn Fn(&Capacity) -> String| {
            let named = capacities.iter().filter(|capacity| counts(capacity));
            named
                .map(|capacity| format!("{} ({})", capacity.resource.words(), of(capacity)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let short = list(&|capacity| !capacity.is_held_long(), &|capacity| format!("{:.0} s", capacity.sustain_s));
        let rare = list(&Capacity::is_rarely_repeated, &|capacity| capacity.repeats.searches.to_string());
        let mut warnings = Vec::new();
        if !short.is_empty() {
            warnings.push(format!(
                "trials shorter than {SUSTAIN_S:.0} s: {short}; an answer to buy by needs full length (RFC 9411, 4.3.4)"
            ));
        }
        if !rare.is_empty() {
            warnings
                .push(format!("fewer than {REPEATS_MIN} searches: {rare}; repeat them to know how far results stray"));
        }
        if self
            .device
            .runs
            .iter()
            .any(|run| run.device.get("its version").is_some_and(|version| version == "not recorded"))
        {
            warnings.push(format!(
                "the version of {} was not recorded: note it, and measure again when another one is installed",
                self.device.name
            ));
        }
        warnings
    }

    fn carried_plain_tcp(&self) -> bool {
        self.device.runs.iter().any(|run| run.workload.values().any(|value| value == "tcp"))
    }

    fn extrapolated(&self, capacities: &[Capacity], nodes: Option<&Nodes>) -> Vec<String> {
        let Demand { growth_per_year, years, planning, .. } = self.demand;
        let mut list = Vec::new();
        if *growth_per_year > 0.0 && *years > 0 {
            list.push(format!(
                "the demand: today's peaks × {:.3} ({:.0} % a year for {years} years)",
                self.demand.growth_after(*years),
                growth_per_year * 100.0
            ));
        }
        if planning.derate < 1.0 {
            let words: Vec<&str> = planning.differs.iter().map(|difference| difference.name()).collect();
            list.push(format!(
                "the capacities: {:.0} % of what was measured, because production differs in {} (a rule of thumb, not a measurement)",
                planning.derate * 100.0,
                words.join(", ")
            ));
        }
        if nodes.is_some_and(|nodes| nodes.active > 1) {
            list.push(
                "several devices: one was measured; equal devices and an even spread over them are assumed".to_owned(),
            );
        }
        for capacity in capacities.iter().filter(|capacity| capacity.estimated) {
            list.push(format!("{}: estimated from CPU time, never carried", capacity.resource.words()));
        }
        list
    }
}

fn note(run: &Run) -> RunNote {
    RunNote {
        folder: run.folder.clone(),
        scenario: run.scenario.clone(),
        label: run.label.clone(),
        workload: run.workload.clone().into_iter().collect(),
    }
}
