//! Goal seek: climb while the achieved rate gains, in ever smaller steps, and confirm.
//!
//! As scripts of commercial testers do it: big steps while each gains more than 20 %, then smaller ones
//! while each gains more than 5 %, then 1 %. It finds the knee in few trials, but brackets nothing: there
//! is no upper bound, so its answer is always "at least".

use std::time::Duration;

use super::knee;
use super::{Ask, Found, Grain, Search, Tell};
use crate::measure::record::Purpose;

/// Gains of the achieved rate below which the next stage begins, and the step of each later stage.
const STAGES: [(f64, Option<f64>); 3] = [(0.20, None), (0.05, Some(1.10)), (0.01, Some(1.02))];
/// Trials of one search, confirming ones left out.
const TRIALS_MAX: u32 = 60;
/// Trials at full length.
const CONFIRMS_MAX: u32 = 8;
/// Qualifying trials of a search whose first load was our own guess.
const QUALIFIES_MAX: u32 = 3;
/// How far a guessed first load goes down after it failed to qualify.
const DESCENT: f64 = 10.0;
/// The smallest first step that can gain more than the first stage asks for.
pub const FACTOR_MIN: f64 = 1.25;

/// What a goal seek goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct GoalSeekSettings {
    /// First load.
    pub start: f64,
    /// Whether the first load is only a guess, below which is looked before the search gives up.
    pub descend: bool,
    /// Factor of the big steps, at least [`FACTOR_MIN`].
    pub factor: f64,
    /// Highest load that may be tried.
    pub cap: Option<f64>,
    /// Which loads make sense.
    pub grain: Grain,
    /// Sustain of a searching trial.
    pub sustain: Duration,
    /// Sustain of the confirming trial.
    pub final_sustain: Duration,
    /// Wall time after which only the confirming trial may begin.
    pub budget: Duration,
}

/// One goal seek.
#[derive(Clone, Debug)]
pub struct GoalSeek {
    settings: GoalSeekSettings,
    start: f64,
    stage: usize,
    asked: Purpose,
    /// Loads that passed with what was achieved there, ascending.
    passed: Vec<(f64, f64)>,
    /// Lowest load above them that failed.
    failed: Option<f64>,
    confirmed: Option<f64>,
    trials: u32,
    confirms: u32,
    is_over: bool,
}

impl GoalSeek {
    /// A goal seek that has not asked yet.
    pub fn new(settings: GoalSeekSettings) -> Self {
        let start = settings.grain.round(settings.cap.map_or(settings.start, |cap| settings.start.min(cap)));
        Self {
            settings,
            start,
            stage: 0,
            asked: Purpose::Qualify,
            passed: Vec::new(),
            failed: None,
            confirmed: None,
            trials: 0,
            confirms: 0,
            is_over: false,
        }
    }

    fn ask(&mut self, purpose: Purpose, load: f64) -> Option<Ask> {
        self.asked = purpose;
        let confirms = purpose == Purpose::Confirm;
        self.confirms += u32::from(confirms);
        self.trials += u32::from(!confirms);
        let sustain = if confirms { self.settings.final_sustain } else { self.settings.sustain };
        Some(Ask { purpose, load, sustain })
    }

    fn tell_qualify(&mut self, result: Tell) {
        if result.passed {
            self.passed.push((result.load, result.achieved));
            return;
        }
        self.start = self.settings.grain.round(result.load / DESCENT);
        let more = self.settings.descend && self.trials < QUALIFIES_MAX && self.start < result.load;
        self.is_over = !more;
    }

    fn tell_step(&mut self, result: Tell) {
        let before = self.passed.last().map_or(0.0, |(_, achieved)| *achieved);
        if result.passed && result.achieved > before * (1.0 + STAGES[self.stage].0) {
            self.passed.push((result.load, result.achieved));
            return;
        }
        if !result.passed {
            self.failed = Some(self.failed.map_or(result.load, |failed| failed.min(result.load)));
        }
        self.stage += 1;
    }

    /// The next load above, in the first stage whose step does not lead to where one has failed.
    fn above(&mut self, best: f64) -> Option<f64> {
        while let Some((_, factor)) = STAGES.get(self.stage) {
            let factor = factor.unwrap_or(self.settings.factor);
            let load = knee::above(self.settings.grain, best, factor, self.settings.cap);
            if self.failed.is_none_or(|failed| load < failed) {
                return Some(load);
            }
            self.stage += 1;
        }
        None
    }

    fn tell_confirm(&mut self, result: Tell) {
        if result.passed {
            self.confirmed = Some(result.load);
            self.is_over = true;
        } else {
            self.passed.retain(|(load, _)| *load < result.load);
            self.is_over = self.passed.is_empty() || self.confirms >= CONFIRMS_MAX;
        }
    }
}

