//! What one device carries, from its runs: the highest load at which users are still served in time.
//!
//! Not the peak of a curve and not its bend, which moves with the scale of the axes: a capacity is the
//! highest load of a trial of full length with failures below 1 in 100,000 (RFC 9411, 7.2), p99 of
//! the response time within what the site asks for, and at least 99.9 % of the load really offered.
//! Of repeats the smallest counts. What the DUT did not limit is a lower bound ("≥"), and so is what
//! a run measured beside its own question. Nothing is estimated from CPU time unless that is asked for.

use serde::Serialize;

use super::Resource;
use super::runs::{Device, Figure, Run, Spread, Trial};

/// RFC 9411, 7.2: failures below 0.001 %, that is 1 in so many.
const ONE_FAILURE_IN: u64 = 100_000;
/// Least share of the operations due that the generator sent.
const OFFERED_MIN: f64 = 0.999;
/// Least share of the operations due that completed in sustain; otherwise a queue grew.
const COMPLETED_MIN: f64 = 0.99;
/// RFC 9411, 4.3.4: sustain of at least 300 s.
pub(super) const SUSTAIN_S: f64 = 300.0;
/// Operations without a failure that show a share below 0.001 % with 95 % confidence:
/// 1 − 0.05^(1/n) < 0.00001 (Clopper and Pearson).
const RESOLUTION: u64 = 299_573;
/// Searches of which the smallest result may be planned with.
pub(super) const REPEATS_MIN: u32 = 5;

/// What the site asks of a capacity.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// 99 % of responses within so many seconds.
    pub slo_p99_s: f64,
    /// Whether the estimate from CPU time may replace a lower bound.
    pub trust_cpu_estimate: bool,
}

/// What one device carries of one resource.
#[derive(Clone, Debug, Serialize)]
pub struct Capacity {
    /// Of what.
    pub resource: Resource,
    /// Per second, or connections; as measured, not derated.
    pub value: f64,
    /// Whether the device may carry more.
    pub lower: bool,
    /// Whether it was computed from CPU time and not carried.
    pub estimated: bool,
    /// Who set the limit.
    pub limited_by: Option<String>,
    /// The runs and trials it comes from: `reports/cps/… trial 9`.
    pub from: String,
    /// What all searches found; the value is the lowest.
    pub repeats: Spread,
    /// Length of the trial's sustain in seconds.
    pub sustain_s: f64,
    /// p99 of the response time in seconds.
    pub response_p99_s: Option<f64>,
    /// What to know about it.
    pub flags: Vec<String>,
    /// The utilisation law's estimate for the whole device, for comparison only.
    pub cpu_estimate: Option<f64>,
}

/// One result of one run that meets the terms.
struct Knee<'a> {
    run: &'a Run,
    trial: &'a Trial,
    value: f64,
    lower: bool,
    /// What the searches of the run found.
    spread: Spread,
}

impl Capacity {
    /// Whether it was held for the length that RFC 9411 asks for.
    pub fn is_held_long(&self) -> bool {
        self.sustain_s >= SUSTAIN_S
    }

    /// Whether it comes from a search that was repeated too rarely to know how far results stray.
    pub fn is_rarely_repeated(&self) -> bool {
        self.repeats.searches < REPEATS_MIN
    }
}

/// The capacity of a device for a resource.
///
/// # Errors
/// Why there is none, and what to do, in one sentence.
pub fn of(device: &Device<'_>, resource: Resource, terms: Terms) -> Result<Capacity, String> {
    let asking: Vec<&Run> = device.runs.iter().copied().filter(|run| asks_for(run, resource)).collect();
    if asking.is_empty() {
        return by_product(device, resource, terms);
    }
    let mut knees = Vec::new();
    let mut refused = Vec::new();
    let mut empty = Vec::new();
    for run in &asking {
        let (found, missed) = knee_of(run, resource, terms);
        if found.is_none() && run.searched && !run.trials.is_empty() {
            empty.push(*run);
        }
        knees.extend(found);
        refused.extend(missed);
    }
    // A fixed load is no search: it counts only where no search gives an answer.
    let searched: Vec<&Knee<'_>> = knees.iter().filter(|knee| knee.run.searched).collect();
    if let Some(smallest) = searched.iter().min_by(|a, b| a.value.total_cmp(&b.value)) {
        // Leaving it out would flatter a device that sometimes fails from the first load on.
        if let Some(run) = empty.first() {
            let why = unmet(&empty, resource, terms, &knee_of(run, resource, terms).1);
            return Err(format!(
                "{} is a repeat that found nothing, and of repeats the smallest counts: {why}",
                run.folder
            ));
        }
        let mut capacity = described(smallest, resource, together(&searched));
        capacity.flags.extend(refused);
        return Ok(with_estimate(capacity, smallest, resource, terms));
    }
    let highest = knees.iter().max_by(|a, b| a.value.total_cmp(&b.value));
    let Some(highest) = highest else { return Err(unmet(&asking, resource, terms, &refused)) };
    let mut capacity = described(highest, resource, highest.spread);
    capacity.flags.push("from a fixed load, not from a search: the device may carry more".to_owned());
    capacity.lower = true;
    capacity.flags.extend(refused);
    Ok(with_estimate(capacity, highest, resource, terms))
}

