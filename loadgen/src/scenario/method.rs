//! `[search]`: which trials answer the question.

use std::num::NonZeroU32;
use std::time::Duration;

use wire::units::Percent;

use super::error::{Origin, ScenarioError};
use super::file::SearchFile;
use super::load::{Amounts, is_rate};
use super::plan::{Expectation, LoadPlan, MaximumPlan, Metric, Pattern, SearchPlan, StartLoad, Unit};
use super::profile::{Defaults, START_SHARE, START_WITHOUT_CEILING};
use super::words::StartFile;
use crate::search::goal_seek::FACTOR_MIN;

mod goal;

/// The method of a search, before its keys are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Method {
    Fixed,
    Stair,
    Climb,
    Mlr,
    Bisect,
    GoalSeek,
    Cc,
}

/// Relative error of method `cc`, whatever the profile (RFC 9693 leaves it open).
const CC_WIDTH: f64 = 0.02;
/// Factor of method `cc`: it doubles.
const CC_FACTOR: f64 = 2.0;
/// Shortest trial that measures anything.
const SUSTAIN_MIN: Duration = Duration::from_secs(1);

impl Method {
    const ALL: [(&'static str, Self); 7] = [
        ("fixed", Self::Fixed),
        ("stair", Self::Stair),
        ("climb", Self::Climb),
        ("mlr", Self::Mlr),
        ("bisect", Self::Bisect),
        ("goal-seek", Self::GoalSeek),
        ("cc", Self::Cc),
    ];

    pub(super) fn of(file: &SearchFile, origin: &Origin) -> Result<Self, ScenarioError> {
        let word = file.method.as_deref().unwrap_or("fixed");
        origin.choose("search.method", word, &Self::ALL, &[])
    }

    /// Whether it looks for the highest load.
    pub(super) fn is_search(self) -> bool {
        !matches!(self, Self::Fixed | Self::Stair)
    }

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, method)| *method == self).map_or("", |(name, _)| name)
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
    pub(super) amounts: &'a Amounts<'a>,
    /// Whether a search that states no goals also goes for a tolerant one.
    pub(super) is_rfc2544: bool,
    pub(super) origin: &'a Origin,
}

