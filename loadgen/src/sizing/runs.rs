//! What sizing needs of a finished run, and which runs may be put together.
//!
//! Capacities of one device may come from several runs: one that measured connections per second, one
//! that held connections, repeats of both. They may only be put together when nothing but the question
//! differs: the same configuration of the same device, the same host, the same version of this program.
//! Everything else is refused by name, because a table of unlike things looks like any other table.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{LARGE_OBJECT_BYTES, Resource};

/// One finished run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// Its folder, as given.
    pub folder: String,
    /// Its name and when it began by two clocks: the same however its folder is spelled. Empty if unknown.
    pub identity: String,
    /// Whether it was joined of runs which each started a device of their own.
    pub several_devices: bool,
    /// Name of its scenario.
    pub scenario: String,
    /// Name of the device.
    pub dut: String,
    /// What must be the same in all runs of a comparison: host, kernel, version of this program …
    pub place: BTreeMap<String, String>,
    /// What must be the same in all runs of one device: its configuration, start, cores, quota …
    pub device: BTreeMap<String, String>,
    /// What must be the same in all runs that measured one resource: request, close mode, requests per connection …
    pub workload: BTreeMap<String, String>,
    /// Whether clients spoke TLS to the device.
    pub tls: bool,
    /// Whether tester and device shared the host.
    pub co_located: bool,
    /// Cores that the device could use, quota included; `None` when it is not known.
    pub cores: Option<f64>,
    /// Workers it was told to have.
    pub workers: Option<u32>,
    /// Whether the load was searched for; otherwise it was fixed or a stair.
    pub searched: bool,
    /// What its load was counted in.
    pub asked: Option<Resource>,
    /// Figures of its answer.
    pub figures: Vec<Figure>,
    /// Who set the limit, if the run says so.
    pub limited_by: Option<String>,
    /// Trials through the device, in their order.
    pub trials: Vec<Trial>,
    /// Why its figure is doubtful: serious differences of the books.
    pub doubts: Vec<String>,
    /// Why the run ended as it did, one sentence.
    pub reason: String,
    /// How far it kept to the RFCs.
    pub label: String,
}

/// A figure of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figure {
    /// What it counts.
    pub resource: Option<Resource>,
    /// Per second, or connections.
    pub value: f64,
    /// Whether it is only a lower bound.
    pub lower: bool,
    /// The trial it comes from.
    pub trial: u32,
    /// What one fully used core of the device would carry; an estimate.
    pub per_core_estimate: Option<f64>,
    /// Where several searches were asked for, what they found; the figure is that of the lowest.
    pub repeats: Option<Spread>,
}

/// What several searches of one run found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Searches that came to an end.
    pub searches: u32,
    /// The lowest of their answers, 0 if one found nothing.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
}

/// One trial through the device.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Trial {
    /// Number within the run.
    pub number: u32,
    /// Whether its load was held for the length that a figure needs, not a step of a search.
    pub confirming: bool,
    /// The load it was asked to offer.
    pub load: f64,
    /// Closed loop: so many operations always under way.
    pub closed: Option<f64>,
    /// Open loop: operations were due at a rate, and 99 % of them had to complete in sustain.
    pub open_loop: bool,
    /// Length of sustain in seconds.
    pub sustain_s: f64,
    /// Whether it passed, where that was asked.
    pub passed: Option<bool>,
    /// Whether it ended early.
    pub ended_early: bool,
    /// Operations due in sustain.
    pub due: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that the generator was too late to send.
    pub unsent_late: u64,
    /// Operations completed within sustain.
    pub completed: u64,
    /// The same per second.
    pub achieved_per_s: f64,
    /// Transactions per second.
    pub tps: f64,
    /// Application bits per second.
    pub goodput_bps: f64,
    /// Fewest connections open in sustain.
    pub cc_min: f64,
    /// 99 % of responses came within so many seconds, counted from when they were due; `None` if too few
    /// came to say so.
    pub response_p99_s: Option<f64>,
    /// Whether the generator's own lateness shows in the response times.
    pub lag_shows: bool,
}

impl Trial {
    /// What it measured of a resource.
    pub fn measured(&self, resource: Resource) -> f64 {
        match resource {
            Resource::Cps => self.achieved_per_s,
            Resource::Tps => self.tps,
            Resource::Bandwidth => self.goodput_bps,
            Resource::Cc => self.cc_min,
        }
    }

    /// Whether its objects were so large that its transactions show bandwidth, and not requests.
    pub fn has_large_objects(&self) -> bool {
        self.tps > 0.0 && self.goodput_bps >= LARGE_OBJECT_BYTES * 8.0 * self.tps
    }

