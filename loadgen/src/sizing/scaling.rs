//! What a device of another size would carry: its throughput over its workers, from runs that differ
//! in nothing else.
//!
//! Each run gives one point: N workers and the capacity that [`crate::sizing::capacity`] finds on the
//! site's terms. A fixed load or a lower bound is no point: the curve would bend where the tester did.

use serde::Serialize;

use super::Resource;
use super::capacity::{self, Terms};
use super::runs::{Device, Run, UnlikeRuns, require_single};
use super::usl::{Fit, Point, Prediction, UslError};

/// A curve and what it says about other sizes.
#[derive(Clone, Debug, Serialize)]
pub struct Scaling {
    /// Names of the devices of the runs: one product, whose files name several sizes.
    pub duts: Vec<String>,
    /// What was measured over N.
    pub resource: Resource,
    /// The points.
    pub points: Vec<Point>,
    /// The law.
    pub fit: Fit,
    /// What it says about the sizes measured, one and a half times, and twice the largest of them.
    pub predictions: Vec<Prediction>,
    /// What it says about the size asked for (`planning.scaling_workers`), or why it says nothing.
    pub asked: Option<Result<Prediction, String>>,
}

/// Why runs give no curve.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ScalingError {
    /// The number of workers is not known.
    #[error(
        "{folder} does not say how many workers its device has; give runs of a device that is started with {{workers}}"
    )]
    NoWorkers {
        /// The run.
        folder: String,
    },
    /// The run asked something else.
    #[error("{folder} measured {found}, the others {wanted}; a curve is one question at several sizes")]
    OtherQuestion {
        /// The run.
        folder: String,
        /// What it measured.
        found: &'static str,
        /// What the first one measured.
        wanted: &'static str,
    },
    /// Something besides the workers differs.
    #[error("{folder} differs from the others in more than its workers: {what}; a curve needs one variable")]
    Unlike {
        /// The run.
        folder: String,
        /// What.
        what: String,
    },
    /// The run has no point.
    #[error("{folder} gives no point of the curve: {why}")]
    NoPoint {
        /// The run.
        folder: String,
        /// Why.
        why: String,
    },
    /// The run is no run of one device, or was given before.
    #[error(transparent)]
    Run(#[from] UnlikeRuns),
    /// The points give no law.
    #[error(transparent)]
    Fit(#[from] UslError),
}

/// The curve of runs that differ in their workers only.
///
/// # Errors
/// [`ScalingError`] naming the run, or saying what the points lack.
pub fn of(runs: &[Run], terms: Terms, asked: Option<u32>, seed: u64) -> Result<Scaling, ScalingError> {
    // No run at all is too few points.
    let first = runs.first().ok_or(UslError::TooFew { found: 0 })?;
    let resource = first.asked.unwrap_or(Resource::Cps);
    let mut points = Vec::new();
    for (at, run) in runs.iter().enumerate() {
        require_single(&runs[..at], run)?;
        require_comparable(first, run, resource)?;
        points.push(point(run, resource, terms)?);
    }
    points.sort_by(|a, b| a.n.total_cmp(&b.n));
    let fit = Fit::of(&points, seed)?;
    let mut sizes: Vec<f64> = points.iter().map(|point| point.n).collect();
    sizes.extend([(fit.largest_n * 1.5).floor(), fit.largest_n * 2.0]);
    sizes.dedup();
    let predictions = sizes.into_iter().filter_map(|n| fit.predict(n).ok()).collect();
    let asked = asked.map(|n| fit.predict(f64::from(n)).map_err(|error| error.to_string()));
    let mut duts: Vec<String> = runs.iter().map(|run| run.dut.clone()).collect();
    duts.sort();
    duts.dedup();
    Ok(Scaling { duts, resource, points, fit, predictions, asked })
}

fn require_comparable(first: &Run, run: &Run, resource: Resource) -> Result<(), ScalingError> {
    let folder = || run.folder.clone();
    if run.asked != Some(resource) {
        let found = run.asked.map_or("something else", Resource::words);
        return Err(ScalingError::OtherQuestion { folder: folder(), found, wanted: resource.words() });
    }
    // Another number of workers is another start, other cores and another file of the same device.
    let variable = ["what it is started as", "its cores", "its file"];
    let same = [(&first.place, &run.place), (&first.workload, &run.workload), (&first.device, &run.device)];
    for (a, b) in same {
        let mut names = a.keys().filter(|name| !variable.contains(&name.as_str()));
        if let Some(what) = names.find(|name| a.get(*name) != b.get(*name)) {
            return Err(ScalingError::Unlike { folder: folder(), what: what.clone() });
        }
    }
    Ok(())
}

fn point(run: &Run, resource: Resource, terms: Terms) -> Result<Point, ScalingError> {
    let folder = || run.folder.clone();
    let workers = run.workers.ok_or_else(|| ScalingError::NoWorkers { folder: folder() })?;
    let device = Device { name: run.dut.clone(), runs: vec![run] };
    let terms = Terms { trust_cpu_estimate: false, ..terms };
    let capacity =
        capacity::of(&device, resource, terms).map_err(|why| ScalingError::NoPoint { folder: folder(), why })?;
    if capacity.lower {
        let who = capacity.limited_by.as_deref().unwrap_or("nobody was shown to be it");
        let why = format!("its figure is a lower bound (limited by: {who}); let the device set the limit");
        return Err(ScalingError::NoPoint { folder: folder(), why });
    }
    Ok(Point { n: f64::from(workers), x: capacity.value })
}