fn asks_for(run: &Run, resource: Resource) -> bool {
    // What a run says beside its own question has a bound of its own: that of the question.
    run.asked == Some(resource)
}

/// The searches of several runs as one set.
fn together(knees: &[&Knee<'_>]) -> Spread {
    let spreads = || knees.iter().map(|knee| knee.spread);
    Spread {
        searches: spreads().map(|spread| spread.searches).sum(),
        lowest: spreads().map(|spread| spread.lowest).fold(f64::INFINITY, f64::min),
        highest: spreads().map(|spread| spread.highest).fold(0.0, f64::max),
    }
}

/// The result of one search.
fn single(value: f64) -> Spread {
    Spread { searches: 1, lowest: value, highest: value }
}

/// What a run found on these terms, and why trials do not count. Several trials may confirm within one
/// search; they are no repeats, and the highest of them is its result.
fn knee_of<'a>(run: &'a Run, resource: Resource, terms: Terms) -> (Option<Knee<'a>>, Vec<String>) {
    let mut refused = Vec::new();
    let confirming = || run.trials.iter().filter(|trial| trial.confirming);
    let passing = || confirming().filter(|trial| trial.passed != Some(false));
    let figure = run.figures.iter().find(|figure| figure.resource == Some(resource));
    if figure.is_none() {
        refused.push(format!("{} has no figure: {}", run.folder, run.reason));
    }
    for trial in passing() {
        if let Err(why) = meets(trial, terms) {
            refused.push(format!("{} trial {}: {why}", run.folder, trial.number));
        }
    }
    // A search that says it found nothing found nothing, whatever some of its trials carried.
    if run.searched && figure.is_none_or(|figure| figure.repeats.is_some_and(|repeats| repeats.lowest <= 0.0)) {
        return (None, refused);
    }
    // What the run answers with was chosen by its own rules; the terms of the site come on top.
    let own = figure.and_then(|figure| Some((figure, passing().find(|trial| trial.number == figure.trial)?)));
    if let Some((figure, trial)) = own.filter(|(_, trial)| meets(trial, terms).is_ok()) {
        let Figure { value, lower, .. } = *figure;
        let spread = figure.repeats.map_or_else(|| single(value), |found| Spread { lowest: value, ..found });
        return (Some(Knee { run, trial, value, lower, spread }), refused);
    }
    // Else a load counts only below the lowest one that did not do: a device may fail in a band.
    let misses = || confirming().filter(|trial| trial.passed == Some(false) || meets(trial, terms).is_err());
    let below = misses().map(|trial| trial.load).fold(f64::INFINITY, f64::min);
    let kept = passing().filter(|trial| trial.load < below);
    let knee = kept.max_by(|a, b| a.load.total_cmp(&b.load)).map(|trial| {
        // A miss with a late generator may be the generator's.
        let lower = figure.is_none_or(|figure| figure.lower) || misses().any(|trial| trial.lag_shows);
        let value = trial.measured(resource);
        Knee { run, trial, value, lower, spread: single(value) }
    });
    (knee, refused)
}

/// Whether a trial is one that a capacity may rest on.
fn meets(trial: &Trial, terms: Terms) -> Result<(), String> {
    if trial.ended_early {
        return Err("it ended early".to_owned());
    }
    if trial.due == 0 || trial.failed > 0 && trial.failed.saturating_mul(ONE_FAILURE_IN) >= trial.due {
        return Err(format!("{} of {} operations failed, allowed is less than 0.001 %", trial.failed, trial.due));
    }
    if trial.offered_share() < OFFERED_MIN {
        return Err(format!("only {:.2} % of the load was offered, needed are 99.9 %", trial.offered_share() * 100.0));
    }
    if let Some(count) = trial.closed {
        return Err(format!(
            "a closed loop of {count}: the load waited for the device, so its response times leave out who would have waited; measure with an open loop (load.unit = \"transactions/s\")"
        ));
    }
    let completed = trial.completed as f64 / trial.due as f64;
    if trial.open_loop && completed < COMPLETED_MIN {
        return Err(format!(
            "only {:.1} % of the operations due completed in time, needed are 99 %",
            completed * 100.0
        ));
    }
    match trial.response_p99_s {
        None => Err("too few responses to know their p99; hold the load longer".to_owned()),
        Some(p99) if p99 > terms.slo_p99_s => Err(format!(
            "p99 of the response time is {} ms, asked for is {} ms",
            milliseconds(p99),
            milliseconds(terms.slo_p99_s)
        )),
        Some(_) => Ok(()),
    }
}

/// Seconds in milliseconds, to the microsecond.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