impl MethodInput<'_> {
    pub(super) fn plan(&self) -> Result<SearchPlan, ScenarioError> {
        self.refuse_foreign_keys()?;
        let kind = match self.method {
            Method::Fixed => return self.require_load().map(|()| SearchPlan::Fixed),
            Method::Stair => return self.stair(),
            Method::Climb => SearchPlan::Climb,
            Method::Mlr => SearchPlan::Mlr,
            Method::Bisect => SearchPlan::Bisect,
            Method::GoalSeek => SearchPlan::GoalSeek,
            Method::Cc => SearchPlan::Cc,
        };
        self.maximum().map(kind)
    }

    fn stair(&self) -> Result<SearchPlan, ScenarioError> {
        self.require_load()?;
        match self.file.steps.unwrap_or(10) {
            steps @ 2..=100 => Ok(SearchPlan::Stair { steps: NonZeroU32::new(steps).unwrap_or(NonZeroU32::MIN) }),
            steps => self.refuse("steps", format!("{steps} is not a stair; expected 2 to 100")),
        }
    }

    fn refuse<T>(&self, key: &str, message: impl Into<String>) -> Result<T, ScenarioError> {
        Err(self.origin.error(&format!("search.{key}"), message))
    }

    fn refuse_foreign_keys(&self) -> Result<(), ScenarioError> {
        use Method::{Bisect, Cc, Climb, GoalSeek, Mlr, Stair};
        const SEARCHES: &[Method] = &[Climb, Mlr, Bisect, GoalSeek, Cc];
        let file = self.file;
        let written: [(&str, bool, &[Method]); 10] = [
            ("start", file.start.is_some(), SEARCHES),
            ("factor", file.factor.is_some(), &[Climb, Mlr, GoalSeek, Cc]),
            ("width", file.width.is_some(), &[Climb, Mlr, Bisect, Cc]),
            ("final_sustain", file.final_sustain.is_some(), SEARCHES),
            ("max", file.max.is_some(), SEARCHES),
            ("budget", file.budget.is_some(), SEARCHES),
            ("repeats", file.repeats.is_some(), SEARCHES),
            ("curve", file.curve.is_some(), SEARCHES),
            ("goal", file.goal.is_some(), &[Mlr]),
            ("steps", file.steps.is_some(), &[Stair]),
        ];
        match written.iter().find(|(_, written, methods)| *written && !methods.contains(&self.method)) {
            Some((key, _, methods)) => {
                let owners: Vec<String> = methods.iter().map(|method| format!("\"{}\"", method.name())).collect();
                let (name, owners) = (self.method.name(), owners.join(", "));
                self.refuse(key, format!("has no meaning for method = \"{name}\"; it belongs to {owners}"))
            }
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

    fn maximum(&self) -> Result<MaximumPlan, ScenarioError> {
        self.check_load_of_search()?;
        let (file, defaults) = (self.file, self.defaults);
        let final_sustain = file.final_sustain.map_or(defaults.final_sustain, |span| span.0);
        if final_sustain < SUSTAIN_MIN {
            return self.refuse("final_sustain", "is too short to measure anything; expected at least 1s");
        }
        let Some(repeats) = NonZeroU32::new(file.repeats.unwrap_or(defaults.repeats)).filter(|n| n.get() <= 100) else {
            return self.refuse("repeats", "expected 1 to 100");
        };
        let curve = file.curve.map(|span| span.0);
        if curve.is_some_and(|curve| curve < SUSTAIN_MIN) {
            return self.refuse("curve", "is too short to measure anything; expected at least 1s for each step");
        }
        let mut plan = MaximumPlan {
            start: self.start()?,
            factor: self.factor()?,
            width: self.width()?,
            final_sustain,
            max: self.max()?,
            budget: file.budget.map_or(defaults.budget, |span| span.0),
            repeats,
            curve,
            goals: Vec::new(),
        };
        if let (Some(max), StartLoad::Absolute(start)) = (plan.max, plan.start)
            && max < start
        {
            return self.refuse("max", format!("{max} lies below the first load of {start}"));
        }
        if self.method == Method::Mlr {
            plan.goals = self.goals(&plan)?;
            (plan.final_sustain, plan.width) = (plan.goals[0].final_sustain, plan.goals[0].width);
        }
        Ok(plan)
    }

    fn factor(&self) -> Result<f64, ScenarioError> {
        let is_cc = self.method == Method::Cc;
        let factor = self.file.factor.unwrap_or(if is_cc { CC_FACTOR } else { self.defaults.factor });
        if !(factor > 1.0 && factor <= 10.0) {
            return self.refuse("factor", format!("{factor} is out of range; expected more than 1, at most 10"));
        }
        if self.method == Method::GoalSeek && factor < FACTOR_MIN {
            let message =
                format!("{factor} cannot gain the 20% that the first steps ask for; expected {FACTOR_MIN} to 10");
            return self.refuse("factor", message);
        }
        Ok(factor)
    }

    fn width(&self) -> Result<Percent, ScenarioError> {
        let default = if self.method == Method::Cc { CC_WIDTH } else { self.defaults.width };
        let width = self.file.width.map_or(default, Percent::as_ratio);
        if !(0.001..=0.5).contains(&width) {
            return self.refuse("width", format!("{}% is out of range; expected 0.1% to 50%", width * 100.0));
        }
        Ok(Percent::from_ratio(width).unwrap_or_default())
    }

    fn max(&self) -> Result<Option<f64>, ScenarioError> {
        let max = self.max_rate()?;
        if self.method == Method::Bisect && max.is_none() && !self.has_ceiling && is_rate(self.load.unit) {
            let message = "missing; method = \"bisect\" begins at the highest load, and without reflectors there is no \
                           ceiling to take it from (or method = \"climb\")";
            return self.refuse("max", message);
        }
        Ok(max)
    }

    fn max_rate(&self) -> Result<Option<f64>, ScenarioError> {
        let rate = self.file.max.map(|amount| self.amounts.rate("search.max", amount)).transpose()?;
        Ok(rate.map(|rate| rate.as_f64()))
    }

    fn check_load_of_search(&self) -> Result<(), ScenarioError> {
        let (load, name) = (self.load, self.method.name());
        let given = if load.rate.is_some() { Some("rate") } else { load.count.map(|_| "count") };
        if let Some(key) = given {
            let message = format!(
                "contradicts method = \"{name}\", which chooses its loads; expected search.start, or method = \"fixed\""
            );
            return Err(self.origin.error(&format!("load.{key}"), message));
        }
        if self.method == Method::Cc && load.unit != Unit::Connections {
            let message = format!(
                "\"cc\" counts connections held at once, not {}; expected unit = \"connections\", or method = \"mlr\"",
                load.unit.name()
            );
            return self.refuse("method", message);
        }
        if load.unit == Unit::Transactions {
            let message = format!(
                "\"{name}\" contradicts unit = \"transactions\": a closed loop always passes and waits longer; \
                 expected unit = \"transactions/s\", or method \"fixed\" or \"stair\""
            );
            return self.refuse("method", message);
        }
        if load.pattern != Pattern::Flat {
            let message =
                format!("only \"flat\" goes with method = \"{name}\": a figure needs one load throughout sustain");
            return Err(self.origin.error("load.pattern", message));
        }
        Ok(())
    }

    fn start(&self) -> Result<StartLoad, ScenarioError> {
        match self.file.start {
            Some(StartFile::Load(amount)) => {
                let load = self.amounts.rate("search.start", amount)?.as_f64();
                if self.load.unit == Unit::Connections && load < 1.0 {
                    return self.refuse("start", format!("{load} connections are none; expected 1 or more"));
                }
                Ok(StartLoad::Absolute(load))
            }
            Some(StartFile::Share(share)) if !(share.as_ratio() > 0.0 && share.as_ratio() <= 1.0) => {
                self.refuse("start", format!("{share} is out of range; expected more than 0%, at most 100%"))
            }
            Some(StartFile::Share(share)) if self.has_ceiling => Ok(StartLoad::OfCeiling(share)),
            None if self.has_ceiling => Ok(StartLoad::OfCeiling(Percent::from_ratio(START_SHARE).unwrap_or_default())),
            // Without reflectors there is no ceiling to take a share of; RFC 9411 takes it of the
            // target, which is what the scenario expects.
            Some(StartFile::Share(share)) => Ok(StartLoad::Absolute(self.share_of_expected(share.as_ratio())?)),
            None => Ok(StartLoad::Absolute(self.share_of_expected(START_SHARE)?)),
        }
    }

    fn share_of_expected(&self, share: f64) -> Result<f64, ScenarioError> {
        let figure = |metric| matches!(metric, Metric::Cps | Metric::Tps | Metric::Cc | Metric::Fps);
        let expected = self.expect.iter().find(|expectation| figure(expectation.metric));
        let load = expected.map_or(START_WITHOUT_CEILING, |expectation| expectation.value * share);
        Ok(load.clamp(1.0, self.max_rate()?.map_or(f64::MAX, |max| max.max(1.0))))
    }
}
