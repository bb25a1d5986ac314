//! `demand.toml`, the requirement sheet of a site, to a [`Demand`] whose fields need no further check.
//!
//! A peak is what has to be carried in the busiest second: an hourly mean is refused unless its ratio
//! to that second is stated. Concurrent connections follow from Little's law, CC = CPS × time open
//! (J. D. C. Little 1961); a stated number that contradicts it is refused. Not judged here: whether a
//! device can do what the services need besides carrying them (see the warnings).

use std::collections::BTreeMap;

use serde::Serialize;
use wire::document::{Document, DocumentError};
use wire::units::Percent;

mod file;
mod planning;
mod service;
#[cfg(test)]
mod tests;
mod warning;
pub mod words;

use file::DemandFile;
use planning::{growth, planning, prices, redundancy};
use service::services;
use words::{Balancing, Check, Difference, Mode, Persistence, Protocol, Statistic};

use super::Resource;

/// What a site needs.
#[derive(Clone, Debug, Serialize)]
pub struct Demand {
    /// Name of the site.
    pub site: String,
    /// Its services with their peaks of today.
    pub services: Vec<Service>,
    /// Users, for information.
    pub users: Users,
    /// Growth of the peaks per year as a ratio: 0.2 is 20 %.
    pub growth_per_year: f64,
    /// Years that the devices have to last.
    pub years: u32,
    /// What may fail.
    pub redundancy: Redundancy,
    /// How the devices are watched.
    pub monitoring: Vec<String>,
    /// From where they may be managed.
    pub access: Vec<String>,
    /// Limits and margins.
    pub planning: Planning,
    /// Currency of the prices.
    pub currency: String,
    /// Price of one device by the name of its DUT.
    pub prices: BTreeMap<String, f64>,
    /// What the site should think about, each with the next step.
    pub warnings: Vec<String>,
}

/// One service and its peak.
#[derive(Clone, Debug, Serialize)]
pub struct Service {
    /// Name.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// New connections per second.
    pub cps: Option<f64>,
    /// Transactions per second.
    pub tps: Option<f64>,
    /// Application bits per second.
    pub bandwidth_bps: Option<f64>,
    /// Connections open at once.
    pub cc: Option<f64>,
    /// How `cc` came about, for the report.
    pub cc_from: String,
    /// What the stated peaks were.
    pub statistic: Statistic,
    /// What they were multiplied with to make them peaks of a second.
    pub peak_to_mean: f64,
    /// How a client stays with its real server.
    pub persistence: Persistence,
    /// What its requests carry.
    pub carries: Vec<Persistence>,
    /// How requests are spread.
    pub balancing: Option<Balancing>,
    /// How real servers are checked.
    pub check: Option<Check>,
}

/// Users of a site.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Users {
    /// How many.
    pub count: Option<f64>,
    /// From which networks.
    pub networks: Vec<String>,
    /// Share behind proxies and carrier NAT, as a ratio.
    pub behind_proxies: Option<f64>,
}

/// What may fail.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Redundancy {
    /// Devices that may be down at once.
    pub tolerated_failures: u32,
    /// Who carries load while nothing is broken.
    pub mode: Mode,
    /// Whether a repaired device takes its addresses back.
    pub fail_back: Option<bool>,
}

/// Highest use with all devices up, and while the tolerated failures last; ratios in (0, 1].
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Limits {
    /// All devices are up.
    pub normal: f64,
    /// The tolerated failures last.
    pub failed: f64,
}

/// Limits and margins.
#[derive(Clone, Debug, Serialize)]
pub struct Planning {
    /// 99 % of responses have to come within so many seconds.
    pub slo_p99_s: f64,
    /// Of the CPU.
    pub cpu: Limits,
    /// Of the table of connections.
    pub memory: Limits,
    /// Of the link.
    pub link: Limits,
    /// Speed of one device's link in bits per second.
    pub link_bps: Option<f64>,
    /// In what production differs.
    pub differs: Vec<Difference>,
    /// What is left of a measured capacity in production, in (0, 1].
    pub derate: f64,
    /// Workers of one device, if the site knows better than the runs.
    pub workers: Option<u32>,
    /// Workers of a device of another size that the curve over workers is asked about.
    pub scaling_workers: Option<u32>,
    /// Fixes the resampling behind a band.
    pub seed: u64,
}

/// Reads a demand file.
///
/// # Errors
/// [`DocumentError`] with file, line, key, what was found and what is allowed.
pub fn parse(name: &str, text: &str) -> Result<Demand, DocumentError> {
    let document = Document::new(name, text);
    let file: DemandFile = document.parse()?;
    let services = services(&file, &document)?;
    let (growth_per_year, years) = growth(&file.growth, &document)?;
    let mut demand = Demand {
        site: file.site.name.clone().unwrap_or_else(|| "the site".to_owned()),
        services,
        users: Users {
            count: file.users.count.map(words::Count::as_f64),
            networks: file.users.networks.clone(),
            behind_proxies: file.users.behind_proxies.map(Percent::as_ratio),
        },
        growth_per_year,
        years,
        redundancy: redundancy(&file.redundancy, &document)?,
        monitoring: file.operation.monitoring.clone(),
        access: file.operation.access.clone(),
        planning: planning(&file.planning, &document)?,
        currency: file.price.currency.clone().unwrap_or_default(),
        prices: prices(&file, &document)?,
        warnings: Vec::new(),
    };
    if demand.users.behind_proxies.is_some_and(|share| share > 1.0) {
        return Err(document.error_at("users.behind_proxies", "more than 100% of the users; expected 0% to 100%"));
    }
    demand.warnings = warning::of(&demand);
    Ok(demand)
}

/// Whether a TOML text is a demand file: `loadgen check` takes it beside scenarios and DUT files.
pub fn is_demand_file(text: &str) -> bool {
    text.parse::<toml::Table>().is_ok_and(|table| table.contains_key("service") && !table.contains_key("scenario"))
        && !crate::scenario::is_dut_file(text)
}

/// The JSON schema of demand files, for editors.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(DemandFile).to_value();
    schema["title"] = "Nadare demand".into();
    schema
}

impl Demand {
    /// The sum of the services' peaks of today; `None` when no service states this one.
    pub fn today(&self, resource: Resource) -> Option<f64> {
        let of = |service: &Service| match resource {
            Resource::Cps => service.cps,
            Resource::Tps => service.tps,
            Resource::Bandwidth => service.bandwidth_bps,
            Resource::Cc => service.cc,
        };
        self.services.iter().filter_map(of).reduce(|a, b| a + b)
    }

    /// What the peaks of today are multiplied with after so many years.
    pub fn growth_after(&self, years: u32) -> f64 {
        (1.0 + self.growth_per_year).powi(years.try_into().unwrap_or(i32::MAX))
    }

    /// The peak at the end of the planning horizon.
    pub fn planned(&self, resource: Resource) -> Option<f64> {
        self.today(resource).map(|peak| peak * self.growth_after(self.years))
    }
}