fn described(knee: &Knee<'_>, resource: Resource, repeats: Spread) -> Capacity {
    let Knee { run, trial, .. } = knee;
    let mut flags = Vec::new();
    if trial.sustain_s < SUSTAIN_S {
        flags.push(format!("held for {:.0} s; RFC 9411 asks for 300 s", trial.sustain_s));
    }
    if repeats.searches < REPEATS_MIN && run.searched {
        let searches = match repeats.searches {
            1 => "1 search".to_owned(),
            searches => format!("{searches} searches"),
        };
        flags.push(format!("the smallest of {searches}; {REPEATS_MIN} show how far results stray"));
    }
    if knee.lower {
        let who = run.limited_by.as_deref().unwrap_or("nobody was shown to");
        flags.push(format!("a lower bound: the limit was set by {who}, the device may carry more"));
    }
    if trial.failed == 0 && trial.due < RESOLUTION {
        flags.push(format!(
            "{} operations without a failure do not show a share below 0.001 % with 95 % confidence; {RESOLUTION} would",
            trial.due
        ));
    }
    if trial.lag_shows {
        flags.push("the generator's own lateness shows in the response times".to_owned());
    }
    flags.extend(run.doubts.iter().cloned());
    Capacity {
        resource,
        value: knee.value,
        lower: knee.lower,
        estimated: false,
        limited_by: run.limited_by.clone(),
        from: format!("{} trial {}", run.folder, trial.number),
        repeats,
        sustain_s: trial.sustain_s,
        response_p99_s: trial.response_p99_s,
        flags,
        cpu_estimate: estimate(run, resource),
    }
}

/// What the utilisation law says about all cores of the device.
fn estimate(run: &Run, resource: Resource) -> Option<f64> {
    let figure = run.figures.iter().find(|figure| figure.resource == Some(resource))?;
    Some(figure.per_core_estimate? * run.cores?)
}

fn with_estimate(mut capacity: Capacity, knee: &Knee<'_>, resource: Resource, terms: Terms) -> Capacity {
    let estimate = estimate(knee.run, resource).filter(|estimate| *estimate > capacity.value);
    if let Some(estimate) = estimate.filter(|_| terms.trust_cpu_estimate && capacity.lower) {
        capacity.flags.push(format!(
            "an ESTIMATE from CPU time, as asked for: {:.0} were carried, {estimate:.0} would use all cores of the device",
            capacity.value
        ));
        (capacity.value, capacity.lower, capacity.estimated) = (estimate, false, true);
    }
    capacity
}

/// What other runs carried of a resource beside their own question. A table of connections is only
/// filled by a run that holds them.
fn by_product(device: &Device<'_>, resource: Resource, terms: Terms) -> Result<Capacity, String> {
    let missing = || {
        format!(
            "no run of {} measured {}; run {} against it and give its folder as well",
            device.name,
            resource.words(),
            resource.scenario()
        )
    };
    if !matches!(resource, Resource::Tps | Resource::Bandwidth) {
        return Err(missing());
    }
    let mut knees = Vec::new();
    for run in &device.runs {
        for own in [Resource::Cps, Resource::Tps, Resource::Bandwidth] {
            if asks_for(run, own) {
                let found = knee_of(run, own, terms).0;
                // Small objects say nothing of bandwidth, large ones nothing of transactions: a bound so
                // far below what a device carries would be a number of devices that nobody needs.
                let tells = |knee: &Knee<'_>| {
                    let large = knee.trial.has_large_objects();
                    large == (resource == Resource::Bandwidth)
                };
                knees.extend(found.filter(tells).map(|knee| {
                    let value = knee.trial.measured(resource);
                    Knee { value, lower: true, spread: single(value), ..knee }
                }));
            }
        }
    }
    let highest = knees.into_iter().filter(|knee| knee.value > 0.0).max_by(|a, b| a.value.total_cmp(&b.value));
    let highest = highest.ok_or_else(missing)?;
    let mut capacity = described(&highest, resource, highest.spread);
    capacity.limited_by = None;
    capacity.flags.retain(|flag| !flag.starts_with("a lower bound") && !flag.starts_with("the smallest of"));
    capacity.flags.insert(
        0,
        format!(
            "a lower bound: carried beside another question (scenario {}); run {} to know it",
            highest.run.scenario,
            resource.scenario()
        ),
    );
    Ok(capacity)
}

/// Why no trial of the runs that asked for a resource can be planned with.
fn unmet(asking: &[&Run], resource: Resource, terms: Terms, refused: &[String]) -> String {
    let mut text = format!("no trial of full length carried {} on the terms asked for", resource.words());
    let doubts = asking.iter().flat_map(|run| run.doubts.iter().map(|doubt| format!("{}: {doubt}", run.folder)));
    for why in refused.iter().cloned().chain(doubts).take(6) {
        text.push_str(&format!("; {why}"));
    }
    // Steps of a search are too short to plan with, but they say where to look.
    let steps = asking.iter().flat_map(|run| run.trials.iter().map(move |trial| (run, trial)));
    let kept =
        steps.filter(|(_, trial)| !trial.confirming && trial.passed == Some(true) && meets(trial, terms).is_ok());
    match kept.max_by(|a, b| a.1.load.total_cmp(&b.1.load)) {
        Some((run, trial)) => text.push_str(&format!(
            "; confirm {} of trial {} of {} with a fixed load of full length",
            trial.load, trial.number, run.folder
        )),
        None => text.push_str("; measure again at a lower load, or ask for less"),
    }
    text
}