    /// Share of the operations due that left the generator, as far as that is its own doing.
    pub fn offered_share(&self) -> f64 {
        if self.due == 0 { 0.0 } else { 1.0 - self.unsent_late.min(self.due) as f64 / self.due as f64 }
    }
}

/// All runs of one device.
#[derive(Clone, Debug)]
pub struct Device<'a> {
    /// Its name.
    pub name: String,
    /// Its runs, in the order given.
    pub runs: Vec<&'a Run>,
}

/// Why runs cannot be put together.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UnlikeRuns {
    /// Nothing was given.
    #[error("no run is given; expected run folders such as reports/cps/20261123-061341, with --from")]
    None,
    /// A run went straight to the reflectors.
    #[error("{folder} has no DUT: it measured the testbed, not a device; give runs through a device")]
    NoDevice {
        /// The run.
        folder: String,
    },
    /// The same run was given twice and would count as a repeat.
    #[error("{folder} is given twice; a run is no repeat of itself")]
    Twice {
        /// The run.
        folder: String,
    },
    /// Counts of several devices were added.
    #[error(
        "{folder} joins runs that each started a device of their own: its figures are those of several devices; give the runs one by one"
    )]
    SeveralDevices {
        /// The run.
        folder: String,
    },
    /// Something that must be the same is not.
    #[error(transparent)]
    Unlike(Box<Unlike>),
}

/// Two runs and what differs between them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{first} and {second} cannot be put together: {what} differs ({found_first} and {found_second}); {remedy}")]
pub struct Unlike {
    /// A run.
    first: String,
    /// Another one.
    second: String,
    /// What differs.
    what: String,
    /// In the one.
    found_first: String,
    /// In the other.
    found_second: String,
    /// What to do.
    remedy: &'static str,
}

/// The runs by device, in the order in which each is first named.
///
/// # Errors
/// [`UnlikeRuns`] naming two runs and what differs.
pub fn devices(runs: &[Run]) -> Result<Vec<Device<'_>>, UnlikeRuns> {
    let first = runs.first().ok_or(UnlikeRuns::None)?;
    let mut devices: Vec<Device<'_>> = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        if run.dut == "none" {
            return Err(UnlikeRuns::NoDevice { folder: run.folder.clone() });
        }
        require_single(&runs[..at], run)?;
        require_alike(
            first,
            run,
            |run| &run.place,
            "measure all devices on one host with one version of this program",
        )?;
        match devices.iter_mut().find(|device| device.name == run.dut) {
            Some(device) => {
                let remedy =
                    "a device is one configuration: give the other one a name of its own, or leave its runs out";
                require_alike(device.runs[0], run, |run| &run.device, remedy)?;
                for earlier in device.runs.iter().filter(|earlier| earlier.asked == run.asked) {
                    let remedy = "repeats ask the same question: leave one of them out";
                    require_alike(earlier, run, |run| &run.workload, remedy)?;
                }
                device.runs.push(run);
            }
            None => devices.push(Device { name: run.dut.clone(), runs: vec![run] }),
        }
    }
    Ok(devices)
}

/// One device, measured in a run that was not given before.
///
/// # Errors
/// [`UnlikeRuns`] naming the run.
pub(super) fn require_single(earlier: &[Run], run: &Run) -> Result<(), UnlikeRuns> {
    let folder = run.folder.clone();
    if run.several_devices {
        return Err(UnlikeRuns::SeveralDevices { folder });
    }
    // One folder has many spellings: A, A/, ./A.
    let is_same =
        |other: &Run| other.folder == run.folder || !run.identity.is_empty() && other.identity == run.identity;
    if earlier.iter().any(is_same) {
        return Err(UnlikeRuns::Twice { folder });
    }
    Ok(())
}

fn require_alike(
    first: &Run,
    second: &Run,
    of: impl Fn(&Run) -> &BTreeMap<String, String>,
    remedy: &'static str,
) -> Result<(), UnlikeRuns> {
    let (a, b) = (of(first), of(second));
    let differing = a.keys().chain(b.keys()).find(|key| a.get(*key) != b.get(*key));
    let Some(what) = differing else { return Ok(()) };
    let shown = |values: &BTreeMap<String, String>| values.get(what).cloned().unwrap_or_else(|| "nothing".to_owned());
    Err(UnlikeRuns::Unlike(Box::new(Unlike {
        first: first.folder.clone(),
        second: second.folder.clone(),
        what: what.clone(),
        found_first: shown(a),
        found_second: shown(b),
        remedy,
    })))
}
