//! The highest load that passes: qualify, raise by a factor until a fail, bisect, confirm.
//!
//! After RFC 9411, 7.2.4 (qualify at an initial load, iterate, a final iteration at
//! full length). [`Steps`] says how loads follow one another: the climb's own way, plain bisection from
//! the two ends, or the doubling of RFC 9693 for connections held at once. Invariants: a confirmed load is never above a load that failed; a load at or above
//! a failed one is not asked for again; every search ends after at most [`TRIALS_MAX`] trials of
//! searching and [`CONFIRMS_MAX`] confirming ones. A failed confirming trial is a new upper bound:
//! the shorter trials that passed there are superseded, and because short trials have then proven
//! to mislead, the search goes on below at full length.

use std::time::Duration;

use super::knee::Knee;
use super::{Ask, Found, Grain, Search, Tell};
use crate::measure::record::Purpose;

/// Trials of one search, confirming ones left out, after which it goes on to confirm what it has.
pub const TRIALS_MAX: u32 = 40;
/// Trials of one search at full length.
pub const CONFIRMS_MAX: u32 = 8;
/// Qualifying trials of a search whose first load was our own guess.
const QUALIFIES_MAX: u32 = 3;
/// How far a guessed first load goes down after it failed to qualify.
const DESCENT: f64 = 10.0;

mod steps;

pub use steps::Steps;

/// What a climb goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct ClimbSettings {
    /// How loads follow one another.
    pub steps: Steps,
    /// First load.
    pub start: f64,
    /// Whether the first load is only a guess (a share of the ceiling): a device that does not carry
    /// it is asked for less before the search gives up.
    pub descend: bool,
    /// Factor between two loads while they pass; greater than 1.
    pub factor: f64,
    /// Relative distance at which pass and fail count as one: 1 − pass/fail.
    pub width: f64,
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

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// At the upper end, where the steps begin there.
    Open,
    Qualify,
    Search,
    Confirm,
    Done,
}

/// One climb.
#[derive(Clone, Debug)]
pub struct Climb {
    settings: ClimbSettings,
    state: State,
    start: f64,
    asked: Purpose,
    passed: Vec<f64>,
    upper: Option<f64>,
    confirmed: Option<f64>,
    /// Whether a trial at full length has refuted shorter ones.
    refuted: bool,
    knee: Knee,
    /// Connections opened per second in the last trial that passed.
    setup_rate: Option<f64>,
    trials: u32,
    qualifies: u32,
    confirms: u32,
}

impl Climb {
    /// A climb that has not asked yet.
    pub fn new(settings: ClimbSettings) -> Self {
        let start = settings.grain.round(settings.cap.map_or(settings.start, |cap| settings.start.min(cap)));
        let state = if settings.steps == Steps::Bisect { State::Open } else { State::Qualify };
        Self {
            settings,
            state,
            start,
            asked: Purpose::Qualify,
            passed: Vec::new(),
            upper: None,
            confirmed: None,
            refuted: false,
            knee: Knee::Unknown,
            setup_rate: None,
            trials: 0,
            qualifies: 0,
            confirms: 0,
        }
    }

    fn lower(&self) -> Option<f64> {
        self.passed.iter().copied().reduce(f64::max)
    }

    fn ask(&mut self, purpose: Purpose, load: f64) -> Option<Ask> {
        self.asked = purpose;
        let sustain = if purpose == Purpose::Confirm { self.settings.final_sustain } else { self.settings.sustain };
        match purpose {
            Purpose::Confirm => self.confirms += 1,
            Purpose::Qualify => self.qualifies += 1,
            _ => {}
        }
        self.trials += u32::from(purpose != Purpose::Confirm);
        Some(Ask { purpose, load, sustain })
    }

