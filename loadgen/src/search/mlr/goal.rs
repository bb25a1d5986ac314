//! What trials at one load say about one goal (RFC 9971: load classification, relevant bounds,
//! conditional throughput).
//!
//! It chooses no load and knows no unit. Where the example tables of RFC 9971 contradict the RFC's own
//! code (its goal "20 % exceed" at points 5 and 6), the code is followed. Sums are taken in the order
//! of the trials, so that the same trials always give the same bits.

/// What a search goes for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// Seconds from which on a trial counts as full-length.
    pub final_seconds: f64,
    /// Seconds of full-length trials that decide a load, at least.
    pub sum_seconds: f64,
    /// Loss ratio up to which (inclusive) a trial is low-loss, 0 to below 1.
    pub loss: f64,
    /// Share of the time that may be high-loss at a lower bound, 0 to below 1.
    pub exceed: f64,
}

/// One trial, as far as a goal looks at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The load it offered.
    pub load: f64,
    /// Its effective duration in seconds.
    pub seconds: f64,
    /// (planned − successful) / planned; what was never sent is lost.
    pub loss: f64,
}

/// What a load is to a goal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// It fulfils the goal.
    Lower,
    /// It does not.
    Upper,
    /// More trials are needed.
    Undecided,
}

/// Seconds of the trials at one load, by length and loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Full-length trials with low loss.
    pub full_low: f64,
    /// Full-length trials with high loss.
    pub full_high: f64,
    /// Shorter trials with low loss.
    pub short_low: f64,
    /// Shorter trials with high loss.
    pub short_high: f64,
}

/// The relevant bounds of a goal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// Highest load below `upper` that fulfils the goal.
    pub lower: Option<f64>,
    /// Lowest load that does not, whatever passed above it.
    pub upper: Option<f64>,
}

impl Goal {
    /// The tally of the trials at one load.
    pub fn tally(&self, trials: impl IntoIterator<Item = Measured>) -> Tally {
        let mut tally = Tally::default();
        for trial in trials {
            let place = match (trial.seconds >= self.final_seconds, trial.loss <= self.loss) {
                (true, true) => &mut tally.full_low,
                (true, false) => &mut tally.full_high,
                (false, true) => &mut tally.short_low,
                (false, false) => &mut tally.short_high,
            };
            *place += trial.seconds;
        }
        tally
    }

    /// Whether the load of a tally could still be a lower bound, and whether it is one even if all that
    /// is missing turns out badly.
    pub fn estimates(&self, tally: Tally) -> (bool, bool) {
        let balance = tally.short_low * self.exceed / (1.0 - self.exceed);
        let high = tally.full_high + (tally.short_high - balance).max(0.0);
        let whole = (tally.full_low + high).max(self.sum_seconds);
        let allowed = whole * self.exceed;
        (high <= allowed, whole - tally.full_low <= allowed)
    }

    /// What a load is to the goal, by the trials at it.
    pub fn classify(&self, trials: impl IntoIterator<Item = Measured>) -> Class {
        match self.estimates(self.tally(trials)) {
            (true, true) => Class::Lower,
            (false, false) => Class::Upper,
            _ => Class::Undecided,
        }
    }

    /// What one load among others is to the goal.
    pub fn class_of(&self, load: f64, trials: &[Measured]) -> Class {
        self.classify(at(load, trials))
    }

    /// The relevant bounds by all trials at all loads.
    pub fn bounds(&self, trials: &[Measured]) -> Bounds {
        let loads = loads(trials);
        let is = |load: &&f64, class| self.class_of(**load, trials) == class;
        let upper = loads.iter().find(|load| is(load, Class::Upper)).copied();
        let below = loads.iter().rev().filter(|load| upper.is_none_or(|upper| **load < upper));
        let lower = below.into_iter().find(|load| is(load, Class::Lower)).copied();
        Bounds { lower, upper }
    }

    /// The loss ratio that all but the allowed share of the time stays at or below, by the full-length
    /// trials of one load; 1 if too little was measured, `None` if nothing was.
    pub fn quantile_loss(&self, trials: impl IntoIterator<Item = Measured>) -> Option<f64> {
        let mut full: Vec<Measured> = trials.into_iter().filter(|trial| trial.seconds >= self.final_seconds).collect();
        full.sort_by(|a, b| a.loss.total_cmp(&b.loss));
        let measured: f64 = full.iter().map(|trial| trial.seconds).sum();
        let mut remaining = self.sum_seconds.max(measured) * (1.0 - self.exceed);
        let mut quantile = None;
        for trial in full {
            if remaining > 0.0 {
                quantile = Some(trial.loss);
                remaining -= trial.seconds;
            }
        }
        quantile.map(|loss| if remaining > 0.0 { 1.0 } else { loss })
    }

    /// What is forwarded at the relevant lower bound in all but the allowed share of the time.
    pub fn conditional_throughput(&self, trials: &[Measured]) -> Option<f64> {
        let lower = self.bounds(trials).lower?;
        Some(lower * (1.0 - self.quantile_loss(at(lower, trials))?))
    }
}

/// The trials at one load.
pub fn at(load: f64, trials: &[Measured]) -> impl Iterator<Item = Measured> {
    trials.iter().copied().filter(move |trial| trial.load == load)
}

/// All loads that were tried, each once, ascending.
pub fn loads(trials: &[Measured]) -> Vec<f64> {
    let mut loads: Vec<f64> = trials.iter().map(|trial| trial.load).collect();
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    loads
}
