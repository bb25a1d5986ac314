//! `loadgen quick URL -c 64 -d 10s [-R 5k]`: a plan without a file, in the manner of wrk.
//!
//! Without a rate it is a closed loop of `connections` transactions at once, with one an open loop
//! whose response times count from when a request was due. A `udp://` URL takes a rate of the smallest
//! frames. Everything else is a scenario's default and can be changed with `--set`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use wire::document::Document;
use wire::units::{Rate, Span};

use super::error::{Origin, ScenarioError};
use super::file::ScenarioFile;
use super::plan::Plan;
use super::{Overrides, give_engine, overrides, resolve_plan};

/// What `loadgen quick` was asked to do.
#[derive(Clone, Debug)]
pub struct QuickOptions {
    /// `http://ADDRESS[:PORT][/PATH]` or `udp://ADDRESS:PORT`, as given.
    pub url: String,
    /// Connections at once, or streams of datagrams (`-c`), at least 1.
    pub connections: u32,
    /// Length of sustain (`-d`).
    pub duration: Duration,
    /// Requests per second (`-R`); a closed loop if `None`.
    pub rate: Option<Rate>,
    /// What carries the connections; epoll if `None`.
    pub engine: Option<String>,
    /// `--set` on top of it.
    pub set: Vec<String>,
}

/// The plan of a quick run.
///
/// # Errors
/// [`ScenarioError`] when the URL or a number cannot be used.
pub fn quick(options: &QuickOptions) -> Result<Plan, ScenarioError> {
    if options.connections == 0 {
        return Err(ScenarioError::Option {
            option: "-c",
            found: "0".to_owned(),
            message: "no connection carries no request; expected 1 or more".to_owned(),
        });
    }
    if is_udp(options) && options.rate.is_none() {
        return Err(ScenarioError::Option {
            option: "URL",
            found: options.url.clone(),
            message: "datagrams are sent at a rate; expected -R, such as -R 10k".to_owned(),
        });
    }
    let document = Document::new("quick", text(options));
    let (mut file, set): (ScenarioFile, _) = overrides::apply(&document, &options.set)?;
    let mut origin = Origin::new(document);
    // The user wrote no file: an error must point at an option instead of a line.
    let given = [
        ("load", "quick"),
        ("load.count", "-c"),
        ("load.rate", "-R"),
        ("load.phases.sustain", "-d"),
        ("workload.streams", "-c"),
    ];
    given.into_iter().for_each(|(key, option)| origin.give(key, option));
    set.into_iter().for_each(|key| origin.give(key, "--set"));
    give_engine(&mut file, &mut origin, options.engine.as_deref());
    let overrides = Overrides { dut: Some(options.url.clone()), ..Overrides::default() };
    let nothing = |_: &std::path::Path| Err(io::Error::other("a quick run takes an address, not a DUT file"));
    let mut plan = resolve_plan(&file, origin, &nothing, &overrides).map_err(name_url)?;
    plan.scenario_text = String::new();
    Ok(plan)
}

/// What the user gave was a URL, not `--dut`.
fn name_url(error: ScenarioError) -> ScenarioError {
    match error {
        ScenarioError::Option { option: "--dut", found, message } => {
            ScenarioError::Option { option: "URL", found, message }
        }
        other => other,
    }
}

fn is_udp(options: &QuickOptions) -> bool {
    options.url.starts_with("udp://")
}

fn text(options: &QuickOptions) -> String {
    let sustain = Span(options.duration);
    let workload = if is_udp(options) {
        // 64 bytes have no room for an IPv6 header and a signature.
        let size = if options.url.contains('[') { 84 } else { 64 };
        format!("kind = \"udp\"\nstreams = {}\nframes = {{ size = {size} }}", options.connections)
    } else {
        "kind = \"http\"".to_owned()
    };
    let (unit, load) = match options.rate {
        Some(rate) if is_udp(options) => ("frames/s", format!("rate = \"{rate}\"")),
        Some(rate) => ("transactions/s", format!("rate = \"{rate}\"\nslots = {}", options.connections)),
        None => ("transactions", format!("count = {}", options.connections)),
    };
    format!(
        "[scenario]\nname = \"quick\"\nquestion = \"How fast does {} answer?\"\n\
         [workload]\n{workload}\n\
         [load]\nunit = \"{unit}\"\n{load}\n\
         phases = {{ init = \"0s\", ramp_up = \"500ms\", sustain = \"{sustain}\", ramp_down = \"0s\" }}\n",
        printable(&options.url)
    )
}

/// The URL inside a quoted TOML text.
fn printable(url: &str) -> String {
    url.chars().filter(|c| !c.is_control() && !matches!(c, '"' | '\\')).collect()
}

impl Plan {
    /// The address of a DUT that is already there.
    pub fn external_address(&self) -> Option<SocketAddr> {
        match self.testbed.dut.kind {
            super::plan::DutKind::External { address } => Some(address),
            _ => None,
        }
    }
}