    fn next_of_search(&mut self, out_of_budget: bool) -> Option<Ask> {
        let Some(lower) = self.lower() else {
            self.state = State::Done;
            return None;
        };
        let spent = out_of_budget || self.trials >= TRIALS_MAX;
        let unproven = self.refuted && self.confirmed != Some(lower);
        let step = match self.upper {
            _ if spent || unproven => None,
            Some(upper) if Steps::reached(&self.settings, lower, upper) => None,
            Some(upper) => Some((Purpose::Bisect, Steps::between(&self.settings, &mut self.knee, lower, upper))),
            None if self.settings.cap.is_some_and(|cap| lower >= self.settings.grain.round(cap)) => None,
            None => Some((Purpose::Climb, Steps::above(&self.settings, lower))),
        };
        let Some((purpose, load)) = step else {
            self.state = State::Confirm;
            return self.next_of_confirm();
        };
        match self.refuted {
            false => self.ask(purpose, load),
            true if self.confirms < CONFIRMS_MAX => self.ask(Purpose::Confirm, load),
            true => {
                self.state = State::Done;
                None
            }
        }
    }

    fn next_of_confirm(&mut self) -> Option<Ask> {
        match self.lower() {
            Some(lower) if self.confirmed != Some(lower) && self.confirms < CONFIRMS_MAX => {
                self.ask(Purpose::Confirm, lower)
            }
            _ => {
                self.state = State::Done;
                None
            }
        }
    }

    /// The upper end: a device that carries it needs no search.
    fn tell_open(&mut self, result: Tell) {
        if result.passed {
            self.passed.push(result.load);
            self.state = State::Search;
        } else {
            self.upper = Some(result.load);
            self.state = State::Qualify;
        }
    }

    fn tell_qualify(&mut self, result: Tell) {
        if result.passed {
            self.passed.push(result.load);
            self.state = State::Search;
            return;
        }
        self.upper = Some(self.upper.map_or(result.load, |upper| upper.min(result.load)));
        let below = self.settings.grain.round(result.load / DESCENT);
        if self.settings.descend && self.qualifies < QUALIFIES_MAX && below < result.load {
            self.start = below;
        } else {
            self.state = State::Done;
        }
    }

    fn tell_search(&mut self, result: Tell) {
        self.knee.learn(result.passed);
        if result.passed {
            self.passed.push(result.load);
            return;
        }
        self.upper = Some(self.upper.map_or(result.load, |upper| upper.min(result.load)));
        let lower = self.lower().unwrap_or(0.0);
        self.knee.suggest(result.achieved, lower, result.load);
    }

    fn tell_confirm(&mut self, result: Tell) {
        if result.passed {
            self.confirmed = Some(result.load);
            self.passed.push(result.load);
            self.state = if self.refuted { State::Search } else { State::Done };
            return;
        }
        self.refuted = true;
        self.upper = Some(result.load);
        self.passed.retain(|load| *load < result.load);
        if self.passed.is_empty() {
            // The full length refuted even the qualifying load: begin again below it.
            self.start = self.settings.grain.round(result.load / self.settings.factor);
            let lower = self.start < result.load && self.confirms < CONFIRMS_MAX;
            self.state = if lower { State::Qualify } else { State::Done };
        } else {
            self.state = State::Search;
        }
    }
}

impl Search for Climb {
    fn next(&mut self, elapsed: Duration) -> Option<Ask> {
        let out_of_budget = elapsed >= self.settings.budget;
        match self.state {
            State::Open => self.ask(Purpose::Climb, self.settings.cap.unwrap_or(self.start)),
            State::Qualify if out_of_budget && self.qualifies > 0 => {
                self.state = State::Done;
                None
            }
            State::Qualify => self.ask(Purpose::Qualify, self.start),
            State::Search => self.next_of_search(out_of_budget),
            State::Confirm => self.next_of_confirm(),
            State::Done => None,
        }
    }

    fn tell(&mut self, mut result: Tell) {
        result.passed &= self.settings.steps.is_set_up(result.setup_rate, self.setup_rate, self.upper.is_some());
        if result.passed {
            self.setup_rate = result.setup_rate.or(self.setup_rate);
        }
        match self.asked {
            _ if self.state == State::Open => self.tell_open(result),
            Purpose::Qualify => self.tell_qualify(result),
            Purpose::Confirm => self.tell_confirm(result),
            _ => self.tell_search(result),
        }
    }

    fn found(&self) -> Found {
        let bracketed = |lower: f64| self.upper.is_some_and(|upper| Steps::reached(&self.settings, lower, upper));
        let at_least = self.confirmed.is_some_and(|lower| !bracketed(lower));
        Found { lower: self.confirmed, upper: self.upper, at_least }
    }
}

#[cfg(test)]
mod tests;
