//! `[search]`: which trials answer the question.

use std::num::NonZeroU32;
use std::time::Duration;

use wire::units::{Percent, Rate};

use super::error::{Origin, ScenarioError};
use super::file::SearchFile;
use super::load::is_rate;
use super::plan::{ClimbPlan, Expectation, LoadPlan, Metric, Pattern, SearchPlan, StartLoad, Unit};
use super::profile::{Defaults, START_SHARE, START_WITHOUT_CEILING};
use super::words::StartFile;

/// The method of a search, before its keys are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Method {
    Fixed,
    Stair,
    Climb,
}

impl Method {
    pub(super) fn of(file: &SearchFile, origin: &Origin) -> Result<Self, ScenarioError> {
        let built = [("fixed", Self::Fixed), ("stair", Self::Stair), ("climb", Self::Climb)];
        let word = file.method.as_deref().unwrap_or("fixed");
        origin.choose("search.method", word, &built, &["mlr", "goal-seek"])
    }

    fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Stair => "stair",
            Self::Climb => "climb",
        }
    }
}

/// What a search plan is resolved from.
pub(super) struct MethodInput<'a> {
    pub(super) file: &'a SearchFile,
    pub(super) method: Method,
    pub(super) load: &'a LoadPlan,
    pub(super) expect: &'a [Expectation],
    /// Whether there are reflectors to measure a ceiling with.
    pub(super) has_ceiling: bool,
    pub(super) defaults: &'a Defaults,
    pub(super) origin: &'a Origin,
}