impl Search for GoalSeek {
    fn next(&mut self, elapsed: Duration) -> Option<Ask> {
        if self.is_over {
            return None;
        }
        let out_of_budget = elapsed >= self.settings.budget;
        let Some(&(best, _)) = self.passed.last() else {
            let spent = out_of_budget && self.trials > 0;
            return if spent { None } else { self.ask(Purpose::Qualify, self.start) };
        };
        let grain = self.settings.grain;
        let top = self.settings.cap.is_some_and(|cap| best >= grain.round(cap));
        if self.confirms > 0 || out_of_budget || top || self.trials >= TRIALS_MAX {
            return self.ask(Purpose::Confirm, best);
        }
        match self.above(best) {
            Some(load) => self.ask(Purpose::Climb, load),
            None => self.ask(Purpose::Confirm, best),
        }
    }

    fn tell(&mut self, result: Tell) {
        match self.asked {
            Purpose::Qualify => self.tell_qualify(result),
            Purpose::Confirm => self.tell_confirm(result),
            _ => self.tell_step(result),
        }
    }

    fn found(&self) -> Found {
        Found { lower: self.confirmed, upper: None, at_least: self.confirmed.is_some() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> GoalSeekSettings {
        GoalSeekSettings {
            start: 2_000.0,
            descend: true,
            factor: 2.0,
            cap: Some(20_000.0),
            grain: Grain::Fine,
            sustain: Duration::from_secs(3),
            final_sustain: Duration::from_secs(10),
            budget: Duration::from_secs(600),
        }
    }

    fn walk(capacity: f64, passes_at: impl Fn(&Ask) -> bool) -> (Found, Vec<Ask>) {
        let mut search = GoalSeek::new(settings());
        let mut asks = Vec::new();
        while let Some(ask) = search.next(Duration::ZERO) {
            asks.push(ask);
            assert!(asks.len() < 100, "the search does not end");
            let achieved = ask.load.min(capacity);
            search.tell(Tell { load: ask.load, passed: passes_at(&ask), achieved, ..Tell::default() });
        }
        (search.found(), asks)
    }

    #[test]
    fn the_knee_is_found_from_below_and_never_bracketed() {
        for capacity in (2_050..19_000).step_by(37).map(f64::from) {
            let (found, asks) = walk(capacity, |ask| ask.load <= capacity);
            let lower = found.lower.unwrap();
            // Its last step is 2 %.
            assert!(lower <= capacity && lower >= 0.975 * capacity, "{capacity}: {found:?}");
            assert_eq!((found.upper, found.at_least), (None, true));
            assert!(asks.len() <= 22, "{capacity}: {asks:?}");
            assert_eq!(asks.last().map(|ask| (ask.purpose, ask.load)), Some((Purpose::Confirm, lower)));
        }
    }

    #[test]
    fn a_load_that_failed_is_not_asked_for_again() {
        // 16,000 passes; twice as much, a tenth more and the cap of 16,100 are all the cap.
        let mut search = GoalSeek::new(GoalSeekSettings { cap: Some(16_100.0), ..settings() });
        let mut loads = Vec::new();
        while let Some(ask) = search.next(Duration::ZERO) {
            loads.push(ask.load);
            assert!(loads.len() < 100, "the search does not end");
            search.tell(Tell { load: ask.load, passed: ask.load <= 16_000.0, achieved: ask.load, ..Tell::default() });
        }
        assert_eq!(loads.iter().filter(|load| **load == 16_100.0).count(), 1, "{loads:?}");
        assert_eq!(search.found().lower, Some(16_000.0));
    }

    #[test]
    fn it_stops_where_a_higher_load_brings_nothing_even_if_it_passes() {
        let (found, asks) = walk(5_000.0, |_| true);
        let highest = asks.iter().map(|ask| ask.load).fold(0.0, f64::max);
        // From 4,000 to 8,000 the rate gains 25 %, from there nothing.
        assert_eq!((found.lower, highest), (Some(8_000.0), 16_000.0), "{asks:?}");
    }

    #[test]
    fn a_confirming_trial_that_fails_goes_back_to_the_load_before() {
        let (found, asks) =
            walk(9_000.0, |ask| ask.load <= if ask.purpose == Purpose::Confirm { 8_000.0 } else { 9_000.0 });
        assert_eq!(found.lower, Some(8_000.0), "{asks:?}");
        let (dead, asks) = walk(0.0, |_| false);
        assert_eq!((dead.lower, asks.len()), (None, 3));
    }
}