impl MethodInput<'_> {
    pub(super) fn plan(&self) -> Result<SearchPlan, ScenarioError> {
        self.refuse_foreign_keys()?;
        if self.method == Method::Climb {
            return self.climb().map(SearchPlan::Climb);
        }
        self.require_load()?;
        if self.method == Method::Fixed {
            return Ok(SearchPlan::Fixed);
        }
        match self.file.steps.unwrap_or(10) {
            steps @ 2..=100 => Ok(SearchPlan::Stair { steps: NonZeroU32::new(steps).unwrap_or(NonZeroU32::MIN) }),
            steps => self.refuse("steps", format!("{steps} is not a stair; expected 2 to 100")),
        }
    }

    fn refuse<T>(&self, key: &str, message: impl Into<String>) -> Result<T, ScenarioError> {
        Err(self.origin.error(&format!("search.{key}"), message))
    }

    fn refuse_foreign_keys(&self) -> Result<(), ScenarioError> {
        let file = self.file;
        let written = [
            ("start", file.start.is_some(), Method::Climb),
            ("factor", file.factor.is_some(), Method::Climb),
            ("width", file.width.is_some(), Method::Climb),
            ("final_sustain", file.final_sustain.is_some(), Method::Climb),
            ("max", file.max.is_some(), Method::Climb),
            ("budget", file.budget.is_some(), Method::Climb),
            ("repeats", file.repeats.is_some(), Method::Climb),
            ("steps", file.steps.is_some(), Method::Stair),
        ];
        match written.iter().find(|(_, written, method)| *written && *method != self.method) {
            Some((key, _, method)) => self.refuse(
                key,
                format!("has no meaning for method = \"{}\"; it belongs to \"{}\"", self.method.name(), method.name()),
            ),
            None => Ok(()),
        }
    }

    /// The load of a fixed trial or the top of a stair.
    fn require_load(&self) -> Result<(), ScenarioError> {
        let (key, present) = if is_rate(self.load.unit) {
            ("rate", self.load.rate.is_some())
        } else {
            ("count", self.load.count.is_some())
        };
        if present {
            return Ok(());
        }
        let message = format!(
            "missing; method = \"{}\" and unit = \"{}\" need it (or search.method = \"climb\")",
            self.method.name(),
            self.load.unit.name()
        );
        Err(self.origin.error(&format!("load.{key}"), message))
    }

    fn climb(&self) -> Result<ClimbPlan, ScenarioError> {
        self.check_load_of_climb()?;
        let (file, defaults) = (self.file, self.defaults);
        let factor = file.factor.unwrap_or(defaults.factor);
        if !(factor > 1.0 && factor <= 10.0) {
            return self.refuse("factor", format!("{factor} is out of range; expected more than 1, at most 10"));
        }
        let width = file.width.map_or(defaults.width, Percent::as_ratio);
        if !(0.001..=0.5).contains(&width) {
            return self.refuse("width", format!("{}% is out of range; expected 0.1% to 50%", width * 100.0));
        }
        let final_sustain = file.final_sustain.map_or(defaults.final_sustain, |span| span.0);
        if final_sustain < Duration::from_secs(1) {
            return self.refuse("final_sustain", "is too short to measure anything; expected at least 1s");
        }
        let Some(repeats) = NonZeroU32::new(file.repeats.unwrap_or(1)).filter(|repeats| repeats.get() <= 100) else {
            return self.refuse("repeats", "expected 1 to 100");
        };
        let start = self.start()?;
        let max = file.max.map(Rate::as_f64);
        if let (Some(max), StartLoad::Absolute(start)) = (max, start)
            && max < start
        {
            return self.refuse("max", format!("{max} lies below the first load of {start}"));
        }
        let width = Percent::from_ratio(width).unwrap_or_default();
        let budget = file.budget.map_or(defaults.budget, |span| span.0);
        Ok(ClimbPlan { start, factor, width, final_sustain, max, budget, repeats })
    }

    fn check_load_of_climb(&self) -> Result<(), ScenarioError> {
        let load = self.load;
        let given = if load.rate.is_some() { Some("rate") } else { load.count.map(|_| "count") };
        if let Some(key) = given {
            let message =
                "contradicts method = \"climb\", which chooses its loads; expected search.start, or method = \"fixed\"";
            return Err(self.origin.error(&format!("load.{key}"), message));
        }
        if load.unit == Unit::Transactions {
            let message = "\"climb\" contradicts unit = \"transactions\": a closed loop always passes and waits longer; \
                           expected unit = \"transactions/s\", or method \"fixed\" or \"stair\"";
            return self.refuse("method", message);
        }
        if load.pattern != Pattern::Flat {
            let message = "only \"flat\" goes with method = \"climb\": a figure needs one load throughout sustain";
            return Err(self.origin.error("load.pattern", message));
        }
        Ok(())
    }

    fn start(&self) -> Result<StartLoad, ScenarioError> {
        match self.file.start {
            Some(StartFile::Load(load)) if self.load.unit == Unit::Connections && load.as_f64() < 1.0 => {
                self.refuse("start", format!("{} connections are none; expected 1 or more", load.as_f64()))
            }
            Some(StartFile::Load(load)) => Ok(StartLoad::Absolute(load.as_f64())),
            Some(StartFile::Share(share)) if !(share.as_ratio() > 0.0 && share.as_ratio() <= 1.0) => {
                self.refuse("start", format!("{share} is out of range; expected more than 0%, at most 100%"))
            }
            Some(StartFile::Share(share)) if self.has_ceiling => Ok(StartLoad::OfCeiling(share)),
            None if self.has_ceiling => Ok(StartLoad::OfCeiling(Percent::from_ratio(START_SHARE).unwrap_or_default())),
            // Without reflectors there is no ceiling to take a share of; RFC 9411 takes it of the
            // target, which is what the scenario expects.
            Some(StartFile::Share(share)) => Ok(StartLoad::Absolute(self.share_of_expected(share.as_ratio()))),
            None => Ok(StartLoad::Absolute(self.share_of_expected(START_SHARE))),
        }
    }

    fn share_of_expected(&self, share: f64) -> f64 {
        let figure = |metric| matches!(metric, Metric::Cps | Metric::Tps | Metric::Cc);
        let expected = self.expect.iter().find(|expectation| figure(expectation.metric));
        expected
            .map_or(START_WITHOUT_CEILING, |expectation| expectation.value * share)
            .clamp(1.0, self.file.max.map_or(f64::MAX, |max| max.as_f64().max(1.0)))
    }
}
